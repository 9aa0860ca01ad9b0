"""Back-ups of real profiles, restored into another configuration."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from aiida import orm

from aiida_finales.exceptions import BackupError, InputError
from aiida_finales.operations.backup import backup
from aiida_finales.operations.backup import backup as backup_copy
from aiida_finales.operations.backup.backup import (
    check_container,
    copy_container,
    find_keys,
    list_backups,
    make_backup,
    read_keys,
)
from aiida_finales.operations.backup.schedule import CALENDAR, CRON, make_schedule
from aiida_finales.operations.platform.installation import use_write_ahead_log

BIN = Path(sys.executable).parent
#: what somebody reads who opens the profile: each node with its attributes and the content of its files
READ = """
import hashlib, json
from aiida import load_profile, orm
load_profile()
nodes = orm.QueryBuilder().append(orm.Node).all(flat=True)
print(json.dumps({
    node.uuid: [node.base.attributes.all, {
        name: hashlib.sha256(node.base.repository.get_object_content(name, mode="rb")).hexdigest()
        for name in node.base.repository.list_object_names()
    }] for node in nodes
}))
"""


def store_file(content: str, **attributes) -> orm.SinglefileData:
    """Store a node with a file."""
    node = orm.SinglefileData(io.BytesIO(content.encode()), filename="data.txt")
    node.base.attributes.set_many(attributes)
    return node.store()


def read_profile(environment: dict[str, str]) -> dict:
    """Return what another program reads in the default profile of a configuration."""
    done = subprocess.run(
        [sys.executable, "-c", READ], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


@pytest.fixture
def filled(aiida_profile_clean):
    """A profile in which SQLite keeps a write-ahead log, with nodes that have packed and loose files."""
    assert use_write_ahead_log()
    store_file("packed", value=1.5)
    from aiida.manage import get_manager

    get_manager().get_profile_storage().maintain(full=False)
    store_file("loose", value=2.5)
    orm.Dict({"answer": 42}).store()
    return aiida_profile_clean


@pytest.mark.slow
def test_restored_elsewhere(filled, tmp_path) -> None:
    """As the page says: put into a new profile of another configuration, it reads the same nodes and files."""
    made = make_backup(tmp_path / "backups")
    assert (made.n_nodes, made.n_objects) == (3, 2)
    place = tmp_path / "restored"
    environment = os.environ | {"AIIDA_PATH": str(tmp_path / "configuration")}
    (tmp_path / "configuration").mkdir()
    subprocess.run(
        [
            BIN / "verdi", "profile", "setup", "core.sqlite_dos", "--non-interactive", "--profile-name", "restored",
            "--email", made.user, "--filepath", place, "--set-as-default", "--broker", "none",
        ],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    for name in ("database.sqlite", "container"):
        subprocess.run(["rm", "-r", place / name], check=True)
        subprocess.run(["cp", "-r", Path(made.folder) / name, place], check=True)
    here = {node.uuid: node.base.attributes.all for node in orm.QueryBuilder().append(orm.Node).all(flat=True)}
    there = read_profile(environment)
    assert {uuid: attributes for uuid, (attributes, _) in there.items()} == here
    contents = {digest for _, files in there.values() for digest in files.values()}
    assert contents == {digest_of(text) for text in ("packed", "loose")}


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def test_write_ahead_log_is_in_it(filled, tmp_path) -> None:
    """What is only in the log of the database, which a copy of the file alone would lose, is in the back-up."""
    source = Path(filled.storage_config["filepath"]) / "database.sqlite"
    uuid = orm.Dict({"late": True}).store().uuid
    assert source.with_name("database.sqlite-wal").stat().st_size
    shutil.copy(source, tmp_path / "naive.sqlite")
    made = make_backup(tmp_path / "backups")

    def is_in(path: Path) -> bool:
        with sqlite3.connect(path) as connection:
            try:
                rows = connection.execute("SELECT uuid FROM db_dbnode").fetchall()
            except sqlite3.DatabaseError:
                return False
        return uuid.replace("-", "") in {row[0].replace("-", "") for row in rows}

    assert not is_in(tmp_path / "naive.sqlite")
    assert is_in(Path(made.folder) / "database.sqlite")
    assert not list(Path(made.folder).glob("*-wal"))


def test_later_ones_share_what_is_the_same(filled, tmp_path) -> None:
    """A further back-up takes space for what is new only, and old ones go without harm to those that stay."""
    first = Path(make_backup(tmp_path).folder)
    store_file("new")
    second = Path(make_backup(tmp_path).folder)
    inodes = {path.relative_to(first): path.stat().st_ino for path in first.rglob("*") if path.is_file()}
    again = {path.relative_to(second): path.stat().st_ino for path in second.rglob("*") if path.is_file()}
    shared = {path for path in inodes if again.get(path) == inodes[path]}
    assert {path.parts[1] for path in shared} == {"loose", "packs"}
    assert len([path for path in again if "loose" in path.parts]) == 2
    third = make_backup(tmp_path, keep=2)
    folder = tmp_path / third.profile
    assert list_backups(folder) == [second, Path(third.folder)]
    assert (folder / "last").resolve() == Path(third.folder)
    check_container(second / "container", read_keys(second / "database.sqlite"))


@pytest.mark.slow
def test_while_it_is_used(filled, tmp_path) -> None:
    """Nodes that are stored meanwhile, and files that are packed meanwhile, leave every back-up whole."""
    script = (
        "import io, sys\nfrom aiida import load_profile, orm\nfrom aiida.manage import get_manager\n"
        f"load_profile({filled.name!r})\nprint('ready', flush=True)\n"
        "for number in range(100000):\n"
        "    orm.SinglefileData(io.BytesIO(str(number).encode()), filename='a').store()\n"
        "    if number % 20 == 19: get_manager().get_profile_storage().get_repository().maintain(live=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "ready\n"
        made = [make_backup(tmp_path)]
        while made[-1].n_nodes < made[0].n_nodes + 60 and len(made) < 60:
            made.append(make_backup(tmp_path, keep=5))
        assert writer.poll() is None, writer.stderr.read()
    finally:
        writer.kill()
        writer.communicate()
    counts = [item.n_nodes for item in made]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_copy_that_is_not_whole_does_not_count(filled, tmp_path, monkeypatch) -> None:
    """When files are missing in the copy, there is no back-up, and the last good one stays the last."""
    good = make_backup(tmp_path)
    store_file("will be lost")
    copy = copy_container

    def lose(source, target, previous):
        copy(source, target, previous)
        for path in (target / "loose").rglob("*"):
            if path.is_file() and path.read_text() == "will be lost":
                path.unlink()

    monkeypatch.setattr(backup, "copy_container", lose)
    with pytest.raises(BackupError, match=r"1 of 3 files of nodes are missing in the copy, e\.g\. \w+"):
        make_backup(tmp_path)
    folder = tmp_path / good.profile
    assert list_backups(folder) == [Path(good.folder)] == [(folder / "last").resolve()]
    monkeypatch.undo()
    made = make_backup(tmp_path)
    assert not list(folder.glob("*.part"))
    assert made.n_objects == 3


def test_damaged_database(tmp_path) -> None:
    """A database that SQLite calls damaged is none."""
    path = tmp_path / "database.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE db_dbnode (id INTEGER PRIMARY KEY, uuid TEXT)")
        connection.executemany("INSERT INTO db_dbnode (uuid) VALUES (?)", [("x" * 200,)] * 2000)
    connection.close()
    assert backup_copy.check_sqlite(path) == 2000
    content = bytearray(path.read_bytes())
    content[8192:12288] = random.Random(1).randbytes(4096)
    path.write_bytes(content)
    with pytest.raises((BackupError, sqlite3.DatabaseError), match=r"damaged|malformed"):
        backup_copy.check_sqlite(path)


def test_one_at_a_time(filled, tmp_path) -> None:
    """Two back-ups to the same place do not meet."""
    folder = tmp_path / filled.name
    folder.mkdir()
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another back-up"):
            make_backup(tmp_path)


def test_no_secrets(filled, tmp_path, monkeypatch) -> None:
    """Nothing of the configuration that could be a password is in the back-up; others cannot look into it."""
    monkeypatch.setitem(filled.storage_config, "database_password", "hunter2")
    made = Path(make_backup(tmp_path).folder)
    assert not [path for path in made.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert made.stat().st_mode & 0o077 == 0


def test_postgresql_dump(tmp_path, monkeypatch) -> None:
    """The password goes to pg_dump where other users do not see it; its failure is told, its absence, too."""
    settings = {"database_hostname": "h", "database_port": 5, "database_name": "n", "database_username": "u",
                "database_password": "hunter2"}  # fmt: skip
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@ / $PGPASSWORD" >"$(dirname "$0")/seen"\necho "no such host" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BackupError, match="pg_dump failed: no such host"):
        backup_copy.dump_postgresql(settings, tmp_path / "dump")
    arguments, password = (tmp_path / "seen").read_text().strip().split(" / ")
    assert password == "hunter2"
    assert "hunter2" not in arguments
    assert {"--host=h", "--port=5", "--dbname=n", "--username=u"} <= set(arguments.split())
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(BackupError, match="pg_dump is not installed"):
        backup_copy.dump_postgresql(settings, tmp_path / "dump")


def test_other_storages_are_refused(filled, tmp_path, monkeypatch) -> None:
    """A storage that is not known here is named."""
    monkeypatch.setattr(type(filled), "storage_backend", "core.sqlite_zip")
    with pytest.raises(InputError, match=r"is core.sqlite_zip, but accepted are core.sqlite_dos and core.psql_dos"):
        make_backup(tmp_path)


def test_keys_of_nested_folders() -> None:
    """Files are found at every depth of a node's folders."""
    tree = {"o": {"a": {"k": "1"}, "b": {"o": {"c": {"o": {"d": {"k": "2"}}}, "e": {}}}}}
    assert list(find_keys(tree)) == ["1", "2"]


