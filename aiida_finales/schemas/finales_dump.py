"""What a FINALES 2 server holds, read from its database (SQLite) or from JSON: results with their requests and history.

Names of tables and columns follow the published server (BIG-MAP/FINALES2, MIT): ``quantity``, ``tenant``, ``request``,
``result``, ``link_quantity_request``, ``link_quantity_result``, ``status_log_request``, ``status_log_result``.
Parameters and data are JSON texts, UUIDs have no dashes. Quantity and method stand in the row of ``quantity`` that is
linked; early versions had columns of their own. Underscores and a plural ``s`` in names of tables are ignored. JSON is
what its end points answer: lists of results and of requests, alone or under keys.

The server writes two kinds of time, and no zone with either. ``load_time`` is UTC, by the database; that of a request
or result moves with its status, that of a link or log does not. ``requesting_recieved_timestamp`` and
``posting_recieved_timestamp`` are local, by the server's clock; its end points answer the former as the ``ctime`` of a
request, and the ``load_time`` as that of a result.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import to_utc
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.words import count

#: results without identifier get one made of their content, so that the same is not stored twice
_CONTENT = UUID("0c2f1c0e-66f2-5d63-9f2c-2f1f5a4f0b10")
_SQLITE_MAGIC = b"SQLite format 3\0"
#: what a table may be called, by what it is; of each the columns without which it is of no use
TABLES = {"quantity": ("uuid", "quantity", "method"), "request": ("uuid",), "result": ("uuid", "data")}
_RESULT_KEYS = ("results", "results_for_requests", "results_requested", "result")
_REQUEST_KEYS = ("requests", "all_requests", "request")
#: offsets of zones are multiples of it
_QUARTER = timedelta(minutes=15)
#: between the two times that the server writes while it stores a row
_LONGEST_STORING = timedelta(minutes=2)
_LARGEST_OFFSET = timedelta(hours=15)


@dataclass(frozen=True)
class LogEntry:
    """A change of status; time in UTC, ISO 8601, or empty."""

    time: str
    status: str
    why: str


@dataclass(frozen=True)
class Published:
    """A result as a FINALES server has it.

    :param time: of posting, UTC, ISO 8601, or empty.
    :param status: ``original``, ``amended`` or ``deleted``.
    :param parameters: of the method.
    :param request: the request it answers, in the published form, or empty.
    """

    uuid: str
    time: str
    status: str
    quantity: str
    method: str
    data: Json
    parameters: Json
    tenant_uuid: str
    request: Json = field(default_factory=dict)
    history: tuple[LogEntry, ...] = ()


@dataclass(frozen=True)
class Dump:
    """Everything that was read; ``n_unanswered`` requests have no result.

    :param zones: how local times were read, in words.
    """

    results: tuple[Published, ...]
    n_unanswered: int
    zones: tuple[str, ...] = ()


class ServerClock:
    """Turns the local times of a server into UTC.

    :param name: of the server's zone, e.g. Europe/Berlin. Without, it is found where a UTC time was written at the same
        moment, and else it is taken to be that of this computer.
    :raises InputError: when there is no such zone.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.zones: set[str] = set()
        try:
            self._given = None if name is None else ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InputError(f"timezone is {name!r}, but accepted is a name such as Europe/Berlin, or UTC") from error

    def read(self, local: Any, same_moment: Any = None) -> str:
        """Return a local time in UTC, ISO 8601, or empty.

        :param same_moment: UTC, written when the local time was.
        """
        moment = _parse_time(local)
        if moment is None:
            return ""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._find_zone(moment, _parse_time(same_moment)))
        return moment.astimezone(UTC).isoformat()

    def _find_zone(self, moment: datetime, utc: datetime | None) -> tzinfo | None:
        if self._given is not None:
            self.zones.add(f"{self.name}, as you said")
            return self._given
        offset = None if utc is None else _offset(moment, utc)
        if offset is None:
            self.zones.add(f"{moment.astimezone().strftime('%Z')}, the zone of this computer")
            return moment.astimezone().tzinfo
        zone = timezone(offset)
        self.zones.add(f"{zone}, as the UTC times beside them show")
        return zone


