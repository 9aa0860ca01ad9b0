"""The documentation says what is so: its Python runs, its tables agree with the code, its links resolve."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import click
import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from aiida_finales import exceptions
from aiida_finales.broker.status import RequestStatus, ResultStatus, SampleStatus
from aiida_finales.calculations.chain import DEFAULTS, STEPS
from aiida_finales.data.capability import find_capability
from aiida_finales.entry_points.cli import finales
from aiida_finales.lab.simulated import faults
from aiida_finales.lab.simulated.cycler_order import CyclerSettings
from aiida_finales.lab.simulated.mixing import FAULTS, Settings
from aiida_finales.lab.simulated.operator import OperatorSettings
from aiida_finales.lab.simulated.settings import DeviceSettings
from aiida_finales.operations.platform.installation import DAEMON_OPTIONS
from aiida_finales.operations.request.documents import read_answer, read_json, read_request, read_tenant
from aiida_finales.optimisation import OptimiserSettings
from aiida_finales.schemas.access import Access
from aiida_finales.schemas.campaign import (
    CampaignFile,
    CategorySection,
    ObjectiveSection,
    SourceSection,
    StopSection,
    VariableSection,
    WarmStartSection,
    WithinSection,
    read_campaign_file,
)
from aiida_finales.schemas.limitations.offer import check, read_offers
from aiida_finales.schemas.units import SYMBOLS

from .pages import read_commands

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
#: pages whose Python needs an AiiDA profile
WITH_PROFILE = {"add_a_capability.md"}
#: prompts of a console block
SYBIL = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()])

PROCESSES = {
    "finales.serve": "aiida_finales.workflows.serve:ServeRequestWorkChain",
    "finales.campaign": "aiida_finales.workflows.campaign:CampaignWorkChain",
    "finales.answer": "aiida_finales.calculations.answer:AnswerCalculation",
    "finales.suggest": "aiida_finales.calculations.suggest:SuggestCalculation",
    "finales.driver": "aiida_finales.calculations.driver:DriverCalculation",
    "finales.degradation": "aiida_finales.workflows.degradation:DegradationWorkChain",
}


def name_page(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """Return what stands below a title, up to the next one of the same or a higher level."""
    level = len(title) - len(title.lstrip("#"))
    rest = text.split(f"{title}\n", 1)[1]
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    """Return the code words in the first column of the tables."""
    return [
        word
        for line in text.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([^`]+)`", line.split("|")[1])
    ]


def walk(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return the commands below a group with their names."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = command.make_context("aiida-finales", [], resilient_parsing=True)
    return [
        item
        for name in command.list_commands(context)
        for item in walk(command.get_command(context, name), (*path, name))
    ]


COMMANDS = dict(walk(finales))


def console_lines() -> list[tuple[str, str]]:
    """Return page and command of every line that a reader is told to type."""
    lines = []
    for path in PROSE:
        for block in re.findall(r"^ *```console\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.M | re.S):
            lines += [(name_page(path), line) for line in read_commands(textwrap.dedent(block))]
    return lines


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_python_runs(page, request, monkeypatch) -> None:
    """What a page shows in Python does what the page says; pages build on nothing but themselves."""
    monkeypatch.chdir(ROOT)
    examples = list(SYBIL.parse(page).examples())
    if examples and page.name in WITH_PROFILE:
        request.getfixturevalue("capabilities")
    for example in examples:
        example.evaluate()


def test_python_is_found() -> None:
    """The runner sees the snippets: without any the test above would pass on an empty stomach."""
    assert sum(len(list(SYBIL.parse(page).examples())) for page in PAGES) > 10


def test_commands_are_listed() -> None:
    """The table of commands is complete, and has nothing that is not there."""
    table = read("reference/command_line.md").split("## All options")[0]
    assert set(first_column(table)) == {" ".join(("aiida-finales", *path)) for path in COMMANDS}


#: of files that a command is told to read
SUFFIXES = {".xyz", ".json", ".yaml", ".csv", ".zip", ".db", ".aiida", ".mpt", ".mpr", ".ndax"}
TYPED = [(page, line) for page, line in console_lines() if line.startswith("aiida-finales ")]


@pytest.mark.parametrize(("page", "line"), TYPED, ids=[f"{page}: {line[:60]}" for page, line in TYPED])
def test_commands_are_right(page, line) -> None:
    """Every command that a reader is told to type exists, with these options and so many arguments."""
    words = shlex.split(line.split(" > ")[0])[1:]  # the shell takes what comes after
    if words[:1] == ["-p"]:
        words = words[2:]
    if words == ["--version"]:
        return
    path = next(tuple(words[:n]) for n in (1, 2, 3) if tuple(words[:n]) in COMMANDS)
    arguments = words[len(path) :]
    files = {
        "FILE",
        *(word for word in arguments if Path(word).suffix in SUFFIXES),
    }
    given = [str(ROOT / "setup.cfg") if word in files else word for word in arguments]
    COMMANDS[path].make_context(line, given)  # raises a usage error


def test_make_targets_exist() -> None:
    """Every target of make that is named exists; the README opens with two of them."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = {line.split()[1] for _, line in console_lines() if line.startswith("make ")}
    named |= {word for path in PROSE for word in re.findall(r"`make (\w+)", path.read_text(encoding="utf-8"))}
    assert {"demo", "test"} <= named <= targets
    first_lines = (ROOT / "README.md").read_text(encoding="utf-8").split("```")[1]
    assert re.findall(r"^\$ make (\w+)", first_lines, re.M) == ["demo", "test"]


