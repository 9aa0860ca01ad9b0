"""A worker is killed while it submits a process or ends one, at each moment at which something is missing."""

from __future__ import annotations

import os
import textwrap
from functools import partial

import pytest

from .test_waiting import PREAMBLE

pytestmark = pytest.mark.daemon
SLOW = partial(pytest.param, marks=pytest.mark.slow)

#: run by the interpreter of each worker: it kills itself, once per file that is there
SABOTAGE = """
import os, signal, sys
from pathlib import Path

if "worker" in sys.orig_argv:
    from aiida.engine.processes.functions import FunctionProcess
    from aiida.engine.processes.process import Process
    from plumpy.process_comms import RemoteProcessThreadController

    def die(moment):
        try:
            (Path({folder!r}) / moment).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    save, end = Process._save_checkpoint, Process.on_terminated
    send = RemoteProcessThreadController.continue_process

    def save_checkpoint(self):
        if self.node.checkpoint is None and self.node.caller is not None:
            die("before the checkpoint")
        save(self)

    def continue_process(self, *args, **kwargs):
        die("before the task")
        sent = send(self, *args, **kwargs)
        die("after the task")
        return sent

    def on_terminated(self):
        kind = "a function" if isinstance(self, FunctionProcess) else "a child" if self.node.caller else "a parent"
        die("before the seal of " + kind)
        end(self)

    Process._save_checkpoint = save_checkpoint
    Process.on_terminated = on_terminated
    RemoteProcessThreadController.continue_process = continue_process
"""


@pytest.fixture(scope="module")
def bombs(daemon_lab, tmp_path_factory):
    """A folder: a file in it makes a worker kill itself at the moment that its name says."""
    program, folder = tmp_path_factory.mktemp("program"), tmp_path_factory.mktemp("bombs")
    (program / "sitecustomize.py").write_text(textwrap.dedent(SABOTAGE).format(folder=str(folder)))
    before = os.environ.get("PYTHONPATH")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(program), *([before] if before else [])]))
        daemon_lab.stop()
        daemon_lab.start()
        yield folder
    daemon_lab.stop()
    daemon_lab.start()


@pytest.mark.parametrize("moment", [SLOW("before the checkpoint"), SLOW("before the task"), "after the task"])
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


@pytest.mark.parametrize("kind", [SLOW("a function"), SLOW("a child"), "a parent"])
def test_a_process_is_closed_whenever_its_worker_dies(lab, bombs, kind):
    """What is not sealed is in no export; the result was made, and is made no second time.

    State and seal are one transaction: a parent that dies between them goes on from its checkpoint, and ends once.
    """
    (bombs / f"before the seal of {kind}").touch()
    method = "empirical_model" if kind == "a function" else "literature"
    pk, ended, states, results = lab.python(
        PREAMBLE
        + f"""
from aiida_finales.data.result import ResultData
request = RequestData("conductivity", {{"{method}": parameters}}, "test").store()
node = submit(ServeRequestWorkChain, request=request)
if "{method}" == "literature":
    assert until(lambda: find_waiting(request.pk), 120)
    answer_request(request.pk, "librarian", answer, candidate)
assert until(lambda: node.is_terminated, 200), [(child.pk, child.process_state) for child in node.called]
until(lambda: all(child.is_sealed for child in node.called), 20)
results = orm.QueryBuilder().append(ResultData, filters={{"attributes.request_uuid": request.uuid}}).all(flat=True)
print(json.dumps([node.pk, node.exit_status, [[child.process_state.value, child.is_sealed] for child in node.called],
                  [result.creator.is_finished_ok for result in results]]))
"""
    )
    assert not (bombs / f"before the seal of {kind}").exists(), "no worker died, so that nothing is tested"
    assert (ended, results) == (0, [True])
    assert states == [["finished", True]]
    assert lab.python("print(json.dumps(orm.load_node(int(sys.argv[1])).is_sealed))", pk)
