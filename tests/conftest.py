"""Fixtures of all tests."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Engine, event

pytest_plugins = ["aiida.tools.pytest_fixtures"]

# its limit of 200 ms for one example fails on a busy computer, and says nothing about the code
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure():
    """Look for no garbage while tests are collected, which makes none."""
    gc.disable()


def pytest_collection_finish():
    """Look for garbage among what tests make alone, and not so often: it took a sixth of the time of the processors."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


@event.listens_for(Engine, "connect")
def _trust_the_machine(connection, _):
    """Let SQLite not wait for the disk after each transaction: a test outlives no power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data that nobody here wrote; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the data folder {SHARED_DATA} is absent")
    return SHARED_DATA


@pytest.fixture(scope="session")
def lay_out_capabilities(aiida_profile, tmp_path_factory):
    """Return a function that makes the profile a fresh one in which the capabilities of this package are registered.

    To register them takes seconds: that is done once, and what was stored is copied from then on.
    """
    from aiida.manage import get_manager

    from aiida_finales.calculations.answer import AnswerCalculation
    from aiida_finales.operations.platform.installation import setup_capabilities

    storage = Path(aiida_profile.storage_config["filepath"])
    kept = tmp_path_factory.mktemp("kept") / storage.name

    def lay_out():
        if kept.exists():
            get_manager().reset_profile()
            shutil.rmtree(storage)
            shutil.copytree(kept, storage)
        else:
            aiida_profile.reset_storage()
            setup_capabilities()
            get_manager().reset_profile()
            shutil.copytree(storage, kept)
        AnswerCalculation._seen = (-1, -1)  # primary keys are given again: what was seen of them tells nothing

    return lay_out


@pytest.fixture
def capabilities(lay_out_capabilities):
    """A fresh profile in which the capabilities of this package are registered."""
    from aiida_finales.broker.capability import load_capabilities

    lay_out_capabilities()
    return list(load_capabilities().values())


@pytest.fixture
def aiida_localhost(aiida_localhost):
    """The computer of AiiDA's own fixture, without the start-up files of whoever runs the tests."""
    aiida_localhost.configure(use_login_shell=False)
    return aiida_localhost


@pytest.fixture
def laboratory(capabilities, tmp_path):
    """A fresh profile with the simulated robot and the models as tenants; no cells, which would take a second more."""
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    return setup_laboratory(tmp_path, has_cells=False)


@pytest.fixture(scope="module")
def registered(aiida_profile, lay_out_capabilities):
    """A profile, fresh for the module, in which the capabilities of this package are registered."""
    lay_out_capabilities()
    return aiida_profile


@pytest.fixture
def own_chemicals(aiida_profile):
    """The file of the chemicals of the profile, which is not there, before and after."""
    from aiida_finales.data import chemicals

    added = chemicals.ADDED_CHEMICALS

    def forget():
        added.path().unlink(missing_ok=True)
        added.forget()

    forget()
    yield added.path()
    forget()


@pytest.fixture
def own_parts(aiida_profile):
    """The files of electrodes, separators and cell formats of the profile, not there before and after, by section."""
    from aiida_finales.data.cells import ADDED_PARTS

    def forget():
        for added in ADDED_PARTS.values():
            added.path().unlink(missing_ok=True)
            added.forget()

    forget()
    yield {section: added.path() for section, added in ADDED_PARTS.items()}
    forget()


@pytest.fixture
def desk(capabilities, aiida_profile):
    """A fresh profile in which the capabilities of this package are registered, and nothing else."""
    return aiida_profile


