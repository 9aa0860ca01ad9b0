"""Bring a file of measured values in, once."""

from __future__ import annotations

import hashlib
import io
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.patience import claim_writing
from aiida_finales.broker.results import amend_result, is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.unsolicited import check_rows, demand_plausible, import_results, row_of
from aiida_finales.data.capability import find_capability
from aiida_finales.data.nodes import make_dict, pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError, StatusError, explain_os_error
from aiida_finales.operations.request.serving import who_am_i
from aiida_finales.schemas import Json
from aiida_finales.schemas.document import demand_keys, read_document
from aiida_finales.schemas.formulation import find_formulation, fractions
from aiida_finales.schemas.result_table import RowResult, row_key, source_of
from aiida_finales.schemas.table import Dialect, decode
from aiida_finales.schemas.table_map import TableMap, parse_map
from aiida_finales.schemas.values import read_values, unit_of
from aiida_finales.science.electrolyte.composition import describe

MD5 = "md5"
Say = Callable[[str], None]
#: rows that are stored in one transaction. A row takes some 5 ms, and nobody else can write to SQLite meanwhile
BLOCK = 200


@dataclass(frozen=True)
class Way:
    """How a file is brought in.

    :param encoding: of the file; default: UTF-8, or what its first bytes say. A map has its own.
    :param dialect: how a table without map is written.
    :param is_sure: numbers that are not to be expected are right.
    :param is_amending: rows that are here with another reference, rating or tenant are stored anew, and replaced.
    :param is_dry: nothing is stored.
    """

    encoding: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
    is_sure: bool = False
    is_amending: bool = False
    is_dry: bool = False


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    :param results: one per row, in their order.
    :param n_new: how many of them were not here before.
    :param n_differing: how many were here with another reference, rating or tenant than was said now.
    :param others: what became of the same content when it was read in another way, with another map for example.
    :param planned: what the rows say that would be stored, where nothing is.
    """

    results: list[ResultData]
    n_new: int
    n_differing: int = 0
    others: tuple[ResultData, ...] = ()
    planned: tuple[Json, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether anything was stored."""
        return self.n_new > 0

    @property
    def n_known(self) -> int:
        """How many results were here before."""
        return len(self.results) - self.n_new


@dataclass(frozen=True, eq=False)
class _Known:
    """A result that a row of an earlier import became."""

    result: ResultData
    source: str
    rating: int | None
    tenant: str
    file_name: str
    file_digest: str
    is_usable: bool

    def differs(self, row: RowResult, settings: dict[str, Any]) -> bool:
        """Return whether something else was said of it now; what was not said is no difference."""
        return (
            ("rating" in settings and self.rating != settings["rating"])
            or bool(source_of(row.data) and self.source != source_of(row.data))
            or bool(settings.get("tenant") and self.tenant != settings["tenant"])
        )


def check_table(path: Path, quantity: str, method: str) -> None:
    """Look at every row of a file, as an import would.

    :raises InputError: when it cannot be read, or naming each row that cannot be used and why.
    :raises UnknownCapabilityError: when quantity or method is not registered.
    """
    settings = _complete({}, quantity, method)
    text = _read(path)
    rows = check_rows(text, settings)
    known, _ = _find_known(rows, settings, path.name, _digest(text))
    demand_plausible({number: row for number, row in rows.items() if number not in known}, settings)


def read_map(path: Path) -> TableMap:
    """Return a map of columns from a YAML file.

    :raises InputError: when it cannot be read or used.
    """
    return parse_map(demand_keys(read_document(path, what="map", is_json=False), f"map {path}", "quantity: density"))


