"""What a device did, kept on the device's side, so that no key is ever acted upon twice.

One JSON file per key, forced to disk *before* the device acts. The states::

    (nothing) ──begin──> begun ──finish──> done          the first result is returned ever after
                           │
                           └── the process died or the device failed ──> unknown ──settled by a person──┐
                                                                                                        │
                                                        done, or not-done: then it may act again <──────┘

A device that asks for a person before it begins (an empty bottle) leaves no entry; settling its key as not-done makes
one.

The journal is only touched by whoever holds the lock of the device. So a key found ``begun`` was begun by a process
that is dead: the lock goes with its process.

A journal that was deleted, or restored from an old copy, has forgotten keys. So each key that is begun is noted a
second time, beside the folder (``<journal>.begun``), and the journal knows when it was begun itself (``born.json``).
A key that the second record knows better, or that was handed over before the journal was born, does not act: it is
``unknown``, and its ``lost`` says that the journal is not what it was.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aiida_finales.exceptions import DeviceInputError, DeviceUnavailableError, JournalLostError, NeedsOperatorError
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp, to_utc

#: s between two looks at a lock that somebody else holds: first and longest
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2


#: A key is also the name of a file.
KEY_PATTERN = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9._:@+=-]{0,127}")

OUTCOMES = ("done", "not-done")


def digest(payload: Json) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def check_key(key: str) -> str:
    """Return the key.

    :raises DeviceInputError: when it cannot name a file.
    """
    if not KEY_PATTERN.fullmatch(key):
        raise DeviceInputError(f"key {key!r} was given, accepted are up to 128 letters, digits and . _ : @ + = -")
    return key


def write_durably(path: Path, payload: Json) -> None:
    """Write JSON so that after a crash there is either the old file or the whole new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(payload, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Journal:
    """The journal of one device, in a folder of its own.

    :param folder: created when missing; the keys are in its sub-folder ``keys``.

    ``$FINALES_BEGUN`` names another folder for the second record, as one on another disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        given, own = os.environ.get("FINALES_BEGUN"), Path(os.path.abspath(folder))
        self.begun = Path(given) if given else own.with_name(f"{own.name}.begun")
        for place in (self.keys, self.begun):
            place.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "born.json").exists():
            write_durably(self.folder / "born.json", {"time": timestamp()})

    def find(self, key: str) -> Json | None:
        """Return the entry of a key, or ``None`` when it was never begun."""
        try:
            entry: Json = json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return entry

    def look_up(self, key: str, payload: Json, handed: str | None = None) -> Json | None:
        """Return the first result of a key, or ``None`` when the device may act.

        :param payload: the input of this call.
        :param handed: when the key was handed over for the first time, ISO 8601, where this is not that time.
        :raises DeviceInputError: when the key was used with another input.
        :raises NeedsOperatorError: when it is not known whether the device acted.
        :raises JournalLostError: when that is so because the journal has forgotten the key.
        """
        entry = self.find(key)
        if entry is None or entry["state"] == "not-done":
            self._demand_memory(key, entry, handed)
        if entry is None:
            return None
        if entry["input"] not in (None, digest(payload)):
            raise DeviceInputError(
                f"key {key} was used at {entry['history'][0]['time']} with another input: use a new key"
            )
        if entry["state"] == "done":
            result: Json = entry["result"]
            return result
        if entry["state"] == "begun":
            self._doubt(entry, "its process died while the device was acting")
        if entry["state"] == "unknown":
            raise (JournalLostError if entry.get("lost") else NeedsOperatorError)(self._ask_operator(entry))
        return None

    def begin(self, key: str, payload: Json) -> int:
        """Record on disk that the device is about to act; return how often it was about to for this key, from 1."""
        entry = self.find(key) or {"key": key, "input": digest(payload), "attempts": 0, "history": []}
        entry["attempts"] += 1
        entry["input"] = digest(payload)
        self._change(entry, "begun", "about to act")
        # after it: who dies in between has left a key in doubt, and no false alarm
        write_durably(self._name(self.begun, key), {"attempts": entry["attempts"], "time": timestamp()})
        return int(entry["attempts"])

    def finish(self, key: str, result: Json) -> None:
        """Record the result of an act."""
        self._change(self._get(key), "done", "acted", result=result)

    def doubt(self, key: str, reason: str) -> str:
        """Record that something went wrong while the device acted; return what to tell the operator."""
        entry = self._get(key)
        if entry["state"] == "begun":
            self._doubt(entry, reason)
        return self._ask_operator(entry)

    def settle(self, key: str, outcome: str, reason: str, who: str | None = None, result: Json | None = None) -> None:
        """Record what a person found out about an act in doubt.

        A device may also have asked for a person before it began; then only ``not-done`` is accepted, as often as it
        asked.

        :param outcome: ``done`` (it acted; it will not again) or ``not-done`` (it did not; it may).
        :param reason: how that person knows.
        :param who: defaults to the account of the caller.
        :param result: with ``done``: what the device would have answered; without it the answer is a failure.
        :raises DeviceInputError: when the act is not in doubt, or the outcome or the reason make no sense.
        """
        if outcome not in OUTCOMES or not reason.strip():
            raise DeviceInputError(
                f"outcome {outcome!r}, reason {reason!r}: accepted are done or not-done, and a reason"
            )
        note = self._read_note(key)
        if self.find(key) is None and (note or outcome == "not-done"):
            state, attempts = ("unknown", note["attempts"]) if note else (outcome, 0)
            entry: Json = {"key": key, "input": None, "state": state, "attempts": attempts, "history": []}
        else:
            entry = self._get(key)
        if entry["state"] == outcome == "done" and entry["history"][-1]["reason"] == f"settled: {reason}":
            return  # whoever settles it again did not hear the answer the first time
        if entry["state"] not in ("begun", "unknown") and (entry["state"], outcome) != ("not-done", "not-done"):
            raise DeviceInputError(f"key {key} is {entry['state']}, only what is unknown can be settled")
        person = who or getpass.getuser()
        if outcome == "done" and result is None:
            lost = f"the device acted, but its result is lost; settled by {person}: {reason}"
            result = {"key": key, "success": False, "reason": lost}
        entry.pop("lost", None)
        self._change(entry, outcome, f"settled: {reason}", who=person, result=result)

    def _path(self, key: str) -> Path:
        return self._name(self.keys, key)

    @staticmethod
    def _name(folder: Path, key: str) -> Path:
        return folder / f"{check_key(key)}.json"

    def _read_note(self, key: str) -> Json | None:
        """Return what the second record knows of a key."""
        try:
            note: Json = json.loads(self._name(self.begun, key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return note

    def _demand_memory(self, key: str, entry: Json | None, handed: str | None) -> None:
        """Return if the journal can be believed that the device did not act for a key.

        :param entry: what the journal has of it.
        :raises JournalLostError: when something else knows better.
        """
        born = json.loads((self.folder / "born.json").read_text(encoding="utf-8"))["time"]
        note = self._read_note(key) or {"attempts": 0}
        if note["attempts"] > (entry["attempts"] if entry else 0):
            lost = f"it was about to act at {note['time']}, as {self.begun} says, and the journal does not know it"
        elif entry is None and handed and to_utc(handed) < to_utc(born):
            lost = f"the key was handed over at {handed} already, and the journal began at {born} only"
        else:
            return
        entry = entry or {"key": key, "input": None, "attempts": 0, "history": []}
        entry |= {"attempts": note["attempts"], "lost": True}
        self._doubt(entry, f"{lost}: the journal was deleted, or is an old copy")
        raise JournalLostError(self._ask_operator(entry))

    def _doubt(self, entry: Json, reason: str) -> None:
        """Record that it is not known whether the device acted.

        On a full or broken disk ``begun`` stays there, which says the same; that the device may have acted must come
        out all the same.
        """
        with suppress(OSError):
            self._change(entry, "unknown", reason)

    def _get(self, key: str) -> Json:
        entry = self.find(key)
        if entry is None:
            raise DeviceInputError(f"key {key} is not in the journal {self.folder}")
        return entry

    def _change(self, entry: Json, state: str, reason: str, who: str | None = None, result: Json | None = None) -> None:
        holder = who or f"pid {os.getpid()} on {socket.gethostname()}"
        entry["state"] = state
        if result is not None:
            entry["result"] = result
        entry["history"].append({"time": timestamp(), "state": state, "who": holder, "reason": reason})
        write_durably(self._path(entry["key"]), entry)

    def _ask_operator(self, entry: Json) -> str:
        last = entry["history"][-1]
        return (
            f"it is not known whether the device acted for key {entry['key']} (in doubt since {last['time']}: "
            f"{last['reason']}). Look at the device and at {self.folder}; then settle it with --journal {self.folder} "
            f"--key {entry['key']} --settle done|not-done --reason '...' (done: it never acts again; not-done: it may)"
        )


@contextmanager
def device_lock(path: Path, key: str, patience: float) -> Iterator[None]:
    """Hold a device; the operating system lets go of it when the process dies, however it dies.

    :param path: the lock file; holds key, process and time of whoever has the device.
    :param key: what the device is wanted for.
    :param patience: s to wait for it.
    :raises DeviceUnavailableError: when somebody else still holds it then; says who.
    """
    with path.open("a+", encoding="utf-8") as stream:
        _acquire(stream.fileno(), path, patience)
        stream.truncate(0)
        json.dump({"key": key, "pid": os.getpid(), "host": socket.gethostname(), "since": timestamp()}, stream)
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


def _acquire(descriptor: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeviceUnavailableError(_describe_holder(path, patience)) from None
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return


def read_holder(path: Path) -> Json | None:
    """Return ``key``, ``pid``, ``host`` and ``since`` of whoever has a device, or ``None``.

    :param path: the lock file.
    """
    try:
        holder: Json = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # between taking the lock and writing the name the file is empty
        return None
    return holder


def _describe_holder(path: Path, patience: float) -> str:
    holder, who = read_holder(path), "another process"
    if holder is not None:
        who = f"process {holder['pid']} on {holder['host']} for key {holder['key']} since {holder['since']}"
    return f"the device is held by {who}; waited {patience:g} s for it. Try again later"
