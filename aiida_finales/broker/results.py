"""Results after they were published: look them up, amend, delete, and mark what was derived from them."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_finales.broker.state import STATE, State, change_state
from aiida_finales.broker.status import ResultStatus, check_result_change
from aiida_finales.data.campaign import stand_in
from aiida_finales.data.lookup import find_node
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import find_learners
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.moment import timestamp

#: extra on a node that was derived from a result which was later deleted or amended
DOUBTFUL = "finales_doubtful"


def find_result(identifier: str) -> ResultData:
    """Return a result by pk, UUID or the beginning of its UUID.

    :raises UnknownNodeError: when there is no such result.
    """
    node: ResultData = find_node(identifier, ResultData, "result", "see 'aiida-finales result list'")
    return node


def list_results(
    quantity: str | None = None, methods: tuple[str, ...] | None = None, limit: int | None = None
) -> list[tuple[ResultData, State]]:
    """Return results with their current state, oldest first.

    :param limit: the latest so many.
    """
    filters: dict[str, Any] = {}
    if quantity is not None:
        filters["attributes.quantity"] = quantity
    if methods is not None:
        filters["attributes.method"] = {"in": list(methods)}
    query = orm.QueryBuilder().append(
        ResultData, subclassing=False, filters=filters, project=["*", f"extras.{STATE}"], tag="result"
    )
    query.order_by({"result": {"id": "desc"}})
    if limit is not None:
        query.limit(limit)
    return [(node, dict(state or {})) for node, state in reversed(query.all())]


def delete_result(pk: int, who: str, why: str) -> State:
    """Declare that a result must not be used; nothing is removed, what was derived from it is marked.

    :raises StatusError: when it is deleted already.
    :raises InputError: when no reason is given.
    """
    return _change(pk, ResultStatus.DELETED, who, why, replacement=None)


def amend_result(pk: int, who: str, why: str, replacement: ResultData | None = None) -> State:
    """Declare that a result was corrected; with a replacement, that one counts from now on.

    It counts in the campaigns, too, that the result was measured for.

    :raises StatusError: when the change is not permitted.
    :raises InputError: when no reason is given, or the replacement is the same result, or of another quantity.
    """
    if replacement is not None:
        node: ResultData = orm.load_node(pk)  # type: ignore[assignment]
        if node.pk == replacement.pk or node.quantity != replacement.quantity:
            given = "the same result" if node.pk == replacement.pk else f"a result of {replacement.quantity}"
            raise InputError(
                f"the replacement <{replacement.pk}> is {given}, but accepted is another result of {node.quantity}"
            )
    state = _change(pk, ResultStatus.AMENDED, who, why, replacement=replacement)
    if replacement is not None:
        stand_in(pk, replacement)
    return state


def is_usable(state: State) -> bool:
    """Return whether a result may be learned from: neither deleted nor replaced."""
    return state.get("status") != ResultStatus.DELETED.value and not state.get("replacement")


def _change(pk: int, status: ResultStatus, who: str, why: str, replacement: ResultData | None) -> State:
    if not why.strip():
        raise InputError(f"a result becomes {status} for a reason: none was given")

    def decide(state: State) -> tuple[State, str, str]:
        check_result_change(state.get("status", ResultStatus.ORIGINAL), status)
        new = {**state, "status": status.value, "since": timestamp(), "reason": why}
        new["replacement"] = replacement.uuid if replacement is not None else None
        return new, who, why

    state = change_state(pk, decide)
    if not is_usable(state):
        mark_doubtful(pk, f"result {orm.load_node(pk).uuid} became {status}: {why}")
    return state


def mark_doubtful(pk: int, why: str) -> list[orm.Node]:
    """Mark what calculations made of a result: suggestions that learned from it, results computed from it, and so on.

    A measurement that was merely *suggested* on its ground stays good, so the walk does not go on through requests.

    :returns: what was marked.
    """
    makers = find_learners(pk, orm.load_node(pk).uuid)
    query = orm.QueryBuilder().append(orm.CalculationNode, filters={"id": {"in": makers}}, tag="calculation")
    query.append((ResultData, SuggestionData), with_incoming="calculation")
    marked: list[orm.Node] = []
    for node in query.all(flat=True) if makers else ():
        node.base.extras.set(DOUBTFUL, why)
        marked.append(node)
        if isinstance(node, ResultData):
            marked += mark_doubtful(node.pk, why)
    return marked
