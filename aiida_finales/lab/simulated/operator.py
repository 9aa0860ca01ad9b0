"""The simulated person who carries vials and cells from one device to another, during working hours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiida_finales.exceptions import DeviceLimitationError, DeviceUnavailableError
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.reading import (
    Location,
    bad_input,
    describe_location,
    read_location,
    read_number,
    read_object,
    read_target,
)
from aiida_finales.lab.simulated.device import SimulatedDevice, run_and_exit
from aiida_finales.lab.simulated.inventory import Inventory, Thing, Transaction
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.schemas import Json

TARGETS = {"transport": "transport_service"}
#: What is carried where no samples are named: bottles and boxes stay where they are.
PORTABLE = ("vial", "cell")
#: s of the laboratory to carry something
WALKING_TIME = 300.0
#: Share of its content that a leaking vial keeps on the way.
LEAKED = 0.5


def _check_hours(path: str, value: Any, _device: str) -> None:
    if value is None:
        return
    accepted = "two hours of the day (UTC), as [8, 18], or null"
    if not isinstance(value, list) or len(value) != len(("from", "to")):
        raise bad_input(path, value, accepted)
    for hour in value:
        read_number(path, hour, 0.0, 24.0, accepted)


@dataclass(frozen=True)
class OperatorSettings(DeviceSettings):
    """How the simulated person behaves.

    :param hours: hours of the day, UTC, between which somebody is there (past midnight where the second is smaller);
        nothing: always.
    """

    hours: list[float] | None = field(default=None, metadata={"check": _check_hours})


@dataclass(frozen=True)
class Errand:
    """What to carry.

    :param samples: identities; ``None``: all vials and cells at the origin.
    """

    origin: Location
    destination: Location
    samples: tuple[str, ...] | None
    settings: OperatorSettings


class Operator(SimulatedDevice):
    """The simulated person."""

    name = "operator"

    def limitations(self) -> Json:
        """Return what a person can do: everything."""
        return {}

    def prepare(self, payload: Json) -> Errand:
        """Read the errand.

        :raises DeviceInputError: when the input is not acceptable.
        """
        read_target(payload, TARGETS)
        parameters = read_object("parameters", payload.get("parameters"), "origin and destination")
        origin, destination = (_read_stop(parameters, name) for name in ("origin", "destination"))
        samples = parameters.get("samples")
        if samples is not None and not (samples and isinstance(samples, list) and all(map(_is_name, samples))):
            raise bad_input("parameters.samples", samples, "a list of identities, or nothing")
        settings = read_settings(OperatorSettings, payload.get("settings"), self.name)
        if settings.inventory is None:
            raise bad_input("settings.inventory", None, "the folder of the simulated laboratory (finales-lab init)")
        return Errand(origin, destination, None if samples is None else tuple(samples), settings)

    def describe(self, plan: Errand) -> str:
        """Return the errand in words."""
        what = "everything" if plan.samples is None else ", ".join(plan.samples)
        return f"{what} from {describe_location(plan.origin)} to {describe_location(plan.destination)}"

    def look(self, plan: Errand, call: Call) -> None:
        """Look whether somebody is there, and what is to be carried.

        :raises DeviceUnavailableError: when nobody is there.
        :raises DeviceInputError: when a sample does not exist.
        :raises DeviceLimitationError: when there is nothing at the origin, or a sample is elsewhere.
        """
        _check_presence(plan.settings.hours, datetime.now(UTC))
        _find_samples(plan, _inventory(plan))

    def perform(self, plan: Errand, call: Call, fault: str | None) -> list[str]:
        """Carry the samples; return their identities."""
        where = describe_location(plan.destination)
        with _inventory(plan).transaction(call.key) as change:
            things = _find_samples(plan, change)
            for thing in things:
                change.move(thing.identity, plan.destination, f"carried to {where} for {call.key}")
                if fault == "leaking_vial" and thing.kind == "vial":
                    amount = round(thing.content["amount_mL"] * LEAKED, 9)
                    change.update(thing.identity, "leaked on the way", amount_mL=amount)
            names = [thing.identity for thing in things]
            change.record(call.key, self.name, "carry", samples=names, to=plan.destination)
        return names

    def report(self, plan: Errand, call: Call, fault: str | None, done: list[str]) -> Json:
        """Say where the samples are now."""
        plan.settings.clock.sleep(WALKING_TIME)
        return {
            "success": True,
            "quantity": "transport",
            "method": TARGETS["transport"],
            "actual_new_location": plan.destination,
            "executant": "simulated operator",
            "samples": done,
        }


def _read_stop(parameters: Json, name: str) -> Location:
    place = read_location(f"parameters.{name}", parameters.get(name))
    if not place["address"]:
        raise bad_input(f"parameters.{name}.address", "", "the name of a device or a site")
    return place


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _inventory(plan: Errand) -> Inventory:
    return Inventory(str(plan.settings.inventory))


def _check_presence(hours: list[float] | None, now: datetime) -> None:
    if hours is None:
        return
    begin, end = hours
    hour = now.hour + now.minute / 60
    is_there = begin <= hour < end if begin <= end else hour >= begin or hour < end
    if not is_there:
        raise DeviceUnavailableError(f"nobody is there from {end:g} to {begin:g} h UTC. Try again later")


def _find_samples(plan: Errand, inventory: Inventory | Transaction) -> list[Thing]:
    """Return what is to be carried."""
    if plan.samples is None:
        things = [
            thing
            for kind in PORTABLE
            for thing in inventory.find(kind, plan.origin["address"])
            if _is_at(thing, plan.origin)
        ]
        if not things:
            raise DeviceLimitationError(f"there is neither vial nor cell at {describe_location(plan.origin)}")
        return things
    things = [inventory.get(identity) for identity in plan.samples]
    for thing in things:
        if thing.kind not in PORTABLE:
            raise DeviceLimitationError(f"{thing.identity} is a {thing.kind}; carried are {' and '.join(PORTABLE)}s")
        if not _is_at(thing, plan.origin):
            raise DeviceLimitationError(
                f"{thing.identity} is at {describe_location(thing.location)}, not at {describe_location(plan.origin)}"
            )
    return things


def _is_at(thing: Thing, place: Location) -> bool:
    """Return whether a thing is at a place; what the place leaves open does not matter."""
    return all(part is None or thing.location[name] == part for name, part in place.items())


def main() -> None:
    """Run ``finales-operator`` and exit with its status."""
    run_and_exit(Operator())


if __name__ == "__main__":
    main()
