"""No command ends in a traceback for a reason that a user can cause.

The tree of commands is walked. Each gets arguments that would do, one of which is replaced by what nobody should give;
then files that would do, in which one value is replaced. What a command does with it does not matter here, only that it
says so in words.

Time counts: parameters and places in files take turns, each gets some of the bad values, and all values are tried over
the commands. The tests that are marked as slow try everything everywhere.
"""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from aiida_finales.entry_points.cli import finales

from .conftest import ASKED, CAMPAIGN, make_answer

LONG = "x" * 5000
TEXTS = ["", " ", "\n", "..", "a/b", "ä€😀", LONG, "-1", "nan", "99999999999999999999", "\udcff", "'%s{}\"["]
MORE_TEXTS = ["\t", "/", "0", "*", "[[[", "None", "\x1b[31m", "x" * 300, "a\nb", "{}", "<1>", "--", "%", "1e400"]
NUMBERS = ["-1", "0", "nan", "inf", "1e999", "99999999999999999999", "", "x", "1.5"]
REQUEST = {"quantity": "conductivity", "methods": ["empirical_model"], "parameters": {"empirical_model": ASKED}}
LIMITS = {"temperature": [{"min": 290, "max": 310}]}
OFFER = {"quantity": "conductivity", "method": "two_electrode", "limitations": LIMITS}
TENANT = {"name": "somebody", "offers": [OFFER], "kind": "external", "max_concurrent": 1, "contact": "me"}
SAMPLE = {"identity": "stock-7", "kind": "stock", "location": {"address": "ASAB"},
          "content": {"formulation": {"LiPF6": 0.12, "EC": 0.48, "EMC": 0.40}}}  # fmt: skip
MAP = {"quantity": "conductivity", "columns": {"k": {"is": "value", "unit": "S/m"}}, "temperature": {"value": 298.15}}
#: documents that would do, by command
DOCUMENTS: dict[str, Any] = {
    "request check": REQUEST,
    "request post": REQUEST,
    "campaign start": CAMPAIGN,
    "tenant add": TENANT,
    "tenant limitations": [OFFER],
    "sample add": SAMPLE,
    "result post": make_answer(),
    "import results": MAP,
}
#: arguments that would do, by the name of the parameter
ARGUMENTS = {"quantity": "conductivity", "method": "two_electrode", "methods": "two_electrode", "names": "first",
             "address": "ASAB", "roles": "requester", "name": "asab-simulated", "tenant": "asab-simulated",
             "result": "1", "request": "1", "identifier": "1", "identifiers": "stock-7", "campaign": "first",
             "password": "12345678 secret", "reason": "because", "place": "backups",
             "computer": "localhost"}  # fmt: skip
#: of so many bad arguments one is tried: primes, which have no factor with the values of a place, or it were always one
SHARE, SHARE_OF_DOCUMENTS = 7, 11
#: what takes long when it is not refused: fewer bad arguments are enough, where time counts
HEAVY = {"setup", "serve start", "serve user add", "export verify", "import archive", "archive backup", "tenant add"}
SHARE_OF_HEAVY = 23
#: what waits for something else than its arguments, or changes how the tests run
NEVER = {"doctor --cure", "request post --wait", "campaign start --wait"}
WRONG = [None, -1, "", [], {}, 1e308, True, LONG, [[]], {"": None}, "ä\n"]


