"""How the simulated robot makes a mixture: what it is asked, plans to dose, takes from bottles, and has in the vial."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aiida_finales.exceptions import (
    DeviceInputError,
    DeviceLimitationError,
    InputError,
    LimitationError,
    NeedsOperatorError,
)
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.journal import write_durably
from aiida_finales.lab.driver.reading import (
    POSITIVE,
    make_location,
    read_formulation,
    read_number,
    read_object,
    read_target,
)
from aiida_finales.lab.simulated.faults import faults_of
from aiida_finales.lab.simulated.inventory import Inventory, Thing
from aiida_finales.lab.simulated.laboratory import (
    TARGETS,
    Laboratory,
    Offer,
    find_laboratory,
    read_laboratory,
    stock_identity,
)
from aiida_finales.lab.simulated.settings import DeviceSettings, check_path, read_settings
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.moment import timestamp
from aiida_finales.science.electrolyte.composition import describe
from aiida_finales.science.electrolyte.formulation import (
    Mixture,
    StockSolution,
    component_names,
    molarity_matrix,
    reachable_region,
    solve_volumes,
)

#: What can go wrong with the robot.
FAULTS = tuple(faults_of("asab"))

#: Samples that the robot keeps: those of its last doses for a measurement.
RACK = 24
#: Overshoot of the box that counts as inside (mole fraction).
EDGE = 1e-8
#: Of the first stock solution, where the robot doses wrongly; of the vial, where it leaks.
WRONG_VOLUME, LEAKED = 0.8, 0.5


@dataclass(frozen=True)
class Plan:
    """What the robot is going to do.

    :param temperature: K, of a measurement.
    """

    order: Order
    mixture: Mixture
    temperature: float

    @property
    def settings(self) -> Settings:
        """How the robot behaves."""
        return self.order.settings


def plan_mixture(order: Order) -> Mixture:
    """Return the volumes to dose.

    :raises DeviceInputError: when they make no sense.
    :raises DeviceLimitationError: when the composition is out of reach; names what is nearest.
    """
    try:
        mixture = solve_volumes(order.fractions, order.offer.stocks, order.volume, order.settings.resolution_mL)
    except LimitationError as error:
        raise DeviceLimitationError(_explain(order)) from error
    except InputError as error:
        raise DeviceInputError(str(error)) from error
    box = order.offer.box
    if any(not low - EDGE <= order.fractions.get(key, 0.0) <= high + EDGE for key, (low, high) in box.items()):
        raise DeviceLimitationError(_explain(order))
    return mixture


def _explain(order: Order) -> str:
    """Return why a composition is out of reach, and what is nearest."""
    fractions, box = order.fractions, order.offer.box
    foreign = [chemical_label(key) for key, value in fractions.items() if value and key not in box]
    if foreign:
        return f"no stock solution contains {', '.join(foreign)}"
    from aiida_finales.schemas.limitations.region import Region

    region = reachable_region(order.offer.stocks).intersect(Region.from_box(box))
    nearest = region.nearest(np.array([fractions.get(key, 0.0) for key in region.names]))
    accepted = ", ".join(f"{chemical_label(key)} {low:g} to {high:g}" for key, (low, high) in box.items())
    text = f"{describe(fractions)} is out of reach of the stock solutions within {accepted}"
    if nearest is None:
        return text
    # so many digits that the nearest composition, typed in again, is accepted
    return f"{text}; nearest is {describe(dict(zip(region.names, nearest.tolist(), strict=True)), 6)}"


def stocks_used(mixture: Mixture) -> dict[str, float]:
    """Return mL by identity of the stock solution, of those that are needed."""
    return {stock_identity(name): volume for name, volume in mixture.volumes.items() if volume}


def check_stocks(plan: Plan, inventory: Inventory, key: str) -> None:
    """Look whether there is enough in the bottles.

    :raises NeedsOperatorError: when there is not; nothing was begun. Names the bottles.
    """
    empty = []
    for identity, needed in stocks_used(plan.mixture).items():
        left = inventory.get(identity).content["amount_mL"]
        if left < needed:
            empty.append((identity, f"{identity} holds {left:g} mL, but {needed:g} mL are needed"))
    if empty:
        refill = " and ".join(f"finales-lab refill {identity} ML" for identity, _ in empty)
        raise NeedsOperatorError(
            f"{'; '.join(text for _, text in empty)}. Nothing was dosed. Fill up ({refill}, with "
            f"--inventory {inventory.folder}), then settle key {key} as not-done: it may act"
        )


def vial_identity(key: str) -> str:
    """Return the identity of the vial that is filled for a key."""
    return f"vial-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Sample:
    """A mixture that the robot measures.

    :param key: of the call that dosed it.
    :param fractions: true mole fractions by InChIKey.
    """

    key: str
    fractions: dict[str, float]

    @property
    def identity(self) -> str:
        """What is written on it."""
        return f"sample-{hashlib.sha256(self.key.encode()).hexdigest()[:8]}"


def find_sample(plan: Plan, call: Call) -> Sample | None:
    """Return the sample of an earlier call that serves this one as well, or ``None``: then one must be dosed.

    It is one that the robot still has, that was dosed in the same way and measured at the same temperature, and that
    did not serve another request for the same quantity: who asks twice wants it done twice.
    """
    for kept in _read_rack(plan, call):
        used = kept["used_for"].get(plan.order.quantity)
        if kept["dosed"] == _dosing(plan) and used in (None, call.key):
            return Sample(kept["key"], kept["fractions"])
    return None


def use_sample(plan: Plan, call: Call, sample: Sample) -> None:
    """Note durably that a sample of an earlier call serves this one: no second request for its quantity gets it."""
    rack = _read_rack(plan, call)
    for kept in rack:
        if kept["key"] == sample.key:
            kept["used_for"][plan.order.quantity] = call.key
    _write_rack(call, rack)
    inventory = plan.settings.open_inventory()
    if inventory is not None:
        details = {"quantity": plan.order.quantity, "sample": sample.identity, "dosed_for": sample.key}
        inventory.record(call.key, "asab", "measure", **details)


def keep_sample(plan: Plan, call: Call, sample: Sample) -> None:
    """Keep a sample that was dosed for this call, for others who want something else of it."""
    own = {
        "key": sample.key,
        "time": time.time(),
        "dosed": _dosing(plan),
        "fractions": sample.fractions,
        "used_for": {plan.order.quantity: call.key},
    }
    others = [kept for kept in _read_rack(plan, call) if kept["key"] != sample.key]
    _write_rack(call, [*others[1 - RACK :], own])


def _dosing(plan: Plan) -> Json:
    """Return what two samples must have in common to be the same."""
    mixture = plan.mixture
    return {"volumes_mL": mixture.volumes, "fractions": mixture.fractions, "temperature": plan.temperature}


def _read_rack(plan: Plan, call: Call) -> list[Json]:
    """Return the samples that the robot still has, oldest first."""
    if plan.order.quantity == "electrolyte":
        return []  # a vial is for others to fetch
    try:
        rack: list[Json] = json.loads((call.folder / "samples.json").read_text(encoding="utf-8"))["samples"]
    except FileNotFoundError:
        return []
    return [kept for kept in rack if time.time() - kept["time"] <= plan.settings.keep_s]


def _write_rack(call: Call, rack: list[Json]) -> None:
    write_durably(call.folder / "samples.json", {"samples": rack})


def mix(plan: Plan, call: Call, fault: str | None) -> Sample:
    """Spend the volumes, the one thing that cannot be undone, and return what came of it."""
    volumes = dict(plan.mixture.volumes)
    if fault == "wrong_volume":
        first = next(name for name, volume in volumes.items() if volume)
        volumes[first] *= WRONG_VOLUME
    _note_dose(plan, call)
    fractions = _true_fractions(plan.order.offer.stocks, volumes)
    inventory = plan.settings.open_inventory()
    if inventory is not None:
        _take_from_bottles(plan, call, inventory, volumes, _make_vial(call.key, volumes, fractions, fault))
    return Sample(call.key, fractions)


def _note_dose(plan: Plan, call: Call) -> None:
    """Leave a line in the folder of the device, as a real robot would leave less in its bottles."""
    line = json.dumps({"time": timestamp(), "key": call.key, "pid": os.getpid(), "volumes_mL": plan.mixture.volumes})
    with (call.folder / "doses.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _true_fractions(stocks: tuple[StockSolution, ...], volumes: Mapping[str, float]) -> dict[str, float]:
    amounts = molarity_matrix(stocks) @ np.array([volumes[stock.name] for stock in stocks])
    shares = amounts / amounts.sum()
    return dict(zip(component_names(stocks), (float(share) for share in shares), strict=True))


def _make_vial(key: str, volumes: Mapping[str, float], fractions: dict[str, float], fault: str | None) -> Thing:
    amount = sum(volumes.values()) * (LEAKED if fault == "leaking_vial" else 1.0)
    return Thing(
        vial_identity(key),
        "vial",
        make_location("ASAB", "rack", vial_identity(key)),
        parents=tuple(stock_identity(name) for name, volume in volumes.items() if volume),
        content={"fractions": fractions, "amount_mL": round(amount, 9)},
    )


def _take_from_bottles(plan: Plan, call: Call, inventory: Inventory, volumes: Mapping[str, float], vial: Thing) -> None:
    used = {stock_identity(name): round(volume, 9) for name, volume in volumes.items() if volume}
    with inventory.transaction(call.key) as change:
        for identity, volume in used.items():
            change.take(identity, "amount_mL", volume, f"{volume:g} mL taken for {call.key}")
        is_kept = plan.order.quantity == "electrolyte"
        if is_kept:
            change.add(vial)
        change.record(call.key, "asab", "dose", volumes_mL=used, made=[vial.identity] if is_kept else [])


@dataclass(frozen=True)
class Settings(DeviceSettings):
    """How the simulated robot behaves.

    :param noise: relative standard deviation of conductivity and viscosity between two samples, 0.02 is the median
        between replicates in doi:10.1038/s41467-022-32938-1; of the density a tenth of it.
    :param spectrum_noise: relative standard deviation of each impedance value.
    :param delay_s: s between dosing and measuring.
    :param volume_mL: mL of electrolyte to prepare for a measurement; 4.2 would serve eight coin cells.
    :param resolution_mL: smallest dosing step, mL.
    :param keep_s: s for which a sample that was measured is kept for requests for something else of it.
    :param laboratory: path of the file that says what is in the bottles; without: as the inventory's folder says.
    """

    noise: float = 0.02
    spectrum_noise: float = 0.002
    delay_s: float = 0.0
    volume_mL: float = 4.2  # noqa: N815 - a name of the input file
    resolution_mL: float = 0.001  # noqa: N815
    keep_s: float = 3600.0
    laboratory: str | None = field(default=None, metadata={"check": check_path})

    def read_laboratory(self) -> Laboratory:
        """Return what is in the bottles.

        :raises DeviceInputError: when its file cannot be used.
        """
        return find_laboratory(self.inventory) if self.laboratory is None else read_laboratory(self.laboratory)


@dataclass(frozen=True)
class Order:
    """What to mix, and perhaps to measure.

    :param quantity: one of :data:`TARGETS`.
    :param fractions: mole fractions by InChIKey.
    :param temperature: K, of a measurement; ``None`` leaves it to the device.
    :param volume: mL to mix.
    :param offer: what the robot does for this quantity.
    """

    quantity: str
    fractions: dict[str, float]
    temperature: float | None
    volume: float
    settings: Settings
    offer: Offer


def read_order(payload: Json) -> Order:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    quantity = read_target(payload, TARGETS)
    read = _read_flow if quantity == "electrolyte" else _read_measurement
    fractions, temperature, volume = read(payload)
    settings = read_settings(Settings, payload.get("settings"), "asab")
    offer = settings.read_laboratory().offer(quantity)
    return Order(quantity, fractions, temperature, settings.volume_mL if volume is None else volume, settings, offer)


#: mole fractions; K and mL where they are given
_Wanted = tuple[dict[str, float], float | None, float | None]


def _read_measurement(payload: Json) -> _Wanted:
    parameters = read_object("parameters", payload.get("parameters"), "formulation and temperature")
    temperature = parameters.get("temperature")
    if temperature is not None:
        temperature = read_number("parameters.temperature", temperature, POSITIVE, math.inf, "a number above 0 (K)")
    return read_formulation("parameters.formulation", parameters.get("formulation")), temperature, None


def _read_flow(payload: Json) -> _Wanted:
    parameters = read_object("parameters", payload.get("parameters"), "electrolyte and volume")
    electrolyte = read_object("parameters.electrolyte", parameters.get("electrolyte"), "formulation")
    fractions = read_formulation("parameters.electrolyte.formulation", electrolyte.get("formulation"))
    volume = read_number("parameters.volume", parameters.get("volume"), POSITIVE, math.inf, "a number above 0 (mL)")
    return fractions, None, volume
