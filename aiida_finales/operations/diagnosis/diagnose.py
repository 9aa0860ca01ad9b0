"""All checks of a profile."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from aiida import orm

from aiida_finales.broker.state import STATE
from aiida_finales.broker.status import RequestStatus
from aiida_finales.data.capability import list_capabilities
from aiida_finales.data.cells import ADDED_PARTS
from aiida_finales.data.chemicals import ADDED_CHEMICALS
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import list_tenants
from aiida_finales.operations.campaign.overview import list_vanished
from aiida_finales.operations.diagnosis.check import SERVE_AGAIN, Check, name_nodes
from aiida_finales.operations.diagnosis.processes import check_ended_twice, check_processes, check_unclosed
from aiida_finales.operations.diagnosis.requests import check_requests
from aiida_finales.operations.engine.daemon import RESTART, DaemonState, await_daemon_state, daemon_troubles, find_home
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.operations.platform.channels import find_forgotten
from aiida_finales.operations.platform.laboratory import tell_twins
from aiida_finales.operations.platform.places import tell_home, tell_places
from aiida_finales.schemas.words import count

#: module that shows that an extra is there, and what the extra is for
EXTRAS = {
    "optimise": ("botorch", "optimiser engine 'botorch'"),
    "plot": ("matplotlib", "campaign report"),
    "instruments": ("NewareNDA", "files of Neware, workbooks and Parquet"),
}
SETUP = ("aiida-finales setup",)
#: what to do instead of deleting nodes
ADVICE = "It can only come back from a back-up; use 'aiida-finales result delete' instead of 'verdi node delete'"


def diagnose() -> list[Check]:
    """Return all checks of the loaded profile."""
    state = await_daemon_state()
    checks = [check_profile(), check_storage(), *check_registration(), *check_records(), *check_extras()]
    checks += check_places(state)
    checks += check_daemon(state)
    checks += check_processes(state) + check_ended_twice() + check_unclosed() + check_requests() + check_channels()
    return checks + check_campaigns() + check_results()


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


def check_places(state: DaemonState) -> list[Check]:
    """Look whether jobs have folders to run in; HOME is that of the daemon, if one runs."""
    homes = {home for worker in state.workers if (home := find_home(worker)) is not None} or {Path.home()}
    return [
        Check("folders", False, words, (cure, RESTART) if state.workers else (cure,), needs_person=True)
        for home in sorted(homes)
        for words, cure in tell_home(home)
    ] + [Check("folders", False, words, (cure,), needs_person=True) for words, cure in tell_places()]


def check_daemon(state: DaemonState) -> list[Check]:
    """Look whether a daemon runs, hears and runs the present code."""
    troubles = [Check("daemon", False, words, cure) for words, cure in daemon_troubles(state)]
    return troubles or [
        Check("daemon", True, f"running with {count(len(state.workers), 'worker')} and a living broker")
    ]


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
    words = f"{name_nodes(lost, 'request')} resolved, but the result was deleted ('verdi node delete'). {ADVICE}"
    return [Check("results", False, words, needs_person=True)] if lost else []
