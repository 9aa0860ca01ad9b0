"""What a result says of itself."""

from __future__ import annotations

from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData
from aiida_finales.fair.graph.records import NodeRecord
from aiida_finales.fair.graph.results import _values
from aiida_finales.schemas.formulation import make_formulation


def test_an_implausible_quantity_beside_leaves_the_own_valid(registered):
    formulation = make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})
    body = {"temperature": 298.15, "meta": {"success": True, "rating": 4}}
    run = {"formulation": formulation, "internal_reference": "run 7"}
    data = {"run_info": run, "density": {**body, "values": [1.19]}, "conductivity": {**body, "values": [9.6]}}
    asked = {"formulation": formulation, "temperature": 298.15}

    def make(quantity):
        return ResultData(find_capability(quantity, "molecular_dynamics"), data, asked).base.attributes

    density, conductivity = make("density"), make("conductivity")
    assert (density.get("valid"), density.get("implausible")) == (True, [])
    assert density.get("implausible_beside") == ["conductivity.values[0]"]
    assert (conductivity.get("valid"), conductivity.get("implausible")) == (False, ["conductivity.values[0]"])
    told = list(_values(NodeRecord("result", "7", "", dict(density.all), {}, ""), "ModelledProperty"))
    assert [item["@type"][0] for item in told] == ["Density"]
