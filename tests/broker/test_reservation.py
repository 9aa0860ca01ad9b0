"""Who holds a request, for how long, and who comes first."""

from __future__ import annotations

import math
import time

import pytest

from aiida_finales.broker.listing import Selection, list_request_rows
from aiida_finales.broker.queue import find_free_slots
from aiida_finales.broker.requests import list_requests, open_states, post_request, recheck_pending, retract_request
from aiida_finales.broker.reservation import (
    answer_request,
    claim_answer,
    expire_lease,
    find_lease,
    mark_needs_operator,
    postpone_request,
    release_request,
    renew_lease,
    reserve_for_process,
    reserve_request,
    resolve_request,
    resume_request,
    silent_since,
)
from aiida_finales.broker.state import change_state, read_history, read_state
from aiida_finales.data.active import IMPORTED
from aiida_finales.exceptions import HeldError, InputError, StatusError
from aiida_finales.operations.request.records import describe_request, detail_request


@pytest.fixture
def post(desk, add_offer, make_request):
    """Return a function that posts a request; there is one external tenant."""
    add_offer("robot")
    return lambda *methods, **kwargs: post_request(make_request(*methods, **kwargs), "tester")


def test_one_holder_never_two(post, candidate_of):
    request = post()
    candidate = candidate_of(request.pk, "robot")
    reservation = reserve_request(request.pk, "alice", candidate)
    assert (reservation.holder, reservation.method, reservation.attempt) == ("alice", "two_electrode", 1)
    with pytest.raises(HeldError, match=r"held by alice since 20\d\d-"):
        reserve_request(request.pk, "bob", candidate)
    assert read_state(request.pk)["holder"] == "alice"


def test_reserving_what_one_holds_renews(post, candidate_of):
    request = post()
    candidate = candidate_of(request.pk, "robot")
    first = reserve_request(request.pk, "alice", candidate, lease=10)
    before = read_state(request.pk)
    assert reserve_request(request.pk, "alice", candidate, lease=1000) == first
    after = read_state(request.pk)
    assert after["since"] == before["since"]
    assert after["lease_until"] - before["lease_until"] == pytest.approx(990, abs=5)
    assert read_history(request.pk)[-1].why == "renewed"


def test_without_a_lease_a_request_is_kept(post, candidate_of):
    """Published tenants give no sign of life; a week of cycling must not be given to a second device."""
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    assert read_state(request.pk)["lease_until"] is None
    assert not expire_lease(request.pk)


@pytest.mark.parametrize(
    ("changes", "is_silent"),
    [
        ({}, False),
        ({"heard": "2026-01-01T00:00:00.000+00:00"}, True),
        ({"heard": None, "since": "2026-01-01T00:00:00.000+00:00"}, True),
        ({"heard": "2026-01-01T00:00:00.000+00:00", "holder": "process:1"}, False),
        ({"heard": "2026-01-01T00:00:00.000+00:00", "answer": {"uuid": "1"}}, False),
        ({"heard": "2026-01-01T00:00:00.000+00:00", "needs_operator": "look"}, False),
        ({"heard": "2026-01-01T00:00:00.000+00:00", "status": "pending"}, False),
    ],
    ids=["just now", "long ago", "before it was noted", "process", "answered", "operator", "given back"],
)
def test_a_silent_holder_is_named(post, candidate_of, changes, is_silent):
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    state = {**read_state(request.pk), **changes}
    assert bool(silent_since("conductivity", state)) == is_silent


def test_a_tenant_says_how_long_it_may_be_silent_and_hold(desk, add_offer, make_request, candidate_of):
    add_offer("slow", settings={"silence_s": 1e9, "lease_s": 7200})
    request = post_request(make_request(), "tester")
    candidate = candidate_of(request.pk, "slow")
    reserve_request(request.pk, "alice", candidate)
    long_ago = {**read_state(request.pk), "heard": "2026-01-01T00:00:00.000+00:00"}
    assert silent_since("conductivity", long_ago) is None
    assert find_lease(request.pk, candidate) == 7200.0


@pytest.mark.parametrize("given", [0, -1, "a week", True, math.inf])
def test_a_lease_that_makes_no_sense_is_refused(desk, add_offer, given):
    with pytest.raises(InputError, match=r"lease_s of the offer of conductivity/two_electrode is .*, but accepted is"):
        add_offer("slow", settings={"lease_s": given})