def test_extras_exist() -> None:
    """The extras of the README can be installed."""
    text = (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1].split("[options.entry_points]")[0]
    known = set(re.findall(r"^(\w+) =", text, re.M))
    for path in PROSE:
        for extras in re.findall(r"'(?:\.|aiida-finales)\[([\w,]+)\]'", path.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= known


def test_campaign_keys() -> None:
    """The keys of a campaign file are those of the reference."""
    text = read("reference/campaign_file.md")
    for title, model in (
        ("## Top level", CampaignFile),
        ("## sources.*name*", SourceSection),
        ("## stop", StopSection),
        ("## within", WithinSection),
        ("## objectives.*name*", ObjectiveSection),
        ("## variables.*name*", VariableSection),
        ("## categories.*name*", CategorySection),
        ("## warm_start", WarmStartSection),
        ("## access", Access),
    ):
        assert first_column(section(text, title)) == list(model.model_fields), title


def test_settings() -> None:
    """Settings, faults and options of the daemon are those of the reference."""
    text = read("reference/settings.md")
    optimiser = {field.name: field.default for field in dataclasses.fields(OptimiserSettings)}
    assert first_column(section(text, "## Settings of the optimiser")) == list(optimiser)
    robot = first_column(section(text, "## Settings of the simulated robot"))
    assert robot == [*(field.name for field in dataclasses.fields(Settings)), *FAULTS]
    common = {field.name for field in dataclasses.fields(DeviceSettings)}
    own = [field.name for kind in (OperatorSettings, CyclerSettings) for field in dataclasses.fields(kind)]
    others = first_column(section(text, "## Settings of the other simulated devices"))
    assert others == [*(name for name in own if name not in common), *(set_aside(faults.FAULTS, FAULTS))]
    for path in ("reference/settings.md", "explanations/decisions/0009-daemon-options.md"):
        rows = dict(re.findall(r"^\| `([a-z_.]+\.[a-z_.]+)` \| ([0-9]+)", read(path), re.M))
        assert rows == {name: str(value) for name, value in DAEMON_OPTIONS.items()}, path
    for name, value in optimiser.items():
        if isinstance(value, (bool, int, str, float)):
            assert f"| `{name}` | `{value}` |" in text


def set_aside(names, known) -> list[str]:
    """Return the names that are not known, in their order."""
    return [name for name in names if name not in known]


def test_chain() -> None:
    """The settings of the chain with their defaults, and its steps, are those of the pages."""
    text = section(read("reference/settings.md"), "## Settings of the chain")
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", text, re.M))
    assert rows == {name: value if isinstance(value, str) else json.dumps(value) for name, value in DEFAULTS.items()}
    table = section(read("explanations/chain.md"), "## The steps")
    steps = re.findall(r"^\| `(\w+)`[^|]*\| `(\w+)` by `(\w+)` \|", table, re.M)
    assert set(steps) == {(name, step.quantity, step.method) for name, step in STEPS.items()}


def test_exceptions() -> None:
    """The tree of exceptions, which the reference shows, is complete; so are the drivers' exit statuses."""
    raised = [item for item in vars(exceptions).values() if isinstance(item, type) and issubclass(item, Exception)]
    for item in raised:
        assert re.search(rf"\b{item.__name__}\b", exceptions.__doc__), item
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section(read("reference/exit_codes.md"), "## Drivers"), re.M)
    devices = [item for item in raised if exceptions.DeviceError in item.__mro__[1:]]
    assert {(int(status), name) for status, name in rows} == {(item.exit_status, item.__name__) for item in devices}


