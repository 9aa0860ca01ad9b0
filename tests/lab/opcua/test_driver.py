"""A device behind a real OPC UA server, in a process of its own: once, whatever happens to the server."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.command import run_driver
from aiida_finales.lab.driver.evaluation import last_words
from aiida_finales.lab.driver.recall import run_recalling_driver
from aiida_finales.lab.opcua.driver import OpcUa
from aiida_finales.lab.opcua.profile import read_profile
from aiida_finales.lab.opcua.session import convert

ROOT = Path(__file__).parents[3]
CALL = {"object": "{ns}:Pump", "method": "{ns}:Pump/{ns}:Act", "remembers_keys": True}
FORGETFUL = {"object": "ns={ns};s=Pump", "method": "ns={ns};s=Pump.ActWithoutMemory", "check": "ns={ns};s=Pump.Check"}
STEPS = {
    "state": "ns={ns};s=Pump.State",
    "idle": [0],
    "done": [2],
    "failed": [3],
    "command": {"node": "ns={ns};s=Pump.Command", "value": 1},
    "acknowledge": {"node": "ns={ns};s=Pump.Command", "value": 0},
    "write": {"ns={ns};s=Pump.Volume": "volume", "{ns}:Pump/{ns}:Key": "$key"},
    "results": {"dosed_mL": "ns={ns};s=Pump.Dosed"},
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Pump:
    """The server, and a desk to call the driver from."""

    def __init__(self, folder, server=None):
        pytest.importorskip("asyncua", reason="needs asyncua: pip install 'aiida-finales[lab]'")
        self.folder = folder
        self.device = server.device if server else folder / "pump"
        self.device.mkdir(exist_ok=True)
        self.port = server.port if server else free_port()
        self.process = None

    def start(self, *credentials, delay=0.0):
        command = [sys.executable, str(ROOT / "tests" / "lab" / "opcua_pump.py"), str(self.port), str(self.device)]
        with (self.folder / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, *credentials],
                env=os.environ | {"PUMP_DELAY": str(delay)},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout.readline() == "ready\n", (self.folder / "server.log").read_text()

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def settings(self, **way):
        return {
            "url": f"opc.tcp://127.0.0.1:{self.port}/pump",
            "namespace": "urn:aiida-finales:test:pump",
            "timeout_s": 5,
            "act_timeout_s": 20,
            "poll_s": 0.02,
            "quantity": "dosing",
            "parameters": {"volume": {"min": -1, "max": 25, "unit": "mL"}},
            **way,
        }

    def arguments(self, key, volume=1.5, *more, output="out.json", **way):
        payload = {"quantity": "dosing", "parameters": {"volume": volume}, "settings": self.settings(**way)}
        path = self.folder / f"in-{key}-{output}"
        path.write_text(json.dumps(payload))
        files = ["--input", str(path), "--output", str(self.folder / output)]
        return ["--key", key, *files, "--journal", str(self.folder / "journal"), *more]

    def call(self, *arguments, **way):
        return run_recalling_driver(OpcUa(), self.arguments(*arguments, **way))

    def spawn(self, *arguments, **way):
        command = [sys.executable, "-m", "aiida_finales.lab.opcua.driver", *self.arguments(*arguments, **way)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)

    def settle(self, key, outcome):
        words = ["--settle", outcome, "--reason", "looked at the syringe", "--journal", str(self.folder / "journal")]
        return run_driver(OpcUa(), ["--key", key, *words])

    def output(self, name="out.json"):
        return json.loads((self.folder / name).read_text())

    def entries(self):
        path = self.device / "doses.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def doses(self):
        return Counter(entry["key"] for entry in self.entries())

    def wait_for_dose(self, n=1):
        deadline = time.monotonic() + 20
        while len(self.entries()) < n:
            assert time.monotonic() < deadline, "the pump did not begin"
            time.sleep(0.01)


@pytest.fixture
def pump(tmp_path):
    pump = Pump(tmp_path)
    yield pump
    pump.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that nobody kills: it takes seconds to start."""
    server = Pump(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def running(tmp_path, server):
    """A desk of its own at the shared server, whose pump has not dosed yet."""
    (server.device / "doses.jsonl").unlink(missing_ok=True)
    return Pump(tmp_path, server)


WAYS = {"call": {"call": CALL}, "call without memory": {"call": FORGETFUL}, "steps": {"steps": STEPS}}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_acts_once_and_the_next_one_again(running, way):
    assert running.call("a", **way) == 0
    first = running.output()
    assert (first["dosed_mL"], first["key"], first["device"], first["success"]) == (1.5, "a", "opcua", True)
    assert list(first)[-1] == "end"
    assert running.call("a", **way) == 0
    assert running.output() == first
    assert running.call("b", **way) == 0
    assert running.doses() == {"a": 1, "b": 1}


def test_arguments_are_converted_to_the_types_of_the_method(running):
    call = {
        "object": "{ns}:Pump",
        "method": "{ns}:Pump/{ns}:Dispense",
        "arguments": ["volume", "volume"],
        "results": ["dosed_mL", "remark"],
    }
    assert running.call("a", 3, call=call) == 0
    assert (running.output()["dosed_mL"], running.output()["remark"]) == (9.0, "fine")
    assert running.call("b", 1.5, call=call) == 64  # no whole number
    assert running.doses() == {"dispense": 1}


def test_without_a_server_nothing_was_done(pump, capsys):
    assert pump.call("a", call=CALL) == 69
    assert "cannot be reached" in capsys.readouterr().err
    pump.start()
    assert pump.call("a", call=CALL) == 0
    assert pump.doses() == {"a": 1}


def test_a_server_that_does_not_answer_is_unavailable(pump, capsys):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", pump.port))
        listener.listen()
        begun = time.monotonic()
        assert pump.call("a", call=CALL, timeout_s=0.5) == 69
        assert time.monotonic() - begun < 60
    assert "no answer within 0.5 s" in capsys.readouterr().err


WRONG_NODES = {
    "method": ({"call": CALL | {"method": "{ns}:Pump/{ns}:Fly"}}, "settings.call.method: '{ns}:Pump/{ns}:Fly'"),
    "object": ({"call": CALL | {"object": "ns={ns};s=Plump"}}, "no such node (BadNodeIdUnknown)"),
    "not an id": ({"call": CALL | {"object": "i=x"}}, "settings.call.object"),
    "variable": ({"steps": STEPS | {"results": {"a": "ns=9;i=1"}}}, "settings.steps.results.a"),
    "namespace": ({"call": CALL, "namespace": "urn:other"}, "settings.namespace: 'urn:other'"),
    "number of arguments": ({"call": CALL | {"arguments": ["$key"]}}, "1 were given, the method takes 2"),
    "type of an argument": ({"call": CALL | {"arguments": ["$key", "volume"]}}, "a value of type String"),
    "value of the command": (
        {"steps": STEPS | {"command": {"node": "ns={ns};s=Pump.Command", "value": 1e6}}},
        "Int16",
    ),
}


def test_wrong_nodes_are_refused(running, capsys):
    for index, (case, (way, words)) in enumerate(WRONG_NODES.items()):
        assert running.call(f"key-{index}", **way) == 64, case
        assert words in capsys.readouterr().err, case
    assert not running.doses()
    assert not list((running.folder / "journal" / "keys").iterdir())


def test_what_the_device_refuses_was_not_begun(running, capsys):
    assert running.call("a", 11, call=FORGETFUL) == 65
    assert "BadOutOfRange" in capsys.readouterr().err
    assert running.call("a", -1, call=FORGETFUL) == 64
    assert running.call("a", 26, call=FORGETFUL) == 65
    assert "volume is 26, but the device accepts -1 to 25 mL" in capsys.readouterr().err
    assert running.call("a", 10, call=FORGETFUL) == 0
    assert running.doses() == {"a": 1}


@pytest.mark.parametrize(("outcome", "doses"), [pytest.param("done", 1, marks=pytest.mark.slow), ("not-done", 2)])
def test_a_server_killed_in_the_middle_leaves_doubt(pump, capsys, outcome, doses):
    pump.start(delay=30)
    driver = pump.spawn("a", call=FORGETFUL)
    pump.wait_for_dose()
    pump.kill()
    log = driver.communicate(timeout=30)[1]
    assert driver.returncode == 75, log
    assert "a person must look" in last_words(log), log
    pump.start()
    assert pump.call("a", call=FORGETFUL) == 75
    assert "cannot tell" in capsys.readouterr().err
    assert pump.doses() == {"a": 1}
    assert pump.settle("a", outcome) == 0
    assert pump.call("a", call=FORGETFUL) == 0
    assert pump.output()["success"] is (outcome == "not-done")
    assert pump.doses() == {"a": doses}


@pytest.mark.slow
def test_a_device_that_remembers_is_asked_after_it_was_killed(pump):
    pump.start(delay=30)
    driver = pump.spawn("a", call=CALL)
    pump.wait_for_dose()
    pump.kill()
    assert driver.communicate(timeout=30)
    assert driver.returncode == 75
    pump.start()
    assert pump.call("a", call=CALL) == 0
    assert pump.output()["dosed_mL"] == 1.5
    assert "recalled" in pump.output()
    history = json.loads((pump.folder / "journal" / "keys" / "a.json").read_text())["history"]
    assert [line["state"] for line in history] == ["begun", "unknown", "done"]
    assert history[-1]["who"] == "finales-opcua"
    assert pump.doses() == {"a": 1}


@pytest.mark.parametrize(
    "way", [pytest.param({"call": CALL}, marks=pytest.mark.slow), {"steps": STEPS}], ids=["call", "steps"]
)
def test_a_driver_killed_in_the_middle_finds_its_act_again(pump, way):
    pump.start(delay=1.0)
    driver = pump.spawn("a", **way)
    pump.wait_for_dose()
    driver.kill()
    driver.communicate()
    assert pump.call("a", **way) == 0
    assert pump.output()["dosed_mL"] == 1.5
    assert pump.call("b", **way) == 0
    assert pump.doses() == {"a": 1, "b": 1}


@pytest.mark.slow
def test_an_act_that_takes_too_long_is_in_doubt(pump, capsys):
    pump.start(delay=3)
    assert pump.call("a", call=FORGETFUL, act_timeout_s=0.3) == 75
    assert "did not end within 0.3 s" in capsys.readouterr().err
    assert pump.doses() == {"a": 1}


def test_a_failed_state_is_in_doubt_and_then_not_idle(pump, capsys):
    pump.start()
    assert pump.call("a", 25, steps=STEPS) == 75
    assert "the state of the device is 3, which means that it failed" in capsys.readouterr().err
    assert pump.call("b", steps=STEPS) == 69
    assert "the state of the device is 3, it acts at 0" in capsys.readouterr().err
    assert pump.doses() == {"a": 1}


@pytest.mark.slow
def test_calls_take_turns(pump):
    pump.start(delay=0.3)
    drivers = [pump.spawn(f"key-{index}", call=FORGETFUL, output=f"out-{index}.json") for index in range(4)]
    for driver in drivers:
        log = driver.communicate(timeout=60)[1]
        assert driver.returncode == 0, log
    begins = sorted(entry["begin"] for entry in pump.entries())
    assert pump.doses() == {f"key-{index}": 1 for index in range(4)}
    assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(begins))


