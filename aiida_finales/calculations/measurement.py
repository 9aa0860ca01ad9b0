"""Measurements in the files of other instruments: results with their raw data, by the analysis of the drivers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FitError, InputError
from aiida_finales.lab.driver.evaluation import describe_run, evaluate
from aiida_finales.lab.files.cycled_cell import cycling_output
from aiida_finales.lab.files.cycling import CycledCell, read_cells
from aiida_finales.lab.files.spectrum import Spectrum, read_spectra, spectrum_output
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cleaning import find_formation

#: rating of what could not be evaluated
_UNUSABLE = 1


@dataclass(frozen=True)
class Measured:
    """What one measurement of a file becomes.

    :param quantity: with ``method`` the capability.
    :param data: in its form; :param parameters: likewise.
    :param raw: spectrum that it was read from, or ``None`` where the file itself is the raw data.
    :param notes: for people.
    """

    quantity: str
    method: str
    data: Json
    parameters: Json
    raw: Spectrum | None = None
    notes: tuple[str, ...] = ()
    is_simulated: bool = False


def measure_spectra(content: bytes, name: str, settings: Json) -> Iterator[Measured]:
    """Yield the conductivity of each spectrum of a file; one that is not of an electrolyte is no success.

    :param settings: see :func:`import_spectra`.
    :raises InputError: when the file cannot be read.
    :raises MissingExtraError: when a library is not installed.
    """
    for spectrum in read_spectra(content, name):
        output = spectrum_output(spectrum, settings, name)
        used = {"formulation": output["formulation"], "temperature": output["temperature"]}
        try:
            data = evaluate(("conductivity", "two_electrode"), output).data
        except FitError as error:
            meta = {"success": False, "rating": _UNUSABLE}
            value = {"values": [], "temperature": output["temperature"], "meta": meta}
            data = {"run_info": describe_run(output), "conductivity": value, "reason": str(error)}
        number = {"spectrum": spectrum.number}
        data |= _describe(spectrum, content, name, number)
        is_simulated = bool(settings.get("simulated"))
        yield Measured("conductivity", settings["method"], data, used, spectrum, spectrum.notes, is_simulated)


def measure_cycling(content: bytes, name: str, settings: Json) -> Iterator[Measured]:
    """Yield the capacities of each cell of a file, and its life where that ended and the electrolyte is known.

    :param settings: see :func:`import_cycling`.
    :raises InputError: when the file cannot be read.
    :raises MissingExtraError: when a library is not installed.
    """
    for read in read_cells(content, name):
        cell = _tell_formation(read, settings)
        output = cycling_output(cell, settings, name)
        found = evaluate(("capacity", "cycling"), output).data
        others = {key: output[key] for key in ("cycles", "discharge_capacities", "end_of_life", "end_of_life_rule")}
        told = _find_cell(settings, output["cell_info"]["cell_name"])
        about = {key: settings[key] for key in ("reference", "licence") if key in settings} | told.get("about", {})
        origin = _describe(cell, content, name, about)
        is_simulated = cell.is_simulated or bool(settings.get("simulated"))
        chemistry = {"electrolyte": settings["formulation"]} if "formulation" in settings else None
        parameters = {"cell_info": output["cell_info"], "number_cycles": len(output["cycles"])}
        parameters |= {} if chemistry is None else {"battery_chemistry": chemistry}
        parameters |= {"cycling_protocol": settings["protocol"]} if "protocol" in settings else {}
        parameters |= told.get("parameters", {})
        yield Measured(
            "capacity",
            settings["method"],
            {**found, **others, **origin},
            parameters,
            notes=cell.notes,
            is_simulated=is_simulated,
        )
        if chemistry is not None and output["end_of_life"] is not None:
            life = _life(output, settings, name)
            asked = {"battery_chemistry": chemistry, "cell_info": output["cell_info"]}
            yield Measured("degradationEOL", settings["method"], life | origin, asked, is_simulated=is_simulated)


def _tell_formation(cell: CycledCell, about: Json) -> CycledCell:
    """Return a cell that says in its notes whether its first cycles look like formation, and nobody set them apart."""
    n_formation = 0 if about.get("formation_cycles") else find_formation(cell.discharged)
    if not n_formation:
        return cell
    words = (
        f"the capacities of the first {n_formation} cycles lie above all that follow and then step down, as those of "
        f"formation do: should they be, set them apart by --formation {n_formation}, else shares refer to them"
    )
    return replace(cell, notes=(*cell.notes, words))


def _find_cell(settings: Json, name: str) -> Json:
    """Return what a table of cells says of a cell; nothing where there is no table.

    :raises InputError: when there is one without this cell.
    """
    cells = settings.get("cells")
    if cells is None:
        return {}
    if name not in cells:
        known = ", ".join(list(cells)[:3])
        raise InputError(f"cell {name!r} is not in the table of cells, accepted is a row for each; it has {known} ...")
    return dict(cells[name])


def _life(output: Json, settings: Json, name: str) -> Json:
    unknown: Json = {"capacity_trajectory": [], "capacity_trajectory_uncertainty": []}
    reference = settings.get("reference") or f"{name}#{output['cell_info']['cell_name']}"
    return {
        "run_info": {"formulation": settings["formulation"], "internal_reference": reference},
        "degradationEOL": {
            "end_of_life": output["end_of_life"],
            "end_of_life_uncertainty": output["end_of_life_uncertainty"],
            "meta": output["meta"],
            "cell_info": output["cell_info"],
            "rule": output["end_of_life_rule"],
            **unknown,
        },
    }


def _describe(item: Spectrum | CycledCell, content: bytes, name: str, others: Json) -> Json:
    digest = hashlib.sha256(content).hexdigest()
    origin = {"file": name, "sha256": digest, **item.source, **others, "notes": list(item.notes)}
    return {"device": item.source["instrument"], "measurement": origin}


@calcfunction
def import_spectra(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return each spectrum of an instrument's file as measured, and the conductivity that it gives.

    :param file: as the instrument wrote it.
    :param settings: ``method``, ``cell_constant_per_m``, ``temperature`` (K), ``formulation``; may have
        ``contact_resistance_ohm``, ``min_frequency_Hz``, ``max_frequency_Hz``, ``reference``, ``tenant``,
        ``simulated``, ``is_sure``.
    """
    said = settings.get_dict()
    return _make(measure_spectra(file.get_content("rb"), file.filename, said), said)


