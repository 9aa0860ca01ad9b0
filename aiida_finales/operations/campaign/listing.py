"""All campaigns in one query: what they are and how they stand, without reading what each of them found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_finales.data.campaign import IS_CAMPAIGN, CampaignGroup
from aiida_finales.operations.campaign.figures import best_so_far
from aiida_finales.operations.campaign.overview import FAILED, Overview

#: size of a small curve, in units of its own
WIDTH, HEIGHT = 100.0, 28.0


@dataclass(frozen=True)
class CampaignRow:
    """A campaign on a list.

    :param state: of its latest process, in AiiDA's words; ``failed`` when it ended otherwise than it should.
    :param document: what it was told to do.
    """

    group: CampaignGroup
    pk: int
    state: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.group.label)

    @property
    def quantities(self) -> str:
        """What it optimises, in words."""
        goals = self.document.get("objectives") or {self.document.get("quantity"): {}}
        return ", ".join(str(name).replace("_", " ") for name in goals)


def list_rows() -> list[CampaignRow]:
    """Return all campaigns that have a process: those that failed first, then the latest first."""
    query = orm.QueryBuilder().append(CampaignGroup, tag="group", project="*")
    columns = ["id", "attributes.process_state", "attributes.exit_status"]
    query.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN, tag="process", project=columns)
    edge = {"label": "campaign"}
    query.append(orm.Dict, with_outgoing="process", edge_filters=edge, project="attributes", tag="told")
    found: dict[int, CampaignRow] = {}
    for group, pk, state, status, document in query.order_by({"process": {"id": "asc"}}).all():
        found[group.pk] = CampaignRow(group, pk, _state(state, status), document)
    return sorted(found.values(), key=lambda row: (row.state != FAILED, -row.pk))


def _state(state: str | None, status: int | None) -> str:
    is_failed = state == "excepted" or (state == "finished" and bool(status))
    return FAILED if is_failed else str(state or "created")


def small_curve(overview: Overview) -> str:
    """Return the best so far against the evaluations, as points of an SVG; empty before there are two."""
    if len(overview.campaign.optimised) > 1:
        steps = overview.front.hypervolumes if overview.front else ()
        numbers, best = [step[0] for step in steps], [step[1] for step in steps]
    else:
        numbers, best = best_so_far(overview)
    return trace_curve(numbers, best)


def trace_curve(x: Sequence[float], y: Sequence[float]) -> str:
    """Return a line as points of an SVG of :data:`WIDTH` by :data:`HEIGHT`; empty of less than two points."""
    if len(x) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    low, span = min(y), (max(y) - min(y)) or 1.0
    length = (x[-1] - x[0]) or 1.0
    room = HEIGHT - 4
    return " ".join(
        f"{WIDTH * (a - x[0]) / length:.1f},{2 + room * (1 - (b - low) / span):.1f}" for a, b in zip(x, y, strict=True)
    )