def test_user_and_password_come_from_the_environment(pump, monkeypatch, capsys):
    pump.start("robot", "s3cret")
    assert pump.call("a", call=CALL) == 64
    assert "correct the profile or the credentials" in capsys.readouterr().err
    monkeypatch.setenv("FINALES_OPCUA_USER", "robot")
    monkeypatch.setenv("FINALES_OPCUA_PASSWORD_FILE", str(pump.folder / "password"))
    assert pump.call("a", call=CALL) == 64
    assert "accepted is an existing file" in capsys.readouterr().err
    (pump.folder / "password").write_text("s3cret\n")
    assert pump.call("a", call=CALL) == 0
    everything = capsys.readouterr().err + (pump.folder / "out.json").read_text()
    everything += (pump.folder / "journal" / "keys" / "a.json").read_text()
    assert "s3cret" not in everything


@pytest.mark.slow
def test_an_encrypted_connection(pump, monkeypatch):
    for name, uri in (("server", "urn:freeopcua:python:server"), ("client", "urn:aiida-finales:test:client")):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        extensions = ["-addext", f"subjectAltName=URI:{uri},IP:127.0.0.1"]
        files = ["-keyout", str(pump.folder / f"{name}-key.pem"), "-out", str(pump.folder / f"{name}.pem")]
        subprocess.run([*command, *extensions, *files], check=True, capture_output=True)
    names = {name: str(pump.folder / name) for name in ("server.pem", "server-key.pem", "client.pem", "client-key.pem")}
    pump.start("robot", "s3cret", names["server.pem"], names["server-key.pem"])
    (pump.folder / "password").write_text("s3cret")
    monkeypatch.setenv("FINALES_OPCUA_USER", "robot")
    monkeypatch.setenv("FINALES_OPCUA_PASSWORD_FILE", str(pump.folder / "password"))
    assert pump.call("a", call=CALL) in (64, 69)  # the server offers no connection without encryption
    parts = ["Basic256Sha256", "SignAndEncrypt", names["client.pem"], names["client-key.pem"], names["server.pem"]]
    monkeypatch.setenv("FINALES_OPCUA_SECURITY", ",".join(parts))
    assert pump.call("a", call=CALL) == 0
    assert pump.doses() == {"a": 1}


