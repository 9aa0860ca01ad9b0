"""Which program simulates, on what, and with how many threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

from aiida_finales.md.engine_openmm import choose_platform
from aiida_finales.md.gromacs import check_gromacs, has_gromacs
from aiida_finales.md.input import GROMACS_PLATFORMS, SimulationInput

#: variables that say how many threads a job may have, first come, first served: the user's own or that of AiiDA's
#: scheduler "direct", then those of SLURM, which need not bind a job to its cores
THREAD_VARIABLES = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


@dataclass(frozen=True)
class Choice:
    """An engine that works here.

    :param platform: of OpenMM; ``auto`` or ``CPU`` for GROMACS.
    """

    engine: str
    platform: str

    @property
    def openmm_platform(self) -> str:
        """What OpenMM uses for a minimisation."""
        return self.platform if self.engine == "openmm" else "CPU"

    def __str__(self) -> str:
        return f"engine {self.engine}, platform {self.platform}"


def choose_engine(given: SimulationInput, begun: str | None) -> Choice:
    """Return the engine that is asked for, or the fastest there is.

    :param begun: the engine of a run that is resumed: one run has one engine.
    :raises EngineError: when it does not work here.
    """
    engine = given.engine if begun is None else begun
    if engine == "gromacs":
        check_gromacs()
        return Choice("gromacs", given.platform)
    platform = choose_platform(given.platform)
    # measured on one core, GROMACS is three times as fast as OpenMM; on a GPU OpenMM needs no other program
    is_faster = platform != "CUDA" and given.platform in GROMACS_PLATFORMS and has_gromacs()
    return Choice("gromacs", given.platform) if engine == "auto" and is_faster else Choice("openmm", platform)


def count_threads(asked: int | None) -> int:
    """Return the number of threads on a CPU: those asked for, else what the environment grants, else all cores."""
    granted = (os.environ.get(name, "") for name in THREAD_VARIABLES)
    numbers = [int(text) for text in granted if text.isdecimal() and int(text) > 0]
    return asked or next(iter(numbers), len(os.sched_getaffinity(0)))
