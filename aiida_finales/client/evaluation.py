"""Make a result of what a driver wrote: by capability, or as it is where the output has the published form already."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from aiida_finales.client.order import Answer
from aiida_finales.exceptions import FitError, InputError
from aiida_finales.lab.driver import END_MARKER
from aiida_finales.science.impedance import conductivity_from_resistance, fit_resistance

Json = dict[str, Any]
Evaluate = Callable[[Json], "Json | Answer"]

#: what a driver says about its call and not about what it found
ABOUT_THE_CALL = frozenset({END_MARKER[0], "key", "quantity", "method", "simulated"})
#: g/mol, of tabulated molar masses
MOLAR_MASS_UNCERTAINTY = 0.001


def evaluate_spectrum(output: Json) -> Answer:
    """Return the conductivity in S/m, rated by how well the impedance spectrum is fitted.

    :raises FitError: when no resistance can be read from the spectrum, or there is none.
    """
    try:
        raw = output["spectrum"]
        impedance = np.asarray(raw["real_ohm"]) + 1j * np.asarray(raw["imaginary_ohm"])
        fit = fit_resistance(np.asarray(raw["frequency_Hz"]), impedance)
        contact, constant = output["contact_resistance_ohm"], output["cell_constant_per_m"]
        value = conductivity_from_resistance(fit.resistance, constant, contact)
        used = {"formulation": output["formulation"], "temperature": output["temperature"]}
    except (KeyError, TypeError, ValueError) as error:
        reason = output.get("reason") or f"{type(error).__name__}: {error}"
        raise FitError(f"the device's data cannot be evaluated: {reason}") from error
    meta = {"success": bool(output.get("success", True)), "rating": fit.rating}
    data = {
        "run_info": _run_info(output),
        "conductivity": {"values": [value], "temperature": output["temperature"], "meta": meta},
        "impedance": {
            "resistance_ohm": fit.resistance,
            "relative_error": fit.relative_error,
            "contact_resistance_ohm": contact,
            "cell_constant_per_m": constant,
            # nothing else of the measurement reaches the platform
            "spectrum": raw,
        },
    }
    return Answer(data, used, simulated=bool(output.get("simulated", False)))


def evaluate_mixture(output: Json) -> Answer:
    """Return the electrolyte as the robot believes it to be.

    :raises FitError: when the output is not complete.
    """
    try:
        data = {
            "run_info": {**_run_info(output), "formulation_info": output["formulation_info"]},
            "electrolyte": {name: output[name] for name in ("formulation", "volume", "location", "meta")},
            "reason": output.get("reason"),
        }
        used = {"electrolyte": {"formulation": output["formulation"]}, "volume": output["volume"]}
    except KeyError as error:
        raise FitError(f"the driver's output lacks {error}: {output.get('reason') or 'no reason is given'}") from error
    return Answer(data, used, simulated=bool(output.get("simulated", False)))


def pass_on(output: Json) -> Answer:
    """Return the output as it is, less what is about the call."""
    data = {key: value for key, value in output.items() if key not in ABOUT_THE_CALL}
    return Answer(data, simulated=bool(output.get("simulated", False)))


EVALUATIONS: dict[tuple[str, str], Evaluate] = {
    ("conductivity", "two_electrode"): evaluate_spectrum,
    ("electrolyte", "flow"): evaluate_mixture,
}


def find_evaluation(quantity: str, method: str, name: str | None = None) -> Evaluate:
    """Return what makes the result of a driver's output.

    :param name: ``module:function``, given the output, returning the data or an answer; the usual one when ``None``.
    :raises InputError: when there is no such function.
    """
    if name is None:
        return EVALUATIONS.get((quantity, method), pass_on)
    module, _, function = name.partition(":")
    try:
        found: Evaluate = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"no function {name!r} ({error}): accepted is module:function") from error
    return found


def _run_info(output: Json) -> Json:
    chemicals = {
        inchikey: {"name": info["name"], "molar_mass": [info["molar_mass"], MOLAR_MASS_UNCERTAINTY]}
        for inchikey, info in output.get("chemicals_info", {}).items()
    }
    return {
        "formulation": output["formulation"],
        "internal_reference": output["key"],
        "chemicals_info": chemicals,
    }
