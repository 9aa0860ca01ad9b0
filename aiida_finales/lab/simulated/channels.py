"""The channels of a cycler: who has reserved them, and which cell is on which.

Kept in ``channels.json`` in the folder of the device, changed under ``channels.lock`` and written as a whole. A
reservation gets all the channels it asks for, or none. A channel becomes free again

* when its cell has all cycles that the reservation is for, or
* when the reservation is given back; a cell that is on it goes on until it has them.

Reservations are never forgotten: what was cycled can be asked for again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, DeviceUnavailableError
from aiida_finales.lab.driver.journal import device_lock, write_durably
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

#: Channels of the simulated cycler.
N_CHANNELS = 32
#: s to wait for somebody else's change; a change takes milliseconds.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Run:
    """What is to be done with a cell.

    :param n_cycles: up to this number, from 1.
    :param protocol: JSON; a cell is cycled by one protocol only.
    :param cycle_s: s that one cycle takes on the clock on the wall; 0: no time at all.
    """

    cell: str
    n_cycles: int
    protocol: Mapping[str, Any]
    cycle_s: float = 0.0


@dataclass(frozen=True)
class Place:
    """A cell on a channel.

    :param n_cycles: so many have been asked for; ``n_before``: before this call.
    :param started: when its first cycle began, s since 1970.
    """

    channel: int
    n_cycles: int
    n_before: int
    started: float


class ChannelPool:
    """All channels of one cycler.

    :param folder: of the device.
    :param n_channels: they are numbered from 1.
    """

    def __init__(self, folder: Path, n_channels: int = N_CHANNELS) -> None:
        self.path = folder / "channels.json"
        self.n_channels = n_channels

    @property
    def free(self) -> list[int]:
        """Numbers of the channels that nobody holds."""
        return self._find_free(self._read())

    def describe(self) -> list[Json]:
        """Return each channel with its state, who has reserved it and which cell is on it, in their order."""
        found: dict[int, Json] = {}
        for name, reservation in self._read().items():
            held = _held(reservation)
            on = {place["channel"]: (cell, place) for cell, place in reservation["cells"].items()}
            for channel in held:
                cell, place = on.get(channel, (None, {"n_cycles": None}))
                state = "reserved" if cell is None else "cell"
                number = place["n_cycles"]
                found[channel] = {"state": state, "cell": cell, "n_cycles": number, "reservation": name}
        nothing = {"state": "free", "cell": None, "n_cycles": None, "reservation": None}
        return [{"channel": number, **found.get(number, nothing)} for number in range(1, self.n_channels + 1)]

    def check(self, n: int, reservation_id: str) -> None:
        """Look whether channels can be reserved.

        :raises DeviceLimitationError: when there never are so many.
        :raises DeviceUnavailableError: when too few are free; says who has the others.
        """
        self._choose(self._read(), n, reservation_id)

    def reserve(
        self, n: int, reservation_id: str, *, n_cycles: int | None = None, protocol: str | None = None
    ) -> list[int]:
        """Reserve channels and return them; a second time the same reservation is returned.

        :param n_cycles: a channel becomes free when its cell has so many; ``None``: when it is given back.
        :raises DeviceLimitationError: when there never are so many.
        :raises DeviceUnavailableError: when too few are free; says who has the others.
        """
        with self._change(reservation_id) as reservations:
            channels = self._choose(reservations, n, reservation_id)
            if reservation_id not in reservations:
                reservations[reservation_id] = {
                    "since": timestamp(),
                    "released": None,
                    "n_cycles": n_cycles,
                    "protocol": protocol,
                    "channels": channels,
                    "cells": {},
                }
            return channels

    def check_release(self, reservation_id: str) -> None:
        """Look whether a reservation can be given back; raises what :meth:`release` raises."""
        _get(self._read(), reservation_id)

    def release(self, reservation_id: str) -> list[int]:
        """Give a reservation back and return the channels on which a cell goes on; a second time changes nothing.

        :raises DeviceInputError: when there is no such reservation.
        """
        with self._change(reservation_id) as reservations:
            reservation = _get(reservations, reservation_id)
            reservation["released"] = reservation["released"] or timestamp()
            return _held(reservation)

    def check_take(self, reservation_id: str, run: Run) -> None:
        """Look whether a cell can be put on a channel; raises what :meth:`take` raises."""
        self._find_channel(self._read(), reservation_id, run)

    def take(self, reservation_id: str, run: Run) -> Place:
        """Put a cell on a channel of a reservation, or let it go on where it is.

        :raises DeviceInputError: when there is no such reservation.
        :raises DeviceLimitationError: when it has no channel left, was given back, is for fewer cycles, or the cell is
            elsewhere or under another protocol.
        """
        with self._change(reservation_id) as reservations:
            channel = self._find_channel(reservations, reservation_id, run)
            cells = reservations[reservation_id]["cells"]
            before = cells.get(run.cell, {"n_cycles": 0, "started": time.time()})
            place = Place(channel, max(run.n_cycles, before["n_cycles"]), before["n_cycles"], before["started"])
            planned = reservations[reservation_id]["n_cycles"] or place.n_cycles
            cells[run.cell] = asdict(place) | {
                "protocol": dict(run.protocol),
                "until": place.started + planned * run.cycle_s,
            }
            return place

    def _find_channel(self, reservations: Json, reservation_id: str, run: Run) -> int:
        reservation = _get(reservations, reservation_id)
        _check_protocol(reservations, run)
        _check_elsewhere(reservations, reservation_id, run)
        place = reservation["cells"].get(run.cell)
        most = reservation["n_cycles"] or math.inf
        if reservation["released"]:
            if place is None:
                raise DeviceLimitationError(
                    f"{reservation_id} was given back at {reservation['released']}, and {run.cell} is on none of its "
                    "channels. Reserve anew"
                )
            most = reservation["n_cycles"] or place["n_cycles"]
        if run.n_cycles > most:
            raise DeviceLimitationError(
                f"{run.n_cycles} cycles were asked for, but {reservation_id} is for {most}. Reserve for more"
            )
        if place is not None:
            return int(place["channel"])
        taken = {other["channel"]: cell for cell, other in reservation["cells"].items()}
        left = [channel for channel in reservation["channels"] if channel not in taken]
        if not left:
            on = ", ".join(f"{channel}: {cell}" for channel, cell in taken.items())
            raise DeviceLimitationError(f"{reservation_id} has no channel left for {run.cell} ({on}). Reserve one more")
        return int(left[0])

    def _choose(self, reservations: Json, n: int, reservation_id: str) -> list[int]:
        known = reservations.get(reservation_id)
        if known is not None:
            if len(known["channels"]) != n:
                raise DeviceInputError(f"{reservation_id} is for {len(known['channels'])} channels, {n} were asked for")
            return list(known["channels"])
        if n > self.n_channels:
            raise DeviceLimitationError(f"{n} channels were asked for, the cycler has {self.n_channels}")
        free = self._find_free(reservations)
        if len(free) < n:
            holders = {name: len(_held(item)) for name, item in reservations.items()}
            named = ", ".join(f"{name} ({count})" for name, count in holders.items() if count)
            raise DeviceUnavailableError(
                f"{n} channels were asked for, {len(free)} of {self.n_channels} are free; the others are held by "
                f"{named}. Try again later, or give a reservation back"
            )
        return free[:n]

    def _find_free(self, reservations: Json) -> list[int]:
        held = {channel for reservation in reservations.values() for channel in _held(reservation)}
        return [channel for channel in range(1, self.n_channels + 1) if channel not in held]

    def _read(self) -> Json:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8"))["reservations"])
        except FileNotFoundError:
            return {}

    @contextmanager
    def _change(self, reservation_id: str) -> Iterator[Json]:
        """Hold the channels; what the block did to the reservations is written unless it raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with device_lock(self.path.with_suffix(".lock"), reservation_id, _PATIENCE):
            reservations = self._read()
            yield reservations
            write_durably(self.path, {"reservations": reservations})