def test_dry_run_needs_no_server(pump, capsys):
    assert pump.call("a", 1.5, "--dry-run", call=CALL) == 0
    assert "call {ns}:Pump/{ns}:Act" in capsys.readouterr().err
    assert not (pump.folder / "journal").exists()


def test_without_asyncua_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "asyncua", None)
    monkeypatch.setitem(sys.modules, "asyncua.ua", None)
    settings = {"url": "opc.tcp://127.0.0.1:1", "call": CALL}
    (tmp_path / "in.json").write_text(json.dumps({"parameters": {}, "settings": settings}))
    files = ["--input", str(tmp_path / "in.json"), "--output", str(tmp_path / "out.json")]
    assert run_driver(OpcUa(), ["--key", "a", *files, "--journal", str(tmp_path / "journal")]) == 64
    assert "pip install 'aiida-finales[lab]'" in capsys.readouterr().err


def test_a_profile_may_be_a_file(tmp_path, monkeypatch, capsys):
    profile = {"url": "opc.tcp://pump", "call": CALL, "parameters": {"volume": {"min": 0, "max": 5}, "note": {}}}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    monkeypatch.setenv("FINALES_OPCUA_PROFILE", str(path))
    assert run_driver(OpcUa(), ["--limitations"]) == 0
    assert json.loads(capsys.readouterr().out) == {"volume": [{"min": 0, "max": 5}]}
    payload = {"parameters": {"volume": 1, "note": "x"}, "settings": {"profile": str(path), "timeout_s": 3}}
    plan = OpcUa().prepare(payload)
    assert (plan.profile.timeout, plan.profile.url) == (3, "opc.tcp://pump")
    monkeypatch.delenv("FINALES_OPCUA_PROFILE")
    assert run_driver(OpcUa(), ["--limitations"]) == 64


