"""The statuses of requests, results and samples, and which changes between them are permitted."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from aiida_finales.exceptions import StatusError


class RequestStatus(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    RESERVED = "reserved"
    RESOLVED = "resolved"
    RETRACTED = "retracted"
    UNSOLICITED = "unsolicited"


class ResultStatus(StrEnum):
    """Whether a result still counts."""

    ORIGINAL = "original"
    AMENDED = "amended"
    DELETED = "deleted"


class SampleStatus(StrEnum):
    """Whether a sample can be trusted."""

    GOOD = "good"
    INVALID = "invalid"


#: every permitted change of a request; anything else is refused
REQUEST_TRANSITIONS: dict[RequestStatus | None, frozenset[RequestStatus]] = {
    None: frozenset({RequestStatus.PENDING, RequestStatus.UNSOLICITED}),
    RequestStatus.PENDING: frozenset({RequestStatus.RESERVED, RequestStatus.RETRACTED}),
    RequestStatus.RESERVED: frozenset(
        # reserved -> reserved: the holder renews its lease or hands in its answer
        {RequestStatus.RESERVED, RequestStatus.PENDING, RequestStatus.RESOLVED, RequestStatus.RETRACTED}
    ),
    RequestStatus.RESOLVED: frozenset(),
    RequestStatus.RETRACTED: frozenset(),
    RequestStatus.UNSOLICITED: frozenset(),
}

#: every permitted change of a result
RESULT_TRANSITIONS: dict[ResultStatus, frozenset[ResultStatus]] = {
    ResultStatus.ORIGINAL: frozenset({ResultStatus.AMENDED, ResultStatus.DELETED}),
    ResultStatus.AMENDED: frozenset({ResultStatus.AMENDED, ResultStatus.DELETED}),
    ResultStatus.DELETED: frozenset({ResultStatus.AMENDED}),
}

#: every permitted change of a sample
SAMPLE_TRANSITIONS: dict[SampleStatus, frozenset[SampleStatus]] = {
    # good -> good, invalid -> invalid: it is carried somewhere
    SampleStatus.GOOD: frozenset({SampleStatus.GOOD, SampleStatus.INVALID}),
    SampleStatus.INVALID: frozenset({SampleStatus.INVALID}),
}


def published_status(state: Mapping[str, Any]) -> str | None:
    """Return the status of a request as it is told: with an answer it is resolved.

    Its process makes the result of the answer a moment later, or when the daemon runs again, and confirms. Until then
    the request stays reserved for it; to whoever asks, the first answer that was taken is the end, as it is for clients
    of the published platform.
    """
    if state.get("status") == RequestStatus.RESERVED.value and state.get("answer"):
        return RequestStatus.RESOLVED.value
    return state.get("status")


def check_request_change(before: str | None, after: RequestStatus) -> None:
    """Refuse what is not permitted.

    :raises StatusError: naming the current status and what may follow it.
    """
    current = RequestStatus(before) if before else None
    allowed = REQUEST_TRANSITIONS[current]
    if after not in allowed:
        may = f"which may become {', '.join(sorted(allowed))}, but not" if allowed else "which is its end: it is not"
        raise StatusError(f"the request is {before or 'not posted'}, {may} {after}{'' if allowed else ' any more'}")


def check_result_change(before: str, after: ResultStatus) -> None:
    """Refuse what is not permitted.

    :raises StatusError: naming the current status and what may follow it.
    """
    allowed = RESULT_TRANSITIONS[ResultStatus(before)]
    if after not in allowed:
        may = ", ".join(sorted(allowed))
        raise StatusError(f"the result is {before}, which may become {may}, but not {after}")


def check_sample_change(before: str, after: SampleStatus) -> None:
    """Refuse what is not permitted.

    :raises StatusError: when a sample that is invalid is to be good again: make a new one instead.
    """
    if after not in SAMPLE_TRANSITIONS[SampleStatus(before)]:
        raise StatusError(f"the sample is {before}, which cannot become {after}: register a new sample instead")