def leaves(group: click.Command = finales, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that lead to it."""
    if not isinstance(group, click.Group):
        yield " ".join(path), group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from leaves(command, (*path, name))


LEAVES = dict(leaves())


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Files that nobody should give."""
    folder = tmp_path_factory.mktemp("bad")
    contents = {"empty": b"", "binary": bytes(range(256)) * 4, "utf-16": '{"a": 1}'.encode("utf-16"), "null": b"null",
                "list": b"[]", "number": b"1", "text": b'"x"', "nan": b'{"a": NaN}', "surrogate": b'{"a": "\\ud800"}',
                "digits": b'{"a": ' + b"9" * 5000 + b"}", "deep": b"[" * 100_000, "one line": b"a" * 10**6,
                "table": b"a;b\n1;2\n\n", "anchors": b"a: &a [*b]\n", "tag": b"!!python/object:os.system {}\n",
                "zip": b"PK\x03\x04" + bytes(100), "database": b"SQLite format 3\0" + bytes(200)}  # fmt: skip
    found = {}
    for name, content in contents.items():
        found[name] = folder / name.replace(" ", "-")
        found[name].write_bytes(content)
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    return {**found, "folder": folder / "folder", "loop": folder / "loop", "missing": folder / "missing",
            "below a file": found["empty"] / "x", "device": Path("/dev/full"), "long": folder / LONG}  # fmt: skip


@pytest.fixture
def invoke(lab, files, monkeypatch, tmp_path):
    """Call a command in a folder of its own, without a server; what it does not expect is the failure of the test."""
    from aiida.common import log

    from aiida_finales.server import app as server

    def serve(self) -> None:
        self.started = True

    monkeypatch.setattr(log, "CLI_ACTIVE", None)
    monkeypatch.setattr(server.Server, "run", serve)
    monkeypatch.chdir(tmp_path)

    failures: dict[str, str] = {}

    def call(words: list[str]) -> None:
        result = CliRunner().invoke(finales, words, input="n\n")
        shown = " ".join(word if len(word) < 200 else f"{word[:50]}..." for word in words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            error = result.exception
            frame = [item for item in traceback.extract_tb(error.__traceback__) if "aiida_finales" in item.filename][-1]
            kind = f"{type(error).__name__}: {str(error)[:200]} ({frame.filename}:{frame.lineno})"
            failures.setdefault(kind, f"{shown}  {Path(words[-1]).read_text()[:300] if 'given' in words[-1] else ''}")
        elif result.exit_code not in (0, 1, 2) or "Traceback" in result.output:
            failures.setdefault(f"exit {result.exit_code}", shown)
        elif result.exit_code and not result.output.strip():
            failures.setdefault("without a word", shown)

    yield call
    monkeypatch.undo()
    log.configure_logging(with_orm=True)
    assert not failures, "\n".join(f"{kind}\n    {shown}" for kind, shown in failures.items())


def is_path(param: click.Parameter) -> bool:
    return isinstance(param.type, click.Path)


def good(param: click.Parameter, file: Path) -> str:
    """Return what would do."""
    if isinstance(param.type, click.Choice):
        return str(param.type.choices[0])
    if is_path(param):
        return str(file)
    if isinstance(param.type, (click.types.IntParamType, click.types.FloatParamType)):
        return "1"
    return ARGUMENTS.get(str(param.name), "x")


def bad(param: click.Parameter, files: dict[str, Path], texts: list[str]) -> list[str]:
    """Return what nobody should give."""
    if is_path(param):
        return [*(str(path) for path in files.values()), "", "ä€😀"]
    if isinstance(param.type, (click.types.IntParamType, click.types.FloatParamType)):
        return NUMBERS
    return ["no such choice", ""] if isinstance(param.type, click.Choice) else texts


def calls(name: str, file: Path, files: dict[str, Path], texts: list[str], step: int = 1) -> Iterator[list[str]]:
    """Yield calls in which one parameter is bad, and the required ones are good; of the bad values one in ``step``."""
    params = [item for item in LEAVES[name].params if item.name not in ("help", "verbosity", "fmt")]
    given = [item for item in params if isinstance(item, click.Argument) or item.required]
    yield name.split()
    yield [*name.split(), "--nonsense"]
    for turn, chosen in enumerate(params, list(LEAVES).index(name)):
        if getattr(chosen, "is_flag", False):
            flag = chosen.opts[0]
            if flag != "--force" and f"{name} {flag}" not in NEVER:
                yield [*name.split(), *words(given, chosen, "", file), flag]
            continue
        for value in bad(chosen, files, texts)[turn % step :: step]:
            yield [*name.split(), *words([*given, *([] if chosen in given else [chosen])], chosen, value, file)]


def words(params: list[click.Parameter], chosen: click.Parameter, value: str, file: Path) -> list[str]:
    """Return the arguments of a call, the options first."""
    options: list[str] = []
    arguments: list[str] = []
    for param in params:
        text = value if param is chosen else good(param, file)
        if isinstance(param, click.Argument):
            arguments.append(text)
        elif getattr(param, "is_flag", False):
            options += [param.opts[0]] if param is not chosen else []
        else:
            options += [param.opts[0], text]
    return [*options, "--", *arguments]


def write(name: str, folder: Path, document: Any = None) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(DOCUMENTS.get(name, {}) if document is None else document))
    return path


def spoil(document: Any, wrong: list[Any]) -> Iterator[Any]:
    """Yield copies of a document in which one value is wrong or missing."""

    def places(part: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if path:
            yield path
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in items:
            yield from places(value, (*path, key))

    for *way, last in places(document, ()):
        for value in [..., *wrong]:
            changed = copy.deepcopy(document)
            part = changed
            for key in way:
                part = part[key]
            if value is ...:
                del part[last]
            else:
                part[last] = value
            yield changed


@pytest.mark.parametrize("name", LEAVES)
def test_arguments(name, invoke, files, tmp_path) -> None:
    file = write(name, tmp_path)
    for call in calls(name, file, files, TEXTS, SHARE_OF_HEAVY if name in HEAVY else SHARE):
        invoke(call)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAVES)
def test_more_arguments(name, invoke, files, tmp_path) -> None:
    file = write(name, tmp_path)
    for call in calls(name, file, files, [*MORE_TEXTS, *TEXTS]):
        invoke(call)


def check_documents(name: str, wrong: list[Any], invoke, tmp_path, step: int = 1) -> None:
    (tmp_path / "table.csv").write_text("k\n1.2\n")
    command = LEAVES[name]
    params = [item for item in command.params if isinstance(item, click.Argument) or item.required]
    for document in islice(spoil(DOCUMENTS[name], wrong), 0, None, step):
        file = write(name, tmp_path, document)
        if name == "import results":
            invoke(["import", "results", "table.csv", "--map", str(file)])
        else:
            invoke([*name.split(), *words(params, click.Argument(["none"]), "", file)])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name, invoke, tmp_path) -> None:
    check_documents(
        name,
        [None, []] if name in ("campaign start", "tenant limitations", "result post") else [None, -1, "", [], {}],
        invoke,
        tmp_path,
        SHARE_OF_DOCUMENTS,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_more_documents(name, invoke, tmp_path) -> None:
    check_documents(name, WRONG, invoke, tmp_path)
