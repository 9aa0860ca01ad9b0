"""The driver of tomato against a real tomato with its example driver, in an environment of its own.

Those tests (marker ``slow``) install tomato, which takes a minute or two, or use the one whose folder
of programs ``FINALES_TEST_TOMATO`` names.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import yaml

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.recall import run_recalling_driver
from aiida_finales.lab.tomato.client import Tomato
from aiida_finales.lab.tomato.driver import TomatoPipeline
from aiida_finales.lab.tomato.template import check_payload, fill, fill_answer, find_in, list_datasets

ROOT = Path(__file__).parents[3]
TOMATO = ("tomato==2.2", "tomato-example-counter==2.1.1")
TEMPLATE = {
    "version": "2.2",
    "settings": {"unlock_when_done": True},
    "user": {"identifier": "aiida-finales"},
    "sample": {"identifier": "$parameters.sample"},
    "method": [
        {
            "component_role": "counter",
            "technique_name": "count",
            "max_duration": "$parameters.seconds",
            "sampling_interval": 0.2,
        }
    ],
}
ANSWER = {"counts": "$data./counter/val", "meta": {"success": True, "of": "$parameters.sample"}, "simulated": True}


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The folder of tomato's programs."""
    given = os.environ.get("FINALES_TEST_TOMATO")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("tomato-environment")
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *TOMATO]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(TOMATO)} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin"


