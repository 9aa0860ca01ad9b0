"""Turn what a formulation robot wrote into the result and the vial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_finales.parsers.driver import DriverParser, chemicals_info


class FlowParser(DriverParser):
    """The mixture as the robot believes it to be, and where the vial with it stands."""

    method = "flow"

    def evaluate(self, output: dict[str, Any], folder: Path) -> ExitCode:
        """Make the result and the vial."""
        try:
            data = {
                "run_info": {
                    "formulation": output["formulation"],
                    "internal_reference": output["key"],
                    "formulation_info": output["formulation_info"],
                    "chemicals_info": chemicals_info(output),
                },
                "electrolyte": {name: output[name] for name in ("formulation", "volume", "location", "meta")},
                "made_of": sorted(output.get("parents", [])),
                "volumes_mL": output.get("volumes_mL", {}),
                "reason": output.get("reason"),
            }
            used = {"electrolyte": {"formulation": output["formulation"]}, "volume": output["volume"]}
        except KeyError as error:
            return self.unusable(output, error)
        self.publish(output, data, used)
        return ExitCode()
