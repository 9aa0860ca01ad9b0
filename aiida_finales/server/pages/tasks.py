"""What waits for people: a list, and a form for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from aiida import orm
from fastapi import Query, Request, Response

from aiida_finales.broker.requests import open_states
from aiida_finales.broker.samples import say_place
from aiida_finales.broker.state import State
from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.sample import identities_used
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import FinalesError, SchemaError
from aiida_finales.operations.request.answering import demand_candidate, post_answer
from aiida_finales.operations.request.people import (
    TRANSPORT,
    describe_tasks,
    find_tasks,
    finish_transport,
    refuse_task,
    tell_task,
)
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.finales.requests import load_request
from aiida_finales.server.pages.form import (
    COUNT,
    Field,
    Place,
    Reader,
    count_items,
    find_places,
    make_field,
    place_defects,
    type_document,
)
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import FIELD, ProofDep, ViewerDep
from aiida_finales.server.v1.laboratory import demand_own_task

router = new_router()

Typed = dict[str, str]
Offset = Annotated[int, Query(ge=0, le=2**40)]

#: rows of the list on one page
MOST = 40

#: where a transport's result says where the samples are now
PLACE: Place = ("actual_new_location",)


@dataclass(frozen=True)
class Task:
    """What a form needs to know about a task.

    :param samples: identities of the samples that it is about.
    :param field: the form of the result; of the place only, for a transport.
    """

    uuid: str
    pk: int
    what: str
    details: str
    person: str
    samples: tuple[str, ...]
    is_transport: bool
    schema: Json
    field: Field
    asked: Json

    @property
    def place(self) -> Place:
        """Which part of the result is asked for."""
        return PLACE if self.is_transport else ()


class Refusal(Exception):  # noqa: N818 - no error of the program: the form is shown again
    """What was typed cannot be accepted.

    :param errors: sentences by name of the field.
    :param others: sentences that belong to no field.
    """

    def __init__(self, errors: dict[str, str], others: list[str] | None = None) -> None:
        super().__init__("the form cannot be accepted")
        self.errors = errors
        self.others = others or []


@router.get("/tasks")
async def show_tasks(request: Request, context: ContextDep, user: ViewerDep, offset: Offset = 0) -> Response:
    """List what waits for people, what waits longest first."""
    tasks, n_all = await context.orm.call(lambda: list_rows(user, open_states(), MOST, offset))
    return render(request, "tasks.html", user, tasks=tasks, n_all=n_all, offset=offset, most=MOST)


@router.get("/tasks/{uuid}")
async def show_task(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show the form of one task."""
    task, typed = await context.orm.call(lambda: _open_form(uuid, user))
    return render(request, "task.html", user, task=task, typed=typed, errors={}, others=[])