@calcfunction
def import_cycling(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return the capacities of each cell of a cycler's file, and its life where that ended.

    :param file: as the instrument wrote it.
    :param settings: ``method``; may have ``cell``, ``formulation``, ``formation_cycles``, ``nominal_capacity_Ah``,
        ``threshold``, ``persistence``, ``protocol``, ``reference``, ``licence``, ``cells`` (by name:
        ``parameters`` and ``about`` of each), ``tenant``, ``simulated``, ``is_sure``.
    """
    said = settings.get_dict()
    return _make(measure_cycling(file.get_content("rb"), file.filename, said), said)


def _make(found: Iterator[Measured], settings: Json) -> dict[str, orm.Data]:
    nodes: dict[str, orm.Data] = {}
    for number, item in enumerate(found, start=1):
        nodes[f"result_{number:05d}"] = ResultData(
            find_capability(item.quantity, item.method).content,
            item.data,
            item.parameters,
            tenant_uuid=settings.get("tenant", ""),
            simulated=item.is_simulated,
            strict=True,
            is_sure=bool(settings.get("is_sure")),
        )
        if item.raw is not None:
            arrays = {"frequency": item.raw.frequency, "impedance": item.raw.impedance}
            nodes[f"spectrum_{number:05d}"] = orm.ArrayData(arrays)
    return nodes
