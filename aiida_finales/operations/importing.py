"""Bring a file of measured values in, once."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.patience import claim_writing
from aiida_finales.calculations.import_results import check_rows, import_results, map_columns
from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.nodes import make_dict
from aiida_finales.schemas.table_map import TableMap, parse_map

MD5 = "md5"
#: rows that are stored in one transaction. A row takes some 20 ms, twice that without; nobody else can write to SQLite
#: meanwhile, and Python's own patience is 5 s
BLOCK = 50


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
    except yaml.YAMLError as error:
        raise InputError(f"map {path} is no YAML: {error}") from error


def import_mapped(path: Path, table_map: TableMap, tenant: str | None = None) -> Imported:
    """Store one unsolicited result per row of a table with other columns than ours; see :func:`import_file`.

    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    settings: dict[str, Any] = {"reference": table_map.reference, "map": table_map.model_dump(mode="json")}
    if table_map.rating is not None:
        settings["rating"] = table_map.rating
    return _import(path, find_capability(table_map.quantity, table_map.method), settings, tenant)


def import_file(
    path: Path, quantity: str, method: str, *, reference: str = "", rating: int | None = None, tenant: str | None = None
) -> Imported:
    """Store one unsolicited result per row; a file of the same content is not stored twice.

    :param reference: where the data come from, e.g. a DOI.
    :param rating: 1 to 5, of all rows.
    :param tenant: name or UUID of the tenant who measured.
    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    settings: dict[str, Any] = {"reference": reference}
    if rating is not None:
        settings["rating"] = rating
    return _import(path, find_capability(quantity, method), settings, tenant)


def _import(path: Path, capability: CapabilityData, settings: dict[str, Any], tenant: str | None) -> Imported:
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
    blocks = [[first, min(first + BLOCK, n_rows + 1)] for first in range(1, n_rows + 1, BLOCK)]
    missing = [block for block in blocks if block[0] not in done]
    for block in missing:
        done[block[0]] = _import_block(file, {**settings, "rows": block}, path)
    results = [result for first, _ in blocks for result in done[first]]
    return Imported(results, is_new=bool(missing))


def _import_block(file: orm.SinglefileData, settings: dict[str, Any], path: Path) -> list[ResultData]:
    """Import some rows: all of them are stored in one transaction, or none."""
    storage: Any = get_manager().get_profile_storage()
    with storage.transaction() as session:
        claim_writing(session)
        outputs, process = import_results.run_get_node(file, make_dict(settings))
        if not process.is_finished_ok:
            raise StatusError(f"import of {path} failed: {process.exit_message}")
    results = dict(outputs or {})
    return [results[key] for key in sorted(results)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file {path} cannot be read: {error}") from error


def _digest(content: str) -> str:
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def _find_imported(
    content: str, capability: CapabilityData
) -> tuple[orm.SinglefileData | None, dict[int, list[ResultData]]]:
    """Return the file of this content, and the results that were made of it by the number of the first row."""
    query = orm.QueryBuilder()
    query.append(orm.SinglefileData, filters={f"attributes.{MD5}": _digest(content)}, tag="file", project="*")
    query.append(orm.CalcFunctionNode, with_incoming="file", filters={"attributes.exit_status": 0}, tag="import")
    query.append(orm.Dict, with_outgoing="import", project="attributes.rows")
    filters = {"attributes.quantity": capability.quantity, "attributes.method": capability.method}
    query.append(ResultData, with_incoming="import", filters=filters, tag="result", project="*")
    found, done = None, defaultdict(list)
    for file, rows, result in query.order_by({"result": {"id": "asc"}}).all():
        found = file
        done[rows[0]].append(result)
    return found, done
