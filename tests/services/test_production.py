"""One request, end to end, on PostgreSQL and RabbitMQ, while things break."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, read_steps

from .conftest import Installation

HERE = Path(__file__).parent

pytestmark = pytest.mark.services


@pytest.mark.timeout(600)
def test_one_answer_is_one_result_through_a_killed_worker_and_a_restarted_broker(production):
    found = production.python(HERE / "answer_through_trouble.py", str(HERE.parent / "services.sh"))
    assert found["n_workers"] == 2
    assert found["ended"], repr(found)
    assert found["exit_status"] == 0
    assert len(found["results"]) == 1
    assert found["state"]["status"] == "resolved"
    assert found["state"]["result"] == found["results"][0]
    assert found["history"].count("resolved") == 1


@pytest.mark.timeout(900)
def test_a_robot_doses_once_while_the_services_are_in_trouble(production, tmp_path):
    """PostgreSQL is restarted in the middle of a dose, then RabbitMQ's disk is full in the middle of another."""
    folder = tmp_path / "laboratory"
    setup = str(Path(sys.executable).with_name("aiida-finales"))
    production.run(setup, "setup", "--folder", str(folder), "--no-cells", "--robot-delay", "8", "--limit", "60")
    found = production.python(HERE / "dose_through_trouble.py", str(HERE.parent / "services.sh"), str(folder))
    for trouble in ("restart_database", "fill_disk"):
        assert found[trouble]["is_in_the_middle"], found
        assert found[trouble] | {"is_cured": None} == {
            "is_in_the_middle": True, "is_cured": None, "is_ended": True, "doses": 1, "results": 1,
            "status": "resolved", "exit_status": 0,
        }, found  # fmt: skip


@pytest.mark.timeout(900)
def test_the_commands_of_the_manual_make_a_profile(services, database, tmp_path):
    """Word for word, but for where the services of the tests are, whom they let in, and where files may be."""
    ours = {
        "--database-hostname": services["FINALES_TEST_PG_HOST"],
        "--database-port": services["FINALES_TEST_PG_PORT"],
        "--database-username": services["FINALES_TEST_PG_USER"],
        "--database-password": services["FINALES_TEST_PG_PASSWORD"],
        "--database-name": database,
        "--repository-uri": (tmp_path / "repository").as_uri(),
    }
    steps = read_steps(DOCS / "how-to" / "run_in_production.md")
    begin = next(index for index, step in enumerate(steps) if "profile setup" in step.text)
    commands = [shlex.split(step.text) for step in steps[begin:]]
    assert commands[4][-1] == "doctor"
    # the services are those of all tests: they are not restarted here
    commands = [words for words in commands if words[0] != "sudo"]
    assert [words[3:] for words in commands[-2:]] == [["daemon", "start", "2"], ["daemon", "incr", "2"]]
    installation = Installation(tmp_path, services)
    try:
        for words in commands:
            given = [ours.get(before, word) for before, word in itertools.pairwise(["", *words])]
            installation.run(str(Path(sys.executable).with_name(given[0])), *given[1:])
    finally:
        installation.verdi("-p", "prod", "daemon", "stop", "--timeout", "30")
