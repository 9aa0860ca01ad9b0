"""A tenant outside of the platform: takes requests that it can serve, acts once, and hands in the answer.

One turn::

    hand in what could not be handed in before -> look for requests -> check the limitations -> reserve
    -> note in the journal that it begins -> act, with signs of life -> note the answer -> post it
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida_finales.client.book import Book, Fate
from aiida_finales.client.client import LEASE, Client
from aiida_finales.client.order import Answer, Order, Verdict, judge
from aiida_finales.client.posting import Heartbeat, Outbox
from aiida_finales.exceptions import (
    AccessError,
    DeviceError,
    InputError,
    NeedsOperatorError,
    ServerAwayError,
    ServerRefusedError,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.limitations.offer import Offer, check, read_offers
from aiida_finales.schemas.names import canonical_capability

LOGGER = logging.getLogger("aiida_finales.client")

Function = Callable[[Order], Json | Answer]

#: s between two looks for requests
INTERVAL = 5.0
#: s that a device which is busy or away is left alone: the first time, and at most; it doubles
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
#: how often a device may fail before it acts, per request, until the request is left to others
ATTEMPTS = 3


class Tenant:
    """Serves requests for one quantity by one method, one after the other.

    :param name: name or UUID of the tenant, for which the user of the client acts.
    :param journal: folder on a local disk, for this tenant alone: what it has done and handed in.
    :param limitations: its own, as in a tenant's file (one offer or several); those registered when ``None``.
    :param lease: s that a reservation outlives this program.
    :param interval: s between two looks for requests.
    """

    def __init__(  # noqa: PLR0913 - a tenant is all of this
        self,
        client: Client,
        name: str,
        quantity: str,
        method: str,
        journal: Path | str,
        *,
        limitations: Any = None,
        lease: float = LEASE,
        interval: float = INTERVAL,
    ) -> None:
        if not lease > 0 or not interval > 0:
            raise InputError(f"lease is {lease} s, interval is {interval} s, accepted are numbers above 0")
        self.client = client
        self.name = name
        self.quantity, self.method = canonical_capability(quantity, method)
        self.book = Book(Path(journal))
        self.lease = lease
        self.interval = interval
        self.pause = 0.0
        self._given = None if limitations is None else read_offers(limitations)
        self._offers: tuple[Offer, ...] = ()
        self._uuid = ""
        self._outbox = Outbox(client, self.book)
        self._stop = threading.Event()
        self._told: set[str] = set()

    def stop(self) -> None:
        """Finish what is under way, and take nothing more."""
        self._stop.set()

    def serve(self, function: Function, *, is_repeatable: bool = False) -> None:
        """Serve requests until told to stop (:meth:`stop`, SIGTERM or Ctrl-C).

        A function that raises gives the request back, with the reason. If it may have acted by then, the tenant does
        not take the request again; if it has not (``DeviceError`` except ``NeedsOperatorError``) it may.

        :param function: given an :class:`Order`, returns the result's data, or an :class:`Answer`.
        :param is_repeatable: whether it may be called again with the same key when it is not known whether it acted,
            because it keeps a journal of its own, as drivers do, or has no effect, as models have.
        :raises DeviceUnavailableError: when another process serves from the same folder.
        :raises NeedsOperatorError: when the function asks for a person; the request is kept for a day.
        :raises LoginError: when user or password are not accepted.
        """
        with self.book.held(), self._signals():
            while not self._stop.is_set():
                self._turn(function, is_repeatable=is_repeatable)
                self._stop.wait(max(self.interval, self.pause))

    def serve_once(self, function: Function, *, is_repeatable: bool = False) -> int:
        """Take one turn: hand in, look once, serve what is there; return how many requests were served."""
        with self.book.held(), self._signals():
            return self._turn(function, is_repeatable=is_repeatable)

    def settle(self, request: str, outcome: str, reason: str, answer: Answer | None = None) -> None:
        """Say what became of an order in doubt, after a look at the device.

        :param request: UUID of the request.
        :param outcome: ``done``, with the answer, which is then handed in; or ``not-done``: it may be taken again.
        :param reason: how you know.
        :raises DeviceInputError: when the order is not in doubt.
        """
        key = f"{request}.{self.method}"
        order = Order(request, self.quantity, self.method, {}, key)
        if answer is not None and answer.parameters is None:
            raise InputError("an answer that is given afterwards needs the parameters really used")
        self.book.reopen(key, reason, outcome, None if answer is None else answer.body(order, self._uuid))

    def settle_there(self, request: str, outcome: str, reason: str, answer: Answer | None = None) -> None:
        """Say what became of an order in doubt, and let the server know: it has the answer, or offers it again.

        A server that is away learns it when the tenant serves again.

        :raises DeviceInputError: when the order is not in doubt.
        :raises ServerAwayError: when the server is away; what was said is kept.
        """
        self._learn_offers()
        with self.book.held():
            self.settle(request, outcome, reason, answer)
            self._outbox.post_all()
            if answer is None:
                self._release(Order(request, self.quantity, self.method, {}, ""), f"settled as {outcome}: {reason}")

    def _turn(self, function: Function, *, is_repeatable: bool) -> int:
        """Return how many requests were served; a server that is away is tried again in the next turn."""
        n_served, self.pause = 0, 0.0
        try:
            self._learn_offers()
            self._outbox.post_all()
            for order in self._find_orders(is_repeatable=is_repeatable):
                n_served += self._serve(order, function)
                if self._stop.is_set() or self.pause:
                    break
        except ServerAwayError as error:
            LOGGER.warning("%s", error)
        return n_served

    def _learn_offers(self) -> None:
        """Read the limitations that are registered: they may have changed."""
        registered = self.client.tenant(self.name)
        self._uuid = registered["tenant_uuid"]
        offers = read_offers(registered["offers"]) if self._given is None else self._given
        self._offers = tuple(
            offer
            for offer in offers
            if canonical_capability(offer.quantity, offer.method) == (self.quantity, self.method)
        )
        if not self._offers:
            raise InputError(f"tenant {self.name} does not offer {self.quantity} by {self.method}: register it so")

    def _find_orders(self, *, is_repeatable: bool) -> Iterator[Order]:
        """Return first what an earlier life of this tenant left, then what is pending."""
        for key in self.book.unfinished():
            info = self.client.request(key.partition(".")[0])
            if info is not None and info["status"] in ("reserved", "pending"):
                order = Order.of(info, self.method)
                if self._may_act(order, is_repeatable=is_repeatable):
                    yield order
        for info in self.client.pending(self.quantity, self.method):
            order = Order.of(info, self.method)
            is_open = self.book.fate(order.key) is None and self._is_feasible(order)
            if is_open and self._may_act(order, is_repeatable=is_repeatable):
                yield order

    def _is_feasible(self, order: Order) -> bool:
        return any(not check(offer, order.parameters) for offer in self._offers)

    def _serve(self, order: Order, function: Function) -> bool:
        """Serve one request; return whether it was answered."""
        if not self._reserve(order):
            return False
        if self._stop.is_set():
            self._release(order, f"{self.name} is being stopped")
            return False
        if self._is_done(order):
            return self._outbox.post(order.key)
        self.book.journal.begin(order.key, order.payload)
        LOGGER.info("request %s: begun", order.request)
        with Heartbeat(self.client, order.request, self.lease):
            answer = self._act(order, function)
        return answer is not None and self._hand_in(order, answer)

    def _may_act(self, order: Order, *, is_repeatable: bool) -> bool:
        """Return whether the order was not begun before, or may be begun again."""
        if is_repeatable:
            return True
        try:
            self.book.journal.look_up(order.key, order.payload)
        except DeviceError as error:
            if order.key not in self._told:
                self._tell_doubt(order, error)
            return False
        return True

    def _tell_doubt(self, order: Order, error: DeviceError) -> None:
        """Keep a request of an earlier life of this tenant until a person has looked, and let it say so."""
        command = f"finales-tenant --settle done|not-done --request {order.request} --journal {self.book.folder} ..."
        words = f"{error}; settle it with '{command}'"
        LOGGER.warning("request %s needs a person: %s", order.request, words)
        try:
            if self._reserve(order):
                self.client.ask_operator(order.request, words)
        except (ServerRefusedError, AccessError) as trouble:
            LOGGER.warning("it could not be kept, others may take it: %s", trouble)
        self._told.add(order.key)

    def _is_done(self, order: Order) -> bool:
        entry = self.book.journal.find(order.key)
        return entry is not None and entry["state"] == "done"

    def _reserve(self, order: Order) -> bool:
        """Return whether this tenant holds the request now, and not another program of the same user."""
        mark = f"[{self.book.identity}]"
        try:
            why = f"{self.name} on {socket.gethostname()} {mark}"
            if not self.client.reserve(order.request, why, self.lease):
                return False  # somebody was faster
        except ServerRefusedError as error:
            LOGGER.warning("request %s: %s", order.request, error)
            return False
        # the server lets one user reserve twice; which of its programs was first is in the history
        taken = [entry for entry in self.client.history(order.request) if entry["to"] == "reserved" != entry["from"]]
        return bool(taken) and mark in taken[-1]["why"]

    def _act(self, order: Order, function: Function) -> Answer | None:
        """Return the answer, or ``None`` when the request was given back.

        :raises NeedsOperatorError: when a person must look.
        """
        try:
            found = function(order)
        except NeedsOperatorError as error:
            self._ask_operator(order, error)
            raise
        except Exception as error:  # whatever it is, the request must not stay with a tenant that cannot serve it
            if not isinstance(error, DeviceError):
                LOGGER.exception("request %s: the function failed", order.request)
            self._give_back(order, judge(error), f"{type(error).__name__}: {error}")
            return None
        return found if isinstance(found, Answer) else Answer(found)

    def _give_back(self, order: Order, verdict: Verdict, why: str) -> None:
        journal = self.book.journal
        entry = journal.find(order.key) or {"attempts": 0}
        if verdict.has_acted:
            journal.doubt(order.key, why)
        else:
            journal.settle(order.key, "not-done", why, who=self.name)
        if verdict.has_acted or verdict.is_final or (not verdict.is_away and entry["attempts"] >= ATTEMPTS):
            self.book.settle(order.key, Fate.DECLINED, why)
        if verdict.is_away:
            self.pause = min(FIRST_PAUSE * 2.0 ** min(entry["attempts"] - 1, 10), LONGEST_PAUSE)
        self._release(order, why)

    def _release(self, order: Order, why: str) -> None:
        LOGGER.warning("request %s is given back: %s", order.request, why)
        try:
            self.client.release(order.request, why)
        except (ServerRefusedError, ServerAwayError, AccessError) as error:
            LOGGER.warning("it could not be given back, its lease will run out: %s", error)

    def _ask_operator(self, order: Order, error: NeedsOperatorError) -> None:
        self.book.journal.doubt(order.key, str(error))
        LOGGER.critical("request %s needs a person: %s", order.request, error)
        try:
            self.client.ask_operator(order.request, str(error))
        except (ServerRefusedError, ServerAwayError, AccessError) as trouble:
            LOGGER.warning("it could not be kept, others may take it: %s", trouble)

    def _hand_in(self, order: Order, answer: Answer) -> bool:
        self.book.journal.finish(order.key, answer.body(order, self._uuid))
        return self._outbox.post(order.key)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C stop after the present request; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def take(number: int, _: object) -> None:
            LOGGER.info("%s: finishing what is under way", signal.Signals(number).name)
            self.stop()

        before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
