"""Turn what a transport wrote into its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_finales.parsers.driver import DriverParser


class TransportParser(DriverParser):
    """Where the samples came to rest."""

    method = "transport_service"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result; the samples are moved once it counts."""
        try:
            data = {name: output[name] for name in ("success", "actual_new_location", "executant")}
        except KeyError as error:
            return self.unusable(output, error)
        self.publish(output, {**data, "samples": output.get("samples", []), "reason": output.get("reason")})
        return ExitCode()
