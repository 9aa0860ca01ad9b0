"""Nodes and links as plain records: read by a few queries, so that the rest of the graph needs no database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aiida import orm

from aiida_finales.broker.results import DOUBTFUL
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
from aiida_finales.fair.graph.people import Person
from aiida_finales.fair.graph.selection import in_batches
from aiida_finales.schemas import Json

_STATE, _DOUBT = f"extras.{STATE}", f"extras.{DOUBTFUL}"
#: what is read of each kind; big documents that nothing is said about stay in the database
COLUMNS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "request": (RequestData, ("attributes", _STATE)),
    "result": (ResultData, ("attributes", _STATE, _DOUBT)),
    "sample": (SampleData, ("attributes", _STATE)),
    "tenant": (TenantData, ("attributes",)),
    "capability": (CapabilityData, ("attributes.quantity", "attributes.method", "attributes.version")),
    "suggestion": (
        SuggestionData,
        (
            "attributes.source_name",
            "attributes.step",
            "attributes.document.reason",
            "attributes.document.acquisition",
            "attributes.document.predicted",
            "attributes.document.unit",
            _DOUBT,
        ),
    ),
    "training_set": (TrainingSetData, ("attributes.removed", "attributes.n_results")),
    "model": (LifetimeModelData, ("attributes.method", "attributes.simulated", "attributes.training")),
    "potential": (PotentialData, ("attributes.statement", "attributes.n_frames", "attributes.validation")),
    "process": (
        orm.ProcessNode,
        (
            "node_type",
            "process_type",
            "mtime",
            "attributes.process_label",
            "attributes.process_state",
            "attributes.exit_status",
            "attributes.exit_message",
            "attributes.version",
        ),
    ),
}


@dataclass(frozen=True)
class NodeRecord:
    """A node as it was read.

    :param kind: a key of :data:`COLUMNS`.
    :param created: ISO 8601.
    :param fields: what was read, without the prefixes ``attributes.`` and ``document.``.
    :param state: its current state, where it has one.
    :param doubtful: why it should not be relied on; empty when nothing speaks against it.
    """

    kind: str
    uuid: str
    created: str
    fields: Json
    state: Json = field(default_factory=dict)
    doubtful: str = ""

    @property
    def iri(self) -> str:
        """Address within graphs."""
        return f"urn:uuid:{self.uuid}"


@dataclass(frozen=True)
class LinkRecord:
    """A link of the provenance graph.

    :param kind: AiiDA's type: ``input_calc``, ``create``, ``call_work`` ...
    """

    source: str
    target: str
    kind: str
    label: str


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign and those of its members that are described."""

    uuid: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Records:
    """All that is described, by UUID, with the links among it and the people behind it."""

    nodes: dict[str, NodeRecord]
    links: Sequence[LinkRecord] = ()
    campaigns: Sequence[CampaignRecord] = ()
    people: Sequence[Person] = ()

    def of_kind(self, *kinds: str) -> Iterator[NodeRecord]:
        """Yield the nodes of some kinds."""
        return (node for node in self.nodes.values() if node.kind in kinds)

    def incoming(self, uuid: str, *kinds: str) -> list[tuple[NodeRecord, str]]:
        """Return the nodes with links of these kinds to a node, and the labels of the links."""
        return [(self.nodes[link.source], link.label) for link in self._to.get(uuid, ()) if link.kind in kinds]

    def outgoing(self, uuid: str, *kinds: str) -> list[tuple[NodeRecord, str]]:
        """Return the nodes with links of these kinds from a node, and the labels of the links."""
        return [(self.nodes[link.target], link.label) for link in self._from.get(uuid, ()) if link.kind in kinds]

    def creator(self, uuid: str) -> NodeRecord | None:
        """Return the process that created a node."""
        return next((node for node, _ in self.incoming(uuid, "create")), None)

    @cached_property
    def samples(self) -> dict[str, str]:
        """Address of the sample by what is written on it; of the latest, should one have been made again."""
        ordered = sorted(self.of_kind("sample"), key=lambda node: (node.created, node.uuid))
        return {node.fields["identity"]: node.iri for node in ordered}

    @cached_property
    def _to(self) -> dict[str, list[LinkRecord]]:
        found = defaultdict(list)
        for link in self.links:
            found[link.target].append(link)
        return found

    @cached_property
    def _from(self) -> dict[str, list[LinkRecord]]:
        found = defaultdict(list)
        for link in self.links:
            found[link.source].append(link)
        return found


def read_records(pks: Iterable[int], people: Sequence[Person] = ()) -> Records:
    """Return what is described of nodes, the links among them, and the campaigns they belong to.

    :param pks: primary keys; nodes of other kinds than those of :data:`COLUMNS` are passed over.
    """
    batches = list(in_batches(set(pks)))
    nodes = {node.uuid: node for kind in COLUMNS for batch in batches for node in _read_kind(kind, batch)}
    nodes = {uuid: nodes[uuid] for uuid in sorted(nodes)}
    links = {link for batch in batches for link in _read_links(batch) if link.source in nodes and link.target in nodes}
    ordered = sorted(links, key=lambda link: (link.source, link.target, link.kind, link.label))
    return Records(nodes, ordered, _read_campaigns(nodes), people)


def _read_kind(kind: str, batch: list[int]) -> Iterator[NodeRecord]:
    node_class, columns = COLUMNS[kind]
    query = orm.QueryBuilder().append(
        node_class, filters={"id": {"in": batch}}, project=["uuid", "ctime", *columns], tag="node"
    )
    for uuid, ctime, *values in query.all():
        found = dict(zip(columns, values, strict=True))
        state, doubt = found.pop(_STATE, None), found.pop(_DOUBT, None)
        fields = found.pop("attributes", None) or {}
        fields |= {name.removeprefix("attributes.").removeprefix("document."): value for name, value in found.items()}
        yield NodeRecord(kind, uuid, ctime.isoformat(), fields, state or {}, doubt or "")


def _read_links(batch: list[int]) -> Iterator[LinkRecord]:
    query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, project="uuid", tag="source")
    query.append(orm.Node, with_incoming="source", project="uuid", edge_project=["type", "label"])
    for source, target, kind, label in query.all():
        yield LinkRecord(source, target, kind, label)


def _read_campaigns(nodes: dict[str, NodeRecord]) -> list[CampaignRecord]:
    """Return the campaigns of which more than results is here: a result may have been lent from another one."""
    query = orm.QueryBuilder().append(CampaignGroup, project=["uuid", "label"], tag="group")
    query.append(orm.Node, with_group="group", project="uuid")
    members = defaultdict(list)
    for group, label, uuid in query.all():
        if uuid in nodes:
            members[group, label].append(uuid)
    return [
        CampaignRecord(group, label, tuple(sorted(found)))
        for (group, label), found in sorted(members.items())
        if any(nodes[uuid].kind != "result" for uuid in found)
    ]
