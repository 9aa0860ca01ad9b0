"""What a loop of active learning is told, and what it can be told."""

from __future__ import annotations

from typing import Any

from aiida import orm
from pydantic import BaseModel, ConfigDict, Field

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


#: what it is told where nobody says otherwise
SETTINGS: Json = _Settings().model_dump()


def check_settings(node: orm.Dict, _context: Any) -> str | None:
    """Return what is wrong with the settings that somebody gave, and what is accepted; nothing where they are right."""
    defects = find_defects(_Settings, node.get_dict())
    lines = (f"{item['path']}: {item['given']!r} was given, accepted is {item['accepted']}" for item in defects)
    return f"settings: {'; '.join(lines)}" if defects else None