def _offset(local: datetime, utc: datetime) -> timedelta | None:
    """Return by how much a clock was ahead of UTC, or ``None`` when the two times are not of one moment."""
    ahead = local - utc.replace(tzinfo=None)
    offset = round(ahead / _QUARTER) * _QUARTER
    is_near = abs(ahead - offset) <= _LONGEST_STORING and abs(offset) <= _LARGEST_OFFSET
    return offset if is_near else None


def read_dump(content: bytes, name: str, clock: ServerClock | None = None) -> Dump:
    """Return what a file holds.

    :param name: of the file, for messages.
    :param clock: of the server, for local times.
    :raises InputError: when it is neither, or naming each result that cannot be understood and why.
    """
    clock = clock or ServerClock()
    if content.startswith(_SQLITE_MAGIC):
        return _read_database(content, name, clock)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is neither an SQLite database nor JSON: {error}") from error
    return _read_json(document, name, clock)


def _read_json(document: Any, name: str, clock: ServerClock) -> Dump:
    results, requests = _split(document, name)
    found, defects = [], []
    asked = {str(item.get("uuid")): {**item, "ctime": clock.read(item.get("ctime"))} for item in requests}
    for number, item in enumerate(results, start=1):
        try:
            found.append(_from_json(item, asked))
        except InputError as error:
            defects.append(f"result {number}: {error}")
    return _dump(found, defects, asked, name, clock)


def _split(document: Any, name: str) -> tuple[list[Any], list[Json]]:
    """Return results and requests of a document: an object of lists, a list, or one result."""
    if isinstance(document, Mapping) and "data" not in document and not isinstance(document.get("result"), Mapping):
        results = next((document[key] for key in _RESULT_KEYS if isinstance(document.get(key), list)), None)
        requests: list[Any] = next((document[key] for key in _REQUEST_KEYS if isinstance(document.get(key), list)), [])
        if results is None:
            raise InputError(f"{name} has the keys {list(document)}, but accepted is a list under {_RESULT_KEYS}")
        return results, [item for item in requests if isinstance(item, dict)]
    return (document if isinstance(document, list) else [document]), []


def _from_json(item: Any, asked: Mapping[str, Json]) -> Published:
    if not isinstance(item, Mapping):
        raise InputError(f"it is {type(item).__name__}, but accepted is an object")
    body = item.get("result", item)
    if not isinstance(body, Mapping):
        raise InputError(f"'result' is {type(body).__name__}, but accepted is an object")
    request = asked.get(str(body.get("request_uuid")), {})
    history = [LogEntry(_time(entry.get("time")), str(entry.get("status")), str(entry.get("why") or ""))
               for entry in item.get("history") or [] if isinstance(entry, Mapping)]  # fmt: skip
    return _make(
        body,
        uuid=item.get("uuid"),
        time=item.get("ctime"),
        status=item.get("status"),
        request=request or ({"uuid": body["request_uuid"]} if body.get("request_uuid") else {}),
        history=history,
    )


def _make(body: Mapping[str, Any], **known: Any) -> Published:
    """Return a result of its published form; ``known`` is what stands around it."""
    quantity, method = body.get("quantity"), body.get("method")
    method = method[0] if isinstance(method, list) and len(method) == 1 else method
    parameters, data = body.get("parameters"), body.get("data")
    if not (isinstance(quantity, str) and isinstance(data, dict) and isinstance(parameters, dict)):
        raise InputError(f"it has {list(body)}, but needed are quantity, method, data and parameters")
    if not isinstance(method, str) and len(parameters) == 1:
        method = next(iter(parameters))
    if not isinstance(method, str):
        raise InputError(f"method is {method!r}, but accepted is exactly one")
    quantity, canonical = canonical_capability(quantity, method)
    used = parameters.get(method, parameters.get(canonical, parameters))
    if not isinstance(used, dict):
        raise InputError(f"parameters of {method} are {type(used).__name__}, but accepted is an object")
    status = str(known.get("status") or "original")
    return Published(
        uuid=_uuid(known.get("uuid")) or _content_uuid(body),
        time=_time(known.get("time")),
        status=status,
        quantity=quantity,
        method=canonical,
        data=data,
        parameters=used,
        tenant_uuid=_uuid(body.get("tenant_uuid")) or "",
        request=dict(known.get("request") or {}),
        history=tuple(known.get("history") or ()),
    )


