"""What the assembly robot is asked: the input file, checked, and completed with what the robot uses by default."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from aiida_finales.exceptions import DeviceLimitationError
from aiida_finales.lab.reading import bad_input, read_formulation, read_number, read_object, read_target
from aiida_finales.lab.settings import DeviceSettings, read_settings

Json = dict[str, Any]

TARGETS = {"cell_assembly": "autobass_assembly"}

#: Cells of a batch that the request says nothing about, and at most: the trays hold 64.
BATCH_VOLUME, MOST_CELLS = 8, 64
#: µL per cell that the published tenant accepts, and what it uses by default (BIG-MAP/FINALES2_schemas).
ELECTROLYTE_RANGE, ELECTROLYTE_VOLUME = (10.0, 80.0), 35.0


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
    """

    vial: str
    electrolyte_info: Json
    cell: Json
    n_cells: int
    assumed: tuple[str, ...]
    settings: DeviceSettings


def read_assembly(payload: Json) -> AssemblyOrder:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    :raises DeviceLimitationError: when the volume of electrolyte is out of range.
    """
    read_target(payload, TARGETS)
    parameters = read_object("parameters", payload.get("parameters"), "cell, cell_info and batch_volume")
    n_cells = parameters.get("batch_volume")
    n_cells = BATCH_VOLUME if n_cells is None else n_cells
    if isinstance(n_cells, bool) or n_cells not in range(1, MOST_CELLS + 1):
        raise bad_input("parameters.batch_volume", n_cells, f"a whole number from 1 to {MOST_CELLS}")
    info = read_object("parameters.cell_info", parameters.get("cell_info"), "electrolyte_info")
    electrolyte = read_object("parameters.cell_info.electrolyte_info", info.get("electrolyte_info"), "uuid")
    vial = electrolyte.get("uuid")
    if not isinstance(vial, str) or not vial:
        raise bad_input("parameters.cell_info.electrolyte_info.uuid", vial, "the identity of a vial")
    cell, assumed = _complete_cell(parameters.get("cell"))
    settings = read_settings(DeviceSettings, payload.get("settings"), "autobass")
    if settings.inventory is None:
        raise bad_input(
            "settings.inventory",
            None,
            "the folder of the simulated laboratory (made by finales-lab init) that the vial is in",
        )
    return AssemblyOrder(vial, electrolyte, cell, int(n_cells), tuple(assumed), settings)


def _complete_cell(given: Any) -> tuple[Json, list[str]]:
    """Return what a cell is made of, and in words what was not said and is therefore assumed."""
    cell = copy.deepcopy(read_object("parameters.cell", given, "battery_chemistry"))
    path = "parameters.cell.battery_chemistry"
    chemistry = read_object(path, cell.get("battery_chemistry"), "electrolyte")
    read_formulation(f"{path}.electrolyte", chemistry.get("electrolyte"))
    assumed: list[str] = []
    chemistry["anode"] = _complete_part("anode", chemistry.get("anode"), ANODE, assumed)
    chemistry["cathode"] = _complete_part("cathode", chemistry.get("cathode"), CATHODE, assumed)
    cell["separator"] = _complete_part("separator", cell.get("separator"), SEPARATOR, assumed)
    cell["electrolyte_volume"] = _read_volume(cell.get("electrolyte_volume"), assumed)
    return cell, assumed


def _complete_part(name: str, given: Any, usual: Json, assumed: list[str]) -> Json:
    part = dict(read_object(f"parameters.cell.{name}", {} if given is None else given, ", ".join(usual)))
    for key, value in usual.items():
        if part.get(key) is None:
            part[key] = copy.deepcopy(value)
            known = value if not isinstance(value, list) else value[0]["chemical"]["SMILES"]
            assumed.append(f"{name}.{key} {known}")
        elif isinstance(value, float):
            read_number(f"parameters.cell.{name}.{key}", part[key], 1e-6, math.inf, "a number above 0")
    return part


def _read_volume(given: Any, assumed: list[str]) -> float:
    low, high = ELECTROLYTE_RANGE
    if given is None:
        assumed.append(f"electrolyte_volume {ELECTROLYTE_VOLUME} µL")
        return ELECTROLYTE_VOLUME
    volume = read_number("parameters.cell.electrolyte_volume", given, 0.0, math.inf, "a number (µL)")
    if not low <= volume <= high:
        raise DeviceLimitationError(f"electrolyte_volume is {volume:g} µL, but autobass accepts {low:g} to {high:g} µL")
    return volume
