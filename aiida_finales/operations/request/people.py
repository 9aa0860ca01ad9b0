"""What waits for people, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiida_finales.broker.requests import OPEN, name_asker, read_candidates, read_requests
from aiida_finales.broker.samples import say_place
from aiida_finales.broker.sight import is_hidden
from aiida_finales.broker.state import State, read_state
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.sample import check_location, identities_used
from aiida_finales.data.tenant import TenantData, find_tenant, name_tenants
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.request.answering import demand_candidate, post_answer
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.schemas.names import canonical_capability

TRANSPORT = ("transport", "transport_service")


def find_tasks(states: Mapping[int, State]) -> dict[int, tuple[State, str]]:
    """Return which open requests a person can serve, with the UUID of that tenant; those with an answer are left out.

    :param states: of open requests.
    """
    return {
        pk: (state, person)
        for pk, state in states.items()
        if not is_hidden(pk) and not state.get("answer") and (person := _name_person(state))
    }


def describe_tasks(found: Mapping[int, tuple[State, str]], limit: int | None = None, offset: int = 0) -> list[Json]:
    """Return tasks as rows, oldest first; their requests are read by one query, and by none where there is no task.

    :param found: of :func:`find_tasks`.
    :param limit: so many at most, after those that ``offset`` leaves out.
    """
    pks = sorted(found)[offset : None if limit is None else offset + limit]
    names, asked = name_tenants() if pks else {}, read_requests(pks)
    rows = []
    for pk in pks:
        (uuid, content), (state, person) = asked[pk], found[pk]
        rows.append(
            {
                "pk": pk,
                "uuid": uuid,
                "what": tell_task(content["quantity"], content["methods"], content["parameters"]),
                "for": names.get(person, person),
                "samples": identities_used(content["quantity"], content["parameters"]),
                "status": state["status"],
                "since": utc_text(state["since"]),
                "requester": name_asker(content["requester"], state, names),
            }
        )
    return rows


def tell_task(quantity: str, methods: Sequence[str], parameters: Mapping[str, Json]) -> str:
    """Return what is to be done, in words, given what a request asks for."""
    given = parameters[methods[0]]
    if canonical_capability(quantity, methods[0]) == TRANSPORT:
        samples = given.get("samples") or []
        what = f"{len(samples)} samples" if len(samples) > 1 else (samples or ["everything there"])[0]
        return f"carry {what} from {say_place(given['origin'])} to {say_place(given['destination'])}"
    return f"{quantity} by {' or '.join(methods)}"


def finish_transport(
    request: RequestData,
    person: TenantData,
    executant: str,
    *,
    samples: tuple[str, ...] = (),
    location: Json | None = None,
    refusal: str = "",
) -> bool:
    """Answer a request for a transport.

    :param executant: who did it.
    :param samples: what is written on the samples that were carried; must be exactly those that were asked for.
    :param location: where they are now; the destination when ``None``.
    :param refusal: why it was not done; the samples are where they were.
    :returns: whether a worker has heard of it.
    :raises InputError: when the samples are not those that were asked for.
    """
    method = TRANSPORT[1]
    given = request.parameters[method]
    if refusal:
        data: Json = {"success": False, "actual_new_location": given["origin"], "reason": f"{executant}: {refusal}"}
    else:
        _demand_identities(given.get("samples"), samples)
        data = {"success": True, "actual_new_location": check_location(location or given["destination"])}
        if given.get("samples"):
            data["samples"] = given["samples"]
    answer = {"method": method, "data": {**data, "executant": executant}, "parameters": given, "simulated": False}
    return post_answer(request, answer, tenant=person.name)


def refuse_task(request: RequestData, person: TenantData, executant: str, reason: str) -> str:
    """Say that a task will not be done; return what follows from it, in words."""
    from aiida_finales.operations.request.serving import retract

    if canonical_capability(request.quantity, request.methods[0]) == TRANSPORT:
        finish_transport(request, person, executant, refusal=reason)
        return f"request <{request.pk}> is answered: not done"
    return retract(request, executant, reason)


def demand_task(request: RequestData) -> TenantData:
    """Return the person who can serve a request.

    :raises StatusError: when nobody can, or it is closed or answered already.
    """
    state = read_state(pk_of(request))
    if state.get("status") not in OPEN:
        raise StatusError(f"request <{request.pk}> is {state.get('status')}: nobody waits for it any more")
    if state.get("answer"):
        raise StatusError(f"request <{request.pk}> was answered already by {state.get('holder')}")
    person = _find_person(state)
    if person is None:
        raise StatusError(f"request <{request.pk}> is not for people: see 'aiida-finales human list'")
    demand_candidate(request, person)
    return person


def _find_person(state: State) -> TenantData | None:
    uuid = _name_person(state)
    return None if uuid is None else find_tenant(uuid)


def _name_person(state: State) -> str | None:
    """Return the UUID of the person who can serve a request, or ``None``."""
    people = (item.tenant for item in read_candidates(state) if item.kind == "human")
    return next((uuid for uuid in people if state.get("tenant") in (None, uuid)), None)


def _demand_identities(asked: list[str] | None, given: tuple[str, ...]) -> None:
    if not asked:
        return
    lacking, foreign = sorted(set(asked) - set(given)), sorted(set(given) - set(asked))
    if foreign:
        raise InputError(f"{', '.join(foreign)} was given, but {', '.join(asked)} is to be carried: look at the label")
    if lacking:
        raise InputError(f"give what is written on each sample with --sample; lacking: {', '.join(lacking)}")
