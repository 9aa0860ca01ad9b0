"""Take a package into the loaded profile."""

from __future__ import annotations

from pathlib import Path

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import InputError
from aiida_finales.fair.package_archive import Group, read_archive
from aiida_finales.fair.package_files import ARCHIVE
from aiida_finales.fair.package_graph import CAMPAIGN
from aiida_finales.fair.selection import in_batches
from aiida_finales.fair.verify import open_package, verify_package
from aiida_finales.operations.importing_archive import ImportedArchive, import_package_archive

#: defects that a message names; the rest is counted
_SHOWN = 5
SUFFIX = ".aiida"


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
    with open_package(path) as folder:
        if not (folder / ARCHIVE).is_file():
            raise InputError(f"{path} has no {ARCHIVE}")
        return _import_archive(folder / ARCHIVE)


def _import_archive(path: Path) -> ImportedArchive:
    archive = read_archive(path)  # AiiDA has no words for what is no archive, or half of one
    imported = import_package_archive(path)
    for group in archive.groups:
        if group.kind == CAMPAIGN:
            _complete(group)
    return imported


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