GOOD = {"url": "opc.tcp://pump:4840", "call": CALL}
BAD_PROFILES = {
    "no url": ({"url": None}, "settings.url"),
    "another protocol": ({"url": "http://pump"}, "settings.url"),
    "password in the url": ({"url": "opc.tcp://me:pw@pump:4840"}, "without user and password"),
    "call and steps": ({"steps": STEPS}, "either call or steps"),
    "unknown key": ({"speed": 1}, "settings.speed: 1 was given"),
    "no time": ({"timeout_s": 0}, "settings.timeout_s"),
    "no method": ({"call": {"object": "Pump"}}, "settings.call.method"),
    "unknown source": ({"call": CALL | {"arguments": ["$key", "mass"]}}, "'mass' was given"),
    "no memory without key": ({"call": CALL | {"arguments": ["$input"]}}, "settings.call.remembers_keys"),
    "limits": ({"parameters": {"volume": {"max": "much"}}}, "settings.parameters.volume.max"),
    "unknown limit": ({"parameters": {"volume": {"most": 3}}}, "settings.parameters.volume.most"),
}


@pytest.mark.parametrize(("change", "words"), BAD_PROFILES.values(), ids=BAD_PROFILES)
def test_bad_profiles_are_refused(change, words):
    with pytest.raises(DeviceInputError, match=words.replace("$", r"\$")):
        read_profile(GOOD | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"done": []}, "settings.steps.done"),
        ({"done": [0]}, "without a value in common"),
        ({"command": {"node": "ns=1;i=1"}}, "settings.steps.command"),
        ({"write": {"ns=1;i=1": 3}}, "settings.steps.write"),
        ({"state": ""}, "settings.steps.state"),
    ],
)
def test_bad_steps_are_refused(change, words):
    with pytest.raises(DeviceInputError, match=words):
        read_profile({"url": "opc.tcp://pump", "parameters": {"volume": {}}, "steps": STEPS | change})


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(3, "Double", 3.0), (3.0, "Byte", 3), (-128, "SByte", -128), ("a", "String", "a"), (True, "Boolean", True)],
)
def test_values_are_converted(value, kind, expected):
    converted = convert("parameters.x", value, kind)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *[(256, "Byte"), (-1, "UInt32"), (1.5, "Int16"), (True, "Int16"), (float("inf"), "Int64")],
        *[(float("nan"), "Double"), ([1.0], "Double"), ("a", "Float")],
        *[(3, "String"), (1, "Boolean"), ("a", "DateTime")],
    ],
)
def test_what_a_type_cannot_hold_is_refused(value, kind):
    with pytest.raises(DeviceInputError, match=r"parameters\.x"):
        convert("parameters.x", value, kind)


def test_the_driver_starts_without_asyncua():
    """A driver is started once per act, so that what it needs for acting is loaded when it acts."""
    code = "import sys, aiida_finales.lab.opcua.driver; print({'asyncua', 'numpy', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
