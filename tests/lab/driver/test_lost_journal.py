"""A journal that was deleted, or restored from an old copy: whoever forgot what was done asks a person."""

from __future__ import annotations

import json
import shutil

import pytest

from aiida_finales.lab.driver import journal
from aiida_finales.lab.driver.command import HANDED, run_driver
from aiida_finales.lab.driver.template import Balance
from tests.lab.driver.test_template import Desk

#: when a key was handed over, where that is before any journal of these tests
LONG_AGO = "2020-01-01T00:00:00+00:00"


def forget(bench):
    """Delete the journal; what the device dosed stays known to the test."""
    doses = (bench.journal / "doses.jsonl").read_text()
    shutil.rmtree(bench.journal)
    bench.journal.mkdir()
    (bench.journal / "doses.jsonl").write_text(doses)


@pytest.mark.parametrize("fault", [None, "die_after_dose"], ids=["done", "died"])
def test_a_deleted_journal_does_not_let_a_key_dose_again(bench, make_order, fault):
    order = make_order(**({"fault": fault} if fault else {}))
    assert bench.run("a", order)[0] == (1 if fault else 0)
    forget(bench)
    status, log = bench.run("a", order)
    assert status == 76
    assert "the journal was deleted, or is an old copy" in log
    assert "--settle done|not-done" in log
    assert bench.call("a", order) == 76
    assert bench.doses() == {"a": 1}
    assert bench.call("b", make_order()) == 0, "what was never begun is no matter of doubt"


@pytest.mark.parametrize(("outcome", "doses"), [("done", 1), ("not-done", 2)])
def test_a_forgotten_key_is_settled_by_a_person_once(bench, order, outcome, doses):
    assert bench.call("a", order) == 0
    forget(bench)
    assert bench.call("a", order) == 76
    assert bench.settle("a", outcome) == 0
    assert bench.call("a", order) == 0
    assert bench.call("a", order) == 0
    assert bench.doses() == {"a": doses}


def test_a_person_who_knows_may_settle_before_the_key_is_asked_again(bench, order):
    assert bench.call("a", order) == 0
    forget(bench)
    assert bench.settle("a", "not-done") == 0
    assert bench.call("a", order) == 0


def test_an_old_copy_of_the_journal_does_not_let_a_key_dose_again(bench, make_order, order):
    """The copy knows an attempt that did not dose, and not the next one, which did."""
    assert bench.call("a", make_order(fault="fault_after_dose")) == 75
    assert bench.settle("a", "not-done") == 0
    shutil.copytree(bench.journal / "keys", bench.folder / "copy")
    assert bench.call("a", make_order(fault="fault_after_dose")) == 0
    assert bench.call("b", order) == 0
    shutil.rmtree(bench.journal / "keys")
    shutil.copytree(bench.folder / "copy", bench.journal / "keys")
    assert [bench.call("a", make_order(fault="fault_after_dose")), bench.call("b", order)] == [76, 76]
    assert bench.doses() == {"a": 2, "b": 1}


def test_a_computer_that_lost_both_records_is_told_that_the_key_was_handed_over_before(tmp_path, monkeypatch, capsys):
    desk = Desk(tmp_path)
    assert desk.call("a") == 0
    shutil.rmtree(desk.journal)
    shutil.rmtree(tmp_path / "journal.begun")
    monkeypatch.setenv(HANDED, LONG_AGO)
    assert desk.call("a") == 76
    assert f"the key was handed over at {LONG_AGO} already, and the journal began at" in capsys.readouterr().err
    assert not desk.tares()
    monkeypatch.delenv(HANDED)
    assert desk.call("b") == 0


def test_a_key_that_is_handed_over_again_acts_where_the_journal_is_whole(tmp_path, monkeypatch):
    """The first time it did not get as far as the device."""
    desk = Desk(tmp_path)
    assert desk.call("other") == 0
    monkeypatch.setenv(HANDED, "2199-01-01T00:00:00+00:00")
    assert desk.call("a") == 0
    assert desk.tares() == {"other": 1, "a": 1}


def test_the_second_record_may_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FINALES_BEGUN", str(tmp_path / "other disk"))
    desk = Desk(tmp_path)
    assert desk.call("a") == 0
    shutil.rmtree(desk.journal)
    assert desk.call("a") == 76
    assert not (tmp_path / "journal.begun").exists()


def test_a_second_record_that_is_lost_disturbs_nobody(tmp_path):
    desk = Desk(tmp_path)
    assert desk.call("a") == 0
    shutil.rmtree(tmp_path / "journal.begun")
    assert desk.call("a") == 0
    assert desk.call("b") == 0
    assert desk.tares() == {"a": 1, "b": 1}


def test_a_second_record_that_cannot_be_written_keeps_the_device_from_acting(tmp_path, monkeypatch):
    desk = Desk(tmp_path)
    write = journal.write_durably

    def refuse(path, payload):
        if path.parent.name == "journal.begun":
            raise OSError(30, "Read-only file system", str(path))
        write(path, payload)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_durably", refuse)
        assert desk.call("a") == 69
    assert not desk.tares()
    assert desk.call("another") == 0


def test_what_a_person_said_of_a_forgotten_key_stays_in_its_history(tmp_path):
    desk = Desk(tmp_path)
    assert desk.call("a") == 0
    shutil.rmtree(desk.journal)
    assert desk.call("a") == 76
    words = ["--settle", "done", "--reason", "the display shows 12.5 g", "--journal", str(desk.journal)]
    assert run_driver(Balance(), ["--key", "a", *words]) == 0
    entry = json.loads((desk.journal / "keys" / "a.json").read_text())
    assert [step["state"] for step in entry["history"]] == ["unknown", "done"]
    assert "lost" not in entry
