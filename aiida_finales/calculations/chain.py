"""What each step of the chain from electrolyte to end of life copies from the ones before it: all of it is here.

The steps are those of the published workflow tenant (Overlort of FINALES 2); the differences are noted where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cycling import RATES

QUANTITY, METHOD = "degradationEOL", "degradation_workflow"

#: What a request for an end of life does not say. Volumes, rates and voltages are those of the published chain.
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
    :param request: the request for an end of life.
    :param settings: see :func:`fill_settings`.
    :param cell: number of the cell within the batch, from 0, for the steps that concern one cell.
    :param results: of the steps before, by their names.
    """
    quantity, method, copy = STEPS[step.value]
    sources = {name: result.data for name, result in results.items()}
    wanted = request.parameters[METHOD]
    parameters = copy(wanted, settings.get_dict(), sources, None if cell is None else cell.value)
    made_from = [result.uuid for result in results.values()]
    return RequestData(quantity, {method: parameters}, request.requester, parent=request.uuid, made_from=made_from)


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
    used = {**request.parameters[METHOD], "battery_chemistry": {"electrolyte": formulation, **electrodes}}
    return ResultData(
        orm.load_node(request.capabilities[METHOD]),
        data,
        used,
        tenant_uuid=tenant.tenant_uuid,
        request_uuid=request.uuid,
        simulated=any(node.base.attributes.get("simulated") for node in [electrolyte, *ordered]),
    )


def good_cells(assembly: Json) -> list[int]:
    """Return the numbers, from 0, of the cells of a batch that can be cycled."""
    return [number for number, item in enumerate(assembly["batch_output"]) if item["meta"]["success"]]


def identity_of(cell_info: Json) -> str:
    """Return what is written on a cell."""
    return str(cell_info.get("uuid") or cell_info.get("cell_name"))


def _channels(_wanted: Json, settings: Json, _sources: Json, _cell: int | None) -> Json:
    # the published chain always reserves 8
    return {
        "number_required_channels": settings["batch_volume"],
        "cycling_protocol": settings["cycling_protocol"],
        "number_cycles": settings["number_cycles"],
    }


def _release(_wanted: Json, settings: Json, sources: Json, _cell: int | None) -> Json:
    return {
        "number_required_channels": settings["batch_volume"],
        "release": sources["channels"]["reservation_id"],
    }


def _electrolyte(wanted: Json, settings: Json, _sources: Json, _cell: int | None) -> Json:
    volume = round(settings["batch_volume"] * VOLUME_PER_CELL, 5) + DEAD_VOLUME
    return {"electrolyte": {"formulation": wanted["battery_chemistry"]["electrolyte"]}, "volume": volume}


def _vial_transport(_wanted: Json, settings: Json, sources: Json, _cell: int | None) -> Json:
    made = sources["electrolyte"]
    info = made["run_info"].get("formulation_info") or {}
    identity = info.get("uuid") or info.get("name") or made["run_info"]["internal_reference"]
    return {
        "origin": made["electrolyte"]["location"],
        "destination": {"address": settings["assembler"]},
        "samples": [identity],
    }


def _assembly(wanted: Json, settings: Json, sources: Json, _cell: int | None) -> Json:
    # the mixture that was really made, not the one that was asked for; the electrodes, which the published chain drops
    chemistry = {"electrolyte": sources["electrolyte"]["electrolyte"]["formulation"], **_electrodes(wanted, settings)}
    return {
        "cell": {
            "battery_chemistry": chemistry,
            "electrolyte_volume": settings["electrolyte_volume_uL"],
            "separator": settings["separator"],
        },
        "cell_info": {"electrolyte_info": sources["electrolyte"]["run_info"].get("formulation_info") or {}},
        "batch_volume": settings["batch_volume"],
    }


def _cell_transport(_wanted: Json, settings: Json, sources: Json, _cell: int | None) -> Json:
    # from where the cells are; the published chain says where the vial was taken to
    cells = [sources["assembly"]["batch_output"][number]["cell_info"] for number in good_cells(sources["assembly"])]
    address = (cells[0].get("cell_location") or {}).get("address") or settings["assembler"]
    return {
        "origin": {"address": address},
        "destination": {"address": settings["cycler"]},
        "samples": [identity_of(info) for info in cells],
    }


def _cycling(_wanted: Json, settings: Json, sources: Json, cell: int | None) -> Json:
    item = sources["assembly"]["batch_output"][cell]
    cathode = item["cell"]["battery_chemistry"].get("cathode") or {}
    loading = cathode.get("mass_loading") or settings["mass_loading"]
    area = cathode.get("size") or settings["cathode_size"]
    capacity = loading * area * AMPERE_HOURS
    location = sources["cell_transport"].get("actual_new_location") or {"address": settings["cycler"]}
    return {
        "cycling_protocol": settings["cycling_protocol"],
        "number_cycles": settings["early_cycles"],
        "cell_info": item["cell_info"],
        "location": location,
        "reservation_number": sources["channels"]["reservation_id"],
        "capacity": round(capacity, 7),
        "I_max": round(capacity * settings["c_rate"] * CURRENT_MARGIN, 7),
        "V_max": settings["V_max"],
        "V_min": settings["V_min"],
        "c_rate_charge_formation": settings["c_rate_formation"],
        "c_rate_discharge_formation": settings["c_rate_formation"],
        "CV_I_cutoff_formation": round(capacity * CUTOFF, 7),
        "repetions_formation_cycle": settings["formation_cycles"],
        "cycling_V_max": settings["V_max"],
        "cycling_V_min": settings["V_min"],
        "c_rate_charge": settings["c_rate"],
        "c_rate_discharge": settings["c_rate"],
        "CV_I_cutoff": round(capacity * CUTOFF, 7),
    }


def _further_cycling(wanted: Json, settings: Json, sources: Json, cell: int | None) -> Json:
    return {**_cycling(wanted, settings, sources, cell), "number_cycles": settings["number_cycles"]}


def _prediction(_wanted: Json, settings: Json, sources: Json, cell: int | None) -> Json:
    cycled = sources["cycling"]
    item = sources["assembly"]["batch_output"][cell]
    features = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")
    return {
        "battery_chemistry": item["cell"]["battery_chemistry"],
        "input_cycles": cycled["capacity_list"],
        **{name: cycled.get(name) or settings["c_rate"] for name in RATES},
        **{name: cycled[name] for name in features if cycled.get(name) is not None},
        "cell_info": item["cell_info"],
    }


def _electrodes(wanted: Json, settings: Json) -> Json:
    """Return the electrodes that were asked for, or those that are assumed."""
    chemistry = wanted["battery_chemistry"]
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

Copy = Callable[[Json, Json, Json, int | None], Json]

#: the steps in the words of a laboratory: what is asked of whom, and how its parameters are made
STEPS: dict[str, tuple[str, str, Copy]] = {
    "channels": ("cycling_channel", "service", _channels),
    "electrolyte": ("electrolyte", "flow", _electrolyte),
    "vial_transport": ("transport", "transport_service", _vial_transport),
    "assembly": ("cell_assembly", "autobass_assembly", _assembly),
    "cell_transport": ("transport", "transport_service", _cell_transport),
    "cycling": ("capacity", "cycling", _cycling),
    "prediction": ("degradationEOL", "degradation_model", _prediction),
    "further_cycling": ("capacity", "cycling", _further_cycling),
    "release": ("cycling_channel", "service", _release),
}
