"""Bring a file of measured values in, once."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.calculations.import_results import check_rows, import_results
from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError, StatusError

MD5 = "md5"


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    :param is_new: false when the same content was imported before; the results are those of then.
    """

    results: list[ResultData]
    is_new: bool


def read_table(path: Path, quantity: str, method: str) -> str:
    """Return the content of a file after a look at every row.

    :raises InputError: when it cannot be read, or naming each row that cannot be used and why.
    :raises UnknownCapabilityError: when quantity or method is not registered.
    """
    find_capability(quantity, method)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file {path} cannot be read: {error}") from error
    check_rows(content, quantity, method)
    return content


def import_file(
    path: Path, quantity: str, method: str, *, reference: str = "", rating: int | None = None, tenant: str | None = None
) -> Imported:
    """Store one unsolicited result per row; a file of the same content is not stored twice.

    :param reference: where the data come from, e.g. a DOI.
    :param rating: 1 to 5, of all rows.
    :param tenant: name or UUID of the tenant who measured.
    :raises InputError: before anything is stored, naming each row that cannot be used and why.
    """
    content = read_table(path, quantity, method)
    capability = find_capability(quantity, method)
    digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    before = _find_imported(digest, capability.quantity, capability.method)
    if before:
        return Imported(before, is_new=False)
    settings: dict[str, Any] = {"quantity": capability.quantity, "method": capability.method, "reference": reference}
    if rating is not None:
        settings["rating"] = rating
    if tenant is not None:
        settings["tenant"] = find_tenant(tenant).tenant_uuid
    file = orm.SinglefileData(io.BytesIO(content.encode()), filename=path.name)
    file.base.attributes.set(MD5, digest)
    outputs, process = import_results.run_get_node(file, orm.Dict(settings))
    if not process.is_finished_ok:
        raise StatusError(f"import of {path} failed in process <{process.pk}>: {process.exit_message}")
    return Imported([outputs[key] for key in sorted(outputs)], is_new=True)


def _find_imported(digest: str, quantity: str, method: str) -> list[ResultData]:
    query = orm.QueryBuilder().append(orm.SinglefileData, filters={f"attributes.{MD5}": digest}, tag="file")
    query.append(orm.CalcFunctionNode, with_incoming="file", filters={"attributes.exit_status": 0}, tag="import")
    filters = {"attributes.quantity": quantity, "attributes.method": method}
    query.append(ResultData, with_incoming="import", filters=filters, tag="result", project="*")
    found: list[ResultData] = query.order_by({"result": {"id": "asc"}}).all(flat=True)
    return found
