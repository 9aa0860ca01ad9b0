"""Labels by density functional theory: CP2K as a command, its input written and its output read.

The output is read in both forms that CP2K has printed energies and forces in: ``ENERGY| ... [a.u.]`` with the table
``ATOMIC FORCES in [a.u.]`` up to 2024, ``[hartree]`` with lines ``FORCES|`` since.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from aiida_finales.exceptions import EngineError, NotConvergedError, explain_os_error
from aiida_finales.potential.dynamics import Evaluation
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

#: eV per hartree, and eV/angstrom per hartree/bohr (CODATA 2018)
HARTREE, HARTREE_PER_BOHR = 27.211386245988, 51.422067476
INPUT, OUTPUT = "label.inp", "label.out"
#: what the output of a run that came to its end has, and that of one that did not converge
ENDED, NOT_CONVERGED = "PROGRAM ENDED AT", "SCF run NOT converged"
_NUMBER = r"[-+]?\d+\.\d*(?:[ED][-+]?\d+)?"
_ENERGY = re.compile(rf"ENERGY\| Total FORCE_EVAL.*?\[(?:a\.u\.|hartree)\]:?\s+({_NUMBER})")
_VECTOR = rf"({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})"
#: a line of an atom since 2025, and before
_FORCES = (
    re.compile(rf"^\s*FORCES\|\s+(\d+)\s+{_VECTOR}", re.MULTILINE),
    re.compile(rf"^\s*(\d+)\s+\d+\s+[A-Z][a-z]?\s+{_VECTOR}", re.MULTILINE),
)
_BLOCKS = ("FORCES| Atomic forces", "ATOMIC FORCES in [a.u.]")


class Cp2kOptions(BaseModel):
    """What is computed; ``options`` of the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    functional: Literal["PBE", "BLYP"] = "PBE"
    basis: str = Field(default="DZVP-MOLOPT-SR-GTH", pattern=r"^[\w-]+$")
    #: Ry, of the finest grid of the density
    cutoff_Ry: float = Field(default=400.0, ge=100.0, le=3000.0)  # noqa: N815 - the key says its unit
    #: of the energy between two iterations, relative
    accuracy: float = Field(default=1e-6, gt=0.0, le=1e-3)

    @property
    def title(self) -> str:
        """What results call it."""
        return f"{self.functional}-D3 by CP2K ({self.basis}, {self.cutoff_Ry:g} Ry)"


class Cp2k:
    """CP2K as a command; a run begins from the wave function of the one before.

    :param command: of CP2K, for example ``srun cp2k.psmp``.
    """

    def __init__(self, command: str, options: Cp2kOptions, title: str) -> None:
        self.command, self.options, self.title = command, options, title
        self.folder = Path(tempfile.mkdtemp(prefix="finales-cp2k-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def evaluate(self, frame: Atoms) -> Evaluation:
        """Return energy and forces of a frame without charge.

        :raises NotConvergedError: when there are none.
        :raises EngineError: when the command cannot be run.
        """
        folder = self.folder
        (folder / INPUT).write_text(write_cp2k(frame, self.options), encoding="ascii")
        (folder / OUTPUT).unlink(missing_ok=True)
        words = [*shlex.split(self.command), "-i", INPUT, "-o", OUTPUT]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own
        except (FileNotFoundError, PermissionError) as error:
            raise EngineError(f"reference.command: {explain_os_error(error)}") from error
        found = (folder / OUTPUT).read_text(errors="replace") if (folder / OUTPUT).exists() else ""
        if done.returncode:
            said = [line for line in (*found.splitlines(), *done.stderr.splitlines()) if line.strip()]
            raise NotConvergedError(
                f"{self.title} ended with status {done.returncode}: {said[-1] if said else 'it said nothing'}"
            )
        try:
            return read_cp2k(found, len(frame))
        except ValueError as error:
            raise NotConvergedError(f"{self.title}: {error}") from error


def write_cp2k(frame: Atoms, options: Cp2kOptions) -> str:
    """Return the input of CP2K for energy and forces of a periodic frame without charge."""
    sides = " ".join(f"{side:.8f}" for side in frame.cell.lengths())
    rows = zip(frame.symbols, frame.positions, strict=True)
    atoms = "\n".join(f"      {symbol} {x:.8f} {y:.8f} {z:.8f}" for symbol, (x, y, z) in rows)
    kinds = "\n".join(
        f"    &KIND {symbol}\n      BASIS_SET {options.basis}\n      POTENTIAL GTH-{options.functional}\n    &END KIND"
        for symbol in sorted(set(frame.symbols))
    )
    return f"""&GLOBAL
  PROJECT label
  RUN_TYPE ENERGY_FORCE
  PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
  METHOD QUICKSTEP
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    CHARGE 0
    &MGRID
      CUTOFF {options.cutoff_Ry:g}
      REL_CUTOFF 50
    &END MGRID
    &QS
      EPS_DEFAULT 1.0E-12
    &END QS
    &SCF
      SCF_GUESS RESTART
      EPS_SCF {options.accuracy:.1E}
      MAX_SCF 30
      &OT
        MINIMIZER DIIS
        PRECONDITIONER FULL_SINGLE_INVERSE
      &END OT
      &OUTER_SCF
        EPS_SCF {options.accuracy:.1E}
        MAX_SCF 20
      &END OUTER_SCF
    &END SCF
    &XC
      &XC_FUNCTIONAL {options.functional}
      &END XC_FUNCTIONAL
      &VDW_POTENTIAL
        POTENTIAL_TYPE PAIR_POTENTIAL
        &PAIR_POTENTIAL
          TYPE DFTD3(BJ)
          PARAMETER_FILE_NAME dftd3.dat
          REFERENCE_FUNCTIONAL {options.functional}
        &END PAIR_POTENTIAL
      &END VDW_POTENTIAL
    &END XC
  &END DFT
  &PRINT
    &FORCES ON
    &END FORCES
  &END PRINT
  &SUBSYS
    &CELL
      ABC {sides}
    &END CELL
    &COORD
{atoms}
    &END COORD
{kinds}
  &END SUBSYS
&END FORCE_EVAL
"""


def read_cp2k(text: str, n_atoms: int) -> Evaluation:
    """Return energy and forces of an output.

    :param n_atoms: of the frame.
    :raises ValueError: when it has none, is not whole, or did not converge.
    """
    if NOT_CONVERGED in text:
        raise ValueError("the density did not converge")
    if ENDED not in text:
        raise ValueError(f"the output was cut off: {ENDED!r} is missing")
    energies = _ENERGY.findall(text)
    forces = _read_forces(text)
    if not energies or len(forces) != n_atoms:
        raise ValueError(f"the output has {len(energies)} energies and forces of {len(forces)} of {n_atoms} atoms")
    return Evaluation(_number(energies[-1]) * HARTREE, forces * HARTREE_PER_BOHR)


def _read_forces(text: str) -> Array:
    """Return the forces of the last block, hartree/bohr, in the order of the atoms."""
    for block, line in zip(_BLOCKS, _FORCES, strict=True):
        if block in text:
            rows = line.findall(text[text.rindex(block) :])
            numbered = {int(row[0]): [_number(word) for word in row[1:]] for row in rows}
            return np.array([numbered[number] for number in sorted(numbered)], dtype=float).reshape(-1, 3)
    return np.zeros((0, 3))


def _number(word: str) -> float:
    return float(word.replace("D", "E"))
