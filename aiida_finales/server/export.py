"""Write an AiiDA archive of everything that has ended: ``python -m aiida_finales.server.export PROFILE FILE``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.fair.graph.selection import profile_pks
from aiida_finales.fair.package.copy import copy_nodes
from aiida_finales.fair.package.draft import find_ended


def export_ended(path: Path, hidden: Iterable[int] = (), closed: Iterable[int] = ()) -> None:
    """Write what can be exported: a process that runs, and what it has made so far, would block the whole archive.

    :param hidden: pks of nodes that must not be in it, nor what was made with them.
    :param closed: pks of the campaigns that must not be in it.
    """
    groups = set(orm.QueryBuilder().append(CampaignGroup, project="id").all(flat=True)) - set(closed)
    copy_nodes(find_ended(profile_pks(), hidden), path, groups)


def main() -> None:
    """Export the profile that is named; what is left out is on standard input."""
    from aiida import load_profile

    load_profile(sys.argv[1])
    hidden, closed = json.load(sys.stdin)
    export_ended(Path(sys.argv[2]), hidden, closed)


if __name__ == "__main__":
    main()
