"""Evaluate what a conductivity robot measured: an impedance spectrum becomes a rated conductivity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_finales.exceptions import FitError
from aiida_finales.parsers.driver import DriverParser, chemicals_info
from aiida_finales.science.impedance import ImpedanceFit, conductivity_from_resistance, fit_resistance


class TwoElectrodeParser(DriverParser):
    """Fits the spectrum; conductivity = cell constant / (resistance - contacts), in S/m."""

    method = "two_electrode"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
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
        used = {"formulation": output["formulation"], "temperature": output["temperature"]}
        self.publish(output, _data(output, fit, value), used)
        return ExitCode()


def _spectrum(raw: dict[str, list[float]]) -> orm.ArrayData:
    """Return the measured spectrum as a node: ``frequency`` in Hz, ``impedance`` in ohm, complex."""
    impedance = np.asarray(raw["real_ohm"]) + 1j * np.asarray(raw["imaginary_ohm"])
    return orm.ArrayData({"frequency": np.asarray(raw["frequency_Hz"]), "impedance": impedance})


def _data(output: dict[str, Any], fit: ImpedanceFit, value: float) -> dict[str, Any]:
    return {
        "run_info": {
            "formulation": output["formulation"],
            "internal_reference": output["key"],
            "chemicals_info": chemicals_info(output),
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
        "made_of": sorted(output.get("parents", [])),
    }
