"""The parsers of all drivers: nothing counts unless the driver says that it was done."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode
from aiida_shell.calculations.shell import ShellJob
from aiida_shell.parsers.shell import ShellParser

from aiida_finales.calculations.driver import OUTPUT_FILENAME
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import samples_made
from aiida_finales.exceptions import FitError
from aiida_finales.lab.driver.evaluation import evaluate, last_words, read_output, read_spectrum
from aiida_finales.schemas import Json

#: exit code by exit status of a driver
DRIVER_EXITS = {
    64: "ERROR_DRIVER_INPUT",
    65: "ERROR_DRIVER_LIMITATIONS",
    69: "ERROR_DRIVER_UNAVAILABLE",
    70: "ERROR_DRIVER_FAULT",
    75: "ERROR_NEEDS_OPERATOR",
    76: "ERROR_JOURNAL_LOST",
}


class DriverParser(ShellParser):
    """Base of the parsers of drivers: nothing counts unless the driver said that it was done and wrote to the end."""

    #: the method of the request that the driver served
    method: ClassVar[str]

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
        return self.evaluate(output, folder)

    def evaluate(self, output: Json, folder: Path) -> ExitCode:
        """Make outputs of what the driver wrote.

        :param output: the driver's output file.
        :param folder: where its other files are.
        """
        try:
            found = evaluate((self.node.inputs.request.quantity, self.method), output)
        except FitError as error:
            return self.exit_code("ERROR_UNUSABLE_DATA", reason=error)
        self.publish(output, found.data, found.parameters)
        return ExitCode()

    def publish(self, output: Json, data: Json, parameters: Json | None = None) -> None:
        """Make the result, and the samples that it says were made.

        :param data: in the published form.
        :param parameters: those really used; those asked for when ``None``.
        """
        request, method = self.node.inputs.request, self.method
        tenant = self.node.inputs.tenant if "tenant" in self.node.inputs else None
        simulated = bool(output.get("simulated", False))
        result = ResultData(
            orm.load_node(request.capabilities[method]),
            {**data, "device": output.get("device", ""), "simulated": simulated},
            request.parameters[method] if parameters is None else parameters,
            tenant_uuid=tenant.tenant_uuid if tenant is not None else "",
            request_uuid=request.uuid,
            simulated=simulated,
        )
        self.out("result", result)
        for label, sample in samples_made(result).items():
            self.out(f"samples.{label}", sample)

    def _explain(self, folder: Path) -> ExitCode:
        status = int((folder / ShellJob.FILENAME_STATUS).read_text())
        reason = last_words((folder / ShellJob.FILENAME_STDERR).read_text()) or f"exit status {status}"
        return self.exit_code(DRIVER_EXITS.get(status, "ERROR_NO_OUTPUT"), reason=reason)


class TwoElectrodeParser(DriverParser):
    """A conductivity in S/m, and the spectrum it was read from: ``frequency`` in Hz, ``impedance`` in ohm."""

    method = "two_electrode"

    def evaluate(self, output: Json, folder: Path) -> ExitCode:
        """Keep the raw spectrum, and make the rated result of it."""
        with contextlib.suppress(KeyError, TypeError, ValueError):  # what is no spectrum is refused below
            frequency, impedance = read_spectrum(output["spectrum"])
            self.out("spectrum", orm.ArrayData({"frequency": frequency, "impedance": impedance}))
        return super().evaluate(output, folder)


class DensityParser(DriverParser):
    """Densities in g/cm3, and viscosities of the same sample where the device has a viscometer."""

    method = "vibrating_tube_densimetry"


class ViscosityParser(DriverParser):
    """Viscosities in mPa s."""

    method = "rolling_ball_viscometry"


class FlowParser(DriverParser):
    """The mixture as the robot believes it to be, and where the vial with it stands."""

    method = "flow"


class TransportParser(DriverParser):
    """Where the samples came to rest; they are moved once the result counts."""

    method = "transport_service"


class AssemblyParser(DriverParser):
    """A batch of cells, the bad ones among them."""

    method = "autobass_assembly"


class ChannelParser(DriverParser):
    """Channels that are reserved, or given back."""

    method = "service"


class CyclingParser(DriverParser):
    """Capacities of a cell; the raw data stay in the file beside it, which is kept as a node of its own."""

    method = "cycling"
