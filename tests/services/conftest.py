"""PostgreSQL and RabbitMQ for the tests, and an AiiDA installation on them; an SSH server and SLURM behind it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "services.sh"
#: longest time (s) for starting the services, the installation of their packages included
START_TIMEOUT = 300


@contextlib.contextmanager
def started(*names):
    """Settings of running services; where they cannot be started the tests are skipped, but in CI they fail."""
    done = subprocess.run([SCRIPT, "start", *names], capture_output=True, text=True, timeout=START_TIMEOUT, check=False)
    if done.returncode:
        reason = f"{' and '.join(names)} cannot be started: {done.stderr.strip() or done.stdout.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        warnings.warn(reason, pytest.PytestWarning, stacklevel=1)
        pytest.skip(reason)
    shell = subprocess.run(
        ["bash", "-c", f'eval "$({SCRIPT} env)"; env -0'], capture_output=True, text=True, check=True
    ).stdout
    yield dict(line.split("=", 1) for line in shell.split("\0") if line.startswith("FINALES_"))
    ours = [line.split()[0] for line in done.stdout.splitlines() if " started on " in line]
    if ours:
        subprocess.run([SCRIPT, "stop", *ours], capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def services():
    """Settings of PostgreSQL and RabbitMQ, which run."""
    with started("postgres", "rabbitmq") as settings:
        yield settings


@pytest.fixture(scope="session")
def cluster():
    """Settings of the SSH server and of SLURM behind it, which run."""
    with started("sshd", "slurm") as settings:
        yield settings


@pytest.fixture
def control(cluster):
    """Return a function that asks services.sh for something, such as to kill a service."""
    return lambda *arguments: subprocess.run([SCRIPT, *arguments], capture_output=True, timeout=60, check=True)


@contextlib.contextmanager
def new_database(services):
    """Name of a new and empty database, which is dropped afterwards."""
    import psycopg

    name = f"finales_{secrets.token_hex(6)}"
    login = {
        "host": services["FINALES_TEST_PG_HOST"],
        "port": services["FINALES_TEST_PG_PORT"],
        "user": services["FINALES_TEST_PG_USER"],
        "password": services["FINALES_TEST_PG_PASSWORD"],
    }
    with psycopg.connect(**login, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            f"create database {name} template template0 encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'"
        )
    yield name
    with psycopg.connect(**login, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(services):
    """Name of a new and empty database."""
    with new_database(services) as name:
        yield name


@pytest.fixture
def another_database(services):
    """Name of a second one."""
    with new_database(services) as name:
        yield name


@pytest.fixture
def on_postgresql(services, database, aiida_config, aiida_profile_factory, tmp_path):
    """A profile on PostgreSQL, without broker, in which the capabilities are registered."""
    from aiida_finales.operations.platform.installation import setup_capabilities, use_write_ahead_log

    storage = {
        "database_engine": "postgresql_psycopg",
        "database_hostname": services["FINALES_TEST_PG_HOST"],
        "database_port": int(services["FINALES_TEST_PG_PORT"]),
        "database_username": services["FINALES_TEST_PG_USER"],
        "database_password": services["FINALES_TEST_PG_PASSWORD"],
        "database_name": database,
        "repository_uri": (tmp_path / "repository").as_uri(),
    }
    with aiida_profile_factory(aiida_config, storage_backend="core.psql_dos", storage_config=storage) as profile:
        assert not use_write_ahead_log()
        setup_capabilities()
        yield profile
        profile.reset_storage()


class Installation:
    """An AiiDA of its own, reached by commands only, as its user does."""

    def __init__(self, folder, services):
        self.folder = folder
        self.environment = {**os.environ, **services, "AIIDA_PATH": str(folder), "PYTHONWARNINGS": "ignore"}
        # `make test` does not activate the virtual environment, and AiiDA looks for its own program on the path
        programs = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        self.environment["PATH"] = os.pathsep.join(programs)
        self.environment["AIIDA_BROKER_HOST"] = services["FINALES_TEST_AMQP_HOST"]
        self.environment["AIIDA_BROKER_PORT"] = services["FINALES_TEST_AMQP_PORT"]

    def run(self, *command, timeout=240):
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def verdi(self, *arguments):
        return self.run(str(Path(sys.executable).with_name("verdi")), *arguments)

    def python(self, script, *arguments):
        """Run a script in the profile; return what it printed last, which is JSON."""
        return json.loads(self.run(sys.executable, str(script), *arguments).splitlines()[-1])


@pytest.fixture
def production(services, database, tmp_path):
    """An installation on PostgreSQL and RabbitMQ, with two workers running."""
    installation = Installation(tmp_path, services)
    installation.verdi(
        *("profile", "setup", "core.psql_dos", "--non-interactive", "--profile-name", "production"),
        *("--email", "a@example.org", "--first-name", "A", "--last-name", "B", "--institution", "C"),
        *("--database-hostname", services["FINALES_TEST_PG_HOST"], "--database-port", services["FINALES_TEST_PG_PORT"]),
        *("--database-username", services["FINALES_TEST_PG_USER"]),
        *("--database-password", services["FINALES_TEST_PG_PASSWORD"], "--database-name", database),
        *("--repository-uri", (tmp_path / "repository").as_uri(), "--broker", "core.rabbitmq", "--set-as-default"),
    )
    installation.python(Path(__file__).parent / "prepare.py")
    installation.verdi("daemon", "start", "2")
    yield installation
    installation.verdi("daemon", "stop", "--timeout", "30")