@pytest.mark.parametrize("name", PROCESSES)
def test_exit_codes(name) -> None:
    """The exit codes of a process that are ours are those of the reference."""
    module, class_name = PROCESSES[name].split(":")
    process = getattr(import_module(module), class_name)
    foreign = next(base for base in process.__mro__ if not base.__module__.startswith("aiida_finales"))
    ours = {(code.status, label) for label, code in process.exit_codes.items() if label not in foreign.exit_codes}
    rows = re.findall(rf"^\| `{re.escape(name)}` \| (\d+) \| `(\w+)` \|", read("reference/exit_codes.md"), re.M)
    assert {(int(status), label) for status, label in rows} == ours


def test_units() -> None:
    """Every unit of storage is in the table."""
    text = read("reference/units.md")
    assert not [symbol for symbol in SYMBOLS.values() if symbol not in text]


def test_words() -> None:
    """The statuses of requests, results and samples are explained."""
    text = read("reference/glossary.md")
    assert not [status for status in (*RequestStatus, *ResultStatus, *SampleStatus) if f"`{status}`" not in text]


def test_benchmarks() -> None:
    """Every benchmark and its figures are in the reference."""
    text = read("reference/benchmarks.md")
    for path in (ROOT / "benchmarks").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        figures = re.findall(rf'print_row\("{path.stem}", "[\w-]+", "(\w+)"', source)
        figures += re.findall(r'^    yield "(\w+)"', source, re.M)
        assert not [figure for figure in figures if f"`{figure}`" not in text], path
        assert not figures or f"| `{path.stem}` |" in text, path


@pytest.mark.usefixtures("capabilities")
def test_json_is_accepted() -> None:
    """The files of the guides are accepted by the commands that they are for, and fit together."""
    files = DOCS / "how-to" / "files"
    tenant = read_tenant(read_json(files / "bench.json"))
    asked = read_request(read_json(files / "request.json"))
    (offer,) = read_offers(tenant["offers"])
    assert check(offer, asked.parameters["two_electrode"]) == []
    answer = read_answer(read_json(files / "answer.json"), asked)
    capability = find_capability(asked.quantity, answer["method"])
    assert capability.content.judge_result(answer["data"], answer["parameters"]).errors == []


def test_json_blocks_are_json() -> None:
    """What is shown as JSON is JSON."""
    for path in PROSE:
        for block in re.findall(r"^```json\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
            json.loads(block)


def test_examples_are_campaigns() -> None:
    """The campaign files that the pages show can be read."""
    named = {word for path in PROSE for word in re.findall(r"examples/\w+\.yaml", path.read_text(encoding="utf-8"))}
    assert named
    for word in named:
        assert read_campaign_file(ROOT / word).sources


def test_files_exist() -> None:
    """Paths in the prose exist, and so do the targets of links in the two files that Sphinx does not see."""
    pattern = r"`((?:docs|tests|examples|benchmarks|aiida_finales|schemas|broker|entry_points)/[\w./-]*)`"
    for path in PROSE:
        for word in re.findall(pattern, path.read_text(encoding="utf-8")):
            assert (ROOT / word).exists() or (ROOT / "aiida_finales" / word).exists() or "_build" in word, (path, word)


def test_decisions_are_numbered() -> None:
    """Decisions have consecutive numbers and the three parts."""
    pages = sorted((DOCS / "explanations" / "decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        titles = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.M)
        assert titles == ["Context", "Decision", "Consequences"], page


def test_changelog_can_be_built() -> None:
    """The fragments make a changelog."""
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    fragments = list((ROOT / "changelog.d").glob("*.md"))
    assert fragments
    for fragment in fragments:
        assert fragment.read_text(encoding="utf-8").split()[0] in done.stdout


@pytest.mark.slow
def test_sphinx_is_content(tmp_path) -> None:
    """Every reference resolves, every page is in a table of contents."""
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def test_libraries_are_where_the_table_says() -> None:
    """Each file that the table names uses the library, and no other file of the package imports it."""
    table = section(read("explanations/architecture.md"), "## Libraries that do one job")
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines() if "`" in line]
    rows = [cells for cells in rows if len(cells) == 4]
    assert len(rows) == 9
    package = ROOT / "aiida_finales"
    for names, _, where, _ in rows:
        name = re.findall(r"`([\w-]+)`", names)[0].replace("-", "_")
        imports = re.compile(rf"^\s*(from|import) {name}\b", re.MULTILINE)
        found = {str(path.relative_to(package)) for path in package.rglob("*.py") if imports.search(path.read_text())}
        listed = set(re.findall(r"`([\w/]+\.py)`", where))
        in_tests = {path for path in listed if path.startswith("tests/")}
        assert all(name in (ROOT / path).read_text().lower() for path in in_tests), name
        assert found <= listed - in_tests, name
        assert all(name in (package / path).read_text() for path in listed - in_tests), name


def test_threats_have_their_tests() -> None:
    """Whatever the page of threats names as a test is one."""
    text = read("explanations/threats.md")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 25
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
