"""The programs of their own end in words, too, whatever is given to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from aiida_finales.client import client as connection
from aiida_finales.client import command as tenant
from aiida_finales.lab.driver.recall import run_recalling_driver
from aiida_finales.lab.opcua.driver import OpcUa
from aiida_finales.lab.simulated import manage
from aiida_finales.lab.simulated.asab import Asab
from aiida_finales.lab.simulated.autobass import AutoBass
from aiida_finales.lab.simulated.cycler import Cycler
from aiida_finales.lab.simulated.device import run_simulated
from aiida_finales.lab.simulated.operator import Operator
from aiida_finales.lab.tomato.driver import TomatoPipeline
from aiida_finales.md import command as md

from .test_fuzz import NUMBERS, TEXTS, files

__all__ = ["files"]

FILE, OUT, TEXT, NUMBER = "<file>", "<out>", "<text>", "<number>"
DRIVER = (
    ["--key", "a", "--input", FILE, "--output", "out.json", "--journal", "journal"],
    ["--key", "a", "--input", "given.json", "--output", OUT, "--journal", "journal"],
    ["--key", "a", "--input", "given.json", "--output", "out.json", "--journal", OUT],
    ["--key", TEXT, "--input", "given.json", "--output", "out.json", "--journal", "journal"],
    ["--key", "a", "--input", "given.json", "--output", "out.json", "--wait", NUMBER, "--limit", NUMBER],
    ["--key", "a", "--settle", "done", "--reason", TEXT, "--result", FILE, "--journal", "journal"],
)
DEVICES = {"asab": Asab, "autobass": AutoBass, "cycler": Cycler, "operator": Operator}
TENANT = ["--url", "http://127.0.0.1:9", "--user", "a", "--tenant", "b", "--quantity", "conductivity",
          "--method", "two_electrode", "--driver", "finales-asab", "--once"]  # fmt: skip
PROGRAMS: dict[str, tuple[Callable[[Sequence[str]], int], Sequence[list[str]]]] = {
    **{name: (lambda words, kind=kind: run_simulated(kind(), words), DRIVER) for name, kind in DEVICES.items()},
    "opcua": (lambda words: run_recalling_driver(OpcUa(), words), DRIVER),
    "tomato": (lambda words: run_recalling_driver(TomatoPipeline(), words), DRIVER),
    "md": (md.run_command, (
        ["check", FILE],
        ["check", "given.json", "--species", FILE],
        ["run", "given.json", "--out", OUT],
        ["run", "given.json", "--out", "cell", "--cell", NUMBER],
        ["analyse", FILE],
        ["analyse", "cell", "--out", OUT],
        ["species", "show", TEXT],
        ["species", "list", "--species", FILE],
        ["species", "add", TEXT, "--name", TEXT, "--out", OUT],
    )),
    "lab": (manage.run, (
        ["init", "--inventory", OUT],
        ["init", "--inventory", "laboratory", "--stock-volume", NUMBER],
        ["init", "--inventory", "laboratory", "--parts", NUMBER],
        ["show", "--inventory", FILE],
        ["show", TEXT, "--inventory", "laboratory"],
        ["refill", TEXT, NUMBER, "--inventory", "laboratory"],
        ["move", TEXT, TEXT, "--inventory", "laboratory"],
        ["fault", TEXT, "--device", TEXT, "--times", NUMBER, "--inventory", "laboratory"],
    )),
    "tenant": (tenant.run, (
        [*TENANT, "--journal", "journal", "--password-file", FILE],
        [*TENANT, "--journal", OUT],
        [*TENANT, "--journal", "journal", "--limitations", FILE],
        [*TENANT, "--journal", "journal", "--settings", FILE],
        [*TENANT, "--journal", "journal", "--lease", NUMBER],
        [*TENANT, "--journal", "journal", "--settle", "done", "--request", TEXT, "--reason", "x", "--result", FILE],
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, files, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINALES_PASSWORD", "x")
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.0)  # the server is away, which is tried five times
    (tmp_path / "given.json").write_text("{}")
    call, lines = PROGRAMS[name]
    paths = [str(path) for key, path in files.items() if key != "device"]  # it never ends
    values = {FILE: paths, OUT: [*paths, "/dev/full", "/proc/x"], TEXT: TEXTS, NUMBER: NUMBERS}
    failures = set()
    for line in lines:
        kind = next((word for word in line if word in values), "")
        for value in values.get(kind, [""]):
            words = [value if word == kind else values[word][0] if word in values else word for word in line]
            try:
                status = call(words)
            except SystemExit as end:
                status = end.code
            except Exception as error:
                failures.add(f"{line} {value[:60]!r}: {type(error).__name__}: {error}")
                continue
            said = capsys.readouterr()
            if not isinstance(status, int) or "Traceback" in said.err + said.out:
                failures.add(f"{line} {value[:60]!r}: {said.err.strip()[-200:]}")
    assert not failures, "\n".join(sorted(failures))
