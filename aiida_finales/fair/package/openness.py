"""What of a profile may be told to whoever may look into it, but not into what is confidential."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from aiida import orm

from aiida_finales.data.campaign import ACCESS, CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.fair.graph.document import describe_records
from aiida_finales.fair.graph.records import read_records
from aiida_finales.fair.graph.selection import in_batches, own_pks, profile_pks
from aiida_finales.fair.package.archive import OPENNESS, Archive, Link, Node
from aiida_finales.fair.package.confidential import find_withheld, fingerprints, numbers_in
from aiida_finales.schemas import Json
from aiida_finales.schemas.access import Openness


def describe_profile(openness: Openness, closed: Iterable[int] = ()) -> list[Json]:
    """Return the descriptions of everything in the profile that may go so far; as in a package of that openness.

    What is withheld is not there, nor what has a number of a result that is.

    :param closed: pks of campaigns that are withheld.
    """
    pks, withheld_too = profile_pks(), find_own(closed)
    if not has_marks() and not withheld_too:
        return describe_records(read_records(pks))
    archive = _read_chain()
    withheld = find_withheld(archive, openness, withheld_too)
    secrets = fingerprints(archive, withheld)
    kept = {
        pk for pk, uuid in orm.QueryBuilder().append(orm.Node, project=["id", "uuid"]).all() if uuid not in withheld
    }
    found = describe_records(read_records(pks & kept))
    return [item for item in found if not numbers_in(json.dumps(item)) & secrets] if secrets else found


def find_own(campaigns: Iterable[int]) -> set[str]:
    """Return the UUIDs of the own nodes of campaigns, given by pk."""
    groups = [orm.load_group(pk) for pk in campaigns]
    found: set[str] = set()
    for batch in in_batches(set[int]().union(*(own_pks(group) for group in groups))):
        found |= set(orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, project="uuid").all(flat=True))
    return found


def find_closed(openness: Openness, day: date | None = None) -> set[int]:
    """Return the pks of the campaigns that may not go so far on a day, by default today."""
    groups = orm.QueryBuilder().append(CampaignGroup, filters={"extras": {"has_key": ACCESS}}).all(flat=True)
    return {int(group.pk) for group in groups if group.access.openness_on(day).level > openness.level}


def has_marks() -> bool:
    """Return whether any node of the profile says how far it may go."""
    query = orm.QueryBuilder().append(orm.Node, filters={"extras": {"has_key": OPENNESS}})
    return bool(query.count())


def _read_chain() -> Archive:
    """Return nodes and links of the profile with as much of the nodes as decides on what is withheld."""
    columns = ["uuid", "node_type", "ctime", "attributes.request_uuid", f"extras.{OPENNESS}"]
    data: dict[str, Json] = dict(orm.QueryBuilder().append(ResultData, project=["uuid", "attributes"]).all())
    nodes = [
        Node(
            uuid, node_type, "", "", created.isoformat(), "", data.get(uuid, {"request_uuid": request}),
            {} if mark is None else {OPENNESS: mark}, {},
        )
        for uuid, node_type, created, request, mark in orm.QueryBuilder().append(orm.Node, project=columns).all()
    ]  # fmt: skip
    query = orm.QueryBuilder().append(orm.Node, project="uuid", tag="source")
    query.append(orm.Node, with_incoming="source", project="uuid", edge_project=["type", "label"])
    links = [Link(source, target, label, kind) for source, target, kind, label in query.all()]
    nodes.sort(key=lambda node: (node.time, node.uuid))
    return Archive(path=Path(), metadata={}, nodes=tuple(nodes), links=tuple(links), logs=(), groups=())
