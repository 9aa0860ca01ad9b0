"""The true state of the simulated laboratory: every physical thing, where it is, what is in it, what it was made of.

A folder that all drivers of one laboratory share::

    things/<identity>.json   one file per bottle, vial, cell or box of parts
    laboratory.yaml          which stock solutions it has, where it is not the default
    ledger.jsonl             one line per physical act of any device: what tests count, not the journals
    lock                     held while something changes
    pending.json             a change that is being written

A change may touch several things (a mixture empties four bottles and fills a vial). It is written to ``pending.json``
first, so that a process that dies in the middle leaves a change that the next one completes, never half of one.

What is in here is the truth, which a robot does not know: a report may differ from it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.journal import check_key, device_lock, digest, write_durably
from aiida_finales.lab.driver.reading import Location, describe_location, make_location
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

if TYPE_CHECKING:
    from aiida_finales.lab.simulated.laboratory import Laboratory

KINDS = ("stock", "vial", "cell", "consumable")

#: What a coin cell is assembled from, besides the electrolyte.
CELL_PARTS = ("anode", "cathode", "separator", "cap", "can", "spacer", "spring")

#: s to wait for somebody else's change; a change takes milliseconds.
PATIENCE = 30.0
#: Identities named where a thing is not found.
_N_NAMED = 5
#: What rounding may make a sum of volumes (mL) exceed what is there.
_ROUNDING = 1e-9
#: Mole fraction by which what is in a bottle may differ from what its label says.
_SAME = 1e-6


@dataclass(frozen=True)
class Thing:
    """A physical thing.

    :param identity: its name, also of its file; never used twice.
    :param kind: one of :data:`KINDS`.
    :param location: ``address`` (device or site), ``detail_1``, ``detail_2``.
    :param parents: identities of the things it was made of.
    :param content: JSON. ``fractions`` are true mole fractions by InChIKey; ``amount_mL`` is what is left in a bottle
        or vial, ``count`` in a box; cells have ``cathode`` (``mass_loading`` in mAh/cm², ``size`` in cm²),
        ``electrolyte_volume_uL``, ``defect``, and further keys of whoever handles them.
    :param history: ``{time, what}``, oldest first.
    """

    identity: str
    kind: str
    location: Location
    parents: tuple[str, ...] = ()
    content: Json = field(default_factory=dict)
    history: tuple[Json, ...] = ()


@dataclass
class Draft:
    """A thing while it is being changed.

    :param what: what happened to it, for its history; must be set.
    """

    thing: Thing
    content: Json
    location: Location
    what: str = ""


class Transaction:
    """A change to several things, written as a whole or not at all; sees its own changes."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self.changed: dict[str, Thing] = {}
        self.lines: list[Json] = []

    def get(self, identity: str) -> Thing:
        """Return a thing as this change has left it.

        :raises DeviceInputError: when there is none; names some that exist.
        """
        return self.changed.get(identity) or self._inventory.load(identity)

    def find(self, kind: str | None = None, address: str | None = None) -> list[Thing]:
        """Return all things of a kind at an address, as this change has left them."""
        things = {thing.identity: thing for thing in self._inventory.load_all()} | self.changed
        return [things[name] for name in sorted(things) if _matches(things[name], kind, address)]

    def add(self, thing: Thing) -> None:
        """Add a thing; the same thing a second time changes nothing.

        :raises DeviceInputError: when something else has its identity, or it cannot be a thing.
        """
        check_key(thing.identity)
        if thing.kind not in KINDS:
            raise DeviceInputError(f"{thing.identity} is a {thing.kind!r}, accepted are {', '.join(KINDS)}")
        origin = digest({"kind": thing.kind, "parents": thing.parents, "content": thing.content})
        try:
            present = self.get(thing.identity)
        except DeviceInputError:
            first = {"time": timestamp(), "what": f"made at {describe_location(thing.location)}", "origin": origin}
            self.changed[thing.identity] = replace(thing, history=(first, *thing.history))
            return
        if present.history[0]["origin"] != origin:
            raise DeviceInputError(f"{thing.identity} exists since {present.history[0]['time']} as something else")

    def put(self, thing: Thing, what: str) -> Thing:
        """Replace a thing by what it is now, say in its history what happened, and return it."""
        self.changed[thing.identity] = replace(thing, history=(*thing.history, {"time": timestamp(), "what": what}))
        return self.changed[thing.identity]

    def move(self, identity: str, location: Location, what: str) -> Thing:
        """Put a thing somewhere else and return it."""
        return self.put(replace(self.get(identity), location=dict(location)), what)

    def update(self, identity: str, what: str, **content: Any) -> Thing:
        """Merge values into the content of a thing and return it."""
        thing = self.get(identity)
        return self.put(replace(thing, content=thing.content | content), what)

    def take(self, identity: str, name: str, amount: float, what: str) -> Thing:
        """Take something out of a thing, e.g. ``amount_mL`` of a vial, and return what is left of it.

        :raises DeviceLimitationError: when there is not so much in it.
        """
        present = self.get(identity).content[name]
        if amount > present + _ROUNDING:
            raise DeviceLimitationError(f"{identity} holds {present:g} ({name}), but {amount:g} is needed")
        return self.update(identity, what, **{name: max(round(present - amount, 9), 0)})

    def record(self, key: str, device: str, act: str, **details: Any) -> None:
        """Add a line to the ledger: a device did something that cannot be undone."""
        self.lines.append({"time": timestamp(), "key": key, "device": device, "act": act, "pid": os.getpid()} | details)


