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
    explain_syntax_error,
)
from aiida_finales.operations.importing.cells import find_closed_cells
from aiida_finales.operations.importing.table import Imported
from aiida_finales.operations.request.records import describe_result
from aiida_finales.operations.request.serving import who_am_i
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.result_table import FRACTION_PREFIX
from aiida_finales.schemas.table import Row, decode, read_number, read_table
from aiida_finales.schemas.values import first_body, read_meta, read_values, unit_of
from aiida_finales.science.electrolyte.known_density import find_density

MD5, SHA256 = "md5", "sha256"
#: keys of the settings of a file by the column of a table of files, and the factor and offset to our unit
COLUMNS: dict[str, tuple[str, float, float]] = {
    "cell_constant_per_m": ("cell_constant_per_m", 1.0, 0.0),
    "cell_constant_per_cm": ("cell_constant_per_m", 100.0, 0.0),
    "contact_resistance_ohm": ("contact_resistance_ohm", 1.0, 0.0),
    "temperature_K": ("temperature", 1.0, 0.0),
    "temperature_degC": ("temperature", 1.0, 273.15),
    "min_frequency_Hz": ("min_frequency_Hz", 1.0, 0.0),
    "max_frequency_Hz": ("max_frequency_Hz", 1.0, 0.0),
    "nominal_capacity_Ah": ("nominal_capacity_Ah", 1.0, 0.0),
    "formation_cycles": ("formation_cycles", 1.0, 0.0),
}
TEXTS = ("cell", "reference", "licence", "protocol")
FORMULATION = "formulation"
#: setting that keeps how the mixture was said
GIVEN = "given"
#: units in which a person may give them, and factor and offset to ours
TEMPERATURES = {"": (1.0, 0.0), "K": (1.0, 0.0), "degC": (1.0, 273.15), "°C": (1.0, 273.15), "C": (1.0, 273.15)}
CELL_CONSTANTS = {"1/m": (1.0, 0.0), "m-1": (1.0, 0.0), "1/cm": (100.0, 0.0), "cm-1": (100.0, 0.0)}


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
    """

    settings: Json
    is_sure: bool = False
    is_amending: bool = False
    is_dry: bool = False
    is_restricted: bool = False


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


def read_quantity(text: str, option: str, units: Mapping[str, tuple[float, float]]) -> float:
    """Return a number with its unit in ours.

    :raises InputError: when it is none, or the unit is not known.
    """
    number, _, unit = text.strip().partition(" ")
    if unit.strip() not in units:
        known = ", ".join(word for word in units if word)
        raise InputError(f"{option} is {text!r}, but accepted are a number, a blank and a unit of {known}")
    factor, offset = units[unit.strip()]
    return read_number(number, option) * factor + offset


def read_formulation(text: str) -> Json:
    """Return ``formulation`` and how it was said: in words, as an object (JSON), or as ``LiPF6=0.08,EC=0.3,EMC=0.62``.

    :raises InputError: when it is none of them, names no known chemical, or does not sum to 1.
    """
    try:
        said = json.loads(text) if text.lstrip().startswith(("{", "[")) else text
    except ValueError as error:
        raise InputError(f"formulation is {text!r}, but that is no JSON: {explain_syntax_error(error)}") from error
    mixed = read_mixture(said, find_density)
    return {"formulation": make_formulation(mixed.fractions), GIVEN: mixed.to_dict()}


def read_file_table(path: Path) -> dict[Path, Json]:
    """Return the settings of each file that a table names: column ``file`` and those of :data:`COLUMNS`.

    Paths are those from the table on. Mole fractions have columns ``x_<chemical>``, or ``formulation`` says the mixture
    in words; a name is in ``cell``, a source in ``reference``, what may be done with it in ``licence``.

    :raises InputError: when a column is not known, a file is not there or named twice, or a number is none.
    """
    table = read_table(decode(path.read_bytes(), path.name))
    unknown = [name for name in table.header if not _is_column(name)]
    if unknown or "file" not in table.header:
        accepted = ["file", *COLUMNS, *TEXTS, FORMULATION, f"{FRACTION_PREFIX}<chemical>"]
        wrong = f"columns {', '.join(unknown)} are not known" if unknown else "it has no column file"
        raise InputError(f"table {path.name}: {wrong}; accepted are {', '.join(accepted)}")
    found: dict[Path, Json] = {}
    for number, row in table.change(lambda row: {key: table.plain(cell) for key, cell in row.items()}):
        file = path.parent / row["file"]
        if file in found or not file.is_file():
            defect = "is named before" if file in found else "is not there"
            raise InputError(f"table {path.name}, row {number}: {row['file']} {defect}; accepted is one row per file")
        found[file] = _read_row(row)
    return found


def _is_column(name: str) -> bool:
    return name in ("file", FORMULATION, *COLUMNS, *TEXTS) or name.startswith(FRACTION_PREFIX)


def _read_row(row: Row) -> Json:
    settings: Json = {key: row[key] for key in TEXTS if row.get(key)}
    for column, (key, factor, offset) in COLUMNS.items():
        if row.get(column):
            settings[key] = read_number(row[column], column) * factor + offset
    if row.get(FORMULATION):
        settings |= read_formulation(row[FORMULATION])
    shares = {
        name.removeprefix(FRACTION_PREFIX): read_number(cell, name)
        for name, cell in row.items()
        if name.startswith(FRACTION_PREFIX) and cell
    }
    if shares and FORMULATION in settings:
        raise InputError(f"{row['file']} has a formulation and mole fractions: leave one out")
    return settings | ({"formulation": make_formulation(shares)} if shares else {})


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
                _judge(item, is_sure=is_sure)
            found += items
        except MissingExtraError:
            raise
        except FinalesError as error:
            defects.append(f"{file.path.name}: {error}".replace(f"{file.path.name}: {file.path.name}", file.path.name))
    if defects:
        raise InputError(f"nothing was stored: {'; '.join(defects)}")
    return tuple(found)


def _demand(kind: Kind, settings: Json) -> None:
    missing = [words for key, words in kind.needed.items() if key not in settings]
    if missing:
        raise InputError(f"say what the file does not: {', '.join(missing)}; or a --table with a row per file")


def _judge(item: Measured, *, is_sure: bool) -> None:
    """Refuse what breaks the schema of its capability, or is not plausible and nobody vouches for it."""
    capability = find_capability(item.quantity, item.method).content
    capability.judge_result(item.data, item.parameters, strict=True)
    errors = [] if is_sure else capability.find_implausible(item.data, item.parameters)
    if errors:
        raise InputError(f"{SchemaError('numbers are not plausible', errors)}. Should they be right, say --yes-really")


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
    return dict(orm.Dict(settings).get_dict())


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
