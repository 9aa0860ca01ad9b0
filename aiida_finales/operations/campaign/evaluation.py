"""The evaluations of a campaign: its results as it counts them, each with what was expected there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.calculations.question import read_categories, read_variable
from aiida_finales.data.capability import Schemas
from aiida_finales.data.result import Facts, read_number, tell_forces
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.cells.naming import NamedPart, find_parts
from aiida_finales.schemas.values import Value, stated_uncertainty
from aiida_finales.workflows.training import find_numbers, find_reasons

Point = Mapping[str, float]


@dataclass(frozen=True)
class Expected:
    """What the model expects somewhere.

    :param fractions: mole fraction by InChIKey.
    :param mean: in the unit of the quantity; the median where the model is one of the logarithm.
    :param sd: standard deviation, in the unit of the quantity.
    :param low: lower end of the central 68 %; with ``high`` not symmetric where the model is one of the logarithm.
    :param variables: value by name of the variable.
    :param options: by name of the category.
    """

    fractions: Point
    mean: float
    sd: float
    low: float
    high: float
    variables: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """One result of a campaign.

    :param number: from 1, in the order of the results.
    :param value: mean of the single values, or median of the valid cells; or the number that is optimised.
    :param spread: standard deviation of the single values.
    :param values: the single values: repetitions, or cells.
    :param is_known: one that the campaign started with.
    :param against: why the campaign does not learn from it; empty when it counts.
    :param temperature: K, at which it was measured.
    :param expected: what the model expected there, when the request was made.
    :param tenant: identity of who provided it.
    :param numbers: what it tells by objective, each in its unit.
    :param variables: value by name of the variable.
    :param options: by name of the category.
    :param parts: what the cell is made of that it is about, as records name it.
    :param forces: of dynamics by a potential or its reference: which method's they are, and how good; else empty.
    :param extras: what was said of the result when it was judged.
    """

    number: int
    uuid: str
    pk: int
    source: str
    fractions: Point
    value: float | None
    spread: float | None
    values: tuple[Value, ...]
    rating: int | None
    is_known: bool
    against: str
    is_simulated: bool
    temperature: float | None
    expected: Expected | None
    tenant: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    variables: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    forces: str = ""
    parts: frozenset[NamedPart] = frozenset()
    extras: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_used(self) -> bool:
        """Whether it counts."""
        return not self.against

    @property
    def uncertainty(self) -> float | None:
        """Standard deviation of the value as its provider states it, or of repetitions as they scatter."""
        return stated_uncertainty(self.values) or self.spread

    @property
    def n_valid(self) -> int:
        """How many of the single values are valid."""
        return sum(item.is_valid for item in self.values)


@dataclass(frozen=True)
class Told:
    """A stored result: which, and what it says; or, where it need not be judged again, how it was judged before."""

    pk: int
    uuid: str
    facts: Facts | None
    judged: Evaluation | None = None


#: of what the points of each suggestion are, by its pk: tenants may change in a campaign, and its space with them
Spaces = Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class Predicted:
    """What the suggestion that led to a request predicted.

    :param suggestion: its pk.
    :param asked: of the source whose turn it was.
    :param by_objective: of the target of each objective, which are asked for the same point.
    """

    suggestion: int
    asked: dict[str, Any] | None
    by_objective: Mapping[str, dict[str, Any]]

    def of_source(self, source: str, campaign: CampaignFile) -> dict[str, Any] | None:
        """Return what was predicted of a source: of a target, of the first objective that it is the target of."""
        of_target = (self.by_objective.get(name) for name, goal in campaign.goals.items() if goal.target == source)
        return next(filter(None, of_target), self.asked)


#: by UUID of the request
Predictions = Mapping[str, Predicted]


def unite(spaces: Spaces) -> tuple[str, ...]:
    """Return all that the points of a campaign ever had fractions of, what it began with first."""
    return tuple(dict.fromkeys(name for pk in sorted(spaces) for name in spaces[pk]))


def read_evaluations(
    results: Sequence[Told],
    known: Collection[str],
    campaign: CampaignFile,
    spaces: Spaces,
    predicted: Predictions,
    schemas: Schemas,
) -> tuple[Evaluation, ...]:
    """Return the results of a campaign as it counts them, those that it started with first.

    A result counts when it is in one of the spaces in which the campaign looked: what it found stays found.

    :param results: the oldest first.
    :param known: UUIDs of those that it started with.
    :param spaces: empty before the first suggestion.
    """
    components = unite(spaces)
    sources = {campaign.capability_of(name): name for name in campaign.sources}
    ordered = sorted(results, key=lambda item: item.uuid not in known)
    # before the first suggestion nobody knows the components: nothing is left out for other chemicals then
    facts = {item.uuid: item.facts for item in ordered if item.facts is not None}
    wanted = {name: find_numbers(campaign, name, schemas) for name in campaign.sources}
    excluded = find_reasons(campaign, facts, list(components) or None, wanted)
    options = {name: section.options for name, section in campaign.categories.items()}
    found = []
    for number, item in enumerate(ordered, start=1):
        fact, is_known = item.facts, item.uuid in known
        if fact is None:
            found += [replace(item.judged, number=number)] if item.judged else []
            continue
        source = sources.get((fact.quantity, fact.method), fact.method)
        told = None if is_known else predicted.get(fact.request_uuid or "")
        expected = told.of_source(source, campaign) if told else None
        evaluation = _evaluate(
            item,
            fact,
            number=number,
            source=source,
            expected=read_expected(expected, spaces.get(told.suggestion, components)) if told and expected else None,
            is_known=is_known,
            against=excluded.get(item.uuid, ""),
            numbers=_numbers(fact, wanted.get(source, {})),
            variables=_variables(fact, campaign),
            options=read_categories(fact.parameters, options),
        )
        found.append(value_wanted(evaluation, fact.quantity, campaign))
    return tuple(found)


def value_wanted(evaluation: Evaluation, quantity: str, campaign: CampaignFile) -> Evaluation:
    """Return an evaluation whose value is what a campaign optimises, also where that is another number of the result.

    Of several objectives none is *the* value: then it is that of the quantity that was asked for, or, where that has
    none (as capacities over the cycles), the first of the objectives that it tells of.

    :param quantity: of the result.
    """
    wanted = campaign.optimised
    name, goal = next(iter(wanted.items()))
    if len(wanted) > 1 and evaluation.value is None:
        told = (evaluation.numbers[key] for key in wanted if key in evaluation.numbers)
        return replace(evaluation, value=next(told, None))
    if len(wanted) > 1 or (goal.number is None and goal.quantity == quantity):
        return evaluation
    return replace(evaluation, value=evaluation.numbers.get(name), spread=None, values=())


def _numbers(facts: Facts, wanted: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Return what a result tells by objective."""
    told = {name: read_number(facts, how["quantity"], how["number"]) for name, how in wanted.items()}
    return {name: value for name, value in told.items() if value is not None}


