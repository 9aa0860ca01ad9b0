"""What is worth telling, among all that changes; everything here runs in the thread of AiiDA."""

from __future__ import annotations

from dataclasses import dataclass

from aiida import orm

from aiida_finales.broker.requests import read_candidates
from aiida_finales.broker.results import DOUBTFUL
from aiida_finales.broker.state import read_state
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import utc_text
from aiida_finales.server.feed import last_event, read_events

CAMPAIGN = "aiida.workflows:finales.campaign"
OVER = ("finished", "excepted", "killed")
#: as :func:`aiida_finales.broker.reservation.mark_needs_operator` writes it
NEEDS_OPERATOR = "needs an operator"


@dataclass(frozen=True)
class Position:
    """How far somebody was told.

    :param event: the last event that was looked at.
    :param campaign: pk of the latest process of a campaign that was seen.
    :param running: pks of those that had not ended.
    """

    event: int
    campaign: int = 0
    running: tuple[int, ...] = ()


def find_present() -> Position:
    """Return the position from which everything is new."""
    ended, running = _list_campaigns(0)
    return Position(last_event(), max([0, *ended, *running]), tuple(running))


def find_news(position: Position) -> list[tuple[Json | None, Position]]:
    """Return what is new, oldest first: messages (``None``: of no interest), each with the position after it."""
    found: list[tuple[Json | None, Position]] = []
    for event in read_events(position.event):
        position = Position(event["id"], position.campaign, position.running)
        found.append((_tell(event), position))
    ended, running = _list_campaigns(position.campaign)
    over = sorted({*ended, *_ended_of(position.running)})
    newest = max([position.campaign, *ended, *running])
    still = sorted({*position.running, *running} - set(over))
    for index, pk in enumerate(over):
        position = Position(position.event, newest, (*still, *over[index + 1 :]))
        found.append((_tell_campaign(orm.load_node(pk)), position))
    if running and not over:
        found.append((None, Position(position.event, newest, tuple(still))))
    return found


def _tell(event: Json) -> Json | None:
    """Return the message about an event, or ``None`` when it is of no interest."""
    name, text = None, ""
    uuid, why = event["uuid"], event["why"]
    if event["what"] == "RequestData":
        name, text = _classify_request(event)
    elif event["what"] == "ResultData" and event["to"] in (ResultStatus.DELETED, ResultStatus.AMENDED):
        name, text = "result-doubtful", f"result {uuid} became {event['to']}: {why}{_derived(uuid)}"
    elif event["what"] == "SampleData" and event["to"] == "invalid" != event["from"]:
        name, text = "result-doubtful", f"sample {uuid} became invalid, and what was measured of it doubtful: {why}"
    if name is None:
        return None
    return {"event": name, "id": f"event-{event['id']}", "time": event["time"], "uuid": uuid, "text": text}


def _classify_request(event: Json) -> tuple[str | None, str]:
    uuid, why, after = event["uuid"], event["why"], event["to"]
    if after == RequestStatus.RESOLVED:
        return "request-resolved", f"request {uuid} is resolved: {why}"
    if after == RequestStatus.RESERVED and why.startswith(NEEDS_OPERATOR):
        return "needs-operator", f"request {uuid} {why}"
    if after == RequestStatus.PENDING and _is_for_people(uuid):
        return "task-waiting", f"request {uuid} waits for a person: aiida-finales human list"
    return None, ""


def _is_for_people(uuid: str) -> bool:
    """Return whether a request, as it is now, waits for a person."""
    pk = orm.QueryBuilder().append(RequestData, filters={"uuid": uuid}, project="id").first(flat=True)
    state = read_state(pk) if pk is not None else {}
    is_open = state.get("status") == RequestStatus.PENDING.value
    return is_open and any(candidate.kind == "human" for candidate in read_candidates(state))


def _derived(uuid: str) -> str:
    filters = {f"extras.{DOUBTFUL}": {"like": f"%{uuid}%"}}
    found = orm.QueryBuilder().append(ResultData, filters=filters, project="uuid").all(flat=True)
    return f"; doubtful are {', '.join(found)}" if found else ""


def _list_campaigns(after: int) -> tuple[list[int], list[int]]:
    """Return the pks of campaigns' processes after one: those that have ended, and those that have not."""
    filters = {"process_type": CAMPAIGN, "id": {">": after}}
    project = ["id", "attributes.process_state"]
    rows = orm.QueryBuilder().append(orm.WorkChainNode, filters=filters, project=project).all()
    return [pk for pk, state in rows if state in OVER], [pk for pk, state in rows if state not in OVER]


def _ended_of(pks: tuple[int, ...]) -> list[int]:
    if not pks:
        return []
    # what was deleted meanwhile has ended without anybody to tell about
    filters = {"id": {"in": list(pks)}, "attributes.process_state": {"in": list(OVER)}}
    return list(orm.QueryBuilder().append(orm.WorkChainNode, filters=filters, project="id").all(flat=True))


def _tell_campaign(process: orm.WorkChainNode) -> Json:
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": process.pk}, tag="process")
    name = query.append(CampaignGroup, with_node="process", project="label").first(flat=True)
    how = process.process_state.value if process.process_state else "ended"
    if process.exit_status:
        how = f"failed with {process.exit_status}: {process.exit_message}"
    return {
        "event": "campaign-ended",
        "id": f"campaign-{process.uuid}",
        "time": utc_text(process.mtime, "microseconds"),
        "uuid": process.uuid,
        "text": f"campaign {name or process.uuid}: {how}",
    }
