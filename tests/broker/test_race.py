"""Simultaneous processes on an SQLite database on disk."""

from __future__ import annotations

import pytest

from aiida_finales.broker.state import read_history, read_state


@pytest.fixture
def on_disk(aiida_config, aiida_profile_factory):
    """A profile in files, as `verdi presto` makes it, in WAL mode, without broker."""
    from aiida_finales.operations.platform.installation import setup_capabilities, use_write_ahead_log

    with aiida_profile_factory(aiida_config, storage_backend="core.sqlite_dos") as profile:
        assert use_write_ahead_log()
        setup_capabilities()
        yield profile


@pytest.mark.slow
def test_of_sixteen_simultaneous_clients_exactly_one_reserves(on_disk, run_race):
    pks, won = run_race("same", n_processes=16, n_requests=20)
    assert sorted(pk for mine in won for pk in mine) == pks
    for pk in pks:
        assert [entry.after for entry in read_history(pk)] == ["pending", "reserved"]
        assert read_state(pk)["serial"] == 1
        assert read_history(pk)[-1].who == read_state(pk)["holder"]


@pytest.mark.slow
def test_of_simultaneous_processes_one_simulates_and_the_others_find_it(on_disk, run_race):
    _, claims = run_race("runs", n_processes=6, n_requests=8)
    owners, found = {claim[0] for claim in claims}, [claim[1:] for claim in claims]
    assert len(owners) == 6
    assert all(mine == found[0] for mine in found)
    assert set(found[0]) <= owners


@pytest.mark.slow
def test_eight_clients_and_fifty_requests_are_fifty_reservations(on_disk, run_race):
    pks, won = run_race("next", n_processes=8, n_requests=50)
    assert sorted(pk for mine in won for pk in mine) == pks


@pytest.mark.slow
def test_two_slots_are_never_exceeded_by_eight_servers(on_disk, run_race):
    pks, held = run_race("slots", n_processes=8, n_requests=24, kind="internal", slots=2)
    numbers = [number for mine in held for number in mine]
    assert len(numbers) == len(pks)
    assert max(numbers) <= 2
    assert {read_state(pk)["status"] for pk in pks} == {"retracted"}
