"""The simulated ASAB robot: mixes an electrolyte from stock solutions, and measures it or fills a vial.

Its model is the Autonomous Synthesis and Analysis of Battery electrolytes setup of FINALES 2: stock solutions, a dosing
step of 1 µL, a conductivity cell with two electrodes, a densimeter with a vibrating tube and a rolling ball viscometer
behind it. Its truth are :func:`aiida_finales.science.electrolyte.conductivity.benchmark_conductivity`,
:func:`~aiida_finales.science.electrolyte.density.benchmark_density` and
:func:`~aiida_finales.science.electrolyte.viscosity.benchmark_viscosity`. Every dose leaves a line in ``doses.jsonl`` in
the folder of the device, as a real robot would leave less in its bottles: that file is what tests count, not the
journal. With an inventory, the bottles are real things that become empty, and vials are things that others can fetch.

One mixing serves several measurements: who asks for the viscosity of what was mixed for a density gets it of the same
sample, in which nothing is dosed again. The density's answer has that viscosity as well.
"""

from __future__ import annotations

import hashlib
import math
import time
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.reading import make_location
from aiida_finales.lab.simulated.device import SimulatedDevice, run_and_exit
from aiida_finales.lab.simulated.laboratory import (
    TARGETS,
    TRUTHS,
    VOLUME_RANGE,
    default_laboratory,
)
from aiida_finales.lab.simulated.mixing import (
    Plan,
    Sample,
    check_stocks,
    find_sample,
    keep_sample,
    mix,
    plan_mixture,
    read_order,
    stocks_used,
    use_sample,
    vial_identity,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.composition import describe
from aiida_finales.science.electrolyte.conductivity import BENCHMARK_TEMPERATURE
from aiida_finales.science.electrolyte.density import rate_density
from aiida_finales.science.electrolyte.impedance import circuit_impedance
from aiida_finales.science.electrolyte.viscosity import rate_viscosity

#: Hz, ten per decade from 500 kHz down to 50 Hz
FREQUENCIES = np.geomspace(5e5, 50.0, 41)
#: of the electrodes (S s^n, exponent) and of the leads (H)
ELECTRODE_Q, ELECTRODE_N, LEAD_INDUCTANCE = 2e-5, 0.92, 4e-7

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


#: What is measured of a sample that was mixed for a quantity: the viscometer is behind the densimeter.
MEASURED = {"density": ("density", "viscosity"), "viscosity": ("viscosity",)}
#: Measurements of each, as the published robot takes.
N_REPETITIONS = 3
#: Of the noise between two samples: what a densimeter has of it, and how far repetitions with one sample differ.
DENSITY_SHARE, REPETITION_SHARE = 0.1, 0.1
#: What a measurement says of itself, in the words of the published robot.
VALID, DOUBTFUL = "valid", "FW/BW dev. too high"
#: What is known of each surface: how far it can be trusted, by mole fractions and K.
_TRUST = {"density": rate_density, "viscosity": rate_viscosity}


class Asab(SimulatedDevice):
    """The simulated robot."""

    name = "asab"
    address = "ASAB"

    def limitations(self) -> Json:
        """Return of what the robot can measure the conductivity."""
        return default_laboratory().offer("conductivity").limitations("conductivity")

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
            return Plan(order, plan_mixture(order), BENCHMARK_TEMPERATURE)
        temperature = BENCHMARK_TEMPERATURE if order.temperature is None else order.temperature
        _check_range("temperature", temperature, order.offer.temperature, "K")
        return Plan(order, plan_mixture(order), temperature)

    def describe(self, plan: Plan) -> str:
        """Return the volumes in words."""
        volumes = ", ".join(f"{volume:g} mL {name}" for name, volume in plan.mixture.volumes.items() if volume)
        where = "in a vial" if plan.order.quantity == "electrolyte" else f"at {plan.temperature:g} K"
        return f"{describe(plan.mixture.fractions)} {where} from {volumes}"

    def look(self, plan: Plan, call: Call) -> None:
        """Look into the bottles, where something must be taken from them.

        :raises NeedsOperatorError: when one must be filled up.
        """
        inventory = plan.settings.open_inventory()
        if inventory is not None and find_sample(plan, call) is None:
            check_stocks(plan, inventory, call.key)

    def perform(self, plan: Plan, call: Call, fault: str | None) -> Sample:
        """Dose, or take the sample of an earlier call that is the same."""
        sample = find_sample(plan, call)
        if sample is None:
            return mix(plan, call, fault)
        use_sample(plan, call, sample)
        return sample

    def report(self, plan: Plan, call: Call, fault: str | None, done: Sample) -> Json:
        """Measure, or say where the vial is."""
        quantity, is_bad = plan.order.quantity, fault == "bad_result"
        doubts = {"reason": "the robot doubts what it did (simulated)"} if is_bad else {}
        result: Json = {"success": not is_bad, **doubts}
        result |= {"quantity": quantity, "method": TARGETS[quantity]} | _mixture(plan)
        if quantity == "electrolyte":
            plan.settings.clock.sleep(MIXING_TIME)
            return result | _vial(plan, call, is_bad)
        time.sleep(plan.settings.delay_s)
        measure = _measure_impedance if quantity == "conductivity" else _measure_flow
        information = {"name": done.identity, "uuid": done.identity, "batch": done.key}
        told = {"temperature": plan.temperature, "formulation_info": information, "dosed_for": done.key}
        result |= told | measure(plan, fault, done)
        if done.key == call.key and not is_bad:
            keep_sample(plan, call, done)
        return result


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


def _measure_impedance(plan: Plan, fault: str | None, sample: Sample) -> Json:
    settings = plan.settings
    generator = noise_generator(sample.key, settings.seed)
    exact = TRUTHS["conductivity"](sample.fractions, plan.temperature)
    conductivity = max(exact * (1 + settings.noise * generator.standard_normal()), RESIDUAL_CONDUCTIVITY)
    impedance = simulate_spectrum(CONTACT_RESISTANCE + CELL_CONSTANT / conductivity, settings.spectrum_noise, generator)
    if fault == "sensor_out_of_range":
        real, imaginary = GARBAGE * generator.standard_normal((2, len(FREQUENCIES)))
        impedance = real + 1j * imaginary
    return {
        "spectrum": {
            "frequency_Hz": FREQUENCIES.tolist(),
            "real_ohm": impedance.real.tolist(),
            "imaginary_ohm": impedance.imag.tolist(),
        },
        "cell_constant_per_m": CELL_CONSTANT,
        "contact_resistance_ohm": CONTACT_RESISTANCE,
    }


def _measure_flow(plan: Plan, fault: str | None, sample: Sample) -> Json:
    """Return what densimeter and viscometer say; of one sample they say the same to whoever asks."""
    return {quantity: _repeat(quantity, plan, fault, sample) for quantity in MEASURED[plan.order.quantity]}


def _repeat(quantity: str, plan: Plan, fault: str | None, sample: Sample) -> Json:
    """Return the repetitions, g/cm3 or mPa s, what each says of itself, and how far the truth behind can be trusted."""
    noise = plan.settings.noise * (DENSITY_SHARE if quantity == "density" else 1.0)
    generator = noise_generator(f"{sample.key}/{quantity}", plan.settings.seed)
    common, *single = generator.standard_normal(1 + N_REPETITIONS)
    # a factor exp(noise) is 1 + noise where noise is small, and positive where somebody sets a large one
    values = [
        TRUTHS[quantity](sample.fractions, plan.temperature) * math.exp(noise * (common + REPETITION_SHARE * each))
        for each in single
    ]
    status = VALID
    if fault == "sensor_out_of_range":
        values, status = np.abs(generator.standard_normal(N_REPETITIONS)).tolist(), DOUBTFUL
    trust = _TRUST[quantity](sample.fractions, plan.temperature)
    told = {"reproducibility": noise, "trust": trust.rating, "remark": trust.reason}
    return {"values": values, "status": [status] * N_REPETITIONS, **told}


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


def main() -> None:
    """Run ``finales-asab`` and exit with its status."""
    run_and_exit(Asab())


if __name__ == "__main__":
    main()