def import_mapped(
    path: Path, table_map: TableMap, tenant: str | None = None, say: Say | None = None, way: Way | None = None
) -> Imported:
    """Store one unsolicited result per row of a table with other columns than ours; see :func:`import_file`.

    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    settings: dict[str, Any] = {"reference": table_map.reference, "map": table_map.model_dump(mode="json")}
    if table_map.rating is not None:
        settings["rating"] = table_map.rating
    settings = _complete(settings, table_map.quantity, table_map.method, tenant)
    return _import(path, settings, say, replace(way or Way(), encoding=table_map.encoding))


def import_file(  # noqa: PLR0913 - one argument for each thing that may be said of a table
    path: Path,
    quantity: str,
    method: str = "literature",
    *,
    reference: str = "",
    rating: int | None = None,
    tenant: str | None = None,
    say: Say | None = None,
    way: Way | None = None,
) -> Imported:
    """Store one unsolicited result per row, but for the rows that are here already.

    A row is here when it says the same as one that was imported from a file of the same name or content, or from a
    source and tenant that are the same or were not said: a file that has grown, or an import that was interrupted, goes
    on with what is new.

    :param reference: where the data come from, e.g. a DOI.
    :param rating: 1 to 5, of all rows.
    :param tenant: name or UUID of the tenant who measured.
    :param say: is told how far it is.
    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    way = way or Way()
    settings: dict[str, Any] = {"reference": reference, "dialect": asdict(way.dialect)}
    if rating is not None:
        settings["rating"] = rating
    return _import(path, _complete(settings, quantity, method, tenant), say, way)


def _complete(settings: dict[str, Any], quantity: str, method: str, tenant: str | None = None) -> dict[str, Any]:
    """Return settings with what they are of, and who measured."""
    capability = find_capability(quantity, method)
    who = {} if tenant is None else {"tenant": find_tenant(tenant).tenant_uuid}
    return {"quantity": capability.quantity, "method": capability.method, **settings, **who}


def _import(path: Path, settings: dict[str, Any], say: Say | None, way: Way) -> Imported:
    text = _read(path, way.encoding)
    rows = check_rows(text, settings)
    known, others = _find_known(rows, settings, path.name, _digest(text))
    differing = [number for number, item in known.items() if item.differs(rows[number], settings)]
    missing = [number for number in rows if number not in known or (way.is_amending and number in differing)]
    if way.is_sure:
        settings = {**settings, "is_sure": True}
    else:
        demand_plausible({number: rows[number] for number in missing}, settings)
    done = {number: item.result for number, item in known.items() if number not in missing}
    if way.is_dry:
        planned = tuple(_describe(rows[number], settings) for number in missing)
        return Imported([*done.values()], 0, len(differing), others, planned)
    for first, end in _split(missing):
        done |= _import_block(_store_file(text, path.name), {**settings, "rows": [first, end]}, path)
        if say is not None:
            say(f"{len(done)} of {len(rows)} rows are stored")
    replaced = [number for number in differing if number in missing]
    for number in replaced:
        why = "imported again with another reference, rating or tenant"
        amend_result(pk_of(known[number].result), who_am_i(), why, done[number])
    return Imported([done[number] for number in rows], len(missing), len(differing) - len(replaced), others)


def _describe(row: RowResult, settings: Json) -> Json:
    """Return what a row says, as a row of a list of results."""
    quantity = settings["quantity"]
    numbers = [value.value for value in read_values(quantity, row.data)]
    formulation = find_formulation(row.parameters)
    return {
        **{key: settings[key] for key in ("quantity", "method")},
        "value": math.fsum(numbers) / len(numbers) if numbers else None,
        "unit": unit_of(quantity),
        "formulation": describe(fractions(formulation)) if formulation else None,
        "temperature_K": row.parameters.get("temperature"),
    }


def _find_known(
    rows: dict[int, RowResult], settings: dict[str, Any], name: str, digest: str
) -> tuple[dict[int, _Known], tuple[ResultData, ...]]:
    """Return the results of earlier imports by the number of the row that says the same; each stands for one row.

    Beside them: usable results of the same content that no row says now.
    """
    keys = {number: row_key(row.data, row.parameters, is_simulated=row.is_simulated) for number, row in rows.items()}
    pool = _read_imported(settings)
    found: dict[int, _Known] = {}
    tests: list[Callable[[_Known, RowResult], bool]] = [
        lambda item, row: item.source == source_of(row.data) and item.tenant == settings.get("tenant", ""),
        lambda item, _: name == item.file_name or digest == item.file_digest,
        lambda item, row: _may_be(item.source, source_of(row.data)) and _may_be(item.tenant, settings.get("tenant")),
    ]
    for is_same in tests:
        for number in [number for number in rows if number not in found]:
            stored = pool.get(keys[number], deque())
            fitting = next((item for item in stored if is_same(item, rows[number])), None)
            if fitting is not None:
                stored.remove(fitting)
                found[number] = fitting
    rest = [item for stored in pool.values() for item in stored if item.file_digest == digest and item.is_usable]
    return found, tuple(item.result for item in rest)


