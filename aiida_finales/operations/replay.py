"""Compute every suggestion of a campaign again from its recorded inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.calculations.suggest import make_question
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.operations.nodes import born
from aiida_finales.operations.overview import linked_inputs
from aiida_finales.optimisation.__main__ import answer

#: mole fraction; two machines may differ in the last digits of their arithmetic
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Replayed:
    """A suggestion, then and now.

    :param difference: largest difference of a mole fraction.
    """

    uuid: str
    step: int
    source: str
    then: list[float]
    now: list[float]
    difference: float

    @property
    def is_same(self) -> bool:
        """Whether the two agree."""
        return self.difference <= TOLERANCE


def list_suggestions(group: CampaignGroup) -> list[SuggestionData]:
    """Return the suggestions of a campaign in the order in which they were made."""
    return sorted((node for node in group.nodes if isinstance(node, SuggestionData)), key=born)


def replay(suggestions: list[SuggestionData]) -> Iterator[Replayed]:
    """Yield each suggestion with what comes out now."""
    for node in suggestions:
        then, now = _point(node.document), _point(answer(ask_again(node)))
        difference = float(np.abs(np.subtract(then, now)).max()) if len(then) == len(now) else float("inf")
        yield Replayed(node.uuid, node.step, node.source_name or "recommendation", then, now, difference)


def ask_again(node: SuggestionData) -> dict[str, Any]:
    """Return the optimiser's question that led to a suggestion, from the inputs of its calculation."""
    return make_question(
        node.creator.inputs.problem.get_dict(),
        [item for item in linked_inputs(node.creator, "results__").values() if isinstance(item, ResultData)],
        [item for item in linked_inputs(node.creator, "pending__").values() if isinstance(item, RequestData)],
        source=node.question["source"],
        step=node.question["step"],
    )


def _point(document: dict[str, Any]) -> list[float]:
    """Return the mole fractions that a suggestion proposes; those of the recommendation when it asks for nothing."""
    if document.get("x") is not None:
        return list(document["x"])
    return list(document["recommendation"]["overall"]["x"])