def test_no_links_between_file_systems(filled, tmp_path, monkeypatch) -> None:
    """Where files cannot have second names, they are copied."""
    make_backup(tmp_path)

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    made = make_backup(tmp_path)
    assert made.n_objects == 2


@pytest.mark.parametrize("every", CRON)
def test_schedule(filled, tmp_path, every) -> None:
    """Both forms run this program with this configuration; systemd accepts its one."""
    place = tmp_path / "back ups, 100%"
    made = make_schedule(every, place, 7)
    minutes = made.cron.split(" ")[:5]
    assert " ".join(minutes) == CRON[every]
    words = shlex.split(made.cron.split(" ", 5)[5].replace(r"\%", "%"))
    assert words[0] == "env"
    assert words[1].startswith("AIIDA_PATH=/")
    assert words[3:] == [
        str(BIN / "aiida-finales"), "-p", filled.name, "archive", "backup", "--to", str(place), "--keep", "7"
    ]  # fmt: skip
    assert f"OnCalendar={CALENDAR[every]}" in made.timer
    assert str(place).replace("%", "%%") in made.service
    for text in (made.service, made.timer, made.cron):
        assert text in made.as_text()
    if shutil.which("systemd-analyze"):
        subprocess.run(["systemd-analyze", "calendar", CALENDAR[every]], check=True, capture_output=True, timeout=60)
        for ending, text in (("service", made.service), ("timer", made.timer)):
            (tmp_path / f"finales-test.{ending}").write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", tmp_path / "finales-test.timer"],
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "finales-test" not in done.stderr


@pytest.mark.slow
def test_scheduled_command_runs(filled, tmp_path) -> None:
    """What the line of cron says does make a back-up."""
    made = make_schedule("daily", tmp_path / "back ups, 100%", 7)
    command = made.cron.split(" ", 5)[5].replace(r"\%", "%")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (folder,) = list_backups(tmp_path / "back ups, 100%" / filled.name)
    assert json.loads((folder / "manifest.json").read_text())["n_nodes"] == 3
