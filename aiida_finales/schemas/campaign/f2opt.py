"""Campaigns as F2Opt, the published optimiser, has them: its JSON in our form."""

from __future__ import annotations

from typing import Any

from aiida_finales.exceptions import CampaignFileError


def convert_f2opt(document: dict[str, Any]) -> dict[str, Any]:
    """Return F2Opt's configuration (``ocond.json``, ``oeol.json``) in our form.

    F2Opt learns from every result in the database, knows no end, and uses one random start per ``min_results_for_ml``;
    ``num_candidates`` and ``num_training_steps`` belong to its own model and have no counterpart.

    Of several objectives each is one of the campaign; a task belongs to the objective that its ``quantities`` name.

    :raises CampaignFileError: when there is no objective, or one that no task asks for.
    """
    objectives, tasks = document["objectives"], document["tasks"]
    if objectives == []:
        raise CampaignFileError("0 objectives were given, but accepted is at least one")
    common = {
        "name": document["name"],
        "initial": max(task.get("min_results_for_ml", 1) for task in tasks) if tasks else None,
        "learn_from": "all",
        "temperature_tolerance": 1000.0,
    }
    if len(objectives) == 1:
        quantities = {quantity for task in tasks for quantity in task["quantities"]}
        if len(quantities) != 1:
            raise CampaignFileError(f"the tasks ask for {sorted(quantities)}, but accepted is one quantity")
        sources = {task["name"]: _convert_task(task) for task in tasks}
        maximise = objectives[0].get("maximize", True)
        return {**common, "quantity": quantities.pop(), "maximise": maximise, "sources": sources}
    return {**common, "objectives": dict(_convert_objective(objective, tasks) for objective in objectives)}


def _convert_objective(objective: dict[str, Any], tasks: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return one of several objectives of F2Opt by its name; a task is a source of the first of its quantities.

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


def _columns_of(task: dict[str, Any]) -> dict[str, str]:
    """Return the name of the objective by quantity of a task of F2Opt."""
    quantities = task["quantities"]
    named = quantities if isinstance(quantities, dict) else {quantity: quantity for quantity in quantities}
    return {str(quantity): str(name) for quantity, name in named.items()}


def _convert_task(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": task["method"],
        "ask": task.get("request", True),
        "learn": task.get("source", True),
        "max_in_flight": task.get("max_queue_size", 1),
        "min_rating": task.get("min_data_rating", 0),
    }
