"""What a person does in the simulated laboratory with ``finales-lab``."""

from __future__ import annotations

import json
import math
import time

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.lab.simulated.faults import FAULTS
from aiida_finales.lab.simulated.manage import default_folder, run
from aiida_finales.lab.simulated.settings import Clock


@pytest.fixture
def manage(tmp_path):
    def call(*arguments):
        return run([*map(str, arguments), "--inventory", str(tmp_path / "laboratory")])

    return call


def test_from_nothing_to_a_refilled_bottle(manage, capsys):
    assert manage("init", "--stock-volume", 50, "--parts", 20) == 0
    assert "stock-LiPF6-in-EC-EMC" in capsys.readouterr().out
    assert manage("refill", "stock-EMC", 25.5) == 0
    assert "75.5 mL" in capsys.readouterr().out
    assert manage("refill", "box-cap", 10) == 0
    assert "30 parts" in capsys.readouterr().out
    assert manage("show", "stock-EMC") == 0
    assert "filled up by 25.5" in capsys.readouterr().out
    assert manage("init") == 0
    assert "75.5 mL" in capsys.readouterr().out


def test_bottles_of_another_laboratory(manage, tmp_path, capsys):
    file = tmp_path / "ours.yaml"
    file.write_text("stock_solutions: {salty: 1 M LiPF6 in EC:DMC 1:1 w/w, thin: DMC}")
    assert manage("init", "--laboratory", file) == 0
    assert capsys.readouterr().out.count("1000.0 mL") == 2
    assert manage("init", "--laboratory", tmp_path / "theirs.yaml") == 64
    assert "does not exist" in capsys.readouterr().err


def test_json_is_json(manage, capsys):
    assert manage("init", "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 15
    assert manage("show", "--kind", "stock", "--format", "json") == 0
    assert {thing["kind"] for thing in json.loads(capsys.readouterr().out)} == {"stock"}
    assert manage("show", "--address", "Cycler", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert manage("fault", "--format", "json") == 0
    assert [fault["name"] for fault in json.loads(capsys.readouterr().out)] == list(FAULTS)


def test_a_fault_is_ordered(manage, capsys):
    assert manage("init") == 0
    capsys.readouterr()
    assert manage("fault", "clogged_line", "--device", "asab", "--times", 3) == 0
    assert capsys.readouterr().out == "asab: clogged_line, 3 times\n"


WRONG_USE = {
    "no command": ([], "required: command"),
    "unknown": (["tidy"], "invalid choice"),
    "no laboratory": (["show"], "make one: finales-lab init"),
    "no thing": (["init", "refill", "bottle-9", "5"], "'bottle-9' is not in"),
    "text": (["init", "refill", "stock-EMC", "much"], "see finales-lab refill --help"),
    "negative": (["init", "refill", "stock-EMC", "-5"], "amount: -5.0 was given, accepted is a number from 0"),
    "infinite": (["init", "refill", "stock-EMC", "inf"], "amount: inf was given"),
    "no device": (["init", "fault", "clogged_line"], "fault 'clogged_line' of None"),
    "no fault": (["init", "fault", "flood", "--device", "asab"], "accepted are device_unavailable"),
    "no volume": (["init", "--stock-volume", "nan"], "--stock-volume: nan was given"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_is_refused(manage, tmp_path, capsys, arguments, words):
    if arguments[:1] == ["init"] and len(arguments) > 1 and not arguments[1].startswith("--"):
        assert manage("init") == 0
        arguments = arguments[1:]
    status = manage(*arguments) if arguments else run([])
    assert status == 64
    assert words in capsys.readouterr().err


def test_only_bottles_and_boxes_are_filled_up(lab, capsys):
    vial = lab.fill_vial()
    assert run(["refill", vial, "1", "--inventory", str(lab.inventory.folder)]) == 64
    assert f"{vial} is a vial; filled up are bottles and boxes" in capsys.readouterr().err


def test_the_folder_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FINALES_LABORATORY", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("FINALES_LABORATORY")
    assert default_folder().parts[-2:] == (".finales", "laboratory")


def test_the_clock_runs_faster_than_the_wall():
    begin = time.monotonic()
    Clock(100.0).sleep(20.0)
    assert 0.2 <= time.monotonic() - begin < 15.0
    begin = time.monotonic()
    Clock(math.inf).sleep(1e6)
    assert time.monotonic() - begin < 1e3


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan])
def test_a_clock_that_cannot_run(speed):
    with pytest.raises(InputError, match="accepted is a number above 0"):
        Clock(speed)


def test_a_person_carries_a_thing(manage, capsys):
    manage("init")
    assert manage("move", "stock-EMC", "AutoBASS") == 0
    capsys.readouterr()
    assert manage("show", "--address", "AutoBASS", "--kind", "stock") == 0
    assert "stock-EMC" in capsys.readouterr().out
    assert manage("move", "nonsense", "AutoBASS") == 64
