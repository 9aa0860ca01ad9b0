"""Look at everything in an archive before it leaves."""

from __future__ import annotations

import sqlite3
import tempfile
import zipfile
from pathlib import Path

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package_archive import DATABASE, REPOSITORY, extract_database
from aiida_finales.fair.privacy import Finding, Privacy
from aiida_finales.schemas.words import count

#: findings that a message names; the rest is counted
SHOWN = 12
#: table and what says whose row it is
_TABLES = {
    "db_dbuser": "email",
    "db_dbcomputer": "uuid",
    "db_dbgroup": "label",
    "db_dbnode": "uuid",
    "db_dblink": "label",
    "db_dblog": "uuid",
    "db_dbcomment": "uuid",
}


def look_for_private(archive: Path) -> Privacy:
    """Return what is private in an archive: users, computers, nodes, logs, comments, and the files of nodes."""
    with tempfile.TemporaryDirectory() as folder:
        extract_database(archive, Path(folder) / DATABASE)
        connection = sqlite3.connect(Path(folder) / DATABASE)
        connection.row_factory = sqlite3.Row
        privacy = Privacy(row["hostname"] for row in connection.execute("SELECT hostname FROM db_dbcomputer"))
        for table, name in _TABLES.items():
            # of half a million links a thousand have labels of their own
            columns = "DISTINCT label, type" if table == "db_dblink" else "*"
            for row in connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - names of our own
                words = "\n".join(cell for cell in tuple(row) if isinstance(cell, str))
                privacy.look(words, f"{table.removeprefix('db_db')} {row[name]} in the archive")
        connection.close()
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            if name.startswith(REPOSITORY) and not name.endswith("/"):
                privacy.look_at_bytes(bundle.read(name), f"file {name} in the archive")
    return privacy


def demand_privacy(findings: list[Finding], *, is_accepted: bool, is_scrubbed: bool) -> None:
    """Refuse to let something private leave, unless it is accepted or can be replaced.

    :raises InputError: naming what was found, where, and what to do.
    """
    if is_accepted or not findings:
        return
    if not is_scrubbed:
        raise InputError(
            f"{count(len(findings), 'private thing')} would leave with the package, nothing was written: "
            f"{tell(findings)}. Replace them with --scrub, or let them go with --accept-privacy"
        )
    stuck = [item for item in findings if not item.can_scrub]
    if stuck:
        raise InputError(
            f"{count(len(stuck), 'private thing')} cannot be replaced, being in files that are no text: "
            f"{tell(stuck)}. Nothing was written; let them go with --accept-privacy, or mark their nodes confidential"
        )


def tell(findings: list[Finding]) -> str:
    """Return findings in words, the first of them with their places."""
    shown = "; ".join(f"{item.kind} {item.text} ({item.place})" for item in findings[:SHOWN])
    return shown if len(findings) <= SHOWN else f"{shown}; and {len(findings) - SHOWN} more"
