"""Bring a package of ours, or its archive, into the loaded profile."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from aiida import orm
from aiida.tools.archive.exceptions import ArchiveImportError
from aiida.tools.archive.imports import import_archive

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import InputError


@dataclass(frozen=True)
class ImportedArchive:
    """What an archive brought.

    :param n_new: nodes that were not here before.
    :param campaigns: names of the campaigns that are here now and were not before.
    :param n_renewed: nodes that were here with an earlier status.
    """

    n_new: int
    campaigns: list[str]
    n_renewed: int = 0


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
