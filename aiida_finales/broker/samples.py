"""Samples: where they are, whether they can be trusted, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isclose
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.results import delete_result, is_usable, mark_doubtful
from aiida_finales.broker.sight import clause
from aiida_finales.broker.state import STATE, State, change_state, read_state
from aiida_finales.broker.status import SampleStatus, check_sample_change
from aiida_finales.data.active import MADE_HERE
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData, check_location, find_samples, identities_used
from aiida_finales.exceptions import InputError, StatusError, UnknownNodeError
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp, utc_text
from aiida_finales.schemas.names import check_name

_PLACES_SQLITE = """
SELECT json_extract(n.extras, '$.finales.location.address'), json_extract(n.attributes, '$.kind'),
       json_extract(n.extras, '$.finales.status'), count(*)
FROM db_dbnode AS n WHERE n.node_type = :type AND json_type(n.extras, '$.finales_imported') IS NULL {seen}
GROUP BY 1, 2, 3
"""
_PLACES_POSTGRESQL = """
SELECT n.extras #>> '{{finales,location,address}}', n.attributes ->> 'kind', n.extras #>> '{{finales,status}}', count(*)
FROM db_dbnode AS n WHERE n.node_type = :type AND NOT jsonb_exists(n.extras, 'finales_imported') {seen}
GROUP BY 1, 2, 3
"""


def register_sample(
    identity: str, kind: str, location: Json, content: Json | None = None, *, simulated: bool = False
) -> SampleData:
    """Register a sample that no calculation made: a stock solution, or what was made elsewhere.

    :returns: the one that is registered already when it is the same.
    :raises InputError: when another sample has this identity.
    """
    node = SampleData(identity, kind, location=location, content=content, simulated=simulated)
    known = find_samples([node.identity], only_here=True).get(node.identity)
    if known is None:
        check_name(node.identity, "identity of a sample")
        return node.store()
    if known.kind != node.kind or not _is_same_mixture(known.fractions, node.fractions):
        raise InputError(
            f"identity {identity!r} is that of another {known.kind} (<{known.pk}>, made {utc_text(known.ctime)}): "
            "accepted is one that was never used"
        )
    return known


def _is_same_mixture(first: dict[str, float], second: dict[str, float]) -> bool:
    """Return whether two mixtures agree; stored floats are rounded, and what has no share may be left out."""
    return all(isclose(first.get(key, 0.0), second.get(key, 0.0)) for key in first | second)


@dataclass(frozen=True)
class SampleSelection:
    """Which samples of this profile are wanted; none that came with an archive is.

    :param address: only those that are there now.
    """

    kind: str | None = None
    status: str | None = None
    address: str | None = None

    def ask(self, *columns: str) -> orm.QueryBuilder:
        """Return a query for columns of them, which are tagged ``sample``."""
        wanted = {
            "attributes.kind": self.kind,
            f"extras.{STATE}.status": self.status,
            f"extras.{STATE}.location.address": self.address,
        }
        filters: dict[str, Any] = {**MADE_HERE, **{key: value for key, value in wanted.items() if value is not None}}
        return orm.QueryBuilder().append(
            SampleData, subclassing=False, filters=filters, project=list(columns), tag="sample"
        )


def list_samples(
    kind: str | None = None, status: str | None = None, address: str | None = None
) -> list[tuple[SampleData, State]]:
    """Return the samples of this profile with their current state, oldest first; see :class:`SampleSelection`."""
    query = SampleSelection(kind, status, address).ask("*", f"extras.{STATE}").order_by({"sample": {"id": "asc"}})
    return [(node, dict(state)) for node, state in query.all()]


def count_places() -> list[tuple[str, str, str, int]]:
    """Return address, kind and status of the samples of this profile, with how many there are; one statement."""
    with get_manager().get_profile_storage().transaction() as session:
        is_postgresql = session.get_bind().dialect.name == "postgresql"
        seen, hidden = clause(session)
        words = _PLACES_POSTGRESQL if is_postgresql else _PLACES_SQLITE
        values = {"type": SampleData.class_node_type, **hidden}
        rows = session.execute(sa.text(words.format(seen=seen)), values).all()
    return [(str(row[0] or "nowhere"), str(row[1]), str(row[2]), int(row[3])) for row in rows]


def demand_samples(identities: Iterable[str]) -> dict[str, SampleData]:
    """Return the samples of these identities, by a label for links; those that nobody registered are left out.

    :raises StatusError: when one of them is invalid: nothing more is to be made of it.
    """
    found = find_samples(identities)
    for identity, node in found.items():
        state = read_state(node.pk)
        if state.get("status") == SampleStatus.INVALID.value:
            raise StatusError(f"sample {identity} is invalid since {state['since']}: {state['reason']}")
    return {f"sample_{node.pk}": node for node in found.values()}


def find_inputs(request: RequestData, stocks_at: str | None = None) -> dict[str, SampleData]:
    """Return the samples that a request is about, and the good stock solutions at an address.

    :raises StatusError: when a sample that is asked about is invalid.
    """
    found = demand_samples(identities_used(request.quantity, request.parameters))
    if stocks_at is not None:
        for node, _ in list_samples("stock", SampleStatus.GOOD.value, stocks_at):
            found[f"sample_{node.pk}"] = node
    return found


def move_samples(identities: Iterable[str], location: Json, who: str, why: str) -> list[SampleData]:
    """Record that samples were carried to a place; recording it again changes nothing.

    :raises UnknownNodeError: when there is no such sample; nothing is recorded then.
    """
    wanted, place = list(identities), check_location(location)
    found = find_samples(wanted)
    unknown = [identity for identity in wanted if identity not in found]
    if unknown:
        raise UnknownNodeError(f"no sample {', '.join(map(repr, unknown))}: see 'aiida-finales sample list'")

    def decide(state: State) -> tuple[State, str, str] | None:
        if state["location"] == place:
            return None
        return {**state, "location": place}, who, f"{why}: {say_place(state['location'])} -> {say_place(place)}"

    for node in found.values():
        change_state(node.pk, decide)
    return list(found.values())


def say_place(location: Json) -> str:
    """Return a location in words."""
    return ", ".join(str(part) for part in location.values() if part) or "nowhere"


def invalidate_sample(pk: int, who: str, why: str) -> list[orm.Node]:
    """Declare that a sample must not be trusted, nor what was made of it or measured on it.

    Samples made of it become invalid as well, results measured on any of them become deleted, and what was computed
    from these is marked, so that optimisers stop learning from it. Nothing is removed.

    :returns: everything concerned, the sample first.
    :raises InputError: when no reason is given.
    """
    if not why.strip():
        raise InputError("a sample becomes invalid for a reason: none was given")
    concerned: dict[str, orm.Node] = {}
    _invalidate(orm.load_node(pk), who, why, concerned)
    return list(concerned.values())


def _invalidate(sample: SampleData, who: str, why: str, concerned: dict[str, orm.Node]) -> None:
    def decide(state: State) -> tuple[State, str, str] | None:
        check_sample_change(state["status"], SampleStatus.INVALID)
        if state["status"] == SampleStatus.INVALID.value:
            return None
        return {**state, "status": SampleStatus.INVALID.value, "since": timestamp(), "reason": why}, who, why

    change_state(sample.pk, decide)
    concerned[sample.uuid] = sample
    because = why if len(concerned) > 1 else f"sample {sample.identity} is invalid: {why}"
    for node in children_of(sample):
        if node.uuid in concerned:
            continue
        if isinstance(node, SampleData):
            _invalidate(node, who, because, concerned)
        else:
            concerned[node.uuid] = node
            if is_usable(read_state(node.pk)):
                delete_result(node.pk, who, because)
            for derived in mark_doubtful(node.pk, because):
                concerned[derived.uuid] = derived


def children_of(sample: SampleData) -> list[SampleData | ResultData]:
    """Return the samples that were made of a sample, and the results that were measured on it."""
    query = (
        orm.QueryBuilder()
        .append(SampleData, filters={"id": sample.pk}, tag="sample")
        .append(orm.CalculationNode, with_incoming="sample", tag="calculation")
        .append((SampleData, ResultData), with_incoming="calculation", tag="child")
    )
    nodes = {node.pk: node for node in query.all(flat=True)}
    return [node for _, node in sorted(nodes.items()) if _really_used(node, sample.identity)]


def parents_of(node: SampleData | ResultData) -> list[SampleData]:
    """Return the samples that a sample was made of, or that a result was measured on."""
    calculation = node.creator
    if calculation is None:
        return []
    links = calculation.base.links.get_incoming(node_class=SampleData).all_nodes()
    return sorted((item for item in links if _really_used(node, item.identity)), key=lambda item: item.identity)


def _really_used(node: SampleData | ResultData, identity: str) -> bool:
    """Return whether a sample went into another or into a measurement.

    A robot has all its stock solutions at hand, and says afterwards which of them it took. That a sample was carried
    says nothing about it.
    """
    if isinstance(node, ResultData) and node.quantity == "transport":
        return False
    used = node.made_of if isinstance(node, SampleData) else node.data.get("made_of")
    return not used or identity in used


def follow_transport(request: RequestData, result: ResultData) -> None:
    """Record where samples are after a transport that counts."""
    if not result.is_successful or not result.keeps_schema:
        return
    identities = identities_used(request.quantity, request.parameters) or result.data.get("samples") or []
    known = find_samples(identities)
    move_samples(known, result.data["actual_new_location"], str(result.data["executant"]), f"request <{request.pk}>")