def _dump(found: list[Published], defects: list[str], asked: Iterable[str], name: str, clock: ServerClock) -> Dump:
    if defects:
        shown = "; ".join(defects[:5])
        raise InputError(f"{count(len(defects), 'result')} of {name} cannot be understood, nothing was stored: {shown}")
    if not found:
        raise InputError(f"{name} has no result")
    answered = {str(item.request.get("uuid")) for item in found}
    return Dump(tuple(found), len(set(asked) - answered), tuple(sorted(clock.zones)))


def _read_database(content: bytes, name: str, clock: ServerClock) -> Dump:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    connection.row_factory = sqlite3.Row
    try:
        rows = _read_tables(connection, name)
    except sqlite3.DatabaseError as error:
        raise InputError(f"{name} is damaged: {error}") from error
    finally:
        connection.close()
    facts = {kind: _facts(rows, kind) for kind in ("request", "result")}
    requests = {str(_uuid(row["uuid"])): row for row in rows["request"]}
    found, defects = [], []
    for row in rows["result"]:
        uuid, asked = str(_uuid(row["uuid"])), str(_uuid(row.get("request_uuid")))
        try:
            request = _request(requests.get(asked, {}), facts["request"].get(asked, _NO_FACTS), clock)
            found.append(_from_row(row, facts["result"].get(uuid, _NO_FACTS), request, clock))
        except InputError as error:
            defects.append(f"result {uuid}: {error}")
    return _dump(found, defects, requests, name, clock)


@dataclass(frozen=True)
class _Facts:
    """What other tables say of a request or a result.

    :param of: its rows of ``quantity``, one for each method.
    :param stored: when it was stored, UTC, or ``None``.
    """

    of: tuple[Json, ...] = ()
    history: tuple[LogEntry, ...] = ()
    stored: Any = None


_NO_FACTS = _Facts()


def _facts(rows: Mapping[str, list[Json]], kind: str) -> dict[str, _Facts]:
    """Return what is said of each request or result, by its UUID."""
    quantities = {_uuid(row["uuid"]): row for row in rows["quantity"]}
    logs = _logs(rows[f"statuslog{kind}"], f"{kind}_uuid")
    of: dict[str, list[Json]] = {}
    stored: dict[str, Any] = {}
    for row in rows[f"linkquantity{kind}"]:
        uuid = str(_uuid(row.get(f"{kind}_uuid")))
        of.setdefault(uuid, []).extend(filter(None, [quantities.get(_uuid(row.get("method_uuid")))]))
        stored[uuid] = row.get("load_time")
    return {
        uuid: _Facts(
            tuple(of.get(uuid, ())), logs.get(uuid, ()), logs[uuid][0].time if uuid in logs else stored.get(uuid)
        )
        for uuid in {*of, *logs}
    }


def _read_tables(connection: sqlite3.Connection, name: str) -> dict[str, list[Json]]:
    names = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    simple = {_simplify(table): table for table in names}
    lacking = [table for table in TABLES if _simplify(table) not in simple]
    if lacking:
        raise InputError(
            f"{name} has the tables {', '.join(names) or 'none'}, but a database of FINALES 2 has {', '.join(TABLES)}; "
            f"lacking: {', '.join(lacking)}"
        )
    wanted = (*TABLES, *(f"{start}{kind}" for start in ("linkquantity", "statuslog") for kind in ("request", "result")))
    rows: dict[str, list[Json]] = {}
    for table in wanted:
        actual = simple.get(_simplify(table))
        found = connection.execute(f'SELECT * FROM "{actual}"').fetchall() if actual else []  # noqa: S608 - from the list
        rows[table] = [dict(row) for row in found]
        columns = {row[1] for row in connection.execute(f'PRAGMA table_info("{actual}")')} if actual else set()
        missing = [column for column in TABLES.get(table, ()) if column not in columns]
        if missing:
            raise InputError(f"table {actual} of {name} has the columns {sorted(columns)}, but lacks {missing}")
    return rows


