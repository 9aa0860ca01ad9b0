"""Calls made of the server's own description, as it allows and as it forbids: none meets a defect of the server."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

#: never ends, starts a program for each call, or ends the session; other tests call them
LEFT_OUT = {"/v1/events", "/database_dump/{access_key}", "/v1/logout"}
BASE = "http://testserver"


def calls_of(operation, uuid):
    """Return calls of an operation, half of them about a request that exists."""
    names = {item.name for item in operation.path_parameters} & {"uuid", "object_id", "request_id"}
    places = st.sampled_from([None, dict.fromkeys(names, uuid)] if names else [None])
    chosen = st.tuples(st.sampled_from(list(GenerationMode)), places)
    return chosen.flatmap(lambda drawn: operation.as_strategy(drawn[0], path_parameters=drawn[1]))


@pytest.fixture
def fuzz(app, sovereign, posted):
    """Return a function that makes so many calls of each operation."""
    description = schemathesis.openapi.from_dict(app.openapi())
    operations = [found.ok() for found in description.get_all_operations() if found.ok().path not in LEFT_OUT]
    assert len(operations) > 40
    statuses = set()

    def send(case):
        call = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
        reply = sovereign.request(call.method, call.url, content=call.body, headers=dict(call.headers))
        case.validate_response(reply, checks=[not_a_server_error])
        statuses.add(reply.status_code)

    def run(n_examples):
        choose = settings(
            max_examples=n_examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
        )
        for operation in operations:
            choose(given(calls_of(operation, posted))(send))()
        assert {200, 400, 404, 409, 422} <= statuses  # neither refused at the door nor all alike

    return run


def test_no_call_meets_a_defect(fuzz):
    fuzz(3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_none_of_many_calls_meets_a_defect(fuzz):
    fuzz(200)
