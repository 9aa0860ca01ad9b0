"""Bring the files of instruments in, once: impedance spectra and cycling data, with the raw file kept."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.manage import get_manager
from aiida.orm.implementation.utils import clean_value

from aiida_finales.broker.patience import claim_writing
from aiida_finales.broker.results import amend_result, is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.measurement import (
    Measured,
    import_cycling,
    import_spectra,
    measure_cycling,
    measure_spectra,
)
from aiida_finales.data.capability import find_capability
from aiida_finales.data.nodes import OPENNESS, make_dict, pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import (
    FinalesError,
    InputError,
    MissingExtraError,
    SchemaError,
    StatusError,
)
from aiida_finales.operations.importing.cells import find_closed_cells
from aiida_finales.operations.importing.settings import GIVEN
from aiida_finales.operations.importing.table import Imported
from aiida_finales.operations.request.records import describe_result
from aiida_finales.operations.request.serving import who_am_i
from aiida_finales.schemas import Json
from aiida_finales.schemas.values import first_body, read_meta, read_values, unit_of
from aiida_finales.science.ageing.end_of_life import demand_likely
from aiida_finales.science.lifetime.generator.series import make_series
from aiida_finales.science.lifetime.generator.table import explain_slip

MD5, SHA256 = "md5", "sha256"


@dataclass(frozen=True)
class Kind:
    """Spectra, or cycling data.

    :param measure: what the files say, before anything is stored.
    :param function: the calculation function that stores it.
    :param needed: settings without which nothing can be said, and how to give them.
    """

    quantity: str
    measure: Callable[[bytes, str, Json], Iterator[Measured]]
    function: Any
    needed: Mapping[str, str]


SPECTRA = Kind(
    "conductivity",
    measure_spectra,
    import_spectra,
    {
        "cell_constant_per_m": "--cell-constant, e.g. '1.02 1/cm'",
        "temperature": "--temperature, e.g. '25 degC'",
        "formulation": "--formulation, e.g. LiPF6=0.08,EC=0.3,EMC=0.62",
    },
)
CYCLING = Kind("capacity", measure_cycling, import_cycling, {})


@dataclass(frozen=True)
class Told:
    """How files are brought in.

    :param settings: of all files, see the calculation functions.
    :param is_sure: numbers that are not to be expected are right.
    :param is_amending: what came of the same file with other settings is replaced.
    :param is_dry: nothing is stored.
    :param is_restricted: files and results stay out of public packages.
    :param cell_table: table that says what the cells of the files are: their lives must be those of the files.
    """

    settings: Json
    is_sure: bool = False
    is_amending: bool = False
    is_dry: bool = False
    is_restricted: bool = False
    cell_table: Path | None = None


@dataclass(frozen=True)
class ImportedFiles(Imported):
    """What came of files.

    :param measured: what each new measurement says; also where nothing was stored.
    """

    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class _File:
    path: Path
    content: bytes
    settings: Json

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def identity(self) -> tuple[str, str]:
        """What is the same for the same content with the same settings, whatever the file is called."""
        return self.digest, json.dumps(without_words(self.settings), sort_keys=True)


def without_words(settings: Json) -> Json:
    """Return settings without how they were said: other words for the same are not another measurement."""
    return {key: value for key, value in settings.items() if key != GIVEN}


def import_files(kind: Kind, files: Mapping[Path, Json], told: Told, tenant: str | None = None) -> ImportedFiles:
    """Store what the files of instruments say, each file once; all of them are looked at before anything is stored.

    A file is here already when one of its content was imported with the same settings.

    :param files: settings of each file of its own, which come before those of all.
    :param tenant: name or UUID of who measured.
    :raises InputError: naming each file that cannot be used and why; nothing is stored then.
    :raises MissingExtraError: when a library is not installed.
    """
    who = {} if tenant is None else {"tenant": find_tenant(tenant).tenant_uuid}
    given = [_File(path, _read(path), {**told.settings, **who, **own}) for path, own in files.items()]
    known = {file.path: _find_known(kind, file) for file in given}
    new = list({file.identity: file for file in reversed(given) if not known[file.path][0]}.values())[::-1]
    measured = _look(kind, new, is_sure=told.is_sure)
    if told.cell_table is not None and not told.is_sure:
        _refuse_slips(told.cell_table, measured)
    results = [result for file in given for result in known[file.path][0]]
    others = [result for file in new for result in known[file.path][1]]
    if told.is_dry or not new:
        return ImportedFiles(results, 0, others=tuple(others), measured=measured)
    stored = _store(kind, new, told)
    fresh = [result for file in new for result in stored[file.path]]
    if told.is_amending:
        others = [old for file in new for old in _amend(known[file.path][1], stored[file.path])]
    return ImportedFiles([*results, *fresh], len(fresh), others=tuple(others), measured=measured)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"file {path} cannot be read: {error}") from error


def _look(kind: Kind, files: Iterable[_File], *, is_sure: bool) -> tuple[Measured, ...]:
    """Return what files say.

    :raises InputError: naming each that cannot be used, and why.
    """
    found: list[Measured] = []
    defects = []
    for file in files:
        try:
            _demand(kind, file.settings)
            items = list(kind.measure(file.content, file.path.name, file.settings))
            for item in items:
                _judge(item, file.settings, is_sure=is_sure)
            found += items
        except MissingExtraError:
            raise
        except FinalesError as error:
            defects.append(f"{file.path.name}: {error}".replace(f"{file.path.name}: {file.path.name}", file.path.name))
    if defects:
        raise InputError(f"nothing was stored: {'; '.join(defects)}")
    return tuple(found)


def _refuse_slips(table: Path, measured: Iterable[Measured]) -> None:
    """Refuse a table of cells whose rows are true of the cells beside them.

    :raises InputError: naming which, and what shows it.
    """
    capacities = [item.data for item in measured if "discharge_capacities" in item.data]
    series = {item["cell_info"]["cell_name"]: make_series(item["cycles"], item["discharge_capacities"])
              for item in capacities}  # fmt: skip
    if words := explain_slip(table, series):
        raise InputError(f"nothing was stored: {table.name}: {words}. Mend it; should it be right, say --yes-really")


def _demand(kind: Kind, settings: Json) -> None:
    missing = [words for key, words in kind.needed.items() if key not in settings]
    if missing:
        raise InputError(f"say what the file does not: {', '.join(missing)}; or a --table with a row per file")


def _judge(item: Measured, settings: Json, *, is_sure: bool) -> None:
    """Refuse what breaks the schema of its capability, or is not plausible and nobody vouches for it."""
    capability = find_capability(item.quantity, item.method).content
    capability.judge_result(item.data, item.parameters, strict=True)
    if is_sure:
        return
    if capacities := item.data.get("discharge_capacities"):
        demand_likely(settings.get("nominal_capacity_Ah"), max(capacities), _name_cell(item))
    errors = capability.find_implausible(item.data, item.parameters)
    if errors:
        raise InputError(f"{SchemaError('numbers are not plausible', errors)}. Should they be right, say --yes-really")


def _name_cell(item: Measured) -> str:
    return str(item.data["cell_info"]["cell_name"])


def _find_known(kind: Kind, file: _File) -> tuple[list[ResultData], list[ResultData]]:
    """Return what came of the same content with the same settings, and usable results of it with others."""
    query = orm.QueryBuilder()
    query.append(orm.SinglefileData, filters={f"attributes.{SHA256}": file.digest}, tag="file")
    label = {"attributes.process_label": kind.function.__name__}
    query.append(orm.CalcFunctionNode, with_incoming="file", filters=label, tag="import")
    query.append(orm.Dict, with_outgoing="import", project="attributes")
    query.append(ResultData, with_incoming="import", project=["*", f"extras.{STATE}"], tag="result")
    query.order_by({"result": "id"})
    known, others = [], []
    for settings, result, state in query.all():
        said = {key: value for key, value in settings.items() if key not in ("is_sure", GIVEN)}
        if said == _plain(without_words(file.settings)):
            known.append(result)
        elif is_usable(state or {}):
            others.append(result)
    return known, others


def _plain(settings: Json) -> Json:
    """Return settings as they are when they were stored."""
    return dict(clean_value(settings))


def _store(kind: Kind, files: Sequence[_File], told: Told) -> dict[Path, list[ResultData]]:
    """Store what all files say in one transaction, or nothing."""
    storage: Any = get_manager().get_profile_storage()
    stored: dict[Path, list[ResultData]] = {}
    with storage.transaction() as session:
        claim_writing(session)
        for file in files:
            settings = {**file.settings, **({"is_sure": True} if told.is_sure else {})}
            raw = _store_file(file)
            outputs, process = kind.function.run_get_node(raw, make_dict(settings))
            if not process.is_finished_ok:
                raise StatusError(f"import of {file.path} failed: {process.exit_message}")
            nodes = [outputs[key] for key in sorted(outputs)]
            for node in (raw, *nodes) if told.is_restricted or _has_closed(nodes, settings) else ():
                node.base.extras.set(OPENNESS, "restricted")
            stored[file.path] = [node for node in nodes if isinstance(node, ResultData)]
    return stored


def _has_closed(nodes: Sequence[orm.Data], settings: Json) -> bool:
    """Return whether one of the cells must not be passed on: the file has all of them."""
    names = {(item.data.get("cell_info") or {}).get("cell_name") for item in nodes if isinstance(item, ResultData)}
    return bool(names & set(find_closed_cells(settings)))


def _store_file(file: _File) -> orm.SinglefileData:
    """Return the file as it is; the node that is here, if there is one of this name and content."""
    filters = {f"attributes.{SHA256}": file.digest, "attributes.filename": file.path.name}
    found: orm.SinglefileData | None = orm.QueryBuilder().append(orm.SinglefileData, filters=filters).first(flat=True)
    if found is not None:
        return found
    node = orm.SinglefileData(io.BytesIO(file.content), filename=file.path.name)
    digest = hashlib.md5(file.content, usedforsecurity=False).hexdigest()
    node.base.attributes.set_many({SHA256: file.digest, MD5: digest})
    return node.store()


def _amend(old: Sequence[ResultData], new: Sequence[ResultData]) -> list[ResultData]:
    """Let new results replace those of the same quantity; return what is left without a replacement."""
    left = []
    for result in old:
        found = next((item for item in new if _measurement(item) == _measurement(result)), None)
        if found is None:
            left.append(result)
        else:
            amend_result(pk_of(result), who_am_i(), "imported again from its file with other settings", found)
    return left


def _measurement(result: ResultData) -> tuple[Any, ...]:
    """Return which measurement of a file it is."""
    about = result.data.get("measurement", {})
    cell = result.data.get("cell_info") or (result.data.get(result.quantity) or {}).get("cell_info")
    return result.quantity, about.get("spectrum"), (cell or {}).get("cell_name")


def describe_stored(result: ResultData) -> Json:
    """Return a result of a file as a row."""
    return {**describe_result(result), **_describe_data(result.quantity, result.data)}


def describe_measured(item: Measured) -> Json:
    """Return what would be stored as a row."""
    names = {"quantity": item.quantity, "method": item.method, "unit": unit_of(item.quantity)}
    numbers = [value.value for value in read_values(item.quantity, item.data)]
    meta = read_meta(first_body(item.data.get(item.quantity)), item.data)
    return {**names, "value": numbers[0] if numbers else None, **meta, **_describe_data(item.quantity, item.data)}


def _describe_data(quantity: str, data: Json) -> Json:
    capacities = data.get("discharge_capacities") or [None]
    body = data if quantity == "capacity" else first_body(data.get(quantity))
    return {
        "file": data["measurement"]["file"],
        "cell": (body.get("cell_info") or {}).get("cell_name"),
        "cycles": len(data["cycles"]) if "cycles" in data else None,
        "first_Ah": capacities[0],
        "last_Ah": capacities[-1],
        "end_of_life": body.get("end_of_life"),
        "resistance_ohm": (data.get("impedance") or {}).get("resistance_ohm"),
        "notes": data["measurement"]["notes"],
        "reason": data.get("reason"),
    }
