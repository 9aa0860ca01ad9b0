"""Calls to an InvenioRDM archive that survive a bad day: busy servers, broken connections, long queues.

What may be repeated is repeated with growing pauses. A call that may not (creating, publishing) and whose answer got
lost ends with :class:`~aiida_finales.exceptions.ArchiveLostError`; :meth:`Invenio.settle` then looks what became of it
before it is tried again.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from aiida_finales.exceptions import ArchiveError, ArchiveLostError, ArchiveRefusedError, MissingExtraError
from aiida_finales.fair.deposit.archives import Archive, Token
from aiida_finales.schemas import Json

#: bytes that are read and sent at once
CHUNK = 1 << 20
BUSY, UNAUTHORISED, FORBIDDEN = 429, 401, 403
REDIRECTS = range(300, 400)
ERRORS = range(400, 500)
BROKEN = range(500, 600)


@dataclass(frozen=True)
class Patience:
    """How often and how long to try.

    :param attempts: how often a call is tried.
    :param first_pause: s before the second attempt; doubles with each.
    :param longest_pause: s.
    :param longest_wait: s; an archive that wants us to wait longer than that (``Retry-After``) is left for another day.
    :param timeout: s without a sign of life; committing a large file is silent for a while.
    """

    attempts: int = 6
    first_pause: float = 1.0
    longest_pause: float = 60.0
    longest_wait: float = 600.0
    timeout: float = 300.0

    def pause(self, attempt: int) -> float:
        """Return the pause (s) after an attempt, counted from 1."""
        return float(min(self.first_pause * 2 ** (attempt - 1), self.longest_pause))


@dataclass(frozen=True)
class Upload:
    """Content of a file.

    :param on_progress: is told how many bytes are sent.
    """

    path: Path
    size: int
    on_progress: Callable[[int], None] | None = None

    def read(self) -> Iterator[bytes]:
        """Give the content in pieces, from the beginning."""
        sent = 0
        with self.path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                yield piece
                sent += len(piece)
                if self.on_progress:
                    self.on_progress(sent)


@dataclass(frozen=True)
class _Trouble:
    """Why a call gave no answer; ``is_undone`` when it is certain that it had no effect."""

    reason: str
    is_undone: bool
    wait: float | None = None


class Invenio:
    """The calls of one archive; to be used as context."""

    def __init__(
        self,
        archive: Archive,
        token: Token,
        patience: Patience | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("fair", "depositing") from error
        self.archive, self.patience = archive, patience or Patience()
        self._token, self._say = token, say or (lambda _: None)
        self._http = httpx.Client(
            base_url=archive.url,
            headers={"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"},
            timeout=self.patience.timeout,
            follow_redirects=False,  # the token is for this address only
            verify=_make_tls(),
        )

    def __enter__(self) -> Invenio:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self, method: str, path: str, body: Any = None, *, upload: Upload | None = None, is_repeatable: bool = True
    ) -> Json:
        """Make a call and return its answer, empty when there is none.

        :param body: sent as JSON.
        :param is_repeatable: whether it does no harm to make the call twice.
        :raises ArchiveRefusedError: when the archive does not want it; names the fields.
        :raises ArchiveLostError: when the answer got lost and the call may not be repeated.
        :raises ArchiveError: when the archive cannot be reached, or stays busy.
        """
        where, reason = f"{method} {self.archive.url}{path}", ""
        for attempt in range(1, self.patience.attempts + 1):
            outcome = self._send(method, path, body, upload)
            if not isinstance(outcome, _Trouble):
                return outcome
            reason = outcome.reason
            if not (is_repeatable or outcome.is_undone):
                lost = f"{where}: {reason}; it is not known whether it had an effect"
                raise ArchiveLostError(lost, outcome.wait)
            if attempt < self.patience.attempts:
                self._pause(f"{where}: {reason}", attempt, outcome.wait)
        raise ArchiveError(
            f"{where}: {reason}, {self.patience.attempts} times. What is done stays done: run it again later"
        )

    def settle(self, act: Callable[[], Json], look: Callable[[], Json | None]) -> Json:
        """Make a call that may not be repeated blindly.

        :param look: returns what the call would have returned if it had an effect, else nothing.
        :raises ArchiveLostError: when the answers keep getting lost.
        """
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return act()
            except ArchiveLostError as error:
                lost = error
            self._pause(str(lost), attempt, lost.wait)
            done = look()
            if done is not None:
                return done
        raise lost

    def _send(self, method: str, path: str, body: Any, upload: Upload | None) -> Json | _Trouble:
        import httpx

        given: dict[str, Any] = {"json": body}
        if upload is not None:
            length = {"Content-Type": "application/octet-stream", "Content-Length": str(upload.size)}
            given = {"content": upload.read(), "headers": length}
        try:
            response = self._http.request(method, path, **given)
        except httpx.ConnectError as error:
            return _Trouble(f"no connection ({self._token.hide(str(error))})", is_undone=True)
        except httpx.TransportError as error:
            return _Trouble(f"the connection broke ({type(error).__name__})", is_undone=False)
        if response.status_code == BUSY or response.status_code in BROKEN:
            wait = _read_wait(response.headers.get("Retry-After"))
            reason = f"the archive answered {response.status_code} {response.reason_phrase}"
            return _Trouble(reason, is_undone=response.status_code == BUSY, wait=wait)
        if response.status_code in REDIRECTS:
            raise ArchiveError(f"{self.archive.url} has moved to {response.headers.get('Location')}: use that address")
        if response.status_code in ERRORS:
            self._refuse(method, path, response)
        return self._read(response)

    def _read(self, response: Any) -> Json:
        if not response.content:
            return {}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ArchiveError(f"{self.archive.url} did not answer like an InvenioRDM archive: is the address right?")
        return answer

    def _refuse(self, method: str, path: str, response: Any) -> NoReturn:
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        words = [str(answer.get("message") or response.reason_phrase)]
        words += [f"{item.get('field')}: {' '.join(item.get('messages', []))}" for item in answer.get("errors") or []]
        if response.status_code in {UNAUTHORISED, FORBIDDEN}:
            words.append(f"is the token in {self.archive.token_variable} valid, and may it write?")
        text = f"{method} {path} was refused by {self.archive.title} ({response.status_code}): {'; '.join(words)}"
        raise ArchiveRefusedError(self._token.hide(text), response.status_code)

    def _pause(self, trouble: str, attempt: int, wait: float | None) -> None:
        pause, longest = self.patience.pause(attempt) if wait is None else wait, self.patience.longest_wait
        if pause > longest:
            raise ArchiveError(
                f"{trouble}. The archive asks to wait {pause:g} s, longer than the {longest:g} s that are waited here. "
                "What is done stays done: run it again then"
            )
        self._say(f"{trouble}; going on in {pause:g} s")
        time.sleep(pause)


@cache
def _make_tls() -> ssl.SSLContext:
    """Return what verifies certificates, always; made once, for that takes a tenth of a second."""
    import httpx

    return httpx.create_ssl_context()


def file_path(record: str, name: str, action: str = "") -> str:
    """Return the path of a file of a draft; names may have any characters."""
    return f"/api/records/{record}/draft/files/{quote(name, safe='')}{action}"


def _read_wait(header: str | None) -> float | None:
    """Return the seconds of ``Retry-After``, which is a number or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
