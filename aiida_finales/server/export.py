"""Write an AiiDA archive of everything that has ended: ``python -m aiida_finales.server.export PROFILE FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.fair.graph.selection import profile_pks
from aiida_finales.fair.package.copy import copy_nodes
from aiida_finales.fair.package.draft import find_ended


def export_ended(path: Path) -> None:
    """Write what can be exported: a process that runs, and what it has made so far, would block the whole archive."""
    groups = set(orm.QueryBuilder().append(CampaignGroup, project="id").all(flat=True))
    copy_nodes(find_ended(profile_pks()), path, groups)


def main() -> None:
    """Export the profile that is named."""
    from aiida import load_profile

    load_profile(sys.argv[1])
    export_ended(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