def test_a_tenant_that_cannot_serve_it_may_not_hold_it(post, candidate_of, add_offer):
    request = post()
    candidate = candidate_of(request.pk, "robot")
    add_offer("another robot")
    add_offer("robot", low=310.0)  # replaced: the version that was checked is out of date
    with pytest.raises(StatusError, match=r"cannot serve the request \(any more\) by two_electrode"):
        reserve_request(request.pk, "alice", candidate)


def test_renewing_needs_the_reservation(post, candidate_of):
    request = post()
    with pytest.raises(StatusError, match="is pending, not reserved"):
        renew_lease(request.pk, "alice", 500)
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"), lease=1)
    assert renew_lease(request.pk, "alice", 500)["lease_until"] == pytest.approx(time.time() + 500, abs=5)
    with pytest.raises(HeldError, match="not by bob"):
        renew_lease(request.pk, "bob", 500)


def test_a_lease_that_ran_out_offers_the_request_again(post, candidate_of):
    request = post()
    candidate = candidate_of(request.pk, "robot")
    reserve_request(request.pk, "alice", candidate, lease=60)
    assert not expire_lease(request.pk)
    reserve_request(request.pk, "alice", candidate, lease=-1)
    assert expire_lease(request.pk)
    state = read_state(request.pk)
    assert (state["status"], state["holder"], state["lease_until"]) == ("pending", None, None)
    assert read_history(request.pk)[-1].why == "the lease of alice has run out"
    assert not expire_lease(request.pk)
    assert reserve_request(request.pk, "bob", candidate).attempt == 2
    with pytest.raises(HeldError, match="held by bob"):
        answer_request(request.pk, "alice", {"method": "two_electrode", "data": {}, "parameters": {}})


def test_an_answered_request_does_not_expire(post, candidate_of, make_answer):
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"), lease=-1)
    answer_request(request.pk, "alice", make_answer())
    assert not expire_lease(request.pk)


def test_a_request_that_waits_for_an_operator_does_not_expire(post, candidate_of):
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"), lease=-1)
    mark_needs_operator(request.pk, "alice", "did it dose?")
    assert not expire_lease(request.pk)
    assert read_state(request.pk)["holder"] == "alice"


def test_release_by_holder_operator_and_stranger(post, candidate_of):
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    with pytest.raises(HeldError, match="not by bob"):
        release_request(request.pk, "bob", "mine!")
    assert release_request(request.pk, "bob", "alice is ill", is_operator=True)["status"] == "pending"
    assert read_history(request.pk)[-1].who == "bob"
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    assert release_request(request.pk, "alice", "no more salt")["holder"] is None


class TestAnswer:
    def test_same_answer_twice_is_one(self, post, candidate_of, make_answer):
        request = post()
        reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
        first = answer_request(request.pk, "alice", make_answer(value=0.9))
        assert answer_request(request.pk, "alice", make_answer(value=0.9)) == first
        with pytest.raises(StatusError, match="answered already by alice: amend"):
            answer_request(request.pk, "alice", make_answer(value=0.8))

    def test_answering_a_pending_request_reserves_it(self, post, candidate_of, make_answer):
        request = post()
        state = answer_request(request.pk, "alice", make_answer(), candidate_of(request.pk, "robot"))
        assert (state["status"], state["holder"], state["attempt"]) == ("reserved", "alice", 1)
        assert state["tenant"] == candidate_of(request.pk, "robot").tenant

    def test_not_by_a_stranger_but_by_an_operator(self, post, candidate_of, make_answer):
        request = post()
        reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
        with pytest.raises(HeldError, match="held by alice"):
            answer_request(request.pk, "bob", make_answer())
        assert answer_request(request.pk, "bob", make_answer(), is_operator=True)["answer"] == make_answer()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"method": "rolling_ball"}, "method is 'rolling_ball', but accepted are two_electrode"),
            ({"data": [1]}, r"data is \[1\], but accepted is an object"),
            ({"parameters": None}, "parameters is None, but accepted is an object"),
            ({"data": {"value": math.nan}}, "NaN and infinity are none"),
        ],
    )
    def test_what_makes_no_result_is_refused(self, post, make_answer, change, words):
        request = post()
        with pytest.raises(InputError, match=words):
            answer_request(request.pk, "alice", {**make_answer(), **change})
        assert read_state(request.pk)["status"] == "pending"

    def test_only_one_worker_may_store_it(self, post, make_answer):
        request = post()
        assert claim_answer(request.pk, "worker 1", lambda _: True) is None
        answer_request(request.pk, "alice", make_answer())
        assert claim_answer(request.pk, "worker 1", lambda _: True)["data"] == make_answer()["data"]
        assert claim_answer(request.pk, "worker 2", lambda _: True) is None
        assert claim_answer(request.pk, "worker 1", lambda _: True) is not None
        assert claim_answer(request.pk, "worker 2", lambda _: False) is not None
        assert read_state(request.pk)["claimed"] == "worker 2"