class Inventory:
    """The things of one simulated laboratory.

    :param folder: made by :func:`create_laboratory`.
    :param create: make the folder where it is missing.
    :raises DeviceInputError: when the folder is not a laboratory.
    """

    def __init__(self, folder: Path | str, *, create: bool = False) -> None:
        self.folder = Path(folder)
        self._things = self.folder / "things"
        self._pending = self.folder / "pending.json"
        if create:
            self._things.mkdir(parents=True, exist_ok=True)
        if not self._things.is_dir():
            raise DeviceInputError(
                f"{self.folder} is not a simulated laboratory; make one: finales-lab init --inventory {self.folder}"
            )

    def get(self, identity: str) -> Thing:
        """Return a thing.

        :raises DeviceInputError: when there is none; names some that exist.
        """
        self._complete()
        return self.load(identity)

    def find(self, kind: str | None = None, address: str | None = None) -> list[Thing]:
        """Return all things of a kind at an address, ordered by identity; ``None`` stands for any."""
        self._complete()
        return [thing for thing in self.load_all() if _matches(thing, kind, address)]

    def add(self, thing: Thing) -> None:
        """Add a thing; see :meth:`Transaction.add`."""
        with self.transaction(thing.identity) as change:
            change.add(thing)

    def move(self, identity: str, location: Location, what: str) -> Thing:
        """Put a thing somewhere else and return it."""
        with self.transaction(identity) as change:
            return change.move(identity, location, what)

    def update(self, identity: str, what: str, **content: Any) -> Thing:
        """Merge values into the content of a thing and return it."""
        with self.transaction(identity) as change:
            return change.update(identity, what, **content)

    def record(self, key: str, device: str, act: str, **details: Any) -> None:
        """Add a line to the ledger: a device did something that cannot be undone."""
        with self.transaction(key) as change:
            change.record(key, device, act, **details)

    def read_ledger(self) -> list[Json]:
        """Return the lines of the ledger, oldest first."""
        self._complete()
        path = self.folder / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    @contextmanager
    def change(self, identity: str) -> Iterator[Draft]:
        """Change one thing from what it is now: set ``content``, ``location`` and ``what`` of the draft.

        Nobody else changes anything meanwhile; nothing is written when the block raises.
        """
        with self.transaction(identity) as change:
            thing = change.get(identity)
            draft = Draft(thing, copy.deepcopy(thing.content), dict(thing.location))
            yield draft
            change.put(replace(thing, content=draft.content, location=draft.location), draft.what)

    @contextmanager
    def transaction(self, key: str) -> Iterator[Transaction]:
        """Change several things at once; keep it short, everybody else waits. Not to be nested.

        :param key: what it is done for.
        """
        with device_lock(self.folder / "lock", key, PATIENCE):
            self._redo()
            change = Transaction(self)
            yield change
            self._commit(change)

    def load(self, identity: str) -> Thing:
        """Return a thing as it is on disk; a change that nobody completed is not looked for."""
        try:
            text = (self._things / f"{check_key(identity)}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            known = sorted(path.stem for path in self._things.glob("*.json"))
            some = ", ".join(known[:_N_NAMED]) + (f" and {len(known) - _N_NAMED} more" if len(known) > _N_NAMED else "")
            raise DeviceInputError(f"{identity!r} is not in {self.folder}; there are {some or 'no things'}") from None
        return _read_thing(json.loads(text))

    def load_all(self) -> list[Thing]:
        """Return all things as they are on disk, ordered by identity."""
        paths = sorted(self._things.glob("*.json"))
        return [_read_thing(json.loads(path.read_text(encoding="utf-8"))) for path in paths]

    def tell_stocks(self, address: str) -> list[Json]:
        """Return what is left in the bottles and boxes at an address, as drivers tell it."""
        amounts = (("amount_mL", "mL"), ("count", "parts"))
        told = []
        for thing in self.find(address=address):
            name = thing.content.get("name") or thing.content.get("part")
            for key, unit in amounts if thing.kind in ("stock", "consumable") else ():
                if key in thing.content:
                    amount = {"amount": thing.content[key], "unit": unit}
                    told.append({"identity": thing.identity, "name": name, **amount})
        return told

    def _complete(self) -> None:
        """Complete a change whose process died; one that is being written is waited for."""
        if self._pending.exists():
            with device_lock(self.folder / "lock", "completion", PATIENCE):
                self._redo()

    def _commit(self, change: Transaction) -> None:
        if not change.changed and not change.lines:
            return
        write_durably(
            self._pending, {"things": [asdict(thing) for thing in change.changed.values()], "lines": change.lines}
        )
        self._redo()

    def _redo(self) -> None:
        try:
            pending = json.loads(self._pending.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        self._append(pending["lines"])
        for thing in pending["things"]:
            write_durably(self._things / f"{thing['identity']}.json", thing)
        self._pending.unlink()

    def _append(self, lines: Sequence[Json]) -> None:
        """Append to the ledger what is not there yet: a process may have died after some of it."""
        if not lines:
            return
        path = self.folder / "ledger.jsonl"
        whole, _, torn = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
        if torn:
            os.truncate(path, len(whole) + 1 if whole else 0)
        last = set(whole.split(b"\n")[-len(lines) :])
        missing = [text for line in lines if (text := json.dumps(line).encode()) not in last]
        with path.open("ab") as stream:
            stream.writelines(text + b"\n" for text in missing)
            stream.flush()
            os.fsync(stream.fileno())


def _matches(thing: Thing, kind: str | None, address: str | None) -> bool:
    return kind in (None, thing.kind) and address in (None, thing.location["address"])


def _read_thing(document: Json) -> Thing:
    lists = {name: tuple(document[name]) for name in ("parents", "history")}
    return Thing(**(document | lists))


def create_laboratory(
    folder: Path | str,
    laboratory: Laboratory | None = None,
    *,
    stock_volume_mL: float = 1000.0,  # noqa: N803 - the unit as in the files
    n_parts: int = 1000,
) -> Inventory:
    """Return a laboratory with full bottles and boxes; what is there already is left as it is.

    :param laboratory: what is in the bottles; its file is kept in the folder, for the devices. Without: as the folder
        says, or the default.
    :param stock_volume_mL: mL of each stock solution of the formulation robot.
    :param n_parts: of each part of a cell.
    :raises DeviceInputError: when a bottle of that name is there with something else in it.
    """
    from aiida_finales.lab.simulated.laboratory import FILE_NAME, find_laboratory, stock_identity

    inventory = Inventory(folder, create=True)
    found = laboratory or find_laboratory(folder)
    stocks = [
        Thing(
            stock_identity(stock.name),
            "stock",
            make_location("ASAB", "stock solutions"),
            content={"name": stock.name, "fractions": stock.fractions, "amount_mL": stock_volume_mL},
        )
        for stock in found.stocks
    ]
    boxes = [
        Thing(f"box-{part}", "consumable", make_location("AutoBASS", "parts"), content={"part": part, "count": n_parts})
        for part in CELL_PARTS
    ]
    with inventory.transaction("init") as change:
        present = {thing.identity: thing for thing in change.find()}
        for thing in (*stocks, *boxes):
            if thing.identity not in present:
                change.add(thing)
            elif thing.kind == "stock":
                _demand_same_content(thing, present[thing.identity])
    if laboratory is not None:
        _keep_file(inventory.folder / FILE_NAME, laboratory.text)
    return inventory


def _keep_file(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _demand_same_content(wanted: Thing, present: Thing) -> None:
    ours, theirs = (thing.content["fractions"] for thing in (wanted, present))
    if any(abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) > _SAME for key in ours | theirs):
        raise DeviceInputError(
            f"stock solution {wanted.content['name']!r}: the bottle {wanted.identity} is there since "
            f"{present.history[0]['time']} with something else in it; give the new one another name"
        )
