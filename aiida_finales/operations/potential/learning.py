"""How a potential was learned, how wrong it was where it went, and what it finds.

The rounds are read from the work chain that made it; beside what it finds stand the latest results of classical
dynamics, and of the reference itself, of its liquid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.results import is_usable
from aiida_finales.broker.state import read_state
from aiida_finales.calculations.learned_dynamics import AB_INITIO, LEARNED
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.result import ResultData
from aiida_finales.potential.domain import MIXTURE_MARGIN, temperatures_of
from aiida_finales.potential.learning import (
    KINDS,
    Learning,
    Round,
    Structure,
    Walked,
    chart_learning,
    name_neighbours,
    read_columns,
    read_pairs,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import Chart
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.science.array import Array

#: files that steps leave, and methods by whose dynamics structure is known, in the order of their kinds
LOG, PAIRS = "log.csv", "spread_error.csv"
METHODS = {
    "molecular_dynamics": KINDS[0],
    "molacular_dynamics": KINDS[0],  # as it was published
    AB_INITIO: KINDS[1],
    LEARNED: KINDS[2],
}
#: results of one liquid that are looked at, the latest first
MOST_RESULTS = 50


def read_learning(node: PotentialData) -> Learning:
    """Return all that the profile knows of how a potential came to be, and of what is found by it."""
    chains = list(_find_chains(node))
    rounds = [_read_round(point, chains) for point in read_curve(node)]
    # one that came as a folder knows its own errors only
    known = tuple(rounds) or (Round(0, node.n_frames, node.validation),)
    return Learning(node.statement, known, tuple(_find_structures(node)))


def read_curve(node: PotentialData) -> list[Json]:
    """Return the rounds by which a potential was learned; none of one that came as a folder, or is being learned."""
    chain = next(_find_chains(node), None)
    return [] if chain is None or "curve" not in chain.outputs else list(chain.outputs.curve.get_list())


def _find_chains(node: PotentialData) -> Iterator[orm.WorkChainNode]:
    """Yield the learning that made a potential, the one that this went on from, and so on."""
    made: orm.Data | None = node
    while made is not None:
        caller = None if made.creator is None else made.creator.caller
        if not isinstance(caller, orm.WorkChainNode):
            return
        yield caller
        made = caller.inputs.curve if "curve" in caller.inputs else None


def _read_round(point: Json, chains: Sequence[orm.WorkChainNode]) -> Round:
    number = int(point["round"])
    found = [_files_of(chain, f"round_{number:02d}_") for chain in chains]
    files = next((item for item in found if item), {})
    walked = tuple(
        Walked(name, dynamics["ps"], dynamics["ended_by"], read_columns(files.get((name, LOG), "")))
        for name, dynamics in point["dynamics"].items()
    )
    pairs = files.get(("evaluate", PAIRS))
    cloud = None if pairs is None else read_pairs(pairs)
    return Round(number, point["n_frames"], point["held_out"], point.get("relabelled"), walked, cloud)


def _files_of(chain: orm.WorkChainNode, prefix: str) -> dict[tuple[str, str], str]:
    """Return the small files of the steps of a round, by name of the step and of the file."""
    found: dict[tuple[str, str], str] = {}
    for link in chain.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all():
        if not link.link_label.startswith(prefix) or "retrieved" not in link.node.outputs:
            continue
        # the last attempt is the one that was taken
        name = link.link_label.removeprefix(prefix).rpartition("_")[0]
        repository = link.node.outputs.retrieved.base.repository
        names = set(repository.list_object_names()) & {LOG, PAIRS}
        found |= {(name, file): repository.get_object_content(file, "r") for file in names}
    return found


def _find_structures(node: PotentialData) -> Iterator[Structure]:
    """Yield the structure of a potential's liquid by each kind of dynamics, of the latest result that tells it.

    Of a potential of several liquids it is the first: beside each other stands what is of one.
    """
    found: dict[str, Structure] = {}
    for result in _results_of_liquid(node):
        kind = METHODS[result.method]
        if kind in found or (kind == KINDS[2] and _uuid_of_potential(result) != node.uuid):
            continue
        neighbours = name_neighbours(result.data.get("coordination") or {})
        pairs = tuple(_read_pairs(result.data))
        if (neighbours or pairs) and is_usable(read_state(pk_of(result))):
            found[kind] = Structure(kind, neighbours, pairs)
    yield from (found[kind] for kind in KINDS if kind in found)


def _results_of_liquid(node: PotentialData) -> Iterator[ResultData]:
    known = [(find_chemical(part["smiles"]), part["mole_fraction"]) for part in node.domain["formulation"]]
    # what nobody has a name for was never asked for
    shares = {"" if chemical is None else chemical.inchikey: share for chemical, share in known}
    low, high = temperatures_of(node.domain)
    columns = ["id", "attributes.fractions", "attributes.temperature"]
    filters = {"attributes.method": {"in": list(METHODS)}, "attributes.success": True}
    query = orm.QueryBuilder().append(ResultData, filters=filters, project=columns, tag="result")
    query.order_by({"result": {"id": "desc"}})
    near = [
        pk
        for pk, fractions, temperature in query.all()
        if fractions
        and set(fractions) == set(shares)
        and all(abs(fractions[key] - share) <= MIXTURE_MARGIN for key, share in shares.items())
        and (temperature is None or low <= temperature <= high)
    ]
    for pk in near[:MOST_RESULTS]:
        result: Any = orm.load_node(pk)
        yield result


def _read_pairs(data: Json) -> Iterator[tuple[str, Array, Array]]:
    table = data.get("RDF")
    told = table if isinstance(table, dict) else data
    if not isinstance(told.get("RDF"), list):
        return
    radius = np.asarray(told["radius"], dtype=float)
    for title, g in zip(told["pair_title"], told["RDF"], strict=True):
        yield title, radius, np.asarray(g, dtype=float)


def _uuid_of_potential(result: ResultData) -> str | None:
    """Return the UUID of the potential that gave the forces of a result."""
    run = result.data.get("simulation", {}).get("run") if result.method == LEARNED else None
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"uuid": run or ""}, tag="run")
    query.append(PotentialData, with_outgoing="run", project="uuid")
    found: str | None = query.first(flat=True)
    return found


def find_forces(result: ResultData) -> PotentialData | None:
    """Return the potential that gave the forces of a result; ``None`` where none did, or it is not here."""
    uuid = _uuid_of_potential(result)
    return None if uuid is None else orm.load_node(uuid)


def chart_forces(result: ResultData) -> list[Chart]:
    """Return the figures of the potential that gave the forces of a result."""
    node = find_forces(result)
    return [] if node is None else chart_learning(read_learning(node))
