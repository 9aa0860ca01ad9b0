"""The potentials of a profile: find one, and say in words how it came to be and how far it is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.data.lookup import find_node
from aiida_finales.data.potential import PotentialData
from aiida_finales.operations.potential.learning import read_curve, read_learning
from aiida_finales.potential.description import DESCRIPTION
from aiida_finales.potential.domain import densities_of, mixtures_of, temperatures_of
from aiida_finales.potential.learning import Structure
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import find_chemical


def list_potentials() -> list[PotentialData]:
    """Return all potentials, the oldest first."""
    query = orm.QueryBuilder().append(PotentialData, tag="potential")
    return list(query.order_by({"potential": {"id": "asc"}}).all(flat=True))


def find_potential(word: str) -> PotentialData:
    """Return a potential by its identifier, or that of a folder: a node of the same, or a new one that is not stored.

    :raises SimulationInputError: when the potential of the folder was changed.
    :raises UnknownNodeError: when there is none.
    """
    folder = Path(word)
    if (folder / DESCRIPTION).is_file():
        return _find_same(PotentialData(folder))
    hint = f"accepted is a folder with {DESCRIPTION}, or the PK or UUID of a PotentialData"
    found: PotentialData = find_node(word, PotentialData, "potential", hint)
    return found


def _find_same(node: PotentialData) -> PotentialData:
    """Return the stored potential with the same description, which has the checksums of all weights, or the node."""
    same = {"attributes.data_sha256": node.base.attributes.get("data_sha256")}
    words = node.base.repository.get_object_content(DESCRIPTION, "r")
    known = orm.QueryBuilder().append(PotentialData, filters=same).all(flat=True)
    return next((item for item in known if item.base.repository.get_object_content(DESCRIPTION, "r") == words), node)


def describe_potential(node: PotentialData) -> Json:
    """Return what a list tells of a potential; errors are against its reference."""
    errors, trust = node.validation, node.trust
    curve = read_curve(node)
    own = next((point for point in curve if point["n_frames"] == node.n_frames), None)
    visited = None if own is None else own["relabelled"]["forces_meV_A"]
    return {
        "pk": node.pk,
        "uuid": node.uuid,
        "mixture": "; ".join(_name_mixture(parts) for parts in mixtures_of(node.domain)),
        "labels": node.statement,
        "n_frames": node.n_frames,
        "held_out_meV_A": errors["forces_meV_A"],
        "visited_meV_A": visited,
        "rounds": len(curve) or None,
        "held_out_energy_meV_atom": errors["energy_without_offset_meV_atom"],
        "temperature_K": list(temperatures_of(node.domain)),
        "density_g_cm3": list(densities_of(node.domain)),
        "spread_trusted_eV_A": trust["high"],
    }


def _name_mixture(parts: list[Json]) -> str:
    return ", ".join(f"{_name_chemical(part)} {part['mole_fraction']:.4g}" for part in parts)


def _name_chemical(part: Json) -> str:
    """Return the name that a chemical has here, or else the one that the input gave it."""
    known = find_chemical(part["smiles"])
    return str(part.get("name") or part["smiles"]) if known is None else known.name


def describe_learning(node: PotentialData) -> Json:
    """Return the rounds of a potential, and whose dynamics find which neighbours of the cations.

    :returns: ``rounds``, a line for each, and ``neighbours`` by partner and kind of dynamics.
    """
    learning = read_learning(node)
    rounds = [
        {
            "round": item.number,
            "n_frames": item.n_frames,
            "held_out_meV_A": item.held_out["forces_meV_A"],
            "visited_meV_A": None if item.visited is None else item.visited["forces_meV_A"],
            "distrust": None if item.visited is None else item.visited.get("distrust"),
            "trusted_ps": [walked.ps for walked in item.walked],
            "ended_by": sorted({walked.ended_by for walked in item.walked}),
        }
        for item in learning.rounds
    ]
    return {"rounds": rounds, "neighbours": _beside(learning.structures)}


def _beside(structures: tuple[Structure, ...]) -> list[dict[str, Any]]:
    """Return the neighbours by partner, one column for each kind of dynamics that tells them."""
    names = dict.fromkeys(name for item in structures for name in item.neighbours)
    return [{"of": name, **{item.kind: item.neighbours.get(name) for item in structures}} for name in names]
