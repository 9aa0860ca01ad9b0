"""What a result says of itself."""

from __future__ import annotations

import pytest

from aiida_finales.data.capability import find_capability
from aiida_finales.data.result import ResultData, read_facts, read_number
from aiida_finales.fair.graph.records import NodeRecord
from aiida_finales.fair.graph.results import _values
from aiida_finales.operations.origin.story import _result_part
from aiida_finales.operations.origin.words import _tell_result
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


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("value", "temperature", "is_told"), [(0.0096, 298.15, True), (0.96, 298.15, False), (0.0096, 253.15, False)]
)
def test_a_conductivity_that_looks_like_another_unit_is_kept_and_told(make_result, value, temperature, is_told):
    result = make_result(value=value, temperature=temperature).store()
    assert result.base.attributes.get("valid")
    assert not result.base.attributes.get("implausible")
    words = result.base.attributes.get("looks_like", "")
    assert bool(words) is is_told
    if is_told:
        assert words.startswith("0.0096 S/m looks like S/cm, which would be 0.96 S/m")
        assert f"note: {words}" in _tell_result(_result_part(result))


def test_who_is_sure_hears_nothing(registered, make_data, make_parameters):
    capability = find_capability("conductivity", "two_electrode")
    result = ResultData(capability, make_data(value=0.0096), make_parameters(), is_sure=True)
    assert "looks_like" not in result.base.attributes.all


@pytest.mark.parametrize(
    ("keys", "number"),
    [
        ("conductivity.temperature", 298.15),
        ("conductivity.values", 0.8),
        ("conductivity.values.-1", 0.9),
        ("conductivity.values.0", 0.7),
        ("conductivity.values.2", None),
        ("conductivity.values.last", None),
        ("conductivity.nothing", None),
    ],
)
def test_a_number_is_named_by_its_keys_and_places(registered, make_data, make_parameters, keys, number):
    data = make_data(temperature=298.15)
    data["conductivity"]["values"] = [0.7, 0.9]
    result = ResultData(find_capability("conductivity", "two_electrode"), data, make_parameters()).store()
    assert read_number(read_facts([result])[result.uuid], "conductivity", keys) == pytest.approx(number)
