"""Tell people and programs what has happened, at least once, while nobody waits for it.

Each way of telling follows the events on its own: one that does not work holds up no other. How far it has come is on
disk, so that a restart neither loses nor repeats everything; what was sent just before a crash may come again, with the
same ``id``. What cannot be delivered in :data:`ATTEMPTS` attempts is written to ``undelivered.jsonl`` and left.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from aiida_finales.exceptions import FinalesError
from aiida_finales.schemas import Json
from aiida_finales.server.access.private_files import make_private_folder, write_private
from aiida_finales.server.notify.channels import Send, UndeliveredError, make_sender
from aiida_finales.server.notify.events import Position, find_news, find_present
from aiida_finales.server.notify.settings import Notification, read_notifications
from aiida_finales.server.orm_thread import OrmThread

LOGGER = logging.getLogger("aiida_finales.server")


#: s between two looks for news
INTERVAL = 5.0
#: how often a message is tried; with the pauses between them it takes three hours
ATTEMPTS = 12
#: s between two attempts: the first pause, which doubles, and the longest
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 1800.0


class Notifier:
    """All ways of telling of one server.

    :param folder: of the server: settings and positions.
    :raises InputError: when the settings make no sense or a secret is lacking.
    """

    def __init__(self, folder: Path, orm_thread: OrmThread) -> None:
        self._teller = [Teller(item, folder / "notifications", orm_thread) for item in read_notifications(folder)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.get_running_loop().create_task(teller.run()) for teller in self._teller]

    async def stop(self) -> None:
        """End; what is being sent may be sent again after the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task


class Teller:
    """One way of telling: its events, its position.

    :param folder: positions and what could not be delivered.
    """

    def __init__(self, notification: Notification, folder: Path, orm_thread: OrmThread) -> None:
        self._notification = notification
        self._send: Send = make_sender(notification)
        self._orm = orm_thread
        self._folder = make_private_folder(folder)
        self._path = folder / f"{notification.name}.json"

    async def run(self) -> None:
        """Tell what is new, for ever."""
        while True:
            try:
                await self.work()
            except (FinalesError, OSError) as error:
                LOGGER.warning("notification %s: %s", self._notification.name, error)
            except Exception:
                # a database that is away, or a defect: the next look may work, and the server must go on anyway
                LOGGER.exception("notification %s failed", self._notification.name)
            await asyncio.sleep(INTERVAL)

    async def work(self) -> None:
        """Tell what is new."""
        position = self._read()
        if position is None:
            self._write(await self._orm.call_when_free(find_present))
            return
        news = await self._orm.call_when_free(find_news, position)
        for message, after in news:
            is_wanted = message is not None and message["event"] in self._notification.events
            if message is not None and is_wanted:
                await self._deliver(message)
                self._write(after)
        if news:
            self._write(news[-1][1])

    async def _deliver(self, message: Json) -> None:
        pause = FIRST_PAUSE
        for left in range(ATTEMPTS - 1, -1, -1):
            try:
                await asyncio.to_thread(self._send, message)
            except UndeliveredError as error:
                trouble = str(error)
                LOGGER.warning("notification %s, %s: %s", self._notification.name, message["id"], trouble)
            else:
                return
            if left:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        LOGGER.error("notification %s, %s is given up: %s", self._notification.name, message["id"], trouble)
        record = {"notification": self._notification.name, "why": trouble, **message}
        with (self._folder / "undelivered.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def _read(self) -> Position | None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Position(found["event"], found["campaign"], tuple(found["running"]))

    def _write(self, position: Position) -> None:
        write_private(self._path, json.dumps(asdict(position)))
