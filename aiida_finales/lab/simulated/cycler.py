"""The simulated cycler: reserves channels, and cycles the cells of the laboratory.

A cell ages by :mod:`aiida_finales.science.ageing.twin`, or by :mod:`aiida_finales.science.ageing.pybamm` where the
settings say so, from what it is truly made of. Asking for more cycles of the same cell lets it go on; asking for fewer
reads what is there. The data are in an HDF5 file (:mod:`aiida_finales.lab.simulated.cycling_file`); it is kept in
``files`` in the folder of the device and copied beside the output by every call with that key. With a clock
(``settings.speed``) the call returns when the cycles would have taken their time; other channels go on meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError, InputError, NeedsOperatorError
from aiida_finales.lab.driver.command import Call, say
from aiida_finales.lab.driver.reading import describe_location
from aiida_finales.lab.simulated.cells import (
    PUBLISHED_NEGATIVE,
    PUBLISHED_POSITIVE,
    CellOffer,
    default_cells,
    find_part,
)
from aiida_finales.lab.simulated.channels import N_CHANNELS, ChannelPool, Place, Run
from aiida_finales.lab.simulated.cycler_order import (
    LIMITS,
    TARGETS,
    ChannelOrder,
    CyclerSettings,
    CyclingOrder,
    describe_protocol,
    read_cycler_order,
)
from aiida_finales.lab.simulated.cycling_file import MIN_RATING, REST_TIME, WETTING_TIME, assess, spoil
from aiida_finales.lab.simulated.device import SimulatedDevice, run_simulated
from aiida_finales.lab.simulated.inventory import Inventory, Thing
from aiida_finales.lab.simulated.laboratory import find_laboratory
from aiida_finales.schemas import Json
from aiida_finales.schemas.cells import Electrode, Separator
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.cell import PARAMETER_SETS, TwinCell, make_cell
from aiida_finales.science.ageing.cycling import CellLife, capacity_list, charging_rates, early_features
from aiida_finales.science.ageing.pybamm import PYBAMM_SPME, SpmeLife, make_spme_cell
from aiida_finales.science.ageing.systems import CellOrder, find_system, make_system_cell
from aiida_finales.science.ageing.twin import Life, Protocol

ADDRESS = "Cycler"
#: A key that begins with the identifier of a request.
_REQUEST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOUR = 3600.0


def channel_limitations() -> Json:
    """Return what can be reserved."""
    low, high = LIMITS["number_cycles"]
    return {"number_cycles": [{"min": low, "max": high}]}


def cycling_limitations(offer: CellOffer | None = None) -> list[Json]:
    """Return how a cell can be cycled, and what it may be made of, by alternatives."""
    usual = {name: [{"min": low, "max": high}] for name, (low, high) in LIMITS.items()}
    return (offer or default_cells()).cycling_limitations(usual)


@dataclass(frozen=True)
class CyclingPlan:
    """A cell to cycle.

    :param capacity: Ah, what C-rates refer to.
    """

    order: CyclingOrder
    capacity: float
    protocol: Protocol

    @property
    def settings(self) -> CyclerSettings:
        """How the device behaves."""
        return self.order.settings

    @cached_property
    def life(self) -> CellLife:
        """What becomes of the cell; computed before the device acts, because it may fail.

        :raises DeviceLimitationError: when it cannot be cycled so.
        """
        cell = _open(self.settings).get(self.order.cell)
        return live(cell, self.settings, self.protocol, self.order.n_cycles)

    def run(self) -> Run:
        """Return what the channel needs to know."""
        numbers = describe_protocol(self.order, self.capacity, self.protocol)
        return Run(
            self.order.cell, self.order.n_cycles, numbers, self._cycle_time() / (self.settings.speed or float("inf"))
        )

    def _cycle_time(self) -> float:
        stage = self.protocol.cycling
        return self.capacity * (1 / stage.charge + 1 / stage.discharge) * _HOUR


Plan = ChannelOrder | CyclingPlan


class Cycler(SimulatedDevice):
    """The simulated cycler."""

    name = "cycler"

    def limitations(self) -> Json:
        """Return what the cycler can do, by quantity."""
        return {"cycling_channel": channel_limitations(), "capacity": cycling_limitations()}

    def status(self, folder: Path, settings: Json) -> Json:
        """Return what is on the channels."""
        return {"channels": ChannelPool(folder, int(settings.get("n_channels", N_CHANNELS))).describe()}

    def prepare(self, payload: Json) -> Plan:
        """Find the currents.

        :raises DeviceInputError: when the input is not acceptable.
        :raises DeviceLimitationError: when the cycler cannot do it.
        """
        order = read_cycler_order(payload)
        if isinstance(order, ChannelOrder):
            return order
        capacity = order.capacity or _nominal_capacity(_open(order.settings).get(order.cell))
        try:
            return CyclingPlan(order, capacity, order.make_protocol(capacity))
        except InputError as error:
            raise DeviceInputError(str(error)) from error

    def describe(self, plan: Plan) -> str:
        """Return the plan in one line."""
        if isinstance(plan, ChannelOrder):
            return f"give back {plan.release}" if plan.release else f"reserve {count(plan.n_channels, 'channel')}"
        stage = plan.protocol.cycling
        return (
            f"cycle {plan.order.cell} to number {plan.order.n_cycles} at {stage.charge:.6g}/{stage.discharge:.6g} A, "
            f"{stage.low:g} to {stage.high:g} V, under {plan.order.reservation}"
        )

    def look(self, plan: Plan, call: Call) -> None:
        """Look whether channels are free, or the cell is here, has one and can be cycled.

        :raises DeviceUnavailableError: when too few channels are free.
        :raises DeviceLimitationError: when the cell is elsewhere, has no channel, or cannot be cycled so.
        """
        pool = _pool(plan, call)
        if isinstance(plan, CyclingPlan):
            _find_cell(plan)
            pool.check_take(plan.order.reservation, plan.run())
            plan.life  # noqa: B018 - computed now: once the device acts, a failure would need a person
        elif plan.release is not None:
            pool.check_release(plan.release)
        else:
            pool.check(plan.n_channels, _reservation_id(call))

    def perform(self, plan: Plan, call: Call, fault: str | None) -> Any:
        """Reserve, give back, or start."""
        pool = _pool(plan, call)
        if isinstance(plan, CyclingPlan):
            return _start(plan, call, pool)
        if plan.release is not None:
            return pool.release(plan.release)
        return pool.reserve(plan.n_channels, _reservation_id(call), n_cycles=plan.n_cycles, protocol=plan.protocol)

    def report(self, plan: Plan, call: Call, fault: str | None, done: Any) -> Json:
        """Return the channels, or the data of the cell."""
        if isinstance(plan, CyclingPlan):
            result = _cycle(plan, call, fault, done)
        elif plan.release is not None:
            result = {"reservation_id": plan.release, "channels": [], "channels_going_on": done}
        else:
            result = {"reservation_id": _reservation_id(call), "channels": done}
        quantity = "capacity" if isinstance(plan, CyclingPlan) else "cycling_channel"
        result = {"success": True, "quantity": quantity, "method": TARGETS[quantity]} | result
        if fault == "bad_result":
            reason = "the cycler doubts what it did (simulated)"
            result |= {"success": False, "reason": reason, "meta": {"success": False, "rating": MIN_RATING}}
        return result


def _open(settings: CyclerSettings) -> Inventory:
    """Return the laboratory; without one an order to cycle is refused when it is read."""
    return Inventory(settings.inventory or "")


def _reservation_id(call: Call) -> str:
    return f"reservation-{call.key}"


def _pool(plan: Plan, call: Call) -> ChannelPool:
    return ChannelPool(call.folder, plan.settings.n_channels)


def _nominal_capacity(cell: Thing) -> float:
    """Return mass loading times size of the positive electrode, Ah."""
    cathode = cell.content.get("cathode") or {}
    if not cathode.get("mass_loading") or not cathode.get("size"):
        raise DeviceInputError(
            f"{cell.identity} is a {cell.kind} with the positive electrode {cathode or 'unknown'}: accepted is a cell "
            "with mass_loading (mAh/cm2) and size (cm2)"
        )
    return float(cathode["mass_loading"] * cathode["size"] * 1e-3)


def _find_cell(plan: CyclingPlan) -> Thing:
    cell = _open(plan.settings).get(plan.order.cell)
    if cell.kind != "cell":
        raise DeviceLimitationError(f"{cell.identity} is a {cell.kind}; only cells can be cycled")
    if cell.location["address"] != ADDRESS:
        raise DeviceLimitationError(
            f"{cell.identity} is at {describe_location(cell.location)}, the cycler is at {ADDRESS}. Transport it first"
        )
    _nominal_capacity(cell)
    for key, name in plan.order.electrodes.items():
        true = cell.content[key].get("name")
        if true != name:
            raise DeviceLimitationError(f"the {key} of {cell.identity} is {true or 'not known by name'}, not {name}")
    return cell


def _start(plan: CyclingPlan, call: Call, pool: ChannelPool) -> Place:
    """Put the cell on its channel and write it into the ledger: the one thing that cannot be undone."""
    place = pool.take(plan.order.reservation, plan.run())
    goes_on = place.n_cycles > place.n_before
    act = "cycle" if goes_on else "read"
    with _open(plan.settings).transaction(call.key) as change:
        change.record(
            call.key, Cycler.name, act, sample=plan.order.cell, channel=place.channel, n_cycles=place.n_cycles
        )
        if goes_on:
            what = f"cycled from {place.n_before} to {place.n_cycles} on channel {place.channel}"
            change.update(plan.order.cell, what, cycles=place.n_cycles)
    return place


def _cycle(plan: CyclingPlan, call: Call, fault: str | None, place: Place) -> Json:
    from aiida_finales.lab.simulated.cycling_file import CyclingRecord, write_cycling_file

    cell = _find_cell(plan)
    life = plan.life
    formation = life.formation_halves(plan.settings.n_points)
    halves = spoil(life.half_cycles(n_points=plan.settings.n_points), fault, f"{plan.settings.seed}/{call.key}")
    stage, numbers = plan.protocol.cycling, describe_protocol(plan.order, plan.capacity, plan.protocol)
    verdict = assess(halves, plan.order.n_cycles, (stage.low, stage.high))
    features = early_features(halves, window=(stage.low, stage.high))
    attributes = {
        "cell": cell.identity,
        "key": call.key,
        "request": _request_of(call.key),
        "reservation": plan.order.reservation,
        "channel": place.channel,
        "protocol": numbers,
        "simulated": True,
        "ageing": life.name,
        "device": Cycler.name,
    }
    path = _stored_file(call.folder, call.key)
    path.parent.mkdir(exist_ok=True)
    write_cycling_file(path, CyclingRecord(halves, formation, WETTING_TIME, REST_TIME, features, attributes))
    return {
        **verdict,
        "capacity_list": capacity_list(halves),
        **charging_rates(halves, plan.capacity),
        "channel_list": [place.channel],
        "cell_info": plan.order.cell_info,
        "features": features.values() | {"reasons": dict(features.reasons)},
        "formation": {"capacities": [half.capacity() for half in formation]},
        "number_cycles": plan.order.n_cycles,
        "cathode": {name: cell.content["cathode"][name] for name in ("mass_loading", "size")},
        "protocol": numbers,
        "ageing": life.name,
        "reservation_id": plan.order.reservation,
        "file": plan.settings.file,
        "ready_at": place.started + plan.order.n_cycles * plan.run().cycle_s,
    }


def _request_of(key: str) -> str:
    """Return the identifier of the request that a key names, or nothing."""
    found = _REQUEST.match(key)
    return found[0] if found else ""


def _stored_file(folder: Path, key: str) -> Path:
    return folder / "files" / f"{key}.h5"


def run_cycler(arguments: Sequence[str] | None = None) -> int:
    """Run a call, hand over the file and wait until the cycles are over; return the exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    status = run_simulated(Cycler(), arguments)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    options, _ = parser.parse_known_args(arguments)
    if status or options.output is None or options.dry_run:
        return status
    try:
        _hand_over(options)
    except OSError as error:
        say(f"cycler: the cell was cycled, but the file cannot be copied: {error}. Call again with the same key")
        return NeedsOperatorError.exit_status
    return 0


