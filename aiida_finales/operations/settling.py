"""Settle with a device whether it acted, after a look at it, and let its request go on."""

from __future__ import annotations

import shlex
from pathlib import Path

from aiida import orm

from aiida_finales.broker.reservation import resume_request
from aiida_finales.broker.state import State, read_state
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import DeviceError, StatusError
from aiida_finales.operations.documents import read_json
from aiida_finales.operations.nodes import pk_of
from aiida_finales.operations.serving import wake


def settle(request: RequestData, who: str, outcome: str, reason: str, result: Path | None = None) -> str:
    """Tell the device's journal what was found, then let the request go on with the same key.

    Done: the device is not asked to act again; what it found is taken from ``result``, or is lost. Not done: it acts.

    :param outcome: ``done`` or ``not-done``.
    :param result: JSON file with what the device would have written.
    :returns: what the driver said.
    :raises StatusError: when no operator is waited for, or no driver serves the request.
    :raises DeviceError: when the driver refuses; nothing was changed then.
    """
    state = read_state(pk_of(request))
    if not state.get("needs_operator"):
        raise StatusError(
            f"request <{request.pk}> is {state.get('status')} and waits for no operator; to answer it yourself use "
            "'aiida-finales result post --operator', to give it back 'aiida-finales request release --operator'"
        )
    if result is not None:
        read_json(result)
    words = _tell_device(request, state, [outcome, reason, who], result)
    resume_request(pk_of(request), f"operator:{who}", f"settled as {outcome}: {reason}")
    wake(request)
    return words


def _tell_device(request: RequestData, state: State, settled: list[str], result: Path | None) -> str:
    """Run the driver with ``--settle`` where the device is."""
    tenant: TenantData = orm.load_node(state["node"])  # type: ignore[assignment]
    offer = tenant.find_offer(request.quantity, state["method"]) or {}
    settings = offer.get("settings", {})
    if "code" not in settings:
        raise StatusError(
            f"tenant {tenant.name} has no driver here: settle it where it runs, with 'finales-tenant --settle', "
            f"give it back with 'aiida-finales request release {request.pk} --operator', or answer it yourself"
        )
    code = orm.load_code(settings["code"])
    computer: orm.Computer = code.computer  # type: ignore[assignment]
    outcome, reason, who = settled
    arguments = ["--key", f"{request.uuid}-{state['method']}-{state['attempt']}", "--settle", outcome]
    arguments += ["--reason", reason, "--who", who]
    if settings.get("journal"):
        arguments += ["--journal", settings["journal"]]
    with computer.get_transport() as transport:
        if result is not None:
            remote = f"{computer.get_workdir().format(username=transport.whoami())}/settled-{request.uuid}.json"
            transport.putfile(str(result.resolve()), remote)
            arguments += ["--result", remote]
        command = shlex.join([str(code.filepath_executable), *arguments])
        status, _, stderr = transport.exec_command_wait(command)
    words = stderr.strip().splitlines()[-1] if stderr.strip() else ""
    if status != 0:
        raise DeviceError(f"the driver refuses (exit status {status}): {words}")
    return words
