"""Channels of a cycler that were reserved for a chain which is no more, and how to give them back."""

from __future__ import annotations

from dataclasses import dataclass

from aiida import orm

from aiida_finales.data.nodes import ACTIVE
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.operations.request.serving import submit_request

QUANTITY, METHOD = "cycling_channel", "service"


@dataclass(frozen=True)
class Reserved:
    """Channels that somebody reserved.

    :param request: the request for them; its parent is the request of the chain.
    :param result: who reserved them, with the number of the reservation.
    """

    request: RequestData
    result: ResultData

    @property
    def reservation(self) -> str:
        """Number of the reservation, as the cycler knows it."""
        return str(self.result.data["reservation_id"])


def find_forgotten() -> list[Reserved]:
    """Return the reservations of chains whose process has ended without giving them back.

    A chain gives its channels back at its end, whatever that is, unless it is killed: then nothing of it runs any more.
    """
    query = orm.QueryBuilder().append(RequestData, filters={"attributes.quantity": QUANTITY}, tag="request")
    requests = query.order_by({"request": {"id": "asc"}}).all(flat=True)
    released = {request.parameters[METHOD].get("release") for request in requests}
    forgotten = []
    for request in requests:
        if request.parent is None or _is_alive(request.parent):
            continue
        filters = {"attributes.request_uuid": request.uuid}
        for result in orm.QueryBuilder().append(ResultData, filters=filters).all(flat=True):
            number = result.data.get("reservation_id")
            if result.is_successful and number is not None and number not in released:
                forgotten.append(Reserved(request, result))
    return forgotten


def give_back(reserved: Reserved) -> RequestData:
    """Ask the cycler to release a reservation; return the request. Cells that are on a channel are cycled on.

    :raises DaemonError: when there is no daemon that can be relied on; nothing was stored.
    """
    asked = reserved.request
    parameters = {**asked.parameters[METHOD], "release": reserved.reservation}
    request = RequestData(
        QUANTITY, {METHOD: parameters}, asked.requester, parent=asked.parent, made_from=[reserved.result.uuid]
    )
    submit_request(request)
    return request


def _is_alive(parent: str) -> bool:
    """Return whether the process of a chain, or that of its request, which may start it again, is active."""
    query = orm.QueryBuilder().append(RequestData, filters={"uuid": parent}, tag="request")
    alive = {"attributes.process_state": {"in": list(ACTIVE)}}
    return bool(query.append(orm.WorkChainNode, with_incoming="request", filters=alive).count())
