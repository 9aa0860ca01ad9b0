"""What the tutorials and guides tell a reader to type works, page by page, in the order in which it stands there.

The quick part runs in this process, in one profile: what needs no daemon, server or network. The slow part types
whole tutorials into a shell, in a configuration of their own with a daemon.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest
from click.testing import CliRunner

from aiida_finales.broker.capability import load_capabilities
from aiida_finales.testing import Sandbox
from tests.entry_points.conftest import CAMPAIGN, run_what_is_submitted

from .pages import DOCS, NEEDS, PAGES, ROOT, Step, read_steps

Type = Callable[[str], str]
#: things of the reader's own: by page, the word that stands for it, the list to look in, what to take of which row
OWN: dict[str, dict[str, tuple[str, str, int]]] = {
    "first_campaign.md": {
        "1240": ("aiida-finales result list", "pk", -1),
        "1310": ("aiida-finales request list --status reserved", "pk", -1),
    },
    "electrolyte_to_end_of_life.md": {
        "33": ("aiida-finales request list --quantity degradationEOL", "pk", -1),
        "149": ("aiida-finales result list --method degradation_workflow", "pk", -1),
        "vial-82362afa": ("aiida-finales sample list --kind vial", "identity", -1),
    },
    "answer_a_request.md": {
        "1234": ("aiida-finales request list --quantity conductivity", "pk", -1),
        "1240": ("aiida-finales result list", "pk", -1),
        "1241": ("aiida-finales result list", "pk", -2),
        "1302": ("aiida-finales result list", "pk", -3),
    },
    "archive_a_campaign.md": {"3f2a9c11": ("aiida-finales result list", "uuid", -1)},
    "export_a_campaign.md": {"3f2a9c11": ("aiida-finales result list", "uuid", -1)},
    "train_a_lifetime_model.md": {"1240": ("aiida-finales model list", "pk", -1)},
}
#: programs that may be typed into a shell by the quick tests: they stay in the folder
IN_SHELL = {"finales-md", "finales-mlp", "finales-lab"}
#: the files that the pages include
FILES = [*DOCS.glob("how-to/files/*"), *DOCS.glob("tutorials/files/*")]


class Desk:
    """A folder in which a reader types: the files of the pages are there, and what they say to save is written.

    :param type_line: types a command, returns what was said, and fails when the command does.
    :param patience_s: how long to look for what the daemon has to make first, in s.
    """

    def __init__(self, folder: Path, type_line: Type, patience_s: float = 0.0) -> None:
        self.folder, self.type_line, self.patience_s = folder, type_line, patience_s
        for name in ("docs", "examples"):
            (folder / name).symlink_to(ROOT / name)
        for file in FILES:
            shutil.copy(file, folder)

    def follow(self, page: Path, needs: frozenset[str] = frozenset()) -> None:
        """Do what a page says, but for commands that need what is not here."""
        for step in read_steps(page):
            if step.file:
                self.write(step)
            elif not step.needs or step.needs in needs:
                self.type_line(self.fill(page, step))

    def write(self, step: Step) -> None:
        """Write a file that a page says to save; a package is installed, as pip would do it."""
        file = self.folder / step.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(step.text, encoding="utf-8")
        if file.name == "setup.cfg":
            load_capabilities.cache_clear()
            invalidate_caches()
            declared = step.text.split("[options.entry_points]\n")[1]
            group, _, entries = declared.partition(" =\n")
            about = file.parent / f"{file.parent.name.replace('-', '_')}-0.1.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {file.parent.name}\nVersion: 0.1\n")
            (about / "entry_points.txt").write_text(f"[{group}]\n{textwrap.dedent(entries)}")

    def fill(self, page: Path, step: Step) -> str:
        """Return a command with things of the reader's own in the place of those of the page."""
        line = re.sub(r"(?<= )/(backups|data)/", rf"{self.folder}/\1/", step.text)
        for word, (command, key, row) in OWN.get(page.name, {}).items():
            if re.search(rf"(?<!\w){word}(?!\w)", line):
                rows = self.look_for(command)
                assert rows, f"{page.name}: '{command}' lists nothing that {word} in '{line}' could stand for"
                line = re.sub(rf"(?<!\w){word}(?!\w)", str(rows[row][key]), line)
        return line

    def look_for(self, command: str) -> list[dict[str, object]]:
        """Return the rows of a list; where there are none yet, look again for a while as a reader does."""
        end = time.monotonic() + self.patience_s
        while True:
            rows: list[dict[str, object]] = json.loads(self.type_line(f"{command} --format json"))
            if rows or time.monotonic() > end:
                return rows
            time.sleep(2.0)