def _variables(facts: Facts, campaign: CampaignFile) -> dict[str, float]:
    told = {
        name: read_variable(facts.parameters, facts.temperature, campaign.path_of(name)) for name in campaign.variables
    }
    return {name: value for name, value in told.items() if value is not None}


def _evaluate(item: Told, facts: Facts, **others: Any) -> Evaluation:
    return Evaluation(
        uuid=item.uuid,
        pk=item.pk,
        extras=facts.extras,
        fractions=facts.fractions,
        value=facts.value,
        spread=facts.spread,
        values=facts.values,
        rating=facts.rating,
        is_simulated=facts.simulated,
        temperature=facts.temperature,
        tenant=facts.tenant_uuid,
        forces=tell_forces(facts.data),
        parts=find_parts(facts.parameters),
        **others,
    )


def read_expected(document: dict[str, Any], components: tuple[str, ...], names: Sequence[str] = ()) -> Expected:
    """Return what a suggestion says that is expected at its point.

    :param names: of the variables.
    """
    fractions = dict(zip(components, document["x"], strict=False))  # variables stand behind them
    variables = dict(zip(names, document["x"][len(components) :], strict=False))
    mean, sd = float(document["mean"]), float(np.abs(document["sd"]))
    low, high = document.get("low"), document.get("high")
    ends = mean - sd if low is None else low, mean + sd if high is None else high
    return Expected(fractions, mean, sd, *ends, variables, dict(document.get("category") or {}))


def count_inputs(process: orm.ProcessNode, prefix: str) -> int:
    """Return how many inputs of a process have a link label that begins with a prefix."""
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": process.pk}, tag="process")
    edges = {"label": {"like": prefix.replace("_", r"\_") + "%"}}
    return int(query.append(orm.Node, with_outgoing="process", edge_filters=edges, project="id").count())


def linked_inputs(process: orm.ProcessNode, prefix: str = "") -> dict[str, orm.Node]:
    """Return the inputs of a process by link label, those whose label begins with a prefix."""
    links = process.base.links.get_incoming(link_type=(LinkType.INPUT_CALC, LinkType.INPUT_WORK)).all()
    return {link.link_label: link.node for link in links if link.link_label.startswith(prefix)}
