"""Everything that can go wrong in the simulated laboratory, declared once.

A fault is ordered (``settings.fault``; ``finales-lab fault`` for whatever comes next) or happens by chance
(``settings.faults``: probability by name). Chance is a function of seed, device, key and attempt: the same call meets
the same fault on any machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

DEVICES = ("asab", "autobass", "operator", "cycler")

#: When a fault strikes: before the device acts (nothing was done), while or after it acts (nobody knows), in what is
#: made or reported (the call itself is fine), or on the way of the message.
MOMENTS = ("before", "acting", "data", "message")


@dataclass(frozen=True)
class Fault:
    """Something that can go wrong.

    :param devices: whose.
    :param strikes: one of :data:`MOMENTS`.
    :param effect: what happens, for people.
    :param each: its probability is per ``call``, or per ``cell`` of a batch.
    """

    name: str
    devices: tuple[str, ...]
    strikes: str
    effect: str
    each: str = "call"


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("device_unavailable", DEVICES, "before", "it does not answer (exit status 69)"),
        Fault("device_fault", DEVICES, "before", "it fails before it acts (70)"),
        Fault("clogged_line", ("asab",), "before", "a line is clogged: it fails before it doses (70)"),
        Fault("operator_absent", ("operator",), "before", "nobody is there (69)"),
        Fault("die_before_act", DEVICES, "acting", "the driver dies after it began, before the act"),
        Fault("die_after_act", DEVICES, "acting", "the driver dies after the act"),
        Fault("fault_after_act", DEVICES, "acting", "it fails after it began to act (75)"),
        Fault("driver_hangs", DEVICES, "acting", "it acts and never comes back"),
        Fault("die_before_dose", ("asab",), "acting", "the driver dies after it began, before the dose"),
        Fault("die_after_dose", ("asab",), "acting", "the driver dies after the dose"),
        Fault("fault_after_dose", ("asab",), "acting", "it fails after it began to dose (75)"),
        Fault("hang_after_dose", ("asab",), "acting", "it never comes back"),
        Fault("wrong_volume", ("asab",), "data", "it doses other volumes than it reports"),
        Fault("leaking_vial", ("asab", "operator"), "data", "the vial loses half of what is in it, unnoticed"),
        Fault("sensor_out_of_range", ("asab", "cycler"), "data", "what it measures is noise"),
        Fault("bad_result", ("asab", "autobass", "cycler"), "data", "it reports no success, or the lowest rating"),
        Fault("dropped_cell", ("autobass",), "data", "a cell is dropped and lost", each="cell"),
        Fault("unsealed_cell", ("autobass",), "data", "a cell is not sealed", each="cell"),
        Fault("cycler_reboot", ("cycler",), "acting", "the cycler restarts in the middle of a test"),
        Fault("duplicate_message", DEVICES, "message", "the call arrives twice"),
        Fault("late_message", DEVICES, "message", "the answer comes late"),
    )
}

#: Share of all results of the published campaign that reported no success or had the lowest rating: a realistic
#: probability of ``bad_result``.
PUBLISHED_BAD_SHARE = 0.37


class FaultSettings(Protocol):
    """What must be known about a simulated device to tell what goes wrong."""

    @property
    def fault(self) -> str | None:
        """The fault that is ordered."""

    @property
    def fault_attempts(self) -> int:
        """It strikes the first so many attempts of a key."""

    @property
    def faults(self) -> dict[str, float]:
        """Probability by name."""

    @property
    def seed(self) -> int:
        """Of chance."""


def faults_of(device: str) -> dict[str, Fault]:
    """Return the faults that a device can have."""
    return {name: fault for name, fault in FAULTS.items() if device in fault.devices}


def draw(*words: object) -> float:
    """Return a number in [0, 1) that is uniform over, and determined by, the words."""
    text = "/".join(map(str, words)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big") / 256**7


def choose_fault(device: str, settings: FaultSettings, key: str, attempt: int) -> str | None:
    """Return what goes wrong with a call: the fault that is ordered, or one that happens by chance, or ``None``.

    :param device: one of :data:`DEVICES`.
    :param attempt: how often the device was about to act for this key, from 1.
    """
    known = faults_of(device)
    if settings.fault is not None and attempt <= settings.fault_attempts:
        return settings.fault if settings.fault in known else None
    return _draw_fault([fault for fault in known.values() if fault.each == "call"], settings, device, key, attempt)


def choose_cell_faults(
    device: str, settings: FaultSettings, key: str, ordered: str | None, n_cells: int
) -> list[str | None]:
    """Return what goes wrong with each cell of a batch.

    :param ordered: what goes wrong with the call; a fault of cells strikes one of them, and chance no other.
    """
    known = [fault for fault in faults_of(device).values() if fault.each == "cell"]
    if ordered in [fault.name for fault in known]:
        unlucky = int(draw(settings.seed, key, "which cell") * n_cells)
        return [ordered if index == unlucky else None for index in range(n_cells)]
    return [_draw_fault(known, settings, device, key, "cell", index) for index in range(n_cells)]


def _draw_fault(candidates: Iterable[Fault], settings: FaultSettings, *words: object) -> str | None:
    """Return one of the faults or none; each has exactly the probability that is set."""
    left = draw(settings.seed, *words)
    for fault in candidates:
        left -= settings.faults.get(fault.name, 0.0)
        if left < 0:
            return fault.name
    return None
