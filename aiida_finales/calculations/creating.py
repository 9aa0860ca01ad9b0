"""Storing the many results that one calculation function creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import Process
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes

from aiida_finales.data.result import ResultData


def create_results(results: Mapping[str, ResultData]) -> dict[str, ResultData]:
    """Store new results, all at once, as outputs of the calculation function that runs.

    To be called by a calculation function on what it returns. The engine would store its outputs one by one, and
    search the graph above each for a cycle: most of the time of an import, though what is new can close no cycle. It
    leaves alone what is its output already.

    :param results: not stored, by the label of their link.
    :returns: the stored nodes by the same labels.
    :raises RuntimeError: outside of a process.
    """
    process: Any = Process.current()
    if process is None:
        raise RuntimeError("results are created by a calculation function while it runs")
    storage: Any = get_manager().get_profile_storage()
    author = storage.default_user.pk
    uuids = {result.uuid: label for label, result in results.items()}
    storage.bulk_insert(EntityTypes.NODE, [_make_row(result, author) for result in results.values()])
    query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": list(uuids)}}, project="*")
    stored: dict[str, Any] = {uuids[node.uuid]: node for node in query.all(flat=True)}
    links = [
        {"input_id": process.node.pk, "output_id": stored[label].pk, "type": LinkType.CREATE.value, "label": label}
        for label in results
    ]
    storage.bulk_insert(EntityTypes.LINK, links)
    return {label: stored[label] for label in results}


def _make_row(result: ResultData, author: int) -> dict[str, Any]:
    """Return what the database holds of a result; it has no files."""
    return {
        "uuid": result.uuid,
        "node_type": result.node_type,
        "process_type": None,
        "label": result.label,
        "description": result.description,
        "ctime": result.ctime,
        "mtime": result.mtime,
        "attributes": result.base.attributes.all,
        "extras": result.base.extras.all,
        "repository_metadata": {},
        "user_id": author,
        "dbcomputer_id": None,
    }
