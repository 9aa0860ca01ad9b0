"""Compute every suggestion of a campaign again from its recorded inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.calculations.question import make_question
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import born
from aiida_finales.data.request import RequestData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import digest_of, find_training, load_members, read_members
from aiida_finales.exceptions import FinalesError, StatusError
from aiida_finales.operations.campaign.evaluation import linked_inputs
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.optimisation.suggestion import SAME_COMPOSITION
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.words import count


@dataclass(frozen=True)
class Replayed:
    """A suggestion, then and now.

    :param difference: largest difference of a mole fraction; infinite where there is no answer now.
    :param what: what differs, in words; empty when nothing does.
    """

    uuid: str
    step: int
    source: str
    then: list[float]
    now: list[float]
    difference: float
    what: str

    @property
    def is_same(self) -> bool:
        """Whether the two agree; see :data:`.SAME_COMPOSITION`."""
        return self.difference <= SAME_COMPOSITION


def list_suggestions(group: CampaignGroup) -> list[SuggestionData]:
    """Return the suggestions of a campaign in the order in which they were made."""
    return sorted((node for node in group.nodes if isinstance(node, SuggestionData)), key=born)


def replay(suggestions: list[SuggestionData]) -> Iterator[Replayed]:
    """Yield each suggestion with what comes out now."""
    for node in suggestions:
        then, reason, question = _point(node.document), "there is no answer now", {}
        try:
            question = ask_again(node)
            document = answer(question)
        except FinalesError as error:
            document, reason = {}, f"there is no answer now: {error}"
        now = _point(document) if document else []
        difference = float(np.abs(np.subtract(then, now)).max()) if len(then) == len(now) else float("inf")
        what = _differ(question["problem"]["components"], then, now) if now else reason
        asked, chosen = node.document.get("source"), document.get("source")
        if now and asked != chosen:  # by what an answer tells for its cost
            difference, what = float("inf"), f"{asked} was asked then, and {chosen} would be now; {what}"
        if difference > SAME_COMPOSITION:
            what += _differ_in_programs(node.document, document)
        yield Replayed(node.uuid, node.step, node.source_name or "recommendation", then, now, difference, what)


def _differ(components: list[str], then: list[float], now: list[float]) -> str:
    """Return the mole fractions that differ by more than another processor may make them."""
    pairs = zip(components, then, now, strict=False)
    return ", ".join(
        f"{chemical_label(name)} {old:.4f} then and {new:.4f} now"
        for name, old, new in pairs
        if abs(old - new) > SAME_COMPOSITION
    )


def _differ_in_programs(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Return which of the programs that both name were others then."""
    old, new = (_list_programs(document) for document in (then, now))
    changed = [f"{name} was {old[name]}, is {new[name]}" for name in old if new.get(name, old[name]) != old[name]]
    return f" ({', '.join(changed)})" if changed else ""


def _list_programs(document: dict[str, Any]) -> dict[str, str]:
    environment = document.get("environment") or {}
    algebra = environment.get("linear_algebra")
    return {**environment.get("versions", {}), **({"linear algebra": algebra} if algebra else {})}


def ask_again(node: SuggestionData) -> dict[str, Any]:
    """Return the optimiser's question that led to a suggestion, from the inputs of its calculation.

    :raises StatusError: when not all that it learned from is in this profile.
    """
    members, training = read_members(node.creator), find_training(node.creator)
    if training is not None and training.digest != digest_of(members):
        raise StatusError(
            f"it learned from {count(training.n_results, 'result')}, but not all of its training set is here: "
            "import the whole package of the campaign"
        )
    results, told_nothing = load_members(members.values())
    pending = [item for item in linked_inputs(node.creator, "pending__").values() if isinstance(item, RequestData)]
    return make_question(
        node.creator.inputs.problem.get_dict(),
        results,
        [*pending, *told_nothing],
        source=node.question["source"],
        step=node.question["step"],
        choices=node.question.get("choices", ()),
    )


def _point(document: dict[str, Any]) -> list[float]:
    """Return the mole fractions that a suggestion proposes; those of the recommendation when it asks for nothing."""
    if document.get("x") is not None:
        return list(document["x"])
    return list(document["recommendation"]["overall"]["x"])
