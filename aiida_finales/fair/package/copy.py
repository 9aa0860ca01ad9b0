"""Copy nodes of the profile into an AiiDA archive.

The archive is what AiiDA's ``create_archive`` makes of the same nodes by the same rules (:func:`closure`). That one
follows every link by a row of its own, and an older suggestion is linked to all results before it; here whole sets are
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiida import orm
from aiida.common.links import GraphTraversalRules
from aiida.common.utils import batch_iter
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes
from aiida.tools.archive.abstract import get_format

from aiida_finales.fair.graph.selection import in_batches

Pks = set[int]

#: rows that are held at a time
_ROWS = 1000
_LINK_COLUMNS = ("input_id", "output_id", "type", "label")


def closure(pks: Pks, *, with_callers: bool = True) -> Pks:
    """Return nodes and all that AiiDA's rules for archives want beside them.

    :param with_callers: also the processes that called those among them.
    """
    return _reach(pks, _rules(with_callers=with_callers))


def dependents(pks: Pks) -> Pks:
    """Return nodes and all that cannot be in an archive without one of them; callers of what they called can."""
    turned = {"forward": "backward", "backward": "forward"}
    return _reach(pks, [(kind, turned[direction]) for kind, direction in _rules(with_callers=False)])


def _rules(*, with_callers: bool) -> list[tuple[str, str]]:
    return [
        (rule.link_type.value, rule.direction)
        for rule in GraphTraversalRules.EXPORT.value.values()
        if rule.default and (with_callers or not (rule.toggleable and rule.link_type.value.startswith("call_")))
    ]


def _reach(pks: Pks, rules: list[tuple[str, str]]) -> Pks:
    """Return nodes and all that is reached from them by links of these kinds in these directions."""
    ways = {
        relation: [kind for kind, direction in rules if direction == way]
        for relation, way in (("with_incoming", "forward"), ("with_outgoing", "backward"))
    }
    found, newest = set(pks), set(pks)
    while newest:
        newest = set().union(*(_neighbours(newest, relation, kinds) for relation, kinds in ways.items())) - found
        found |= newest
    return found


def copy_nodes(pks: Pks, path: Path, groups: Iterable[int] = ()) -> None:
    """Write nodes, the links among them, their logs, comments, users, computers and files; not compressed.

    :param pks: complete in the sense of :func:`closure`.
    :param groups: groups that are written with those of their members that are.
    """
    logs, comments = _related(orm.Log, pks), _related(orm.Comment, pks)
    path.unlink(missing_ok=True)  # what an interrupted attempt left
    users = _related(orm.User, groups, orm.Group, "with_group") | _related(orm.User, pks)
    users |= _related(orm.User, comments, orm.Comment, "with_comment")
    with _open_archive(path) as archive:
        # what is referred to comes first
        _copy_rows(archive, EntityTypes.USER, "users", users)
        _copy_rows(archive, EntityTypes.COMPUTER, "computers", _related(orm.Computer, pks))
        _copy_rows(archive, EntityTypes.NODE, "nodes", pks)
        _copy_rows(archive, EntityTypes.COMMENT, "comments", comments)
        _copy_rows(archive, EntityTypes.LOG, "logs", logs)
        _copy_links(archive, pks)
        _copy_groups(archive, groups, pks)
        _copy_files(archive, pks)


@contextmanager
def _open_archive(path: Path) -> Iterator[Any]:
    """Open a new archive; of one that cannot be written nothing is left that takes space.

    AiiDA leaves its copy of the database where the archive fails. It leaves the file open, too: what that one still
    holds is written when Python forgets it, which a full disk refuses, and nobody is there to be told.
    """
    with TemporaryDirectory() as folder:
        try:
            with get_format().open(path, "x", compression=0, work_dir=Path(folder)) as archive:
                yield archive
        except OSError:
            with suppress(OSError):
                os.truncate(path, 0)
            raise


def _neighbours(pks: Pks, relation: str, kinds: list[str]) -> Pks:
    found: Pks = set()
    for batch in in_batches(pks):
        query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, tag="start")
        query.append(orm.Node, edge_filters={"type": {"in": kinds}}, project="id", **{relation: "start"})
        found |= set(query.distinct().all(flat=True))
    return found


def _related(entity: Any, pks: Iterable[int], start: Any = orm.Node, relation: str = "with_node") -> Pks:
    found: Pks = set()
    for batch in in_batches(pks):
        query = orm.QueryBuilder().append(start, filters={"id": {"in": batch}}, tag="start")
        found |= set(query.append(entity, project="id", **{relation: "start"}).distinct().all(flat=True))
    return found


def _copy_rows(archive: Any, kind: EntityTypes, entities: str, pks: Iterable[int]) -> None:
    """Copy rows as they are: AiiDA's query builder looks at each value for what it might be, which takes longer.

    :param entities: name of their collection in the storage.
    """
    storage: Any = get_manager().get_profile_storage()
    table = getattr(storage, entities).ENTITY_CLASS.MODEL_CLASS.__table__
    for batch in in_batches(pks):
        found = storage.get_session().execute(sa.select(table).where(table.c.id.in_(batch)))
        for part in found.mappings().partitions(_ROWS):
            # PostgreSQL gives UUIDs as objects
            rows: list[dict[str, Any]] = [
                {key: str(cell) if isinstance(cell, UUID) else cell for key, cell in row.items()} for row in part
            ]
            for row in rows if kind is EntityTypes.NODE else ():
                row["attributes"].pop(orm.ProcessNode.CHECKPOINT_KEY, None)  # code that others would load
            archive.bulk_insert(kind, rows)


def _copy_links(archive: Any, pks: Pks) -> None:
    for batch in in_batches(pks):
        query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, tag="source")
        query.append(orm.Node, with_incoming="source", edge_project=list(_LINK_COLUMNS))
        for _, rows in batch_iter(query.iterall(batch_size=_ROWS), _ROWS):
            links = [dict(zip(_LINK_COLUMNS, row, strict=True)) for row in rows if row[1] in pks]
            archive.bulk_insert(EntityTypes.LINK, links, allow_defaults=True)


def _copy_groups(archive: Any, groups: Iterable[int], pks: Pks) -> None:
    _copy_rows(archive, EntityTypes.GROUP, "groups", groups)
    query = orm.QueryBuilder().append(orm.Group, filters={"id": {"in": list(groups)}}, project="id", tag="group")
    members = query.append(orm.Node, with_group="group", project="id").all() if groups else []
    rows = [{"dbgroup_id": group, "dbnode_id": node} for group, node in members if node in pks]
    archive.bulk_insert(EntityTypes.GROUP_NODE, rows, allow_defaults=True)


def _copy_files(archive: Any, pks: Pks) -> None:
    keys: set[str] = set()
    for batch in in_batches(pks):
        keys |= set(orm.Node.collection.iter_repo_keys(filters={"id": {"in": batch}}, batch_size=_ROWS))
    repository = get_manager().get_profile_storage().get_repository()
    for key, stream in repository.iter_object_streams(keys):
        archive.put_object(stream, key=key)
