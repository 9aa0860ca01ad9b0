"""Cells that are simulated for real on a computer behind SSH, and through SLURM; and what may happen to them there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.calculations.molecular_dynamics import MolecularDynamicsCalculation
from aiida_finales.workflows.molecular_dynamics import TREATMENTS

pytestmark = pytest.mark.services

EXITS = MolecularDynamicsCalculation.exit_codes
#: in so short a run it is chance whether the few ions look diffusive
ENDED = {0, EXITS.ERROR_NOT_DIFFUSIVE.status}
SMALL = Path(__file__).parents[1] / "fixtures" / "molecular_dynamics" / "small.json"
FRAME_PS = json.loads(SMALL.read_text())["protocol"]["frame_ps"]
#: ps; more than is simulated while a test goes on, for jobs that somebody stops
ENDLESS = 5000.0
#: s until a job that was submitted simulates
BEGIN_TIMEOUT = 60
#: file in the working folder of a job with the id of its process
PID = "pid"
#: s for which the computer cannot be reached; AiiDA, as it is delivered, tries five times in 300 s, and then pauses
OUTAGE = 60
#: s without the controller of SLURM
CONTROLLER_OUTAGE = 20
ASYNC, PARAMIKO = "core.ssh_async", "core.ssh"


@pytest.fixture
def login(cluster, monkeypatch):
    """The environment of somebody who can log in: the client finds its host and its key by HOME."""
    monkeypatch.setenv("HOME", cluster["FINALES_TEST_SSH_HOME"])
    return cluster


@pytest.fixture
def make_code(registered, login, aiida_computer, tmp_path):
    """Return a function that sets the computer up, as the how-to says, and the program on it."""

    def make(scheduler, *arguments, transport=ASYNC):
        script = tmp_path / "finales-md"
        command = f'{sys.executable} -m aiida_finales.md.command "$@" --threads 1 {" ".join(arguments)}'
        script.write_text(f"#!/bin/sh\necho $$ >{PID}\nexec {command}\n")
        script.chmod(0o755)
        hostname, settings = describe_login(login, transport)
        computer = aiida_computer(
            label=f"{transport}-{scheduler}-{tmp_path.name}",
            hostname=hostname,
            scheduler_type=scheduler,
            transport_type=transport,
            configuration_kwargs={**settings, "safe_interval": 0.0},
        )
        return orm.InstalledCode(computer=computer, filepath_executable=str(script)).store()

    return make


def describe_login(settings, transport):
    """Return the name of the host and what the transport needs to know: paramiko does not read ``~/.ssh/config``."""
    host = settings["FINALES_TEST_SSH_HOST"]
    if transport == ASYNC:
        return host, {"host": host, "backend": "asyncssh"}
    ssh = Path(settings["FINALES_TEST_SSH_HOME"]) / ".ssh"
    rows = (line.split(maxsplit=1) for line in (ssh / "config").read_text().splitlines())
    asked = {key.lower(): value for key, value in rows}
    return asked["hostname"], {
        "username": asked["user"],
        "port": int(asked["port"]),
        "key_filename": asked["identityfile"],
        "look_for_keys": False,
        "allow_agent": False,
        "load_system_host_keys": True,
        "key_policy": "RejectPolicy",
    }


def simulate(code, production_ps=2.0, *, parent_folder=None, **options):
    """Simulate a cell of 20 formula units; return outputs and node."""
    small = json.loads(SMALL.read_text())
    protocol = {**small["protocol"], "production_ps": production_ps}
    parameters = {**small, "protocol": protocol}
    inputs = {} if parent_folder is None else {"parent_folder": parent_folder}
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
    metadata = {"options": {"resources": resources, **options}}
    return run_get_node(
        MolecularDynamicsCalculation, code=code, parameters=orm.Dict(parameters), metadata=metadata, **inputs
    )


class Meanwhile:
    """Does something to a job, in a thread, once the job simulates; what fails there is raised at the end.

    :param action: called with the working folder of the job.
    """

    def __init__(self, folder, action):
        self.folder = folder
        self.action = action
        self.error = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.thread.join(timeout=120)
        if kind is None:
            assert not self.thread.is_alive(), "it has not ended"
            if self.error is not None:
                raise self.error

    def _work(self):
        try:
            end = time.monotonic() + BEGIN_TIMEOUT
            while (found := self._find_job()) is None:
                assert time.monotonic() < end, f"after {BEGIN_TIMEOUT} s nothing is simulated"
                time.sleep(0.2)
            self.action(found)
        except BaseException as error:
            self.error = error

    def _find_job(self):
        logs = self.folder.glob("*/*/*/cell/log.csv")
        return next((log.parents[1] for log in logs if "production" in log.read_text()), None)


def send(folder, number):
    """Send a signal to the program that works in a folder."""
    os.kill(int((folder / PID).read_text()), number)


def slurm(settings, *command):
    environment = {**os.environ, "SLURM_CONF": settings["FINALES_TEST_SLURM_CONF"]}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout


def count_frames(outputs):
    log = outputs["retrieved"].base.repository.get_object_content("log.csv", "r")
    return sum(line.startswith("production") for line in log.splitlines())


def check_complete(outputs, node, n_frames=40):
    assert node.exit_status in ENDED, node.exit_message
    assert {"cell", "packed", "last", "ions", "pair_distributions", "remote_folder", "retrieved"} <= set(outputs)
    assert outputs["cell"]["output"]["n_frames"] == n_frames
    assert count_frames(outputs) == n_frames


def check_unfinished(outputs, node):
    """What was stopped is no success, has no values, and is what the workflow resumes."""
    assert node.is_failed
    assert "cell" not in outputs
    assert TREATMENTS[node.exit_status] == "resume"


# --- what should happen


@pytest.mark.parametrize("scheduler", ["core.direct", "core.slurm"])
@pytest.mark.parametrize("transport", [ASYNC, PARAMIKO])
def test_a_cell_is_simulated_behind_ssh(make_code, transport, scheduler):
    code = make_code(scheduler, transport=transport)
    outputs, node = simulate(code)
    check_complete(outputs, node)
    assert (node.computer.transport_type, node.computer.scheduler_type) == (transport, scheduler)
    assert node.get_job_id().isdigit()
    assert "rdf.dcd" in outputs["remote_folder"].listdir("cell")


# --- what may happen


def test_a_job_that_somebody_else_cancels_is_no_success(make_code, login, tmp_path):
    code = make_code("core.slurm")

    def cancel(_):
        jobs = slurm(login, "squeue", "-h", "-o", "%i").split()
        assert len(jobs) == 1
        slurm(login, "scancel", *jobs)

    with Meanwhile(tmp_path, cancel):
        outputs, node = simulate(code, ENDLESS)
    check_unfinished(outputs, node)
    # SLURM tells before it kills, and the program keeps a checkpoint
    assert "checkpoint.npz" in outputs["remote_folder"].listdir("cell")
    assert slurm(login, "squeue", "-h") == ""


@pytest.mark.slow
def test_a_program_that_is_killed_leaves_no_success(make_code, tmp_path):
    code = make_code("core.slurm")
    with Meanwhile(tmp_path, lambda folder: send(folder, signal.SIGKILL)):
        outputs, node = simulate(code, ENDLESS)
    check_unfinished(outputs, node)
    assert node.exit_status == EXITS.ERROR_NO_OUTPUT.status, node.exit_message


@pytest.mark.slow
def test_what_the_scheduler_stops_goes_on_from_its_checkpoint(make_code):
    # SLURM counts minutes; a program that expects more time does not end before
    deaf = make_code("core.slurm", "--walltime", "1000")
    outputs, node = simulate(deaf, ENDLESS, max_wallclock_seconds=60)
    check_unfinished(outputs, node)
    assert "DUE TO TIME LIMIT" in node.get_scheduler_stderr()
    simulated = count_frames(outputs)
    assert simulated > 0
    limited = make_code("core.slurm")
    again, resumed = simulate(limited, ENDLESS, parent_folder=outputs["remote_folder"], max_wallclock_seconds=60)
    check_unfinished(again, resumed)
    assert resumed.exit_status == EXITS.ERROR_OUT_OF_WALLTIME.status, resumed.exit_message
    assert "TIME LIMIT" not in resumed.get_scheduler_stderr()
    assert count_frames(again) > simulated
    assert "packing" not in again["retrieved"].base.repository.get_object_content("finales-md.err", "r")


@contextlib.contextmanager
def held(folder):
    """Hold a program, so that it is still at work when an outage is over: who takes it for ended is wrong."""
    send(folder, signal.SIGSTOP)
    try:
        yield
    finally:
        send(folder, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("transport", "scheduler"), [(ASYNC, "core.slurm"), (ASYNC, "core.direct"), (PARAMIKO, "core.direct")]
)
def test_a_job_outlives_a_computer_that_cannot_be_reached(make_code, control, tmp_path, transport, scheduler):
    code = make_code(scheduler, transport=transport)
    production_ps = 10.0

    def interrupt(folder):
        with held(folder):
            control("kill", "sshd")
            try:
                time.sleep(OUTAGE)
            finally:
                control("start", "sshd")

    with Meanwhile(tmp_path, interrupt):
        outputs, node = simulate(code, production_ps)
    if scheduler == "core.direct" and node.is_failed and node.exit_status not in ENDED:
        # this scheduler of AiiDA may take a connection that breaks while it asks for an empty list of jobs
        check_unfinished(outputs, node)
        outputs, node = simulate(code, production_ps, parent_folder=outputs["remote_folder"])
    check_complete(outputs, node, round(production_ps / FRAME_PS))


@pytest.mark.slow
def test_a_job_outlives_the_controller_of_slurm(make_code, control, tmp_path):
    code = make_code("core.slurm")
    production_ps = 10.0

    def interrupt(folder):
        with held(folder):
            control("kill", "slurm")
            try:
                time.sleep(CONTROLLER_OUTAGE)
            finally:
                control("start", "slurm")

    with Meanwhile(tmp_path, interrupt):
        outputs, node = simulate(code, production_ps)
    check_complete(outputs, node, round(production_ps / FRAME_PS))
