"""Hand in answers, later what cannot be handed in now; and give signs of life while at work."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from aiida_finales.client.book import Book, Fate
from aiida_finales.client.client import CONFLICT, Client
from aiida_finales.exceptions import AccessError, ServerAwayError, ServerError, ServerRefusedError
from aiida_finales.schemas import Json

LOGGER = logging.getLogger("aiida_finales.client")

#: s to wait for a sign of life that is on its way; one that comes after the answer does no harm
LAST_WORD = 2.0


LOGGER = logging.getLogger("aiida_finales.client")


#: refusals that an answer can never get over: it breaks a schema, is too large, or answers what nobody asked
FINAL = frozenset({400, 413, 422})


class Outbox:
    """The answers of a tenant that the server does not have yet."""

    def __init__(self, client: Client, book: Book) -> None:
        self._client = client
        self._book = book
        self._said: dict[str, str] = {}

    def post_all(self) -> None:
        """Hand in everything that is left from before."""
        for key in self._book.unposted():
            self.post(key)

    def post(self, key: str) -> bool:
        """Hand in the answer of an order; return whether the server has it as the answer."""
        entry = self._book.journal.find(key)
        if entry is None or self._book.fate(key) is not None:
            return False
        body: Json = entry["result"]
        try:
            uuid = self._client.post_result(body)
        except ServerAwayError as error:
            self._keep(key, str(error))
        except ServerRefusedError as error:
            self._take_refusal(key, body, error)
        else:
            LOGGER.info("%s: answered, result %s", key, uuid)
            self._book.settle(key, Fate.POSTED, "answered", uuid)
            return True
        return False

    def _take_refusal(self, key: str, body: Json, error: ServerRefusedError) -> None:
        if error.status == CONFLICT:
            self._post_late(key, body, str(error))
        elif error.status in FINAL:
            LOGGER.error("%s: the answer is refused, and kept in %s: %s", key, self._book.folder, error)
            self._book.settle(key, Fate.REFUSED, str(error))
        else:
            self._keep(key, str(error))

    def _post_late(self, key: str, body: Json, why: str) -> None:
        """Hand in what nobody waits for any more: the server keeps it once, also where it has kept it by itself."""
        try:
            uuid = self._client.post_unsolicited(body)
        except (ServerAwayError, ServerRefusedError) as error:
            self._keep(key, f"{why}; as unsolicited result: {error}")
            return
        LOGGER.warning("%s: too late, kept as unsolicited result %s: %s", key, uuid, why)
        self._book.settle(key, Fate.LATE, why, uuid)

    def _keep(self, key: str, why: str) -> None:
        if self._said.get(key) != why:
            LOGGER.warning("%s: the answer is kept in %s, to be posted later: %s", key, self._book.folder, why)
            self._said[key] = why


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
