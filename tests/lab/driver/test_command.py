"""Exactly once, whatever happens: the contract of the drivers, on real processes."""

from __future__ import annotations

import errno
import itertools
import json
import random
import signal
import time

import pytest

from aiida_finales.lab.driver import journal
from aiida_finales.lab.driver.command import run_driver
from aiida_finales.lab.simulated.asab import Asab


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.01)


def test_the_same_key_acts_once(bench, order):
    assert bench.run("a", order, output="first.json")[0] == 0
    status, log = bench.run("a", order, output="second.json")
    assert status == 0
    assert "returning the first result" in log
    assert (bench.folder / "first.json").read_bytes() == (bench.folder / "second.json").read_bytes()
    assert bench.doses() == {"a": 1}


def test_two_processes_with_the_same_key_act_once(bench, make_order):
    order = make_order(delay_s=0.2)
    processes = [bench.start("a", order, output=f"out-{index}.json") for index in range(2)]
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0]
    assert bench.output("out-0.json") == bench.output("out-1.json")
    assert bench.doses() == {"a": 1}


@pytest.mark.slow
def test_many_processes_take_turns(bench, make_order):
    order = make_order(delay_s=0.05)
    processes = [bench.start(f"key-{index}", order, output=f"out-{index}.json") for index in range(8)]
    for process in processes:
        assert process.communicate(timeout=60)
        assert process.returncode == 0
    assert bench.doses() == {f"key-{index}": 1 for index in range(8)}
    times = sorted((out["started"], out["ended"]) for out in (bench.output(f"out-{index}.json") for index in range(8)))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(times))


def test_the_same_key_with_another_input_is_refused(bench, order, make_order, capsys):
    assert bench.call("a", order) == 0
    assert bench.call("a", make_order(temperature=310.0)) == 64
    assert "with another input" in capsys.readouterr().err
    assert bench.doses() == {"a": 1}


@pytest.mark.parametrize(("fault", "doses"), [("die_before_dose", 0), ("die_after_dose", 1)])
def test_death_while_acting_needs_an_operator(bench, make_order, capsys, fault, doses):
    order = make_order(fault=fault)
    assert bench.run("a", order)[0] == 1
    assert bench.call("a", order) == 75
    assert bench.call("a", order) == 75
    assert "--settle done|not-done" in capsys.readouterr().err
    assert bench.doses()["a"] == doses
    assert not (bench.folder / "out.json").exists()
    outcome = "done" if doses else "not-done"
    assert bench.settle("a", outcome) == 0
    assert bench.call("a", order) == 0
    assert bench.doses() == {"a": 1}
    assert bench.output()["success"] is (doses == 0)


def test_settled_with_a_result_returns_it(bench, make_order):
    order = make_order(fault="die_after_dose")
    assert bench.run("a", order)[0] == 1
    result = bench.folder / "result.json"
    result.write_text(json.dumps({"success": True, "measured": "by hand"}))
    assert bench.settle("a", "done", "--result", str(result), "--who", "Ada") == 0
    assert bench.call("a", order) == 0
    assert bench.output() == {"success": True, "measured": "by hand", "end": "finales-driver-output"}
    history = json.loads((bench.journal / "keys" / "a.json").read_text())["history"]
    assert [step["state"] for step in history] == ["begun", "done"]
    assert history[-1]["who"] == "Ada"


def test_settling_again_as_before_changes_nothing(bench, make_order):
    assert bench.call("a", make_order(fault="fault_after_dose")) == 75
    assert bench.settle("a", "done") == 0
    before = (bench.journal / "keys" / "a.json").read_text()
    assert bench.settle("a", "done") == 0
    assert (bench.journal / "keys" / "a.json").read_text() == before
    assert bench.settle("a", "not-done") == 64


