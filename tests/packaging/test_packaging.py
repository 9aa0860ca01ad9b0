"""What others get: the wheel and the source archive, built from the files in git, and used in fresh environments."""

from __future__ import annotations

import configparser
import email
import json
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import aiida_finales

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"

#: the fields of an entry, as the README of https://github.com/aiidateam/aiida-registry has them
_URL = {"type": "string", "pattern": "^https://"}
REGISTRY = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^aiida-[a-z0-9-]+$"},
    "additionalProperties": {
        "type": "object",
        "required": ["entry_point_prefix", "code_home"],
        "additionalProperties": False,
        "properties": {
            "entry_point_prefix": {"type": "string", "pattern": "^[a-z0-9_]+$"},
            "code_home": _URL,
            "pip_url": {"type": "string", "pattern": r"^([\w-]+|git\+https://.+)$"},
            "plugin_info": {**_URL, "pattern": r"^https://.+/(setup\.(json|cfg)|pyproject\.toml)$"},
            "documentation_url": _URL,
            "version_file": {**_URL, "pattern": r"\.py$"},
        },
    },
}


def call(*command: object, cwd: Path | None = None, timeout: float = 600) -> str:
    """Return what a program says; what fails, fails with all it said."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of the project, those of a change that is not committed yet included."""
    if not (ROOT / ".git").exists():
        pytest.skip("the list of files is in git, and this is no checkout")
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


@pytest.fixture(scope="module")
def archives(tracked, tmp_path_factory) -> tuple[Path, Path]:
    """The source archive, and the wheel made of it, as an index gets them."""
    folder = tmp_path_factory.mktemp("archives")
    for name in tracked:
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "checkout" / name)
    call(sys.executable, "-c", BUILD, "build_sdist", folder, cwd=folder / "checkout")
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    call(sys.executable, "-c", BUILD, "build_wheel", folder, cwd=folder / source.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def test_wheel_holds_everything(archives, tracked) -> None:
    """Every file below the package, whatever its kind and folder, and nothing else."""
    names = zipfile.ZipFile(archives[1]).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == {name for name in tracked if name.startswith("aiida_finales/")}
    assert len([name for name in inside if name.endswith(".rq")]) == 10


def test_source_holds_everything(archives, tracked) -> None:
    """Examples, documentation, tests and constraints, too: who has it can build, test and read."""
    with tarfile.open(archives[0]) as archive:
        inside = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert set(tracked) - inside == set()
    assert {"constraints.txt", "examples/demo.py", "docs/index.md", "tests/conftest.py", "Makefile"} <= inside


def test_metadata_says_where(archives) -> None:
    """An index shows where the source, the documentation and the issues are."""
    wheel = zipfile.ZipFile(archives[1])
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = email.message_from_bytes(wheel.read(name))
    labels = {line.partition(",")[0] for line in fields.get_all("Project-URL")}
    assert {"Documentation", "Source", "Issues", "Changelog"} <= labels
    assert fields["Requires-Python"] == ">=3.11"
    assert set(fields.get_all("Provides-Extra")) >= {"server", "fair", "optimise", "md"}


def test_registry_entry() -> None:
    """The entry for the plugin registry has its fields, and only entry points with its prefix are AiiDA's."""
    document = yaml.safe_load((ROOT / "aiida-registry.yaml").read_text())
    Draft202012Validator(REGISTRY).validate(document)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    (entry,) = document.values()
    assert entry["code_home"] == setup["metadata"]["url"]
    assert "Framework :: AiiDA" in setup["metadata"]["classifiers"]
    for group, lines in setup["options.entry_points"].items():
        names = [line.split("=")[0].strip() for line in lines.strip().splitlines()]
        if group.startswith("aiida."):
            assert all(name.split(".")[0] == entry["entry_point_prefix"] for name in names), group


def test_citation_and_changelog_name_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == aiida_finales.__version__
    heads = re.findall(r"^# aiida-finales (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == (citation["version"], citation["date-released"])


def test_hooks_run_what_lint_runs() -> None:
    """Before a commit the same commands run as by ``make lint``, in the same order."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.+\n)+)", makefile, re.MULTILINE).group(1)
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == commands


def test_container_ends_with_the_commands_of_the_readme() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    shown = re.findall(r"^\$ (make \w+) ", (ROOT / "README.md").read_text(), re.MULTILINE)[:2]
    assert container["postCreateCommand"] == " && ".join(shown) == "make demo && make test"


@pytest.mark.slow
@pytest.mark.daemon
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("extras", "part"), [("", "campaign"), ("[server,fair]", "server")], ids=["alone", "server"])
def test_fresh_environment(archives, tmp_path, extras, part) -> None:
    """The wheel alone runs a campaign without torch; with the server's extras it shows its pages."""
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / "bin" / "python"
    call(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "-c",
        ROOT / "constraints.txt",
        f"{archives[1]}{extras}",
    )
    said = call(python, "-P", Path(__file__).with_name("use_wheel.py"), part, tmp_path / "sandbox", cwd=tmp_path)
    assert said.splitlines()[-1] == f"{part}: well"