def _hand_over(options: argparse.Namespace) -> None:
    result = json.loads(options.output.read_text(encoding="utf-8"))
    if "file" not in result:
        return
    folder = options.journal or Path(os.environ.get("FINALES_JOURNAL") or Path.home() / ".finales" / Cycler.name)
    draft = options.output.with_name(f".{result['file']}.{os.getpid()}.part")
    shutil.copyfile(_stored_file(folder, result["key"]), draft)
    draft.replace(options.output.with_name(result["file"]))
    time.sleep(max(result.get("ready_at", 0.0) - time.time(), 0.0))


def main() -> None:
    """Run ``finales-cycler`` and exit with its status."""
    sys.exit(run_cycler())


def live(cell: Thing, settings: CyclerSettings, protocol: Protocol, n_cycles: int) -> CellLife:
    """Return the life of a cell, from what it is truly made of; the same cell and settings give the same life.

    :raises DeviceLimitationError: when the model cannot cycle it so, naming the first cycle that fails.
    """
    seed, is_defective = _seed(cell, settings), bool(cell.content.get("defect"))
    fractions, cathode = cell.content["fractions"], cell.content["cathode"]
    loading, size = cathode["mass_loading"], cathode["size"]
    try:
        if settings.ageing == PYBAMM_SPME:
            layered = make_spme_cell(fractions, mass_loading=loading, size=size, seed=seed, defective=is_defective)
            return SpmeLife(layered, protocol, n_cycles)
        electrodes = _find_electrodes(cell)
        if electrodes is not None:
            return Life(_make_other(cell, electrodes, settings, seed, is_defective), protocol, n_cycles)
        kind = PARAMETER_SETS[settings.ageing]
        twin = make_cell(fractions, mass_loading=loading, size=size, seed=seed, parameters=kind, defective=is_defective)
        return Life(twin, protocol, n_cycles)
    except InputError as error:
        raise DeviceLimitationError(f"{cell.identity}: {error}") from error


