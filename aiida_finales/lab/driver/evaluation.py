"""From what a driver wrote to the published form of a result: the same inside of the platform and outside of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import FitError
from aiida_finales.lab.driver.command import END_MARKER
from aiida_finales.schemas import Json
from aiida_finales.science.ageing.cycling import FEATURES, RATES
from aiida_finales.science.electrolyte.impedance import conductivity_from_resistance, fit_resistance, rate

#: g/mol, of tabulated molar masses
MOLAR_MASS_UNCERTAINTY = 0.001
#: lines of a driver begin with the moment, see :func:`aiida_finales.lab.driver.command.say`
SAID = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


@dataclass(frozen=True)
class Evaluated:
    """What came of a driver's output.

    :param data: in the published form of the capability.
    :param parameters: those really used; ``None``: those asked for.
    """

    data: Json
    parameters: Json | None = None


def read_output(path: Path) -> Json | None:
    """Return a driver's output, or ``None`` where it is not complete."""
    key, text = END_MARKER
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get(key) == text else None


def last_words(log: str) -> str:
    """Return the last line that a driver wrote to its log; lines that libraries leave there count only without one."""
    lines = log.strip().splitlines()
    said = [line for line in lines if SAID.match(line)]
    return (said or lines or [""])[-1]


def read_spectrum(raw: Json) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency (Hz) and complex impedance (ohm) of a measured spectrum, both of shape ``(n,)``.

    :raises KeyError: when it lacks a column.
    :raises ValueError: when the columns are not of one length, or no numbers.
    """
    return np.asarray(raw["frequency_Hz"]), np.asarray(raw["real_ohm"]) + 1j * np.asarray(raw["imaginary_ohm"])


def evaluate_spectrum(output: Json) -> Evaluated:
    """Return the conductivity, cell constant / (resistance - contacts) in S/m, rated by how well it is fitted.

    :raises FitError: when no resistance can be read from the spectrum.
    :raises KeyError: when the output lacks something.
    :raises ValueError: when the spectrum is none.
    """
    fit = fit_resistance(*read_spectrum(output["spectrum"]))
    contact, constant = output["contact_resistance_ohm"], output["cell_constant_per_m"]
    value = conductivity_from_resistance(fit.resistance, constant, contact)
    meta = {"success": bool(output.get("success", True)), "rating": fit.rating}
    data = {
        "run_info": describe_run(output),
        "conductivity": {"values": [value], "temperature": output["temperature"], "meta": meta},
        "impedance": {
            "resistance_ohm": fit.resistance,
            "relative_error": fit.relative_error,
            "contact_resistance_ohm": contact,
            "cell_constant_per_m": constant,
        },
        **_describe_mixing(output),
    }
    return Evaluated(data, {"formulation": output["formulation"], "temperature": output["temperature"]})


def evaluate_repetitions(quantity: str, output: Json) -> Evaluated:
    """Return the repetitions of a density (g/cm3) or viscosity (mPa s), rated by how they scatter, and what is beside.

    Repetitions that do not say of themselves that they are valid are left out; without any it is no success. A device
    that knows how far it can be trusted (``trust``, 1 to 5) is not rated better. One that knows by how much two samples
    differ (``reproducibility``, a share of the value) has that in the uncertainty; repetitions say nothing about it.

    :raises KeyError: when the output lacks the quantity, or something else.
    :raises ValueError: when there are no numbers.
    """
    others = [name for name in _REPEATED if name in output and name != quantity]
    info = {"formulation_info": output["formulation_info"]} if "formulation_info" in output else {}
    data: Json = {"run_info": {**describe_run(output), **info}}
    data |= {name: _judge_repetitions(output[name], output) for name in (quantity, *others)}
    data |= {"reason": output.get("reason"), **_describe_mixing(output)}
    return Evaluated(data, {"formulation": output["formulation"], "temperature": output["temperature"]})


#: quantities that one device measures side by side
_REPEATED = ("density", "viscosity")


def _judge_repetitions(measured: Json, output: Json) -> Json:
    values, status = [float(value) for value in measured["values"]], measured["status"]
    valid = [value for value, word in zip(values, status, strict=True) if word == "valid"]
    is_good = bool(valid) and bool(output.get("success", True))
    rating = min(rate(_relative_error(valid)), measured.get("trust", 5)) if is_good else 1
    meta = {"success": is_good, "rating": rating}
    told = {"remark": measured["remark"]} if measured.get("remark") else {}
    if measured.get("reproducibility"):
        told |= {"values_uncertainty": [value * measured["reproducibility"] for value in valid or values]}
    return {"values": valid or values, "temperature": output["temperature"], "meta": meta, "status": status, **told}


def _relative_error(values: list[float]) -> float:
    """Return the relative standard error of the mean; of a single value nothing is known against it."""
    if len(values) == 1:
        return 0.0
    return float(np.std(values, ddof=1) / np.sqrt(len(values)) / abs(np.mean(values)))


def evaluate_mixture(output: Json) -> Evaluated:
    """Return the electrolyte as the robot believes it to be, and where the vial with it stands; volumes in mL.

    :raises KeyError: when the output lacks something.
    """
    data = {
        "run_info": {**describe_run(output), "formulation_info": output["formulation_info"]},
        "electrolyte": {name: output[name] for name in ("formulation", "volume", "location", "meta")},
        "reason": output.get("reason"),
        **_describe_mixing(output),
    }
    return Evaluated(data, {"electrolyte": {"formulation": output["formulation"]}, "volume": output["volume"]})


def evaluate_cycling(output: Json) -> Evaluated:
    """Return capacities in Ah with the features of the early cycles; the raw data stay in the driver's file.

    :raises KeyError: when the output lacks something.
    """
    data = {name: output[name] for name in ("capacity_list", "channel_list", "cell_info", "meta")}
    rates = {name: output[name] for name in RATES if name in output}
    features = {name: output["features"].get(name) for name in FEATURES if output.get("features")}
    details = {name: output.get(name) for name in ("formation", "protocol", "features", "ageing", "reason", "file")}
    return Evaluated({**data, **rates, **features, **details, "success": data["meta"]["success"]})


def _take(*names: str, output: Json, **usual: Any) -> Evaluated:
    """Return what an output has to have, and what it may have, with what stands for it otherwise."""
    found = {name: output[name] for name in names} | {name: output.get(name, usual[name]) for name in usual}
    return Evaluated(found)


#: what counts of the output of each device
EVALUATIONS: dict[tuple[str, str], Callable[..., Evaluated]] = {
    ("conductivity", "two_electrode"): evaluate_spectrum,
    ("electrolyte", "flow"): evaluate_mixture,
    ("density", "vibrating_tube_densimetry"): partial(evaluate_repetitions, "density"),
    ("viscosity", "rolling_ball_viscometry"): partial(evaluate_repetitions, "viscosity"),
    ("transport", "transport_service"): partial(
        _take, "success", "actual_new_location", "executant", samples=[], reason=None
    ),
    ("cell_assembly", "autobass_assembly"): partial(_take, "batch_output", "batch_id", reason=None),
    ("cycling_channel", "service"): partial(_take, "success", "reservation_id", channels=[], reason=None),
    ("capacity", "cycling"): evaluate_cycling,
}
#: those whose output is a measurement; the output of the others has the form of a result, and details of the device
COMPUTED = frozenset(
    {
        ("conductivity", "two_electrode"),
        ("electrolyte", "flow"),
        ("density", "vibrating_tube_densimetry"),
        ("viscosity", "rolling_ball_viscometry"),
    }
)


def evaluate(capability: tuple[str, str], output: Json) -> Evaluated:
    """Return what came of a driver's output.

    :param capability: quantity and method, a key of :data:`EVALUATIONS`.
    :raises FitError: when nothing can be made of it, as when an operator settled that its data are lost; with why.
    """
    make = EVALUATIONS[capability]
    try:
        return make(output=output)
    except KeyError as error:
        lacking = f"the driver's output lacks {error}"
        usual = lacking if output.get("success", True) else f"the device reports no success, and {lacking}"
        raise FitError(output.get("reason") or usual) from error
    except (TypeError, ValueError) as error:
        raise FitError(f"the driver's output cannot be evaluated: {error}") from error


def describe_run(output: Json) -> Json:
    """Return the published description of a run; the molar mass of a chemical has an uncertainty (g/mol).

    :raises KeyError: when the output lacks formulation or key.
    """
    chemicals = {
        inchikey: {"name": info["name"], "molar_mass": [info["molar_mass"], MOLAR_MASS_UNCERTAINTY]}
        for inchikey, info in output.get("chemicals_info", {}).items()
    }
    formulation = output["formulation"]
    return {"formulation": formulation, "internal_reference": output["key"], "chemicals_info": chemicals}


def _describe_mixing(output: Json) -> Json:
    """Return what was mixed; ``dosed_for`` is the key of another call where its sample served this one as well."""
    told = {"volumes_mL": output.get("volumes_mL", {}), "made_of": sorted(output.get("parents", []))}
    dosed_for = output.get("dosed_for")
    return told | ({"dosed_for": dosed_for} if dosed_for not in (None, output.get("key")) else {})