def type_here(line: str) -> str:
    """Run a command in this process where it is one of ours or of AiiDA, else in a shell; answer its questions."""
    from aiida.cmdline.commands.cmd_verdi import verdi

    from aiida_finales.entry_points.cli import finales

    words, _, target = line.partition(" > ")
    name, *arguments = shlex.split(words)
    group = {"aiida-finales": finales, "verdi": verdi}.get(name)
    if group is None:
        assert name in IN_SHELL, f"say in the page what '{line}' needs (% needs: ...)"
        return type_in_shell(line)
    result = CliRunner().invoke(group, arguments, input="y\n", prog_name=name)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, f"$ {line}\n{result.stdout}{result.stderr}"
    if target:
        Path(target).write_text(result.stdout, encoding="utf-8")
    return result.stdout


def type_in_shell(line: str, environment: dict[str, str] | None = None, timeout: float = 600.0) -> str:
    """Type a command into a shell that finds the programs of this environment; questions are answered with yes."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "PATH": path, **(environment or {})}, input="y\n", capture_output=True,
        text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def stage(aiida_profile, tmp_path_factory) -> Iterator[Desk]:
    """A profile with the simulated laboratory and a campaign that has ended; requests wait, as without a daemon."""
    from aiida.common import log

    from aiida_finales import Campaign
    from aiida_finales.data.cells import ADDED_PARTS
    from aiida_finales.data.chemicals import ADDED_CHEMICALS

    aiida_profile.reset_storage()
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "CLI_ACTIVE", None)
        patch.chdir(folder)
        (folder / "my-package").mkdir()
        patch.syspath_prepend(folder / "my-package")  # where a page installs the package that it shows
        desk = Desk(folder, type_here)
        type_here(f"aiida-finales setup --folder {folder / 'laboratory'}")
        with pytest.MonkeyPatch.context() as engine:
            run_what_is_submitted(engine)
            assert Campaign.start({**CAMPAIGN, "name": "ocond", "stop": {"evaluations": 3}}).process.is_finished_ok
        let_requests_wait(patch)
        yield desk
    load_capabilities.cache_clear()
    log.configure_logging(with_orm=True)
    for added in (ADDED_CHEMICALS, *ADDED_PARTS.values()):  # records that pages add are no matter of other tests
        added.path().unlink(missing_ok=True)
        added.forget()


def let_requests_wait(patch: pytest.MonkeyPatch) -> None:
    """Let ``submit`` store a process that nobody runs, as when the daemon is stopped a moment later."""
    import aiida.engine
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    from aiida_finales.operations.request import serving

    patch.setattr(
        aiida.engine,
        "submit",
        lambda process, **inputs: instantiate_process(get_manager().get_runner(), process, **inputs).node,
    )
    patch.setattr(serving, "connect_to_daemon", lambda: None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_work(page, stage) -> None:
    """Every command that needs nothing but a profile ends well."""
    stage.follow(page)


def test_steps_are_found() -> None:
    """The reader of pages sees the commands, most of which run here, and every word of what is needed is used."""
    steps = [step for page in PAGES for step in read_steps(page)]
    assert sum(not step.needs and not step.file for step in steps) > 60
    assert {step.needs for step in steps if step.needs} == set(NEEDS)


@pytest.fixture
def shell(tmp_path) -> Iterator[Desk]:
    """A folder in which every command is typed into a shell, with an AiiDA configuration of its own."""
    sandbox = Sandbox(tmp_path / "aiida")
    folder = tmp_path / "desk"
    for path in (sandbox.folder, folder):
        path.mkdir()
    environment = {**sandbox.environment, "PYTHONPATH": str(folder / "my-package")}
    yield Desk(folder, lambda line: type_in_shell(f"cd {folder} && {line}", environment), 180.0)
    type_in_shell("verdi daemon stop", environment)


@pytest.mark.slow
@pytest.mark.daemon
@pytest.mark.timeout(1800)
def test_tutorials_work(shell) -> None:
    """The first tutorial from an empty configuration; then a capability is added and searched with."""
    shell.follow(DOCS / "tutorials" / "first_campaign.md", frozenset({"daemon"}))
    shell.type_line("verdi daemon start 2")
    shell.follow(DOCS / "how-to" / "add_a_capability.md", frozenset({"daemon"}))


@pytest.mark.slow
@pytest.mark.daemon
@pytest.mark.timeout(1800)
def test_chain_works(shell) -> None:
    """The tutorial about the end of life, from an empty configuration."""
    shell.follow(DOCS / "tutorials" / "electrolyte_to_end_of_life.md", frozenset({"daemon"}))