def test_the_first_result_counts(post, candidate_of, make_result):
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    first, second = make_result().store(), make_result().store()
    assert resolve_request(request.pk, first, "worker 1") == first.uuid
    assert resolve_request(request.pk, second, "worker 2") == first.uuid
    assert read_state(request.pk)["result"] == first.uuid


def test_an_operator_is_waited_for(post, add_offer):
    add_offer("inside", "empirical_model", kind="internal")
    request = post("empirical_model")
    reservation = reserve_for_process(request.pk, "p1")
    mark_needs_operator(request.pk, reservation.holder, "a tube came off")
    assert reserve_for_process(request.pk, "p1") is None
    assert read_state(request.pk)["needs_operator"] == "a tube came off"
    release_request(request.pk, "operator", "nothing was dosed", is_operator=True)
    assert read_state(request.pk)["needs_operator"] is None
    assert reserve_for_process(request.pk, "p1").attempt == 2


class TestInternal:
    @pytest.fixture
    def serve(self, post, add_offer):
        """Return a function that posts a request for a tenant with two slots."""
        add_offer("model", "empirical_model", kind="internal", slots=2)
        return lambda: post("empirical_model")

    def test_slots_are_never_exceeded_and_the_oldest_comes_first(self, serve):
        requests = [serve() for _ in range(4)]
        # the youngest asks first, but two older ones are waiting for the two slots
        assert reserve_for_process(requests[3].pk, "p3") is None
        assert reserve_for_process(requests[2].pk, "p2") is None
        assert reserve_for_process(requests[1].pk, "p1").holder == "process:p1"
        assert reserve_for_process(requests[0].pk, "p0").holder == "process:p0"
        assert reserve_for_process(requests[2].pk, "p2") is None
        retract_request(requests[1].pk, "tester", "changed my mind")
        assert reserve_for_process(requests[3].pk, "p3") is None
        assert reserve_for_process(requests[2].pk, "p2") is not None

    def test_the_count_is_part_of_the_statement(self, serve, candidate_of):
        requests = [serve() for _ in range(3)]
        candidate = candidate_of(requests[0].pk, "model")
        for number in range(2):
            reserve_request(requests[number].pk, f"process:p{number}", candidate, lease=None)
        with pytest.raises(StatusError, match="holds 2 requests already, which is all it may"):
            reserve_request(requests[2].pk, "process:p2", candidate, lease=None)
        # renewing takes no slot
        assert reserve_request(requests[0].pk, "process:p0", candidate, lease=None).attempt == 1

    def test_asking_again_gives_the_same_reservation(self, serve):
        request = serve()
        first = reserve_for_process(request.pk, "p1")
        assert reserve_for_process(request.pk, "p1") == first
        assert reserve_for_process(request.pk, "p2") is None

    def test_closed_and_unknown_requests_are_not_reserved(self, serve):
        request = serve()
        retract_request(request.pk, "tester", "no")
        assert reserve_for_process(request.pk, "p1") is None
        assert reserve_for_process(-1, "p1") is None

    def test_who_failed_comes_last(self, serve, add_offer):
        add_offer("second model", "empirical_model", kind="internal")
        request = serve()
        first = reserve_for_process(request.pk, "p1")
        release_request(request.pk, first.holder, "attempt 1 failed", has_failed=True)
        second = reserve_for_process(request.pk, "p1")
        assert second.tenant != first.tenant
        release_request(request.pk, second.holder, "attempt 2 failed", has_failed=True)
        assert reserve_for_process(request.pk, "p1").tenant == first.tenant

    def test_a_deactivated_tenant_gets_nothing_that_is_given_back(self, serve):
        from aiida_finales.broker.registration import switch_tenant

        request = serve()
        reservation = reserve_for_process(request.pk, "p1")
        switch_tenant("model", is_active=False)
        assert read_state(request.pk)["holder"] == reservation.holder
        release_request(request.pk, reservation.holder, "failed")
        assert reserve_for_process(request.pk, "p1") is None
        assert recheck_pending("test") == 0


