"""Read what a step of ``finales-mlp`` left: nothing counts unless it wrote to the end, each failure has its number."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_finales.calculations.potential import FRAMES
from aiida_finales.exceptions import BlownUpError, DistrustError, DivergedError, ForceFieldError, NotConvergedError
from aiida_finales.parsers.program import PROGRAM_EXITS, ProgramParser
from aiida_finales.potential.work import END_MARKER, OUTPUT


class PotentialParser(ProgramParser):
    """Makes nodes of the output and the frames."""

    EXITS = PROGRAM_EXITS | {
        ForceFieldError.exit_status: "ERROR_UNKNOWN_ELEMENT",
        BlownUpError.exit_status: "ERROR_WRECKED",
        DivergedError.exit_status: "ERROR_DIVERGED",
        NotConvergedError.exit_status: "ERROR_NOT_CONVERGED",
        DistrustError.exit_status: "ERROR_DISTRUSTED",
    }

    def parse(self, **_kwargs: Any) -> ExitCode:
        """Read the output of a step that is done, or else the program's verdict."""
        output = self._read_json(OUTPUT)
        if output is None or output.get(END_MARKER[0]) != END_MARKER[1]:
            return self._read_failure() or self._explain_absence()
        name = FRAMES.get(self.node.inputs.step.value)
        if name is not None and name in self.retrieved.base.repository.list_object_names():
            with self.retrieved.base.repository.open(name, "rb") as stream:
                self.out("frames", orm.SinglefileData(stream, name))
        self.out("output", orm.Dict(output))
        if output.get("distrust"):
            return self.exit_code("ERROR_DISTRUSTED", reason=output["distrust"])
        return ExitCode()