def _find_electrodes(cell: Thing) -> tuple[Electrode, Electrode] | None:
    """Return the electrodes of a cell, or ``None`` for those that the published twin is about."""
    names = [cell.content.get(key, {}).get("name") for key in ("cathode", "anode")]
    if not all(names) or tuple(names) == (PUBLISHED_POSITIVE, PUBLISHED_NEGATIVE):
        return None
    positive, negative = (find_part(Electrode, name, cell.content) for name in names)
    return positive, negative


def _make_other(
    cell: Thing, electrodes: tuple[Electrode, Electrode], settings: CyclerSettings, seed: int, defective: bool
) -> TwinCell:
    """Return a cell of another chemistry than the published one."""
    content, name = cell.content, cell.content.get("separator")
    order = CellOrder(
        *electrodes,
        fractions=content["fractions"],
        loading=content["cathode"]["mass_loading"],
        size=content["cathode"]["size"],
        negative_loading=content["anode"]["mass_loading"] if content["anode"].get("areal_mass") else None,
        separator=find_part(Separator, name, content) if name else None,
    )
    system = find_system(*electrodes, order.fractions, find_laboratory(settings.inventory).cells.systems)
    return make_system_cell(order, system, seed, defective=defective)


def _seed(cell: Thing, settings: CyclerSettings) -> int:
    """Return what makes the cell this one."""
    text = f"{cell.identity}/{settings.seed}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


if __name__ == "__main__":
    main()
