"""What was deposited where: a file beside the package, so that a second run continues. It holds no secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas.moment import utc_text

#: a draft can be changed; what is under review or published cannot
DRAFT, SUBMITTED, PUBLISHED = "draft", "submitted", "published"


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
