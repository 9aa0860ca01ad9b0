"""The chain from electrolyte to end of life: its steps, what each needs, and what it copies from the ones before it.

All of it is here, once: a request for what comes earlier in the chain is answered by the steps that lead there.
The steps are those of the published workflow tenant (Overlort of FINALES 2); the differences are noted where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, median_low

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.formulation import merge
from aiida_finales.schemas.quantities.common import Cell
from aiida_finales.schemas.quantities.cycling import CyclingSettings
from aiida_finales.science.ageing.cycling import RATES

QUANTITY = "degradationEOL"

#: What a request does not say. Volumes, rates and voltages are those of the published chain.
DEFAULTS: Json = {
    "batch_volume": 8,
    "cycling_protocol": "BIG-MAP-Standard",
    "number_cycles": 200,
    # the end of life is predicted as soon as these are done; the cycler goes on
    "early_cycles": 40,
    "follow_up": True,
    "electrolyte_volume_uL": 35.0,
    "separator": {"material": "Celgard 2325", "size": 2.0096},
    # what is asked for when a request names no electrodes, as those of the published optimiser
    "mass_loading": 1.0,
    "cathode_size": 1.5386,
    "assembler": "AutoBASS",
    "cycler": "Cycler",
    "V_max": 4.2,
    "V_min": 2.5,
    "c_rate": 1.0,
    "c_rate_formation": 0.1,
    "formation_cycles": 3,
}
#: mAh/cm2 * cm2 -> Ah. The published chain has 1e-4 in the capacity and 1e-3 in the current: a tenth of the C-rate.
AMPERE_HOURS = 1e-3
#: highest current over that of the C-rate
CURRENT_MARGIN = 1.2
#: the constant-voltage step ends at this part of the current of 1C
CUTOFF = 1 / 20
#: mL per cell, and mL for tubes and tips, of the published chain
VOLUME_PER_CELL, DEAD_VOLUME = 2 * 1.1 / 8, 2.0
#: of cells that take more than that, what is mixed for each over what goes into it
MARGIN_PER_CELL = 1.1


def fill_settings(given: Json) -> Json:
    """Return the settings of a chain with all defaults written out.

    :raises InputError: when there is an unknown one, or there are more early cycles than cycles.
    """
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise InputError(f"settings of the chain: {', '.join(unknown)} unknown, accepted are {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **given}
    early, number = settings["early_cycles"], settings["number_cycles"]
    if not 0 < early <= number:
        raise InputError(f"early_cycles is {early}, but accepted is 1 to {number} (number_cycles)")
    return settings


@calcfunction
def plan_step(
    step: orm.Str, request: RequestData, settings: orm.Dict, cell: orm.Int | None = None, **results: ResultData
) -> RequestData:
    """Return the request of one step of the chain.

    :param step: a key of :data:`STEPS`.
    :param request: the request that the chain answers.
    :param settings: see :func:`fill_settings`.
    :param cell: number of the cell within the batch, from 0, for the steps that concern one cell.
    :param results: of the steps before, by their names.
    """
    planned = STEPS[step.value]
    sources = {name: result.data for name, result in results.items()}
    order = make_order(request.quantity, request.parameters[served_method(request)], settings.get_dict())
    parameters = planned.copy(order, sources, 0 if cell is None else cell.value)
    made_from = [result.uuid for result in results.values()]
    asked = {planned.method: parameters}
    return RequestData(planned.quantity, asked, request.requester, parent=request.uuid, made_from=made_from)


def served_method(request: RequestData) -> str:
    """Return the method of a request by which the chain answers it."""
    return next(method for method in request.methods if (request.quantity, method) in SERVED)


def find_steps(last: str) -> list[str]:
    """Return the steps that lead to one, in the order in which they are made; it is the last of them."""
    wanted = {last}
    for name in reversed(STEPS):  # each stands behind what it needs
        if name in wanted:
            wanted.update(STEPS[name].needs)
    return [name for name in STEPS if name in wanted]


def make_order(quantity: str, said: Json, settings: Json) -> Json:
    """Return all that the steps are made of: what a request says, and where it is silent what the settings say.

    :param said: parameters of the request.
    :returns: ``cell`` (as the assembly takes it), ``batch_volume``, ``volume`` (mL, ``None``: what the cells need),
        ``early_cycles`` (that are waited for), ``number_cycles`` and ``cycling`` (those settings that were asked for).
    """
    given = {key: value for key, value in said.items() if value is not None}
    if quantity == QUANTITY:  # the rest is about a cell that does not exist yet
        given = {"battery_chemistry": given["battery_chemistry"]}
    cell = _read_cell(quantity, given)
    chemistry = cell["battery_chemistry"]
    cell["battery_chemistry"] = {**chemistry, **_electrodes(chemistry, settings)}
    number = given.get("number_cycles", settings["number_cycles"])
    return {
        **settings,
        **{key: given[key] for key in ("batch_volume", "cycling_protocol") if key in given},
        "volume": given.get("volume"),
        "cell": {"electrolyte_volume": settings["electrolyte_volume_uL"], "separator": settings["separator"], **cell},
        "number_cycles": number,
        "early_cycles": settings["early_cycles"] if quantity == QUANTITY else number,
        "cycling": {key: given[key] for key in CyclingSettings.model_fields if key in given},
    }


@calcfunction
def collect_end_of_life(
    request: RequestData, tenant: TenantData, electrolyte: ResultData, **predictions: ResultData
) -> ResultData:
    """Return the result of the chain: the prediction of each cell, for the electrolyte that was really made."""
    ordered = [predictions[name] for name in sorted(predictions)]
    cells = [{**node.data[QUANTITY], "result": node.uuid} for node in ordered]
    electrodes = {
        key: value
        for key, value in ordered[0].parameters["battery_chemistry"].items()
        if key != "electrolyte" and value
    }
    formulation = electrolyte.data["electrolyte"]["formulation"]
    valid = [cell["end_of_life"] for cell in cells if cell["meta"]["success"]]
    data = {
        "run_info": {**electrolyte.data["run_info"], "formulation": formulation},
        QUANTITY: cells,
        "median_end_of_life": median(valid) if valid else None,
    }
    used = {"battery_chemistry": {"electrolyte": formulation, **electrodes}}
    # whatever was asked for, these are the rates at which the cells were cycled
    asked, cycled = request.parameters[served_method(request)], ordered[0].parameters
    used |= {name: cycled[name] for name in RATES if asked.get(name) is not None and name in cycled}
    return _answer(request, tenant, data, used, [electrolyte, *ordered])


@calcfunction
def collect_step(request: RequestData, tenant: TenantData, **results: ResultData) -> ResultData:
    """Return the answer to a request for what comes before the end of life, in the form of its quantity.

    :param results: ``electrolyte``, ``assembly``, or ``assembly`` and ``cycling_01``... of each cell.
    """
    cycled = [results[name] for name in sorted(results) if name.startswith("cycling_")]
    if not cycled:
        (made,) = results.values()
        return _answer(request, tenant, made.data, made.parameters, [made])
    # the cell in the middle stands for all: one that died early does not move it
    last = median_low(node.data["capacity_list"][-1] for node in cycled)
    middle = next(node for node in cycled if node.data["capacity_list"][-1] == last)
    data = {**middle.data, "cells": [{**node.data, "result": node.uuid} for node in cycled]}
    built = results["assembly"].parameters
    used = {**built["cell"], "batch_volume": built.get("batch_volume", len(cycled)), **middle.parameters}
    return _answer(request, tenant, data, used, [results["assembly"], *cycled])


def _answer(request: RequestData, tenant: TenantData, data: Json, used: Json, made_of: list[ResultData]) -> ResultData:
    """Return what the chain found in answer to a request.

    :param used: parameters that differ from those that were asked for, because something else was really done.
    """
    method = served_method(request)
    return ResultData(
        orm.load_node(request.capabilities[method]),
        data,
        {**request.parameters[method], **used},
        tenant_uuid=tenant.tenant_uuid,
        request_uuid=request.uuid,
        simulated=any(node.base.attributes.get("simulated") for node in made_of),
    )


def good_cells(assembly: Json) -> list[int]:
    """Return the numbers, from 0, of the cells of a batch that can be cycled."""
    return [number for number, item in enumerate(assembly["batch_output"]) if item["meta"]["success"]]


def identity_of(cell_info: Json) -> str:
    """Return what is written on a cell."""
    return str(cell_info.get("uuid") or cell_info.get("cell_name"))


def _read_cell(quantity: str, said: Json) -> Json:
    """Return what the request of a quantity says about the cell that it is about."""
    if quantity == "electrolyte":
        return {"battery_chemistry": {"electrolyte": said["electrolyte"]["formulation"]}}
    if quantity == "cell_assembly":
        return {key: value for key, value in said["cell"].items() if value is not None}
    return {key: said[key] for key in Cell.model_fields if key in said}


def _channels(order: Json, _sources: Json, _cell: int) -> Json:
    # the published chain always reserves 8
    return {
        "number_required_channels": order["batch_volume"],
        "cycling_protocol": order["cycling_protocol"],
        "number_cycles": order["number_cycles"],
    }


def _release(order: Json, sources: Json, _cell: int) -> Json:
    return {"number_required_channels": order["batch_volume"], "release": sources["channels"]["reservation_id"]}


def _electrolyte(order: Json, _sources: Json, _cell: int) -> Json:
    per_cell = max(VOLUME_PER_CELL, order["cell"]["electrolyte_volume"] * 1e-3 * MARGIN_PER_CELL)
    needed = round(order["batch_volume"] * per_cell, 5) + DEAD_VOLUME
    formulation = order["cell"]["battery_chemistry"]["electrolyte"]
    return {"electrolyte": {"formulation": formulation}, "volume": order["volume"] or needed}


def _vial_transport(order: Json, sources: Json, _cell: int) -> Json:
    made = sources["electrolyte"]
    info = made["run_info"].get("formulation_info") or {}
    identity = info.get("uuid") or info.get("name") or made["run_info"]["internal_reference"]
    return {
        "origin": made["electrolyte"]["location"],
        "destination": {"address": order["assembler"]},
        "samples": [identity],
    }


def _assembly(order: Json, sources: Json, _cell: int) -> Json:
    # the mixture that was really made, not the one that was asked for; the electrodes, which the published chain drops
    made = {"battery_chemistry": {"electrolyte": sources["electrolyte"]["electrolyte"]["formulation"]}}
    return {
        "cell": merge(order["cell"], made),
        "cell_info": {"electrolyte_info": sources["electrolyte"]["run_info"].get("formulation_info") or {}},
        "batch_volume": order["batch_volume"],
    }


def _cell_transport(order: Json, sources: Json, _cell: int) -> Json:
    # from where the cells are; the published chain says where the vial was taken to
    cells = [sources["assembly"]["batch_output"][number]["cell_info"] for number in good_cells(sources["assembly"])]
    address = (cells[0].get("cell_location") or {}).get("address") or order["assembler"]
    return {
        "origin": {"address": address},
        "destination": {"address": order["cycler"]},
        "samples": [identity_of(info) for info in cells],
    }


def _cycling(order: Json, sources: Json, cell: int) -> Json:
    item = sources["assembly"]["batch_output"][cell]
    cathode = item["cell"]["battery_chemistry"].get("cathode") or {}
    loading = cathode.get("mass_loading") or order["mass_loading"]
    area = cathode.get("size") or order["cathode_size"]
    asked = {**_default_rates(order), **order["cycling"]}
    capacity = asked.get("capacity") or loading * area * AMPERE_HOURS
    fastest = max(value for key, value in asked.items() if key.startswith("c_rate"))
    return {
        "cell_info": item["cell_info"],
        "location": sources["cell_transport"].get("actual_new_location") or {"address": order["cycler"]},
        "reservation_number": sources["channels"]["reservation_id"],
        "capacity": round(capacity, 7),
        "I_max": round(capacity * fastest * CURRENT_MARGIN, 7),
        "CV_I_cutoff_formation": round(capacity * CUTOFF, 7),
        "CV_I_cutoff": round(capacity * CUTOFF, 7),
        **asked,
        "cycling_protocol": order["cycling_protocol"],
        "number_cycles": order["early_cycles"],
    }


def _default_rates(order: Json) -> Json:
    """Return the voltages (V), rates (1/h) and formation cycles where a request does not say them."""
    asked = order["cycling"]
    return {
        "V_max": order["V_max"],
        "V_min": order["V_min"],
        "cycling_V_max": asked.get("V_max", order["V_max"]),
        "cycling_V_min": asked.get("V_min", order["V_min"]),
        "c_rate_charge": order["c_rate"],
        "c_rate_discharge": order["c_rate"],
        "c_rate_charge_formation": order["c_rate_formation"],
        "c_rate_discharge_formation": order["c_rate_formation"],
        "repetions_formation_cycle": order["formation_cycles"],
    }


def _further_cycling(order: Json, sources: Json, cell: int) -> Json:
    return {**_cycling(order, sources, cell), "number_cycles": order["number_cycles"]}


def _prediction(order: Json, sources: Json, cell: int) -> Json:
    cycled = sources["cycling"]
    item = sources["assembly"]["batch_output"][cell]
    features = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")
    return {
        "battery_chemistry": item["cell"]["battery_chemistry"],
        "input_cycles": cycled["capacity_list"],
        **{name: cycled.get(name) or order["c_rate"] for name in RATES},
        **{name: cycled[name] for name in features if cycled.get(name) is not None},
        "cell_info": item["cell_info"],
    }


def _electrodes(chemistry: Json, settings: Json) -> Json:
    """Return the electrodes that were asked for, or those that are assumed."""
    assumed = {"mass_loading": settings["mass_loading"], "size": settings["cathode_size"]}
    cathode = {key: value for key, value in (chemistry.get("cathode") or {}).items() if value is not None}
    electrodes = {"cathode": {"material": LNO, **assumed, **cathode}}
    if chemistry.get("anode"):
        electrodes["anode"] = chemistry["anode"]
    return electrodes


#: lithium nickel oxide, the positive electrode of the published cells
LNO = [
    {
        "chemical": {"SMILES": "[Li+].[O-][Ni]=O", "InChIKey": "VROAXDSNYPAOBJ-UHFFFAOYSA-N"},
        "fraction": 1.0,
        "fraction_type": "molPerMol",
    }
]

Copy = Callable[[Json, Json, int], Json]


@dataclass(frozen=True)
class Step:
    """One step of the chain, in the words of a laboratory.

    :param quantity: what is asked for, by ``method``.
    :param copy: makes the parameters of the order (:func:`make_order`), the data of the steps that it needs, and the
        number of the cell.
    :param needs: the steps before it, from which it is copied.
    :param is_per_cell: asked for each good cell of the batch, not once.
    """

    quantity: str
    method: str
    copy: Copy
    needs: tuple[str, ...] = ()
    is_per_cell: bool = False


STEPS: dict[str, Step] = {
    "channels": Step("cycling_channel", "service", _channels),
    "electrolyte": Step("electrolyte", "flow", _electrolyte),
    "vial_transport": Step("transport", "transport_service", _vial_transport, ("electrolyte",)),
    "assembly": Step("cell_assembly", "autobass_assembly", _assembly, ("electrolyte", "vial_transport")),
    "cell_transport": Step("transport", "transport_service", _cell_transport, ("assembly",)),
    "cycling": Step("capacity", "cycling", _cycling, ("channels", "assembly", "cell_transport"), is_per_cell=True),
    "prediction": Step("degradationEOL", "degradation_model", _prediction, ("assembly", "cycling"), is_per_cell=True),
    "further_cycling": Step(
        "capacity", "cycling", _further_cycling, ("channels", "assembly", "cell_transport"), is_per_cell=True
    ),
    "release": Step("cycling_channel", "service", _release, ("channels",)),
}
#: the step that answers a request, by its quantity and method
SERVED: dict[tuple[str, str], str] = {
    ("electrolyte", "workflow"): "electrolyte",
    ("cell_assembly", "workflow"): "assembly",
    ("capacity", "workflow"): "cycling",
    ("degradationEOL", "degradation_workflow"): "prediction",
}
