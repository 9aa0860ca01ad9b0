"""A trained potential: members that vote, what they add to, and how far their agreement is to be trusted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import ForceFieldError, SimulationInputError
from aiida_finales.md.cell import Cell
from aiida_finales.md.species import digest_terms
from aiida_finales.potential.classical import Baseline
from aiida_finales.potential.description import read_description
from aiida_finales.potential.dynamics import Evaluation
from aiida_finales.potential.networks import ANGSTROM, build, choose_device, load_tensors, make_graph
from aiida_finales.potential.work import sha256_of
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms


def demand_liquid(cell: Cell, description: dict[str, Any]) -> None:
    """Check that a potential learned the elements and the force field of a liquid.

    :raises ForceFieldError: when it did not.
    """
    demand_elements(set(cell.elements), description)
    _demand_force_field(cell, description["baseline"])


def demand_elements(elements: set[str], description: dict[str, Any]) -> None:
    """Check that a potential knows elements.

    :raises ForceFieldError: when it does not.
    """
    unknown = sorted(elements - set(description["elements"]))
    if unknown:
        known = ", ".join(description["elements"])
        raise ForceFieldError(
            f"{', '.join(unknown)} was given; the potential learned {known}, and says nothing about other elements"
        )


class Network:
    """A member: a network, its scale, and the energy of lone atoms.

    :param words: ``network``, ``elements``, ``shifts`` (eV) and ``scale``.
    """

    def __init__(self, module: Any, words: dict[str, Any], device: str) -> None:
        from ase.data import atomic_numbers

        self.module, self.words, self.device = module.to(device), words, device
        self.cutoff = words["network"]["cutoff_nm"] * ANGSTROM
        self.shifts = {atomic_numbers[name]: value for name, value in words["shifts"].items()}

    def predict(self, graphs: Any) -> tuple[Any, Any]:
        """Return the energy and the forces of graphs as tensors, in units of the scale."""
        found = self.module.predict(graphs, ["energy", "forces"])
        return found["energy"], found["forces"]

    def evaluate(self, frame: Atoms, graph: Any) -> tuple[float, Array]:
        """Return energy (eV) and forces (eV/angstrom) beyond the baseline."""
        energy, forces = self.predict(graph)
        scale = self.words["scale"]
        lone = sum(self.shifts[number] for number in frame.numbers.tolist())
        return float(energy.detach()) * scale + lone, forces.detach().cpu().numpy().astype(float) * scale


class Committee:
    """All members of a potential.

    :param folder: of the potential.
    :param cell: what it is used for.
    :param device: ``auto``, ``cpu`` or ``cuda``.
    :raises ForceFieldError: when an element was not learned, or the baseline has another force field.
    :raises SimulationInputError: when a file is none, or not the one that was trained.
    """

    def __init__(self, folder: Path, cell: Cell, device: str) -> None:
        self.words = read_description(folder)
        demand_liquid(cell, self.words)
        self.device = choose_device(device)
        modules = [load_member(folder, entry, self.words) for entry in self.words["members"]]
        self.members = [Network(module, self.words, self.device) for module in modules]
        self.baseline = Baseline([cell], self.words["baseline"])
        # two teachers are two methods: the weights tell them apart
        weights = hashlib.sha256("".join(str(entry["sha256"]) for entry in self.words["members"]).encode()).hexdigest()
        self.title = f"potential {weights[:8]} of {self.words['reference']}"

    @property
    def stop_spread(self) -> float:
        """The spread (eV/angstrom) from which on the committee is not trusted."""
        return float(self.words["trust"]["high"])

    def evaluate(self, frame: Atoms) -> Evaluation:
        """Return the mean of the members, and their calibrated spread."""
        graph = make_graph(frame, self.members[0].cutoff, self.device)
        votes = [member.evaluate(frame, graph) for member in self.members]
        energy, forces = self.baseline.evaluate(frame)
        mean = np.mean([vote[1] for vote in votes], axis=0)
        spread = spread_of(np.array([vote[1] for vote in votes])) * self.words["calibration"]
        return Evaluation(energy + float(np.mean([vote[0] for vote in votes])), forces + mean, spread)


def spread_of(forces: Array) -> Array:
    """Return by how much members differ, for every atom.

    :param forces: members x atoms x 3.
    """
    found: Array = np.sqrt(forces.var(axis=0, ddof=1).sum(axis=-1))
    return found


def load_member(folder: Path, entry: dict[str, Any], words: dict[str, Any]) -> Any:
    """Return the network of a member.

    :param entry: ``file`` and ``sha256``.
    :raises SimulationInputError: when the file is another one, or holds other weights than the description says.
    """
    path = folder / str(entry["file"])
    if not path.is_file():
        raise SimulationInputError(f"{path} is missing; it is a member of the potential")
    if sha256_of(path) != entry["sha256"]:
        raise SimulationInputError(f"{path} is not the file that was trained: its SHA-256 differs")
    network = build(words["network"], words["elements"], seed=0)
    fill(network, load_tensors(path), path)
    network.eval()
    return network


def fill(network: Any, weights: Any, path: Path) -> None:
    """Put weights into a network.

    :raises SimulationInputError: when they are those of another one.
    """
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise SimulationInputError(f"{path} holds the weights of another network: {str(error)[:200]}") from error


def _demand_force_field(cell: Cell, baseline: dict[str, Any]) -> None:
    if baseline["kind"] == "none":
        return
    # of a mixture of fewer species only those that are there can be compared
    known = baseline.get("species_sha256", {})
    for item in cell.species:
        if known.get(item.name) != digest_terms([item]):
            raise ForceFieldError(
                f"{item.name} ({item.smiles}): the potential learned what is missing in the force fields of "
                f"{', '.join(known)}; this one it does not know"
            )
