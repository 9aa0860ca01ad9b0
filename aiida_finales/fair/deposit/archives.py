"""Which archives there are, what they accept, the token that opens them, and what was deposited where."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas.moment import utc_text

#: a draft can be changed; what is under review or published cannot
DRAFT, SUBMITTED, PUBLISHED = "draft", "submitted", "published"


#: under which name tokens are looked for in the keyring
KEYRING_SERVICE = "aiida-finales"
#: where unprotected HTTP is accepted: it does not leave the computer
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Archive:
    """An InvenioRDM archive and what it accepts.

    :param name: short name; the token's environment variable is made of it.
    :param max_files: how many files a record may have.
    :param max_bytes: of all files; 0 is no limit of ours.
    :param max_aiida_bytes: of the ``.aiida`` files, which then do not count in ``max_bytes``; 0: they do.
    :param licences: SPDX identifier to identifier of the archive, where that is not the same in small letters.
    :param publish: ``direct``, or ``review`` where a community has to accept the first version of a record.
    """

    name: str
    url: str
    title: str
    publisher: str = ""
    max_files: int = 100
    max_bytes: int = 0
    max_aiida_bytes: int = 0
    min_keywords: int = 0
    min_references: int = 0
    publish: str = "direct"
    licences: dict[str, str] = field(default_factory=dict)

    @property
    def token_variable(self) -> str:
        """Name of the environment variable that has the token."""
        return f"AIIDA_FINALES_{re.sub(r'[^A-Z0-9]+', '_', self.name.upper()).strip('_')}_TOKEN"

    def licence_id(self, spdx: str) -> str:
        """Return what the archive calls a licence."""
        return self.licences.get(spdx, spdx.lower())


class Token:
    """A secret that does not show itself: only :meth:`reveal` gives it away."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        """Return anything but the secret."""
        return "Token(***)"

    def reveal(self) -> str:
        """Return the secret."""
        return self._secret

    def hide(self, text: str) -> str:
        """Return a text in which the secret does not occur."""
        return text.replace(self._secret, "***")


@cache
def known_archives() -> dict[str, Archive]:
    """Return the archives of ``profiles.yaml`` by name."""
    path = Path(__file__).with_name("profiles.yaml")
    profiles = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Archive(name=name, **profile) for name, profile in profiles.items()}


def find_archive(name: str) -> Archive:
    """Return the archive of a name or an address; one that is not known by name has the default limits.

    :raises InputError: when it is neither, or the address is not protected by TLS.
    """
    archives = known_archives()
    if name in archives:
        return archives[name]
    parts = urlsplit(name)
    if parts.hostname and parts.scheme in {"http", "https"}:
        url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        same = [archive for archive in archives.values() if archive.url == url]
        if same:
            return same[0]
        if parts.username or parts.password:
            raise InputError("the address of the archive has a user name or password in it: leave them out")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise InputError(f"archive is {url}, but a token is sent through https only")
        return Archive(name=parts.hostname, url=url, title=parts.hostname)
    raise InputError(f"archive is {name!r}, but accepted are {', '.join(archives)}, or an address: https://...")


def find_token(archive: Archive) -> Token:
    """Return the token of an archive from the environment, else from the keyring.

    :raises InputError: when there is none; says where to put it.
    """
    secret = os.environ.get(archive.token_variable, "").strip() or _ask_keyring(archive.name)
    if not secret:
        raise InputError(
            f"no token for {archive.title}: make one in your account there, then set {archive.token_variable}, or "
            f"store it with 'keyring set {KEYRING_SERVICE} {archive.name}'"
        )
    if not (secret.isascii() and secret.isprintable()):
        raise InputError(f"the token for {archive.title} has characters that no token has: was it copied whole?")
    return Token(secret)


def _ask_keyring(name: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise MissingExtraError("fair", "a token from the keyring") from error
    try:
        return (keyring.get_password(KEYRING_SERVICE, name) or "").strip()
    except KeyringError:  # a computer without keyring: the message about the missing token says what to do
        return ""


@dataclass(frozen=True)
class Entry:
    """The deposit of a package in one archive.

    :param record: identifier in the archive.
    :param new_version_of: identifier of the record before; empty for a first version.
    :param files: what is there, by name: its MD5.
    :param linked: names of those files that were taken over from the version before.
    """

    archive: str
    record: str
    status: str = DRAFT
    new_version_of: str = ""
    address: str = ""
    doi: str = ""
    files: dict[str, str] = field(default_factory=dict)
    linked: list[str] = field(default_factory=list)
    updated: str = ""


class State:
    """The deposits of one package, by address of the archive."""

    def __init__(self, package: Path) -> None:
        package = package.resolve()
        self.path = package.with_name(f"{package.name}.deposit.json")

    def read(self) -> list[Entry]:
        """Return all deposits.

        :raises InputError: when the file was damaged.
        """
        try:
            document: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            return [Entry(**item) for item in document["deposits"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(f"{self.path} cannot be read ({error}): it was not written by this program") from error

    def find(self, archive: str) -> Entry | None:
        """Return the deposit in an archive.

        :param archive: its address.
        """
        return next((entry for entry in self.read() if entry.archive == archive), None)

    def write(self, entry: Entry, **changes: Any) -> Entry:
        """Record a deposit in place of an earlier one in the same archive; return it as it is now."""
        now = utc_text(datetime.now(UTC))
        entry = replace(entry, **changes, updated=now)
        others = [item for item in self.read() if item.archive != entry.archive]
        write_durably(self.path, {"deposits": [asdict(item) for item in [*others, entry]]})
        return entry
