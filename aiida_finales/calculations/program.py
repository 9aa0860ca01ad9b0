"""What the calculations of ``finales-md`` and of ``finales-mlp`` have in common: how a program says that it failed."""

from __future__ import annotations

from aiida.engine import CalcJobProcessSpec


def define_failures(spec: CalcJobProcessSpec) -> None:
    """Give a calculation the exit codes of what may happen to either program.

    300-399: the output is not there; 401-: the program says what happened; 450-: it ended, and its data are no good.
    """
    spec.exit_code(350, "ERROR_NO_OUTPUT", message="the program left no complete output (end marker missing)")
    spec.exit_code(401, "ERROR_BAD_INPUT", message="the program refuses the input: {reason}")
    spec.exit_code(403, "ERROR_NO_ENGINE", message="what the program needs is missing on the computer: {reason}")
    spec.exit_code(405, "ERROR_OUT_OF_WALLTIME", message="the wall time is over, a checkpoint is kept: {reason}")
    spec.exit_code(406, "ERROR_DISK_FULL", message="the computer's disk is full: {reason}")
    spec.exit_code(407, "ERROR_PROGRAM_FAILED", message="the program failed: {reason}")