def _may_be(stored: str, said: str | None) -> bool:
    """Return whether two words may be of one thing: what was not said contradicts nothing."""
    return not stored or not said or stored == said


def _read_imported(settings: dict[str, Any]) -> dict[str, deque[_Known]]:
    """Return the results of all imports of a capability by what they say; of one that was replaced the newer one."""
    query = orm.QueryBuilder()
    query.append(orm.SinglefileData, tag="file", project=["attributes.filename", f"attributes.{MD5}"])
    query.append(
        orm.CalcFunctionNode, with_incoming="file", filters={"attributes.process_label": "import_results"}, tag="import"
    )
    columns = ("data", "parameters", "simulated", "rating", "tenant_uuid")
    query.append(
        ResultData,
        with_incoming="import",
        filters={f"attributes.{key}": settings[key] for key in ("quantity", "method")},
        project=["*", f"extras.{STATE}", *(f"attributes.{column}" for column in columns)],
        tag="result",
    )
    query.order_by({"result": "id"})
    found: dict[str, list[tuple[_Known, str | None]]] = {}
    for file_name, digest, result, state, data, parameters, simulated, rating, tenant in query.all():
        known = _Known(
            result, source_of(data), rating, tenant or "", str(file_name), str(digest), is_usable(state or {})
        )
        key = row_key(data, parameters, is_simulated=bool(simulated))
        found.setdefault(key, []).append((known, (state or {}).get("replacement")))
    return {key: deque(_without_replaced(items)) for key, items in found.items()}


def _without_replaced(items: list[tuple[_Known, str | None]]) -> Iterable[_Known]:
    """Return of results that say the same those that none of the others replaced."""
    uuids = {item.result.uuid for item, _ in items}
    return (item for item, replacement in items if replacement not in uuids)


def _split(numbers: list[int]) -> list[tuple[int, int]]:
    """Return blocks of rows that follow each other: the first of each, and the one after its last."""
    blocks: list[tuple[int, int]] = []
    for number in numbers:
        first, end = blocks[-1] if blocks else (0, 0)
        if number == end and end - first < BLOCK:
            blocks[-1] = (first, number + 1)
        else:
            blocks.append((number, number + 1))
    return blocks


def _import_block(file: orm.SinglefileData, settings: dict[str, Any], path: Path) -> dict[int, ResultData]:
    """Import some rows: all of them are stored in one transaction, or none.

    :returns: the results by the number of the row.
    """
    storage: Any = get_manager().get_profile_storage()
    with storage.transaction() as session:
        claim_writing(session)
        outputs, process = import_results.run_get_node(file, make_dict(settings))
        if not process.is_finished_ok:
            raise StatusError(f"import of {path} failed: {process.exit_message}")
    return {row_of(label): result for label, result in dict(outputs or {}).items()}


def _read(path: Path, encoding: str | None = None) -> str:
    try:
        return decode(path.read_bytes(), path.name, encoding)
    except OSError as error:
        raise InputError(explain_os_error(error, path)) from error


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _store_file(text: str, name: str) -> orm.SinglefileData:
    """Return a file of this name and content, in UTF-8; the one that is here, if there is one."""
    filters = {f"attributes.{MD5}": _digest(text), "attributes.filename": name}
    found: orm.SinglefileData | None = orm.QueryBuilder().append(orm.SinglefileData, filters=filters).first(flat=True)
    if found is not None:
        return found
    file = orm.SinglefileData(io.BytesIO(text.encode()), filename=name)
    file.base.attributes.set(MD5, _digest(text))
    return file.store()
