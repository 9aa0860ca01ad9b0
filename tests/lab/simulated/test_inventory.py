"""The things of the simulated laboratory: found, changed as a whole or not at all, never lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal

import pytest

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.reading import make_location
from aiida_finales.lab.simulated import inventory as module
from aiida_finales.lab.simulated.inventory import Inventory, Thing, create_laboratory
from aiida_finales.lab.simulated.laboratory import default_laboratory


@pytest.fixture
def inventory(tmp_path):
    return create_laboratory(tmp_path / "laboratory", stock_volume_mL=100.0, n_parts=64)


def vial(identity="vial-1", amount=4.0, **content):
    return Thing(identity, "vial", make_location("ASAB"), ("stock-EMC",), {"amount_mL": amount} | content)


def test_a_new_laboratory_has_bottles_and_boxes(inventory):
    stocks = inventory.find("stock", "ASAB")
    assert {thing.content["name"] for thing in stocks} == {stock.name for stock in default_laboratory().stocks}
    assert {thing.content["amount_mL"] for thing in stocks} == {100.0}
    assert inventory.get("stock-LiPF6-in-EC-EMC").content["fractions"] == default_laboratory().stocks[0].fractions
    assert {thing.content["count"] for thing in inventory.find("consumable", "AutoBASS")} == {64}
    assert len(inventory.find()) == 8 + 7


def test_making_it_again_changes_nothing(inventory):
    inventory.update("stock-EMC", "used", amount_mL=3.0)
    before = inventory.find()
    assert create_laboratory(inventory.folder, stock_volume_mL=500.0).find() == before


def test_a_thing_comes_back_as_it_was_put(inventory):
    inventory.add(vial(fractions={"x": 1.0}))
    thing = inventory.get("vial-1")
    assert (thing.kind, thing.parents, thing.content) == (
        "vial",
        ("stock-EMC",),
        {"amount_mL": 4.0, "fractions": {"x": 1}},
    )
    assert [event["what"] for event in thing.history] == ["made at ASAB"]


def test_what_happens_is_in_the_history(inventory):
    inventory.add(vial())
    inventory.move("vial-1", make_location("AutoBASS", "tray"), "carried")
    inventory.update("vial-1", "opened", amount_mL=3.0)
    with inventory.change("vial-1") as draft:
        draft.content["amount_mL"] -= 1.0
        draft.location["detail_1"] = "shelf"
        draft.what = "used"
    thing = inventory.get("vial-1")
    assert thing.content == {"amount_mL": 2.0}
    assert thing.location == make_location("AutoBASS", "shelf")
    assert [event["what"] for event in thing.history] == ["made at ASAB", "carried", "opened", "used"]


def test_adding_the_same_twice_is_once(inventory):
    inventory.add(vial())
    inventory.update("vial-1", "opened", amount_mL=1.0)
    inventory.add(vial())
    assert inventory.get("vial-1").content == {"amount_mL": 1.0}


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (vial(amount=5.0), "exists since .* as something else"),
        (Thing("vial-1", "cell", make_location("ASAB")), "as something else"),
        (Thing("pump", "device", make_location("ASAB")), "accepted are stock, vial, cell, consumable"),
        (Thing("../vial", "vial", make_location("ASAB")), "key '../vial' was given"),
    ],
    ids=["other content", "other kind", "no such kind", "no file name"],
)
def test_what_cannot_be_added(inventory, thing, words):
    inventory.add(vial())
    with pytest.raises(DeviceInputError, match=words):
        inventory.add(thing)


def test_an_unknown_thing_is_named_with_some_that_exist(inventory):
    with pytest.raises(DeviceInputError, match=r"'vial-9' is not in .*; there are box-anode, .* and 10 more"):
        inventory.get("vial-9")


def test_a_folder_that_is_no_laboratory(tmp_path):
    with pytest.raises(DeviceInputError, match="finales-lab init"):
        Inventory(tmp_path)


def test_more_than_there_is_cannot_be_taken(inventory):
    def take_too_much():
        with inventory.transaction("a") as change:
            change.take("stock-EC-EMC", "amount_mL", 1.0, "taken")
            change.take("stock-EMC", "amount_mL", 100.5, "taken")

    with pytest.raises(DeviceLimitationError, match=r"holds 100 \(amount_mL\), but 100.5 is needed"):
        take_too_much()
    assert {thing.content["amount_mL"] for thing in inventory.find("stock")} == {100.0}


def test_a_change_that_fails_changes_nothing(inventory):
    before = inventory.find()

    def fail():
        with inventory.transaction("a") as change:
            change.take("stock-EMC", "amount_mL", 1.0, "taken")
            change.add(vial())
            change.record("a", "asab", "dose")
            assert [thing.identity for thing in change.find("vial")] == ["vial-1"]
            raise RuntimeError("smoke")

    with pytest.raises(RuntimeError, match="smoke"):
        fail()
    assert inventory.find() == before
    assert inventory.read_ledger() == []


@pytest.mark.parametrize("n_writes", range(6))
def test_a_change_that_is_killed_is_whole_or_not_there(inventory, n_writes):
    """Killed after so many of its five writes: the change, two things, and twice the folder."""

    def die_in_the_middle():
        written = iter(range(n_writes))
        write = module.write_durably

        def write_some(path, payload):
            if next(written, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            write(path, payload)

        module.write_durably = write_some
        with inventory.transaction("a") as change:
            change.take("stock-EMC", "amount_mL", 4.0, "taken")
            change.add(vial())
            change.record("a", "asab", "dose")

    process = multiprocessing.get_context("fork").Process(target=die_in_the_middle)
    process.start()
    process.join()
    vials, left = inventory.find("vial"), inventory.get("stock-EMC").content["amount_mL"]
    is_done = n_writes > 0
    assert (len(vials), left, len(inventory.read_ledger())) == ((1, 96.0, 1) if is_done else (0, 100.0, 0))
    assert process.exitcode == (0 if n_writes >= 3 else -signal.SIGKILL)


def test_a_torn_line_of_the_ledger_is_written_again(inventory):
    inventory.record("a", "asab", "dose")
    line = {"time": "now", "key": "b", "device": "asab", "act": "dose", "pid": 1}
    (inventory.folder / "pending.json").write_text(json.dumps({"things": [], "lines": [line]}))
    with (inventory.folder / "ledger.jsonl").open("a") as stream:
        stream.write('{"time": "now", "ke')
    assert [entry["key"] for entry in inventory.read_ledger()] == ["a", "b"]
    inventory.record("c", "asab", "dose")
    assert [entry["key"] for entry in inventory.read_ledger()] == ["a", "b", "c"]


def test_a_change_completes_the_one_before(inventory):
    left = json.loads((inventory.folder / "things" / "stock-EMC.json").read_text()) | {"content": {"amount_mL": 7.0}}
    (inventory.folder / "pending.json").write_text(json.dumps({"things": [left], "lines": []}))
    with inventory.transaction("a") as change:
        change.take("stock-EMC", "amount_mL", 2.0, "taken")
    assert inventory.get("stock-EMC").content["amount_mL"] == 5.0


def take_ten(folder, name):
    for number in range(10):
        with Inventory(folder).transaction(f"{name}-{number}") as change:
            change.take("stock-EMC", "amount_mL", 0.5, "taken")
            change.record(f"{name}-{number}", "asab", "dose", volume=0.5)


def test_processes_that_take_at_once_lose_nothing(inventory):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=take_ten, args=(inventory.folder, name)) for name in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    thing = inventory.get("stock-EMC")
    assert thing.content["amount_mL"] == 80.0
    assert len(thing.history) == 41
    assert sum(line["volume"] for line in inventory.read_ledger()) == 20.0
