"""Campaigns as F2Opt, the published optimiser, has them: its JSON in our form."""

from __future__ import annotations

import difflib
from typing import Any

from aiida_finales.exceptions import CampaignFileError
from aiida_finales.schemas import Json

#: keys of an objective and of a task; others may be of a later version, and are not read
OBJECTIVE = ("quantity", "maximize")
TASK = (
    "name", "quantities", "method", "source", "request", "parameters", "max_queue_size", "num_candidates",
    "min_results_for_ml", "num_training_steps", "min_data_rating",
)  # fmt: skip
#: likeness from which a key is taken for another one, mistyped
_ALIKE = 0.7


def convert_f2opt(document: Json) -> Json:
    """Return F2Opt's configuration (``ocond.json``, ``oeol.json``) in our form.

    F2Opt learns from every result in the database, knows no end, and uses one random start per ``min_results_for_ml``;
    ``num_candidates`` and ``num_training_steps`` belong to its own model and have no counterpart.

    Of several objectives each is one of the campaign; a task belongs to the objective that its ``quantities`` name.

    :raises CampaignFileError: when something is missing, mistyped or of the wrong kind, or no task tells an objective.
    """
    if "name" not in document:
        raise CampaignFileError("key 'name' is missing in F2Opt's form")
    objectives = _read_sections(document, "objectives", ("quantity",), OBJECTIVE)
    tasks = _read_sections(document, "tasks", ("name", "method", "quantities"), TASK)
    _check_values(objectives, tasks)
    common = {
        "name": document["name"],
        "initial": max((task.get("min_results_for_ml", 1) for task in tasks), key=_as_number),
        "learn_from": "all",
        "temperature_tolerance": 1000.0,
    }
    if len(objectives) == 1:
        _, section = _convert_objective(objectives[0], tasks)
        quantities = {quantity for task in tasks for quantity in _columns_of(task)}
        if len(quantities) != 1:
            raise CampaignFileError(f"the tasks ask for {', '.join(sorted(quantities))}, but accepted is one quantity")
        sources = {task["name"]: _convert_task(task) for task in tasks}
        maximise = section["direction"] == "maximise"
        return {**common, "quantity": quantities.pop(), "maximise": maximise, "sources": sources}
    return {**common, "objectives": dict(_convert_objective(objective, tasks) for objective in objectives)}


def _read_sections(document: Json, key: str, needed: tuple[str, ...], known: tuple[str, ...]) -> list[Json]:
    """Return the objectives or tasks of a configuration.

    :param needed: keys that each must have.
    :param known: all keys that each may have.
    :raises CampaignFileError: naming the one and its key.
    """
    given = document.get(key)
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise CampaignFileError(f"{key} is {given!r}, but accepted in F2Opt's form is a list of objects")
    if not given:
        raise CampaignFileError(f"0 {key} were given, but accepted is at least one")
    for number, item in enumerate(given, start=1):
        place = f"{key.removesuffix('s')} {number}"
        for name in (name for name in item if name not in known):
            near = ["maximize: false"] if str(name).startswith("minimi") else []
            near = near or difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=_ALIKE)
            if near:
                hint = f"did you mean {near[0]!r}?"
                raise CampaignFileError(f"{place} has the key {name!r}, which F2Opt does not know: {hint}")
        missing = [name for name in needed if name not in item]
        if missing:
            raise CampaignFileError(f"{place} has no key {missing[0]!r}; F2Opt's form has {', '.join(known)}")
    return given


def _check_values(objectives: list[Json], tasks: list[Json]) -> None:
    """Refuse what would be taken for something else, or would be lost.

    :raises CampaignFileError: naming it.
    """
    for what, items, name in (("objective", objectives, "quantity"), ("task", tasks, "name")):
        names = [str(item[name]) for item in items]
        twice = sorted({word for word in names if names.count(word) > 1})
        if twice:
            raise CampaignFileError(f"two of the {what}s have the {name} {twice[0]!r}: accepted is each once")
        for item in items:
            for key in ("maximize", "source", "request"):
                if not isinstance(item.get(key, True), bool):
                    said = f"{key} of {what} {item[name]!r} is {item[key]!r}"
                    raise CampaignFileError(f"{said}, but accepted is true or false, without quotes")
    for task in tasks:
        if task.get("parameters"):
            raise CampaignFileError(
                f"parameters of task {task['name']!r} are {task['parameters']!r}, but accepted is {{}}: what is fixed "
                "stands under 'fixed' in a campaign file of ours"
            )
        quantities = task["quantities"]
        if not isinstance(quantities, (dict, list)) or not quantities:
            raise CampaignFileError(
                f"quantities of task {task['name']!r} are {quantities!r}, but accepted is the name of an objective by "
                "quantity, such as {'conductivity': 'cond'}"
            )


def _as_number(given: Any) -> float:
    return given if isinstance(given, (int, float)) else float("inf")  # what is none is refused as 'initial'


def _convert_objective(objective: Json, tasks: list[Json]) -> tuple[str, Json]:
    """Return one of the objectives of F2Opt by its name; a task is a source of the first of its quantities.

    :raises CampaignFileError: when no task tells about it.
    """
    column = objective["quantity"]
    able = {task["name"]: quantity for task in tasks for quantity, name in _columns_of(task).items() if name == column}
    if not able:
        columns = sorted({name for task in tasks for name in _columns_of(task).values()})
        raise CampaignFileError(f"no task asks for objective {column!r}, but for {', '.join(columns)}")
    own = [task for task in tasks if next(iter(_columns_of(task).values())) == column]
    section = {
        "quantity": next(iter(able.values())),
        "direction": "maximise" if objective.get("maximize", True) else "minimise",
        "sources": {task["name"]: _convert_task(task) for task in own},
    }
    return str(column), section if own else {**section, "target": next(iter(able))}


def _columns_of(task: Json) -> dict[str, str]:
    """Return the name of the objective by quantity of a task of F2Opt."""
    quantities = task["quantities"]
    named = quantities if isinstance(quantities, dict) else {quantity: quantity for quantity in quantities}
    return {str(quantity): str(name) for quantity, name in named.items()}


def _convert_task(task: Json) -> Json:
    return {
        "method": task["method"],
        "ask": task.get("request", True),
        "learn": task.get("source", True),
        "max_in_flight": task.get("max_queue_size", 1),
        "min_rating": task.get("min_data_rating", 0),
    }
