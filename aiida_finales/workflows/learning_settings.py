"""What a loop of active learning is told, and what it can be told."""

from __future__ import annotations

from typing import Any

from aiida import orm
from pydantic import BaseModel, ConfigDict, Field

from aiida_finales.calculations.potential import PotentialCalculation
from aiida_finales.schemas import Json
from aiida_finales.schemas.defects import find_defects


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    max_rounds: int = Field(default=4, ge=1)
    # dynamics from so many of the frames to learn from
    n_starts: int = Field(default=3, ge=1)
    # calculations that the labels of a round are made in, and that run at once
    n_chunks: int = Field(default=2, ge=1)
    max_parallel: int = Field(default=4, ge=1)
    # meV/angstrom, of held-out frames and of visited ones
    goal_forces_meV_A: float = Field(default=100.0, gt=0, allow_inf_nan=False)  # noqa: N815 - the unit
    # CPU seconds in all; null: no end
    budget_cpu_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    # part of the error of visited frames that a round must gain, or it was the last
    least_gain: float = Field(default=0.05, ge=0, lt=1)
    attempts: int = Field(default=3, ge=1)
    options: dict[str, Any] = Field(default={"resources": {"num_machines": 1}})


class _Errors(BaseModel):
    forces_meV_A: float = Field(ge=0, allow_inf_nan=False)  # noqa: N815 - the unit


class _Point(BaseModel):
    """What is read again of a round that has been."""

    n_frames: int
    held_out: _Errors
    relabelled: _Errors
    cpu_s: float = Field(ge=0, allow_inf_nan=False)


#: what it is told where nobody says otherwise
SETTINGS: Json = _Settings().model_dump()


def fill_learning(given: Json) -> Json:
    """Return all settings; of the options of calculations those that were given stand beside the others."""
    return SETTINGS | given | {"options": SETTINGS["options"] | given.get("options", {})}


def check_settings(node: orm.Dict, _context: Any) -> str | None:
    """Return what is wrong with the settings that somebody gave, and what is accepted; nothing where they are right."""
    given = node.get_dict()
    why = _tell(_Settings, given)
    if why is None:
        inputs: Any = PotentialCalculation.spec().inputs
        accepted = inputs["metadata"]["options"]
        wrong = accepted.validate(fill_learning(given)["options"])
        why = None if wrong is None else f"{wrong.port}: {wrong.message}; accepted are {', '.join(sorted(accepted))}"
    return None if why is None else f"settings: {why}"


def check_curve(node: orm.List, _context: Any) -> str | None:
    """Return why a list is no curve that a learning left, or ``None``."""
    found = (f"round {index}: {why}" for index, point in enumerate(node.get_list()) if (why := _tell(_Point, point)))
    why = next(found, None)
    return None if why is None else f"curve, {why}; accepted is the output 'curve' of a learning that has ended"


def check_budget(inputs: Any) -> str | None:
    """Return that a budget was used up by the rounds that have been, or ``None``."""
    if "settings" not in inputs or "curve" not in inputs:
        return None
    budget = inputs["settings"].get_dict().get("budget_cpu_s")
    spent = sum(point["cpu_s"] for point in inputs["curve"].get_list())
    if budget is None or spent < budget:
        return None
    return (
        f"settings: budget_cpu_s: {budget:g} was given, and the rounds of the curve took {spent:g} CPU seconds; "
        "accepted is more than these, or null for no end"
    )


def _tell(model: type[BaseModel], document: Any) -> str | None:
    defects = find_defects(model, document)
    lines = (f"{item['path']}: {item['given']!r} was given, accepted is {item['accepted']}" for item in defects)
    return "; ".join(lines) or None
