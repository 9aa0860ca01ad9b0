"""Write an archive again: in an order that depends on its content alone, without what must not leave.

Two archives of the same nodes are the same bytes: rows are sorted and numbered anew, times in the zip are fixed. What
is changed in a file changes its key (SHA-256), which is changed in its nodes, too.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from aiida_finales.data.active import ACTIVE, IMPORTED
from aiida_finales.data.campaign import NOTES
from aiida_finales.fair.package.archive import DATABASE, META, REPOSITORY, WITHHELD, extract_database
from aiida_finales.fair.package.privacy import as_text

Row = dict[str, Any]
Tables = dict[str, list[Row]]

#: of all files in our zips: the earliest that a zip can tell; a date of writing would change the bytes
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
#: of compression in our zips
LEVEL = 6
#: tables in the order in which they refer to each other, with what sorts their rows and what refers to other tables
ORDER: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "db_dbuser": (("email",), {}),
    "db_dbcomputer": (("uuid",), {}),
    "db_dbnode": (("ctime", "uuid"), {"dbcomputer_id": "db_dbcomputer", "user_id": "db_dbuser"}),
    "db_dbgroup": (("uuid",), {"user_id": "db_dbuser"}),
    "db_dbgroup_dbnodes": (("dbgroup_id", "dbnode_id"), {"dbnode_id": "db_dbnode", "dbgroup_id": "db_dbgroup"}),
    "db_dblink": (
        ("input_id", "output_id", "type", "label"),
        {"input_id": "db_dbnode", "output_id": "db_dbnode"},
    ),
    "db_dblog": (("time", "uuid"), {"dbnode_id": "db_dbnode"}),
    "db_dbcomment": (("ctime", "uuid"), {"dbnode_id": "db_dbnode", "user_id": "db_dbuser"}),
}
LINKS = "db_dblink"
#: columns that hold no words of anybody
_FIXED = {"id", "uuid", "node_type", "process_type", "type_string", "ctime", "mtime", "time", "repository_metadata"}
#: what is kept of a withheld process: without it AiiDA takes the process for one that still runs
_KEPT_OF_PROCESS = ("process_state", "process_label", "sealed", "exit_status", "version")
#: extra with which AiiDA finds nodes to copy instead of computing them again
CACHE_KEY = "_aiida_hash"
_DICT = "data.core.dict.Dict."


@dataclass(frozen=True)
class Changes:
    """What becomes different.

    :param scrub: replaces what is private in a text.
    :param withheld: UUIDs of nodes of which only the existence is told.
    :param is_final: whether the archive stays; what is written again at once is not compressed.
    :param group: a group to add: ``uuid``, ``label``, ``type_string``, ``time``, ``description``, ``extras``, and
        ``members`` (UUIDs); those that are not in the archive are left out.
    """

    scrub: Callable[[str], str] | None = None
    withheld: frozenset[str] = frozenset()
    group: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = True


def rewrite_archive(source: Path, target: Path, changes: Changes) -> None:
    """Write an archive again with changes."""
    with tempfile.TemporaryDirectory() as folder:
        metadata = extract_database(source, Path(folder) / "before")
        before = sqlite3.connect(Path(folder) / "before")
        before.row_factory = sqlite3.Row
        statements = before.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        schema = [_sort_constraints(row[0]) for row in statements]
        tables: Tables = {name: _read_rows(before, name) for name in ORDER}
        before.close()
        if changes.group:
            _add_group(tables, changes.group)
        _forget_profile(tables)
        _withhold(tables, changes.withheld)
        with zipfile.ZipFile(source) as bundle:
            used = {key for row in tables["db_dbnode"] for key in _keys(row)}
            contents = _scrub_objects(bundle, used, changes.scrub)
            _scrub_rows(tables, changes.scrub, {key: new for key, (new, _) in contents.items() if new != key})
            _sort(tables)
            _write_database(Path(folder) / "after", schema, tables)
            metadata = _metadata(metadata, tables)
            level = LEVEL if changes.is_final else 0
            _write_zip(target, metadata, Path(folder) / "after", bundle, contents, level)


def _read_rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - names are AiiDA's
    if table == LINKS:
        # a suggestion may be linked to all before it: of a thousand that is half a million rows with few words
        for row in rows:
            row["label"], row["type"] = sys.intern(row["label"]), sys.intern(row["type"])
    return rows


def write_entry(bundle: zipfile.ZipFile, name: str, content: bytes, level: int = LEVEL) -> None:
    """Write a file into a zip without date, owner or rights of this computer.

    :param level: of compression, 0 to 9.
    """
    info = zipfile.ZipInfo(name, ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    bundle.writestr(info, content, compresslevel=level)


def _add_group(tables: Tables, group: Mapping[str, Any]) -> None:
    if any(row["uuid"] == group["uuid"] for row in tables["db_dbgroup"]):
        return
    user = min(row["id"] for row in tables["db_dbuser"])
    columns = ("uuid", "label", "type_string", "time", "description", "extras")
    tables["db_dbgroup"].append({"id": 0, **{key: group[key] for key in columns}, "user_id": user})
    members = set(group["members"])
    for row in tables["db_dbnode"]:
        if row["uuid"] in members:
            tables["db_dbgroup_dbnodes"].append({"id": 0, "dbnode_id": row["id"], "dbgroup_id": 0})


def _forget_profile(tables: Tables) -> None:
    """Leave out what is about the profile and not about the data: keys of the cache, and who is active in it.

    AiiDA drops the former at an import; with the latter an import would change who is asked in the other profile.
    """
    for row in tables["db_dbnode"]:
        extras = json.loads(row["extras"] or "{}")
        kept = {key: value for key, value in extras.items() if key not in (CACHE_KEY, ACTIVE, IMPORTED)}
        if len(kept) < len(extras):
            row["extras"] = json.dumps(kept)


def _withhold(tables: Tables, withheld: frozenset[str]) -> None:
    """Leave of nodes what they are linked to, and nothing of what they say; nor of what others logged about them."""
    if not withheld:
        return
    silent = {row["id"] for row in tables["db_dbnode"] if row["uuid"] in withheld}
    silent |= _involved(tables, silent)
    for row in tables["db_dbnode"]:
        if row["uuid"] not in withheld:
            continue
        attributes: Row = {WITHHELD: "confidential"}
        if row["node_type"].startswith("process."):
            before = json.loads(row["attributes"] or "{}")
            attributes |= {key: before[key] for key in _KEPT_OF_PROCESS if key in before}
        else:
            row["node_type"] = _DICT
        row.update(attributes=json.dumps(attributes), extras="{}", repository_metadata="{}", label="", description="")
    for name in ("db_dblog", "db_dbcomment"):
        tables[name] = [row for row in tables[name] if row["dbnode_id"] not in silent]
    for row in tables["db_dbgroup"]:  # notes of a campaign say in words why it did not learn from some of its results
        extras = json.loads(row["extras"] or "{}")
        row["extras"] = json.dumps({key: value for key, value in extras.items() if key != NOTES})


def _involved(tables: Tables, nodes: set[int]) -> set[int]:
    """Return the workflows that called, used or returned something withheld: their log lines tell of it."""
    found: set[int] = set()
    more = set(nodes)
    while more:
        more = {
            row["input_id"]
            for row in tables["db_dblink"]
            if (row["type"] in ("call_calc", "call_work", "return") and row["output_id"] in nodes | found)
        } - found
        found |= more
    return found


def _keys(row: Row) -> Iterable[str]:
    from aiida_finales.fair.package.archive import list_files

    return (key for _, key in list_files(json.loads(row["repository_metadata"] or "{}")))


def _scrub_objects(
    bundle: zipfile.ZipFile, used: set[str], scrub: Callable[[str], str] | None
) -> dict[str, tuple[str, bytes | None]]:
    """Return new key and, where it was changed, new content by the key of each file in use."""
    found: dict[str, tuple[str, bytes | None]] = {}
    for key in sorted(used):
        found[key] = (key, None)
        text = as_text(bundle.read(f"{REPOSITORY}{key}")) if scrub else None
        if scrub is None or text is None:
            continue
        content = scrub(text).encode()
        if content != text.encode():
            found[key] = (hashlib.sha256(content).hexdigest(), content)
    return found


def _scrub_rows(tables: Tables, scrub: Callable[[str], str] | None, keys: Mapping[str, str]) -> None:
    if scrub is None:
        return
    for name, rows in tables.items():
        replace = cache(scrub) if name == LINKS else scrub
        for row in rows:
            for column, value in row.items():
                if isinstance(value, str) and column not in _FIXED:
                    row[column] = replace(value)
    for row in tables["db_dbnode"]:
        for key in set(_keys(row)) & set(keys):
            row["repository_metadata"] = row["repository_metadata"].replace(key, keys[key])


def _sort(tables: Tables) -> None:
    """Sort and number the rows of each table; what refers to a row follows its number."""
    numbers: dict[str, dict[int | None, int | None]] = {}
    for name, (columns, references) in ORDER.items():
        for row in tables[name]:
            for column, other in references.items():
                row[column] = numbers[other][row[column]]
        tables[name].sort(key=itemgetter(*columns))
        numbers[name] = {None: None}
        for number, row in enumerate(tables[name], start=1):
            numbers[name][row["id"]] = number
            row["id"] = number


def _write_database(path: Path, schema: list[str], tables: Tables) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in schema:
            connection.execute(statement)
        for name, rows in tables.items():
            if rows:
                columns = list(rows[0])
                places = ", ".join("?" for _ in columns)
                words = ", ".join(f'"{column}"' for column in columns)
                statement = f"INSERT INTO {name} ({words}) VALUES ({places})"  # noqa: S608 - names are AiiDA's
                connection.executemany(statement, map(itemgetter(*columns), rows))
    connection.execute("VACUUM")
    connection.close()


def _sort_constraints(statement: str) -> str:
    """Return how a table is made with its constraints sorted: AiiDA writes them in any order."""
    if not statement.startswith("CREATE TABLE"):
        return statement
    head, *lines = statement.rstrip().removesuffix(")").split("\n\t")
    lines = [line.rstrip(", \n") for line in lines]
    columns = [line for line in lines if not line.startswith("CONSTRAINT ")]
    constraints = sorted(line for line in lines if line.startswith("CONSTRAINT "))
    return f"{head}\n\t" + ",\n\t".join([*columns, *constraints]) + "\n)"


def _metadata(before: Row, tables: Tables) -> Row:
    """Return what AiiDA wants to know of an archive; it was made when its youngest node was."""
    kept: Row = {key: before[key] for key in ("export_version", "aiida_version", "key_format") if key in before}
    youngest = max((row["ctime"] for row in tables["db_dbnode"]), default="")
    return {**kept, "compression": 6, "ctime": youngest.replace(" ", "T")}


def _write_zip(
    target: Path,
    metadata: Row,
    database: Path,
    bundle: zipfile.ZipFile,
    contents: Mapping[str, tuple[str, bytes | None]],
    level: int,
) -> None:
    with zipfile.ZipFile(target, "w") as written:
        write_entry(written, META, json.dumps(metadata).encode(), level)
        write_entry(written, DATABASE, database.read_bytes(), level)
        done: set[str] = set()
        for key, (new, content) in sorted(contents.items(), key=lambda item: item[1][0]):
            if new not in done:
                done.add(new)
                kept = bundle.read(f"{REPOSITORY}{key}") if content is None else content
                write_entry(written, f"{REPOSITORY}{new}", kept, level)
