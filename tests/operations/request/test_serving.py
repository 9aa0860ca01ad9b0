"""A request is posted and its process submitted."""

from __future__ import annotations

import pytest

from aiida_finales.broker import matching
from aiida_finales.broker.requests import read_candidates
from aiida_finales.broker.state import read_state
from aiida_finales.exceptions import DaemonError, LimitationError
from aiida_finales.operations.request import serving


@pytest.fixture
def matched(monkeypatch):
    """The quantities that were matched, in their order."""
    found, match = [], matching.match
    monkeypatch.setattr(matching, "match", lambda *asked: found.append(asked[0]) or match(*asked))
    return found


def refuse():
    raise DaemonError("no daemon")


def test_a_request_is_matched_once(desk, add_offer, make_request, matched, monkeypatch):
    tenant = add_offer("robot")
    monkeypatch.setattr(serving, "connect_to_daemon", lambda: None)
    monkeypatch.setattr(serving, "start_process", lambda request: request)
    request = serving.submit_request(make_request())
    assert matched == ["conductivity"]
    assert [item.tenant for item in read_candidates(read_state(request.pk))] == [tenant.tenant_uuid]


def test_what_nobody_can_do_is_refused_for_that_reason_without_a_daemon(desk, add_offer, make_request, monkeypatch):
    add_offer("robot")
    monkeypatch.setattr(serving, "connect_to_daemon", refuse)
    with pytest.raises(LimitationError, match="temperature is 500"):
        serving.submit_request(make_request(temperature=500.0))


def test_without_a_daemon_nothing_is_stored(desk, add_offer, make_request, count_nodes, monkeypatch):
    add_offer("robot")
    monkeypatch.setattr(serving, "connect_to_daemon", refuse)
    before = count_nodes()
    with pytest.raises(DaemonError):
        serving.submit_request(make_request())
    assert count_nodes() == before
