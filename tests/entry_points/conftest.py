"""Commands through the real groups; processes run in this process, where a daemon would run them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aiida_finales.operations.campaign import start as starting
from aiida_finales.operations.campaign import steer
from aiida_finales.operations.engine.daemon import DaemonState, Life
from aiida_finales.operations.request import serving

ASKED = {"formulation": {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}, "temperature": 301.15}
CAMPAIGN = {
    "name": "models",
    "quantity": "conductivity",
    "target": "empirical_model",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}, "polynomial_interpolation": {"cost": 2}},
    "initial": 3,
    "stop": {"evaluations": 4},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}

Run = Callable[..., Result]


def state_of_daemon(
    *,
    supervisor: bool = True,
    workers: tuple[float, ...] = (100.0, 101.0),
    broker: float | None = 99.0,
    code: float = 50.0,
    kind: str | None = "core.zeromq",
    leftovers: int = 0,
    known: int | None = None,
) -> DaemonState:
    """Return what is seen of a daemon whose processes began at these times (s)."""
    # Linux gives no process a number above 2**22
    lives = tuple(Life(2**22 + 1 + number, started) for number, started in enumerate(workers))
    return DaemonState("test", kind, Life(1, 98.0) if supervisor else None, lives,
                       None if broker is None else Life(2, broker), code, leftovers, n_known=known)  # fmt: skip


@pytest.fixture(scope="module")
def lab(lay_out_capabilities, tmp_path_factory) -> Path:
    """The simulated laboratory in a profile that the tests of a module share; return its folder."""
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    lay_out_capabilities()
    folder = tmp_path_factory.mktemp("laboratory")
    setup_laboratory(folder, has_cells=False)
    return folder


@pytest.fixture
def run(monkeypatch) -> Iterator[Run]:
    """Run a command of ``aiida-finales``; nothing but what is expected may come out of it as exception."""
    from aiida.common import log

    from aiida_finales.entry_points.cli import finales

    monkeypatch.setattr(log, "CLI_ACTIVE", None)

    def call(*arguments: object, exit_code: int = 0, answer: str | None = None) -> Result:
        result = CliRunner().invoke(finales, [str(item) for item in arguments], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.stdout + result.stderr
        return result

    yield call
    monkeypatch.undo()
    log.configure_logging(with_orm=True)


@pytest.fixture
def run_json(run) -> Callable[..., Any]:
    """Run a command with ``--format json`` and return the document: standard output is nothing else."""
    return lambda *arguments, exit_code=0: json.loads(run(*arguments, "--format", "json", exit_code=exit_code).stdout)


@pytest.fixture
def engine(monkeypatch) -> None:
    """Run in this process what the daemon would run."""
    run_what_is_submitted(monkeypatch)


def run_what_is_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``submit`` run the process here and now."""
    import aiida.engine

    monkeypatch.setattr(
        aiida.engine, "submit", lambda process, **inputs: aiida.engine.run_get_node(process, **inputs)[1]
    )
    for module in (serving, starting, steer):
        monkeypatch.setattr(module, "connect_to_daemon", lambda: None)


@pytest.fixture
def daemon(monkeypatch) -> Callable[[DaemonState], None]:
    """Let the commands see a daemon in a given state."""

    def show(state: DaemonState) -> None:
        from aiida_finales.operations.engine import daemon as daemon_state

        for module in (daemon_state, serving):
            monkeypatch.setattr(module, "read_daemon_state", lambda: state)

    return show


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Write a document to a file and return its path."""

    def write_file(document: Any, name: str = "file.json") -> Path:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write_file


@pytest.fixture
def request_file(write) -> Callable[..., Path]:
    """Write a request, in the published form with a short formulation."""

    def write_request(method: str = "empirical_model", **changes: Any) -> Path:
        return write({"quantity": "conductivity", "methods": [method], "parameters": {method: {**ASKED, **changes}}})

    return write_request


@pytest.fixture
def posted(lab) -> Any:
    """A pending request that an external tenant can serve."""
    from aiida_finales.broker.registration import add_tenant
    from aiida_finales.broker.requests import post_request
    from aiida_finales.operations.request.documents import read_request

    limitations = {"temperature": [{"min": 290.0, "max": 310.0}]}
    add_tenant("bench", [{"quantity": "conductivity", "method": "two_electrode", "limitations": limitations}])
    request = read_request({"quantity": "conductivity", "parameters": {"two_electrode": ASKED}}, requester="test")
    return post_request(request, "test")


def make_answer(value: float = 0.9) -> dict[str, Any]:
    """Return an answer of the external tenant."""
    from aiida_finales.schemas.formulation import make_formulation

    formulation = make_formulation(ASKED["formulation"])
    body = {"values": [value], "temperature": 301.15, "meta": {"success": True, "rating": 4}}
    run_info = {"formulation": formulation, "internal_reference": "page 7"}
    parameters = {"formulation": formulation, "temperature": 301.15}
    return {"method": "two_electrode", "data": {"run_info": run_info, "conductivity": body}, "parameters": parameters}
