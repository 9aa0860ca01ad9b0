"""The process of a request, from outside: start it, find it, tell it, stop it, wait for it."""

from __future__ import annotations

import getpass
import logging
import time

from aiida import orm

from aiida_finales.broker.matching import demand_match
from aiida_finales.broker.requests import OPEN, mark_served, post_request, retract_request
from aiida_finales.broker.state import read_state
from aiida_finales.calculations.answer import wake_request
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import DaemonError, StatusError
from aiida_finales.operations.engine.connection import connect_to_daemon, stay_connected
from aiida_finales.operations.engine.daemon import is_daemon_running, read_daemon_state
from aiida_finales.operations.engine.profile import open_session

#: s between two looks at a process that is waited for
POLL_INTERVAL = 0.5
#: s until a worker must have confirmed that it kills a process
KILL_TIMEOUT = 10.0


def who_am_i() -> str:
    """Return the name under which this person appears in histories."""
    return getpass.getuser()


def submit_request(request: RequestData) -> orm.WorkChainNode:
    """Post a request and let the daemon serve it; also in a program that lives longer than the daemon.

    :raises LimitationError: when no active tenant can ever serve it; nothing was stored.
    :raises DaemonError: when there is no daemon that can be relied on; nothing was stored.
    """
    # before the daemon is asked for: what nobody can ever do is refused for that reason
    candidates = None if request.is_stored else demand_match(request.quantity, request.parameters)
    connect_to_daemon()
    post_request(request, who=request.requester or who_am_i(), candidates=candidates)
    return start_process(request)


def start_process(request: RequestData) -> orm.WorkChainNode:
    """Submit the process of a request that was posted.

    :raises DaemonError: when the broker does not answer; the process may be stored, `aiida-finales doctor` sees it.
    """
    from aiida.common.exceptions import InvalidOperation
    from aiida.engine import submit

    from aiida_finales.workflows.serve import ServeRequestWorkChain

    try:
        process: orm.WorkChainNode = submit(ServeRequestWorkChain, request=request)  # type: ignore[assignment]
    except (InvalidOperation, ConnectionError, TimeoutError) as error:
        raise DaemonError(f"the process of request <{request.pk}> was not submitted: {error}") from error
    return process


def serve_posted(pk: int) -> str:
    """Submit the process of a request, unless it has one or is closed; return what was done, in words.

    :raises DaemonError: when the broker does not answer.
    """
    request: RequestData = orm.load_node(pk)  # type: ignore[assignment]
    if read_state(pk).get("status") not in OPEN:
        return f"request <{pk}> is closed"
    processes = find_processes(request)
    if not processes:
        stay_connected()
    process = processes[0] if processes else start_process(request)
    mark_served(pk, "server", f"served by process {process.uuid}")
    return f"request <{pk}> is served by process <{process.pk}>"


def find_processes(request: RequestData) -> list[orm.WorkChainNode]:
    """Return the processes that serve or served a request, the latest first."""
    query = orm.QueryBuilder().append(RequestData, filters={"id": request.pk}, tag="request")
    filters = {"process_type": "aiida.workflows:finales.serve"}
    query.append(orm.WorkChainNode, with_incoming="request", filters=filters, tag="process")
    return list(query.order_by({"process": {"id": "desc"}}).all(flat=True))


def retract(request: RequestData, who: str, why: str) -> str:
    """Take a request back and stop what serves it, down to the device.

    :returns: what became of its process, in words.
    :raises StatusError: when the request is resolved or retracted already.
    """
    holder = str(read_state(pk_of(request)).get("holder") or "")
    retract_request(pk_of(request), who, why)
    return stop_serving(request, holder, why)


def stop_serving(request: RequestData, holder: str, why: str) -> str:
    """Stop what serves a request that was retracted, down to the device; return what became of it, in words.

    :param holder: who held it before.
    """
    running = [process for process in find_processes(request) if not process.is_terminated]
    if not running:
        return "no process was serving it"
    if read_daemon_state().supervisor is None:
        return f"process <{running[0].pk}> ends when the daemon runs again"
    if not holder.startswith("process:"):
        wake_request(pk_of(request))
        return f"process <{running[0].pk}> ends now"
    words = f"process <{running[0].pk}> and its device job are told to stop"
    return words if kill(running, why) else f"{words}; it has not ended yet"


def kill(processes: list[orm.WorkChainNode], why: str) -> bool:
    """Kill processes and all that they called; return whether they have ended.

    Where the answer is late they end later: the message is not lost, and what serves a retracted request stops by
    itself.
    """
    from aiida.engine.processes import control

    level = control.LOGGER.level
    control.LOGGER.setLevel(logging.CRITICAL)  # "Failed to kill" is what it says of an answer that is late
    try:
        control.kill_processes(list(processes), msg_text=why, timeout=KILL_TIMEOUT)
    except control.ProcessTimeoutException:
        return False
    finally:
        control.LOGGER.setLevel(level)
    return all(process.is_terminated for process in processes)


def wake(request: RequestData) -> bool:
    """Tell the process of a request to look; return whether a worker heard it (it looks by itself after 2 s)."""
    return is_daemon_running() and wake_request(pk_of(request))


def wait_for(process: orm.ProcessNode, timeout: float | None = None) -> None:
    """Wait for the end of a process.

    :param timeout: s; ``None`` waits for ever.
    :raises StatusError: when it has not ended by then.
    """
    end = None if timeout is None else time.monotonic() + timeout
    while not is_ended(process):
        if end is not None and time.monotonic() > end:
            raise StatusError(f"process <{process.pk}> has not ended within {timeout} s; it goes on")
        time.sleep(POLL_INTERVAL)


def is_ended(process: orm.ProcessNode) -> bool:
    """Return whether a process has ended, as the database knows it now."""
    refresh()
    return bool(process.is_terminated)


def refresh() -> None:
    """End the present read of the database: SQLite shows one and the same state for as long as a read lasts."""
    open_session().commit()
