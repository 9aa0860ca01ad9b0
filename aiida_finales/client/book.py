"""What a tenant has done and handed in, kept on its own disk, so that it never acts twice and loses no answer.

::

    <folder>/identity          who this tenant is to the server: a random word, the same after every restart
             lock              held by the process that serves
             keys/<key>.json   the journal: begun, done (with the answer), unknown, not-done
             fates/<key>.json  what became of it: posted, late, refused, declined

An answer without a fate has still to be posted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.journal import Journal, check_key, device_lock, write_durably
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

#: s to wait for another process that serves from the same folder: one that is about to end
PATIENCE = 5.0


class Fate(StrEnum):
    """What became of an order."""

    POSTED = "posted"  # the server has the answer
    LATE = "late"  # the request was no longer ours: the server keeps the answer as an unsolicited result
    REFUSED = "refused"  # the server does not accept the answer; it is kept here, and a person should look
    DECLINED = "declined"  # it was given back, and this tenant does not take it again


class Book:
    """The folder of one tenant.

    :param folder: created when missing; on a local disk.
    """

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.folder = folder
        self._fates = folder / "fates"
        self._fates.mkdir(exist_ok=True)
        self.identity = _read_identity(folder / "identity")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that serves from this folder.

        :raises DeviceUnavailableError: when another one does; says which.
        """
        with device_lock(self.folder / "lock", "serve", PATIENCE):
            yield

    def fate(self, key: str) -> Fate | None:
        """Return what became of an order, or ``None`` when nothing is settled yet."""
        try:
            record: Json = json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Fate(record["fate"])

    def settle(self, key: str, fate: Fate, why: str, result: str | None = None) -> None:
        """Record what became of an order.

        :param result: UUID of the result.
        """
        write_durably(self._path(key), {"fate": fate.value, "time": timestamp(), "why": why, "result": result})

    def reopen(self, key: str, reason: str, outcome: str, answer: Json | None = None) -> None:
        """Record what a person found out about an order in doubt: ``done``, with the answer, or ``not-done``.

        :raises DeviceInputError: when the order is not in doubt, or is done without an answer.
        """
        if outcome == "done" and answer is None:
            raise DeviceInputError(
                f"order {key} is to be settled as done, but without its answer: give it, or leave the order in doubt "
                "and let somebody else serve the request"
            )
        self.journal.settle(key, outcome, reason, result=answer)
        self._path(key).unlink(missing_ok=True)

    def unposted(self) -> list[str]:
        """Return the orders whose answer has still to be posted, oldest first."""
        return [key for key in self._open_keys() if self._state(key) == "done"]

    def unfinished(self) -> list[str]:
        """Return the orders of which it is not known whether they were done, oldest first."""
        return [key for key in self._open_keys() if self._state(key) in ("begun", "unknown")]

    def _open_keys(self) -> list[str]:
        paths = sorted(self.journal.keys.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.stem for path in paths if not (self._fates / path.name).exists()]

    def _state(self, key: str) -> str:
        entry = self.journal.find(key)
        return str(entry["state"]) if entry else ""

    def _path(self, key: str) -> Path:
        return self._fates / f"{check_key(key)}.json"


def _read_identity(path: Path) -> str:
    if not path.exists():
        write_durably(path, {"identity": secrets.token_hex(8)})
    return str(json.loads(path.read_text(encoding="utf-8"))["identity"])
