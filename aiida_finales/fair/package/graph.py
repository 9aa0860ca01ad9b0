"""The graph of a package, made of its archive: the same description as of nodes in a profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from aiida_finales.fair.graph.document import describe_records
from aiida_finales.fair.graph.people import Person
from aiida_finales.fair.graph.records import COLUMNS, CampaignRecord, LinkRecord, NodeRecord, Records
from aiida_finales.fair.package.archive import TYPES, Archive, Node

CAMPAIGN = "finales.campaign"
_KINDS = {
    **{TYPES[name]: name for name in TYPES if name in COLUMNS},
    TYPES["lifetime_model"]: "model",
}


def make_graph(archive: Archive, people: Sequence[Person], context: str) -> dict[str, Any]:
    """Return the JSON-LD document about everything in an archive that has a meaning of its own.

    :param context: name of the file beside it that has the context.
    """
    return {"@context": context, "@graph": describe_records(read_archive_records(archive, people))}


def read_archive_records(archive: Archive, people: Sequence[Person] = ()) -> Records:
    """Return what is described of the nodes of an archive; what is withheld is not."""
    found = {record.uuid: record for node in archive.nodes for record in _record(node)}
    nodes = {uuid: found[uuid] for uuid in sorted(found)}
    links = {
        LinkRecord(link.source, link.target, link.kind, link.label)
        for link in archive.links
        if link.source in nodes and link.target in nodes
    }
    ordered = sorted(links, key=lambda link: (link.source, link.target, link.kind, link.label))
    return Records(nodes, ordered, _campaigns(archive, nodes), people)


def _record(node: Node) -> Iterator[NodeRecord]:
    kind = "process" if node.is_process else _KINDS.get(node.node_type)
    if kind is None:
        return
    fields: dict[str, Any] = {}
    for column in COLUMNS[kind][1]:
        if column == "attributes":
            fields |= node.attributes
        elif not column.startswith("extras."):
            fields[column.removeprefix("attributes.").removeprefix("document.")] = _read(node, column)
    created = _moment(node.time).isoformat()
    yield NodeRecord(kind, node.uuid, created, fields, node.state, str(node.extras.get("finales_doubtful") or ""))


def _read(node: Node, column: str) -> Any:
    if column == "mtime":
        return _moment(node.changed)
    if not column.startswith("attributes."):
        return getattr(node, column)
    value: Any = node.attributes
    for key in column.split(".")[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(f"{time}+00:00")


def _campaigns(archive: Archive, nodes: dict[str, NodeRecord]) -> list[CampaignRecord]:
    found = []
    for group in archive.groups:
        members = tuple(uuid for uuid in group.members if uuid in nodes)
        if group.kind == CAMPAIGN and any(nodes[uuid].kind != "result" for uuid in members):
            found.append(CampaignRecord(group.uuid, group.label, members))
    return found
