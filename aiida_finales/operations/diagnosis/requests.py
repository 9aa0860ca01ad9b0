"""Which requests nobody works on, and which wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiida import orm

from aiida_finales.broker.listing import read_attributes
from aiida_finales.broker.processes import find_served
from aiida_finales.broker.requests import name_holder, open_states
from aiida_finales.broker.reservation import is_expired, silent_since
from aiida_finales.broker.sight import is_hidden
from aiida_finales.broker.state import State
from aiida_finales.operations.diagnosis.check import SERVE_AGAIN, Check
from aiida_finales.operations.request.records import describe_wait, is_alone
from aiida_finales.schemas.moment import utc_text


def check_requests(states: Mapping[int, State] | None = None) -> list[Check]:
    """Look for requests that nobody works on, or that wait for a person; among those that one may see.

    :param states: of the open requests that are looked at; of all when ``None``.
    """
    found = open_states() if states is None else states
    states = {pk: state for pk, state in found.items() if not is_hidden(pk)}
    served = find_served(list(states))
    quantities = {pk: str(read["quantity"]) for pk, read in read_attributes(_list_held(states)).items()}
    checks = [
        replace(check, since=utc_text(state["since"]))
        for pk, state in states.items()
        for check in _judge_request(pk, state, quantities.get(pk, ""), is_served=pk in served)
    ]
    return checks or [Check("requests", True, f"{len(states)} open, each with a living process")]


def _list_held(states: Mapping[int, State]) -> list[int]:
    """Return the pks of what is held by somebody outside, who may be silent."""
    return [pk for pk, state in states.items() if state.get("holder") and not _is_process(state)]


def _is_process(state: State) -> bool:
    return str(state.get("holder") or "").startswith("process:")


def _judge_request(pk: int, state: State, quantity: str, *, is_served: bool) -> list[Check]:
    holder = str(state.get("holder") or "")
    if state.get("needs_operator"):
        words = f"request <{pk}> needs an operator: {state['needs_operator']}"
        decide = f'aiida-finales request resolve {pk} --operator --outcome done|not-done --reason "..."'
        if not holder.startswith("process:"):  # who serves it keeps a journal of its own
            asked = f'--request {orm.load_node(pk).uuid} --reason "..."'
            decide = (
                f'aiida-finales request release {pk} --operator --reason "..."   (or, where the program of {holder} '
            )
            decide += f"runs: finales-tenant ... --settle done|not-done {asked})"
        answer = f'aiida-finales result post {pk} FILE.json --operator --reason "..."'
        decide += f"   (or: {answer})"
        return [Check("requests", False, words, (decide,), needs_person=True, kind="need an operator")]
    if not is_served and _is_process(state):
        words = f"request <{pk}> is held by a process that has ended: look whether the device acted"
        cure = f'aiida-finales request release {pk} --operator --reason "..."'
        kind = "are held by processes that have ended"
        return [Check("requests", False, words, (cure, *SERVE_AGAIN), needs_person=True, kind=kind)]
    if not is_served:
        words, kind = f"request <{pk}> is {state['status']}, but no process serves it", "are served by no process"
        return [Check("requests", False, words, SERVE_AGAIN, kind=kind)]
    return _judge_wait(pk, state, quantity)


def _judge_wait(pk: int, state: State, quantity: str) -> list[Check]:
    """Judge a request that is served: whether its holder still works, and whether there is anybody."""
    if is_expired(state):
        words, kind = (
            f"the lease of {name_holder(state)} on request <{pk}> has run out",
            "have a lease that has run out",
        )
        return [Check("requests", False, words, SERVE_AGAIN, kind=kind)]
    if heard := silent_since(quantity, state):
        words = f"{name_holder(state)}, who holds request <{pk}>, was not heard from since {utc_text(heard)}"
        words += ": look whether it works"
        cure = f'aiida-finales request release {pk} --operator --reason "..."'
        return [Check("requests", False, words, (cure,), needs_person=True, kind="have a silent holder")]
    if is_alone(state):
        words = f"request <{pk}> is pending, but {describe_wait(state, {})}: it waits for ever"
        cure = f'aiida-finales request retract {pk} --reason "..."   (or: aiida-finales tenant add FILE.json)'
        return [Check("requests", False, words, (cure,), needs_person=True, kind="wait, and nobody can serve them")]
    return []
