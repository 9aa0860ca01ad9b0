"""What the model of a campaign believes along each input, through the point that it recommends or asks next.

Reading what the campaign knows needs AiiDA; fitting the model takes seconds and needs none, so that a server can do it
beside everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.calculations.question import make_question, units_of
from aiida_finales.calculations.suggest import describe_point
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import born
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import StatusError
from aiida_finales.operations.campaign.explain import LEAST, MOLE_FRACTION
from aiida_finales.operations.campaign.plan import STILL
from aiida_finales.operations.campaign.prospect import read_last_problem, read_training
from aiida_finales.operations.campaign.steer import list_known, read_campaign
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import TRUTH, Axis, Chart, Mark, Series, line_of
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.words import count

#: places along each input
N_LEVELS = 21


@dataclass(frozen=True)
class SliceQuestion:
    """All that the figures of the model are made of; needs no AiiDA any more.

    :param problem: the optimiser's problem.
    :param observations: rows that it learns from.
    :param x: fractions and variables of the point through which the slices go.
    :param where: what that point is, in words.
    :param units: by objective.
    """

    problem: Json
    observations: list[Json]
    x: tuple[float, ...]
    category: Json
    where: str
    units: dict[str, str]


def read_slice_question(name: str) -> SliceQuestion:
    """Return what the model of a campaign is made of now.

    :raises StatusError: when it knows too little to have a model.
    """
    group = CampaignGroup.find(name)
    process, campaign = read_campaign(group)
    problem, point = read_last_problem(group), _find_point(group, str(campaign.target))
    if problem is None or point is None:
        raise StatusError(f"campaign {name!r} has suggested nothing yet")
    used, _ = read_training(group, campaign, problem, list_known(process))
    if len(used) < LEAST:
        raise StatusError(f"campaign {name!r} learns from {count(len(used), 'result')}: at least {LEAST} are needed")
    question = make_question(problem, used, [], source="", step=0)
    x, category, words = point
    where = f"{words}: {describe_point(problem['problem'], x, category)}"
    return SliceQuestion(problem["problem"], question["observations"], tuple(x), category, where, units_of(problem))


def _find_point(group: CampaignGroup, target: str) -> tuple[list[float], Json, str] | None:
    """Return the point that is recommended, or else the latest one that was suggested, and which of them it is."""
    nodes = sorted((node for node in group.nodes if isinstance(node, SuggestionData)), key=born)
    for node in reversed(nodes):
        document = node.document
        best = (document.get("recommendation") or {}).get("sources", {}).get(target)
        if best and best.get("x"):
            return best["x"], best.get("category") or document.get("category") or {}, "the best in sight"
        if document.get("x"):
            return document["x"], document.get("category") or {}, "the latest suggestion"
    return None


def make_slices(question: SliceQuestion) -> list[Chart]:
    """Return a figure for each objective and each input that varies; fits the model, which takes a second or more.

    :raises OptimiserError: when nothing is known.
    """
    from aiida_finales.optimisation.insight import predict
    from aiida_finales.optimisation.problem import Observation, Problem
    from aiida_finales.optimisation.space import DesignSpace

    problem = Problem.from_dict(question.problem)
    space = DesignSpace.of_source(problem, problem.target)
    corners, box, d = space.corners, np.array(space.box).reshape(-1, 2), len(problem.components)
    low, high = (
        np.concatenate([corners.min(axis=0)[:d], box[:, 0]]),
        np.concatenate([corners.max(axis=0)[:d], box[:, 1]]),
    )
    # of components that stand for one another, the one that is there
    absent = {k for group in problem.groups for k in group if question.x[k] < max(question.x[n] for n in group)}
    columns = [column for column in range(d + len(box)) if high[column] - low[column] > STILL and column not in absent]
    lines = {column: np.linspace(low[column], high[column], N_LEVELS) for column in columns}
    places = [(_move(question.x, column, level, d), question.category) for column in columns for level in lines[column]]
    rows = [Observation.from_dict(row) for row in question.observations]
    found = predict(problem, rows, places)
    return [
        _draw(question, problem, objective, column, lines[column].tolist(),
              told[index * N_LEVELS:(index + 1) * N_LEVELS])
        for objective, told in found.items()
        for index, column in enumerate(columns)
    ]  # fmt: skip


def _move(x: tuple[float, ...], column: int, level: float, d: int) -> list[float]:
    """Return a point with one input at a level; the other components keep their proportions."""
    moved = np.array(x, dtype=float)
    if column < d:
        rest = max(moved[:d].sum() - moved[column], 1e-12)
        moved[:d] *= (1 - level) / rest
    moved[column] = level
    return [float(value) for value in moved]


def _ends(item: Any) -> tuple[float, float]:
    """Return the ends of the central 68 %."""
    return (
        item.mean - item.sd if item.low is None else item.low,
        item.mean + item.sd if item.high is None else item.high,
    )


def _draw(question: SliceQuestion, problem: Any, objective: str, column: int, levels: list[float], told: Any) -> Chart:
    d = len(problem.components)
    key = problem.components[column] if column < d else problem.variables[column - d].name
    label = chemical_label(key) if column < d else key
    unit = MOLE_FRACTION if column < d else problem.variables[column - d].unit
    words = objective.replace("_", " ")
    marks = tuple(Mark(level, item.mean, *_ends(item)) for level, item in zip(levels, told, strict=True))
    ends = (min(_ends(item)[0] for item in told), max(_ends(item)[1] for item in told))
    here = question.x[column]
    series = (
        Series("± 1 standard deviation", "band", marks),
        Series("the model", "line", line_of(levels, [item.mean for item in told])),
        Series("the point", "line", line_of((here, here), ends), TRUTH, is_dashed=True),
    )
    result_unit = question.units.get(objective) or (
        next(iter(question.units.values())) if len(question.units) == 1 else ""
    )
    return Chart(
        f"slice-{objective}-{label}", f"{words.capitalize()} along {label}",
        f"What the model believes along {label}, through {question.where}.",
        Axis(f"{label} / {unit or '1'}"), Axis(f"{words} / {result_unit or '1'}"), series,
        note="The other chemicals keep their proportions." if column < d else "",
    )  # fmt: skip
