"""Doing what the checks say: which commands, in which order, and until all is well."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aiida import orm
from plumpy import ProcessState

from aiida_finales.broker.processes import find_served
from aiida_finales.broker.requests import find_request, open_states
from aiida_finales.broker.reservation import expire_lease
from aiida_finales.calculations.answer import wake_request
from aiida_finales.exceptions import DaemonError
from aiida_finales.operations.diagnosis.check import SERVE_AGAIN, Check
from aiida_finales.operations.diagnosis.diagnose import diagnose
from aiida_finales.operations.diagnosis.processes import find_ended_twice, find_unclosed
from aiida_finales.operations.engine.daemon import REPAIR, RESTART, START
from aiida_finales.operations.engine.leftovers import end_leftovers, end_supervisor, find_leftovers
from aiida_finales.operations.engine.profile import loaded_profile
from aiida_finales.operations.platform.channels import find_forgotten, give_back
from aiida_finales.operations.request.serving import submit_request
from aiida_finales.schemas.words import be, count
from aiida_finales.workflows.wait_any import close

STOP = REPAIR[0]
#: what a command does: each for itself, since AiiDA goes on where circus refused to end
PARTS = {RESTART: (STOP, "verdi daemon start")}
#: seconds for one command; stopping a busy daemon takes the longest
COMMAND_TIMEOUT = 300.0
#: seconds in which a daemon that was started has workers and a broker, and has taken up what waited
SETTLE_TIMEOUT = 40.0


def plan_cure(checks: list[Check]) -> list[str]:
    """Return the commands that cure what a program can cure, each once and in a sensible order."""
    wanted = [check.cure for check in checks if not check.is_well and check.cure and not check.needs_person]
    plan: list[str] = []
    if REPAIR in wanted:
        # a repair restarts everything: no other treatment of the daemon is needed
        wanted = [REPAIR] + [cure for cure in wanted if cure not in (REPAIR, (RESTART,), (START,))]
    for cure in wanted:
        plan += [command for command in cure if command not in plan]
    # requests are served again by a daemon that is well
    return sorted(plan, key=lambda command: command in SERVE_AGAIN)


def carry_out(commands: list[str], say: Callable[[str], None]) -> None:
    """Run the commands of a plan.

    :param say: is told each command before it runs.
    :raises DaemonError: when one fails, with what it said.
    """
    profile = loaded_profile().name
    for command in commands:
        say(command)
        if command in SERVE_AGAIN:
            for pk in write_ends():
                say(f"process <{pk}> is written as ended")
            for pk in sorted(find_unclosed()):
                close(orm.load_node(pk))
                say(f"process <{pk}> is closed")
            for pk in serve_again():
                say(f"request <{pk}> is served again")
            for reserved in find_forgotten():
                say(f"reservation {reserved.reservation} is given back by request <{give_back(reserved).pk}>")
            continue
        for part in PARTS.get(command, (command,)):
            if part == STOP:
                _stop(profile, say)
                continue
            if part == START:
                _end_leftovers(profile, say)
            _run(part, profile)


def wait_until_well(timeout: float = SETTLE_TIMEOUT) -> list[Check]:
    """Return the checks once all is well, or those after the time (s): a daemon needs some seconds to begin."""
    end = time.monotonic() + timeout
    checks = diagnose()
    while not all(check.is_well or check.needs_person for check in checks) and time.monotonic() < end:
        time.sleep(1.0)
        checks = diagnose()
    return checks


def serve_again() -> list[int]:
    """Give every open request a living process, and offer again what a lease held too long; return their pks."""
    states = open_states()
    served = find_served(list(states))
    for pk in served:
        if expire_lease(pk):
            wake_request(pk)
    orphans = [pk for pk in states if pk not in served]
    for pk in orphans:
        submit_request(find_request(str(pk)))
    return orphans


def write_ends() -> list[int]:
    """Write the state of processes that ended in one worker and went on in another; return their pks.

    When a broker drops its connections, AiiDA may run a process in two workers at once; each writes all attributes, the
    last one wins. What the end left (exit status, exception, the seal) tells which state is the true one.
    """
    ended = find_ended_twice()
    for pk in ended:
        node = orm.load_node(pk)
        if node.exit_status is not None:
            state = ProcessState.FINISHED
        else:
            state = ProcessState.EXCEPTED if node.base.attributes.get(node.EXCEPTION_KEY, None) else ProcessState.KILLED
        # a sealed node refuses every change, this one included, though AiiDA failed to make it before
        node.backend_entity.set_attribute(orm.ProcessNode.PROCESS_STATE_KEY, state.value)
    return sorted(ended)


def _stop(profile: str, say: Callable[[str], None]) -> None:
    try:
        _run(STOP, profile)
    except DaemonError as error:
        say(str(error))
    if end_supervisor(profile):
        say("the daemon went on, and was ended by a signal")
    _end_leftovers(profile, say)


def _end_leftovers(profile: str, say: Callable[[str], None]) -> None:
    n_ended = end_leftovers(find_leftovers(profile))
    if n_ended:
        say(f"{count(n_ended, 'process', 'processes')} of a former daemon {be(n_ended, past=True)} ended")


def _run(command: str, profile: str) -> None:
    program, *arguments = shlex.split(command)
    path = Path(sys.executable).parent / program
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(path), "-p", profile, *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise DaemonError(f"'{command}' failed: {(done.stdout + done.stderr).strip()}")
