"""Read what a step of ``finales-mlp`` left: nothing counts unless it wrote to the end, each failure has its number."""

from __future__ import annotations

import json
from typing import Any

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_finales.calculations.potential import FRAMES
from aiida_finales.exceptions import (
    BlownUpError,
    DistrustError,
    DivergedError,
    EngineError,
    ForceFieldError,
    NotConvergedError,
    SimulationInputError,
    StorageError,
    WalltimeError,
)
from aiida_finales.potential.work import END_MARKER, OUTPUT

#: exit code by exit status of the program
PROGRAM_EXITS = {
    SimulationInputError.exit_status: "ERROR_BAD_INPUT",
    ForceFieldError.exit_status: "ERROR_UNKNOWN_ELEMENT",
    BlownUpError.exit_status: "ERROR_WRECKED",
    DivergedError.exit_status: "ERROR_DIVERGED",
    NotConvergedError.exit_status: "ERROR_NOT_CONVERGED",
    WalltimeError.exit_status: "ERROR_OUT_OF_WALLTIME",
    DistrustError.exit_status: "ERROR_DISTRUSTED",
    EngineError.exit_status: "ERROR_NO_ENGINE",
    StorageError.exit_status: "ERROR_DISK_FULL",
}


class PotentialParser(Parser):
    """Makes nodes of the output and the frames."""

    def parse(self, **_kwargs: Any) -> ExitCode:
        """Read the output of a step that is done, or else the program's verdict."""
        output = self._read_json(OUTPUT)
        if output is None or output.get(END_MARKER[0]) != END_MARKER[1]:
            return self._read_failure()
        name = FRAMES.get(self.node.inputs.step.value)
        if name is not None and name in self.retrieved.base.repository.list_object_names():
            with self.retrieved.base.repository.open(name, "rb") as stream:
                self.out("frames", orm.SinglefileData(stream, name))
        self.out("output", orm.Dict(output))
        if output.get("distrust"):
            return self._exit("ERROR_DISTRUSTED", output["distrust"])
        return ExitCode()

    def _read_failure(self) -> ExitCode:
        error = self._read_json("error.json")
        if error is not None:
            label = PROGRAM_EXITS.get(error.get("exit_status", 0), "ERROR_PROGRAM_FAILED")
            return self._exit(label, error.get("message", "no reason was given"))
        if self.node.exit_status:  # the scheduler knows why
            return ExitCode(self.node.exit_status, self.node.exit_message)
        return self.exit_codes.ERROR_NO_OUTPUT

    def _exit(self, label: str, reason: str) -> ExitCode:
        code: ExitCode = getattr(self.exit_codes, label)
        return code.format(reason=reason)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        if name not in self.retrieved.base.repository.list_object_names():
            return None
        try:
            document = json.loads(self.retrieved.base.repository.get_object_content(name, "r"))
        except json.JSONDecodeError:
            return None
        return document if isinstance(document, dict) else None
