"""Bring a file of measured values in, once."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.calculations.import_results import check_rows, import_results
from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.nodes import make_dict

MD5 = "md5"


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
    if not _find_imported(content, capability):
        check_rows(content, capability.quantity, capability.method)


def import_file(
    path: Path, quantity: str, method: str, *, reference: str = "", rating: int | None = None, tenant: str | None = None
) -> Imported:
    """Store one unsolicited result per row; a file of the same content is not stored twice.

    :param reference: where the data come from, e.g. a DOI.
    :param rating: 1 to 5, of all rows.
    :param tenant: name or UUID of the tenant who measured.
    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    capability, content = find_capability(quantity, method), _read(path)
    before = _find_imported(content, capability)
    if before:
        return Imported(before, is_new=False)
    check_rows(content, capability.quantity, capability.method)
    settings: dict[str, Any] = {"quantity": capability.quantity, "method": capability.method, "reference": reference}
    if rating is not None:
        settings["rating"] = rating
    if tenant is not None:
        settings["tenant"] = find_tenant(tenant).tenant_uuid
    file = orm.SinglefileData(io.BytesIO(content.encode()), filename=path.name)
    file.base.attributes.set(MD5, _digest(content))
    outputs, process = import_results.run_get_node(file, make_dict(settings))
    if not process.is_finished_ok:
        raise StatusError(f"import of {path} failed in process <{process.pk}>: {process.exit_message}")
    results = dict(outputs or {})
    return Imported([results[key] for key in sorted(results)], is_new=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file {path} cannot be read: {error}") from error


def _digest(content: str) -> str:
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def _find_imported(content: str, capability: CapabilityData) -> list[ResultData]:
    """Return the results that were made of this content before."""
    query = orm.QueryBuilder().append(orm.SinglefileData, filters={f"attributes.{MD5}": _digest(content)}, tag="file")
    query.append(orm.CalcFunctionNode, with_incoming="file", filters={"attributes.exit_status": 0}, tag="import")
    filters = {"attributes.quantity": capability.quantity, "attributes.method": capability.method}
    query.append(ResultData, with_incoming="import", filters=filters, tag="result", project="*")
    found: list[ResultData] = query.order_by({"result": {"id": "asc"}}).all(flat=True)
    return found
