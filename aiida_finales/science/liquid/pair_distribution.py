"""Who is near whom in a simulated liquid: radial distribution functions and coordination numbers.

A molecule is near a cation when its nearest donor atom is: a PF6 that touches with one fluorine counts once, whatever
its other five do. All molecules around one kind of cation share one cutoff, the first minimum of their number density
by the distance of the nearest donor. So the numbers by molecule, and by kind of donor atom, add up to the whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.science.array import Array
from aiida_finales.science.liquid.transport_summary import estimate

if TYPE_CHECKING:
    from MDAnalysis import Universe


#: elements that coordinate a cation, and to how many atoms they may be bonded: the sulfur of a sulfonyl does not
DONORS = {"O": 2, "N": 3, "F": 1, "Cl": 1, "S": 2}
#: largest distance, and width of a bin, in angstrom
RANGE, BIN = 10.0, 0.05
#: angstrom; atoms of one molecule that are nearer are bonded: C-S has 1.8, F...F and C...O over two bonds 2.2; hydrogen
#: has a limit of its own
BOND, HYDROGEN_BOND = 1.95, 1.2
#: angstrom; standard deviation of the smoothing with which a shell is looked for
SMOOTH = 0.1
#: a rise or fall is one when it is more than this share of the mean density, and more than so many times its noise
STEP, NOISE = 0.3, 4.0
#: what is within this share of the mean density above a minimum is as low: the bottom of a gap is flat, and noisy
FLAT = 0.1


@dataclass(frozen=True)
class PairDistribution:
    """The surroundings of one kind of atom, in terms of another kind.

    :param title: names of both, e.g. ``Li-O(EC, carbonyl)``.
    :param radius: middle of each bin, angstrom.
    :param g: local over mean density of the second kind, by distance.
    :param neighbours: mean number of the second kind within the outer edge of each bin.
    """

    title: str
    radius: Array
    g: Array
    neighbours: Array


@dataclass(frozen=True)
class Coordination:
    """The first shell of one kind of cation.

    :param peak: distance at which most molecules are, angstrom.
    :param cutoff: where the shell ends, for all molecules, angstrom.
    :param numbers: mean number of molecules within it by molecule and nearest donor, e.g. ``EC carbonyl O``.
    """

    peak: float
    cutoff: float
    numbers: dict[str, float]

    @property
    def total(self) -> float:
        """Mean number of molecules in the shell."""
        return sum(self.numbers.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class Surroundings:
    """What is around all cations of a stored trajectory.

    :param pairs: one distribution per cation and kind of donor atom.
    :param shells: the first shell of each cation by its label; without those that have none.
    :param formula: the elements in the box.
    :param volume: mean volume of the box, angstrom^3.
    """

    pairs: tuple[PairDistribution, ...]
    shells: dict[str, Coordination]
    formula: str
    volume: float


def read_surroundings(
    topology: Path,
    trajectory: Path,
    cations: Mapping[str, str],
    *,
    names: Mapping[str, str] | None = None,
    largest: float = RANGE,
) -> Surroundings:
    """Return what surrounds the cations of a stored trajectory.

    :param topology: PDB file with residue names and elements, in which molecules are whole.
    :param trajectory: DCD file with the box of each frame.
    :param cations: label of each cation by the name of its residue.
    :param names: of other molecules, by the names of their residues, which have three letters.
    :param largest: angstrom; at most half the box.
    :raises MissingExtraError: without MDAnalysis.
    :raises InputError: when a cation is not in the file, or the trajectory is empty.
    """
    universe = _open(topology, trajectory)
    boxes = np.array([frame.dimensions for frame in universe.trajectory])
    if not len(boxes):
        raise InputError(f"{trajectory.name} holds no frame")
    reach = min(largest, float(boxes[:, :3].min()) / 2)
    kinds = _name_donors(topology, names or {})
    pairs: list[PairDistribution] = []
    shells: dict[str, Coordination] = {}
    for residue, label in cations.items():
        centres = universe.select_atoms(f"resname {residue}")
        if not len(centres):
            raise InputError(
                f"no {residue} in {topology.name}; in it are {', '.join(sorted(set(universe.residues.resnames)))}"
            )
        for kind, atoms in _partners(universe, kinds, residue).items():
            pairs.append(_distribute(f"{label}-{kind.title}", centres, atoms, reach))
        shell = _find_shell(universe, kinds, residue, reach)
        if shell is not None:
            shells[label] = shell
    volume = float(np.mean([frame.volume for frame in universe.trajectory]))
    return Surroundings(tuple(pairs), shells, cell_formula(universe.atoms.elements), volume)


def cell_formula(elements: npt.ArrayLike) -> str:
    """Return the number of atoms of each element in the published form, e.g. ``Li16 O600 P16 F96 C600 H600``."""
    names = [str(element).capitalize() for element in np.asarray(elements)]
    return " ".join(f"{name}{names.count(name)}" for name in dict.fromkeys(names))


def _open(topology: Path, trajectory: Path | None = None) -> Universe:
    try:
        import MDAnalysis
    except ImportError as error:
        raise MissingExtraError("md", "radial distribution functions") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a change in its next version, and of what a PDB file need not have
        return MDAnalysis.Universe(str(topology), *([] if trajectory is None else [str(trajectory)]))


@dataclass(frozen=True, order=True)
class _Donor:
    """A kind of donor atom: the molecule, the element, and of carbon's oxygen the role."""

    residue: str
    element: str
    role: str
    molecule: str

    @property
    def title(self) -> str:
        return f"{self.element}({self.molecule}{', ' + self.role if self.role else ''})"

    @property
    def name(self) -> str:
        return " ".join(word for word in (self.molecule, self.role, self.element) if word)


