"""Signs of life while a tenant is at work."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from aiida_finales.client.client import Client
from aiida_finales.exceptions import AccessError, ServerAwayError, ServerError

LOGGER = logging.getLogger("aiida_finales.client")

#: s to wait for a sign of life that is on its way; one that comes after the answer does no harm
LAST_WORD = 2.0


class Heartbeat:
    """Renews the lease of a request in a thread of its own, three times within its length.

    :param lease: s.
    """

    def __init__(self, client: Client, uuid: str, lease: float) -> None:
        self._client = client
        self._uuid = uuid
        self._lease = lease
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{uuid}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=LAST_WORD)

    def _run(self) -> None:
        while True:
            try:
                self._client.renew(self._uuid, self._lease)
            except ServerAwayError as error:
                LOGGER.warning("no sign of life could be given, trying again: %s", error)
            except (ServerError, AccessError) as error:
                # the act goes on all the same: its answer is worth keeping, whoever holds the request now
                LOGGER.warning("request %s is held no longer: %s", self._uuid, error)
                return
            if self._done.wait(self._lease / 3):
                return
