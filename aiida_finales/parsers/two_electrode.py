"""Evaluate what a conductivity robot measured: an impedance spectrum becomes a rated conductivity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_finales.exceptions import FitError
from aiida_finales.lab.driver.evaluation import evaluate_spectrum, read_spectrum
from aiida_finales.parsers.driver import DriverParser


class TwoElectrodeParser(DriverParser):
    """Fits the spectrum; conductivity in S/m."""

    method = "two_electrode"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Keep the raw spectrum (``frequency`` in Hz, ``impedance`` in ohm) and make the rated result of it."""
        if not output.get("success", True) and "spectrum" not in output:
            # an operator settled that the device acted, but what it measured is lost: a value cannot be made up
            return self.exit_code("ERROR_UNUSABLE_DATA", reason=output.get("reason", "the device reports no success"))
        try:
            frequency, impedance = read_spectrum(output["spectrum"])
            self.out("spectrum", orm.ArrayData({"frequency": frequency, "impedance": impedance}))
            found = evaluate_spectrum(output)
        except (FitError, KeyError, TypeError, ValueError) as error:
            return self.exit_code("ERROR_UNUSABLE_DATA", reason=f"{type(error).__name__}: {error}")
        self.publish(output, found.data, found.parameters)
        return ExitCode()
