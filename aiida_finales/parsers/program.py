"""The verdict of a program of this package: for each of its exit statuses the exit code of the calculation."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from aiida.engine import CalcJob, ExitCode
from aiida.parsers import Parser

from aiida_finales.exceptions import (
    BlownUpError,
    EngineError,
    ForceFieldError,
    SimulationInputError,
    StorageError,
    WalltimeError,
)

#: exit code by exit status of the program
PROGRAM_EXITS = {
    SimulationInputError.exit_status: "ERROR_BAD_INPUT",
    ForceFieldError.exit_status: "ERROR_UNKNOWN_SPECIES",
    BlownUpError.exit_status: "ERROR_BLOWN_UP",
    WalltimeError.exit_status: "ERROR_OUT_OF_WALLTIME",
    EngineError.exit_status: "ERROR_NO_ENGINE",
    StorageError.exit_status: "ERROR_DISK_FULL",
}


class ProgramParser(Parser):
    """Nothing counts unless the program wrote to the end, and each failure has its number."""

    EXITS: ClassVar[dict[int, str]] = PROGRAM_EXITS

    def exit_code(self, label: str, **words: str) -> ExitCode:
        """Return an exit code of the calculation with the words of its message."""
        code: ExitCode = getattr(self.exit_codes, label)
        return code.format(**words)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object of the program, or ``None`` where there is none, or only a part."""
        if name not in self.retrieved.base.repository.list_object_names():
            return None
        try:
            document = json.loads(self.retrieved.base.repository.get_object_content(name, "r"))
        except json.JSONDecodeError:
            return None
        return document if isinstance(document, dict) else None

    def _read_failure(self) -> ExitCode | None:
        """Return what the program says of its failure, or ``None`` where it says nothing."""
        error = self._read_json("error.json")
        if error is None:
            return None
        label = self.EXITS.get(error.get("exit_status", 0), "ERROR_PROGRAM_FAILED")
        return self.exit_code(label, reason=error.get("message", "no reason was given"))

    def _explain_absence(self) -> ExitCode:
        """Return the scheduler's reason where it knows one: it stopped the program before that could say anything."""
        if self.node.exit_status == CalcJob.exit_codes.ERROR_SCHEDULER_OUT_OF_WALLTIME.status:
            return self.exit_code("ERROR_OUT_OF_WALLTIME", reason="the scheduler stopped the program")
        if self.node.exit_status:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return self.exit_code("ERROR_NO_OUTPUT")
