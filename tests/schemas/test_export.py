import json

import pytest
from jsonschema import Draft202012Validator

from aiida_finales.schemas.export import parameters_json_schema, request_template, result_json_schema
from aiida_finales.schemas.registry import SCHEMAS, judge_result

PUBLISHED = [
    "capacity/cycling",
    "cell_assembly/autobass_assembly",
    "conductivity/molecular_dynamics",
    "conductivity/polynomial_interpolation",
    "conductivity/two_electrode",
    "cycling_channel/service",
    "degradationEOL/degradation_model",
    "degradationEOL/degradation_workflow",
    "density/molecular_dynamics",
    "density/vibrating_tube_densimetry",
    "electrolyte/flow",
    "radial_density_function/molacular_dynamics",
    "transport/transport_service",
]
PARTS = {"json_schema_specifications": parameters_json_schema, "json_schema_result_output": result_json_schema}

# units that the published schemas write wrongly: capacity_list has the key "units", the density of a chemical is
# written as cm3 * g, the viscosity has the unit of the density
WRONG_UNITS = {("CapacityCyclingOutput", "capacity_list"), ("ChemicalInfo", "density"), ("ViscosityOutput", "values")}


def _definitions(schema):
    return {**schema.get("$defs", {}), schema["title"]: schema}


def _shape(node, *, with_unit=True):
    words = {"description", "title"} | (set() if with_unit else {"unit", "units"})
    return {key: value for key, value in node.items() if key not in words}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_exported_schemas_are_the_published_ones(read, name, part):
    published, ours = read(f"schemas/{name}.json")[part], PARTS[part](*name.split("/"))
    Draft202012Validator.check_schema(ours)
    theirs, mine = _definitions(published), _definitions(ours)
    assert mine.keys() == theirs.keys()
    for title, definition in theirs.items():
        assert list(mine[title]["properties"]) == list(definition["properties"])
        assert mine[title].get("required", []) == definition.get("required", [])
        for key, node in definition["properties"].items():
            with_unit = (title, key) not in WRONG_UNITS
            assert _shape(mine[title]["properties"][key], with_unit=with_unit) == _shape(node, with_unit=with_unit)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if not name.startswith(("density", "radial"))])
def test_published_documents_are_valid_by_ours_exactly_when_they_are_by_theirs(read, name):
    quantity, method = name.split("/")
    request = read(f"examples/requests/{name}.json")
    Draft202012Validator(parameters_json_schema(quantity, method)).validate(request["parameters"][method])
    if name == "conductivity/molecular_dynamics":
        return
    result = read(f"examples/results/{name.replace('transport_service', 'service')}.json")
    theirs = Draft202012Validator(read(f"schemas/{name}.json")["json_schema_result_output"])
    ours = Draft202012Validator(result_json_schema(quantity, method))
    assert ours.is_valid(result["data"]) is theirs.is_valid(result["data"])
    assert judge_result(quantity, method, result["data"]).valid is theirs.is_valid(result["data"])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_templates_of_ours_are_templates_of_theirs(read, name, part):
    published = request_template(read(f"schemas/{name}.json")[part])
    assert json.dumps(request_template(PARTS[part](*name.split("/")))) == json.dumps(published)


@pytest.mark.parametrize("key", SCHEMAS, ids="-".join)
def test_every_capability_exports_valid_json_schemas(key):
    for schema in (
        parameters_json_schema(*key),
        result_json_schema(*key),
        parameters_json_schema(*key, with_ranges=True),
        result_json_schema(*key, with_ranges=True),
    ):
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"].endswith("2020-12/schema")
        json.dumps(schema)


def test_ranges_are_exported_on_demand_and_units_always():
    plain = parameters_json_schema("conductivity", "two_electrode")["properties"]["temperature"]
    ranged = parameters_json_schema("conductivity", "two_electrode", with_ranges=True)["properties"]["temperature"]
    assert plain["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert ranged["anyOf"] == [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]
    assert plain["unit"] == ranged["unit"] == "kelvin"


def test_exporting_twice_gives_the_same():
    assert result_json_schema("electrolyte", "flow") == result_json_schema("electrolyte", "flow")


def test_template_of_a_reservation_is_the_one_on_the_wire():
    assert request_template(parameters_json_schema("cycling_channel", "service")) == {
        "number_required_channels": "required, int",
        "cycling_protocol": "optional, str",
        "number_cycles": "optional, int",
    }
    assert request_template(result_json_schema("cycling_channel", "service")) == {
        "success": "required, bool",
        "reservation_id": "optional, str",
    }


def test_template_keeps_the_odd_texts_of_the_wire():
    template = request_template(result_json_schema("conductivity", "molecular_dynamics"))
    component = {
        "chemical": {"SMILES": "required, str", "InChIKey": "required, str"},
        "fraction": "required, float",
        "fraction_type": "required, str",
    }
    assert template["run_info"]["formulation"] == [component]
    assert template["run_info"]["formulation_info"] == (
        "optional, {'name': 'optional, str', 'uuid': 'optional, str', 'preparation_date': 'optional, str', "
        "'batch': 'optional, str', 'location': \"optional, {'address': 'required, str', "
        "'detail_1': 'optional, str', 'detail_2': 'optional, str'}\"}"
    )
    assert template["run_info"]["chemicals_info"].startswith(
        "optional, {'optional, str': {'name': 'optional, str', 'molar_mass': \"optional, ('float', 'float')\""
    )
    assert "'RDF': [['required, float']]" in template["RDF"]
    assert template["number_molecules_per_component"] == "optional, int"
    capacities = request_template(parameters_json_schema("degradationEOL", "degradation_model"))["input_cycles"]
    assert capacities == "optional, ['optional, float']"


def test_template_does_not_drop_a_bare_reference():
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"properties": {"b": {"type": "string"}}}}}
    assert request_template(schema) == {"a": {"b": "optional, str"}}
