"""Evaluate a cell whose forces a potential gave, or the reference method: as any cell, and how far they are trusted."""

from __future__ import annotations

from typing import Any

from aiida.engine import ExitCode

from aiida_finales.calculations.learned_dynamics import STEP_FILENAME
from aiida_finales.exceptions import DistrustError, DivergedError, NotConvergedError
from aiida_finales.md.output import END_MARKER
from aiida_finales.parsers.molecular_dynamics import MolecularDynamicsParser
from aiida_finales.parsers.program import PROGRAM_EXITS
from aiida_finales.potential.work import END_MARKER as STEP_END

NAMES = ("statement", "ended_by", "held_out")


class LearnedDynamicsParser(MolecularDynamicsParser):
    """Makes nodes of the cell; what the forces are worth is among what is known of it."""

    EXITS = PROGRAM_EXITS | {
        NotConvergedError.exit_status: "ERROR_NOT_CONVERGED",
        DistrustError.exit_status: "ERROR_DISTRUSTED",
        DivergedError.exit_status: "ERROR_PROGRAM_FAILED",
    }

    def _read_failure(self) -> ExitCode | None:
        error, step = self._read_json("error.json"), self._read_step()
        # a result that is distrusted is written all the same
        if error is not None and error.get("exit_status") == DistrustError.exit_status and step is not None:
            output = self._read_json("output.json") or {}
            return None if output.get(END_MARKER[0]) == END_MARKER[1] else super()._read_failure()
        if error is None and step is None:
            return self._explain_absence()
        if step is not None and "analysis_missing" in step and self._read_json("output.json") is None:
            return self.exit_code("ERROR_OUTPUT_UNREADABLE", reason=str(step["analysis_missing"]))
        return super()._read_failure()

    def _read_step(self) -> dict[str, Any] | None:
        """Return what the program found itself, or ``None`` when it did not write to the end."""
        step = self._read_json(STEP_FILENAME)
        return step if step is not None and step.get(STEP_END[0]) == STEP_END[1] else None

    def _tell_forces(self) -> dict[str, Any]:
        step = self._read_step() or {}
        given = self.node.inputs.parameters.get_dict().get("run", {})
        forces = {name: step.get(name) for name in NAMES}
        forces |= {
            "ps": step.get("trusted_ps", step.get("ps")),
            "true_error": step.get("true_error", {}),
            "distrust": step.get("distrust"),
            "has_density": "potential" in self.node.inputs and bool(given.get("npt_ps")),
        }
        return {"forces": forces}

    def _judge(self, cell: dict[str, Any]) -> ExitCode:
        if cell["forces"]["distrust"]:
            return self.exit_code("ERROR_DISTRUSTED", reason=cell["forces"]["distrust"])
        return super()._judge(cell)
