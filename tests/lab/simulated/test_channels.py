"""The channels of a cycler, without a driver around them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, DeviceUnavailableError
from aiida_finales.lab.simulated.channels import ChannelPool, Run


@pytest.fixture
def pool(tmp_path):
    return ChannelPool(tmp_path, 8)


def run(cell="cell-1", n_cycles=200):
    return Run(cell, n_cycles, {"c_rate": 1.0})


def test_all_or_none(pool):
    assert pool.reserve(5, "a") == [1, 2, 3, 4, 5]
    with pytest.raises(DeviceUnavailableError, match=r"3 of 8 are free; the others are held by a \(5\)"):
        pool.reserve(4, "b")
    assert pool.free == [6, 7, 8]
    with pytest.raises(DeviceLimitationError, match="the cycler has 8"):
        pool.reserve(9, "c")


def test_threads_never_oversell(pool):
    def try_to_reserve(index):
        try:
            return ChannelPool(pool.path.parent, 8).reserve(2, f"key-{index}")
        except DeviceUnavailableError:
            return []

    with ThreadPoolExecutor(12) as executor:
        sold = [channel for channels in executor.map(try_to_reserve, range(12)) for channel in channels]
    assert sorted(sold) == list(range(1, 9))


def test_the_same_reservation_twice_is_one(pool):
    assert pool.reserve(3, "a") == pool.reserve(3, "a")
    assert len(pool.free) == 5
    with pytest.raises(DeviceInputError, match="is for 3 channels, 4"):
        pool.reserve(4, "a")


def test_a_channel_is_free_when_its_cell_is_through(pool):
    pool.reserve(2, "a", n_cycles=200)
    assert pool.take("a", run(n_cycles=40)).channel == 1
    assert pool.free == [3, 4, 5, 6, 7, 8]
    place = pool.take("a", run())
    assert (place.channel, place.n_before, place.n_cycles) == (1, 40, 200)
    assert pool.free == [1, 3, 4, 5, 6, 7, 8]
    assert pool.take("a", run("cell-2")).channel == 2


def test_without_a_number_of_cycles_a_channel_is_kept(pool):
    pool.reserve(1, "a")
    pool.take("a", run())
    assert 1 not in pool.free
    assert pool.release("a") == []
    assert 1 in pool.free
    pool.take("a", run(n_cycles=100))
    with pytest.raises(DeviceLimitationError, match="is for 200"):
        pool.take("a", run(n_cycles=201))


def test_a_channel_that_was_sold_again_is_not_taken_back(pool):
    pool.reserve(1, "a", n_cycles=200)
    pool.take("a", run())
    assert pool.reserve(8, "b") == list(range(1, 9))
    assert pool.take("a", run(n_cycles=40)).n_before == 200, "what is there can be read"
    with pytest.raises(DeviceLimitationError, match="no channel left for cell-2"):
        pool.take("a", run("cell-2"))


def test_what_fails_changes_nothing(pool):
    pool.reserve(1, "a")
    before = pool.path.read_text()
    with pytest.raises(DeviceInputError, match="the latest are a"):
        pool.take("b", run())
    assert pool.path.read_text() == before
