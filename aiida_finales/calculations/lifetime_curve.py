"""How a cell will age: before its first cycle, or from its first cycles, by a model that knows how unsure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.calculations.lifetime import demand_model, describe_skill
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.quantities.lifetime import SHARES, Curve
from aiida_finales.science.ageing.cleaning import REFERENCE_RULE
from aiida_finales.science.ageing.end_of_life import THRESHOLD
from aiida_finales.science.lifetime.generator.cell import PROPERTIES, CellDesign, Electrode, Step, name_material
from aiida_finales.science.lifetime.generator.domain import WORDS
from aiida_finales.science.lifetime.generator.left_out import COVERAGE
from aiida_finales.science.lifetime.generator.model import Answer
from aiida_finales.science.lifetime.generator.records import find_record

LIFE, GENERATOR, FADE = "degradationEOL", "lifetime_generator", "capacity_fade"
#: key of who cycles a cell: in requests, and among the settings of a tenant for requests that do not say it
LABORATORY = "laboratory"
#: what was left out to find the errors of each regime
SPLITS = {
    "known_protocol": "single cells left out",
    "known_family": "protocols left out",
    "new_protocol": "protocols left out",
    "new_cell": "laboratories left out",
    "new_chemistry": "chemistries left out",
}
#: said where an electrolyte is given
NO_ELECTROLYTE = "the cells learned from do not vary the electrolyte: what this one changes is not known"
#: ratio of the ends of an interval to its middle from which on a first measurement is worth its time
_WIDE = 1.3
#: ratio of a narrower interval to this one from which on it is worth cycling
_NARROWER = 0.95
#: cells that got down to a share below which it is said
_FEW = 5


@calcfunction
def predict_lifetime_curve(request: RequestData, tenant: TenantData, model: LifetimeModelData, **evidence: Any) -> Any:
    """Return the cycles at which a cell falls to shares of its capacity, or why nothing can be said: an answer too.

    :param evidence: ``fade_model``, which tells what first cycles would bring; results that the request is made from.
    """
    (method,) = {GENERATOR, FADE} & set(request.parameters)
    parameters = request.parameters[method]
    asked = _say_who(parameters, tenant, request.quantity, method)
    data = answer_curve(model, asked, evidence.get("fade_model"))
    return {"result": _make_result(request, tenant, method, data, model)}


@calcfunction
def generate_end_of_life(request: RequestData, tenant: TenantData, model: LifetimeModelData, **evidence: Any) -> Any:
    """Return the end of life of a cell that does not exist yet, or why nothing can be said.

    :param evidence: as :func:`predict_lifetime_curve`.
    """
    parameters = request.parameters[GENERATOR]
    asked = {**parameters, "state_of_health": list(SHARES), "electrolyte": _electrolyte_of(parameters)}
    asked = _say_who(asked, tenant, LIFE, GENERATOR)
    curve = answer_curve(model, asked, evidence.get("fade_model"))
    return {"result": _make_result(request, tenant, GENERATOR, _as_end_of_life(curve, request), model)}


def _say_who(parameters: Json, tenant: TenantData, quantity: str, method: str) -> Json:
    """Return parameters with who cycles the cell: as the request says, else as the tenant that is asked does."""
    offer = tenant.find_offer(quantity, method) or {}
    usual = (offer.get("settings") or {}).get(LABORATORY)
    return {**parameters, LABORATORY: parameters.get(LABORATORY) or usual}


def _make_result(
    request: RequestData, tenant: TenantData, method: str, data: Json, model: LifetimeModelData
) -> ResultData:
    return ResultData(
        orm.load_node(request.capabilities[method]),
        data,
        request.parameters[method],
        tenant_uuid=tenant.tenant_uuid,
        request_uuid=request.uuid,
        simulated=model.is_simulated,
        strict=True,
        # the cycles are those of a model, and may be of cells that are no electrolyte
        is_sure=True,
    )


def answer_curve(node: LifetimeModelData, parameters: Json, fade: LifetimeModelData | None = None) -> Json:
    """Return the data of a curve.

    :param parameters: of ``lifetimeCurve``.
    :param fade: tells what first cycles would bring.
    """
    wanted = list(parameters.get("state_of_health") or SHARES)
    coverage = float(parameters.get("coverage", COVERAGE))
    try:
        design = read_cell(parameters)
        doubts = [NO_ELECTROLYTE] if parameters.get("electrolyte") else []
        model, laboratory = node.load(), parameters.get(LABORATORY) or ""
        if node.method == FADE:
            found, reader = model.predict(design, parameters["early_cycles"], wanted, coverage, doubts, laboratory)
            about, n_read = _describe_reader(node, reader, found), reader.window
            fade = fade or node
        else:
            found = model.predict(design, wanted, coverage, doubts, laboratory)
            about, n_read = _describe_model(node, found), 0
    except InputError as error:
        return _refuse(node, wanted, coverage, str(error))
    life = _at_end_of_life(found)
    return {
        "state_of_health": wanted,
        "cycle": _round(found.cycles),
        "cycle_lower": _round(found.lower),
        "cycle_upper": _round(found.upper),
        "coverage": coverage,
        "end_of_life": {"share": THRESHOLD, "reference": REFERENCE_RULE, "cycle": life},
        "domain": {
            "regime": found.place.regime,
            "nearest_cells": list(found.place.nearest),
            "distance": round(found.place.distance, 4),
            "replicates": found.place.replicates,
            "reached_by": found.reached_by.tolist(),
        },
        "contributions": {name: round(factor, 3) for name, factor in found.contributions.items()},
        "longer": _tell_longer(found, fade, n_read, model.domain.find_kind(found.place)),
        "meta": {"success": True, "rating": found.rating, "reason": _reason(found, parameters, n_read)},
        "model": about,
    }


def read_cell(parameters: Mapping[str, Any]) -> CellDesign:
    """Return what parameters say of a cell and how it is cycled."""
    protocol, design = parameters["protocol"], parameters["cell_design"]
    return CellDesign(
        positive=_read_electrode(parameters["positive_electrode"]),
        negative=_read_electrode(parameters["negative_electrode"]),
        form=design["format"],
        nominal_capacity=float(design["nominal_capacity"]),
        charging=_read_steps(protocol["charging"], 1.0),
        discharging=_read_steps(protocol["discharging"], 0.0),
        temperature=float(parameters["temperature"]),
        voltage_minimum=protocol.get("voltage_minimum"),
        voltage_maximum=protocol.get("voltage_maximum"),
    )


def _read_electrode(given: Mapping[str, Any]) -> Electrode:
    """Return an electrode as it is told; without properties, as its record says."""
    word = name_material(given["material"])
    known = find_record(word)
    told = {
        key: float(value)
        for key, value in (given.get("properties") or {}).items()
        if key in PROPERTIES and value is not None
    }
    name = word if known is None else known.material
    ion = given.get("working_ion") or ("" if known is None else known.working_ion)
    if told:
        return Electrode(name, ion, {**({} if known is None else known.properties), **told}, is_told=True)
    # a model takes what it learned of an electrode, whatever has become of the record
    return Electrode(name, ion, {}) if known is None else known


def _read_steps(steps: Sequence[Mapping[str, Any]], end: float) -> tuple[Step, ...]:
    return tuple(
        Step(
            float(step["rate"]),
            end if step.get("until_soc") is None else float(step["until_soc"]),
            step.get("highest_rate"),
        )
        for step in steps
    )


def _describe_model(node: LifetimeModelData, found: Answer) -> Json:
    errors = node.base.attributes.get("errors", {}).get(found.place.regime, {})
    return _about(node, SPLITS[found.place.regime], errors)


def _describe_reader(node: LifetimeModelData, reader: Any, found: Answer) -> Json:
    split = (
        "protocol"
        if "protocol" in SPLITS[found.place.regime] or found.place.regime == "known_protocol"
        else "laboratory"
    )
    return _about(node, f"{'protocols' if split == 'protocol' else 'laboratories'} left out", reader.errors[split])


def _about(node: LifetimeModelData, split: str, errors: Mapping[str, float]) -> Json:
    finite = {name: round(value, 3) if math.isfinite(value) else None for name, value in errors.items()}
    return {"uuid": node.uuid, "data": node.training["data"]["description"], "split": split, "errors": finite}


def _refuse(node: LifetimeModelData, wanted: list[float], coverage: float, reason: str) -> Json:
    return {
        "state_of_health": wanted,
        "cycle": [],
        "cycle_lower": [],
        "cycle_upper": [],
        "coverage": coverage,
        "end_of_life": {"share": THRESHOLD, "reference": REFERENCE_RULE, "cycle": None},
        "domain": {"regime": None, "nearest_cells": [], "distance": None, "replicates": 0},
        "meta": {"success": False, "rating": 1, "reason": reason},
        "model": _about(node, "none", {}),
    }


def _round(values: Any) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _at_end_of_life(found: Answer) -> float | None:
    """Return the cycle of the end of life where it was asked about, or lies between two shares that were."""
    order = found.state_of_health.argsort()
    shares, cycles = found.state_of_health[order], found.cycles[order]
    if not shares[0] <= THRESHOLD <= shares[-1]:
        return None
    left = max(int(shares.searchsorted(THRESHOLD, side="right")) - 1, 0)
    right = min(left + 1, len(shares) - 1)
    if shares[left] == THRESHOLD or left == right:
        return float(f"{cycles[left]:.5g}")
    part = (THRESHOLD - shares[left]) / (shares[right] - shares[left])
    return float(f"{cycles[left] * (cycles[right] / cycles[left]) ** part:.5g}")


def _reason(found: Answer, parameters: Mapping[str, Any], n_read: int) -> str:
    """Return in words why an answer is no better.

    :param n_read: first cycles that were read.
    """
    unread = [f"the first cycles are not read: ask {FADE}"] if parameters.get("early_cycles") and not n_read else []
    pairs = zip(found.state_of_health, found.reached_by, strict=True)
    few = ", ".join(f"{100 * share:g} %" for share, n_cells in pairs if n_cells < _FEW)
    thin = [f"fewer than {_FEW} cells got down to {few}"] if few else []
    return "; ".join([WORDS[found.place.regime], *found.place.reasons, *unread, *thin])


def spread_of(found: Answer) -> float:
    """Return the square root of the ratio of the ends of the widest interval: the answer times and divided by it."""
    return math.sqrt((found.upper / found.lower).max())


def _tell_longer(found: Answer, fade: LifetimeModelData | None, n_read: int, kind: str) -> str | None:
    """Return what more first cycles would bring, or that they bring nothing, where the interval is wide.

    Nothing is said where nobody has measured it.

    :param n_read: first cycles that were read.
    :param kind: of the nearest cell.
    """
    now = spread_of(found)
    if fade is None or now <= _WIDE:
        return None
    narrower = []
    for reader in (reader for reader in fade.load().readers if reader.window > n_read):
        low, high = reader.bounds(found.place.regime, kind, COVERAGE)
        narrower.append((reader.window, math.exp((high - low) / 2)))
    better = sorted((n_cycles, factor) for n_cycles, factor in narrower if factor < _NARROWER * now)
    if not narrower:
        return None
    if not better:
        tried, factor = ", ".join(str(n_cycles) for n_cycles, _ in sorted(narrower)), min(item[1] for item in narrower)
        return (
            f"cycling this cell would not narrow the interval (80 %), now the answer times and divided by {now:.2f}: "
            f"from the first cycles ({tried}) it would be {factor:.2f} at best; measured on cells left out"
        )
    n_cycles, factor = better[0]
    best = min(better, key=lambda item: item[1])
    more = f", {best[0]} of them to {best[1]:.2f}" if best[0] > n_cycles else ""
    return (
        f"cycle this cell {f'on to cycle {n_cycles}' if n_read else f'{n_cycles} times'} and ask {FADE}: the interval "
        f"(80 %), now the answer times and divided by {now:.2f}, would narrow to {factor:.2f}{more}; "
        "measured on cells left out"
    )


def _as_end_of_life(curve: Json, request: RequestData) -> Json:
    """Return the end of life of a curve in the form of its quantity.

    The uncertainty is half of the interval on the scale of logarithms, on which it is even: the half of the cycles
    between its ends would be many times the life where it is wide.
    """
    place = SHARES.index(THRESHOLD)
    is_known = curve["meta"]["success"]
    life = curve["cycle"][place] if is_known else 0
    spread = life * math.log(curve["cycle_upper"][place] / curve["cycle_lower"][place]) / 2 if is_known else 0.0
    electrolyte = _electrolyte_of(request.parameters[GENERATOR])
    return {
        "run_info": {"internal_reference": request.uuid, **({"formulation": electrolyte} if electrolyte else {})},
        "degradationEOL": {
            "end_of_life": round(life),
            "end_of_life_uncertainty": spread / 1.2816,
            "end_of_life_reached": is_known or None,
            "end_of_life_definition": {"threshold": THRESHOLD, "reference": REFERENCE_RULE, "persistence": 1},
            "capacity_trajectory": [],
            "capacity_trajectory_uncertainty": [],
            "meta": {**curve["meta"], "method": GENERATOR, "longer": curve.get("longer")},
            "cell_info": {},
        },
        "domain": curve["domain"],
        "curve": {key: curve[key] for key in Curve.model_fields} if is_known else None,
        "model": curve["model"],
    }


def _electrolyte_of(parameters: Mapping[str, Any]) -> list[Json] | None:
    """Return the electrolyte where the quantity has it, or ``None``."""
    return (parameters.get("battery_chemistry") or {}).get("electrolyte")


def check_offered_generator(method: str, settings: Json) -> list[str]:
    """Return what requests to a tenant with these settings must know; nothing when it offers no model.

    :raises InputError: when the model is none, is of another kind, or is no better than a constant.
    """
    if "model" not in settings:
        return []
    node = demand_model(settings["model"])
    if node.method != method:
        raise InputError(f"model {node.pk} is of the method {node.method}, accepted is one of {method}")
    if "fade_model" in settings and demand_model(settings["fade_model"]).method != FADE:
        raise InputError(f"fade_model {settings['fade_model']} is no model of {FADE}")
    if not node.is_skilled:
        raise InputError(f"model {node.pk} is not offered: {describe_skill(node)}")
    return [NO_ELECTROLYTE, *_look_at_laboratory(node, settings.get(LABORATORY))]


def _look_at_laboratory(node: LifetimeModelData, laboratory: Any) -> list[str]:
    """Return what to know of who cycles the cells that a tenant is asked about.

    :raises InputError: when it is no name.
    """
    if laboratory is not None and not (isinstance(laboratory, str) and laboratory.strip()):
        raise InputError(f"settings.{LABORATORY} is {laboratory!r}, accepted is the name of who cycles the cells")
    known = sorted({str(cell.get(LABORATORY) or "") for cell in node.load().domain.cells} - {""})
    if not known or laboratory in known:
        return []
    learned = f"model {node.pk} learned from cells of {', '.join(known)}"
    if laboratory:
        return [f"{learned}; those of {laboratory} get the interval of another laboratory"]
    return [f"{learned}; requests are taken to be of theirs where neither they nor this tenant name their {LABORATORY}"]
