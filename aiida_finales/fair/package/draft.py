"""A package in the making: what an interrupted export has done is kept, and the next one goes on from there.

It is kept only for the very same export (nodes, metadata, wishes, version); any other begins anew. The folder is hidden
and nobody else may look into it: until the end it holds what is private or confidential.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import FinalesError, StatusError
from aiida_finales.fair.graph.selection import in_batches
from aiida_finales.fair.package.copy import closure, dependents
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.schemas import Json

_STATE, _LOCK = "state.json", "lock"
#: the last step: everything is made and only has to be put where it belongs
_PLACING = "placing"


class Draft:
    """The folder of one export.

    :param fingerprint: of everything that the package is made of.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self._fingerprint = folder, fingerprint
        self._done = self._read()
        if not self._done:
            for path in folder.iterdir():
                if path.name != _LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def steps(self) -> list[str]:
        """What is done."""
        return list(self._done)

    def once(self, step: str, function: Callable[[], Any]) -> Any:
        """Do a step unless it is done, and return what it returned.

        :param function: may be called again after it was interrupted; returns what JSON can hold.
        """
        if step not in self._done:
            self._done[step] = function()
            os.sync()  # what counts as done must outlast a power failure, and is in many files
            write_durably(self.folder / _STATE, {"fingerprint": self._fingerprint, "done": self._done})
        return self._done[step]

    @property
    def is_placing(self) -> bool:
        """Whether everything is made, so that what has a name of the package is part of it."""
        return _PLACING in self.steps

    def place(self, *targets: Path) -> None:
        """Rename what is made, by name, to where it belongs."""
        self.once(_PLACING, lambda: None)
        for target in targets:
            made = self.folder / target.name
            if made.exists():  # else it was placed before an interruption
                made.replace(target)

    def _read(self) -> Json:
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            return dict(state["done"]) if state["fingerprint"] == self._fingerprint else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


@contextmanager
def open_draft(folder: Path, fingerprint: str) -> Iterator[Draft]:
    """Give the draft in a folder, for one process at a time.

    It is removed when the package is finished or refused, and stays when the export is interrupted.

    :raises StatusError: when another process is at work in it.
    """
    is_new = not folder.parent.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    with (folder / _LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StatusError(f"another export is at work in {folder}: wait until it has ended") from None
        try:
            yield Draft(folder, fingerprint)
        except FinalesError:
            _remove(folder, with_parent=is_new)
            raise
        _remove(folder, with_parent=is_new)


def fingerprint_of(*parts: Any) -> str:
    """Return a short text that differs when one of the parts does.

    :param parts: JSON, or sets.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=sorted).encode()).hexdigest()


def _remove(folder: Path, *, with_parent: bool) -> None:
    shutil.rmtree(folder)
    if with_parent and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def find_ended(pks: set[int], hidden: Iterable[int] = ()) -> set[int]:
    """Return nodes and everything they were made from, without what still runs and what that alone has made.

    :param pks: primary keys of the nodes.
    :param hidden: those of nodes that are left out in the same way.
    """
    found, running = closure(pks), _find_running() | set(hidden)
    if not running & found:
        return found
    # without the callers: one that goes on is not reached from a process that it called
    return closure(pks - dependents(running), with_callers=False)


def tell_state(pks: set[int]) -> list[Any]:
    """Return what differs as soon as one of the nodes, their logs or comments changes, or another node is there."""
    told: list[Any] = []
    for batch in in_batches(pks):
        nodes = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, project=["uuid", "mtime"])
        told += sorted((uuid, time.isoformat()) for uuid, time in nodes.iterall())
        for kind, column in ((orm.Log, "uuid"), (orm.Comment, "mtime")):
            query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": batch}}, tag="node")
            told += sorted(map(str, query.append(kind, with_node="node", project=column).all(flat=True)))
    return told


def describe_group(group: CampaignGroup) -> dict[str, Any]:
    """Return the row of a group as an archive has it, with its members by UUID."""
    query = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group", project="time")
    time = query.first(flat=True)
    members = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    return {
        "uuid": group.uuid,
        "label": group.label,
        "type_string": group.type_string,
        "time": f"{time:%Y-%m-%d %H:%M:%S.%f}",
        "description": group.description or "",
        "extras": json.dumps(group.base.extras.all),
        "members": sorted(members.append(orm.Node, with_group="group", project="uuid").all(flat=True)),
    }


def _find_running() -> set[int]:
    """Return all processes of the profile that have not ended."""
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"attributes": {"!has_key": "sealed"}}, project="id")
    return set(query.all(flat=True))
