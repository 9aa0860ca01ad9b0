"""What has ended of a campaign, and in which state it is."""

from __future__ import annotations

import json
from typing import Any

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.fair.package_copy import closure, dependents
from aiida_finales.fair.selection import in_batches


def find_ended(pks: set[int]) -> set[int]:
    """Return nodes and everything they were made from, without what still runs and what that alone has made.

    :param pks: primary keys of the nodes.
    """
    found, running = closure(pks), _find_running()
    if not running & found:
        return found
    # without the callers: one that goes on is not reached from a process that it called
    return closure(pks - dependents(running), with_callers=False)


def tell_state(pks: set[int]) -> list[Any]:
    """Return what differs as soon as one of the nodes, their logs or comments changes, or another node is there."""
    told: list[Any] = []
    for batch in in_batches(pks):
        nodes = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, project=["uuid", "mtime"])
        told += sorted((uuid, time.isoformat()) for uuid, time in nodes.iterall())
        for kind, column in ((orm.Log, "uuid"), (orm.Comment, "mtime")):
            query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, tag="node")
            told += sorted(map(str, query.append(kind, with_node="node", project=column).all(flat=True)))
    return told


def describe_group(group: CampaignGroup) -> dict[str, Any]:
    """Return the row of a group as an archive has it, with its members by UUID."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group", project="time")
    time = query.first(flat=True)
    members = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    return {
        "uuid": group.uuid,
        "label": group.label,
        "type_string": group.type_string,
        "time": f"{time:%Y-%m-%d %H:%M:%S.%f}",
        "description": group.description or "",
        "extras": json.dumps(group.base.extras.all),
        "members": sorted(members.append(orm.Node, with_group="group", project="uuid").all(flat=True)),
    }


def _find_running() -> set[int]:
    """Return all processes of the profile that have not ended."""
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"attributes": {"!has_key": "sealed"}}, project="id")
    return set(query.all(flat=True))
