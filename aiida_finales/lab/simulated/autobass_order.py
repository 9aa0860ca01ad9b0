"""Which cells to assemble: the order in an input file, completed by what the published robot would take."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, InputError
from aiida_finales.lab.driver.reading import (
    POSITIVE,
    bad_input,
    read_cell_info,
    read_count,
    read_formulation,
    read_number,
    read_object,
    read_target,
    read_text,
)
from aiida_finales.lab.simulated.cells import (
    PUBLISHED_NEGATIVE,
    PUBLISHED_POSITIVE,
    CellOffer,
    check_names,
    find_part,
)
from aiida_finales.lab.simulated.laboratory import find_laboratory
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.schemas import Json
from aiida_finales.schemas.cells import CellPart, Separator
from aiida_finales.schemas.cells.naming import KINDS, POLARITY, spell_parts

NAME = "autobass"
TARGETS = {"cell_assembly": "autobass_assembly"}

#: Cells of a batch that the request says nothing about, and at most: the trays hold 64.
BATCH_VOLUME, MOST_CELLS = 8, 64
#: µL per cell that the published tenant uses by default (BIG-MAP/FINALES2_schemas).
ELECTROLYTE_VOLUME = 35.0


def _pure(smiles: str, inchikey: str) -> list[Json]:
    return [{"chemical": {"SMILES": smiles, "InChIKey": inchikey}, "fraction": 1.0, "fraction_type": "molPerMol"}]


#: What the published robot assembles (BIG-MAP/FINALES_AutoBASS_tenant, its last result): mAh/cm², cm².
ANODE = {"material": _pure("[C]", "OKTJSMMVPCPJKN-UHFFFAOYSA-N"), "mass_loading": 1.0, "size": 1.7663}
CATHODE = {"material": _pure("[Li+].[O-][Ni]=O", "VROAXDSNYPAOBJ-UHFFFAOYSA-N"), "mass_loading": 1.0, "size": 1.5386}
SEPARATOR = {"material": "Celgard(R) 2325", "size": 2.0096}


@dataclass(frozen=True)
class AssemblyOrder:
    """Which cells to assemble.

    :param vial: identity of the electrolyte.
    :param electrolyte_info: what the request says about the electrolyte.
    :param cell: what each cell is made of, as the robot believes; published form.
    :param n_cells: number of cells.
    :param assumed: what the request left open, in words.
    :param parts: records of the parts that are named, by section.
    """

    vial: str
    electrolyte_info: Json
    cell: Json
    n_cells: int
    assumed: tuple[str, ...]
    settings: DeviceSettings
    parts: Json = field(default_factory=dict)


def read_assembly(payload: Json) -> AssemblyOrder:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    :raises DeviceLimitationError: when no vial is named, or the volume of electrolyte is out of range.
    """
    read_target(payload, TARGETS)
    parameters = read_object("parameters", payload.get("parameters"), "cell, cell_info and batch_volume")
    asked = parameters.get("batch_volume")
    n_cells = BATCH_VOLUME if asked is None else read_count("parameters.batch_volume", asked, 1, MOST_CELLS)
    electrolyte = read_cell_info("parameters.cell_info", parameters.get("cell_info")).get("electrolyte_info") or {}
    settings = read_settings(DeviceSettings, payload.get("settings"), NAME)
    offer = find_laboratory(settings.inventory).cells
    cell, assumed = _complete_cell(_spell(parameters.get("cell")))
    vial = electrolyte.get("uuid")
    if not vial:
        raise DeviceLimitationError(
            f"parameters.cell_info.electrolyte_info.uuid: {vial!r} was given, but {NAME} fills cells from a "
            "vial: accepted is its identity"
        )
    parts = _find_parts(cell, payload)
    check_names(cell, offer)
    _check_volume(cell, offer, parts)
    if settings.inventory is None:
        raise bad_input(
            "settings.inventory",
            None,
            "the folder of the simulated laboratory (made by finales-lab init) that the vial is in",
        )
    return AssemblyOrder(vial, electrolyte, cell, n_cells, tuple(assumed), settings, _tell(parts))


def _complete_cell(given: Any) -> tuple[Json, list[str]]:
    """Return what a cell is made of, and in words what was not said and is therefore assumed."""
    cell = copy.deepcopy(read_object("parameters.cell", given, "battery_chemistry"))
    path = "parameters.cell.battery_chemistry"
    chemistry = read_object(path, cell.get("battery_chemistry"), "electrolyte")
    read_formulation(f"{path}.electrolyte", chemistry.get("electrolyte"))
    assumed: list[str] = []
    chemistry["anode"] = _complete_part(f"{path}.anode", chemistry.get("anode"), ANODE, assumed)
    chemistry["cathode"] = _complete_part(f"{path}.cathode", chemistry.get("cathode"), CATHODE, assumed)
    _name_both(chemistry, assumed)
    cell["separator"] = _complete_part("parameters.cell.separator", cell.get("separator"), SEPARATOR, assumed)
    cell["electrolyte_volume"] = _read_volume(cell.get("electrolyte_volume"), assumed)
    return cell, assumed


