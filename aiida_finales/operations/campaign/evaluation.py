"""The evaluations of a campaign: its results as it counts them, each with what was expected there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.calculations.question import read_categories, read_variable
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import Facts, ResultData, read_facts, read_number, tell_forces
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.values import Value, stated_uncertainty
from aiida_finales.workflows.training import choose_training, wanted_numbers

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
    :param forces: of dynamics by a potential or its reference: which method's they are, and how good; else empty.
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


#: of what the points of each suggestion are, by its pk: tenants may change in a campaign, and its space with them
Spaces = Mapping[int, tuple[str, ...]]


def read_spaces(suggestions: Sequence[SuggestionData]) -> dict[int, tuple[str, ...]]:
    """Return the components (InChIKey) of the space that each suggestion was made in, by its pk."""
    pks = [pk_of(node) for node in suggestions]
    query = orm.QueryBuilder().append(SuggestionData, filters={"id": {"in": pks}}, project="id", tag="suggestion")
    query.append(orm.CalculationNode, with_outgoing="suggestion", tag="calculation")
    query.append(orm.Dict, with_outgoing="calculation", edge_filters={"label": "problem"}, project="id")
    problem_of = dict(query.all()) if pks else {}
    columns = ["id", "attributes.problem.components"]
    problems = orm.QueryBuilder().append(
        orm.Dict, filters={"id": {"in": list(set(problem_of.values()))}}, project=columns
    )
    components = dict(problems.all()) if problem_of else {}
    return {pk: tuple(components[problem] or ()) for pk, problem in problem_of.items()}


def unite(spaces: Spaces) -> tuple[str, ...]:
    """Return all that the points of a campaign ever had fractions of, what it began with first."""
    return tuple(dict.fromkeys(name for pk in sorted(spaces) for name in spaces[pk]))


def read_evaluations(
    nodes: list[orm.Node], process: orm.WorkChainNode, campaign: CampaignFile, spaces: Spaces
) -> tuple[Evaluation, ...]:
    """Return the results among the nodes of a campaign, those that it started with first.

    A result counts when it is in one of the spaces in which the campaign looked: what it found stays found.

    :param nodes: the oldest first.
    :param spaces: see :func:`read_spaces`; empty before the first suggestion.
    """
    components = unite(spaces)
    known = {node.uuid for node in linked_inputs(process, "known__").values()}
    sources = {campaign.capability_of(name): name for name in campaign.sources}
    results = [node for node in nodes if isinstance(node, ResultData)]
    results.sort(key=lambda node: node.uuid not in known)
    facts = read_facts(results)
    # before the first suggestion nobody knows the components: nothing is left out for other chemicals then
    _, excluded = choose_training(campaign, results, list(components) or None, facts)
    predicted = _predictions([item.request_uuid for uuid, item in facts.items() if uuid not in known])
    wanted = {name: wanted_numbers(campaign, name) for name in campaign.sources}
    options = {name: section.options for name, section in campaign.categories.items()}
    found = []
    for number, node in enumerate(results, start=1):
        fact = facts[node.uuid]
        source = sources.get((fact.quantity, fact.method), fact.method)
        suggestion, expected = predicted.get(fact.request_uuid, (None, None))
        evaluation = _evaluate(
            node,
            fact,
            number=number,
            source=source,
            expected=read_expected(expected, spaces.get(suggestion or 0, components)) if expected else None,
            is_known=node.uuid in known,
            against=excluded.get(node.uuid, ""),
            numbers=_numbers(fact, wanted.get(source, {})),
            variables=_variables(fact, campaign),
            options=read_categories(fact.parameters, options),
        )
        found.append(value_wanted(evaluation, fact.quantity, campaign))
    return tuple(found)


def value_wanted(evaluation: Evaluation, quantity: str, campaign: CampaignFile) -> Evaluation:
    """Return an evaluation whose value is what a campaign optimises, also where that is another number of the result.

    Of several objectives none is *the* value: then it is that of the quantity that was asked for.

    :param quantity: of the result.
    """
    wanted = campaign.optimised
    name, goal = next(iter(wanted.items()))
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


def _predictions(requests: list[str | None]) -> dict[str | None, tuple[int, dict[str, Any] | None]]:
    """Return which suggestions led to requests, by their pk, and what they predicted, by the UUID of the request."""
    uuids = [uuid for uuid in requests if uuid]
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": {"in": uuids}}, project="uuid", tag="request")
    query.append(orm.CalculationNode, with_outgoing="request", tag="calculation")
    query.append(SuggestionData, with_incoming="calculation", project=["id", "attributes.document.predicted"])
    return {uuid: (pk, predicted) for uuid, pk, predicted in query.all()} if uuids else {}


def _evaluate(node: ResultData, facts: Facts, **others: Any) -> Evaluation:
    return Evaluation(
        uuid=node.uuid,
        pk=pk_of(node),
        fractions=facts.fractions,
        value=facts.value,
        spread=facts.spread,
        values=facts.values,
        rating=facts.rating,
        is_simulated=facts.simulated,
        temperature=facts.temperature,
        tenant=facts.tenant_uuid,
        forces=tell_forces(facts.data),
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


def linked_inputs(process: orm.ProcessNode, prefix: str = "") -> dict[str, orm.Node]:
    """Return the inputs of a process by link label, those whose label begins with a prefix."""
    links = process.base.links.get_incoming(link_type=(LinkType.INPUT_CALC, LinkType.INPUT_WORK)).all()
    return {link.link_label: link.node for link in links if link.link_label.startswith(prefix)}
