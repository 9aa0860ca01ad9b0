"""Every change of status, permitted or refused, through the functions that make it."""

from __future__ import annotations

import pytest

from aiida_finales.broker.requests import post_request, retract_request
from aiida_finales.broker.reservation import (
    answer_request,
    expire_lease,
    release_request,
    reserve_request,
    resolve_request,
)
from aiida_finales.broker.results import amend_result, delete_result
from aiida_finales.broker.state import change_state, read_history, read_state
from aiida_finales.broker.status import REQUEST_TRANSITIONS, RESULT_TRANSITIONS, RequestStatus, ResultStatus
from aiida_finales.exceptions import StatusError

STATUSES = (None, *RequestStatus)


@pytest.fixture
def offered(registered, add_offer):
    add_offer("robot")


@pytest.fixture
def bring(offered, make_request, make_result, candidate_of):
    """Return a function that makes a request of a given status."""

    def _bring(status):
        request = make_request()
        if status is None:
            return request.store()
        if status is RequestStatus.UNSOLICITED:
            request.store()
            change_state(
                request.pk, lambda _: ({"status": status.value, "attempt": 0}, "tester", "a result came first")
            )
            return request
        post_request(request, "tester")
        if status in (RequestStatus.RESERVED, RequestStatus.RESOLVED):
            reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
        if status is RequestStatus.RESOLVED:
            resolve_request(request.pk, make_result().store(), "alice")
        if status is RequestStatus.RETRACTED:
            retract_request(request.pk, "tester", "not needed")
        return request

    return _bring


@pytest.fixture
def change(make_result, make_answer, add_offer):
    """Return a function that tries to give a request another status."""
    from aiida_finales.broker.matching import match

    def _change(request, status):
        candidate = match(request.quantity, request.parameters).candidates[0]
        actions = {
            RequestStatus.PENDING: lambda: release_request(request.pk, "alice", "no time"),
            RequestStatus.RESERVED: lambda: reserve_request(request.pk, "alice", candidate),
            RequestStatus.RESOLVED: lambda: resolve_request(request.pk, make_result().store(), "alice"),
            RequestStatus.RETRACTED: lambda: retract_request(request.pk, "tester", "not needed"),
        }
        actions[status]()

    return _change


#: asking for what is so already changes nothing and is no error: the call may be a repetition
REPEATED = {(RequestStatus.PENDING, RequestStatus.PENDING), (RequestStatus.RESOLVED, RequestStatus.RESOLVED)}
PAIRS = [(before, after) for before in STATUSES for after in RequestStatus if after is not RequestStatus.UNSOLICITED]


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair[0] or pair[1] != "pending"])
def test_change_of_a_request(bring, change, before, after):
    request = bring(before)
    old = read_state(request.pk)
    if (before, after) in REPEATED:
        change(request, after)
        assert read_state(request.pk) == old
    elif after in REQUEST_TRANSITIONS[before]:
        change(request, after)
        assert read_state(request.pk)["status"] == after
        assert read_state(request.pk)["serial"] == old["serial"] + 1
    else:
        with pytest.raises(StatusError, match=r"the request is \w+"):
            change(request, after)
        assert read_state(request.pk) == old


def test_posting_makes_pending_and_posting_again_nothing(bring):
    request = bring(None)
    assert read_state(request.pk) == {}
    post_request(request, "tester")
    assert read_state(request.pk)["status"] == "pending"
    state = read_state(request.pk)
    post_request(request, "another")
    assert read_state(request.pk) == state


@pytest.mark.parametrize("status", [RequestStatus.RESOLVED, RequestStatus.RETRACTED])
def test_posting_does_not_reopen(bring, status):
    request = bring(status)
    post_request(request, "tester")
    assert read_state(request.pk)["status"] == status


@pytest.mark.parametrize("status", [None, *RequestStatus])
def test_answers_are_taken_where_reserved_may_follow(bring, status, make_answer, candidate_of):
    request = bring(status)
    old = read_state(request.pk)
    answer = make_answer()
    if status in (RequestStatus.PENDING, RequestStatus.RESERVED):
        assert answer_request(request.pk, "alice", answer)["status"] == "reserved"
        assert read_state(request.pk)["answer"] == answer
    else:
        with pytest.raises(StatusError, match="not reserved"):
            answer_request(request.pk, "alice", answer)
        assert read_state(request.pk) == old


@pytest.mark.parametrize("status", [None, *RequestStatus])
def test_only_what_is_reserved_expires(bring, status):
    request = bring(status)
    change_state(
        request.pk, lambda state: ({**state, "lease_until": 1.0}, "test", "time has passed")
    ) if status else None
    assert expire_lease(request.pk) is (status is RequestStatus.RESERVED)
    assert read_state(request.pk).get("status") == ("pending" if status == "reserved" else status)


RESULT_PAIRS = [(before, after) for before in ResultStatus for after in (ResultStatus.AMENDED, ResultStatus.DELETED)]


@pytest.mark.parametrize(("before", "after"), RESULT_PAIRS)
def test_change_of_a_result(registered, make_result, before, after):
    functions = {ResultStatus.AMENDED: amend_result, ResultStatus.DELETED: delete_result}
    result = make_result().store()
    if before is not ResultStatus.ORIGINAL:
        functions[before](result.pk, "alice", "wrong bottle")
    assert read_state(result.pk)["status"] == before
    if after in RESULT_TRANSITIONS[before]:
        functions[after](result.pk, "bob", "looked again")
        assert read_state(result.pk)["status"] == after
        entry = read_history(result.pk)[-1]
        assert (entry.who, entry.before, entry.after, entry.why) == ("bob", before, after, "looked again")
    else:
        with pytest.raises(StatusError, match=f"the result is {before}, which may become"):
            functions[after](result.pk, "bob", "looked again")
        assert read_state(result.pk)["status"] == before


def test_nothing_becomes_original_again():
    assert all(ResultStatus.ORIGINAL not in allowed for allowed in RESULT_TRANSITIONS.values())
