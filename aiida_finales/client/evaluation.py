"""Make a result of what a driver wrote: by capability, or as it is where the output has the published form already."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from aiida_finales.client.order import Answer
from aiida_finales.exceptions import FitError, InputError
from aiida_finales.lab.driver.command import END_MARKER
from aiida_finales.lab.driver.evaluation import evaluate_mixture, evaluate_spectrum
from aiida_finales.schemas import Json

Evaluate = Callable[[Json], "Json | Answer"]

#: what a driver says about its call and not about what it found
ABOUT_THE_CALL = frozenset({END_MARKER[0], "key", "quantity", "method", "simulated"})


def _answer_spectrum(output: Json) -> Answer:
    try:
        found = evaluate_spectrum(output)
    except (KeyError, TypeError, ValueError) as error:
        reason = output.get("reason") or f"{type(error).__name__}: {error}"
        raise FitError(f"the device's data cannot be evaluated: {reason}") from error
    # nothing else of the measurement reaches the platform
    impedance = {**found.data["impedance"], "spectrum": output["spectrum"]}
    return Answer({**found.data, "impedance": impedance}, found.parameters, simulated=_is_simulated(output))


def _answer_mixture(output: Json) -> Answer:
    try:
        found = evaluate_mixture(output)
    except KeyError as error:
        raise FitError(f"the driver's output lacks {error}: {output.get('reason') or 'no reason is given'}") from error
    return Answer(found.data, found.parameters, simulated=_is_simulated(output))


def _is_simulated(output: Json) -> bool:
    return bool(output.get("simulated", False))


def pass_on(output: Json) -> Answer:
    """Return the output as it is, less what is about the call."""
    data = {key: value for key, value in output.items() if key not in ABOUT_THE_CALL}
    return Answer(data, simulated=_is_simulated(output))


EVALUATIONS: dict[tuple[str, str], Evaluate] = {
    ("conductivity", "two_electrode"): _answer_spectrum,
    ("electrolyte", "flow"): _answer_mixture,
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