def test_a_device_that_does_not_come_back_is_given_up_and_waits_for_a_person(bench, make_order, capsys):
    assert bench.call("a", make_order(fault="hang_after_dose"), "--limit", "0.3") == 75
    assert "it has not come back within 0.3 s" in capsys.readouterr().err
    assert len(bench.doses()) == 1
    assert bench.call("b", make_order()) == 0


def test_a_hanging_driver_holds_the_device_until_killed(bench, make_order, order, capsys):
    process = bench.start("a", make_order(fault="hang_after_dose"))
    wait_until(lambda: bench.doses()["a"] == 1)
    assert bench.call("b", order, "--wait", "0.1") == 69
    message = capsys.readouterr().err
    assert f"held by process {process.pid}" in message
    assert "for key a" in message
    process.kill()
    process.communicate()
    assert bench.call("a", make_order(fault="hang_after_dose")) == 75
    assert bench.call("b", order) == 0


@pytest.mark.parametrize(("fault", "status"), [("device_fault", 70), ("device_unavailable", 69)])
def test_a_fault_before_the_act_may_be_retried(bench, make_order, order, fault, status):
    assert bench.call("a", make_order(fault=fault)) == status
    assert not bench.doses()
    assert bench.call("a", order) == 0
    assert bench.doses() == {"a": 1}


def test_a_fault_while_acting_needs_an_operator(bench, make_order):
    order = make_order(fault="fault_after_dose")
    assert bench.call("a", order) == 75
    assert bench.call("a", order) == 75
    assert bench.doses() == {"a": 1}


def test_kill_at_random_moments(bench, make_order):
    """Doses never exceed one per key, and success is never claimed without one."""
    generator = random.Random(11)
    order = make_order(delay_s=0.05)
    keys = [f"key-{index}" for index in range(20)]
    begun = time.monotonic()
    assert bench.run("undisturbed", order)[0] == 0
    whole = time.monotonic() - begun  # however busy the machine is, most kills hit between import and the end
    for key in keys:
        process = bench.start(key, order, output=f"{key}.json")
        time.sleep(generator.uniform(0.5, 1.1) * whole)
        process.kill()
        process.communicate()
    for key in keys:
        if (bench.folder / f"{key}.json").exists():
            assert bench.output(f"{key}.json")["end"] == "finales-driver-output"
            assert bench.doses()[key] == 1
        status = bench.call(key, order, output=f"{key}.json")
        if status == 75:
            assert bench.settle(key, "done" if bench.doses()[key] else "not-done") == 0
            status = bench.call(key, order, output=f"{key}.json")
        assert status == 0
    assert bench.doses() == dict.fromkeys(["undisturbed", *keys], 1)


def test_dry_run_does_nothing(bench, order, capsys):
    assert bench.call("a", order, "--dry-run") == 0
    assert "mL LiPF6 in EMC" in capsys.readouterr().err
    assert not bench.journal.exists()
    assert not (bench.folder / "out.json").exists()


def test_folder_from_the_environment(bench, order, monkeypatch):
    monkeypatch.setenv("FINALES_JOURNAL", str(bench.folder / "from-environment"))
    arguments = bench.arguments("a", order)
    del arguments[arguments.index("--journal") : arguments.index("--journal") + 2]
    assert run_driver(Asab(), arguments) == 0
    assert (bench.folder / "from-environment" / "doses.jsonl").exists()


