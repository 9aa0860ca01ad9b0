"""What the graph says of values."""

from __future__ import annotations

from types import SimpleNamespace

from aiida_finales.fair.graph.results import _values
from aiida_finales.fair.graph.terms import load_context

MEAN = {"mean": 2e-10, "standard_error": 1e-11, "n": 2}
BODY = {"meta": {"success": True, "rating": 3}, "temperature": 303.15}


def test_a_simulation_tells_each_species_and_pair_by_name():
    data = {
        "self_diffusion_coefficient": {
            **BODY,
            "values": [1e-10, 1.2e-10],
            "of": "Li",
            "by_species": {"Li": {"mean": 1.1e-10, "n": 2}, "EC": MEAN},
        },
        "coordination_number": {**BODY, "values": [5.0], "of": "Li", "by_partner": {"Li-O(EC)": {"mean": 1.5, "n": 1}}},
        "heat_capacity": {**BODY, "values": [2500.0], "values_uncertainty": [100.0]},
        "viscosity": {"values": [], "meta": {"success": False, "rating": 1}, "mean": 3.0, "reason": "too short"},
    }
    node = SimpleNamespace(iri="urn:uuid:1", fields={"data": data})
    found = {item["@id"]: item for item in _values(node, "ModelledProperty")}
    names = {iri: (item.get("name"), *item["@type"], item["hasMeasurementUnit"]) for iri, item in found.items()}
    diffusion, number = ("DiffusionCoefficient", "ModelledProperty"), ("CoordinationNumber", "ModelledProperty")
    assert names == {
        "urn:uuid:1#self_diffusion_coefficient": (
            "self_diffusion_coefficient of Li",
            *diffusion,
            "SquareMetrePerSecond",
        ),
        "urn:uuid:1#self_diffusion_coefficient-EC": (
            "self_diffusion_coefficient of EC",
            *diffusion,
            "SquareMetrePerSecond",
        ),
        "urn:uuid:1#coordination_number": ("coordination_number of Li", *number, "UnitOne"),
        "urn:uuid:1#coordination_number-Li-O%28EC%29": ("coordination_number of Li-O(EC)", *number, "UnitOne"),
        "urn:uuid:1#heat_capacity": (None, "SpecificHeatCapacity", "ModelledProperty", "JoulePerKilogramKelvin"),
    }
    assert {word for item in found.values() for word in (*item["@type"], item["hasMeasurementUnit"])} <= set(
        load_context()
    )
