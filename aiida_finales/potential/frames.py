"""Frames in files that ASE and others read (extended XYZ), and which of them are no liquid any more.

Molecules are whole and not wrapped into the box, atoms in the order of ``finales-md``.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aiida_finales.exceptions import BlownUpError, MissingExtraError, SimulationInputError, explain_os_error
from aiida_finales.md.cell import GRAM_PER_CM3, Cell
from aiida_finales.md.storage import replace_file
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

#: keys of a labelled frame: eV, eV/angstrom
ENERGY, FORCES = "reference_energy", "reference_forces"
#: characters of what a reader says of a file
LONGEST_REASON = 200
#: K, of the dynamics that it is from
TEMPERATURE = "temperature_K"
#: what labelled it, as results call it
REFERENCE = "reference"
#: largest calibrated spread of an atom, eV/angstrom
SPREAD = "spread"
#: eV/angstrom and eV per atom; beyond these no frame of a liquid is
LARGEST_FORCE, ENERGY_RANGE = 30.0, 0.1
#: sums of covalent radii: what is nearer is one atom in another, for bonded atoms, for cations, for all others.
#: At 0.75 GFN1-xTB has Li, Na, K or Ca beside the oxygen of formaldehyde 0.2 to 0.4 eV above its minimum, some 10 kT;
#: at 0.85 it is 0.02 eV, where the reference's own dynamics go all the time
BONDED, IONIC, APART = 0.7, 0.75, 1.15
#: longest bond, in sums of covalent radii
STRETCHED = 1.5
#: angstrom; in no molecule of an electrolyte are two hydrogen atoms bonded, so that this needs no list of bonds
HYDROGENS = 1.2
#: angstrom by which the edges of a cubic box may differ
CUBIC = 1e-3
#: all others are metals, whose ions come nearer than that
NON_METALS = ("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "I")
#: parts of a box, below which two positions are one
FINENESS = 10_000


def need_ase() -> None:
    """Check that ASE is installed.

    :raises MissingExtraError: when it is not.
    """
    try:
        import ase  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingExtraError("mlp", "machine-learned potentials") from error


def read_frames(path: Path) -> list[Atoms]:
    """Return the frames of a file.

    :raises SimulationInputError: when it cannot be read, holds none, or one has no rectangular box.
    """
    need_ase()
    from ase import io as ase_io

    try:
        frames = ase_io.read(str(path), ":", format="extxyz")
    except Exception as error:  # whatever a file of others makes a reader stumble over
        if isinstance(error, OSError) and error.errno is not None:
            raise SimulationInputError(explain_os_error(error, path)) from error
        reason = (str(error).splitlines() or [""])[0][:LONGEST_REASON]
        words = f"{path} cannot be read as frames in extended XYZ: {type(error).__name__}: {reason}"
        raise SimulationInputError(f"{words}; of other forms 'ase convert' makes one") from error
    if not frames:
        raise SimulationInputError(f"{path} holds no frame; accepted is extended XYZ")
    for index, frame in enumerate(frames):
        if not (frame.pbc.all() and frame.cell.orthorhombic and frame.cell.volume > 0):
            raise SimulationInputError(f"{path}, frame {index}: accepted is a rectangular box, periodic on all sides")
        if not np.isfinite(frame.positions).all():
            raise SimulationInputError(f"{path}, frame {index}: a position is no number")
        for name in (TEMPERATURE, SPREAD):
            if not _is_number(frame.info.get(name, 0.0)):
                words = f"{name} is {frame.info[name]!r}, accepted is a number of 0 or more"
                raise SimulationInputError(f"{path}, frame {index}: {words}")
    return [_bare(frame) for frame in frames]


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool) and 0 <= float(given) < math.inf


def _bare(frame: Atoms) -> Atoms:
    """Return atoms, box, labels and notes of a frame.

    What others keep beside would make another liquid of it: fixed atoms have no forces, and charges and spins of atoms
    are summed up to those of the cell by whoever labels.
    """
    from ase import Atoms

    found = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True, info=frame.info)
    if FORCES in frame.arrays:
        found.arrays[FORCES] = frame.arrays[FORCES]
    return found


def read_labelled(path: Path) -> list[Atoms]:
    """Return labelled frames.

    :raises SimulationInputError: when one has no label, or one that is no number for each atom, or they are labelled by
        different methods.
    """
    frames = read_frames(path)
    bare = [index for index, frame in enumerate(frames) if ENERGY not in frame.info or FORCES not in frame.arrays]
    if bare:
        words = (
            f"accepted are {ENERGY} (eV) and {FORCES} (eV/Å), as 'finales-mlp label' writes them: give those of others "
            "these names"
        )
        raise SimulationInputError(f"{path}: {len(bare)} of {len(frames)} frames have no label; {words}")
    wrong = [index for index, frame in enumerate(frames) if not _has_numbers(frame)]
    if wrong:
        accepted = f"{ENERGY}, a number, and {FORCES}, three for each atom: leave these frames out, or label them again"
        raise SimulationInputError(f"{path}, frames {wrong}: a label is no number; accepted are {accepted}")
    nameless = [index for index, frame in enumerate(frames) if not str(frame.info.get(REFERENCE, "")).strip()]
    if nameless:
        accepted = f'{REFERENCE}="NAME" in the comment line of each frame'
        raise SimulationInputError(
            f"{path}, frames {nameless}: by which method they are labelled is not said; {accepted}"
        )
    methods = sorted({str(frame.info[REFERENCE]) for frame in frames})
    if len(methods) > 1:
        raise SimulationInputError(f"{path}: labels by {', '.join(methods)}, accepted is one method")
    return frames


def _has_numbers(frame: Atoms) -> bool:
    """Return whether the labels of a frame are numbers, one and three for each atom."""
    try:
        energy, forces = (np.asarray(label, dtype=float) for label in (frame.info[ENERGY], frame.arrays[FORCES]))
    except (TypeError, ValueError):
        return False
    return energy.ndim == 0 and forces.shape == (len(frame), 3) and bool(np.isfinite([energy, *forces.flat]).all())


def to_bytes(frame: Atoms) -> bytes:
    """Return a frame as extended XYZ."""
    from ase.io.extxyz import write_extxyz

    text = io.StringIO()
    write_extxyz(text, [frame], write_results=False)
    return text.getvalue().encode()


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write a file of frames at once.

    :raises StorageError: when it cannot be written.
    """
    replace_file(path, b"".join(to_bytes(frame) for frame in frames))


