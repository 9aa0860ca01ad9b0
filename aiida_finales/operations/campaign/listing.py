"""All campaigns in one query: what they are and how they stand, without reading what each of them found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_finales.data.campaign import IS_CAMPAIGN, CampaignGroup
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign.memory import recall_overviews
from aiida_finales.operations.campaign.overview import FAILED, Overview, best_so_far
from aiida_finales.operations.campaign.words import describe_overview
from aiida_finales.schemas import Json


@dataclass(frozen=True)
class CampaignRow:
    """A campaign on a list.

    :param group: pk of its group; ``uuid`` is that of the group, too.
    :param pk: of its latest process.
    :param state: of that, in AiiDA's words; ``failed`` when it ended otherwise than it should.
    :param document: what it was told to do.
    """

    name: str
    group: int
    uuid: str
    pk: int
    state: str
    document: dict[str, Any]

    @property
    def quantities(self) -> str:
        """What it optimises, in words."""
        goals = self.document.get("objectives") or {self.document.get("quantity"): {}}
        return ", ".join(str(name).replace("_", " ") for name in goals)


def list_rows(name: str | None = None) -> list[CampaignRow]:
    """Return all campaigns that have a process: those that failed first, then the latest first.

    :param name: only the one of this name.
    """
    filters = {} if name is None else {"label": name}
    # no nodes: each would be asked for anew after the next commit
    query = orm.QueryBuilder().append(CampaignGroup, filters=filters, tag="group", project=["label", "id", "uuid"])
    columns = ["id", "attributes.process_state", "attributes.exit_status"]
    query.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN, tag="process", project=columns)
    edge = {"label": "campaign"}
    query.append(orm.Dict, with_outgoing="process", edge_filters=edge, project="attributes", tag="told")
    found: dict[int, CampaignRow] = {}
    for label, group, uuid, pk, state, status, document in query.order_by({"process": {"id": "asc"}}).all():
        found[group] = CampaignRow(label, group, uuid, pk, _state(state, status), document)
    return sorted(found.values(), key=lambda row: (row.state != FAILED, -row.pk))


def describe_campaigns(limit: int | None = None) -> list[Json]:
    """Return campaigns that have a process as rows, in the order in which they were made.

    :param limit: so many at most, those that failed before the latest; the others are not read.
    """
    rows = sorted(list_rows()[:limit], key=lambda row: row.group)
    found = recall_overviews({row.group: row.uuid for row in rows})
    return [_describe(row, found[row.group]) for row in rows if row.group in found]


def _describe(row: CampaignRow, found: Overview | CampaignFileError) -> Json:
    if isinstance(found, Overview):
        return describe_overview(found)
    return {
        "name": row.name,
        "pk": row.pk,
        "state": row.state,
        "stop_reason": f"it cannot be read: {found}",
        "cure": None,
    }


def _state(state: str | None, status: int | None) -> str:
    is_failed = state == "excepted" or (state == "finished" and bool(status))
    return FAILED if is_failed else str(state or "created")


def best_values(overview: Overview) -> list[float]:
    """Return the best so far after each evaluation that counts; of several objectives the hypervolume of the front."""
    if len(overview.campaign.optimised) > 1:
        return [step[1] for step in overview.front.hypervolumes] if overview.front else []
    return [float(value) for value in best_so_far(overview)[1]]