def _simplify(table: str) -> str:
    words = table.lower().replace("_", "")
    words = words.replace("quantities", "quantity")
    return words.removesuffix("s") if not words.endswith("ss") else words


def _from_row(row: Json, facts: _Facts, request: Json, clock: ServerClock) -> Published:
    linked = facts.of[0] if facts.of else {}
    body = {
        "quantity": linked.get("quantity") or row.get("quantity") or request.get("quantity"),
        "method": linked.get("method") or row.get("method"),
        "parameters": _parse(row.get("parameters"), "parameters"),
        "data": _parse(row["data"], "data"),
        "tenant_uuid": row.get("posting_tenant_uuid") or row.get("tenant_uuid"),
    }
    if not isinstance(body["quantity"], str):
        raise InputError("no row of link_quantity_result leads to its row of quantity: what it is of cannot be told")
    local = clock.read(row.get("posting_recieved_timestamp"), facts.stored)
    time = local or _time(facts.stored or row.get("load_time"))
    return _make(body, uuid=row["uuid"], time=time, status=row.get("status"), request=request, history=facts.history)


def _request(row: Json, facts: _Facts, clock: ServerClock) -> Json:
    if not row:
        return {}
    local = clock.read(row.get("requesting_recieved_timestamp"), facts.stored)
    return {
        "uuid": str(_uuid(row["uuid"])),
        "ctime": local or _time(facts.stored or row.get("load_time")),
        "status": row.get("status"),
        "quantity": next((item.get("quantity") for item in facts.of), row.get("quantity")),
        "methods": [item.get("method") for item in facts.of],
        "parameters": _parse(row.get("parameters") or "{}", "parameters of the request"),
        "tenant_uuid": _uuid(row.get("requesting_tenant_uuid") or row.get("tenant_uuid")),
        "history": [vars(entry) for entry in facts.history],
    }


def _logs(rows: list[Json], key: str) -> dict[str, tuple[LogEntry, ...]]:
    found: dict[str, list[LogEntry]] = {}
    for row in rows:
        entry = LogEntry(
            _time(row.get("load_time")), str(row.get("status")), str(row.get("status_change_message") or "")
        )
        found.setdefault(str(_uuid(row.get(key))), []).append(entry)
    return {uuid: tuple(sorted(entries, key=lambda entry: entry.time)) for uuid, entries in found.items()}


def _parse(text: Any, what: str) -> Any:
    if not isinstance(text, (str, bytes)):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} are no JSON: {error}") from error


def _uuid(word: Any) -> str | None:
    """Return the canonical form of a UUID, or ``None`` where it is none."""
    try:
        return str(UUID(bytes=word)) if isinstance(word, bytes) and len(word) == 16 else str(UUID(str(word)))  # noqa: PLR2004
    except (TypeError, ValueError):
        return None


def _content_uuid(body: Mapping[str, Any]) -> str:
    return str(uuid5(_CONTENT, json.dumps(body, sort_keys=True)))


def _time(word: Any) -> str:
    """Return a time that is UTC without saying so, or that says its zone, in UTC."""
    moment = _parse_time(word)
    if moment is None:
        return ""
    return to_utc(moment).isoformat()


def _parse_time(word: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(word))
    except ValueError:
        return None


def read_dump_file(path: Path, clock: ServerClock | None = None) -> tuple[bytes, Dump]:
    """Return content and meaning of a file, or of a folder with ``results_for_requests.json`` and ``requests.json``.

    :param clock: of the server, for local times.
    :raises InputError: when it cannot be read or understood.
    """
    if path.is_dir():
        try:
            documents = {
                key: json.loads((path / f"{key}.json").read_bytes()) for key in ("results_for_requests", "requests")
            }
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} has no results_for_requests.json and requests.json: {error}") from error
        content = json.dumps(documents).encode()
    else:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    return content, read_dump(content, path.name, clock)