def _name_both(chemistry: Json, assumed: list[str]) -> None:
    """Where one electrode is said by name, the other one is of the published cells unless it is as well."""
    if any(chemistry[key].get("name") for key in POLARITY):
        for key, name in (("anode", PUBLISHED_NEGATIVE), ("cathode", PUBLISHED_POSITIVE)):
            if not chemistry[key].get("name"):
                chemistry[key]["name"] = name
                assumed.append(f"{key}.name {name}")


def _complete_part(path: str, given: Any, usual: Json, assumed: list[str]) -> Json:
    part = {} if given is None else dict(read_object(path, given, ", ".join(usual)))
    if given is not None:  # whoever names a part says what it is made of
        read_material = read_text if isinstance(usual["material"], str) else read_formulation
        read_material(f"{path}.material", part.get("material"))
    for key, value in usual.items():
        if part.get(key) is None:
            part[key] = copy.deepcopy(value)
            known = value if not isinstance(value, list) else value[0]["chemical"]["SMILES"]
            assumed.append(f"{path.rpartition('.')[2]}.{key} {known}")
        elif isinstance(value, float):
            read_number(f"{path}.{key}", part[key], POSITIVE, math.inf, "a number above 0")
    return part


def _read_volume(given: Any, assumed: list[str]) -> float:
    if given is None:
        assumed.append(f"electrolyte_volume {ELECTROLYTE_VOLUME} µL")
        return ELECTROLYTE_VOLUME
    return read_number("parameters.cell.electrolyte_volume", given, 0.0, math.inf, "a number from 0 (µL)")


def _spell(cell: Any) -> Any:
    """Return a cell with the names of its parts spelt out, as requests are stored.

    :raises DeviceInputError: when a name is not known.
    """
    spelt, defects = spell_parts({"parameters": {"cell": cell}})
    if defects:
        raise bad_input(defects[0]["path"], defects[0]["given"], defects[0]["accepted"])
    return spelt["parameters"]["cell"]


def _find_parts(cell: Json, payload: Json) -> dict[str, CellPart]:
    """Return the records of the parts that are named, by key.

    :raises DeviceInputError: when one is not known.
    """
    said = {**cell["battery_chemistry"], "separator": cell["separator"], "format": cell.get("format")}
    named = {key: part["name"] for key in KINDS if isinstance(part := said.get(key), dict) and part.get("name")}
    try:
        return {key: find_part(KINDS[key], name, payload) for key, name in named.items()}
    except InputError as error:
        raise DeviceInputError(f"parameters.cell: {error}") from error


def _tell(parts: dict[str, CellPart]) -> Json:
    """Return records as they stay with the cell."""
    nouns = sorted({part.NOUN for part in parts.values()})
    return {noun: [part.to_dict() for part in parts.values() if noun == part.NOUN] for noun in nouns}


def _check_volume(cell: Json, offer: CellOffer, parts: dict[str, CellPart]) -> None:
    """Refuse a volume that the robot cannot dose, that the format cannot hold, or that leaves the separator dry.

    :raises DeviceLimitationError: naming what is accepted.
    """
    volume, (low, high) = cell["electrolyte_volume"], offer.electrolyte_volume
    if not low <= volume <= high:
        raise DeviceLimitationError(f"electrolyte_volume is {volume:g} µL, but {NAME} accepts {low:g} to {high:g} µL")
    housing, separator = parts.get("format"), parts.get("separator")
    holds = housing.known.get("electrolyte_volume", math.inf) if housing else math.inf
    if housing and volume > holds:
        raise DeviceLimitationError(f"electrolyte_volume is {volume:g} µL, but {housing.name} holds {holds:g} µL")
    if isinstance(separator, Separator) and separator.pore_volume is not None:
        size = cell["separator"]["size"]
        needed = separator.pore_volume * size
        if volume < needed:
            raise DeviceLimitationError(
                f"electrolyte_volume is {volume:g} µL, but the pores of {separator.name} ({size:g} "
                f"cm²) take {needed:.3g} µL"
            )
    _check_area(cell, housing)


def _check_area(cell: Json, housing: CellPart | None) -> None:
    most = housing.known.get("electrode_area", math.inf) if housing else math.inf
    for key in ("anode", "cathode"):
        size = cell["battery_chemistry"][key]["size"]
        if housing and size > most:
            raise DeviceLimitationError(f"{key} has {size:g} cm², but {housing.name} takes at most {most:g} cm²")
