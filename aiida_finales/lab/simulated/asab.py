"""The simulated ASAB robot: mixes an electrolyte from stock solutions, and measures its impedance or fills a vial.

Its model is the Autonomous Synthesis and Analysis of Battery electrolytes setup of FINALES 2: four stock solutions, a
dosing step of 1 µL, a conductivity cell with two electrodes. Its truth is
:func:`aiida_finales.science.electrolyte.conductivity.benchmark_conductivity`. Every dose leaves a line in
``doses.jsonl`` in the folder of the device, as a real robot would leave less in its bottles: that file is what tests
count, not the journal. With an inventory, the bottles are real things that become empty, and vials are things that
others can fetch.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.reading import make_location
from aiida_finales.lab.simulated.device import SimulatedDevice, run_and_exit
from aiida_finales.lab.simulated.mixing import (
    TARGETS,
    Plan,
    check_stocks,
    mix,
    mixing_limitations,
    plan_mixture,
    read_order,
    stocks_used,
    vial_identity,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6, describe
from aiida_finales.science.electrolyte.conductivity import BENCHMARK_TEMPERATURE, benchmark_conductivity
from aiida_finales.science.electrolyte.impedance import circuit_impedance

#: Hz, ten per decade from 500 kHz down to 50 Hz
FREQUENCIES = np.geomspace(5e5, 50.0, 41)
#: of the electrodes (S s^n, exponent) and of the leads (H)
ELECTRODE_Q, ELECTRODE_N, LEAD_INDUCTANCE = 2e-5, 0.92, 4e-7


#: Mole fractions the published tenant accepts for a measurement (BIG-MAP/FINALES_ASAB_tenant) ...
BOX = {LIPF6: (0.0, 0.12), EC: (0.0, 0.54), EMC: (0.4, 1.0)}
#: ... and for a vial (BIG-MAP/FINALES2_schemas, limitations of electrolyte/flow).
FLOW_BOX = {LIPF6: (0.0, 0.153), EC: (0.0, 0.542), EMC: (0.4, 1.0)}
#: mL; what a vial holds, and what the pumps can still dose well
VOLUME_RANGE = (0.5, 20.0)
#: K; the published robot works at 301.15 K only, the simulated one has a thermostat.
TEMPERATURE_RANGE = (283.15, 323.15)
#: 1/m
CELL_CONSTANT = 40.0
#: ohm, of leads and contacts, as a calibration would find it
CONTACT_RESISTANCE = 0.2
#: S/m; what impurities conduct where there is no salt
RESIDUAL_CONDUCTIVITY = 1e-6
#: Where the impedance of a broken sensor lies, ohm.
GARBAGE = 1e9
#: s of the laboratory to fill a vial
MIXING_TIME = 300.0
#: Distance from the composition that was asked for (mole fraction) up to which a vial deserves the best rating.
WELL_MIXED = 1e-3


def asab_limitations() -> Json:
    """Return what the robot can measure: the published boxes, and the hull of its stock solutions."""
    return mixing_limitations(BOX) | {"temperature": [{"min": TEMPERATURE_RANGE[0], "max": TEMPERATURE_RANGE[1]}]}


def flow_limitations() -> Json:
    """Return what the robot can fill into a vial."""
    limits = mixing_limitations(FLOW_BOX)
    return {
        "electrolyte": {"formulation": limits["formulation"]},
        "volume": [{"min": VOLUME_RANGE[0], "max": VOLUME_RANGE[1]}],
        "constraints": limits["constraints"],
    }


class Asab(SimulatedDevice):
    """The simulated robot."""

    name = "asab"

    def limitations(self) -> Json:
        """Return what the robot can measure."""
        return asab_limitations()

    def prepare(self, payload: Json) -> Plan:
        """Find the volumes to dose.

        :raises DeviceInputError: when the input is not acceptable.
        :raises DeviceLimitationError: when temperature, volume or composition are out of reach; names what is nearest.
        """
        order = read_order(payload)
        if order.quantity == "electrolyte":
            _check_range("volume", order.volume, VOLUME_RANGE, "mL")
            if order.settings.inventory is None:
                raise DeviceInputError(
                    "settings.inventory: nothing was given, but a vial must be somewhere: set it to the folder of the "
                    "simulated laboratory (made by finales-lab init)"
                )
            return Plan(order, plan_mixture(order, FLOW_BOX), BENCHMARK_TEMPERATURE)
        temperature = BENCHMARK_TEMPERATURE if order.temperature is None else order.temperature
        _check_range("temperature", temperature, TEMPERATURE_RANGE, "K")
        return Plan(order, plan_mixture(order, BOX), temperature)

    def describe(self, plan: Plan) -> str:
        """Return the volumes in words."""
        volumes = ", ".join(f"{volume:g} mL {name}" for name, volume in plan.mixture.volumes.items() if volume)
        where = f"at {plan.temperature:g} K" if plan.order.quantity == "conductivity" else "in a vial"
        return f"{describe(plan.mixture.fractions)} {where} from {volumes}"

    def look(self, plan: Plan, call: Call) -> None:
        """Look into the bottles.

        :raises NeedsOperatorError: when one must be filled up.
        """
        inventory = plan.settings.open_inventory()
        if inventory is not None:
            check_stocks(plan, inventory, call.key)

    def perform(self, plan: Plan, call: Call, fault: str | None) -> dict[str, float]:
        """Dose; return the true mole fractions."""
        return mix(plan, call, fault)

    def report(self, plan: Plan, call: Call, fault: str | None, done: dict[str, float]) -> Json:
        """Measure, or say where the vial is."""
        is_bad = fault == "bad_result"
        result = {"success": not is_bad} | ({"reason": "the robot doubts what it did (simulated)"} if is_bad else {})
        result |= {"quantity": plan.order.quantity, "method": TARGETS[plan.order.quantity]} | _mixture(plan)
        if plan.order.quantity == "electrolyte":
            plan.settings.clock.sleep(MIXING_TIME)
            return result | _vial(plan, call, is_bad)
        time.sleep(plan.settings.delay_s)
        return result | _measure(plan, call, fault, done)


def _check_range(name: str, value: float, limits: tuple[float, float], unit: str) -> None:
    low, high = limits
    if not low <= value <= high:
        nearest = min(max(value, low), high)
        raise DeviceLimitationError(
            f"{name} is {value} {unit}, but {Asab.name} accepts {low} to {high} {unit}; nearest is {nearest} {unit}"
        )


def _mixture(plan: Plan) -> Json:
    """Return the mixture as the robot believes it to be."""
    chemicals = [get_chemical(key) for key in plan.mixture.fractions]
    return {
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
        "parents": list(stocks_used(plan.mixture)) if plan.settings.inventory is not None else [],
        "chemicals_info": {
            chemical.inchikey: {"name": chemical.name, "molar_mass": chemical.molar_mass} for chemical in chemicals
        },
    }


def _vial(plan: Plan, call: Call, is_bad: bool) -> Json:
    identity = vial_identity(call.key)
    location = make_location("ASAB", "rack", identity)
    trusted = 5 if plan.mixture.deviation <= WELL_MIXED else 3
    return {
        "sample": identity,
        "volume": round(sum(plan.mixture.volumes.values()), 9),
        "location": location,
        "meta": {"success": not is_bad, "rating": 1 if is_bad else trusted},
        "formulation_info": {
            "name": identity,
            "uuid": identity,
            "preparation_date": datetime.now(UTC).date().isoformat(),
            "batch": call.key,
            "location": location,
        },
    }


def _measure(plan: Plan, call: Call, fault: str | None, truth: dict[str, float]) -> Json:
    settings = plan.settings
    generator = noise_generator(call.key, settings.seed)
    exact = benchmark_conductivity(truth, plan.temperature)
    conductivity = max(exact * (1 + settings.noise * generator.standard_normal()), RESIDUAL_CONDUCTIVITY)
    impedance = simulate_spectrum(CONTACT_RESISTANCE + CELL_CONSTANT / conductivity, settings.spectrum_noise, generator)
    if fault == "sensor_out_of_range":
        real, imaginary = GARBAGE * generator.standard_normal((2, len(FREQUENCIES)))
        impedance = real + 1j * imaginary
    return {
        "temperature": plan.temperature,
        "spectrum": {
            "frequency_Hz": FREQUENCIES.tolist(),
            "real_ohm": impedance.real.tolist(),
            "imaginary_ohm": impedance.imag.tolist(),
        },
        "cell_constant_per_m": CELL_CONSTANT,
        "contact_resistance_ohm": CONTACT_RESISTANCE,
    }


def main() -> None:
    """Run ``finales-asab`` and exit with its status."""
    run_and_exit(Asab())


def noise_generator(key: str, seed: int) -> np.random.Generator:
    """Return the noise of an act: the same key and seed give the same numbers on any machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{key}/{seed}".encode()).digest()[:16], "big"))


def simulate_spectrum(resistance: float, noise: float, generator: np.random.Generator) -> npt.NDArray[np.complex128]:
    """Return the impedance in ohm at :data:`FREQUENCIES`.

    :param resistance: of electrolyte and contacts together, ohm.
    :param noise: standard deviation of the real and of the imaginary part, relative to the modulus.
    """
    exact = circuit_impedance(FREQUENCIES, resistance, ELECTRODE_Q, ELECTRODE_N, LEAD_INDUCTANCE)
    real, imaginary = generator.standard_normal((2, len(FREQUENCIES)))
    return np.asarray(exact + noise * np.abs(exact) * (real + 1j * imaginary))


if __name__ == "__main__":
    main()
