"""Let a robot dose while PostgreSQL is restarted, and while RabbitMQ's disk is full; print what came of it.

Run as a script: services.sh, then the folder of the simulated laboratory.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from aiida import load_profile, orm
from aiida.engine import submit
from answer_through_trouble import is_ended, wait_until
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from aiida_finales.broker.state import read_state
from aiida_finales.calculations.connection import renew_connection
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.operations.engine.profile import open_session
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.serve import ServeRequestWorkChain

#: s that a disk is full: longer than AiiDA's heartbeats
FULL = 20.0


def read_ledger(folder: Path) -> list[str]:
    """Return the key of each dose so far."""
    ledger = folder / "inventory" / "ledger.jsonl"
    return [json.loads(line)["key"] for line in ledger.read_text().splitlines()] if ledger.exists() else []


def forget_connection() -> None:
    """Let this program see the end of its connection to the database, once, and open another one."""
    session = open_session()
    with contextlib.suppress(OperationalError):
        session.execute(text("select 1"))
    session.rollback()


def main() -> None:
    """Do it."""
    services, folder = sys.argv[1], Path(sys.argv[2])

    def order(*words: str) -> None:
        subprocess.run([services, *words], capture_output=True, check=True, timeout=120)

    def restart_database() -> None:
        order("restart", "postgres")

    def fill_disk() -> None:
        order("alarm")
        time.sleep(FULL)
        order("calm")

    load_profile()
    found = {}
    for number, trouble in enumerate((restart_database, fill_disk)):
        n_before = len(read_ledger(folder))
        formulation = make_formulation({"LiPF6": 0.08, "EC": 0.3 + number / 100, "EMC": 0.62 - number / 100})
        parameters = {"two_electrode": {"formulation": formulation, "temperature": 298.15}}
        request = RequestData("conductivity", parameters, "tester").store()
        pk, uuid, process = request.pk, request.uuid, submit(ServeRequestWorkChain, request=request).pk
        is_dosed = wait_until(lambda n=n_before: len(read_ledger(folder)) > n)
        is_in_the_middle = is_dosed and not is_ended(process)
        trouble()
        renew_connection()
        forget_connection()
        is_cured = not wait_until(lambda pk=process: is_ended(pk), 60.0)
        if is_cured:
            cure = ["aiida-finales", "doctor", "--cure", "--force"]
            subprocess.run(cure, stdout=sys.stderr, check=False, timeout=200)
        results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": uuid})
        found[trouble.__name__] = {
            "is_in_the_middle": is_in_the_middle,
            "is_cured": is_cured,
            "is_ended": wait_until(lambda pk=process: is_ended(pk)),
            "doses": sum(key.startswith(uuid) for key in read_ledger(folder)),
            "results": results.count(),
            "status": read_state(pk)["status"],
            "exit_status": orm.load_node(process).exit_status,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
