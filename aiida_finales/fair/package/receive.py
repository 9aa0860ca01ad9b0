"""Take a package into the loaded profile."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiida import orm
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes
from aiida.tools.archive.exceptions import ArchiveImportError
from aiida.tools.archive.imports import import_archive

from aiida_finales.broker.state import LOGGER_NAME, STATE, adopt_state
from aiida_finales.data.active import ACTIVE, IMPORTED
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import InputError
from aiida_finales.fair.graph.selection import in_batches
from aiida_finales.fair.package.archive import TYPES, Archive, Group, read_archive
from aiida_finales.fair.package.chemicals import FILE, find_unknown
from aiida_finales.fair.package.files import ARCHIVE
from aiida_finales.fair.package.graph import CAMPAIGN
from aiida_finales.fair.package.verify import open_package, verify_package
from aiida_finales.schemas import Json

#: defects that a message names; the rest is counted
_SHOWN = 5
SUFFIX = ".aiida"
_OF_A_LABORATORY = tuple(TYPES[name] for name in ("capability", "lifetime_model", "request", "sample", "tenant"))


def receive_package(path: Path, *, is_forced: bool = False) -> ImportedArchive:
    """Import a package, a folder or a zip, or an AiiDA archive alone; a package is verified first.

    :param is_forced: import it whatever is wrong with the rest of the package.
    :raises InputError: when it is no package, or something is missing or was changed.
    """
    if path.is_file() and path.suffix == SUFFIX:
        return _import_archive(path)
    defects = [] if is_forced else verify_package(path)
    if defects:
        shown = "; ".join(defects[:_SHOWN]) + (f"; and {len(defects) - _SHOWN} more" if len(defects) > _SHOWN else "")
        raise InputError(f"{path} is not whole, nothing was imported: {shown}. Import it all the same with --force")
    with open_package(path, only=(ARCHIVE, FILE)) as folder:
        if not (folder / ARCHIVE).is_file():
            raise InputError(f"{path} has no {ARCHIVE}")
        return replace(_import_archive(folder / ARCHIVE), unknown=find_unknown(folder))


def _import_archive(path: Path) -> ImportedArchive:
    archive = read_archive(path)  # AiiDA has no words for what is no archive, or half of one
    behind, foreign = _find_behind(archive), _find_foreign(archive)
    imported = import_package_archive(path)
    _mark_imported(foreign)
    n_renewed = sum(adopt_state(*change) for change in behind)
    for group in archive.groups:
        if group.kind == CAMPAIGN:
            _complete(group)
    return replace(imported, n_renewed=n_renewed)


def _find_foreign(archive: Archive) -> set[str]:
    """Return the UUIDs of what acts or exists in a laboratory, and is not in this profile yet."""
    found = {node.uuid for node in archive.nodes if node.node_type in _OF_A_LABORATORY}
    for batch in in_batches(found):
        query = orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": batch}}, project="uuid")
        found -= set(query.all(flat=True))
    return found


def _mark_imported(uuids: set[str]) -> None:
    """Say of what came with an archive that it is that of another laboratory, whatever it was there."""
    columns = ["id", "mtime", "extras"]
    for batch in in_batches(uuids):
        rows = []
        for pk, changed, extras in (
            orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": batch}}, project=columns).all()
        ):
            kept = {key: value for key, value in extras.items() if key != ACTIVE}
            # the time of its last change stays: it is part of what is exported again
            rows.append({"id": pk, "mtime": changed, "extras": {**kept, IMPORTED: True}})
        get_manager().get_profile_storage().bulk_update(EntityTypes.NODE, rows)


def _find_behind(archive: Archive) -> list[tuple[int, Json, Json]]:
    """Return pk, state and later state of each node that is here as it was before: AiiDA leaves it so.

    A node whose history went on here, too, is not among them.
    """
    later = {node.uuid: node.state for node in archive.nodes if node.state}
    lines = {line.uuid for line in archive.logs if line.logger == LOGGER_NAME}
    found: list[tuple[int, Json, Json]] = []
    for batch in in_batches(later):
        columns = ["id", "uuid", f"extras.{STATE}"]
        nodes = orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": batch}}, project=columns)
        states = {pk: (state or {}, later[uuid]) for pk, uuid, state in nodes.iterall()}
        query = orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": batch}}, tag="node", project="id")
        query.append(orm.Log, with_node="node", filters={"loggername": LOGGER_NAME}, project="uuid")
        own = {pk for pk, uuid in query.iterall() if uuid not in lines}
        found += [
            (pk, before, after)
            for pk, (before, after) in states.items()
            if pk not in own and after.get("serial", -1) > before.get("serial", -1)
        ]
    return found


def _complete(group: Group) -> None:
    """Add to a campaign what came with it: AiiDA leaves a group that is here as it is, e.g. that of a snapshot."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"uuid": group.uuid})
    found: CampaignGroup | None = query.first(flat=True)
    if found is None:
        return  # another campaign of that name is here: AiiDA gave this one another
    present = orm.QueryBuilder().append(CampaignGroup, filters={"uuid": group.uuid}, tag="group")
    present.append(orm.Node, with_group="group", project="uuid")
    lacking = set(group.members) - set(present.all(flat=True))
    nodes = [
        node
        for batch in in_batches(lacking)
        for node in orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": batch}}).all(flat=True)
    ]
    found.add_nodes(nodes)


@dataclass(frozen=True)
class ImportedArchive:
    """What an archive brought.

    :param n_new: nodes that were not here before.
    :param campaigns: names of the campaigns that are here now and were not before.
    :param n_renewed: nodes that were here with an earlier status.
    :param unknown: chemicals of the package that have no name here.
    """

    n_new: int
    campaigns: list[str]
    n_renewed: int = 0
    unknown: Sequence[str] = ()


def import_package_archive(path: Path) -> ImportedArchive:
    """Import an AiiDA archive; what is here already stays as it is.

    :raises InputError: when it cannot be imported.
    """
    n_before, before = _count(), _campaigns()
    logger = logging.getLogger("aiida.tools.archive")
    level = logger.level
    logger.setLevel(logging.WARNING)  # a report of each of its steps is of no use here
    try:
        import_archive(path, create_group=False)
    except ArchiveImportError as error:
        raise InputError(f"{path} cannot be imported: {error}") from error
    finally:
        logger.setLevel(level)
    return ImportedArchive(_count() - n_before, sorted(_campaigns() - before))


def _count() -> int:
    return int(orm.QueryBuilder().append(orm.Node).count())


def _campaigns() -> set[str]:
    return set(orm.QueryBuilder().append(CampaignGroup, project="label").all(flat=True))