@router.post("/tasks/{uuid}", dependencies=[ProofDep])
async def answer_task(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Take what was typed; show the form again, with everything in it, when something cannot be accepted."""
    typed = {key: str(value) for key, value in (await request.form()).items() if key != FIELD}
    if more := typed.pop("more", ""):
        task = await context.orm.call(lambda: _one_more(uuid, user, typed, more))
        return render(request, "task.html", user, task=task, typed=typed, errors={}, others=[])
    try:
        pk = await context.orm.call(lambda: _answer(uuid, user, typed))
    except Refusal as refusal:
        task = await context.orm.call(lambda: _read_task(uuid, user, typed)[0])
        content = {"typed": typed, "errors": refusal.errors, "others": refusal.others}
        return render(request, "task.html", user, 422, task=task, **content)
    context.background.wake(pk)
    return go_to(f"/pages/requests/{uuid}")


def list_rows(user: User, states: Mapping[int, State], limit: int, offset: int = 0) -> tuple[list[Json], int]:
    """Return a part of the tasks as rows, each with whether this user may answer it; and how many tasks there are.

    :param states: of all open requests.
    :param limit: so many at most, after those that ``offset`` leaves out.
    """
    found = find_tasks(states)
    is_for_all = user.has_role("operator")
    rows = describe_tasks(found, limit, offset)
    return [{**row, "is_own": is_for_all or found[row["pk"]][1] in user.tenants} for row in rows], len(found)


def _open_form(uuid: str, user: User) -> tuple[Task, Typed]:
    """Return a task, and what its form shows at first: the composition as it was asked for, never an identity."""
    task, _, _ = _read_task(uuid, user, {})
    typed: Typed = {}
    if "formulation" in task.asked and not task.is_transport:
        for place in find_places(task.schema, "formulation"):
            typed |= type_document(task.asked["formulation"], ".".join(map(str, place)))
    return _read_task(uuid, user, typed)[0], typed


def _one_more(uuid: str, user: User, typed: Typed, name: str) -> Task:
    """Give a list of the form one more item."""
    task, _, _ = _read_task(uuid, user, typed)
    if name in {item.name for item in task.field.walk() if item.kind == "list"}:
        typed[name + COUNT] = str(count_items(name, {}, typed) + 1)
    return _read_task(uuid, user, typed)[0]


def _read_task(uuid: str, user: User, typed: Typed) -> tuple[Task, RequestData, TenantData]:
    request = load_request(uuid)
    person = demand_own_task(request, user)
    method = demand_candidate(request, person).method
    capability: CapabilityData = orm.load_node(request.capabilities[method])  # type: ignore[assignment]
    is_transport = (capability.quantity, capability.method) == TRANSPORT
    asked = request.parameters[method]
    field = make_field(capability.result_schema, PLACE if is_transport else (), typed)
    task = Task(
        uuid=request.uuid,
        pk=pk_of(request),
        what=tell_task(request.quantity, request.methods, request.parameters),
        details=say_place(asked["destination"]) if is_transport else "",
        person=person.name,
        samples=tuple(identities_used(request.quantity, request.parameters)),
        is_transport=is_transport,
        schema=capability.result_schema,
        field=field,
        asked=asked,
    )
    return task, request, person


def _answer(uuid: str, user: User, typed: Typed) -> int:
    """Hand in what was typed; return the pk of the request.

    :raises Refusal: when something of it cannot be accepted.
    """
    task, request, person = _read_task(uuid, user, typed)
    outcome = typed.get("outcome", "")
    try:
        demand_plain(typed)
        if outcome == "refused":
            _refuse(request, person, user, typed)
        elif outcome in ("done", "elsewhere"):
            _demand_labels(task, typed)
            (_finish_transport if task.is_transport else _finish_other)(task, request, person, user, typed)
        else:
            raise Refusal({"outcome": "nothing was chosen, accepted is one of these"})
    except SchemaError as error:
        raise Refusal(*place_defects(error, task.field)) from error
    except (FinalesError, ValueError) as error:
        raise Refusal({}, [str(error)]) from error
    return task.pk


def _refuse(request: RequestData, person: TenantData, user: User, typed: Typed) -> None:
    reason = typed.get("reason", "").strip()
    if not reason:
        raise Refusal({"reason": "nothing was given, accepted is why it will not be done"})
    refuse_task(request, person, user.who, reason[:2000])


def _finish_transport(task: Task, request: RequestData, person: TenantData, user: User, typed: Typed) -> None:
    location = _read_document(task, typed) if typed["outcome"] == "elsewhere" else None
    finish_transport(request, person, user.who, samples=_read_labels(typed), location=location)


def _finish_other(task: Task, request: RequestData, person: TenantData, user: User, typed: Typed) -> None:
    data = _read_document(task, typed)
    method = demand_candidate(request, person).method
    answer = {"method": method, "data": data, "parameters": task.asked, "simulated": False}
    answer["is_sure"] = bool(typed.get("sure"))
    post_answer(request, answer, tenant=person.name)


def _read_document(task: Task, typed: Typed) -> Any:
    reader = Reader(task.schema, typed)
    document = reader.read(task.place)
    if reader.errors:
        raise Refusal(reader.errors)
    if reader.given and isinstance(document.get("run_info"), dict):
        document["run_info"]["given"] = reader.given
    return document


def _demand_labels(task: Task, typed: Typed) -> None:
    """Refuse unless exactly those samples were typed or scanned that the task is about."""
    given = _read_labels(typed)
    foreign = [item for item in given if item not in task.samples]
    lacking = [item for item in task.samples if item not in given]
    if not task.samples:
        return
    if foreign:
        words = f"{', '.join(foreign)} was given, but this task is about {', '.join(task.samples)}: look at the label"
        raise Refusal({"samples": words})
    if lacking:
        raise Refusal({"samples": f"lacking: {', '.join(lacking)}; accepted is what is written on each sample"})


def _read_labels(typed: Typed) -> tuple[str, ...]:
    lines = (line.strip() for line in typed.get("samples", "").splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))
