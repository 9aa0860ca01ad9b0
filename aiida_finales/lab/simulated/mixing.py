"""How the simulated robot makes a mixture: what it is asked, plans to dose, takes from bottles, and has in the vial."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiida_finales.exceptions import (
    DeviceInputError,
    DeviceLimitationError,
    InputError,
    LimitationError,
    NeedsOperatorError,
)
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.reading import (
    POSITIVE,
    make_location,
    read_formulation,
    read_number,
    read_object,
    read_target,
)
from aiida_finales.lab.simulated.faults import faults_of
from aiida_finales.lab.simulated.inventory import Inventory, Thing, stock_identity
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.schemas.moment import timestamp
from aiida_finales.science.electrolyte.composition import describe
from aiida_finales.science.electrolyte.formulation import (
    ASAB_STOCKS,
    Mixture,
    component_names,
    molarity_matrix,
    reachable_region,
    solve_volumes,
)
from aiida_finales.science.electrolyte.validity import limitation_boxes

#: The method of each quantity.
TARGETS = {"conductivity": "two_electrode", "electrolyte": "flow"}

#: What can go wrong with the robot.
FAULTS = tuple(faults_of("asab"))


Box = dict[str, tuple[float, float]]

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


def mixing_limitations(box: Box) -> Json:
    """Return what can be mixed: boxes, and the hull of the stock solutions as linear constraints."""
    region = reachable_region(ASAB_STOCKS)
    return limitation_boxes(box) | {
        "constraints": [
            {
                "path": "formulation",
                "coefficients": dict(zip(region.names, (float(value) for value in row), strict=True)),
                "max": float(bound),
            }
            for row, bound in zip(region.matrix, region.bound, strict=True)
        ],
    }


def plan_mixture(order: Order, box: Box) -> Mixture:
    """Return the volumes to dose.

    :raises DeviceInputError: when they make no sense.
    :raises DeviceLimitationError: when the composition is out of reach; names what is nearest.
    """
    try:
        mixture = solve_volumes(order.fractions, ASAB_STOCKS, order.volume, order.settings.resolution_mL)
    except LimitationError as error:
        raise DeviceLimitationError(_explain(order.fractions, box)) from error
    except InputError as error:
        raise DeviceInputError(str(error)) from error
    if any(not low - EDGE <= order.fractions.get(key, 0.0) <= high + EDGE for key, (low, high) in box.items()):
        raise DeviceLimitationError(_explain(order.fractions, box))
    return mixture


def _explain(fractions: dict[str, float], box: Box) -> str:
    """Return why a composition is out of reach, and what is nearest."""
    foreign = [chemical_label(key) for key, value in fractions.items() if value and key not in box]
    if foreign:
        return f"no stock solution contains {', '.join(foreign)}"
    from aiida_finales.schemas.limitations.region import Region

    region = reachable_region(ASAB_STOCKS).intersect(Region.from_box(box))
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


def mix(plan: Plan, call: Call, fault: str | None) -> dict[str, float]:
    """Spend the volumes, the one thing that cannot be undone, and return the true mole fractions."""
    volumes = dict(plan.mixture.volumes)
    if fault == "wrong_volume":
        first = next(name for name, volume in volumes.items() if volume)
        volumes[first] *= WRONG_VOLUME
    _note_dose(plan, call)
    fractions = _true_fractions(volumes)
    inventory = plan.settings.open_inventory()
    if inventory is not None:
        _take_from_bottles(plan, call, inventory, volumes, _make_vial(call.key, volumes, fractions, fault))
    return fractions


def _note_dose(plan: Plan, call: Call) -> None:
    """Leave a line in the folder of the device, as a real robot would leave less in its bottles."""
    line = json.dumps({"time": timestamp(), "key": call.key, "pid": os.getpid(), "volumes_mL": plan.mixture.volumes})
    with (call.folder / "doses.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _true_fractions(volumes: Mapping[str, float]) -> dict[str, float]:
    amounts = molarity_matrix(ASAB_STOCKS) @ np.array([volumes[stock.name] for stock in ASAB_STOCKS])
    shares = amounts / amounts.sum()
    return dict(zip(component_names(ASAB_STOCKS), (float(share) for share in shares), strict=True))


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

    :param noise: relative standard deviation of the conductivity between two samples; 0.02 is the median between
        replicates in doi:10.1038/s41467-022-32938-1.
    :param spectrum_noise: relative standard deviation of each impedance value.
    :param delay_s: s between dosing and measuring.
    :param volume_mL: mL of electrolyte to prepare for a measurement; 4.2 would serve eight coin cells.
    :param resolution_mL: smallest dosing step, mL.
    """

    noise: float = 0.02
    spectrum_noise: float = 0.002
    delay_s: float = 0.0
    volume_mL: float = 4.2  # noqa: N815 - a name of the input file
    resolution_mL: float = 0.001  # noqa: N815


@dataclass(frozen=True)
class Order:
    """What to mix, and perhaps to measure.

    :param quantity: one of :data:`TARGETS`.
    :param fractions: mole fractions by InChIKey.
    :param temperature: K, of a measurement; ``None`` leaves it to the device.
    :param volume: mL to mix.
    """

    quantity: str
    fractions: dict[str, float]
    temperature: float | None
    volume: float
    settings: Settings


def read_order(payload: Json) -> Order:
    """Return the order in an input file.

    :raises DeviceInputError: naming the place, what was given and what is accepted.
    """
    quantity = read_target(payload, TARGETS)
    if quantity == "electrolyte":
        return _read_flow(payload)
    parameters = read_object("parameters", payload.get("parameters"), "formulation and temperature")
    temperature = parameters.get("temperature")
    if temperature is not None:
        temperature = read_number("parameters.temperature", temperature, POSITIVE, math.inf, "a number above 0 (K)")
    fractions = read_formulation("parameters.formulation", parameters.get("formulation"))
    settings = read_settings(Settings, payload.get("settings"), "asab")
    return Order(quantity, fractions, temperature, settings.volume_mL, settings)


def _read_flow(payload: Json) -> Order:
    parameters = read_object("parameters", payload.get("parameters"), "electrolyte and volume")
    electrolyte = read_object("parameters.electrolyte", parameters.get("electrolyte"), "formulation")
    fractions = read_formulation("parameters.electrolyte.formulation", electrolyte.get("formulation"))
    volume = read_number("parameters.volume", parameters.get("volume"), POSITIVE, math.inf, "a number above 0 (mL)")
    return Order("electrolyte", fractions, None, volume, read_settings(Settings, payload.get("settings"), "asab"))
