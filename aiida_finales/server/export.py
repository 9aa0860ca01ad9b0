"""Write an AiiDA archive of everything that has ended: ``python -m aiida_finales.server.export PROFILE FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from aiida import orm

from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData
from aiida_finales.data.tenant import TenantData


def export_ended(path: Path) -> None:
    """Write what can be exported: a process that runs, and what it has made so far, would block the whole archive."""
    from aiida.tools.archive import create_archive

    ended = orm.QueryBuilder().append(orm.ProcessNode, filters={"attributes.sealed": True})
    create_archive([*ended.all(flat=True), *_find_free_nodes()], filename=path, overwrite=True)


def _find_free_nodes() -> list[orm.Node]:
    """Return our nodes that no running process has made."""
    running = orm.QueryBuilder().append(
        orm.CalculationNode, filters={"attributes.sealed": {"!==": True}}, tag="process", project="id"
    )
    unfinished = orm.QueryBuilder().append(
        orm.CalculationNode, filters={"id": {"in": running.all(flat=True) or [-1]}}, tag="p"
    )
    unfinished.append(orm.Data, with_incoming="p", project="id")
    kinds = (RequestData, ResultData, TenantData, CapabilityData, SampleData)
    filters = {"id": {"!in": unfinished.all(flat=True) or [-1]}}
    return list(orm.QueryBuilder().append(kinds, filters=filters).all(flat=True))


def main() -> None:
    """Export the profile that is named."""
    from aiida import load_profile

    load_profile(sys.argv[1])
    export_ended(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
