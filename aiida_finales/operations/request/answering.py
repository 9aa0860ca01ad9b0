"""Answer requests from outside of the engine, for a tenant or as operator; settle with a device whether it acted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.broker.matching import Candidate
from aiida_finales.broker.requests import read_candidates
from aiida_finales.broker.reservation import answer_request, resume_request
from aiida_finales.broker.state import State, read_state
from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData, find_tenant, name_tenants
from aiida_finales.exceptions import DeviceError, ImplausibleError, InputError, StatusError
from aiida_finales.lab.driver.evaluation import last_words
from aiida_finales.operations.request.documents import read_json
from aiida_finales.operations.request.serving import wake, who_am_i


def name_holder(tenant: str | None, *, is_operator: bool) -> str:
    """Return under which name somebody acts on a request.

    :raises InputError: when neither a tenant nor an operator acts.
    :raises UnknownNodeError: when there is no such tenant.
    """
    if is_operator:
        return f"operator:{who_am_i()}"
    if tenant is None:
        raise InputError("who acts? Give --tenant NAME, or --operator")
    return find_tenant(tenant).name


def demand_candidate(request: RequestData, tenant: TenantData, method: str | None = None) -> Candidate:
    """Return how a tenant can serve a request.

    :param method: only by this one; default: the first that it can.
    :raises StatusError: when the tenant cannot serve it, naming those who can.
    """
    candidates = read_candidates(read_state(pk_of(request)))
    for candidate in candidates:
        if candidate.tenant == tenant.tenant_uuid and method in (None, candidate.method):
            return candidate
    known = name_tenants()
    names = ", ".join(f"{known[item.tenant]} by {item.method}" for item in candidates) or "nobody"
    by = f" by {method}" if method else ""
    raise StatusError(f"tenant {tenant.name} cannot serve request <{request.pk}>{by}; who can: {names}")


def post_answer(request: RequestData, answer: dict[str, Any], *, tenant: str | None, is_operator: bool = False) -> bool:
    """Hand in an answer; the process of the request makes the result of it.

    :param answer: ``method``, ``data``, ``parameters``, whether it is ``simulated``, and ``is_sure`` where numbers that
        are not to be expected are right.
    :param tenant: name or UUID of the tenant who answers.
    :param is_operator: an operator answers what somebody else holds.
    :returns: whether a worker has heard of it; otherwise it will look by itself.
    :raises SchemaError: when the data break the result schema of the capability.
    :raises InputError: when they are not plausible.
    :raises StatusError: when the tenant cannot serve it, or it is closed.
    :raises HeldError: when somebody else holds it.
    """
    holder = name_holder(tenant, is_operator=is_operator)
    if answer["method"] not in request.capabilities:
        raise InputError(f"method is {answer['method']!r}, but accepted are {', '.join(request.methods)}")
    capability: CapabilityData = orm.load_node(request.capabilities[answer["method"]])  # type: ignore[assignment]
    try:
        capability.content.demand_result(answer["data"], answer["parameters"], is_sure=answer.get("is_sure", False))
    except ImplausibleError as error:
        raise InputError(f"{error}. Should they be right, say so (--yes-really, on a page the box)") from error
    candidate = demand_candidate(request, find_tenant(tenant), answer["method"]) if tenant else None
    if candidate is None and read_state(pk_of(request)).get("status") == "pending":
        raise StatusError(f"request <{request.pk}> is held by nobody: say whose answer it is with --tenant NAME")
    answer_request(pk_of(request), holder, answer, candidate, is_operator=is_operator)
    return wake(request)


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
    words = last_words(stderr)
    if status != 0:
        raise DeviceError(f"the driver refuses (exit status {status}): {words}")
    return words