def fingerprint(frame: Atoms) -> str:
    """Return what tells a frame from others, whatever its labels, its place, and the images of its atoms."""
    sides = np.diag(frame.cell.array)
    places = np.round((frame.positions - frame.positions[:1]) / sides * FINENESS) % FINENESS
    words = np.vstack([np.round(sides, 3), places]) + 0.0  # no -0
    return hashlib.sha256(words.astype("<f8").tobytes()).hexdigest()[:16]


def density_of(frame: Atoms) -> float:
    """Return the density, g/cm³."""
    return float(frame.get_masses().sum() / (frame.cell.volume * 1e-3) * GRAM_PER_CM3)


def demand_content(frames: Sequence[Atoms], cell: Cell, path: Path, *others: Cell) -> None:
    """Check that frames are of a mixture, or of one of several, and make their molecules whole.

    Others wrap atoms into the box, which tears molecules apart for whoever follows their bonds.

    :raises SimulationInputError: when a frame has other atoms, or in another order, or its box is not cubic.
    """
    cells = (cell, *others)
    wanted = {item.elements: bonds_of(item) for item in cells}
    for index, frame in enumerate(frames):
        bonds = wanted.get(tuple(frame.get_chemical_symbols()))
        if bonds is None:
            accepted = ", or ".join(_describe_content(item) for item in cells)
            raise SimulationInputError(
                f"{path}, frame {index}: {frame.get_chemical_formula()} was given; accepted are the {accepted}"
            )
        if np.ptp(np.diag(frame.cell.array)) > CUBIC:
            raise SimulationInputError(f"{path}, frame {index}: accepted is a cubic box, as finales-md has it")
        _make_whole(frame, bonds)


def _make_whole(frame: Atoms, bonds: NDArray[np.int64]) -> None:
    """Move atoms to the images that are next to those that they are bonded to; a frame of whole molecules stays."""
    sides, positions = np.diag(frame.cell.array), frame.positions
    if not np.round((positions[bonds[:, 0]] - positions[bonds[:, 1]]) / sides).any():
        return
    partners: dict[int, list[int]] = {}
    for one, other in (*bonds.tolist(), *bonds[:, ::-1].tolist()):
        partners.setdefault(one, []).append(other)
    left = set(partners)
    while left:
        reached = [min(left)]
        left.discard(reached[0])
        for one in reached:
            for other in left.intersection(partners[one]):
                positions[other] += np.round((positions[one] - positions[other]) / sides) * sides
                left.discard(other)
                reached.append(other)