def _name_donors(topology: Path, names: Mapping[str, str]) -> dict[int, _Donor]:
    """Return the kind of every donor atom by its index."""
    found = {}
    for molecule in _open(topology).residues:
        atoms = molecule.atoms
        elements = [str(element).capitalize() for element in atoms.elements]
        gaps = np.linalg.norm(atoms.positions[:, None] - atoms.positions, axis=-1)
        for index, element in enumerate(elements):
            if element in DONORS:
                bonded = _bonded(elements, gaps[index])
                if len(bonded) <= DONORS[element]:
                    role = _role_of(bonded) if element == "O" else ""
                    residue = str(molecule.resname)
                    found[int(atoms[index].index)] = _Donor(residue, element, role, names.get(residue, residue))
    return found


def _bonded(elements: Sequence[str], gaps: Array) -> list[str]:
    """Return the elements that an atom is bonded to, by its distances from all atoms of its molecule."""
    limits = {"H": HYDROGEN_BOND}
    return [other for other, gap in zip(elements, gaps, strict=True) if 0 < gap < limits.get(other, BOND)]


def _role_of(bonded: Sequence[str]) -> str:
    """Return the role of an oxygen atom by the atoms that it is bonded to; empty in an anion, water or an alcohol."""
    return {("C",): "carbonyl", ("C", "C"): "ether"}.get(tuple(bonded), "")


def _partners(universe: Any, kinds: Mapping[int, _Donor], cation: str) -> dict[_Donor, Any]:
    """Return the atoms of each kind of donor."""
    found: dict[_Donor, list[int]] = {}
    for index, kind in kinds.items():
        if kind.residue != cation:
            found.setdefault(kind, []).append(index)
    return {kind: universe.atoms[found[kind]] for kind in sorted(found)}


def _find_shell(universe: Any, kinds: Mapping[int, _Donor], cation: str, reach: float) -> Coordination | None:
    """Return the first shell of a cation, or ``None`` where nothing is nearer than chance would have it."""
    donors = [index for index, kind in kinds.items() if kind.residue != cation]
    if not donors:
        return None
    names = sorted({kinds[index].name for index in donors})
    centres, atoms = universe.select_atoms(f"resname {cation}"), universe.atoms[donors]
    counts = _count_nearest(centres, atoms, np.array([names.index(kinds[index].name) for index in donors]), reach)
    n_samples = len(centres) * len(universe.trajectory)
    density = atoms.n_residues / float(np.mean([frame.volume for frame in universe.trajectory]))
    limits = find_first_shell(counts.sum(axis=0), density, n_samples)
    if limits is None:
        return None
    numbers = counts[:, : limits[1] + 1].sum(axis=1) / n_samples
    present = {name: float(number) for name, number in zip(names, numbers, strict=True)}
    return Coordination(BIN * (limits[0] + 0.5), BIN * (limits[1] + 1), present)


