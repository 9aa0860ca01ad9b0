"""A request as people read it."""

from __future__ import annotations

import pytest

from aiida_finales.broker.requests import post_request
from aiida_finales.operations.request.records import describe_request
from aiida_finales.schemas.finales_form import NOBODY


@pytest.mark.parametrize(
    ("requester", "who", "told"),
    [
        (NOBODY, "user:alice", "alice"),  # as published clients ask
        ("", "user:alice", "alice"),
        ("campaign-7", "user:alice", "campaign-7"),
        ("", "", "somebody without a name"),
    ],
)
def test_who_asks_for_nobody_is_who_posted(desk, add_offer, make_request, requester, who, told) -> None:
    add_offer("robot")
    request = make_request(requester=requester)
    post_request(request, who=who)
    assert describe_request(request)["requester"] == told


def test_a_tenant_that_asks_is_told_by_name(desk, add_offer, make_request) -> None:
    tenant = add_offer("robot")
    request = make_request(requester=tenant.tenant_uuid)
    post_request(request, who="user:alice")
    assert describe_request(request)["requester"] == "robot"
