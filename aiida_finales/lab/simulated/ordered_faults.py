"""Faults that a person orders for whatever a device does next; kept in ``faults.json`` of the laboratory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.journal import device_lock, write_durably
from aiida_finales.lab.simulated.faults import DEVICES, FAULTS, faults_of
from aiida_finales.lab.simulated.inventory import PATIENCE, Inventory


def order_fault(inventory: Inventory, device: str, name: str, times: int = 1) -> None:
    """Order that a fault strikes a device the next so many times.

    :raises DeviceInputError: when the device has no such fault.
    """
    known = faults_of(device)
    if name not in known or times < 1:
        accepted = ", ".join(known) if known else f"faults of {', '.join(DEVICES)}"
        raise DeviceInputError(f"fault {name!r} of {device!r}, {times} times: accepted are {accepted}, at least once")
    with device_lock(inventory.folder / "lock", "faults", PATIENCE):
        orders = [*list_ordered_faults(inventory), {"device": device, "fault": name, "times": times}]
        write_durably(_path(inventory), {"ordered": orders})


def list_ordered_faults(inventory: Inventory) -> list[dict[str, Any]]:
    """Return the faults that have yet to strike, in order: ``device``, ``fault``, ``times``."""
    try:
        return list(json.loads(_path(inventory).read_text(encoding="utf-8"))["ordered"])
    except FileNotFoundError:
        return []


def take_ordered_fault(inventory: Inventory, device: str, moments: Sequence[str]) -> str | None:
    """Return, and use up, the first fault that is ordered for a device and strikes at one of these moments."""
    if not _path(inventory).exists():
        return None
    with device_lock(inventory.folder / "lock", "faults", PATIENCE):
        orders = list_ordered_faults(inventory)
        for order in orders:
            if order["device"] == device and FAULTS[order["fault"]].strikes in moments:
                order["times"] -= 1
                write_durably(_path(inventory), {"ordered": [item for item in orders if item["times"]]})
                return str(order["fault"])
    return None


def _path(inventory: Inventory) -> Path:
    return inventory.folder / "faults.json"
