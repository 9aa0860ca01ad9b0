"""What each tenant does now, and what each did, as rows and as bars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiida_finales.broker.holding import Book, Holding
from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.requests import open_states, post_request
from aiida_finales.broker.reservation import mark_needs_operator, postpone_request, reserve_request
from aiida_finales.broker.samples import register_sample
from aiida_finales.broker.sight import Hidden, without
from aiida_finales.exceptions import InputError
from aiida_finales.operations.laboratory import devices, timeline
from aiida_finales.operations.laboratory.devices import age_words, learn_usual, read_laboratory
from aiida_finales.operations.laboratory.things import Probe, ask, list_places, list_probes
from aiida_finales.operations.laboratory.timeline import draw_timeline

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def look(desk, add_offer):
    """Return a function that gives the row of the tenant ``robot`` now."""
    add_offer("robot")

    def do():
        found = read_laboratory(Book(), open_states())
        return next(row for row in found["tenants"] if row["name"] == "robot")

    return do


@pytest.fixture
def hold(make_request, candidate_of):
    def do():
        pk = post_request(make_request(requester="alice"), "tester").pk
        reserve_request(pk, "client", candidate_of(pk, "robot"), lease=600)
        return pk

    return do


def test_a_tenant_is_idle_then_waited_for_then_at_work(look, make_request, candidate_of):
    """The states follow what happens to one request."""
    assert look()["state"] == "idle"
    pk = post_request(make_request(requester="alice"), "tester").pk
    row = look()
    assert (row["state"], row["n_waiting"]) == ("waited for", 1)
    assert row["waiting_since"]
    reserve_request(pk, "client", candidate_of(pk, "robot"), lease=600)
    row = look()
    (work,) = row["work"]
    assert (row["state"], row["n_waiting"], row["n_held"]) == ("works", 0, 1)
    assert (work["pk"], work["what"], work["for"]) == (pk, "conductivity by two_electrode", "alice")
    assert work["lease_until"] > work["since"]
    assert "LiPF6 0.0800" in work["of"]


def test_what_needs_somebody_comes_before_what_works(look, hold):
    """One of two requests is in doubt: that is what the tenant is shown as."""
    first, second = hold(), hold()
    mark_needs_operator(second, "client", "it may have dosed")
    row = look()
    assert row["state"] == "needs operator"
    assert [item["pk"] for item in row["work"]] == [second, first]
    assert row["work"][0]["words"] == "it may have dosed"


def test_one_that_is_away_says_why_and_until_when(look, hold):
    pk = hold()
    assert postpone_request(pk, "client", "the valve is stuck", pause=60.0, patience=600.0)
    row = look()
    assert row["state"] == "away"
    assert "the valve is stuck" in row["away"]
    assert row["n_waiting"] == 1


def test_one_that_was_switched_off_is_off(look):
    switch_tenant("robot", is_active=False)
    assert look()["state"] == "off"


def test_what_one_may_not_see_is_counted_and_not_told(look, hold):
    """A device that works for somebody else is not idle, but nothing of the request is told."""
    pk = hold()
    with without(Hidden(frozenset({pk}))):
        row = look()
        found = read_laboratory(Book(), open_states())
    assert row["state"] == "works"
    assert row["work"][0]["pk"] is None
    assert "alice" not in str(row)
    assert found["n_hidden"] >= 1


def holding(tenant, begin, end, outcome="resolved", quantity="conductivity"):
    """Return a holding; begin and end in min before now."""
    moments = (None if minutes is None else NOW - timedelta(minutes=minutes) for minutes in (begin, end))
    first, last = moments
    return Holding(1, "uuid", quantity, tenant, first, last, outcome)


def test_the_usual_time_is_the_median_of_what_was_resolved():
    """What was taken back says nothing, nor what has not ended."""
    rows = [holding("a", 10, 8), holding("a", 10, 6), holding("a", 60, 0), holding("a", 9, 0, "retracted")]
    rows.append(holding("a", 5, None, ""))
    assert learn_usual(rows) == {("a", "conductivity"): 240.0}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (91, "2 min"), (5400, "1 h 30 min"), (200000, "2 d 7 h")]
)
def test_durations_in_words(seconds, words):
    assert age_words(seconds) == words


def tenant(uuid="a", **more):
    return {"name": f"tenant {uuid}", "tenant_uuid": uuid, "n_waiting": 0, "waiting_since": None, **more}


def draw(holdings, *tenants, failed=()):
    drawing = timeline._Drawing(NOW - timedelta(hours=1), NOW, set(failed))
    return drawing.draw(holdings, tenants)


def test_bars_lie_where_their_time_is():
    """Half an hour ago is in the middle of the hour, short of the margin after now."""
    (lane,) = draw([holding("a", 30, 15)], tenant())
    (bar,) = lane["bars"]
    assert bar["x"] == pytest.approx(0.5 * (1 - timeline.MARGIN), abs=1e-4)
    assert bar["width"] == pytest.approx(0.25 * (1 - timeline.MARGIN), abs=1e-4)
    assert (bar["kind"], bar["uuid"]) == ("done", "uuid")


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (holding("a", 5, None, ""), "runs"),
        (holding("a", 5, 4, "pending"), "ended"),
        (holding("a", 5, 4, "retracted"), "ended"),
        (holding("a", None, 4), "done"),
    ],
)
def test_kinds_of_bars(item, kind):
    assert draw([item], tenant())[0]["bars"][0]["kind"] == kind


def test_a_method_that_failed_is_told_from_one_that_worked():
    assert draw([holding("a", 5, 4)], tenant(), failed=("uuid",))[0]["bars"][0]["kind"] == "failed"


def test_work_at_the_same_time_lies_in_rows_of_its_own():
    """Six at once take the rows that there are; the others lie upon each other in the last."""
    (lane,) = draw([holding("a", 30, 10) for _ in range(6)], tenant())
    assert sorted(bar["row"] for bar in lane["bars"]) == [0, 1, 2, 3, 3, 3]
    assert lane["rows"] == timeline.ROWS


def test_thousands_of_short_pieces_are_as_many_bars_as_can_be_seen():
    """However many requests there are, the figure stays small."""
    short = [holding("a", 60 - number * 0.012, 60 - number * 0.012 - 0.01) for number in range(5000)]
    (lane,) = draw(short, tenant())
    assert lane["n"] == 5000
    assert len(lane["bars"]) <= 1 / timeline.FINEST


def test_what_waits_is_a_bar_of_its_own():
    (lane,) = draw([], tenant(n_waiting=3, waiting_since=(NOW - timedelta(minutes=6)).isoformat()))
    (bar,) = lane["bars"]
    assert bar["kind"] == "waits"
    assert "3 requests could be taken" in bar["words"]


def test_a_span_that_is_none_is_refused(desk):
    with pytest.raises(InputError, match="accepted are hour, day, week"):
        draw_timeline(Book(), "century", [])


def test_samples_are_counted_by_place(desk):
    for number in range(3):
        register_sample(f"places-{number}", "vial", {"address": "shelf of the test"})
    row = next(item for item in list_places() if item["address"] == "shelf of the test")
    assert (row["kinds"], row["n_invalid"]) == ({"vial": 3}, 0)


def test_drivers_tell_what_is_left_and_what_is_on_channels(laboratory):
    """The driver of the simulated robot is asked as a program, and tells of its bottles."""
    (probe,) = [item for item in list_probes() if item.tenant == "asab-simulated"]
    told = ask(probe)
    assert told["tenant"] == "asab-simulated"
    bottles = {item["name"]: (item["amount"], item["unit"]) for item in told["stocks"]}
    assert bottles["EMC"] == (1000.0, "mL")


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 64", "tells no status"), ("echo nothing", "no JSON object"), ("echo [1]", "no JSON object")],
)
def test_a_driver_that_tells_nothing_says_so(script, words):
    assert words in ask(Probe("x", ("bash", "-c", script)))["words"]


def test_a_driver_that_is_not_there_says_so():
    assert "does not answer" in ask(Probe("x", ("/nowhere/driver",)))["words"]
    told = ask(Probe("x", (), "it is elsewhere"))
    assert (told["words"], told["stocks"], told["channels"]) == ("it is elsewhere", [], [])


def test_states_are_those_that_the_pages_know():
    from aiida_finales.server.pages.page import kind_of_state

    assert [state for state in devices.STATES if kind_of_state(state) == "plain"] == []
