"""The group of all nodes of one campaign, its processes, and what people tell them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_finales.data.nodes import ACTIVE
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import CampaignFileError, InputError, UnknownNodeError
from aiida_finales.schemas.access import Access

#: extra on the process of a campaign: the reason why it is to stop
STOP = "finales_stop"
#: extra on the group of a campaign: what its process knows besides its nodes. Not on the process, where writing it
#: could undo that somebody wrote :data:`STOP` in the same moment
NOTES = "finales_notes"
#: key of these notes: where a source is asked no more, as requests there ended without an answer
GIVEN_UP = "given_up"
#: extra on a request that a person put into the queue of a campaign: of which source, who, why. Not on the group, where
#: the process writes
QUEUED = "finales_queued"

#: extra on the group of a campaign: who may read it; without it everybody who may log in
ACCESS = "finales_access"

#: extra on the group of a campaign: who started it, where that is an account of the server; it may stop it, too
STARTER = "finales_starter"

#: filters of queries for the processes of campaigns, for those that have not ended, and for those of requests
IS_CAMPAIGN = {"process_type": "aiida.workflows:finales.campaign"}
IS_ALIVE = {"attributes.process_state": {"in": list(ACTIVE)}}
SERVES = {"process_type": "aiida.workflows:finales.serve"}
#: label of the input by which a process of a campaign says that it goes on where another one ended
CONTINUES = "continues"


class CampaignGroup(orm.Group):
    """Everything that belongs to one campaign: its processes, requests, suggestions and results."""

    @classmethod
    def create_for(cls, name: str, access: Access | None = None) -> CampaignGroup:
        """Create the group of a new campaign.

        :param access: who may read it.
        :raises InputError: when a campaign of that name exists.
        """
        group, is_new = cls.collection.get_or_create(label=name)
        if not is_new and group.count():
            raise InputError(f"a campaign {name!r} exists already: choose another name (key 'name' or option --name)")
        if access not in (None, Access()):
            group.set_access(access)
        return group

    @classmethod
    def find(cls, name: str) -> CampaignGroup:
        """Return the group of a campaign, by its name.

        :raises UnknownNodeError: naming the campaigns that exist.
        """
        found: CampaignGroup | None = orm.QueryBuilder().append(cls, filters={"label": name}).first(flat=True)
        if found is not None:
            return found
        names = ", ".join(sorted(orm.QueryBuilder().append(cls, project="label").all(flat=True))) or "none"
        raise UnknownNodeError(f"no campaign {name!r}; there are {names}")

    @property
    def access(self) -> Access:
        """Who may read it."""
        return Access.model_validate(self.base.extras.get(ACCESS, {}))

    @property
    def starter(self) -> str:
        """Who started it, as ``user:alice``; empty where it was somebody at the command line."""
        return str(self.base.extras.get(STARTER, ""))

    def set_access(self, access: Access) -> None:
        """Say who may read it; that counts at once."""
        self.base.extras.set(ACCESS, access.model_dump(mode="json"))


@dataclass(frozen=True)
class CampaignProcess:
    """The latest process of a campaign, without its node, of which each property asks the database anew.

    :param state: in AiiDA's words.
    :param exit_status: ``None`` unless it has finished.
    :param asked_to_stop: why; empty where nobody asked.
    """

    pk: int
    state: str
    exit_status: int | None
    exit_message: str
    asked_to_stop: str

    @property
    def is_ended(self) -> bool:
        """Whether it goes on no more."""
        return self.state not in ACTIVE

    @property
    def is_ok(self) -> bool:
        """Whether it ended as it should."""
        return self.state == "finished" and not self.exit_status

    @property
    def has_failed(self) -> bool:
        """Whether it ended otherwise than it should, and not because a person ended it."""
        return self.is_ended and not self.is_ok and self.state != "killed"


#: columns of a query that the process of a campaign is made of
_COLUMNS = ("process_state", "exit_status", "exit_message")


def list_campaign_processes(group: CampaignGroup) -> list[orm.WorkChainNode]:
    """Return the processes of a campaign in their order: the one that began it, and those that went on with it.

    One that was begun beside it under the same name, and is about to be refused, is none of them.
    """
    pk = int(group.pk or 0)
    return [process for _, process in _list_processes([pk], "*").get(pk, ())]


def _list_processes(groups: Iterable[int], *columns: str) -> dict[int, list[list[Any]]]:
    """Return the processes of campaigns by the pk of their group: of each its pk and columns."""
    wanted = list(groups)
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": {"in": wanted}}, tag="group", project="id")
    query.append(orm.WorkChainNode, with_group="group", filters=IS_CAMPAIGN, tag="process", project=["id", *columns])
    found: defaultdict[int, list[list[Any]]] = defaultdict(list)
    for group, *row in query.order_by({"process": {"id": "asc"}}).all() if wanted else ():
        found[group].append(row)
    later = [row[0] for rows in found.values() for row in rows[1:]]
    if not later:  # as of most campaigns: nothing to look for
        return found
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": {"in": later}}, tag="process", project="id")
    continued = set(query.append(orm.Str, with_outgoing="process", edge_filters={"label": CONTINUES}).all(flat=True))
    return {group: [row for row in rows if row is rows[0] or row[0] in continued] for group, rows in found.items()}


def find_campaign_process(group: CampaignGroup) -> orm.WorkChainNode:
    """Return the process of a campaign; of one that was continued the latest.

    :raises CampaignFileError: when it never started.
    """
    found = list_campaign_processes(group)
    if not found:
        raise CampaignFileError(explain_no_process(group.label))
    return found[-1]


def read_campaign_processes(groups: Iterable[int]) -> dict[int, CampaignProcess]:
    """Return the latest process of campaigns by the pk of their group; one that never started is left out."""
    columns = [f"attributes.{name}" for name in _COLUMNS]
    found = _list_processes(groups, *columns, f"extras.{STOP}")
    return {
        group: CampaignProcess(pk, state or "created", status, message or "", asked or "")
        for group, rows in found.items()
        for pk, state, status, message, asked in rows[-1:]
    }


def explain_no_process(name: str) -> str:
    """Return why there is nothing to tell of a campaign."""
    return f"campaign {name!r} has no process: it is being started, or its process was deleted under it"


def has_older_namesake(process: orm.WorkChainNode, name: str) -> bool:
    """Return whether a campaign of this name was there before; of several begun at once the first has the name."""
    known = orm.QueryBuilder().append(CampaignGroup, filters={"label": name}, tag="group")
    known.append(orm.WorkChainNode, with_group="group", filters={**IS_CAMPAIGN, "id": {"<": process.pk}})
    return bool(known.count()) or runs_already(process, name)


def runs_already(process: orm.WorkChainNode, name: str) -> bool:
    """Return whether another process of a campaign of this name, begun before, has not ended."""
    # one whose first step has not run yet is in no group
    begun = orm.QueryBuilder().append(
        orm.WorkChainNode, filters={**IS_CAMPAIGN, **IS_ALIVE, "id": {"<": process.pk}}, tag="process"
    )
    begun.append(
        orm.Dict, with_outgoing="process", edge_filters={"label": "campaign"}, filters={"attributes.name": name}
    )
    return bool(begun.count())


def remove_from_group(process: orm.WorkChainNode, name: str) -> None:
    """Take a process that may not have this name out of the group of the campaign that has it."""
    for group in orm.QueryBuilder().append(CampaignGroup, filters={"label": name}).all(flat=True):
        group.remove_nodes([process])


def stand_in(pk: int, replacement: orm.Data) -> None:
    """Add what replaces a result to the campaigns that the result was measured for; not where they began with it."""
    query = orm.QueryBuilder().append(orm.Data, filters={"id": pk}, tag="result")
    began = orm.QueryBuilder().append(orm.Data, filters={"id": pk}, tag="result")
    began.append(orm.WorkChainNode, with_incoming="result", filters=IS_CAMPAIGN, tag="process")
    with_it = set(began.append(CampaignGroup, with_node="process", project="id").all(flat=True))
    for group in query.append(CampaignGroup, with_node="result").all(flat=True):
        if group.pk not in with_it:
            group.add_nodes([replacement])


def list_queued(name: str) -> list[tuple[RequestData, dict[str, Any]]]:
    """Return the requests that people put into the queue of a campaign and no process serves yet, oldest first."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"label": name}, tag="group")
    project = ["*", f"extras.{QUEUED}"]
    query.append(RequestData, with_group="group", filters={"extras": {"has_key": QUEUED}}, project=project, tag="node")
    found = query.order_by({"node": {"id": "asc"}}).all()
    if not found:
        return []
    filters = {"id": {"in": [node.pk for node, _ in found]}}
    served = orm.QueryBuilder().append(RequestData, filters=filters, tag="node", project="id")
    served.append(orm.WorkChainNode, with_incoming="node", filters=SERVES)
    taken = set(served.all(flat=True))
    return [(node, dict(entry)) for node, entry in found if node.pk not in taken]
