"""For admins: who may use the server, which tenants there are, whether all is well, and what cures it."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from aiida_finales.broker.requests import open_states
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import FinalesError, InputError, StatusError
from aiida_finales.operations.engine.daemon import daemon_troubles, read_daemon_state
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.operations.laboratory.devices import read_tenants
from aiida_finales.operations.request.records import count_nodes
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import ROLES, User
from aiida_finales.server.context import Context, ContextDep
from aiida_finales.server.finales.documents import demand_plain
from aiida_finales.server.finales.requests import demand_role
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import ProofDep, ViewerDep

router = new_router()

HERE = "/pages/administration"
#: s that a look at everything may take, and a cure: a daemon that is busy takes minutes to stop
LOOK_TIMEOUT, CURE_TIMEOUT = 120.0, 600.0
#: lines of what a cure said that are kept
MOST_LINES = 40


class Treatment:
    """The cure that runs, or that ran last: one at a time."""

    def __init__(self) -> None:
        self.began: datetime | None = None
        self.lines: list[str] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._task is not None and not self._task.done()

    def start(self, profile: str) -> None:
        """Run what ``aiida-finales doctor`` names.

        :raises StatusError: when a cure runs already.
        """
        if self.is_running:
            raise StatusError(f"a cure runs since {self.began:%H:%M:%S} UTC: wait for its end")
        self.began, self.lines = datetime.now(UTC), ["begun"]
        self._task = asyncio.create_task(self._run(profile))

    async def _run(self, profile: str) -> None:
        status, said = await run_doctor(profile, CURE_TIMEOUT, "--cure", "--force")
        ended = "all is well" if status == 0 else f"it ended with exit status {status}: look at the checks"
        self.lines = [*said.splitlines()[-MOST_LINES:], ended]


async def run_doctor(profile: str, timeout: float, *options: str) -> tuple[int | None, str]:
    """Run ``aiida-finales doctor`` as a program of its own: it takes seconds, and others are served meanwhile.

    :returns: exit status, ``None`` when it took too long, and what it said.
    """
    path = str(Path(sys.executable).parent / "aiida-finales")
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(path, "-p", profile, "doctor", *options, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(program.communicate(), timeout)
    except TimeoutError:
        return None, f"it took more than {timeout:.0f} s"
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    # what was to be JSON is that alone, unless there is none
    return program.returncode, (out if "json" in options and out.strip() else out + err).decode(errors="replace")


@router.get("/administration")
async def show_administration(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Show users, tenants, workers, storage and what waits."""
    demand_role(user, "admin")
    return render(request, "administration.html", user, **await _look(request, context))


@router.get("/administration/health")
async def show_health(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Return what ``aiida-finales doctor`` finds; takes some seconds, in a program of its own."""
    demand_role(user, "admin")
    profile = await context.orm.call(lambda: loaded_profile().name)
    status, said = await run_doctor(profile, LOOK_TIMEOUT, "--format", "json")
    try:
        checks = json.loads(said)["checks"]
    except (ValueError, KeyError, TypeError):
        checks, said = [], f"the doctor could not look (exit status {status}): {said[-500:]}"
    else:
        said = ""
    ill = [check for check in checks if not check["is_well"]]
    can_cure = any(check["cure"] and not check["needs_person"] for check in ill)
    content = {"ill": ill, "well": [check for check in checks if check["is_well"]], "said": said}
    return render(request, "health.html", user, can_cure=can_cure, treatment=_treatment(request), **content)


@router.post("/administration/cure", dependencies=[ProofDep])
async def cure(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Do what the doctor names, where that asks for no decision of a person."""
    demand_role(user, "admin")
    profile = await context.orm.call(lambda: loaded_profile().name)
    _treatment(request).start(profile)
    return go_to(HERE)


@router.post("/administration/users", dependencies=[ProofDep])
async def add_user(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Let somebody log in; somebody who may already gets another password, roles and tenants."""
    demand_role(user, "admin")
    form = await request.form()
    name, password = (str(form.get(key, "")) for key in ("name", "password"))
    roles, tenants = ([str(item) for item in form.getlist(key)] for key in ("role", "tenant"))
    try:
        demand_plain([name, password, *roles, *tenants])
        uuids = await context.orm.call(lambda: [find_tenant(item).tenant_uuid for item in tenants])
        if name == user.name and "admin" not in roles:
            raise InputError("you would not be an admin any more: let another admin do that")
        await asyncio.to_thread(context.users.add, name, password, roles, uuids)
    except (FinalesError, ValueError) as error:
        typed = {"name": name, "roles": roles, "tenants": tenants, "words": str(error)}
        return render(request, "administration.html", user, 422, **{**await _look(request, context), "typed": typed})
    return go_to(f"{HERE}#users")


@router.post("/administration/revoke", dependencies=[ProofDep])
async def revoke(request: Request, context: ContextDep, user: ViewerDep) -> Response:
    """Refuse the tokens of somebody, and further logins where that was chosen."""
    demand_role(user, "admin")
    form = await request.form()
    name, is_all = str(form.get("name", "")), str(form.get("what", "")) == "all"
    if name == user.name and is_all:
        raise InputError("you would lock yourself out: let another admin do that")
    await asyncio.to_thread(lambda: context.users.revoke(name, may_return=not is_all))
    return go_to(f"{HERE}#users")


def _treatment(request: Request) -> Treatment:
    state = request.app.state
    if not hasattr(state, "treatment"):
        state.treatment = Treatment()
    found: Treatment = state.treatment
    return found


async def _look(request: Request, context: Context) -> Json:
    found = await context.orm.call(_read)
    names = {row["tenant_uuid"]: row["name"] for row in found["tenants"]}
    return {
        **found,
        "users": [_describe_user(item, names) for item in context.users.all().values()],
        "roles": ROLES,
        "typed": {"name": "", "roles": [], "tenants": [], "words": ""},
        "treatment": _treatment(request),
        "n_unserved": context.background.n_unserved,
        "folder": str(context.settings.folder),
    }


def _describe_user(item: User, names: dict[str, str]) -> Json:
    return {
        "name": item.name,
        "roles": item.roles,
        "tenants": [names.get(uuid, uuid) for uuid in item.tenants],
        "is_active": item.is_active,
    }


def _read() -> Json:
    state, states = read_daemon_state(), open_states()
    return {
        "tenants": read_tenants(),
        "workers": len(state.workers),
        "daemon": daemon_troubles(state),
        "storage": _describe_storage(),
        "n_pending": sum(item["status"] == "pending" for item in states.values()),
        "n_reserved": sum(item["status"] == "reserved" for item in states.values()),
        "counts": {kind: count_nodes(kind) for kind in ("request", "result", "sample")},
    }


def _describe_storage() -> Json:
    """Return what keeps the data, and how large its database is (MB), where that can be asked for cheaply."""
    profile, session = loaded_profile(), open_session()
    bind: Any = session.get_bind()
    size = None
    if bind.dialect.name == "sqlite" and bind.url.database:
        path = Path(bind.url.database)
        size = path.stat().st_size / 1e6 if path.exists() else None
    return {"profile": profile.name, "backend": profile.storage_backend, "size_MB": size}
