"""Deposit a package in an archive: draft, files, description; publish when asked to.

The calls are those of https://inveniordm.docs.cern.ch/reference/rest_api_drafts_records/ in this order::

    first version   POST records                      new version   POST records/ID/versions
                                                                    POST draft/actions/files-import
                                                                    DELETE draft/files/NAME      what differs
    both            POST draft/files                  what is missing
                    PUT  draft/files/NAME/content, POST draft/files/NAME/commit
                    PUT  draft                        the description
    publish         POST draft/actions/publish, or, where a community decides:
                    GET  communities, PUT draft/review, POST draft/actions/submit-review

A draft that is found again is not created again, and only what is missing in it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from aiida_finales.exceptions import ArchiveError, ArchiveRefusedError, InputError
from aiida_finales.fair.deposit.archives import DRAFT, PUBLISHED, SUBMITTED, Archive, Entry, State
from aiida_finales.fair.deposit.bundle import PackedFile, check_limits, pack
from aiida_finales.fair.deposit.files import DraftFiles, index_files
from aiida_finales.fair.deposit.invenio import Invenio
from aiida_finales.fair.deposit.metadata import check_description, make_record, read_description
from aiida_finales.schemas import Json

_MISSING = 404


class Depositor:
    """Deposits one package in one archive.

    :param say: is told what happens.
    :ivar defects: what the archive says is wrong in the description, after :meth:`deposit`.
    """

    def __init__(self, package: Path, client: Invenio, say: Callable[[str], None] | None = None) -> None:
        self.package, self.client, self.state = package, client, State(package)
        self.description = read_description(package)
        self.defects: list[str] = []
        self._say = say or (lambda _: None)

    @property
    def archive(self) -> Archive:
        """The archive."""
        return self.client.archive

    def deposit(self, new_version_of: str = "") -> Entry:
        """Make a draft of the package, or bring an unfinished one up to date; nothing is published.

        :param new_version_of: record of which it becomes the next version.
        :raises InputError: when the package cannot be deposited there; nothing was sent.
        :raises ArchiveError: when the archive did not do its part; a second run continues.
        """
        check_description(self.description, self.archive)
        with pack(self.package) as files:
            check_limits(files, self.archive)
            entry = self._find(files, new_version_of)
            if entry is not None and entry.status != DRAFT:
                return entry
            return self._fill(entry, files, new_version_of)

    def publish(self, community: str = "") -> Entry:
        """Publish the draft, or hand it to a community for review.

        A new version of a published record needs no second review.

        :param community: short name (slug) of the community.
        :raises InputError: when there is no draft, or a community has to be named.
        """
        entry = self.state.find(self.archive.url)
        if entry is None:
            raise InputError(f"{self.package} is not deposited in {self.archive.title}: deposit it first")
        if entry.status != DRAFT:
            return entry
        check_community(self.archive, community, entry.new_version_of)
        if community and not entry.new_version_of:
            return self._submit(entry, community)
        return self._publish(entry)

    def ask(self) -> Entry | None:
        """Ask the archive what became of the deposit, and record it."""
        entry = self.state.find(self.archive.url)
        if entry is None:
            return None
        record = self._get(f"/api/records/{entry.record}")
        if record is not None:
            return self.state.write(entry, status=PUBLISHED, **_addresses(record))
        draft = self._get(f"/api/records/{entry.record}/draft")
        if draft is None:
            raise ArchiveError(
                f"{self.archive.title} has neither draft nor record {entry.record}: it was removed there. Remove "
                f"{self.state.path} to begin again"
            )
        under_review = draft.get("status") == "in_review"
        return self.state.write(entry, status=SUBMITTED if under_review else DRAFT, **_addresses(draft))

    def _find(self, files: list[PackedFile], new_version_of: str) -> Entry | None:
        """Return the deposit to continue; none when a new one has to begin."""
        known = self.state.find(self.archive.url)
        if known is None:
            return None
        entry = self.ask() or known
        if entry.status == DRAFT:
            if new_version_of and entry.new_version_of != new_version_of:
                raise InputError(
                    f"record {entry.record} is an unfinished deposit of this package, and no new version of "
                    f"{new_version_of}: finish or delete it at {self.archive.url}, or remove {self.state.path}"
                )
            return entry
        if new_version_of and new_version_of != entry.new_version_of:
            return None
        if entry.files != {file.name: file.md5 for file in files}:
            raise InputError(
                f"record {entry.record} is {entry.status} with other files: deposit this package as its next version "
                f"with --new-version-of {entry.record}"
            )
        self._say(f"record {entry.record} is {entry.status} with the same files: nothing to send")
        return entry

    def _fill(self, entry: Entry | None, files: list[PackedFile], new_version_of: str) -> Entry:
        client = self.client
        if entry is None:
            draft, present = self._open(new_version_of), {}
            begun = Entry(self.archive.url, str(draft["id"]), new_version_of=new_version_of, **_addresses(draft))
            entry = self.state.write(begun)
        else:
            self._say(f"continuing with draft {entry.record}")
            draft = client.call("GET", f"/api/records/{entry.record}/draft")
            present = index_files(client.call("GET", f"/api/records/{entry.record}/draft/files"))
        if entry.new_version_of and not present:
            present = self._inherit(entry)
            entry = self.state.write(entry, linked=[file.name for file in files if _has(present, file)])
        done: dict[str, str] = {}

        def note(name: str, md5: str) -> None:
            done[name] = md5
            self.state.write(entry, files=dict(done))

        DraftFiles(client, entry.record, self._say, note).bring(files, present)
        record = make_record(self.description, self.archive, draft.get("pids"))
        draft = client.call("PUT", f"/api/records/{entry.record}/draft", record)
        self.defects = [f"{item.get('field')}: {' '.join(item.get('messages', []))}" for item in _errors(draft)]
        return self.state.write(entry, files=done, **_addresses(draft))

    def _open(self, new_version_of: str) -> Json:
        """Create a draft. The next version of a record has at most one: asking twice gives the same."""
        if new_version_of:
            return self.client.call("POST", f"/api/records/{new_version_of}/versions")

        def say_that_it_may_be_there() -> None:
            self._say(f"the answer got lost: an empty draft may remain among your uploads at {self.archive.url}")

        record = make_record(self.description, self.archive)
        return self.client.settle(
            lambda: self.client.call("POST", "/api/records", record, is_repeatable=False), say_that_it_may_be_there
        )

    def _inherit(self, entry: Entry) -> dict[str, Json]:
        """Link the files of the version before; a draft that has files already keeps them."""
        files = DraftFiles(self.client, entry.record, self._say, lambda *_: None)
        try:
            return files.take_over()
        except ArchiveRefusedError:
            present = files.look()
            if not present:
                raise
            return present

    def _publish(self, entry: Entry) -> Entry:
        path = f"/api/records/{entry.record}"
        record = self.client.settle(
            lambda: self.client.call("POST", f"{path}/draft/actions/publish", is_repeatable=False),
            lambda: self._get(path),
        )
        return self.state.write(entry, status=PUBLISHED, **_addresses(record))

    def _submit(self, entry: Entry, community: str) -> Entry:
        path = f"/api/records/{entry.record}/draft"
        receiver = {"community": self._find_community(community)}
        self.client.call("PUT", f"{path}/review", {"receiver": receiver, "type": "community-submission"})

        def look() -> Json | None:
            draft = self._get(path) or {}
            return draft if draft.get("status") == "in_review" else None

        self.client.settle(lambda: self.client.call("POST", f"{path}/actions/submit-review", is_repeatable=False), look)
        return self.state.write(entry, status=SUBMITTED)

    def _find_community(self, slug: str) -> str:
        hits = self.client.call("GET", f"/api/communities?q=slug:{quote(slug)}").get("hits", {}).get("hits", [])
        found = [str(hit["id"]) for hit in hits if hit.get("slug") == slug]
        if not found:
            raise InputError(f"community is {slug!r}, but {self.archive.title} has none of that short name")
        return found[0]

    def _get(self, path: str) -> Json | None:
        """Return a document; none when there is none."""
        try:
            return self.client.call("GET", path)
        except ArchiveRefusedError as error:
            if error.status == _MISSING:
                return None
            raise


def check_community(archive: Archive, community: str, new_version_of: str) -> None:
    """Check that a community is named where one decides.

    :raises InputError: when it is missing.
    """
    if archive.publish == "review" and not community and not new_version_of:
        raise InputError(f"at {archive.title} a community reviews what is published: name it with --community SLUG")


def _has(present: dict[str, Json], file: PackedFile) -> bool:
    return present.get(file.name, {}).get("checksum") == f"md5:{file.md5}"


def _errors(draft: Json) -> list[Json]:
    return draft.get("errors") or []


def _addresses(record: Json) -> dict[str, str]:
    """Return where people find the record, and its DOI where it has one."""
    doi = ((record.get("pids") or {}).get("doi") or {}).get("identifier", "")
    return {"address": str((record.get("links") or {}).get("self_html", "")), "doi": str(doi)}
