"""Turn what an assembly robot wrote into the result and the cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_finales.parsers.driver import DriverParser


class AssemblyParser(DriverParser):
    """A batch of cells, the bad ones among them."""

    method = "autobass_assembly"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result and one sample per cell."""
        try:
            data = {name: output[name] for name in ("batch_output", "batch_id")}
        except KeyError as error:
            return self.unusable(output, error)
        self.publish(output, {**data, "reason": output.get("reason")})
        return ExitCode()
