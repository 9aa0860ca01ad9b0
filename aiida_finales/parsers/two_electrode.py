"""Evaluate what a conductivity robot measured: an impedance spectrum becomes a rated conductivity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida_shell.calculations.shell import ShellJob
from aiida_shell.parsers.shell import ShellParser

from aiida_finales.calculations.driver import OUTPUT_FILENAME
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FitError
from aiida_finales.lab.driver import END_MARKER
from aiida_finales.science.impedance import ImpedanceFit, conductivity_from_resistance, fit_resistance

#: exit code by exit status of a driver
DRIVER_EXITS = {
    64: "ERROR_DRIVER_INPUT",
    65: "ERROR_DRIVER_LIMITATIONS",
    69: "ERROR_DRIVER_UNAVAILABLE",
    70: "ERROR_DRIVER_FAULT",
    75: "ERROR_NEEDS_OPERATOR",
}
METHOD = "two_electrode"


class DriverParser(ShellParser):
    """Base of the parsers of drivers: nothing counts unless the driver said that it was done and wrote to the end."""

    def parse(self, **kwargs: Any) -> ExitCode:
        """Read the driver's exit status and output, then evaluate it."""
        folder = Path(kwargs["retrieved_temporary_folder"])
        self.parse_custom_outputs(folder)
        exit_code = self.parse_default_outputs(folder)
        if exit_code.status == self.exit_codes.ERROR_COMMAND_FAILED.status:
            return self._explain(folder)
        if exit_code.status not in (0, self.exit_codes.ERROR_STDERR_NOT_EMPTY.status):
            return exit_code  # drivers tell their story on stderr; everything else is a failure
        output = read_output(folder / OUTPUT_FILENAME)
        if output is None:
            return self.exit_code("ERROR_NO_OUTPUT")
        return self.evaluate(output)

    def evaluate(self, output: dict[str, Any]) -> ExitCode:
        """Make outputs of what the driver wrote."""
        raise NotImplementedError

    def _explain(self, folder: Path) -> ExitCode:
        status = int((folder / ShellJob.FILENAME_STATUS).read_text())
        lines = (folder / ShellJob.FILENAME_STDERR).read_text().strip().splitlines()
        reason = lines[-1] if lines else f"exit status {status}"
        return self.exit_code(DRIVER_EXITS.get(status, "ERROR_NO_OUTPUT"), reason=reason)


def read_output(path: Path) -> dict[str, Any] | None:
    """Return a driver's output, or ``None`` where it is not complete."""
    key, text = END_MARKER
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return document if isinstance(document, dict) and document.get(key) == text else None


class TwoElectrodeParser(DriverParser):
    """Fits the spectrum; conductivity = cell constant / (resistance - contacts), in S/m."""

    def evaluate(self, output: dict[str, Any]) -> ExitCode:
        """Keep the raw spectrum and make the rated result of it."""
        if not output.get("success", True) and "spectrum" not in output:
            # an operator settled that the device acted, but what it measured is lost: a value cannot be made up
            return self.exit_code("ERROR_UNUSABLE_DATA", reason=output.get("reason", "the device reports no success"))
        try:
            spectrum = _spectrum(output["spectrum"])
            self.out("spectrum", spectrum)
            fit = fit_resistance(spectrum.get_array("frequency"), spectrum.get_array("impedance"))
            value = conductivity_from_resistance(
                fit.resistance, output["cell_constant_per_m"], output["contact_resistance_ohm"]
            )
        except (FitError, KeyError, TypeError, ValueError) as error:
            return self.exit_code("ERROR_UNUSABLE_DATA", reason=f"{type(error).__name__}: {error}")
        self.out("result", self._result(output, fit, value))
        return ExitCode()

    def _result(self, output: dict[str, Any], fit: ImpedanceFit, value: float) -> ResultData:
        request = self.node.inputs.request
        tenant = self.node.inputs.tenant if "tenant" in self.node.inputs else None
        capability = orm.load_node(request.capabilities[METHOD])
        used = {"formulation": output["formulation"], "temperature": output["temperature"]}
        return ResultData(
            capability,
            _data(output, fit, value),
            used,
            tenant_uuid=tenant.tenant_uuid if tenant is not None else "",
            request_uuid=request.uuid,
            simulated=bool(output.get("simulated", False)),
        )


def _spectrum(raw: dict[str, list[float]]) -> orm.ArrayData:
    """Return the measured spectrum as a node: ``frequency`` in Hz, ``impedance`` in ohm, complex."""
    impedance = np.asarray(raw["real_ohm"]) + 1j * np.asarray(raw["imaginary_ohm"])
    return orm.ArrayData({"frequency": np.asarray(raw["frequency_Hz"]), "impedance": impedance})


def _data(output: dict[str, Any], fit: ImpedanceFit, value: float) -> dict[str, Any]:
    chemicals = {
        inchikey: {"name": info["name"], "molar_mass": [info["molar_mass"], 0.001]}
        for inchikey, info in output.get("chemicals_info", {}).items()
    }
    return {
        "run_info": {
            "formulation": output["formulation"],
            "internal_reference": output["key"],
            "chemicals_info": chemicals,
        },
        "conductivity": {
            "values": [value],
            "temperature": output["temperature"],
            "meta": {"success": bool(output.get("success", True)), "rating": fit.rating},
        },
        "impedance": {
            "resistance_ohm": fit.resistance,
            "relative_error": fit.relative_error,
            "contact_resistance_ohm": output["contact_resistance_ohm"],
            "cell_constant_per_m": output["cell_constant_per_m"],
        },
        "volumes_mL": output.get("volumes_mL", {}),
        "device": output.get("device", ""),
        "simulated": bool(output.get("simulated", False)),
    }
