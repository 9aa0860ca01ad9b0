"""What ``aiida-finales setup`` does for the loaded profile: options, capabilities, drivers as codes on a computer."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_finales.broker.capability import Capability, load_capabilities
from aiida_finales.broker.registration import add_capability
from aiida_finales.exceptions import InputError
from aiida_finales.operations.engine.profile import loaded_profile, open_session

COMPUTER = "finales-lab"
#: the default timeout of 2 s is too short on a busy machine; a restart would start one worker; waiting processes and
#: parents of processes keep their slots
DAEMON_OPTIONS = {
    "daemon.timeout": 20,
    "daemon.default_workers": 2,
    "daemon.worker_process_slots": 2000,
    # seconds between two looks of AiiDA at each child it waits for, should the message of its end be lost; at the
    # 1 s that `verdi presto` sets, a hundred waiting requests cost 15 % of a core
    "runner.poll.interval": 30,
}
#: seconds between two looks at the jobs of a local computer; the scheduler is the local process table
POLL_INTERVAL = 0.5


def setup_capabilities() -> list[Capability]:
    """Register every capability of every installed package; unchanged ones are left alone."""
    capabilities = list(load_capabilities().values())
    for item in capabilities:
        add_capability(item.quantity, item.method, item.parameters_schema, item.result_schema)
    return capabilities


def setup_driver(program: str, folder: Path) -> orm.AbstractCode:
    """Make a driver of this environment known to AiiDA as a code on a local computer.

    :raises InputError: when the program is not installed.
    """
    from aiida_shell import ShellCode

    computer = setup_computer(folder / "work")
    try:
        return orm.load_code(f"{program}@{computer.label}")
    except NotExistent:
        pass
    beside = Path(sys.executable).parent / program
    path = str(beside) if beside.exists() else shutil.which(program)
    if path is None:
        raise InputError(f"driver {program!r} is not installed in this environment: pip install aiida-finales")
    code = ShellCode(label=program, computer=computer, filepath_executable=path)
    code.store()
    return code


def setup_computer(workdir: Path) -> orm.Computer:
    """Return the local computer on which drivers run; it is made when there is none."""
    is_new, computer = orm.Computer.collection.get_or_create(
        label=COMPUTER,
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(workdir),
    )
    if is_new:
        computer.set_minimum_job_poll_interval(POLL_INTERVAL)
        computer.set_default_mpiprocs_per_machine(1)
        computer.store()
        # a login shell reads the user's start-up files for each command, half a second with pyenv or conda; what runs
        # here has the environment of the daemon
        computer.configure(safe_interval=0, use_login_shell=False)
    return computer


def configure_daemon() -> dict[str, Any]:
    """Give the daemon of the loaded profile what it needs; return the options that were changed."""
    from aiida.manage.configuration import get_config

    config: Any = get_config()
    profile = loaded_profile()
    changed = {
        name: value for name, value in DAEMON_OPTIONS.items() if config.get_option(name, scope=profile.name) != value
    }
    for name, value in changed.items():
        config.set_option(name, value, scope=profile.name)
    if changed:
        config.store()
    return changed


def choose_folder() -> Path:
    """Return the folder for devices and jobs when none was given: the present one, or beside AiiDA's configuration."""
    from aiida.manage.configuration import get_config

    try:
        computer = orm.load_computer(COMPUTER)
    except NotExistent:
        return Path(str(get_config().dirpath)) / "finales" / loaded_profile().name
    return Path(str(computer.get_workdir())).parent


def use_write_ahead_log() -> bool:
    """Let readers and one writer of an SQLite profile work side by side; return whether the profile uses SQLite."""
    import sqlalchemy as sa

    session = open_session()
    if session.get_bind().dialect.name != "sqlite":
        return False
    session.execute(sa.text("PRAGMA journal_mode=wal"))
    session.commit()
    return True
