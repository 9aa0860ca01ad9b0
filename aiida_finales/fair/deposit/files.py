"""Bring the files of a draft in line with those of a package: what is there stays, what differs is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aiida_finales.exceptions import ArchiveError, ArchiveRefusedError
from aiida_finales.fair.deposit.bundle import PackedFile
from aiida_finales.fair.deposit.invenio import Invenio, Upload, file_path
from aiida_finales.schemas import Json

#: how often a file is sent whose checksum is wrong or whose upload the archive has forgotten
ATTEMPTS = 3
#: bytes from which on the share that is sent is told
LARGE = 50_000_000
#: not as it should be for this call, unknown, in the way: begin again with this file
_MUDDLED = {400, 404, 409}
_MISSING = 404


class DraftFiles:
    """The files of one draft.

    :param say: is told what happens to each file.
    :param note: is called with name and MD5 after each file that is there.
    """

    def __init__(
        self, client: Invenio, record: str, say: Callable[[str], None], note: Callable[[str, str], None]
    ) -> None:
        self._client, self._record, self._say, self._note = client, record, say, note
        self._path = f"/api/records/{record}/draft/files"

    def look(self) -> dict[str, Json]:
        """Return what the archive knows of each file, by name."""
        return index_files(self._client.call("GET", self._path))

    def take_over(self) -> dict[str, Json]:
        """Link the files of the version before; return them."""
        path = f"/api/records/{self._record}/draft/actions/files-import"
        answer = self._client.settle(
            lambda: self._client.call("POST", path, is_repeatable=False),
            lambda: {"entries": list(found.values())} if (found := self.look()) else None,
        )
        return index_files(answer)

    def bring(self, files: list[PackedFile], present: Mapping[str, Json]) -> list[str]:
        """Make the draft have these files and no others; return the names of those that were there already.

        :param present: what the archive has.
        :raises ArchiveError: when the archive keeps having something else than was sent.
        """
        wanted = {file.name: file for file in files}
        kept = [name for name, entry in present.items() if name in wanted and _is_same(entry, wanted[name])]
        open_ = [name for name, entry in present.items() if name in wanted and entry.get("status") == "pending"]
        for name in present:
            if name not in kept and name not in open_:
                self._delete(name)
                self._say(f"{name}: {'another content' if name in wanted else 'not in the package'}, removed there")
        missing = [file.name for file in files if file.name not in kept and file.name not in open_]
        if missing:
            self._start(missing)
        for number, file in enumerate(files, start=1):
            if file.name not in kept:
                self._send(file)
            self._note(file.name, file.md5)
            self._say(f"{number}/{len(files)} {file.name}: {'was there' if file.name in kept else 'sent'}")
        return kept

    def _start(self, names: list[str]) -> None:
        """Announce files."""

        def look() -> Json | None:
            return {} if set(names) <= set(self.look()) else None

        body = [{"key": name} for name in names]
        self._client.settle(lambda: self._client.call("POST", self._path, body, is_repeatable=False), look)

    def _send(self, file: PackedFile) -> None:
        """Send the content of an announced file until the archive reports its checksum."""
        reason: object = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                entry = self._send_once(file)
            except ArchiveRefusedError as error:
                if error.status not in _MUDDLED or attempt == ATTEMPTS:
                    raise
                reason = error
            else:
                if entry.get("checksum") == f"md5:{file.md5}":
                    return
                reason = f"the archive has checksum {entry.get('checksum')}, but the file has md5:{file.md5}"
            if attempt < ATTEMPTS:
                self._say(f"{file.name}: {reason}; sending it again")
                self._delete(file.name)
                self._start([file.name])
        raise ArchiveError(f"{file.name} does not arrive unchanged: {reason}. Was it changed meanwhile? Run it again")

    def _send_once(self, file: PackedFile) -> Json:
        upload = Upload(file.path, file.size, self._make_progress(file))
        self._client.call("PUT", file_path(self._record, file.name, "/content"), upload=upload)

        def look() -> Json | None:
            entry = self._client.call("GET", file_path(self._record, file.name))
            return entry if entry.get("status") == "completed" else None

        path = file_path(self._record, file.name, "/commit")
        return self._client.settle(lambda: self._client.call("POST", path, is_repeatable=False), look)

    def _delete(self, name: str) -> None:
        try:
            self._client.call("DELETE", file_path(self._record, name))
        except ArchiveRefusedError as error:
            if error.status != _MISSING:
                raise

    def _make_progress(self, file: PackedFile) -> Callable[[int], None] | None:
        """Return what tells each tenth of a large file."""
        if file.size < LARGE:
            return None
        told = 0

        def tell(sent: int) -> None:
            nonlocal told
            tenth = 10 * sent // file.size
            if tenth > told:
                told = tenth
                self._say(f"{file.name}: {10 * tenth} % of {file.size / 1e6:.0f} MB")

        return tell


def index_files(answer: Json) -> dict[str, Json]:
    """Return the files of an answer by name."""
    entries: Iterable[Json] = answer.get("entries") or []
    return {str(entry["key"]): entry for entry in entries}


def _is_same(entry: Json, file: PackedFile) -> bool:
    return entry.get("status") == "completed" and entry.get("checksum") == f"md5:{file.md5}"
