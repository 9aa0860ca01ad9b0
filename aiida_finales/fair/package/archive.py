"""An AiiDA archive as plain rows, read without a profile.

An archive (``.aiida``) is a zip of ``metadata.json``, ``db.sqlite3`` and ``repo/<SHA-256 of the content>``.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from aiida_finales.data import nodes
from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.container import copy_member, open_zip
from aiida_finales.schemas import Json

DATABASE, META, REPOSITORY = "db.sqlite3", "metadata.json", "repo/"
#: the only format of AiiDA 2
FORMAT = "main_0001"
#: bytes of its description
_LARGEST_META = 10**7
#: bytes of a file of a node: it is read as a whole
LARGEST_OBJECT = 4 * 10**9
#: extra on a node: how far it may go
OPENNESS = nodes.OPENNESS
#: attribute of what is left of a node that must not leave
WITHHELD = "finales_withheld"
#: plugin types of our data nodes
TYPES = {
    name: f"data.finales.{name}.{words}Data."
    for name, words in {
        "capability": "Capability",
        "lifetime_model": "LifetimeModel",
        "potential": "Potential",
        "request": "Request",
        "result": "Result",
        "sample": "Sample",
        "suggestion": "Suggestion",
        "tenant": "Tenant",
        "training_set": "TrainingSet",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the provenance graph.

    :param time: of creation, UTC, ISO 8601 without zone; ``changed``: of the last change.
    :param files: key of the content by path within the node.
    """

    uuid: str
    node_type: str
    process_type: str
    label: str
    time: str
    changed: str
    attributes: Json
    extras: Json
    files: dict[str, str]

    @property
    def is_process(self) -> bool:
        """Whether it is a process."""
        return self.node_type.startswith("process.")

    @property
    def is_withheld(self) -> bool:
        """Whether only its existence is told."""
        return WITHHELD in self.attributes

    @property
    def state(self) -> Json:
        """The status that the broker gave it, with what belongs to it."""
        return dict(self.extras.get("finales") or {})


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the provenance graph, from input to output; ``kind`` in AiiDA's words, e.g. ``create``."""

    source: str
    target: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log of a node; time in UTC, ISO 8601 without zone."""

    uuid: str
    node: str
    time: str
    logger: str
    message: str
    metadata: Json


@dataclass(frozen=True)
class Group:
    """A group of nodes; members by UUID, sorted."""

    uuid: str
    label: str
    kind: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """What is in an archive; nodes by time and UUID, links and log lines sorted."""

    path: Path
    metadata: Json
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    logs: tuple[LogLine, ...]
    groups: tuple[Group, ...]
    computers: tuple[Json, ...] = field(default=())

    @cached_property
    def by_uuid(self) -> dict[str, Node]:
        """The nodes."""
        return {node.uuid: node for node in self.nodes}

    @cached_property
    def incoming(self) -> dict[str, list[Link]]:
        """The links into each node."""
        return _group(self.links, "target")

    @cached_property
    def outgoing(self) -> dict[str, list[Link]]:
        """The links out of each node."""
        return _group(self.links, "source")

    def of_type(self, name: str) -> list[Node]:
        """Return the nodes of one of our :data:`TYPES`, the oldest first."""
        return [node for node in self.nodes if node.node_type == TYPES[name]]

    def processes(self) -> list[Node]:
        """Return the processes, the oldest first."""
        return [node for node in self.nodes if node.is_process]

    def creator_of(self, node: Node) -> Node | None:
        """Return the calculation that made a node."""
        found = (link.source for link in self.incoming.get(node.uuid, []) if link.kind == "create")
        return next((self.by_uuid[uuid] for uuid in found), None)

    def read_object(self, key: str) -> bytes:
        """Return the content of a file.

        :raises InputError: when it is too large to be held in memory.
        """
        size = self._bundle.getinfo(f"{REPOSITORY}{key}").file_size
        if size > LARGEST_OBJECT:
            raise InputError(
                f"{self.path.name}: file {key} has {size / 1e9:.3g} GB, accepted are {LARGEST_OBJECT / 1e9:g}"
            )
        return self._bundle.read(f"{REPOSITORY}{key}")

    @cached_property
    def _bundle(self) -> zipfile.ZipFile:
        """The zip, opened once: whoever opens it reads the whole list of its files, of which there are thousands."""
        return zipfile.ZipFile(self.path)


def _group(links: tuple[Link, ...], end: str) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(getattr(link, end), []).append(link)
    return found


def read_archive(path: Path) -> Archive:
    """Return what is in an archive.

    :raises InputError: when it is none, or of another format.
    """
    with tempfile.TemporaryDirectory() as folder:
        metadata = extract_database(path, Path(folder) / DATABASE)
        connection = sqlite3.connect(Path(folder) / DATABASE)
        connection.row_factory = sqlite3.Row
        try:
            uuids = {row["id"]: row["uuid"] for row in connection.execute("SELECT id, uuid FROM db_dbnode")}
            return Archive(
                path,
                metadata,
                tuple(sorted(_read_nodes(connection), key=lambda node: (node.time, node.uuid))),
                tuple(sorted(_read_links(connection, uuids), key=attrgetter("source", "target", "label", "kind"))),
                tuple(sorted(_read_logs(connection, uuids), key=lambda line: (line.time, line.node, line.message))),
                tuple(_read_groups(connection, uuids)),
                tuple(dict(row) for row in connection.execute("SELECT * FROM db_dbcomputer ORDER BY uuid")),
            )
        except (sqlite3.DatabaseError, KeyError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is damaged: {error}") from error
        finally:
            connection.close()


def extract_database(path: Path, target: Path) -> Json:
    """Write the database of an archive to a file; return the archive's metadata.

    :raises InputError: when it is no archive, or of another format.
    """
    with open_zip(path, "AiiDA archive") as bundle:
        try:
            if bundle.getinfo(META).file_size > _LARGEST_META:
                raise InputError(f"{path} is no AiiDA archive: its {META} is too large")
            metadata: Json = json.loads(bundle.read(META))
            copy_member(bundle, DATABASE, target)
        except (KeyError, RecursionError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is no AiiDA archive: {error}") from error
    if not isinstance(metadata, dict):
        raise InputError(f"{path} is no AiiDA archive: its {META} is no object")
    if metadata.get("export_version") != FORMAT:
        raise InputError(f"{path} has format {metadata.get('export_version')}, but accepted is {FORMAT}: migrate it")
    return metadata


def list_files(tree: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and key of each file of a node's repository."""
    for name, item in sorted((tree.get("o") or {}).items()):
        if "k" in item:
            yield f"{prefix}{name}", item["k"]
        else:
            yield from list_files(item, f"{prefix}{name}/")


