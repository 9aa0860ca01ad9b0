"""A training set: what a suggestion learned from, told as what differs from the set of the suggestion before.

A set for itself would have a link to each of its results: half a million for a thousand suggestions. So a suggestion
has the set before among its inputs, with a link to each result that is new, and creates the next set::

    results__… ─┐                    results__… ─┐
                ├─> suggest ─> training ─previous─┴─> suggest ─> training …

The links say what was added; a set says what was taken out, and names its size and a sum over all of it, so that a
reader knows when something is missing. A suggestion of a campaign that began before there were sets has links to all.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.manage import get_manager

from aiida_finales.data.nodes import Stored, pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData

#: labels of the links from the set before and to the next one, and what the labels of members begin with
PREVIOUS, TRAINING = "previous", "training"
RESULTS, TOLD_NOTHING = "results__", "told_nothing__"

_STEP = f"made.type = 'create' AND made.label = '{TRAINING}'"
_USE = f"used.type = 'input_calc' AND used.label = '{PREVIOUS}'"
#: calculations with the one before; of some and of all before them
_BEFORE = sa.text(
    "WITH RECURSIVE chain(calculation) AS ("  # noqa: S608 - constants are put in
    "SELECT id FROM db_dbnode WHERE id IN :calculations UNION "
    "SELECT made.input_id FROM chain "
    f"JOIN db_dblink AS used ON used.output_id = chain.calculation AND {_USE} "
    f"JOIN db_dblink AS made ON made.output_id = used.input_id AND {_STEP}) "
    "SELECT chain.calculation, made.input_id FROM chain "
    f"LEFT JOIN db_dblink AS used ON used.output_id = chain.calculation AND {_USE} "
    f"LEFT JOIN db_dblink AS made ON made.output_id = used.input_id AND {_STEP}"
).bindparams(sa.bindparam("calculations", expanding=True))
#: the same of some and of all after them
_AFTER = sa.text(
    "WITH RECURSIVE chain(calculation, before) AS ("  # noqa: S608 - constants are put in
    "SELECT id, CAST(NULL AS INTEGER) FROM db_dbnode WHERE id IN :calculations UNION "
    "SELECT used.output_id, chain.calculation FROM chain "
    f"JOIN db_dblink AS made ON made.input_id = chain.calculation AND {_STEP} "
    f"JOIN db_dblink AS used ON used.input_id = made.output_id AND {_USE}) "
    "SELECT calculation, before FROM chain"
).bindparams(sa.bindparam("calculations", expanding=True))
#: members of sets that calculations have links to
_MEMBERS = sa.text(
    # not the plain type: SQLite would begin with all links of that type
    "SELECT output_id, input_id FROM db_dblink WHERE output_id IN :calculations AND (type || '') = 'input_calc' "  # noqa: S608
    f"AND (label LIKE '{RESULTS}%' OR label LIKE '{TOLD_NOTHING}%')"
).bindparams(sa.bindparam("calculations", expanding=True))

#: what sets say, by the calculation that made them
_SETS = sa.text(
    "SELECT made.input_id, n.attributes FROM db_dblink AS made CROSS JOIN db_dbnode AS n "  # noqa: S608
    f"WHERE made.input_id IN :calculations AND (made.type || '') = 'create' AND made.label = '{TRAINING}' "
    "AND n.id = made.output_id"
).bindparams(sa.bindparam("calculations", expanding=True))


class TrainingSetData(orm.Data):
    """What one suggestion learned from; immutable, created by the calculation that suggested.

    :param rows: what the optimiser was told of results, as JSON with their UUID: of those that the set before has not,
        or of which it was told otherwise.
    :param removed: UUIDs of members of the set before that are none of this one.
    :param members: UUIDs of all members: results, and requests whose answers told nothing.
    :param n_results: how many of the members are results.
    """

    rows = Stored(list, "What the optimiser was told that is new.")
    removed = Stored(list, "UUIDs of members of the set before that are none of this one.")
    n_results = Stored(int, "Number of results in the set.")
    digest = Stored(str, "SHA-256 over the sorted UUIDs of all members.")

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        removed: Iterable[str],
        members: Iterable[str],
        n_results: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.base.attributes.set_many(
            {
                "rows": [dict(row) for row in rows],
                "removed": sorted(removed),
                "n_results": n_results,
                "digest": digest_of(members),
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not isinstance(self.base.attributes.get("rows", None), list):
            raise ValidationError("a training set is made by TrainingSetData(rows, removed, members, n_results)")
        return True


def digest_of(members: Iterable[str]) -> str:
    """Return the sum by which a set is known, given the UUIDs of its members."""
    return hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()


def find_training(calculation: orm.ProcessNode) -> TrainingSetData | None:
    """Return the set that a suggestion learned from; ``None`` where it has links to all, or made none."""
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": calculation.pk}, tag="calculation")
    query.append(TrainingSetData, with_incoming="calculation", edge_filters={"label": TRAINING})
    found: TrainingSetData | None = query.first(flat=True)
    return found


def count_results(calculation: orm.ProcessNode) -> int:
    """Return how many results a suggestion learned from."""
    training = find_training(calculation)
    if training is not None:
        return training.n_results
    links = calculation.base.links.get_incoming(link_label_filter=f"{RESULTS}%").all()
    return len(links)


def read_members(calculation: orm.ProcessNode) -> dict[str, int]:
    """Return the pks of all that a suggestion learned from by UUID: results, and requests that told nothing."""
    pk = pk_of(calculation)
    members = next(members for found, members in follow([pk]) if found == pk)
    query = orm.QueryBuilder().append(orm.Data, filters={"id": {"in": list(members)}}, project=["uuid", "id"])
    return dict(query.all()) if members else {}


def load_members(pks: Iterable[int]) -> tuple[list[ResultData], list[RequestData]]:
    """Return the results and the requests among members of a set, given by pk."""
    filters = {"id": {"in": list(pks)}}
    results, requests = (
        orm.QueryBuilder().append(kind, filters=filters).all(flat=True) if filters["id"]["in"] else []
        for kind in (ResultData, RequestData)
    )
    return results, requests


def follow(calculations: Collection[int]) -> Iterator[tuple[int, set[int]]]:
    """Yield the pks of calculations and of all before them, each with the pks of what it learned from.

    A set holds until the next one is asked for: a thousand of them would be half a million numbers.
    """
    before = dict(_ask(_BEFORE, calculations))
    added, removed = _read_added(before), _read_removed(before)
    after: dict[int | None, list[int]] = defaultdict(list)
    for calculation, previous in before.items():
        after[previous].append(calculation)
    waiting: list[tuple[int, set[int]]] = [(calculation, set()) for calculation in after[None]]
    while waiting:
        calculation, members = waiting.pop()
        members -= removed.get(calculation, set())
        members |= added.get(calculation, set())
        following = after.get(calculation, [])
        own = [set(members) for _ in following[1:]]  # two may go on from one set
        yield calculation, members
        waiting += zip(following, [*own, members], strict=False)


def find_learners(pk: int, uuid: str) -> list[int]:
    """Return the pks of the calculations that used a node, and of those that had it by the set before.

    :param uuid: of the same node.
    """
    query = orm.QueryBuilder().append(orm.Node, filters={"id": pk}, tag="node")
    found = set(query.append(orm.CalculationNode, with_incoming="node", project="id").all(flat=True))
    after: dict[int | None, list[int]] = defaultdict(list)
    for calculation, previous in _ask(_AFTER, found):
        after[previous].append(calculation)
    without = {maker for maker, removed in _read_sets([item for part in after.values() for item in part])
               if uuid in removed}  # fmt: skip
    waiting = list(found)
    while waiting:
        newest = set(after.get(waiting.pop(), ())) - without - found
        found |= newest
        waiting += newest
    return sorted(found)


def _read_added(calculations: Iterable[int]) -> dict[int, set[int]]:
    """Return what calculations have links to, as members, by their pk."""
    found: dict[int, set[int]] = defaultdict(set)
    for calculation, member in _ask(_MEMBERS, calculations):
        found[calculation].add(member)
    return found


def _read_removed(calculations: Iterable[int]) -> dict[int, set[int]]:
    """Return what is in the set before and not in that of a calculation, by its pk."""
    told = {maker: removed for maker, removed in _read_sets(calculations) if removed}
    uuids = {uuid for removed in told.values() for uuid in removed}
    query = orm.QueryBuilder().append(orm.Data, filters={"uuid": {"in": list(uuids)}}, project=["uuid", "id"])
    pks = dict(query.all()) if uuids else {}
    return {maker: {pks[uuid] for uuid in removed if uuid in pks} for maker, removed in told.items()}


def _read_sets(calculations: Iterable[int]) -> list[tuple[int, list[str]]]:
    """Return what the sets that calculations made say is removed, with the pks of these."""
    found = _ask(_SETS, calculations)
    told = [(maker, said if isinstance(said, dict) else json.loads(said)) for maker, said in found]
    return [(maker, attributes["removed"]) for maker, attributes in told]


def _ask(statement: sa.TextClause, calculations: Iterable[int]) -> list[tuple[int, Any]]:
    """Return pairs of pks; a statement of its own follows a chain of a thousand at once."""
    pks = list(calculations)
    session = get_manager().get_profile_storage().get_session()  # type: ignore[attr-defined]
    return [(row[0], row[1]) for row in session.execute(statement, {"calculations": pks})] if pks else []
