"""Write what has ended of a campaign as an AiiDA archive."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.tools.archive.create import create_archive
from aiida.tools.archive.exceptions import ArchiveExportError

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import StatusError
from aiida_finales.fair.selection import in_batches

#: without them a process that goes on is not reached from one that it called
_DOWN_ONLY = {"call_calc_backward": False, "call_work_backward": False}


def write_snapshot(pks: set[int], path: Path) -> None:
    """Write nodes and everything they were made from; what still runs is left out, with what it alone has made.

    :param pks: primary keys of the nodes.
    :raises StatusError: when AiiDA refuses.
    """
    running = _find_running()
    if running:  # the closure takes as long as the archive itself
        running &= _closure(pks)
    rules = _DOWN_ONLY if running else {}
    if running:
        pks = pks - _around(running)
    kept = [node for batch in in_batches(pks) for node in _load(batch)]
    try:
        with _silence():
            # not compressed: it is written again at once
            create_archive(kept, path, overwrite=True, compression=0, **rules)
    except ArchiveExportError as error:
        raise StatusError(f"what has ended cannot be told from what goes on: {error}") from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what AiiDA reports about its archive away from people who asked for a package."""
    logger = logging.getLogger("aiida.export")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


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
        "members": members.append(orm.Node, with_group="group", project="uuid").all(flat=True),
    }


def _load(pks: list[int]) -> list[orm.Node]:
    found: list[orm.Node] = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": pks}}).all(flat=True)
    return found


def _closure(pks: set[int]) -> set[int]:
    """Return what an archive of these nodes would hold."""
    from aiida.tools.graph.graph_traversers import get_nodes_export

    return set(get_nodes_export(starting_pks=pks)["nodes"])


def _find_running() -> set[int]:
    """Return all processes of the profile that have not ended."""
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"attributes": {"!has_key": "sealed"}}, project="id")
    return set(query.all(flat=True))


def _around(running: set[int]) -> set[int]:
    """Return what goes on, who called it, and the data that these created."""
    found, more = set(running), set(running)
    while more:
        query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": {"in": list(more)}}, tag="called")
        more = set(query.append(orm.WorkflowNode, with_outgoing="called", project="id").all(flat=True)) - found
        found |= more
    made = orm.QueryBuilder().append(orm.CalculationNode, filters={"id": {"in": list(found)}}, tag="maker")
    return found | set(made.append(orm.Data, with_incoming="maker", project="id").all(flat=True))