def _read_nodes(connection: sqlite3.Connection) -> Iterator[Node]:
    for row in connection.execute("SELECT * FROM db_dbnode"):
        yield Node(
            row["uuid"],
            sys.intern(row["node_type"]),
            sys.intern(row["process_type"] or ""),
            row["label"],
            to_iso(row["ctime"]),
            to_iso(row["mtime"]),
            _load(row["attributes"]),
            _load(row["extras"]),
            dict(list_files(_load(row["repository_metadata"]))),
        )


def _load(text: str | None) -> Json:
    """Return a document; all share the words of their keys, which are a good part of ten thousand of them."""
    document: Json = json.loads(text or "{}", object_pairs_hook=_share_keys)
    return document


def _share_keys(pairs: list[tuple[str, Any]]) -> Json:
    return {sys.intern(key): value for key, value in pairs}


def _read_links(connection: sqlite3.Connection, uuids: dict[int, str]) -> Iterator[Link]:
    for row in connection.execute("SELECT * FROM db_dblink"):
        # a suggestion may be linked to all before it: of a thousand that is half a million links with few words
        label, kind = sys.intern(row["label"]), sys.intern(row["type"])
        yield Link(uuids[row["input_id"]], uuids[row["output_id"]], label, kind)


def _read_logs(connection: sqlite3.Connection, uuids: dict[int, str]) -> Iterator[LogLine]:
    for row in connection.execute("SELECT * FROM db_dblog"):
        metadata = _load(row["metadata"])
        node = uuids[row["dbnode_id"]]
        yield LogLine(row["uuid"], node, to_iso(row["time"]), row["loggername"], row["message"], metadata)


def _read_groups(connection: sqlite3.Connection, uuids: dict[int, str]) -> Iterator[Group]:
    members: dict[int, list[str]] = {}
    for row in connection.execute("SELECT dbgroup_id, dbnode_id FROM db_dbgroup_dbnodes"):
        members.setdefault(row["dbgroup_id"], []).append(uuids[row["dbnode_id"]])
    for row in connection.execute("SELECT id, uuid, label, type_string FROM db_dbgroup ORDER BY uuid"):
        yield Group(row["uuid"], row["label"], row["type_string"], tuple(sorted(members.get(row["id"], []))))


def to_iso(text: str) -> str:
    """Return a time of the database in ISO 8601 with microseconds, without zone (it is UTC)."""
    words = text.replace(" ", "T")
    return words if "." in words else f"{words}.000000"
