"""Bring a file of measured values in, once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.patience import claim_writing
from aiida_finales.calculations.import_results import check_rows, import_results, map_columns, row_of
from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.nodes import make_dict
from aiida_finales.schemas.table_map import TableMap, parse_map

MD5 = "md5"
Say = Callable[[str], None]
#: rows that are stored in one transaction. A row takes some 5 ms, and nobody else can write to SQLite meanwhile
BLOCK = 200


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    :param is_new: false when the same content was imported before; the results are those of then.
    """

    results: list[ResultData]
    is_new: bool


def check_table(path: Path, quantity: str, method: str) -> None:
    """Look at every row of a file, unless its content was imported before.

    :raises InputError: when it cannot be read, or naming each row that cannot be used and why.
    :raises UnknownCapabilityError: when quantity or method is not registered.
    """
    capability, content = find_capability(quantity, method), _read(path)
    if not _find_imported(content, capability)[1]:
        check_rows(content, capability.quantity, capability.method)


def read_map(path: Path) -> TableMap:
    """Return a map of columns from a YAML file.

    :raises InputError: when it cannot be read or used.
    """
    try:
        return parse_map(yaml.safe_load(_read(path)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"map {path} is no YAML: {error}") from error


def import_mapped(path: Path, table_map: TableMap, tenant: str | None = None, say: Say | None = None) -> Imported:
    """Store one unsolicited result per row of a table with other columns than ours; see :func:`import_file`.

    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    settings: dict[str, Any] = {"reference": table_map.reference, "map": table_map.model_dump(mode="json")}
    if table_map.rating is not None:
        settings["rating"] = table_map.rating
    return _import(path, find_capability(table_map.quantity, table_map.method), settings, tenant, say)


def import_file(  # noqa: PLR0913 - one argument for each thing that may be said of a table
    path: Path,
    quantity: str,
    method: str = "literature",
    *,
    reference: str = "",
    rating: int | None = None,
    tenant: str | None = None,
    say: Say | None = None,
) -> Imported:
    """Store one unsolicited result per row; a file of the same content is not stored twice.

    :param reference: where the data come from, e.g. a DOI.
    :param rating: 1 to 5, of all rows.
    :param tenant: name or UUID of the tenant who measured.
    :param say: is told how far it is.
    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    settings: dict[str, Any] = {"reference": reference}
    if rating is not None:
        settings["rating"] = rating
    return _import(path, find_capability(quantity, method), settings, tenant, say)


def _import(
    path: Path, capability: CapabilityData, settings: dict[str, Any], tenant: str | None, say: Say | None
) -> Imported:
    content, table_map = _read(path), settings.get("map")
    key = content if table_map is None else content + json.dumps(table_map, sort_keys=True)
    file, done = _find_imported(key, capability)
    n_rows = check_rows(map_columns(content, table_map), capability.quantity, capability.method)
    if tenant is not None:
        settings = {**settings, "tenant": find_tenant(tenant).tenant_uuid}
    settings = {"quantity": capability.quantity, "method": capability.method, **settings}
    if file is None:
        file = orm.SinglefileData(io.BytesIO(content.encode()), filename=path.name)
        file.base.attributes.set(MD5, _digest(key))
        file.store()
    missing = [number for number in range(1, n_rows + 1) if number not in done]
    for first, end in _split(missing):
        done |= _import_block(file, {**settings, "rows": [first, end]}, path)
        if say is not None:
            say(f"{len(done)} of {n_rows} rows are stored")
    return Imported([done[number] for number in range(1, n_rows + 1)], is_new=bool(missing))


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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file {path} cannot be read: {error}") from error


def _digest(content: str) -> str:
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def _find_imported(content: str, capability: CapabilityData) -> tuple[orm.SinglefileData | None, dict[int, ResultData]]:
    """Return the file of this content, and the results that were made of it by the number of the row."""
    query = orm.QueryBuilder()
    query.append(orm.SinglefileData, filters={f"attributes.{MD5}": _digest(content)}, tag="file", project="*")
    query.append(orm.CalcFunctionNode, with_incoming="file", filters={"attributes.exit_status": 0}, tag="import")
    filters = {"attributes.quantity": capability.quantity, "attributes.method": capability.method}
    query.append(ResultData, with_incoming="import", filters=filters, project="*", edge_project="label")
    found, done = None, {}
    for file, result, label in query.all():
        found, done[row_of(label)] = file, result
    return found, done