@pytest.fixture
def make_parameters():
    """Return a function that makes parameters of a conductivity."""
    from aiida_finales.schemas.formulation import make_formulation

    def make(shares=None, temperature=298.15):
        shares = shares or {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
        temperatures = {} if temperature is None else {"temperature": temperature}
        return {"formulation": make_formulation(shares), **temperatures}

    return make


@pytest.fixture
def make_request(make_parameters):
    """Return a function that makes a request for a conductivity, not stored."""
    from aiida_finales.data.request import RequestData

    def make(*methods, shares=None, temperature=298.15, requester="tester"):
        parameters = make_parameters(shares, temperature)
        return RequestData("conductivity", dict.fromkeys(methods or ("two_electrode",), parameters), requester)

    return make


@pytest.fixture
def make_data(make_parameters):
    """Return a function that makes the data of a conductivity's result."""

    def make(value=0.9, rating=4, success=True, shares=None, temperature=298.15):
        formulation = make_parameters(shares)["formulation"]
        return {
            "run_info": {"formulation": formulation, "internal_reference": "test"},
            "conductivity": {
                "values": [value],
                "temperature": temperature,
                "meta": {"success": success, "rating": rating},
            },
        }

    return make


@pytest.fixture
def make_result(make_data, make_parameters):
    """Return a function that makes a result, not stored."""
    from aiida_finales.data.capability import find_capability
    from aiida_finales.data.result import ResultData

    def make(method="two_electrode", *, shares=None, temperature=298.15, request_uuid=None, **values):
        data = make_data(shares=shares, temperature=temperature, **values)
        parameters = make_parameters(shares, temperature)
        return ResultData(find_capability("conductivity", method), data, parameters, request_uuid=request_uuid)

    return make


@pytest.fixture
def make_answer(make_data, make_parameters):
    """Return a function that makes what a client hands in."""

    def make(method="two_electrode", **values):
        return {"method": method, "data": make_data(**values), "parameters": make_parameters()}

    return make


@pytest.fixture
def add_offer():
    """Return a function that registers a tenant for conductivity; by default from 273.15 to 333.15 K."""
    from aiida_finales.broker.registration import add_tenant

    def add(
        name, method="two_electrode", *, low=273.15, high=333.15, kind="external", slots=1, limitations=None, **others
    ):
        limitations = {"temperature": [{"min": low, "max": high}]} if limitations is None else limitations
        offer = {"quantity": "conductivity", "method": method, "limitations": limitations, **others}
        return add_tenant(name, [offer], kind=kind, max_concurrent=slots)

    return add


@pytest.fixture
def candidate_of():
    """Return a function that finds the candidate of a request's state by the name of its tenant."""
    from aiida_finales.broker.requests import read_candidates
    from aiida_finales.broker.state import read_state
    from aiida_finales.data.tenant import find_tenant

    def find(pk, name):
        uuid = find_tenant(name).tenant_uuid
        return next(item for item in read_candidates(read_state(pk)) if item.tenant == uuid)

    return find


@pytest.fixture
def count_nodes():
    """Return a function that counts the nodes in the database."""
    from aiida import orm

    return lambda: orm.QueryBuilder().append(orm.Node).count()


@pytest.fixture
def count_statements():
    """Return a function that counts the statements that a function sends to the database."""
    import sqlalchemy as sa
    from aiida.manage import get_manager

    def count(function):
        told = []
        engine = get_manager().get_profile_storage().get_session().get_bind()

        def listen(*_):
            told.append(1)

        sa.event.listen(engine, "before_cursor_execute", listen)
        try:
            function()
        finally:
            sa.event.remove(engine, "before_cursor_execute", listen)
        return len(told)

    return count


@pytest.fixture
def run_race(add_offer, make_request):
    """Return a function that posts requests in the loaded profile and lets processes race for them."""
    from aiida.manage import get_manager

    from aiida_finales.broker.requests import post_request

    def run(mode, *, n_processes, n_requests, kind="external", slots=1):
        add_offer(f"tenant of {mode}", kind=kind, slots=slots)
        pks = [post_request(make_request(), "tester").pk for _ in range(n_requests)]
        script = Path(__file__).parent / "broker" / "race.py"
        profile = get_manager().get_profile().name
        command = [sys.executable, str(script), profile, mode, str(n_processes), json.dumps(pks)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        replies = json.loads(done.stdout.splitlines()[-1])
        assert not [reply for reply in replies if isinstance(reply, str)], replies
        return pks, replies

    return run


#: What skips tests: a pattern of the reason, what brings them, and whether a newcomer or CI must have it.
SKIPS = (
    (r"the data folder|needs .*/shared/", "published data beside the checkout, not part of this package", False),
    (r"gmx|GROMACS", "GROMACS: PATH=$PATH:$(tests/programs.sh install)", True),
    (r"antechamber|AmberTools", "AmberTools: PATH=$PATH:$(tests/programs.sh install)", True),
    (r"Chromium", "Chromium: PATH=$PATH:$(tests/programs.sh install)", True),
    (r"axe-core", "axe-core: PATH=$PATH:$(tests/programs.sh install)", True),
    (r"could not import|the extra|needs asyncua|is not installed", "packages of Python: make install", True),
    (r"the extra 'pybamm'", "PyBaMM: pip install -e '.[pybamm]'; it needs other versions than the rest", False),
    (r"could not import 'ase'", "ASE: pip install ase; it reads structures the same way", False),
    (r"PyBaMM is installed", "the absence of PyBaMM, which is the usual case", False),
    (
        r"no Python with galvani",
        "galvani, of an environment of its own: docs/how-to/import_measurements.md",
        False,
    ),
    (r"nobody here provides it", "nothing: the capability has no tenant of ours", False),
    (r"a GPU here", "a computer without a GPU", False),
    (r"no file system may be mounted", "the right to mount, as root", False),
    (r"cannot run the linear algebra of", "a newer processor", False),
    (r"cannot be (started|installed)", "what the reason says; services fail in CI instead", True),
)


def find_skip(reason):
    """Return what brings tests that were skipped for a reason, and whether they must not be skipped in CI."""
    found = [(cure, needed) for pattern, cure, needed in SKIPS if re.search(pattern, reason)]
    return found[-1] if found else ("unknown: enter this reason in tests/conftest.py", True)


def missing_in_ci(reasons):
    """Return the reasons that are none in CI, but for programs that the machine cannot have and says so."""
    excused = os.environ.get("FINALES_CI_WITHOUT", "").lower().split()
    return [
        reason
        for reason in reasons
        if find_skip(reason)[1] and not any(word in find_skip(reason)[0].lower() for word in excused)
    ]


def count_skips(reporter):
    """Return how many tests or files of tests were skipped for each reason."""
    reports = reporter.stats.get("skipped", [])
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail in CI when something was skipped that CI installs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_ci = os.environ.get("CI") == "true" and not hasattr(session.config, "workerinput")
    if is_ci and reporter and missing_in_ci(count_skips(reporter)) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Say what was skipped and what brings it, first what a newcomer should mind."""
    reasons = count_skips(terminalreporter)
    groups = Counter()
    for reason, number in reasons.items():
        groups[find_skip(reason)] += number
    if groups:
        terminalreporter.section("skipped, and what brings it (! = install it to test this part)")
    for (cure, needed), number in sorted(groups.items(), key=lambda item: (not item[0][1], -item[1])):
        terminalreporter.line(f"{'!' if needed else ' '} {number:4} {cure}")
    if os.environ.get("CI") == "true":
        for reason in missing_in_ci(reasons):
            terminalreporter.line(f"FAILED in CI, which installs it: {reason}")