WRONG_USE = {
    "nothing": ([], "--key is missing"),
    "no files": (["--key", "a"], "--input and --output are both needed"),
    "unknown option": (["--speed", "9"], "unrecognized arguments"),
    "key with a slash": (["--key", "../a"], "key '../a' was given"),
    "no such file": (["--key", "a", "--input", "/nowhere/in.json", "--output", "out.json"], "in.json does not exist"),
    "no such folder": (["--key", "a", "--input", "in.json", "--output", "/nowhere/out.json"], "does not exist"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_is_refused(capsys, arguments, words):
    assert run_driver(Asab(), arguments) == 64
    assert words in capsys.readouterr().err


def test_what_is_not_json_is_refused(tmp_path, capsys):
    path = tmp_path / "in.json"
    for text, words in (("{", "cannot be read as JSON"), ("[1]", "holds a list, accepted is an object")):
        path.write_text(text)
        assert run_driver(Asab(), ["--key", "a", "--input", str(path), "--output", str(tmp_path / "out.json")]) == 64
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(("step", "statuses"), [("check", [70, 0]), ("act", [75, 75])], ids=["before", "while acting"])
def test_an_unexpected_error(bench, order, monkeypatch, capsys, step, statuses):
    def fail(self, plan, call):
        raise RuntimeError("smoke")

    with monkeypatch.context() as patch:
        patch.setattr(Asab, step, fail)
        first = bench.call("a", order)
    assert "RuntimeError: smoke" in capsys.readouterr().err
    assert [first, bench.call("a", order)] == statuses


def test_an_output_that_cannot_be_written_is_not_a_reason_to_act_again(bench, order, capsys):
    (bench.folder / "taken").mkdir()
    assert bench.call("a", order, output="taken") == 75
    assert "the result is in the journal" in capsys.readouterr().err
    assert bench.call("a", order) == 0
    assert bench.doses() == {"a": 1}


@pytest.mark.parametrize(
    ("full_at", "statuses", "is_known"),
    [
        pytest.param({"begun"}, [69, 69, 0], True, id="before the act"),
        pytest.param({"done"}, [75, 75, 75], False, id="after the act"),
        pytest.param({"done", "unknown"}, [75, 75, 75], False, id="after the act and while it is looked up"),
    ],
)
def test_a_full_disk_never_makes_it_act_twice(bench, order, monkeypatch, full_at, statuses, is_known):
    """Before the act the caller may try again; after it a person is asked, also while nothing can be written."""
    write = journal.write_durably

    def fill(path, payload):
        if payload.get("state") in full_at:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, payload)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_durably", fill)
        found = [bench.call("a", order), bench.call("a", order)]
    assert [*found, bench.call("a", order)] == statuses, "the last one is with room again"
    assert bench.doses() == {"a": 1}
    if not is_known:
        assert bench.settle("a", "done") == 0
        assert bench.call("a", order) == 0
        assert bench.doses() == {"a": 1}


def test_a_driver_that_is_stopped_for_a_while_acts_once(bench, make_order, order):
    """SIGSTOP in mid-dose, longer than others wait; then it goes on."""
    process = bench.start("a", make_order(fault="hang_after_dose"), "--limit", "5")
    wait_until(lambda: bench.doses()["a"] == 1, seconds=60.0)
    process.send_signal(signal.SIGSTOP)
    assert bench.call("a", make_order(fault="hang_after_dose"), "--wait", "0.1") == 69
    assert bench.call("b", order, "--wait", "0.1") == 69
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 75
    assert bench.call("b", order) == 0
    assert bench.doses() == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("key", "outcome", "words"),
    [("never", "done", "not in the journal"), ("finished", "not-done", "only what is unknown can be settled")],
)
def test_only_what_is_in_doubt_can_be_settled(bench, order, capsys, key, outcome, words):
    assert bench.call("finished", order) == 0
    assert bench.settle(key, outcome) == 64
    assert words in capsys.readouterr().err


def test_settling_needs_a_reason(bench, make_order, capsys):
    order = make_order(fault="fault_after_dose")
    assert bench.call("a", order) == 75
    assert bench.settle("a", "done", "--reason", " ") == 64
    assert "and a reason" in capsys.readouterr().err


def test_drivers_of_others_import_from_the_room() -> None:
    """The path that others import; the modules behind it may change."""
    from aiida_finales.lab.driver import Call, Device, RecallingDevice, run_driver, run_recalling_driver

    assert all(item.__doc__ for item in (Call, Device, RecallingDevice, run_driver, run_recalling_driver))
