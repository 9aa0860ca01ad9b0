"""What the documentation, the README and the docstrings name is there: modules, their members, files, commands."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import click
import pytest

from aiida_finales.entry_points.cli import finales

from .pages import DOCS, ROOT

PACKAGE = ROOT / "aiida_finales"
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), *sorted(PACKAGE.rglob("*.py"))]
#: names with a dot that are no modules: groups of entry points, and the logger of statuses
GROUPS = ("capabilities", "chemicals", "electrodes", "separators", "cell_formats")
NO_MODULES = {*(f"aiida_finales.{group}" for group in GROUPS), "aiida_finales.status"}
FOLDERS = "|".join(
    ["docs", "tests", "examples", "benchmarks", *sorted(path.name for path in PACKAGE.iterdir() if path.is_dir())]
)
NAME = re.compile(r"\baiida_finales(?:\.\w+)+")
FILE = re.compile(rf"(?<![\w./-])(?:aiida_finales/)?(?:{FOLDERS})/[\w./-]*\w\.(?:py|md|yaml|json|csv|sh|ttl)\b")


@cache
def is_there(name: str) -> bool:
    """Return whether a dotted name is a module, or a member of one."""
    module, _, member = name.rpartition(".")
    try:
        found = find_spec(name) is not None
    except ModuleNotFoundError:
        found = False
    return found or has_member(module, member) or name in NO_MODULES


def has_member(module: str, member: str) -> bool:
    """Return whether a module or a class has a member."""
    try:
        return hasattr(import_module(module), member)
    except ImportError:
        owner, _, kind = module.rpartition(".")
        return bool(owner) and hasattr(getattr(import_module(owner), kind, None), member)


def test_names_are_there() -> None:
    """Every dotted name of this package that somebody reads is one that can be imported."""
    named = {(path, name) for path in PROSE for name in NAME.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 300
    assert not [(str(path.relative_to(ROOT)), name) for path, name in named if not is_there(name)]


def test_files_are_there() -> None:
    """Every file that somebody reads of exists, below the checkout, the package or the page's folder."""
    named = {(path, name) for path in PROSE for name in FILE.findall(path.read_text(encoding="utf-8"))}
    bases = (ROOT, PACKAGE, DOCS)
    assert len(named) > 50
    missing = [
        (path, name) for path, name in named if not any((base / name).exists() for base in (*bases, path.parent))
    ]
    assert not missing


@pytest.mark.parametrize("name", ["aiida_finales.schemas.nothing", "aiida_finales.lab.driver.command.nothing"])
def test_what_is_not_there_is_seen(name) -> None:
    """The two tests above can fail."""
    assert not is_there(name)


def test_nouns_of_the_readme() -> None:
    """The README lists every noun of the command line, and no other."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## The command line")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(finales.list_commands(click.Context(finales)))
