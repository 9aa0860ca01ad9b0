"""A worker is killed while it submits a child, at each moment at which something is missing."""

from __future__ import annotations

import os
import textwrap

import pytest

from .test_waiting import PREAMBLE

pytestmark = pytest.mark.daemon

#: run by the interpreter of each worker: it kills itself, once per file that is there
SABOTAGE = """
import os, signal, sys
from pathlib import Path

if "worker" in sys.orig_argv:
    from aiida.engine.processes.process import Process
    from plumpy.process_comms import RemoteProcessThreadController

    def die(moment):
        try:
            (Path({folder!r}) / moment).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    save, send = Process._save_checkpoint, RemoteProcessThreadController.continue_process

    def save_checkpoint(self):
        if self.node.checkpoint is None and self.node.caller is not None:
            die("before the checkpoint")
        save(self)

    def continue_process(self, *args, **kwargs):
        die("before the task")
        sent = send(self, *args, **kwargs)
        die("after the task")
        return sent

    Process._save_checkpoint = save_checkpoint
    RemoteProcessThreadController.continue_process = continue_process
"""


@pytest.fixture
def bombs(lab, tmp_path, monkeypatch):
    """A folder: a file in it makes a worker kill itself at the moment that its name says."""
    folder = tmp_path / "bombs"
    folder.mkdir()
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(SABOTAGE).format(folder=str(folder)))
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([before] if before else [])]))
    lab.stop()
    lab.start()
    yield folder
    monkeypatch.undo()
    lab.stop()
    lab.start()


@pytest.mark.parametrize("moment", ["before the checkpoint", "before the task", "after the task"])
def test_a_request_is_served_once_whenever_the_worker_dies(lab, bombs, moment):
    (bombs / moment).touch()
    ended, living, answers, results, stories = lab.python(
        PREAMBLE
        + """
from aiida_finales.data.result import ResultData
request, node = post()
found = until(lambda: find_waiting(request.pk), 120)
assert found, [(child.pk, child.process_state, child.exception) for child in node.called]
waiting = find_waiting(request.pk)
answer_request(request.pk, "librarian", answer, candidate)
assert until(lambda: node.is_terminated, 60)
called = node.called
results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}).count()
print(json.dumps([node.exit_status, [child.pk for child in called if not child.is_sealed], len(waiting), results,
                  [child.exception for child in called if child.is_excepted]]))
"""
    )
    assert not (bombs / moment).exists(), "no worker died, so that nothing is tested"
    assert (ended, living, answers, results) == (0, [], 1, 1)
    assert all("never ran" in story for story in stories)
