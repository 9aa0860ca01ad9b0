"""Every command explains itself, quickly."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from aiida_finales.entry_points.cli import finales, main
from aiida_finales.entry_points.cli.group import NOUNS


def walk(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return all commands below a group with their names."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = command.make_context("aiida-finales", [], resilient_parsing=True)
    below = [walk(command.get_command(context, name), (*path, name)) for name in command.list_commands(context)]
    return [(path, command), *(item for items in below for item in items)]


COMMANDS = walk(finales)


def test_nouns() -> None:
    """The program and ``verdi data finales`` have the same nouns, those of the design."""
    assert {path[0] for path, _ in COMMANDS if path} == set(NOUNS)
    assert set(NOUNS) >= {"setup", "capability", "tenant", "request", "result", "campaign", "why", "doctor"}
    assert {path[0] for path, _ in walk(main) if path} == set(NOUNS)


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=["-".join(path) or "all" for path, _ in COMMANDS])
def test_help_teaches(path, command) -> None:
    """Each command says what it does and shows an example; each option has a help text."""
    assert "aiida-finales" in command.help or "quantity" in command.help
    assert len(command.help.split()) > 10
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{path} {option.name}"


def test_help_is_light() -> None:
    """No help text loads the ORM, torch, scipy, or matplotlib."""
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from aiida_finales.entry_points.cli import main\n"
        "from aiida_finales.entry_points.cli.group import NOUNS\n"
        "for noun in NOUNS:\n"
        "    assert CliRunner().invoke(main, [noun, '--help']).exit_code == 0, noun\n"
        "assert CliRunner().invoke(main, ['campaign', 'start', '--help']).exit_code == 0\n"
        "heavy = [name for name in ('aiida.orm', 'torch', 'scipy', 'numpy', 'matplotlib') if name in sys.modules]\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_lists_are_light(lab, aiida_profile) -> None:
    """What only lists loads nothing that solves, fits, draws, serves or simulates; it is seen by what is loaded."""
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from aiida_finales.entry_points.cli import main\n"
        "heavy = ('scipy.optimize', 'scipy.spatial', 'torch', 'matplotlib', 'fastapi', 'rdkit', 'pandas')\n"
        "for words in sys.argv[2:]:\n"
        "    done = CliRunner().invoke(main, ['-p', sys.argv[1], *words.split()])\n"
        "    loaded = [name for name in heavy if name in sys.modules]\n"
        "    if done.exit_code or loaded:\n"
        "        sys.exit(f'{words}: {done.output}, loaded: {loaded}')\n"
    )
    nouns = ("request", "result", "capability", "tenant", "sample", "human", "campaign", "model")
    command = [sys.executable, "-c", program, aiida_profile.name, *(f"{noun} list" for noun in nouns), "query --list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_exports() -> None:
    """The package offers what it says, without loading AiiDA before it is used."""
    program = (
        "import sys, aiida_finales\n"
        "assert 'aiida' not in sys.modules\n"
        "names = {'Campaign', 'from_aiida', 'graph', 'request', '__version__'}\n"
        "assert set(aiida_finales.__all__) == names == set(dir(aiida_finales))\n"
        "from aiida_finales import *\n"
        "assert callable(request) and callable(graph) and hasattr(Campaign, 'start')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_attribute() -> None:
    """What the package does not have is an ordinary error."""
    import aiida_finales

    with pytest.raises(AttributeError, match="has no attribute 'requests'"):
        _ = aiida_finales.requests


def test_unknown_noun(run) -> None:
    """A mistyped noun is wrong usage; the nearest is named."""
    assert "campaign" in run("campain", "list", exit_code=2).stderr
