"""The template of a driver: what a copy of it should be tested for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from aiida_finales.lab.driver.command import run_driver
from aiida_finales.lab.driver.template import Balance

ROOT = Path(__file__).parents[3]


class Desk:
    def __init__(self, folder):
        self.folder = folder
        self.journal = folder / "journal"

    def arguments(self, key, *more, settings=None, **parameters):
        payload = {"quantity": "mass", "method": "weighing", "parameters": {"sample": "vial 7"} | parameters}
        (self.folder / f"in-{key}.json").write_text(json.dumps(payload | {"settings": settings or {}}))
        files = ["--input", str(self.folder / f"in-{key}.json"), "--output", str(self.folder / "out.json")]
        return ["--key", key, *files, "--journal", str(self.journal), *more]

    def call(self, key, *more, settings=None, **parameters):
        return run_driver(Balance(), self.arguments(key, *more, settings=settings, **parameters))

    def output(self):
        return json.loads((self.folder / "out.json").read_text())

    def tares(self):
        path = self.journal / "tares.jsonl"
        return Counter(json.loads(line)["key"] for line in path.read_text().splitlines()) if path.exists() else {}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_sample_is_weighed_once_per_key(desk):
    assert desk.call("a", repeats=20) == 0
    first = desk.output()
    assert first["mass_g"] == pytest.approx(12.5, abs=2e-4)
    assert first["deviation_g"] == pytest.approx(1e-4, rel=0.6)
    assert (first["sample"], first["success"], first["simulated"], len(first["readings_g"])) == (
        "vial 7", True, True, 20,
    )  # fmt: skip
    assert list(first)[-1] == "end"
    assert desk.call("a", repeats=20) == 0
    assert desk.output() == first
    assert desk.call("b") == 0
    assert desk.output()["readings_g"] != first["readings_g"][:3]
    assert desk.tares() == {"a": 1, "b": 1}


def test_an_overload_is_a_result_without_success(desk):
    assert desk.call("a", settings={"mass_g": 500}) == 0
    assert desk.output()["success"] is False
    assert desk.output()["reason"] == "more than 220 g on the pan"
    assert "mass_g" not in desk.output()


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({"sample": ""}, 64, "parameters.sample: '' was given"),
        ({"repeats": 2.5}, 64, "parameters.repeats: 2.5 was given"),
        ({"repeats": True}, 64, "parameters.repeats: True was given"),
        ({"repeats": 0}, 65, "repeats is 0, but balance accepts 1 to 20"),
        ({"repeats": 21}, 65, "repeats is 21"),
    ],
)
def test_bad_input_is_refused(desk, capsys, parameters, status, words):
    assert desk.call("a", **parameters) == status
    assert words in capsys.readouterr().err
    assert not desk.journal.exists()


@pytest.mark.parametrize(("fault", "status"), [("away", 69), ("error", 70)])
def test_a_fault_before_the_act_may_be_retried(desk, fault, status):
    assert desk.call("a", settings={"fault": fault}) == status
    assert not desk.tares()
    assert desk.call("a") == 0


def test_a_fault_while_acting_needs_a_person(desk):
    settings = {"fault": "unplugged"}
    assert desk.call("a", settings=settings) == 75
    assert desk.call("a", settings=settings) == 75
    assert desk.tares() == {"a": 1}
    words = ["--settle", "done", "--reason", "the display shows 12.5 g", "--journal", str(desk.journal)]
    assert run_driver(Balance(), ["--key", "a", *words]) == 0
    assert desk.call("a", settings=settings) == 0
    assert desk.output()["success"] is False
    assert desk.tares() == {"a": 1}


def test_dry_run_and_limitations(desk, capsys):
    assert desk.call("a", "--dry-run") == 0
    assert "weigh vial 7, 3 readings" in capsys.readouterr().err
    assert not desk.journal.exists()
    assert run_driver(Balance(), ["--limitations"]) == 0
    assert json.loads(capsys.readouterr().out) == {"repeats": [{"min": 1, "max": 20}]}


def test_as_a_program(desk):
    command = [sys.executable, "-m", "aiida_finales.lab.driver.template", *desk.arguments("a")]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert desk.tares() == {"a": 1}
