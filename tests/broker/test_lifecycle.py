"""Several holders do whatever they like to several requests; the rules hold all the same."""

from __future__ import annotations

import time
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import open_states, post_request, read_candidates, retract_request
from aiida_finales.broker.reservation import (
    answer_request,
    expire_lease,
    release_request,
    renew_lease,
    reserve_for_process,
    reserve_request,
    resolve_request,
)
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.exceptions import HeldError, StatusError

SLOTS = 2
CLIENTS = st.sampled_from(["alice", "bob"])
SERVERS = st.sampled_from(["p1", "p2", "p3"])
CLOSED = ("resolved", "retracted")
OFFER = [{"quantity": "conductivity", "method": "two_electrode"}]


@pytest.fixture
def machine(  # noqa: C901 - many small rules
    desk, make_request, make_result, make_answer
):
    """The class of the machine, on a profile with an external tenant and an internal one with two slots."""
    external = add_tenant("outside", OFFER).tenant_uuid
    internal = add_tenant("inside", OFFER, kind="internal", max_concurrent=SLOTS).tenant_uuid
    result = make_result().store()

    class Lifecycle(RuleBasedStateMachine):
        requests = Bundle("requests")

        def __init__(self):
            super().__init__()
            self.states = {}  # what is known to be so, by pk
            for pk in open_states():
                retract_request(pk, "test", "of the last run", has_unusable_answer=True)

        def expect(self, pk, is_permitted, action):
            """Do it; whether it is refused must be as expected, and a refusal changes nothing."""
            before = read_state(pk)
            if is_permitted:
                return action()
            with pytest.raises(StatusError):
                action()
            assert read_state(pk) == before
            return None

        def is_held(self, pk, holder):
            return self.states[pk]["status"] == "reserved" and self.states[pk]["holder"] == holder

        def is_answered(self, pk):
            return self.states[pk]["status"] == "reserved" and bool(self.states[pk].get("answer"))

        @rule(target=requests)
        def post(self):
            pk = post_request(make_request(), "tester").pk
            self.states[pk] = {"status": "pending", "serial": -1, "holder": None}
            return pk

        @rule(pk=requests, who=CLIENTS, lease=st.sampled_from([-1.0, 1000.0]))
        def reserve(self, pk, who, lease):
            status = self.states[pk]["status"]
            candidate = next(item for item in read_candidates(read_state(pk)) if item.tenant == external)
            is_permitted = not self.is_answered(pk) and (status == "pending" or self.is_held(pk, who))
            self.expect(pk, is_permitted, lambda: reserve_request(pk, who, candidate, lease=lease))
            if is_permitted:
                assert read_state(pk)["holder"] == who

        @rule(pk=requests, who=CLIENTS)
        def is_told_who_holds(self, pk, who):
            if self.states[pk]["status"] == "reserved" and not self.is_held(pk, who):
                holder = self.states[pk]["holder"]  # of a process its tenant is named, which people know
                with pytest.raises(HeldError, match="inside" if holder.startswith("process:") else holder):
                    renew_lease(pk, who, 1000.0)

        @rule(pk=requests, server=SERVERS)
        def serve(self, pk, server):
            reservation = reserve_for_process(pk, server)
            if reservation is not None:
                assert self.states[pk]["status"] == "pending" or self.is_held(pk, f"process:{server}")
                assert reservation.tenant == internal

        @rule(pk=requests, who=CLIENTS)
        def renew(self, pk, who):
            self.expect(pk, self.is_held(pk, who), lambda: renew_lease(pk, who, 1000.0))

        @rule(pk=requests, who=CLIENTS)
        def release(self, pk, who):
            is_permitted = not self.is_answered(pk) and (
                self.is_held(pk, who) or self.states[pk]["status"] == "pending"
            )
            self.expect(pk, is_permitted, lambda: release_request(pk, who, "no time"))

        @rule(pk=requests)
        def release_by_operator(self, pk):
            is_permitted = not self.is_answered(pk) and self.states[pk]["status"] in ("reserved", "pending")
            self.expect(pk, is_permitted, lambda: release_request(pk, "operator", "ill", is_operator=True))

        @rule(pk=requests)
        def expire(self, pk):
            before = read_state(pk)
            until = None if before.get("answer") else before.get("lease_until")  # an answered request never expires
            is_over = before["status"] == "reserved" and until is not None and until < time.time()
            assert expire_lease(pk) is is_over
            assert read_state(pk)["status"] == ("pending" if is_over else before["status"])

        @rule(pk=requests, who=CLIENTS, value=st.sampled_from([0.5, 0.6]))
        def answer(self, pk, who, value):
            state, answer = read_state(pk), make_answer(value=value)
            if state.get("answer"):
                is_permitted = state["answer"] == answer and state["holder"] == who
            else:
                is_permitted = state["status"] == "pending" or self.is_held(pk, who)
            self.expect(pk, is_permitted, lambda: answer_request(pk, who, answer))

        @rule(pk=requests)
        def resolve(self, pk):
            is_permitted = self.states[pk]["status"] in ("reserved", "resolved")
            self.expect(pk, is_permitted, lambda: resolve_request(pk, result, "server"))

        @rule(pk=requests)
        def retract(self, pk):
            is_permitted = not self.is_answered(pk) and self.states[pk]["status"] not in CLOSED
            self.expect(pk, is_permitted, lambda: retract_request(pk, "tester", "not needed"))

        @invariant()
        def rules_hold(self):
            held = 0
            for pk, before in self.states.items():
                state = read_state(pk)
                changed = {key: value for key, value in state.items() if key != "serial"} != {
                    key: value for key, value in before.items() if key != "serial"
                }
                assert state["serial"] > before["serial"] if changed else state["serial"] >= before["serial"]
                if before["status"] in CLOSED:
                    assert state["status"] == before["status"]
                assert (state["status"] == "reserved") == (state.get("holder") is not None) or state["status"] in CLOSED
                if state["serial"] != before["serial"]:
                    history = read_history(pk)
                    assert history[-1].after == state["status"]
                    assert len(history) == state["serial"] + 1
                    assert all(old.after == new.before for old, new in pairwise(history))
                held += state["status"] == "reserved" and state.get("tenant") == internal
                self.states[pk] = state
            assert held <= SLOTS

    return Lifecycle


def test_rules_hold_whatever_the_holders_do(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
