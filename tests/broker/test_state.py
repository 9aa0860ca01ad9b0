"""The compare-and-set of a node's state, and its history."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.broker.state import STATE, change_state, read_history, read_state
from aiida_finales.exceptions import StatusError


@pytest.fixture
def node(registered):
    return orm.Int(1).store()


def to(status, **more):
    return lambda state: ({**state, "status": status, **more}, "alice", f"now {status}")


def test_first_state_has_serial_zero_and_history(node):
    assert read_state(node.pk) == {}
    assert change_state(node.pk, to("pending")) == {"status": "pending", "serial": 0}
    assert read_state(node.pk) == {"status": "pending", "serial": 0}
    (entry,) = read_history(node.pk)
    assert (entry.who, entry.before, entry.after, entry.why) == ("alice", None, "pending", "now pending")
    assert entry.time.tzinfo is not None


def test_deciding_for_nothing_writes_nothing(node):
    change_state(node.pk, to("pending"))
    assert change_state(node.pk, lambda _: None)["serial"] == 0
    assert len(read_history(node.pk)) == 1


def test_refusing_writes_nothing(node):
    def refuse(_):
        raise StatusError("not today")

    with pytest.raises(StatusError, match="not today"):
        change_state(node.pk, refuse)
    assert read_state(node.pk) == {}
    assert read_history(node.pk) == []


def test_who_loses_the_race_decides_again_on_what_the_winner_wrote(node):
    change_state(node.pk, to("pending"))
    seen = []

    def decide(state):
        seen.append(dict(state))
        if len(seen) == 1:  # somebody is faster between reading and writing
            change_state(node.pk, to("reserved", holder="bob"))
        return {**state, "counter": state.get("counter", 0) + 1}, "alice", "counted"

    after = change_state(node.pk, decide)
    assert [state["serial"] for state in seen] == [0, 1]
    assert after == {"status": "reserved", "holder": "bob", "counter": 1, "serial": 2}
    assert [entry.who for entry in read_history(node.pk)] == ["alice", "alice", "alice"]


def test_endless_contention_is_an_error(node, monkeypatch):
    monkeypatch.setattr("aiida_finales.broker.state.ATTEMPTS", 3)

    def decide(state):
        change_state(node.pk, lambda inner: (inner, "bob", "busy"))
        return state, "alice", "never"

    with pytest.raises(StatusError, match="in 3 attempts: too many writers"):
        # the inner changes must succeed at their first attempt, the outer one never does
        change_state(node.pk, decide)
    assert "alice" not in {entry.who for entry in read_history(node.pk)}


def test_other_extras_survive(node):
    node.base.extras.set("mine", {"a": [1, 2]})
    change_state(node.pk, to("pending"))
    extras = orm.QueryBuilder().append(orm.Int, filters={"id": node.pk}, project="extras").first(flat=True)
    assert extras["mine"] == {"a": [1, 2]}
    assert extras[STATE] == {"status": "pending", "serial": 0}


@pytest.mark.parametrize("text", ["it's", 'say "no"', "50 % off; drop table", "µS/cm ± 2 °C", "a\nb\\c", ":name"])
def test_any_text_is_kept(node, text):
    change_state(node.pk, lambda _: ({"status": "pending", "reason": text}, text, text))
    assert read_state(node.pk)["reason"] == text
    assert read_history(node.pk)[0].why == text


def test_change_and_history_are_one(node, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("aiida_finales.broker.state.append_history", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        change_state(node.pk, to("pending"))
    assert read_state(node.pk) == {}
