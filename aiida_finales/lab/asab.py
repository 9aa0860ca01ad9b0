"""The simulated ASAB robot: mixes an electrolyte from stock solutions and measures its impedance.

Its model is the Autonomous Synthesis and Analysis of Battery electrolytes setup of FINALES 2: four stock solutions, a
dosing step of 1 µL, a conductivity cell with two electrodes. Its truth is
:func:`aiida_finales.science.conductivity.benchmark_conductivity`. Every dose leaves a line in ``doses.jsonl`` in the
folder of the device, as a real robot would leave less in its bottles: that file is what tests count, not the journal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.exceptions import (
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
    InputError,
    LimitationError,
)
from aiida_finales.lab.driver import Call, run_driver
from aiida_finales.lab.journal import timestamp
from aiida_finales.lab.order import Order, read_order
from aiida_finales.lab.spectrum import FREQUENCIES, noise_generator, simulate_spectrum
from aiida_finales.schemas.chemicals import chemical_label, get_chemical
from aiida_finales.science.composition import EC, EMC, LIPF6, describe
from aiida_finales.science.conductivity import BENCHMARK_TEMPERATURE, benchmark_conductivity
from aiida_finales.science.formulation import ASAB_STOCKS, Mixture, reachable_region, solve_volumes
from aiida_finales.science.validity import limitation_boxes

Json = dict[str, Any]

#: Mole fractions the published tenant accepts (BIG-MAP/FINALES_ASAB_tenant).
BOX = {LIPF6: (0.0, 0.12), EC: (0.0, 0.54), EMC: (0.4, 1.0)}
#: K; the published robot works at 301.15 K only, the simulated one has a thermostat.
TEMPERATURE_RANGE = (283.15, 323.15)
#: 1/m
CELL_CONSTANT = 40.0
#: ohm, of leads and contacts, as a calibration would find it
CONTACT_RESISTANCE = 0.2
#: S/m; what impurities conduct where there is no salt
RESIDUAL_CONDUCTIVITY = 1e-6
#: Overshoot of the box that counts as inside (mole fraction).
EDGE = 1e-8


def asab_limitations() -> Json:
    """Return what the robot can do: the published boxes, and the hull of its stock solutions as linear constraints."""
    region = reachable_region(ASAB_STOCKS)
    return limitation_boxes(BOX) | {
        "temperature": [{"min": TEMPERATURE_RANGE[0], "max": TEMPERATURE_RANGE[1]}],
        "constraints": [
            {
                "path": "formulation",
                "coefficients": dict(zip(region.names, (float(value) for value in row), strict=True)),
                "max": float(bound),
            }
            for row, bound in zip(region.matrix, region.bound, strict=True)
        ],
    }


@dataclass(frozen=True)
class Plan:
    """What the robot is going to do.

    :param temperature: K.
    """

    order: Order
    mixture: Mixture
    temperature: float


class Asab:
    """The simulated robot."""

    name = "asab"

    def limitations(self) -> Json:
        """Return what the robot can do."""
        return asab_limitations()

    def prepare(self, payload: Json) -> Plan:
        """Find the volumes to dose.

        :raises DeviceInputError: when the input is not acceptable.
        :raises DeviceLimitationError: when temperature or composition are out of reach; names what is nearest.
        """
        order = read_order(payload, "conductivity", "two_electrode")
        temperature = BENCHMARK_TEMPERATURE if order.temperature is None else order.temperature
        low, high = TEMPERATURE_RANGE
        if not low <= temperature <= high:
            nearest = min(max(temperature, low), high)
            raise DeviceLimitationError(
                f"temperature is {temperature} K, but {self.name} accepts {low} to {high} K; nearest is {nearest} K"
            )
        try:
            mixture = solve_volumes(
                order.fractions, ASAB_STOCKS, order.settings.volume_mL, order.settings.resolution_mL
            )
        except LimitationError as error:
            raise DeviceLimitationError(_explain(order.fractions)) from error
        except InputError as error:
            raise DeviceInputError(str(error)) from error
        if any(not low - EDGE <= order.fractions.get(key, 0.0) <= high + EDGE for key, (low, high) in BOX.items()):
            raise DeviceLimitationError(_explain(order.fractions))
        return Plan(order, mixture, temperature)

    def describe(self, plan: Plan) -> str:
        """Return the volumes in words."""
        volumes = ", ".join(f"{volume:g} mL {name}" for name, volume in plan.mixture.volumes.items() if volume)
        return f"{describe(plan.mixture.fractions)} at {plan.temperature:g} K from {volumes}"

    def check(self, plan: Plan, call: Call) -> None:
        """Look whether the robot is able to act.

        :raises DeviceUnavailableError: when it is ordered to be away.
        :raises DeviceFaultError: when it is ordered to fail.
        """
        fault = _fault(plan, call)
        if fault == "device_unavailable":
            raise DeviceUnavailableError("the robot does not answer. Try again later")
        if fault == "device_fault":
            raise DeviceFaultError("the pump reports an error; nothing was dosed")

    def act(self, plan: Plan, call: Call) -> Json:
        """Dose, wait, measure; fails where it is ordered to."""
        fault = _fault(plan, call)
        started = timestamp()
        if fault == "die_before_dose":
            os._exit(1)
        _dose(plan, call)
        if fault == "die_after_dose":
            os._exit(1)
        if fault == "fault_after_dose":
            raise DeviceFaultError("the pump reports an error after it began to dose")
        while fault == "hang_after_dose":
            time.sleep(60)
        time.sleep(plan.order.settings.delay_s)
        return _measure(plan, call) | {"started": started, "ended": timestamp()}


def _explain(fractions: dict[str, float]) -> str:
    """Return why a composition is out of reach, and what is nearest."""
    foreign = [chemical_label(key) for key, value in fractions.items() if value and key not in BOX]
    if foreign:
        return f"no stock solution contains {', '.join(foreign)}"
    from aiida_finales.schemas.region import Region

    region = reachable_region(ASAB_STOCKS).intersect(Region.from_box(BOX))
    nearest = region.nearest(np.array([fractions.get(key, 0.0) for key in region.names]))
    accepted = ", ".join(f"{chemical_label(key)} {low:g} to {high:g}" for key, (low, high) in BOX.items())
    text = f"{describe(fractions)} is out of reach of the stock solutions within {accepted}"
    if nearest is None:
        return text
    # so many digits that the nearest composition, typed in again, is accepted
    return f"{text}; nearest is {describe(dict(zip(region.names, nearest.tolist(), strict=True)), 6)}"


def _fault(plan: Plan, call: Call) -> str | None:
    settings = plan.order.settings
    return settings.fault if call.attempt <= settings.fault_attempts else None


def _dose(plan: Plan, call: Call) -> None:
    """Spend the volumes: the one thing that cannot be undone."""
    line = json.dumps({"time": timestamp(), "key": call.key, "pid": os.getpid(), "volumes_mL": plan.mixture.volumes})
    with (call.folder / "doses.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _measure(plan: Plan, call: Call) -> Json:
    settings = plan.order.settings
    generator = noise_generator(call.key, settings.seed)
    truth = benchmark_conductivity(plan.mixture.fractions, plan.temperature)
    conductivity = max(truth * (1 + settings.noise * generator.standard_normal()), RESIDUAL_CONDUCTIVITY)
    impedance = simulate_spectrum(CONTACT_RESISTANCE + CELL_CONSTANT / conductivity, settings.spectrum_noise, generator)
    chemicals = [get_chemical(key) for key in plan.mixture.fractions]
    return {
        "device": Asab.name,
        "simulated": True,
        "key": call.key,
        "success": True,
        "quantity": "conductivity",
        "method": "two_electrode",
        "formulation": [
            {
                "chemical": {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey},
                "fraction": plan.mixture.fractions[chemical.inchikey],
                "fraction_type": "molPerMol",
            }
            for chemical in chemicals
        ],
        "formulation_deviation": plan.mixture.deviation,
        "volumes_mL": plan.mixture.volumes,
        "temperature": plan.temperature,
        "spectrum": {
            "frequency_Hz": FREQUENCIES.tolist(),
            "real_ohm": impedance.real.tolist(),
            "imaginary_ohm": impedance.imag.tolist(),
        },
        "cell_constant_per_m": CELL_CONSTANT,
        "contact_resistance_ohm": CONTACT_RESISTANCE,
        "chemicals_info": {
            chemical.inchikey: {"name": chemical.name, "molar_mass": chemical.molar_mass} for chemical in chemicals
        },
    }


def main() -> None:
    """Run ``finales-asab`` and exit with its status."""
    sys.exit(run_driver(Asab()))


if __name__ == "__main__":
    main()