class TestTrouble:
    @pytest.fixture
    def pair(self, desk, add_offer, make_request):
        """Two requests for an internal tenant that serves one at a time; the older one is held."""
        add_offer("machine", kind="internal", slots=1)
        older, younger = (post_request(make_request(), "tester") for _ in range(2))
        assert reserve_for_process(older.pk, "one") is not None
        assert reserve_for_process(younger.pk, "two") is None
        return older, younger

    def test_what_waits_for_an_operator_does_not_block_the_others(self, pair):
        older, younger = pair
        mark_needs_operator(older.pk, "process:one", "it hangs")
        assert reserve_for_process(younger.pk, "two") is not None

    def test_after_the_operator_it_goes_on_with_the_same_attempt(self, pair):
        older, _ = pair
        mark_needs_operator(older.pk, "process:one", "it hangs")
        assert reserve_for_process(older.pk, "one") is None
        resume_request(older.pk, "operator:eve", "looked")
        again = reserve_for_process(older.pk, "one")
        assert (again.holder, again.attempt) == ("process:one", 1)
        with pytest.raises(StatusError, match="no operator is waited for"):
            resume_request(older.pk, "operator:eve", "looked")

    def test_a_device_that_is_away_is_left_alone_for_longer_each_time(self, pair):
        older, younger = pair
        for expected in (10.0, 20.0, 40.0):
            assert postpone_request(older.pk, "process:one", "away", 10.0, 600.0)
            state = read_state(older.pk)
            assert state["status"] == "pending"
            (record,) = state["away"].values()
            assert record["until"] - time.time() == pytest.approx(expected, abs=2.0)
            assert postpone_request(older.pk, "process:one", "away", 10.0, 600.0), "run again after a kill"
            assert read_state(older.pk) == state
            assert list(find_free_slots(open_states())) == [younger.pk]
            _let_pauses_end(older.pk, 0.0)
            assert reserve_for_process(older.pk, "one") is not None

    def test_a_clock_that_is_set_back_by_a_day_leaves_no_device_alone_for_a_day(self, pair):
        older, _ = pair
        assert postpone_request(older.pk, "process:one", "away", 10.0, 600.0)
        assert older.pk not in find_free_slots(open_states())
        _let_pauses_end(older.pk, time.time() + 86400.0)
        assert older.pk in find_free_slots(open_states())

    def test_another_tenant_may_take_what_one_is_away_for(self, pair, add_offer):
        older, _ = pair
        other = add_offer("another machine", kind="internal", slots=1)
        recheck_pending("tests")
        assert postpone_request(older.pk, "process:one", "away", 10.0, 600.0)
        assert reserve_for_process(older.pk, "one").tenant == other.tenant_uuid

    def test_patience_ends(self, pair):
        older, _ = pair
        assert postpone_request(older.pk, "process:one", "away", 0.0, 0.05)
        time.sleep(0.1)
        assert reserve_for_process(older.pk, "one") is not None
        assert not postpone_request(older.pk, "process:one", "away", 0.0, 0.05)
        assert read_state(older.pk)["status"] == "reserved"


def _let_pauses_end(pk, moment):
    def decide(state):
        away = {tenant: {**record, "until": moment} for tenant, record in state["away"].items()}
        return {**state, "away": away}, "tester", "time has passed"

    change_state(pk, decide)


def test_what_came_with_a_package_is_not_open_here(post, candidate_of):
    """It is answered on the platform that it was posted on: nobody here sees, reserves, retracts or waits for it."""
    mine, theirs = post(), post()
    theirs.base.extras.set(IMPORTED, True)
    both = {mine.pk, theirs.pk}
    assert both & set(open_states()) == {mine.pk}
    assert both & {node.pk for node, _ in list_requests(("pending",))} == {mine.pk}
    assert [row.status for row in list_request_rows(Selection()) if row.pk in both] == ["pending", "retracted"]
    with pytest.raises(StatusError, match="belongs to the platform"):
        reserve_request(theirs.pk, "alice", candidate_of(mine.pk, "robot"))
    with pytest.raises(StatusError, match="post it again"):
        retract_request(theirs.pk, "alice", "no longer needed")
    row = detail_request(theirs)
    assert (row["status"], "belongs to the platform" in row["reason"], row["waits"]) == ("retracted", True, None)


def test_requests_are_listed_by_the_status_that_people_see(post, candidate_of, make_answer):
    """A request with an answer is resolved for everybody, before its process has made the result."""
    request = post()
    reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
    answer_request(request.pk, "alice", make_answer())
    assert request.pk in {node.pk for node, _ in list_requests(("resolved",))}
    assert request.pk not in {node.pk for node, _ in list_requests(("reserved", "pending"))}
    assert describe_request(request)["status"] == "resolved"
