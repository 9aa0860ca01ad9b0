"""``finales-tenant``: a real driver as a tenant outside of the platform."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from aiida_finales.client import command
from aiida_finales.client.command import DriverFunction, find_evaluation, pass_on
from aiida_finales.client.order import Order
from aiida_finales.exceptions import (
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
    FitError,
    InputError,
    NeedsOperatorError,
)


@pytest.fixture
def serve(listening, do, tmp_path, monkeypatch):
    """Return a function that runs the command once, with the simulated robot, and returns its exit status."""
    monkeypatch.setenv("FINALES_PASSWORD", "correct horse")
    device = tmp_path / "device"

    def run(settings=None, **changes):
        (tmp_path / "settings.json").write_text(json.dumps(settings or {}))
        options = {"url": listening.url, "user": "robin", "tenant": "robot", "quantity": "conductivity"}
        options |= {"method": "two_electrode", "driver": "finales-asab", "journal": str(tmp_path / "tenant")}
        options |= {"settings": str(tmp_path / "settings.json"), **changes}
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        return do(command.run, [*words, "--once", "--", "--journal", str(device)])

    return run


def count_doses(folder):
    """Return how often the robot dosed, by key."""
    path = folder / "device" / "doses.jsonl"
    return Counter(json.loads(line)["key"] for line in path.read_text().splitlines())


def test_driver_serves_a_request(serve, ask, client_of, do, tmp_path):
    uuid = ask()
    assert serve() == 0
    result = do(client_of("alice").result_of, uuid)["result"]
    (value,) = result["data"]["conductivity"]["values"]
    assert 0.1 < value < 3.0  # S/m, the range of carbonate electrolytes at room temperature
    assert result["parameters"]["two_electrode"]["temperature"] == 298.15
    assert serve() == 0
    assert count_doses(tmp_path) == {f"{uuid}.two_electrode": 1}


def test_person_is_asked_for_and_settles(serve, ask, client_of, do, tmp_path):
    """The driver's own journal decides, whatever the settings are by then; until then the request is kept."""
    uuid = ask()
    assert serve({"fault": "fault_after_dose"}) == 75
    assert serve() == 75
    assert do(client_of("alice").request, uuid)["status"] == "reserved"
    settle = ["--key", f"{uuid}.two_electrode", "--settle", "done", "--reason", "the vial is full"]
    subprocess.run(
        [str(Path(sys.executable).with_name("finales-asab")), *settle, "--journal", str(tmp_path / "device")],
        check=True,
    )
    assert serve() == 0
    last = do(client_of("alice").history, uuid)[-1]
    assert last["to"] == "pending"
    assert "its result is lost" in last["why"]
    assert serve() == 0
    assert count_doses(tmp_path).total() == 1


def test_driver_that_was_away_may_have_other_settings(serve, ask, client_of, do):
    uuid = ask()
    assert serve({"fault": "device_unavailable"}) == 0
    assert do(client_of("alice").result_of, uuid) is None
    assert serve() == 0
    assert do(client_of("alice").result_of, uuid) is not None


def test_password_is_no_argument(serve, monkeypatch, tmp_path):
    monkeypatch.delenv("FINALES_PASSWORD")
    assert serve() == 64
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    secret.chmod(0o644)
    assert serve(password_file=str(secret)) == 64
    secret.chmod(0o600)
    assert serve(password_file=str(secret)) == 0
    secret.write_text("wrong")
    assert serve(password_file=str(secret)) == 77


def test_driver_must_be_there(serve):
    assert serve(driver="no-such-driver") == 64


ORDER = Order("r", "mass", "weighing", {"sample": "vial 7"}, "r.weighing")
DRIVER = """#!/bin/sh
while [ "$1" != --output ]; do shift; done
echo "x" >> {folder}/calls
echo "the reason" >&2
{act}
exit {status}
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Return a function that makes a driver that ends as it is told, and calls it."""
    monkeypatch.setattr("aiida_finales.client.command.PAUSE", 0.0)
    path = tmp_path / "driver"

    def call(status=0, output=None):
        act = f"echo '{json.dumps(output)}' > $2" if output else ":"
        path.write_text(DRIVER.format(folder=tmp_path, act=act, status=status))
        path.chmod(0o755)
        return DriverFunction([str(path)], tmp_path / "calls.d", pass_on)(ORDER)

    return call


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (64, DeviceInputError),
        (65, DeviceLimitationError),
        (69, DeviceUnavailableError),
        (75, NeedsOperatorError),
    ],
)
def test_exit_status_says_what_is_known(driver, tmp_path, status, error):
    with pytest.raises(error, match="the reason"):
        driver(status)
    assert len((tmp_path / "calls").read_text().split()) == 1


@pytest.mark.parametrize("status", [0, 1, 137])
def test_end_that_says_nothing_is_asked_again_with_the_same_key(driver, tmp_path, status):
    """Also an output without its last key: the driver may have been cut off."""
    with pytest.raises(NeedsOperatorError, match="3 times without complete output for key r"):
        driver(status, {"mass_g": 1.0})
    assert len((tmp_path / "calls").read_text().split()) == 3


def test_output_is_passed_on(driver):
    answer = driver(0, {"mass": 1.0, "key": "r.weighing", "simulated": True, "end": "finales-driver-output"})
    assert (answer.data, answer.simulated) == ({"mass": 1.0}, True)


def test_data_without_spectrum_are_no_conductivity():
    with pytest.raises(FitError, match="settled by Ada"):
        find_evaluation("conductivity", "two_electrode")({"success": False, "reason": "settled by Ada"})
    with pytest.raises(InputError, match="accepted is module:function"):
        find_evaluation("conductivity", "two_electrode", "json:no_such")
    assert find_evaluation("mass", "weighing", "json:dumps") is json.dumps