class Desk:
    """A running tomato with one pipeline, and the driver."""

    def __init__(self, folder, programs, port):
        self.folder = folder
        self.programs = programs
        self.port = port
        self.journal = folder / "journal"

    def settings(self, **changes):
        return {
            "tomato_bin": str(self.programs),
            "port": self.port,
            "pipeline": "pip-counter",
            "load": True,
            "template": TEMPLATE,
            "answer": ANSWER,
            "poll_s": 0.2,
            "timeout_s": 5,
            **changes,
        }

    def arguments(self, key, *more, seconds=0.6, sample="cell 7", **changes):
        payload = {
            "quantity": "capacity",
            "method": "cycling",
            "parameters": {"sample": sample, "seconds": seconds},
            "settings": self.settings(**changes),
        }
        (self.folder / f"in-{key}.json").write_text(json.dumps(payload))
        files = ["--input", str(self.folder / f"in-{key}.json"), "--output", str(self.folder / "out.json")]
        return ["--key", key, *files, "--journal", str(self.journal), *more]

    def call(self, key, *more, **values):
        return run_recalling_driver(TomatoPipeline(), self.arguments(key, *more, **values))

    def spawn(self, key, **values):
        command = [sys.executable, "-m", "aiida_finales.lab.tomato.driver", *self.arguments(key, **values)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)

    def output(self):
        return json.loads((self.folder / "out.json").read_text())

    def tell(self, program, *arguments):
        """Run one of tomato's programs."""
        command = [str(self.programs / program), *arguments, "--port", str(self.port), "--yaml"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=True)
        return yaml.safe_load(done.stdout)

    def jobs(self):
        return [job["jobname"] for job in self.tell("ketchup", "status")["data"] or []]

    def wait_for(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "gave up waiting for tomato"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def tomato(tmp_path_factory, programs):
    folder = tmp_path_factory.mktemp("tomato")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    desk = Desk(folder, programs, port)
    desk.tell("tomato", "init", "--appdir", "app", "--datadir", "data", "--logdir", "log")
    with (folder / "start.log").open("w") as log:
        command = [str(programs / "tomato"), "start", "--port", str(port), "--appdir", "app"]
        # it finds its daemon on the path, and the daemon would keep a pipe open
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(command, cwd=folder, env=os.environ | path, stdout=log, stderr=log, timeout=120, check=True)
    desk.wait_for(lambda: desk.tell("tomato", "status")["data"]["drvs"]["example_counter"]["connected_at"])
    yield folder, port
    desk.tell("tomato", "stop")


@pytest.fixture
def desk(tmp_path, tomato, programs):
    """A desk with a journal of its own at the running tomato, whose pipeline is empty and idle."""
    desk = Desk(tmp_path, programs, tomato[1])
    desk.wait_for(lambda: desk.tell("tomato", "status")["data"]["pips"]["pip-counter"]["jobid"] is None)
    desk.tell("tomato", "pipeline", "eject", "pip-counter")
    return desk


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_is_run_once_and_its_data_come_back(desk):
    assert desk.call("once") == 0
    first = desk.output()
    assert first["success"] is True
    assert first["counts"] == sorted(first["counts"])
    assert len(first["counts"]) >= 2
    assert first["meta"] == {"success": True, "of": "cell 7"}
    assert (first["key"], first["device"], first["job"]["status"]) == ("once", "tomato", "c")
    assert Path(first["data_file"]) == desk.journal / "results" / "once.nc"
    assert len(first["data_sha256"]) == 64
    assert list(first)[-1] == "end"
    assert desk.call("once") == 0
    assert desk.output() == first
    assert desk.jobs().count("once") == 1
    assert json.loads((desk.journal / "jobs.jsonl").read_text())["job"] == first["job"]["id"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_driver_killed_in_the_middle_finds_its_job_again(desk):
    driver = desk.spawn("killed", seconds=3)
    desk.wait_for((desk.journal / "jobs.jsonl").exists)
    driver.kill()
    driver.communicate()
    assert desk.call("killed", seconds=3) == 0
    assert len(desk.output()["counts"]) >= 10
    history = json.loads((desk.journal / "keys" / "killed.json").read_text())["history"]
    assert [line["state"] for line in history] == ["begun", "unknown", "done"]
    assert desk.jobs().count("killed") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lost_journal_does_not_submit_again(desk):
    assert desk.call("lost") == 0
    first = desk.output()
    desk.journal = desk.folder / "another"
    assert desk.call("lost") == 0
    assert desk.output() == first
    assert desk.jobs().count("lost") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_tomato_does_not_know_is_a_matter_for_a_person(desk, capsys):
    """The driver died before tomato had the job, or while it was on its way: that cannot be told."""
    assert desk.call("gone") == 0
    entry_file = desk.journal / "keys" / "gone.json"
    entry = json.loads(entry_file.read_text())
    moved = desk.journal / "keys" / "never-submitted.json"
    moved.write_text(json.dumps(entry | {"key": "never-submitted", "state": "begun"}))
    assert desk.call("never-submitted") == 75
    assert "cannot tell what it did" in capsys.readouterr().err
    assert "never-submitted" not in desk.jobs()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_similar_name_is_not_the_same_key(desk):
    """tomato searches for a part of a name, and takes _ for any letter."""
    for key in ("n-x1-long", "n_x1"):
        assert desk.call(key) == 0
        assert desk.output()["key"] == key
    assert {"n-x1-long", "n_x1"} <= set(desk.jobs())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_data_that_are_not_there_are_no_reason_to_act_again(desk):
    assert desk.call("no-data", answer={"capacity": "$data./cycler/Q"}) == 0
    output = desk.output()
    assert output["success"] is False
    assert "/cycler/Q was asked for, the file has /counter/" in output["reason"]
    assert Path(output["data_file"]).is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_stands_in_the_way_is_said_before_the_act(desk, capsys):
    role = TEMPLATE | {"method": [TEMPLATE["method"][0] | {"component_role": "cycler"}]}
    cases = {
        "port": ({"port": 1}, 69, "not running"),
        "pipeline": ({"pipeline": "pip-7"}, 64, "one of pip-counter"),
        "role": ({"template": role}, 64, "'cycler' was given, accepted is counter"),
        "empty": ({"load": False}, 69, "pipeline pip-counter holds no sample, not cell 7"),
    }
    for key, (changes, status, words) in cases.items():
        assert desk.call(key, **changes) == status, key
        assert words in capsys.readouterr().err, key
    desk.tell("tomato", "pipeline", "load", "pip-counter", "cell 7")
    assert desk.call("not-ready", load=False) == 69
    assert "is not ready: tomato pipeline ready pip-counter" in capsys.readouterr().err
    assert desk.call("other", sample="cell 8") == 69
    assert "holds cell 7, not cell 8" in capsys.readouterr().err
    desk.tell("tomato", "pipeline", "ready", "pip-counter")
    assert desk.call("ready", load=False) == 0
    assert not set(cases) & set(desk.jobs())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cancelled_job_is_a_result_without_success(desk):
    """The last one: in tomato 2.2 the device of a cancelled job goes on until the end of its task, or of tomato."""
    driver = desk.spawn("cancelled", seconds=60)
    desk.wait_for((desk.journal / "jobs.jsonl").exists)
    job = json.loads((desk.journal / "jobs.jsonl").read_text())["job"]
    desk.wait_for(lambda: desk.tell("ketchup", "status", str(job))["data"][0]["status"] == "r")
    desk.tell("ketchup", "cancel", str(job))
    log = driver.communicate(timeout=60)[1]
    assert driver.returncode == 0, log
    assert desk.output()["success"] is False
    assert desk.output()["reason"] == f"job {job} of tomato was cancelled"


@pytest.fixture
def dummy(tmp_path):
    """A desk with programs that are only looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("tomato", "ketchup", "python"):
        (folder / name).touch()
    return Desk(tmp_path, folder, 1)


def task(**changes):
    return TEMPLATE | {"method": [TEMPLATE["method"][0] | changes]}


BAD = {
    "no programs": ({"tomato_bin": "/nowhere"}, "settings.tomato_bin: '/nowhere'"),
    "port": ({"port": "1234"}, "settings.port"),
    "pipeline": ({"pipeline": "--help"}, "settings.pipeline"),
    "load": ({"load": "yes"}, "settings.load"),
    "unknown setting": ({"speed": 1}, "settings.speed: 1 was given"),
    "another quantity": ({"quantity": "density"}, "quantity: 'capacity' was given"),
    "no template": ({"template": None}, "settings.template: None was given"),
    "no file": ({"template": "/nowhere.json"}, "/nowhere.json cannot be read"),
    "version": ({"template": TEMPLATE | {"version": "2.1"}}, "settings.template.version"),
    "output": ({"template": TEMPLATE | {"settings": {"output": {}}}}, "the driver says where"),
    "no tasks": ({"template": TEMPLATE | {"method": []}}, "settings.template.method"),
    "unknown key": ({"template": TEMPLATE | {"cell": 1}}, "settings.template.cell"),
    "sample": ({"template": TEMPLATE | {"sample": {"identifier": "$parameters.seconds"}}}, "sample.identifier: 0.6"),
    "key as sample": ({"template": TEMPLATE | {"sample": {"identifier": "$key"}}}, "sample that is there before"),
    "duration": ({"template": task(max_duration=-1)}, "method[0].max_duration: -1"),
    "task": ({"template": task(speed=1)}, "method[0].speed"),
    "role": ({"template": task(component_role=3)}, "method[0].component_role"),
    "no such parameter": ({"template": task(max_duration="$parameters.hours")}, "the input has no 'hours'"),
    "no such parameter in the answer": ({"answer": {"a": "$parameters.hours"}}, "the input has no 'hours'"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_bad_settings_are_refused(dummy, capsys, changes, words):
    assert dummy.call("a", **changes) == 64
    assert words in capsys.readouterr().err
    assert not dummy.journal.exists()


def test_datasets_are_read_by_the_python_of_tomato(tmp_path):
    """The script that it is given is there, and runs on its own."""
    import h5py

    with h5py.File(tmp_path / "data.nc", "w") as file:
        file["counter/val"] = [1.0, float("nan")]
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    tomato = Tomato(tmp_path, 1, 10.0)
    assert tomato.extract(tmp_path / "data.nc", ["/counter/val"]) == {"/counter/val": [1.0, None]}
    with pytest.raises(DeviceInputError, match=r"/val was asked for, the file has /counter/val"):
        tomato.extract(tmp_path / "data.nc", ["/val"])


def test_dry_run_needs_no_tomato(dummy, capsys):
    path = dummy.folder / "template.json"
    path.write_text(json.dumps(TEMPLATE))
    assert dummy.call("a", "--dry-run", template=str(path)) == 0
    assert "submit count for sample cell 7 to pipeline pip-counter" in capsys.readouterr().err


def test_templates_keep_types_and_leave_the_rest():
    payload = {"parameters": {"n": 3, "steps": [{"C": 0.1}]}, "request": "uuid"}
    template = {"a": "$parameters.n", "b": ["$parameters.steps", "5 $"], "c": {"d": "$key", "e": "$request"}}
    filled = fill(template, lambda name: find_in(payload, "k", name))
    assert filled == {"a": 3, "b": [[{"C": 0.1}], "5 $"], "c": {"d": "k", "e": "uuid"}}
    assert template["a"] == "$parameters.n"


def test_answers_hold_data_and_parameters():
    answer = {"Q": "$data./cycler/Qd", "list": ["$data./cycler/n"], "n": "$parameters.n"}
    assert sorted(list_datasets(answer)) == ["/cycler/Qd", "/cycler/n"]
    data = {"/cycler/Qd": [1.0, 0.9], "/cycler/n": 2}
    assert fill_answer(answer, {"parameters": {"n": 5}}, "k", data) == {"Q": [1.0, 0.9], "list": [2], "n": 5}


def test_the_template_here_is_one_that_is_accepted():
    values = {"parameters": {"sample": "s", "seconds": "2 hours"}}
    assert check_payload(fill(TEMPLATE, lambda name: find_in(values, "k", name)))["sample"] == {"identifier": "s"}
    with pytest.raises(DeviceInputError, match="user"):
        check_payload(TEMPLATE | {"user": {}})
