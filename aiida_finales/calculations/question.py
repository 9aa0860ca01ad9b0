"""What the optimiser is asked, and where in the parameters of a request stands what a campaign varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm

from aiida_finales.data.request import RequestData
from aiida_finales.data.result import Facts, ResultData, read_facts, read_number
from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.transform import to_model
from aiida_finales.schemas.cells.naming import find_parts, tell_mixed
from aiida_finales.schemas.chemicals import chemical_label, scale
from aiida_finales.schemas.formulation import merge
from aiida_finales.schemas.structure import get_at, is_number, nest
from aiida_finales.schemas.values import unit_of
from aiida_finales.schemas.words import name_some
from aiida_finales.science.electrolyte.composition import ABSENT

#: in any unit; the square of a larger value is no number that a computer has
LARGEST = 1e100
#: columns of a request that has no answer yet
PENDING = ("uuid", "attributes.quantity", "attributes.methods", "attributes.fractions", "attributes.parameters")


def units_of(problem: Mapping[str, Any]) -> dict[str, str]:
    """Return the unit of each objective by its name.

    :param problem: the input ``problem`` of :class:`SuggestCalculation`.
    """
    if "numbers" not in problem:  # of an older campaign
        quantity = next(iter(problem["requests"].values()))["quantity"]
        return {quantity: unit_of(quantity)}
    names = [item["name"] for item in problem["problem"]["objectives"]]
    found = {name: how for numbers in problem["numbers"].values() for name, how in numbers.items()}
    return {name: unit_of(found[name]["quantity"], found[name]["number"]) for name in names}


def place_variables(fixed: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    """Return parameters with the values of variables at their dotted keys."""
    answer = dict(fixed)
    for path, value in values.items():
        answer = merge(answer, nest(tuple(path.split(".")), float(value)))
    return answer


def read_variable(parameters: Mapping[str, Any], temperature: float | None, path: str) -> float | None:
    """Return the value of a variable at which something was or is to be measured; ``None`` where nobody says it.

    :param temperature: K, as measured, which counts more than that asked for.
    """
    if path == "temperature" and temperature is not None:
        return temperature
    found = get_at(parameters, tuple(path.split(".")))
    return float(found) if is_number(found) else None


def read_categories(parameters: Mapping[str, Any], categories: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the option of each category that parameters hold; without those of which they hold none.

    :param categories: the parameters of each option by category and option.
    """
    found = {
        name: next((option for option, wanted in options.items() if _holds(parameters, wanted)), None)
        for name, options in categories.items()
    }
    return {name: option for name, option in found.items() if option is not None}


def _holds(given: Any, wanted: Any) -> bool:
    """Return whether a document has all that another one has."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(_holds(given.get(key), value) for key, value in wanted.items())
    return bool(given == wanted)


def is_usable_number(value: float | None, transform: str | None) -> bool:
    """Return whether a model can be told a number."""
    return value is not None and abs(value) < LARGEST and (value > 0 or transform != "log")


def transform_of(problem: dict[str, Any]) -> str:
    """Return the scale on which the values are modelled; problems of older campaigns do not name it."""
    return str(problem.get("transform", "none"))


def make_question(
    problem: dict[str, Any],
    results: list[ResultData],
    pending: list[RequestData],
    *,
    source: str,
    step: int,
    choices: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the optimiser's question as JSON, in an order that does not depend on how the nodes were given.

    :param problem: the input ``problem`` of :class:`SuggestCalculation`.
    :param choices: of which the optimiser is to choose the source; none: it is the turn of ``source``.
    :returns: also ``warnings``, sentences for people, where the results are not of one kind.
    """
    components, paths = problem["problem"]["components"], list(problem.get("paths", {}).values())
    names = {(how["quantity"], how["method"]): name for name, how in problem["requests"].items()}
    facts = read_facts(results)
    observations = [
        {
            "source": names[(item.quantity, item.method)],
            "x": [
                *_composition(item.fractions, components),
                *(read_variable(item.parameters, item.temperature, path) for path in paths),
            ],
            **_values(problem, names[(item.quantity, item.method)], item),
            **_category(problem, item.parameters),
            "uuid": uuid,
            "ctime": item.ctime.isoformat(),
        }
        for uuid, item in facts.items()
    ]
    waiting = [
        {
            "source": names[(quantity, methods[0])],
            "x": [
                *_composition(found, components),
                *(read_variable(parameters[methods[0]], None, path) for path in paths),
            ],
            **_category(problem, parameters[methods[0]]),
            "uuid": uuid,
        }
        for uuid, quantity, methods, found, parameters in _read(pending, *PENDING)
        # what was asked of a tenant with other chemicals, which has left since, says nothing here
        if not composition_defect(found, components)
        and None not in [read_variable(parameters[methods[0]], None, path) for path in paths]
    ]
    warnings = list(tell_mixed((find_parts(item.parameters) for item in facts.values()), problem.get("categories", {})))
    return {
        "problem": problem["problem"],
        "observations": sorted(observations, key=lambda item: (item["source"], item["ctime"], item["uuid"])),
        "pending": sorted(waiting, key=lambda item: (item["source"], item["uuid"])),
        "source": source,
        "step": step,
        **({"choices": list(choices)} if choices else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def _category(problem: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    categories = problem.get("categories")
    return {"category": read_categories(parameters, categories)} if categories else {}


def _values(problem: dict[str, Any], source: str, facts: Facts) -> dict[str, Any]:
    """Return what a result tells, as the optimiser takes it; problems of older campaigns know one number."""
    if "numbers" not in problem:
        return {"y": to_model(transform_of(problem), facts.value or 0.0)}
    scales = {item["name"]: item["transform"] for item in problem["problem"]["objectives"]}
    told = {
        name: read_number(facts, how["quantity"], how["number"]) for name, how in problem["numbers"][source].items()
    }
    return {"values": {name: value for name, value in told.items() if is_usable_number(value, scales[name])}}


def _composition(found: dict[str, float], components: list[str]) -> list[float]:
    """Return the mole fractions of the components; this is where what was rounded comes to sum to 1."""
    return list(scale({component: found.get(component, 0.0) for component in components}).values())


def composition_defect(found: dict[str, float], components: list[str]) -> str | None:
    """Return why the optimiser cannot be told of a composition, or ``None``.

    :param found: mole fraction by InChIKey.
    """
    try:
        scale(found)
    except InputError as error:
        return str(error) if found else "it does not say what was measured: there is no formulation in it"
    try:
        _composition(found, components)
    except InputError:
        foreign = [chemical_label(key) for key, share in found.items() if share > ABSENT and key not in components]
        return f"it holds {name_some(foreign)}, the target is made of {', '.join(map(chemical_label, components))} only"
    return None


def _read(nodes: list[Any], *columns: str) -> list[list[Any]]:
    """Return columns of nodes by one query: one node after the other would hold up the worker's event loop."""
    if not nodes:
        return []
    query = orm.QueryBuilder().append(
        orm.Data, filters={"id": {"in": [node.pk for node in nodes]}}, project=list(columns)
    )
    return list(query.all())
