"""From what a driver wrote to the published form of a result: the same inside of the platform and outside of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_finales.schemas import Json
from aiida_finales.science.electrolyte.impedance import conductivity_from_resistance, fit_resistance

#: g/mol, of tabulated molar masses
MOLAR_MASS_UNCERTAINTY = 0.001


@dataclass(frozen=True)
class Evaluated:
    """What came of a driver's output.

    :param data: in the published form of the capability.
    :param parameters: those really used.
    """

    data: Json
    parameters: Json


def read_spectrum(raw: Json) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency (Hz) and complex impedance (ohm) of a measured spectrum, both of shape ``(n,)``.

    :raises KeyError: when it lacks a column.
    :raises ValueError: when the columns are not of one length, or no numbers.
    """
    return np.asarray(raw["frequency_Hz"]), np.asarray(raw["real_ohm"]) + 1j * np.asarray(raw["imaginary_ohm"])


def evaluate_spectrum(output: Json) -> Evaluated:
    """Return the conductivity, cell constant / (resistance - contacts) in S/m, rated by how well it is fitted.

    :raises FitError: when no resistance can be read from the spectrum.
    :raises KeyError: when the output lacks something.
    :raises ValueError: when the spectrum is none.
    """
    fit = fit_resistance(*read_spectrum(output["spectrum"]))
    contact, constant = output["contact_resistance_ohm"], output["cell_constant_per_m"]
    value = conductivity_from_resistance(fit.resistance, constant, contact)
    meta = {"success": bool(output.get("success", True)), "rating": fit.rating}
    data = {
        "run_info": describe_run(output),
        "conductivity": {"values": [value], "temperature": output["temperature"], "meta": meta},
        "impedance": {
            "resistance_ohm": fit.resistance,
            "relative_error": fit.relative_error,
            "contact_resistance_ohm": contact,
            "cell_constant_per_m": constant,
        },
        **_describe_mixing(output),
    }
    return Evaluated(data, {"formulation": output["formulation"], "temperature": output["temperature"]})


def evaluate_mixture(output: Json) -> Evaluated:
    """Return the electrolyte as the robot believes it to be, and where the vial with it stands; volumes in mL.

    :raises KeyError: when the output lacks something.
    """
    data = {
        "run_info": {**describe_run(output), "formulation_info": output["formulation_info"]},
        "electrolyte": {name: output[name] for name in ("formulation", "volume", "location", "meta")},
        "reason": output.get("reason"),
        **_describe_mixing(output),
    }
    return Evaluated(data, {"electrolyte": {"formulation": output["formulation"]}, "volume": output["volume"]})


def describe_run(output: Json) -> Json:
    """Return the published description of a run; the molar mass of a chemical has an uncertainty (g/mol).

    :raises KeyError: when the output lacks formulation or key.
    """
    chemicals = {
        inchikey: {"name": info["name"], "molar_mass": [info["molar_mass"], MOLAR_MASS_UNCERTAINTY]}
        for inchikey, info in output.get("chemicals_info", {}).items()
    }
    formulation = output["formulation"]
    return {"formulation": formulation, "internal_reference": output["key"], "chemicals_info": chemicals}


def _describe_mixing(output: Json) -> Json:
    return {"volumes_mL": output.get("volumes_mL", {}), "made_of": sorted(output.get("parents", []))}
