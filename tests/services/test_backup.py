"""A back-up of a profile on PostgreSQL, restored into another database."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from aiida import orm

from aiida_finales.operations.backup.backup import CONTAINER, DUMP_FILE, make_backup

from .conftest import Installation

pytestmark = pytest.mark.services

READ = """
import json
from aiida import load_profile, orm
load_profile()
nodes = orm.QueryBuilder().append(orm.Node).all(flat=True)
print(json.dumps({
    node.uuid: [node.base.attributes.all, node.base.extras.all, {
        name: node.base.repository.get_object_content(name) for name in node.base.repository.list_object_names()
    }] for node in nodes
}))
"""


def read_nodes():
    nodes = orm.QueryBuilder().append(orm.Node).all(flat=True)
    return {
        node.uuid: [node.base.attributes.all, node.base.extras.all, {
            name: node.base.repository.get_object_content(name) for name in node.base.repository.list_object_names()
        }] for node in nodes
    }  # fmt: skip


def test_restored_into_another_database(on_postgresql, services, another_database, make_request, tmp_path):
    """As the guide says: a profile on an empty database, whose content is replaced, as is the container."""
    orm.SinglefileData(io.BytesIO(b"from the cycler"), filename="raw.txt").store()
    request = make_request().store()
    request.base.extras.set("finales", {"status": "pending", "serial": 1})
    told = []
    made = make_backup(tmp_path / "backups", say=told.append)
    assert made.storage == "core.psql_dos"
    assert made.n_nodes == len(read_nodes()) > 2
    folder = Path(made.folder)

    restored = Installation(tmp_path / "restored", services)
    restored.folder.mkdir()
    restored.verdi(
        *("profile", "setup", "core.psql_dos", "--non-interactive", "--profile-name", "restored"),
        *("--email", made.user, "--first-name", "A", "--last-name", "B", "--institution", "C"),
        *("--database-hostname", services["FINALES_TEST_PG_HOST"], "--database-port", services["FINALES_TEST_PG_PORT"]),
        *("--database-username", services["FINALES_TEST_PG_USER"]),
        *("--database-password", services["FINALES_TEST_PG_PASSWORD"], "--database-name", another_database),
        *("--repository-uri", (restored.folder / "repository").as_uri(), "--set-as-default"),
        *("--broker", "core.zeromq"),
    )
    login = [f"--{key}={services[f'FINALES_TEST_PG_{name}']}" for key, name in
             (("host", "HOST"), ("port", "PORT"), ("username", "USER"))]  # fmt: skip
    restored.environment["PGPASSWORD"] = services["FINALES_TEST_PG_PASSWORD"]
    options = ("--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={another_database}", f"--file={folder / DUMP_FILE}")
    restored.run("psql", *login, *options)
    container = restored.folder / "repository" / CONTAINER
    shutil.rmtree(container)
    shutil.copytree(folder / CONTAINER, container)
    restored.verdi("storage", "info")
    script = tmp_path / "read.py"
    script.write_text(READ)
    assert restored.python(script) == json.loads(json.dumps(read_nodes()))
    assert "finales" in restored.python(script)[request.uuid][1]
