"""Turn what a formulation robot wrote into the result and the vial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_finales.lab.driver.evaluation import evaluate_mixture
from aiida_finales.parsers.driver import DriverParser


class FlowParser(DriverParser):
    """The mixture as the robot believes it to be, and where the vial with it stands."""

    method = "flow"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result and the vial."""
        try:
            found = evaluate_mixture(output)
        except KeyError as error:
            return self.unusable(output, error)
        self.publish(output, found.data, found.parameters)
        return ExitCode()
