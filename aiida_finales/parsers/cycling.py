"""Turn what a cycler wrote into results: reserved channels, and capacities with features of the early cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_finales.parsers.driver import DriverParser
from aiida_finales.science.ageing.cycling import RATES

FEATURES = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")


class ChannelParser(DriverParser):
    """Channels that are reserved, or given back."""

    method = "service"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result."""
        try:
            data = {name: output[name] for name in ("success", "reservation_id")}
        except KeyError as error:
            return self.unusable(output, error)
        self.publish(output, {**data, "channels": output.get("channels", []), "reason": output.get("reason")})
        return ExitCode()


class CyclingParser(DriverParser):
    """Capacities of a cell; the raw data stay in the file beside it, which is kept as a node of its own."""

    method = "cycling"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result."""
        try:
            data = {name: output[name] for name in ("capacity_list", "channel_list", "cell_info", "meta")}
        except KeyError as error:
            return self.unusable(output, error)
        features = {name: output["features"].get(name) for name in FEATURES if output.get("features")}
        rates = {name: output[name] for name in RATES if name in output}
        details = {name: output.get(name) for name in ("formation", "protocol", "features", "ageing", "reason", "file")}
        self.publish(output, {**data, **rates, **features, **details, "success": data["meta"]["success"]})
        return ExitCode()
