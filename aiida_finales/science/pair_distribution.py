"""Who is near whom in a simulated liquid: radial distribution functions and coordination numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError, MissingExtraError

if TYPE_CHECKING:
    from MDAnalysis import Universe

Array = npt.NDArray[np.float64]

#: elements that coordinate a cation
DONORS = ("O", "N", "F", "Cl", "S")
#: largest distance, and width of a bin, in angstrom
RANGE, BIN = 10.0, 0.05
#: angstrom: the first peak is within PEAK_WIDTH of where g first exceeds 1, its end within SHELL_WIDTH of the peak
PEAK_WIDTH, SHELL_WIDTH = 0.8, 2.0
#: bins over which a minimum is looked for: single bins of short runs are noisy
SMOOTH = 5


@dataclass(frozen=True)
class PairDistribution:
    """The surroundings of one kind of atom, in terms of another kind.

    :param title: names of both, e.g. ``Li-O(EC)``.
    :param radius: middle of each bin, angstrom.
    :param g: local over mean density of the second kind, by distance.
    :param neighbours: mean number of the second kind within the outer edge of each bin.
    """

    title: str
    radius: Array
    g: Array
    neighbours: Array

    def first_shell(self) -> tuple[float, float, float] | None:
        """Return the distance of the first peak, the end of the first shell (both angstrom), and how many are in it.

        ``None`` where nothing is nearer than chance would have it.
        """
        above = np.flatnonzero(self.g > 1)
        if not len(above):
            return None
        width = float(self.radius[1] - self.radius[0])
        start, n_peak = int(above[0]), round(PEAK_WIDTH / width)
        peak = start + int(np.argmax(self.g[start : start + n_peak + 1]))
        smooth = np.convolve(self.g, np.ones(SMOOTH) / SMOOTH, mode="same")
        end = peak + int(np.argmin(smooth[peak : peak + round(SHELL_WIDTH / width) + 1]))
        return float(self.radius[peak]), float(self.radius[end]), float(self.neighbours[end])


def read_pair_distributions(
    topology: Path, trajectory: Path, cations: Mapping[str, str], *, largest: float = RANGE
) -> tuple[tuple[PairDistribution, ...], str, float]:
    """Return what surrounds the cations of a stored trajectory.

    :param topology: PDB file with residue names and elements.
    :param trajectory: DCD file with the box of each frame.
    :param cations: label of each cation by the name of its residue.
    :param largest: angstrom; at most half the box.
    :returns: one distribution per cation and kind of donor atom; the elements in the box; its mean volume, angstrom^3.
    :raises MissingExtraError: without MDAnalysis.
    :raises InputError: when a cation is not in the file, or the trajectory is empty.
    """
    universe = _open(topology, trajectory)
    sides = [frame.dimensions[:3].min() for frame in universe.trajectory]
    if not sides:
        raise InputError(f"{trajectory.name} holds no frame")
    reach = min(largest, float(min(sides)) / 2)
    found = []
    for residue, label in cations.items():
        centres = universe.select_atoms(f"resname {residue}")
        if not len(centres):
            raise InputError(
                f"no {residue} in {topology.name}; in it are {', '.join(sorted(set(universe.residues.resnames)))}"
            )
        for title, selection in _partners(universe, residue).items():
            found.append(_distribute(f"{label}-{title}", centres, universe.select_atoms(selection), reach))
    volumes = [float(frame.volume) for frame in universe.trajectory]
    return tuple(found), cell_formula(universe.atoms.elements), float(np.mean(volumes))


def cell_formula(elements: npt.ArrayLike) -> str:
    """Return the number of atoms of each element in the published form, e.g. ``Li16 O600 P16 F96 C600 H600``."""
    names = [str(element).capitalize() for element in np.asarray(elements)]
    return " ".join(f"{name}{names.count(name)}" for name in dict.fromkeys(names))


def _open(topology: Path, trajectory: Path) -> Universe:
    try:
        import MDAnalysis
    except ImportError as error:
        raise MissingExtraError("md", "radial distribution functions") from error
    return MDAnalysis.Universe(str(topology), str(trajectory))


def _partners(universe: Any, cation: str) -> dict[str, str]:
    """Return the selection of each kind of donor atom: element and residue."""
    atoms = universe.select_atoms(f"element {' '.join(DONORS)} and not resname {cation}")
    kinds = sorted({(str(atom.resname), str(atom.element)) for atom in atoms})
    return {f"{element}({residue})": f"resname {residue} and element {element}" for residue, element in kinds}


def _distribute(title: str, centres: Any, others: Any, reach: float) -> PairDistribution:
    from MDAnalysis.analysis.rdf import InterRDF

    n_bins = round(reach / BIN)
    analysis = InterRDF(centres, others, nbins=n_bins, range=(0.0, reach), exclude_same="residue").run()
    counts = np.asarray(analysis.results.count) / (analysis.n_frames * len(centres))
    return PairDistribution(
        title, np.asarray(analysis.results.bins), np.asarray(analysis.results.rdf), np.cumsum(counts)
    )
