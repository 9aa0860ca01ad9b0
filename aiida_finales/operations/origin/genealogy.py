"""What a sample or a result was made of, and what was made of a sample, as trees of lines.

It is read from links and attributes alone, so that it works in an imported archive, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from aiida import orm

from aiida_finales.broker.samples import SampleSelection, children_of, parents_of, say_place
from aiida_finales.broker.state import STATE, State, read_history, read_state
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData
from aiida_finales.operations.request.records import history_lines
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.schemas.values import format_value, unit_of
from aiida_finales.science.electrolyte.composition import describe

Relatives = Callable[[orm.Node], list[orm.Node]]


def describe_sample(node: SampleData, state: State | None = None) -> Json:
    """Return a sample as a row."""
    state = read_state(pk_of(node)) if state is None else state
    is_simulated = bool(node.base.attributes.get("simulated"))
    return _row(pk_of(node), node.uuid, node.identity, node.kind, state, node.fractions, is_simulated, node.ctime)


def describe_samples(
    wanted: SampleSelection, limit: int | None = None, offset: int = 0, *, newest_first: bool = False
) -> list[Json]:
    """Return samples as rows, by one query that reads only what these say.

    :param limit: so many at most, after those that ``offset`` leaves out.
    :param newest_first: the latest come first, also where ``limit`` cuts.
    """
    query = wanted.ask(*_COLUMNS).order_by({"sample": {"id": "desc" if newest_first else "asc"}}).offset(offset)
    return [_row(*found) for found in (query if limit is None else query.limit(limit)).all()]


#: of a sample, what :func:`_row` is given
_COLUMNS = ("id", "uuid", "attributes.identity", "attributes.kind", f"extras.{STATE}", "attributes.fractions",
            "attributes.simulated", "ctime")  # fmt: skip


def _row(  # noqa: PLR0913, PLR0917 - one argument per column
    pk: int,
    uuid: str,
    identity: str,
    kind: str,
    state: State,
    fractions: Mapping[str, float] | None,
    simulated: bool | None,
    made: datetime,
) -> Json:
    return {
        "pk": pk,
        "uuid": uuid,
        "identity": identity,
        "kind": kind,
        "status": state["status"],
        "location": say_place(state["location"]),
        "formulation": describe(fractions) if fractions else None,
        "simulated": bool(simulated),
        "made": utc_text(made),
    }


def detail_sample(node: SampleData) -> Json:
    """Return everything about a sample."""
    state = read_state(pk_of(node))
    return {
        **describe_sample(node, state),
        "reason": state.get("reason"),
        "made_of": [parent.identity for parent in parents_of(node)],
        "used_for": [_word(child) for child in children_of(node)],
        "history": history_lines(read_history(pk_of(node))),
        "content": node.content,
    }


def trace_back(node: SampleData | ResultData) -> list[Json]:
    """Return what a sample or a result was made of, down to the stock solutions: lines with their depth from 1."""
    return _walk(node, _origins)


def trace_forward(node: SampleData) -> list[Json]:
    """Return what was made of a sample, measured on it and computed from that: lines with their depth from 1."""
    return _walk(node, _consequences)


def tell_tree(lines: list[Json]) -> list[str]:
    """Return a tree as indented text."""
    return [f"{'  ' * (line['depth'] - 1)}{line['words']}" for line in lines]


def _walk(node: orm.Node, relatives: Relatives) -> list[Json]:
    lines: list[Json] = []
    seen: set[str] = set()

    def visit(current: orm.Node, depth: int) -> None:
        for other in relatives(current):
            is_new = other.uuid not in seen
            words = _word(other) if is_new else f"{_word(other)}, see above"
            simulated = bool(other.base.attributes.get("simulated", False))
            lines.append({"depth": depth, "pk": other.pk, "uuid": other.uuid, "words": words, "simulated": simulated})
            if is_new:
                seen.add(other.uuid)
                visit(other, depth + 1)

    visit(node, 1)
    return lines


def _origins(node: orm.Node) -> list[orm.Node]:
    """Return the samples something was made of or measured on, and the results it was computed from."""
    samples: list[orm.Node] = list(parents_of(node))
    if isinstance(node, SampleData) or node.creator is None:
        return samples
    links = node.creator.base.links.get_incoming(node_class=ResultData).all_nodes()
    return samples + sorted(links, key=lambda item: item.ctime)


def _consequences(node: orm.Node) -> list[orm.Node]:
    if isinstance(node, SampleData):
        return list(children_of(node))
    query = (
        orm.QueryBuilder()
        .append(ResultData, filters={"id": node.pk}, tag="result")
        .append(orm.CalculationNode, with_incoming="result", tag="calculation")
        .append(ResultData, with_incoming="calculation", tag="derived")
    )
    return list(query.order_by({"derived": {"id": "asc"}}).all(flat=True))


def _word(node: orm.Node) -> str:
    state = read_state(pk_of(node))
    doubt = "" if state.get("status") in ("good", "original") else f", {str(state.get('status')).upper()}"
    if isinstance(node, SampleData):
        content = f" of {describe(node.fractions)}" if node.fractions else ""
        return f"{node.kind} {node.identity}{content}, {say_place(state['location'])}  <{node.pk}>{doubt}"
    assert isinstance(node, ResultData)  # noqa: S101 - the walks meet nothing else
    words = format_value(node.value, node.uncertainty, unit_of(node.quantity))
    value = "" if node.value is None else f" {words}"
    return f"{node.quantity}/{node.method}{value}  <{node.pk}>{doubt}"
