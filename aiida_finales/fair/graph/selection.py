"""Which nodes belong to a campaign: everything that a package about it must hold.

It is found by links and attributes alone, a few queries for each kind, so that ten thousand nodes are no obstacle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aiida import orm

from aiida_finales.broker.state import STATE
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.tenant import TenantData
from aiida_finales.data.training_set import TrainingSetData

#: kinds of data whose meaning is described
KINDS = (
    RequestData,
    ResultData,
    SampleData,
    TenantData,
    CapabilityData,
    SuggestionData,
    LifetimeModelData,
    PotentialData,
    TrainingSetData,
)
#: what is made for many campaigns, and belongs to none
_SHARED = (TenantData, CapabilityData, LifetimeModelData, PotentialData)
#: SQLite accepts 32766 variables in a statement
BATCH = 10_000
_ENDED = {"attributes.sealed": True}

Pks = set[int]


def campaign_pks(campaign: CampaignGroup) -> Pks:
    """Return the primary keys of everything of a campaign that belongs in a package.

    These are the members of its group; the requests that are steps of its requests; the results of all of them; the
    processes of these that have ended; suggestions and what they learned from; the samples concerned with those they
    were made of; and the versions of tenants (with their limitations) and of capabilities that were used.
    """
    found = _made_pks(campaign)
    requests = set(_select(RequestData, "id", found, "id"))
    found |= _linked(found, (TenantData, LifetimeModelData, PotentialData)) | _versions(found, requests)
    return _without_running(found)


def own_pks(campaign: CampaignGroup) -> Pks:
    """Return the primary keys of what only this campaign has made or asked for: who may not read it sees none of it.

    What runs is among them: it is in no package yet, and nobody else's business either.
    """
    found = _made_pks(campaign)
    return found - {pk for kind in _SHARED for pk in _select(kind, "id", found, "id")}


def _made_pks(campaign: CampaignGroup) -> Pks:
    members = orm.QueryBuilder().append(CampaignGroup, filters={"id": campaign.pk}, tag="group")
    members.append(orm.Node, with_group="group", project="id")
    found: Pks = set(members.all(flat=True))
    requests = _requests(found)
    found |= requests | _results(requests)
    found |= _processes(found, requests)
    found |= _samples(found)
    return found | _linked(found, TrainingSetData, outgoing=True)


def profile_pks() -> Pks:
    """Return the primary keys of all nodes of a profile whose meaning is described, and of all ended processes."""
    data = orm.QueryBuilder().append(KINDS, project="id").all(flat=True)
    processes = orm.QueryBuilder().append(orm.ProcessNode, filters=_ENDED, project="id").all(flat=True)
    return set(data) | set(processes)


def in_batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield parts that are small enough for one statement, in a fixed order."""
    ordered = sorted(items)
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


def _requests(found: Pks) -> Pks:
    """Return the requests among nodes, those that results among them answer, and all steps of these."""
    uuids = set(_select(RequestData, "id", found, "uuid")) | set(
        _select(ResultData, "id", found, "attributes.request_uuid")
    )
    uuids.discard(None)  # unsolicited results answer nobody
    requests = set(_select(RequestData, "uuid", uuids, "id"))
    while uuids:
        children = _pairs(RequestData, "attributes.parent", uuids)
        uuids = {uuid for pk, uuid in children if pk not in requests}
        requests |= {pk for pk, _ in children}
    return requests


def _results(requests: Pks) -> Pks:
    return set(_select(ResultData, "attributes.request_uuid", _select(RequestData, "id", requests, "uuid"), "id"))


def _processes(found: Pks, requests: Pks) -> Pks:
    """Return the processes that created nodes, serve requests, or belong to a campaign, and all that they called."""
    processes = set(_select(orm.ProcessNode, "id", found, "id"))
    processes |= _linked(requests, orm.ProcessNode, outgoing=True) | _linked(found, orm.CalculationNode)
    newest = set(processes)
    while newest:
        newest = _linked(newest, orm.ProcessNode, outgoing=True) - processes
        processes |= newest
    return processes


def _samples(found: Pks) -> Pks:
    """Return the samples that processes used or made, what those were made of, and the processes that made them."""
    samples = _linked(found, SampleData) | _linked(found, SampleData, outgoing=True)
    newest, makers = samples - found, set()
    while newest:
        makers |= _linked(newest, orm.CalculationNode)
        newest = _linked(makers, SampleData) - samples
        samples |= newest
    return samples | makers


def _versions(found: Pks, requests: Pks) -> Pks:
    """Return the versions of tenants and capabilities that requests were checked against and results made for."""
    tenants: set[str] = set()
    for state in _select(RequestData, "id", requests, f"extras.{STATE}"):
        tenants |= {item["node"] for item in (state or {}).get("candidates", ())} | {(state or {}).get("node")}
    capabilities = set(_select(ResultData, "id", found, "attributes.capability"))
    for uuids in _select(RequestData, "id", requests, "attributes.capabilities"):
        capabilities |= set(uuids.values())
    return set(_select(TenantData, "uuid", tenants - {None}, "id")) | set(
        _select(CapabilityData, "uuid", capabilities, "id")
    )


def _without_running(found: Pks) -> Pks:
    processes = set(_select(orm.ProcessNode, "id", found, "id"))
    ended = {
        pk
        for batch in in_batches(processes)
        for pk in orm.QueryBuilder()
        .append(orm.ProcessNode, filters={"id": {"in": batch}, **_ENDED}, project="id")
        .all(flat=True)
    }
    return (found - processes) | ended


def _linked(pks: Iterable[int], kind: Any, *, outgoing: bool = False) -> Pks:
    """Return the nodes of a kind that have a link to nodes, or that these have a link to."""
    found: Pks = set()
    relation = "with_incoming" if outgoing else "with_outgoing"
    for batch in in_batches(pks):
        query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, tag="start")
        # a suggestion may have a link to every result before it
        found |= set(query.append(kind, project="id", **{relation: "start"}).distinct().all(flat=True))
    return found


def _select(kind: Any, key: str, values: Iterable[Any], column: str) -> list[Any]:
    """Return one column of the nodes of a kind that have one of these values."""
    rows: list[Any] = []
    for batch in in_batches(values):
        rows += orm.QueryBuilder().append(kind, filters={key: {"in": batch}}, project=column).all(flat=True)
    return rows


def _pairs(kind: Any, key: str, values: Iterable[Any]) -> list[tuple[int, str]]:
    pairs: list[tuple[int, str]] = []
    for batch in in_batches(values):
        found = orm.QueryBuilder().append(kind, filters={key: {"in": batch}}, project=["id", "uuid"]).all()
        pairs += [(pk, uuid) for pk, uuid in found]
    return pairs
