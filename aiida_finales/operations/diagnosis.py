"""Is everything well? One check per thing that can go wrong, each with a sentence and the exact cure; and doing it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiida import orm
from plumpy import ProcessState

from aiida_finales.broker.listing import read_attributes
from aiida_finales.broker.processes import find_served
from aiida_finales.broker.requests import find_request, name_holder, open_states
from aiida_finales.broker.reservation import expire_lease, is_expired, silent_since
from aiida_finales.broker.sight import is_hidden
from aiida_finales.broker.state import STATE, State
from aiida_finales.broker.status import RequestStatus
from aiida_finales.calculations.answer import wake_request
from aiida_finales.calculations.tasks import ACTIVE, ENDED, ZEROMQ, read_tasks
from aiida_finales.data.capability import list_capabilities
from aiida_finales.data.cells import ADDED_PARTS
from aiida_finales.data.chemicals import ADDED_CHEMICALS
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import list_tenants
from aiida_finales.exceptions import DaemonError
from aiida_finales.operations.campaign.overview import list_vanished
from aiida_finales.operations.engine.daemon import (
    REPAIR,
    RESTART,
    START,
    DaemonState,
    daemon_troubles,
    read_daemon_state,
)
from aiida_finales.operations.engine.leftovers import end_leftovers, find_leftovers
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.operations.platform.channels import find_forgotten, give_back
from aiida_finales.operations.platform.laboratory import tell_twins
from aiida_finales.operations.request.records import describe_wait, is_alone
from aiida_finales.operations.request.serving import submit_request
from aiida_finales.schemas.moment import utc_text
from aiida_finales.schemas.words import be, count
from aiida_finales.workflows.wait_any import close

STOP = REPAIR[0]
#: seconds for one command; stopping a busy daemon takes the longest
COMMAND_TIMEOUT = 300.0
#: seconds in which a daemon that was started has workers and a broker, and has taken up what waited
SETTLE_TIMEOUT = 40.0


#: module that shows that an extra is there, and what the extra is for
EXTRAS = {
    "optimise": ("botorch", "optimiser engine 'botorch'"),
    "plot": ("matplotlib", "campaign report"),
    "instruments": ("NewareNDA", "files of Neware, workbooks and Parquet"),
}
#: a worker takes a new process within a second or two, so after this time (s) nobody will
STUCK_AFTER = 30.0
SETUP = ("aiida-finales setup",)
SERVE_AGAIN = ("aiida-finales doctor --cure",)
#: checks of one kind that are shown
SHOWN = 3
#: what to do instead of deleting nodes
ADVICE = "It can only come back from a back-up; use 'aiida-finales result delete' instead of 'verdi node delete'"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    :param is_well: whether it is as it should be; a remark is well, too.
    :param words: one sentence.
    :param cure: commands, in this order.
    :param needs_person: whether the cure asks for a decision that no program can make.
    :param kind: what it has in common with others, said of many; empty where it is alone.
    :param since: ISO 8601, UTC, where it is of one thing that waits.
    """

    name: str
    is_well: bool
    words: str
    cure: tuple[str, ...] = ()
    needs_person: bool = False
    kind: str = ""
    since: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON."""
        return {**asdict(self), "cure": list(self.cure)}


def diagnose() -> list[Check]:
    """Return all checks of the loaded profile."""
    state = read_daemon_state()
    checks = [check_profile(), check_storage(), *check_registration(), *check_records(), *check_extras()]
    checks += check_daemon(state)
    checks += check_processes(state) + check_ended_twice() + check_unclosed() + check_requests() + check_channels()
    return checks + check_campaigns() + check_results()


def shorten(checks: list[Check]) -> list[Check]:
    """Return the checks with the first few of each kind, and one before them that counts all of it."""
    n_of, shown = Counter(check.kind for check in checks if check.kind), Counter[str]()
    found = []
    for check in checks:
        n_all = n_of[check.kind]
        if n_all > SHOWN + 1:
            if not shown[check.kind]:
                oldest = min(item.since for item in checks if item.kind == check.kind)
                words = f"{n_all:,} {check.name} {check.kind}; the oldest since {oldest}"
                words += f". The first {SHOWN} follow, 'aiida-finales doctor --all' names all"
                found.append(Check(check.name, False, words, needs_person=check.needs_person))
            if shown[check.kind] == SHOWN:
                continue
            shown[check.kind] += 1
        found.append(check)
    return found


def check_profile() -> Check:
    """Say which profile is looked at."""
    profile = loaded_profile()
    broker = profile.process_control_backend or "no broker"
    return Check("profile", True, f"{profile.name}: {profile.storage_backend}, {broker}")


def check_storage() -> Check:
    """Look whether readers and a writer can work side by side."""
    import sqlalchemy as sa

    session = open_session()
    if session.get_bind().dialect.name != "sqlite":
        return Check("storage", True, "PostgreSQL")
    mode = session.execute(sa.text("PRAGMA journal_mode")).scalar()
    if mode == "wal":
        return Check("storage", True, "SQLite with a write-ahead log")
    return Check("storage", False, f"SQLite is in mode {mode!r}: writers will block each other", SETUP)


def check_registration() -> list[Check]:
    """Look whether anything can be asked for, and of whom."""
    capabilities, tenants = list_capabilities(), list_tenants()
    return [
        Check("capabilities", bool(capabilities), "no capability is active: nothing can be asked for", SETUP)
        if not capabilities
        else Check("capabilities", True, ", ".join(f"{node.quantity}/{node.method}" for node in capabilities)),
        Check("tenants", True, ", ".join(node.name for node in tenants))
        if tenants
        else Check("tenants", False, "no tenant is active: nobody can answer", SETUP),
        *(Check("tenants", True, words) for words in tell_twins()),
    ]


def check_records() -> list[Check]:
    """Look for records of chemicals and parts of cells that cannot be used: what they describe is not known here."""
    checks = []
    for added in (ADDED_CHEMICALS, *ADDED_PARTS.values()):
        of_profile, of_packages = added.read_profile().troubles, added.read_installed().troubles
        mend = f"mend {added.path()}, or bring it back from a back-up"
        checks += [Check(added.words, False, words, (mend,), needs_person=True) for words in of_profile]
        other = "install another version of the package that has this entry point, or remove it"
        checks += [Check(added.words, False, words, (other,), needs_person=True) for words in of_packages]
        beside = [words for words in added.catalogue.load().troubles if words not in (*of_profile, *of_packages)]
        checks += [Check(added.words, True, words) for words in beside]
    return checks


def check_extras() -> list[Check]:
    """Say which optional dependencies are installed."""
    return [
        Check(f"extra {extra}", True, "installed" if find_spec(module) else f"not installed (for {purpose})")
        for extra, (module, purpose) in EXTRAS.items()
    ]


def check_daemon(state: DaemonState) -> list[Check]:
    """Look whether a daemon runs, hears and runs the present code."""
    troubles = [Check("daemon", False, words, cure) for words, cure in daemon_troubles(state)]
    return troubles or [
        Check("daemon", True, f"running with {count(len(state.workers), 'worker')} and a living broker")
    ]


def check_processes(state: DaemonState) -> list[Check]:
    """Look for processes that no worker will ever take up again."""
    if state.supervisor is None or state.broker_kind != ZEROMQ:
        return []
    before = datetime.now(UTC) - timedelta(seconds=STUCK_AFTER)
    suspects = _active_processes(before)
    # the tasks are read after the database and the database once more: what has ended meanwhile is no suspect
    tasks = read_tasks()
    lost = {pk for pk in suspects if pk not in tasks} & set(_active_processes(before))
    idle = {pk for pk, process_state in suspects.items() if process_state == "created"} - lost
    deleted = tasks - _present(tasks)
    checks = []
    if deleted:
        words = f"{_name(deleted)} deleted, but workers still look for {'it' if len(deleted) == 1 else 'them'}"
        checks.append(Check("processes", False, words, REPAIR))
    if lost:
        checks.append(Check("processes", False, f"{_name(lost)} active, but their task is lost", REPAIR))
    if idle:
        checks.append(Check("processes", False, f"{_name(idle)} created, but no worker takes them", REPAIR))
    return checks or [Check("processes", True, f"{len(tasks)} have a task, none is stuck")]


def check_ended_twice() -> list[Check]:
    """Look for processes that ended in one worker while another, which had them too, wrote their state last."""
    ended = find_ended_twice()
    words = f"{_name(ended)} sealed, yet written as active: two workers had them after the broker was restarted"
    return [Check("processes", False, words, SERVE_AGAIN)] if ended else []


def find_ended_twice() -> set[int]:
    """Return the pks of processes that are sealed, as only an ended one is, and whose state says otherwise."""
    filters = {"attributes.process_state": {"in": list(ACTIVE)}, "attributes.sealed": True}
    return set(orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project="id").all(flat=True))


def check_unclosed() -> list[Check]:
    """Look for processes whose worker was killed between their end and their seal."""
    unclosed = find_unclosed()
    words = f"{_name(unclosed)} not closed, though they ended: their worker was killed then, and exports leave them out"
    return [Check("processes", False, words, SERVE_AGAIN)] if unclosed else []


def find_unclosed() -> set[int]:
    """Return the pks of processes that ended some time ago and are not sealed."""
    filters = {
        "attributes": {"!has_key": "sealed"},
        "attributes.process_state": {"in": list(ENDED)},
        "mtime": {"<": datetime.now(UTC) - timedelta(seconds=STUCK_AFTER)},
    }
    return set(orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project="id").all(flat=True))


def check_requests(states: Mapping[int, State] | None = None) -> list[Check]:
    """Look for requests that nobody works on, or that wait for a person; among those that one may see.

    :param states: of the open requests that are looked at; of all when ``None``.
    """
    found = open_states() if states is None else states
    states = {pk: state for pk, state in found.items() if not is_hidden(pk)}
    served = find_served(list(states))
    quantities = {pk: str(read["quantity"]) for pk, read in read_attributes(_list_held(states)).items()}
    checks = [
        replace(check, since=utc_text(state["since"]))
        for pk, state in states.items()
        for check in _judge_request(pk, state, quantities.get(pk, ""), is_served=pk in served)
    ]
    return checks or [Check("requests", True, f"{len(states)} open, each with a living process")]


def check_channels() -> list[Check]:
    """Look for channels of a cycler that belong to nobody any more."""
    return [
        Check(
            "channels",
            False,
            f"reservation {reserved.reservation} of request <{reserved.request.pk}> belongs to a chain that was killed",
            SERVE_AGAIN,
        )
        for reserved in find_forgotten()
    ]


def check_campaigns() -> list[Check]:
    """Look for campaigns that were deleted under their name."""
    words = "campaign {name!r} has no process: it was deleted ('verdi node delete'), or never made. {advice}"
    return [
        Check(
            "campaigns",
            False,
            words.format(name=group.label, advice=ADVICE),
            (f"verdi group delete {group.pk}   (or: bring it back from a back-up)",),
            needs_person=True,
        )
        for group in list_vanished()
    ]


def check_results() -> list[Check]:
    """Look for requests whose result was deleted under them."""
    column = f"extras.{STATE}.result"
    filters = {f"extras.{STATE}.status": RequestStatus.RESOLVED.value}
    answered = orm.QueryBuilder().append(RequestData, subclassing=False, filters=filters, project=["id", column]).all()
    present = (
        set(orm.QueryBuilder().append(ResultData, subclassing=False, project="uuid").all(flat=True))
        if answered
        else set()
    )
    lost = {pk for pk, uuid in answered if uuid not in present}
    words = f"{_name(lost, 'request')} resolved, but the result was deleted ('verdi node delete'). {ADVICE}"
    return [Check("results", False, words, needs_person=True)] if lost else []


def _list_held(states: Mapping[int, State]) -> list[int]:
    """Return the pks of what is held by somebody outside, who may be silent."""
    return [pk for pk, state in states.items() if state.get("holder") and not _is_process(state)]


def _is_process(state: State) -> bool:
    return str(state.get("holder") or "").startswith("process:")


def _judge_request(pk: int, state: State, quantity: str, *, is_served: bool) -> list[Check]:
    holder = str(state.get("holder") or "")
    if state.get("needs_operator"):
        words = f"request <{pk}> needs an operator: {state['needs_operator']}"
        decide = f'aiida-finales request resolve {pk} --operator --outcome done|not-done --reason "..."'
        if not holder.startswith("process:"):  # who serves it keeps a journal of its own
            asked = f'--request {orm.load_node(pk).uuid} --reason "..."'
            decide = (
                f'aiida-finales request release {pk} --operator --reason "..."   (or, where the program of {holder} '
            )
            decide += f"runs: finales-tenant ... --settle done|not-done {asked})"
        answer = f'aiida-finales result post {pk} FILE.json --operator --reason "..."'
        decide += f"   (or: {answer})"
        return [Check("requests", False, words, (decide,), needs_person=True, kind="need an operator")]
    if not is_served and _is_process(state):
        words = f"request <{pk}> is held by a process that has ended: look whether the device acted"
        cure = f'aiida-finales request release {pk} --operator --reason "..."'
        kind = "are held by processes that have ended"
        return [Check("requests", False, words, (cure, *SERVE_AGAIN), needs_person=True, kind=kind)]
    if not is_served:
        words, kind = f"request <{pk}> is {state['status']}, but no process serves it", "are served by no process"
        return [Check("requests", False, words, SERVE_AGAIN, kind=kind)]
    return _judge_wait(pk, state, quantity)


def _judge_wait(pk: int, state: State, quantity: str) -> list[Check]:
    """Judge a request that is served: whether its holder still works, and whether there is anybody."""
    if is_expired(state):
        words, kind = (
            f"the lease of {name_holder(state)} on request <{pk}> has run out",
            "have a lease that has run out",
        )
        return [Check("requests", False, words, SERVE_AGAIN, kind=kind)]
    if heard := silent_since(quantity, state):
        words = f"{name_holder(state)}, who holds request <{pk}>, was not heard from since {utc_text(heard)}"
        words += ": look whether it works"
        cure = f'aiida-finales request release {pk} --operator --reason "..."'
        return [Check("requests", False, words, (cure,), needs_person=True, kind="have a silent holder")]
    if is_alone(state):
        words = f"request <{pk}> is pending, but {describe_wait(state, {})}: it waits for ever"
        cure = f'aiida-finales request retract {pk} --reason "..."   (or: aiida-finales tenant add FILE.json)'
        return [Check("requests", False, words, (cure,), needs_person=True, kind="wait, and nobody can serve them")]
    return []


def _active_processes(before: datetime) -> dict[int, str]:
    """Return state by pk of the processes that are active and have not changed since; functions have no task."""
    query = orm.QueryBuilder().append(
        orm.ProcessNode,
        filters={
            "attributes.process_state": {"in": list(ACTIVE)},
            "mtime": {"<": before},
            "node_type": {"!in": ["process.calculation.calcfunction.CalcFunctionNode."]},
        },
        project=["id", "attributes.process_state"],
    )
    return dict(query.all())


def _present(pks: set[int]) -> set[int]:
    """Return those of the processes that are in the database."""
    if not pks:
        return set()
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": {"in": list(pks)}}, project="id")
    return set(query.all(flat=True))


def _name(pks: set[int], noun: str = "process") -> str:
    words = ", ".join(f"<{pk}>" for pk in sorted(pks)[:10])
    number = count(len(pks), noun, "processes" if noun == "process" else "")
    return f"{number} ({words}{' ...' if len(pks) > 10 else ''}) {be(len(pks))}"  # noqa: PLR2004


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
        if command == START:
            _end_leftovers(profile, say)
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
        else:
            _run(command, profile)
            if command == STOP:
                _end_leftovers(profile, say)


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