def _describe_content(cell: Cell) -> str:
    counts = ", ".join(f"{count} {item.name}" for item, count in zip(cell.species, cell.counts, strict=True))
    return f"{cell.n_atoms} atoms of the input, molecule by molecule: {counts}"


def bonds_of(cell: Cell) -> NDArray[np.int64]:
    """Return the pairs of bonded atoms, n x 2."""
    pairs = [
        (start + first, start + second)
        for start, item in zip(cell.starts[:-1].tolist(), cell.molecules, strict=True)
        for first, second, *_ in item.terms.bonds
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def find_defect(frame: Atoms, bonds: NDArray[np.int64] | None = None) -> str | None:
    """Return why a frame is not physical, or ``None``: what is nearer than atoms can be, a bond that is torn.

    :param bonds: pairs of bonded atoms; without them only what no pair of atoms of these elements may be is found.
    """
    gaps = distances(frame.positions, np.diag(frame.cell.array))
    np.fill_diagonal(gaps, np.inf)
    least, sums = _least_distances(frame, bonds)
    first, second = np.unravel_index(np.argmin(gaps - least), gaps.shape)
    symbols = frame.get_chemical_symbols()
    if gaps[first, second] < least[first, second]:
        pair = f"{symbols[first]}{first}-{symbols[second]}{second}"
        return f"{pair} {gaps[first, second]:.2f} Å apart, at least {least[first, second]:.2f} Å are accepted"
    if bonds is not None and len(bonds):
        stretch = gaps[bonds[:, 0], bonds[:, 1]] / sums[bonds[:, 0], bonds[:, 1]]
        worst = int(np.argmax(stretch))
        if stretch[worst] > STRETCHED:
            first, second = bonds[worst]
            return f"the bond {symbols[first]}{first}-{symbols[second]}{second} is torn: {gaps[first, second]:.2f} Å"
    return None


def distances(positions: Array, sides: Array) -> Array:
    """Return the distance of all pairs of atoms to the nearest image, angstrom."""
    gaps = positions[:, None] - positions
    gaps -= np.round(gaps / sides) * sides
    found: Array = np.linalg.norm(gaps, axis=-1)
    return found


def _least_distances(frame: Atoms, bonds: NDArray[np.int64] | None) -> tuple[Array, Array]:
    """Return the least distance and the sum of covalent radii of all pairs of atoms."""
    from ase.data import covalent_radii

    radii = covalent_radii[frame.numbers]
    sums = radii[:, None] + radii
    symbols = np.array(frame.get_chemical_symbols())
    is_cation, is_hydrogen = ~np.isin(symbols, NON_METALS), symbols == "H"
    factors = np.full(sums.shape, BONDED if bonds is None else APART)
    factors[is_cation[:, None] | is_cation] = IONIC
    least = factors * sums
    if bonds is not None and len(bonds):
        for one, other in (bonds.T, bonds.T[::-1]):
            least[one, other] = BONDED * sums[one, other]
    both = is_hydrogen[:, None] & is_hydrogen
    least[both] = np.maximum(least[both], HYDROGENS)
    return least, sums


def sort_out(frames: Sequence[Atoms]) -> tuple[list[Atoms], dict[int, str]]:
    """Return the labelled frames that can be learned from, and why others cannot, by their number.

    :raises BlownUpError: when none can.
    """
    energies = np.array([frame.info[ENERGY] / len(frame) for frame in frames])
    formulas = [frame.get_chemical_formula() for frame in frames]
    kept: list[Atoms] = []
    refused: dict[int, str] = {}
    for index, frame in enumerate(frames):
        middle = np.median([value for value, other in zip(energies, formulas, strict=True) if other == formulas[index]])
        force = float(np.abs(frame.arrays[FORCES]).max())
        if not force < LARGEST_FORCE:
            refused[index] = f"a force of {force:.3g} eV/Å, at most {LARGEST_FORCE:g} are accepted"
        elif not abs(energies[index] - middle) < ENERGY_RANGE:
            refused[index] = f"an energy {energies[index] - middle:+.3g} eV/atom from the middle of the others"
        else:
            kept.append(frame)
    if not kept:
        raise BlownUpError(f"none of {len(frames)} frames can be learned from: {next(iter(refused.values()))}")
    return kept, refused