def _get(reservations: Json, reservation_id: str) -> Json:
    if reservation_id not in reservations:
        known = ", ".join(list(reservations)[-5:]) or "none"
        raise DeviceInputError(f"there is no reservation {reservation_id!r}; the latest are {known}")
    found: Json = reservations[reservation_id]
    return found


def _held(reservation: Json) -> list[int]:
    """Return the channels of a reservation that nobody else can have now."""
    on = {place["channel"]: place for place in reservation["cells"].values()}
    return [channel for channel in reservation["channels"] if _is_held(reservation, on.get(channel))]


def _is_held(reservation: Json, place: Json | None) -> bool:
    if place is None:
        return not reservation["released"]
    planned = reservation["n_cycles"]
    is_complete = planned is not None and place["n_cycles"] >= planned
    return time.time() < place["until"] if is_complete or reservation["released"] else True


def _check_protocol(reservations: Json, run: Run) -> None:
    """Refuse to change the protocol of a cell: its ageing would be that of neither."""
    for name, reservation in reservations.items():
        place = reservation["cells"].get(run.cell)
        if place is not None and place["protocol"] != run.protocol:
            asked, before = dict(run.protocol), place["protocol"]
            changed = [key for key in before.keys() | asked.keys() if before.get(key) != asked.get(key)]
            words = ", ".join(f"{key} {before.get(key)} instead of {asked.get(key)}" for key in sorted(changed))
            raise DeviceLimitationError(f"{run.cell} was cycled before under {name} with {words}. Ask for the same")


def _check_elsewhere(reservations: Json, reservation_id: str, run: Run) -> None:
    for name, reservation in reservations.items():
        place = reservation["cells"].get(run.cell)
        if name != reservation_id and place is not None and _is_held(reservation, place):
            raise DeviceLimitationError(f"{run.cell} is on channel {place['channel']} of {name}. Ask under that one")
