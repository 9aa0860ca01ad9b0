"""Bring the results of a FINALES 2 server in, once, with their history."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.broker.results import amend_result, delete_result
from aiida_finales.broker.state import LOGGER_NAME, read_state
from aiida_finales.broker.status import ResultStatus
from aiida_finales.calculations.unsolicited import import_finales
from aiida_finales.data.capability import list_capabilities
from aiida_finales.data.nodes import make_dict, pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import StatusError, UnknownCapabilityError
from aiida_finales.schemas.finales_dump import Published, ServerClock, read_dump_file
from aiida_finales.schemas.words import be, count

#: SQLite accepts 32766 variables in a statement
_BATCH = 10_000
_CHANGES = {ResultStatus.DELETED.value: delete_result, ResultStatus.AMENDED.value: amend_result}


@dataclass(frozen=True)
class ImportedDump:
    """What came of a dump.

    :param results: the new ones.
    :param n_known: how many were here before.
    :param n_unanswered: requests without result, which are left out.
    :param unknown: how many results were left out by capability that nobody here knows.
    :param n_renewed: how many that were here before were amended or deleted on the server meanwhile.
    :param zones: how local times of the server were read, in words.
    """

    results: list[ResultData]
    n_known: int
    n_unanswered: int
    unknown: dict[str, int]
    n_renewed: int = 0
    zones: tuple[str, ...] = ()


def import_dump(path: Path, *, skip_unknown: bool = False, timezone: str | None = None) -> ImportedDump:
    """Store the results of a FINALES 2 server as unsolicited ones, with identity, status and history.

    :param path: SQLite database, JSON, or a folder with ``results_for_requests.json`` and ``requests.json``.
    :param skip_unknown: leave out results of capabilities that are not registered, instead of refusing all.
    :param timezone: of the server, for the local times that it wrote; default: what its own UTC times show, or that of
        this computer.
    :raises InputError: when the file cannot be understood; nothing is stored then.
    :raises UnknownCapabilityError: naming the capabilities that are not registered.
    """
    content, dump = read_dump_file(path, ServerClock(timezone))
    registered = {(node.quantity, node.method) for node in list_capabilities()}
    unknown = Counter(
        f"{item.quantity}/{item.method}" for item in dump.results if (item.quantity, item.method) not in registered
    )
    if unknown and not skip_unknown:
        named = ", ".join(f"{name} ({number})" for name, number in sorted(unknown.items()))
        raise UnknownCapabilityError(
            f"{count(unknown.total(), 'result')} of {path.name} {be(unknown.total())} of capabilities that are not "
            f"registered, nothing was stored: {named}. Register them, or leave them out with --skip-unknown"
        )
    known = _known([item.uuid for item in dump.results])
    usable = [item for item in dump.results if (item.quantity, item.method) in registered]
    new = {item.uuid: item for item in usable if item.uuid not in known}
    results = _store(content, path.name, {"uuids": list(new), "timezone": timezone}) if new else []
    for result in results:
        _tell_history(result, new[result.uuid])
    n_renewed = sum(_renew(item) for item in usable if item.uuid in known and item.status in _CHANGES)
    left_out = dict(sorted(unknown.items()))
    return ImportedDump(results, len(usable) - len(new), dump.n_unanswered, left_out, n_renewed, dump.zones)


def _known(uuids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(uuids), _BATCH):
        filters = {"uuid": {"in": uuids[start : start + _BATCH]}}
        found |= set(orm.QueryBuilder().append(ResultData, filters=filters, project="uuid").all(flat=True))
    return found


def _renew(published: Published) -> bool:
    """Give a result that was here before, as it was at first, the status that it has on the server now."""
    result: ResultData = orm.load_node(published.uuid)  # type: ignore[assignment]
    if read_state(pk_of(result)).get("status") != ResultStatus.ORIGINAL.value:
        return False
    _adopt_status(result, published)
    return True


def _store(content: bytes, name: str, settings: dict[str, Any]) -> list[ResultData]:
    file = orm.SinglefileData(io.BytesIO(content), filename=name)
    outputs, process = import_finales.run_get_node(file, make_dict(settings))
    if not process.is_finished_ok:
        raise StatusError(f"import of {name} failed in process <{process.pk}>: {process.exit_message}")
    results = dict(outputs or {})
    return [results[key] for key in sorted(results)]


def _tell_history(result: ResultData, published: Published) -> None:
    """Append to a result's history what the server logged, and give it the status that it had."""
    before: str | None = None
    who = published.tenant_uuid or "FINALES"
    for entry in published.history or ():
        _log(result, entry.time, who=who, before=before, after=entry.status, why=entry.why or "as published")
        before = entry.status
    if before is None:
        _log(result, published.time, who=who, before=None, after=ResultStatus.ORIGINAL.value, why="posted to FINALES")
    _adopt_status(result, published)


def _adopt_status(result: ResultData, published: Published) -> None:
    change = _CHANGES.get(published.status)
    if change is not None:
        why = published.history[-1].why if published.history else ""
        change(pk_of(result), "FINALES", why or f"{published.status} on the server that it comes from")


def _log(result: ResultData, time: str, *, who: str, before: str | None, after: str, why: str) -> None:
    """Append a line with the time at which it was so."""
    orm.Log(
        time=datetime.fromisoformat(time) if time else datetime.now(UTC),
        loggername=LOGGER_NAME,
        levelname="REPORT",
        dbnode_id=pk_of(result),
        message=f"{before or 'new'} -> {after} by {who}: {why}",
        metadata={"who": who, "from": before, "to": after, "why": why},
    )