def _count_nearest(centres: Any, atoms: Any, kinds: npt.NDArray[np.int64], reach: float) -> Array:
    """Return how many molecules have their nearest donor at a distance, by kind of that donor, in all frames.

    :param atoms: the donors, in the order of their molecules.
    :param kinds: number of the kind of each of them.
    :returns: kinds x bins.
    """
    from MDAnalysis.lib.distances import distance_array

    firsts = np.flatnonzero(np.diff(atoms.resindices, prepend=-1))
    molecule = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(atoms))))
    counts = np.zeros((int(kinds.max()) + 1, round(reach / BIN)))
    for frame in centres.universe.trajectory:
        for gaps in distance_array(centres.positions, atoms.positions, box=frame.dimensions):
            nearest = np.lexsort((gaps, molecule))[firsts]  # of each molecule the donor that is first by distance
            for kind in range(len(counts)):
                chosen = gaps[nearest[kinds[nearest] == kind]]
                counts[kind] += np.histogram(chosen, bins=counts.shape[1], range=(0.0, BIN * counts.shape[1]))[0]
    return counts


def find_first_shell(counts: npt.ArrayLike, density: float, n_samples: int) -> tuple[int, int] | None:
    """Return the bins of the first peak and of the end of the first shell; ``None`` where there is no shell.

    The end is where the number density has come down to its first minimum behind the peak. A rise or fall is real when
    it is larger than the noise of so many counts, so that no single empty bin ends a shell; where nothing rises again
    before the end of the distances, the minimum is the lowest of what is there.

    :param counts: particles by distance from all centres together, in bins of :data:`BIN` angstrom from 0.
    :param density: mean number of them per angstrom^3.
    :param n_samples: number of centres, over all frames.
    """
    found = np.asarray(counts, dtype=float)
    radius = BIN * (np.arange(len(found)) + 0.5)
    shells = np.asarray(4 * np.pi * radius**2 * BIN, dtype=np.float64)
    even: Array = n_samples * density * shells
    smooth = _smooth(found) / _smooth(even)
    # counts within the width of the smoothing, where the density is the mean
    expected = even * 2 * np.sqrt(np.pi) * SMOOTH / BIN
    step = np.maximum(STEP, NOISE / np.sqrt(expected))
    above = np.flatnonzero(smooth > 1 + step)
    if not len(above):
        return None
    peak = _walk(smooth, step, int(above[0]))
    low = _walk(-smooth, step, peak)
    return peak, peak + int(np.flatnonzero(smooth[peak:] <= smooth[low] + FLAT)[0])


def _smooth(values: Array) -> Array:
    reach = 4 * SMOOTH
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + BIN / 2, BIN) / SMOOTH) ** 2)
    return np.convolve(values, kernel / kernel.sum(), mode="same")


def _walk(height: Array, step: Array, start: int) -> int:
    """Return the top that is reached from a place before the way goes down by more than a step."""
    top = start
    for place in range(start, len(height)):
        if height[place] > height[top]:
            top = place
        elif height[place] < height[top] - step[place]:
            break
    return top


def average_coordination(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean over cells of :meth:`Coordination.to_dict` by cation, JSON-ready; of cells that have a shell.

    :param cells: shells by cation of each cell.
    """
    answer: dict[str, Any] = {}
    for cation in dict.fromkeys(name for cell in cells for name in cell):
        shells = [cell[cation] for cell in cells if cation in cell]
        names = dict.fromkeys(name for shell in shells for name in shell["numbers"])
        answer[cation] = {
            "peak_angstrom": estimate([shell["peak"] for shell in shells]).mean,
            "cutoff_angstrom": estimate([shell["cutoff"] for shell in shells]).mean,
            "total": _mean_of([shell["total"] for shell in shells]),
            "molecules": {name: _mean_of([shell["numbers"].get(name, 0.0) for shell in shells]) for name in names},
        }
    return answer


def _mean_of(numbers: Sequence[float]) -> dict[str, float | None]:
    found = estimate(numbers)
    return {"number": found.mean, "standard_error": found.standard_error}


def _distribute(title: str, centres: Any, others: Any, reach: float) -> PairDistribution:
    from MDAnalysis.analysis.rdf import InterRDF

    n_bins = round(reach / BIN)
    analysis = InterRDF(centres, others, nbins=n_bins, range=(0.0, reach), exclude_same="residue").run()
    counts = np.asarray(analysis.results.count) / (analysis.n_frames * len(centres))
    return PairDistribution(
        title, np.asarray(analysis.results.bins), np.asarray(analysis.results.rdf), np.cumsum(counts)
    )
