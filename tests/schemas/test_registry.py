import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import SchemaError, UnknownCapabilityError
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.registry import (
    SCHEMAS,
    canonical_capability,
    check_json_schema,
    get_schema,
    judge_result,
    validate_parameters,
)

REQUESTS = [
    "capacity/cycling",
    "cell_assembly/autobass_assembly",
    "conductivity/molecular_dynamics",
    "conductivity/polynomial_interpolation",
    "conductivity/two_electrode",
    "cycling_channel/service",
    "degradationEOL/degradation_model",
    "degradationEOL/degradation_workflow",
    "electrolyte/flow",
    "transport/transport_service",
]

# the defects of each published example result; the other four have none
RESULTS = {
    "capacity/cycling": ["channel_list", "cell_info"],
    "cell_assembly/autobass_assembly": [f"batch_output[{index}].cell" for index in range(8)],
    "conductivity/polynomial_interpolation": [],
    "conductivity/two_electrode": [],
    "cycling_channel/service": [],
    "degradationEOL/degradation_model": ["degradationEOL.meta.success", "degradationEOL.cell_info"],
    "degradationEOL/degradation_workflow": ["degradationEOL[1].meta.success", "degradationEOL[1].meta.rating"],
    "electrolyte/flow": [],
    "transport/service": ["actual_new_location.address"],
}

ALIASES = [
    ("radial_distribution_function", "molecular_dynamics", "radial_density_function", "molacular_dynamics"),
    ("radial_density_function", "molacular_dynamics", "radial_density_function", "molacular_dynamics"),
    ("conductivity", "molacular_dynamics", "conductivity", "molecular_dynamics"),
    ("conductivity", "polinomial_interpolation", "conductivity", "polynomial_interpolation"),
    ("conductivity", "twoElectrodeMeasuringCell", "conductivity", "two_electrode"),
    ("conductivity", "molecularDynamicsSimulation", "conductivity", "molecular_dynamics"),
    ("transport", "service", "transport", "transport_service"),
    ("cycling_channel", "service", "cycling_channel", "service"),
    ("mine", "service", "mine", "service"),
]


@pytest.mark.parametrize("given_", ALIASES, ids=lambda row: f"{row[0]}-{row[1]}")
def test_published_names_are_canonical_and_other_spellings_accepted(given_):
    quantity, method, *published = given_
    assert canonical_capability(quantity, method) == tuple(published)
    assert canonical_capability(*published) == tuple(published)


@pytest.mark.parametrize("key", SCHEMAS, ids="-".join)
def test_every_capability_is_registered_under_its_canonical_name(key):
    assert canonical_capability(*key) == key
    assert (get_schema(*key).quantity, get_schema(*key).method) == key


@pytest.mark.parametrize(
    ("quantity", "method", "words"),
    [
        (
            "conductivity",
            "two_electrod",
            r"conductivity is known by two_electrode, .*did you mean conductivity/two_elect",
        ),
        (
            "conductivty",
            "two_electrode",
            r"no capability conductivty/two_electrode: known are .*did you mean conductiv",
        ),
        ("colour", "eye", r"no capability colour/eye: known are conductivity/two_electrode"),
    ],
    ids=["method", "quantity", "nothing-near"],
)
def test_an_unknown_capability_is_named_with_what_exists(quantity, method, words):
    with pytest.raises(UnknownCapabilityError, match=words):
        get_schema(quantity, method)


@pytest.mark.parametrize("name", REQUESTS)
def test_published_requests_are_accepted_as_they_are(read, name):
    document = read(f"examples/requests/{name}.json")
    for method, parameters in document["parameters"].items():
        before = copy.deepcopy(parameters)
        answer = validate_parameters(document["quantity"], method, parameters)
        assert parameters == before
        text = json.dumps(parameters).replace("molar fraction", "molPerMol")
        assert json.dumps(answer) == text  # the order of keys too


@pytest.mark.parametrize("name", RESULTS)
def test_published_results_get_the_verdict_they_deserve(read, name):
    document = read(f"examples/results/{name}.json")
    (method,) = document["method"]
    verdict = judge_result(document["quantity"], method, document["data"], document["parameters"][method])
    assert [error["path"] for error in verdict.errors] == RESULTS[name]
    assert verdict.valid is not bool(RESULTS[name])
    json.dumps(verdict.errors, allow_nan=False)


def test_a_real_batch_of_cells_is_valid(read):
    document = read("Last_Result.json")
    parameters = document["parameters"]["autobass_assembly"]
    assert judge_result("cell_assembly", "autobass_assembly", document["data"], parameters).valid


def _component(**changes):
    return {**make_formulation({"EC": 1.0})[0], **changes}


CYCLING = {
    "cycling_protocol": "BIG-MAP-Standard",
    "number_cycles": 200.0,
    "cell_info": {},
    "location": {"address": "HIU"},
    "reservation_number": "1",
}
CELL = {"battery_chemistry": {"electrolyte": [_component()]}}

BAD = {
    "missing": (
        "conductivity",
        "two_electrode",
        {},
        r"formulation: None was given, accepted is a list; it is required",
    ),
    "not-an-object": (
        "conductivity",
        "two_electrode",
        [],
        r"\$: 'a list of 0' was given, accepted is an object with form",
    ),
    "text-for-number": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component()], "temperature": "298"},
        r"temperature: '298' was given, accepted is a number above 0 \(K\) or null",
    ),
    "absolute-zero": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component()], "temperature": 0},
        r"temperature: 0 was given, accepted is a number above 0",
    ),
    "not-finite": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component()], "temperature": float("nan")},
        r"temperature: 'nan' was given",
    ),
    "truth-value-for-number": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component()], "temperature": True},
        r"temperature: True was given",
    ),
    "fraction": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component(fraction=1.2)]},
        r"formulation\[0\].fraction: 1.2 was given, accepted is a number from 0 to 1",
    ),
    "sum": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component(fraction=0.93)]},
        r"formulation: 'a sum of 0.93' was given, accepted is fractions .* sum to 1 within 0.001",
    ),
    "empty": ("conductivity", "two_electrode", {"formulation": []}, r"formulation: 'a sum of 0' was given"),
    "twice": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component(fraction=0.5), _component(fraction=0.5)]},
        r"KMTRUDSVKNLOMY-UHFFFAOYSA-N more than once.*each chemical once",
    ),
    "mass-fraction": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component(fraction_type="massPerMass")]},
        r"formulation\[0\].fraction_type: 'massPerMass' was given, accepted is 'molPerMol'",
    ),
    "no-inchikey": (
        "conductivity",
        "two_electrode",
        {"formulation": [_component(chemical={"SMILES": "O"})]},
        r"formulation\[0\].chemical.InChIKey: None was given, accepted is a text that is not empty; it is required",
    ),
    "needs-temperature": (
        "radial_density_function",
        "molacular_dynamics",
        {"formulation": [_component()]},
        r"temperature: None was given, .*it is required",
    ),
    "volume": (
        "electrolyte",
        "flow",
        {"electrolyte": {"formulation": [_component()]}, "volume": -1},
        r"above 0 \(mL\)",
    ),
    "nested-formulation": (
        "electrolyte",
        "flow",
        {"electrolyte": {"formulation": [_component(fraction=0.5)]}, "volume": 1},
        r"electrolyte.formulation: 'a sum of 0.5' was given",
    ),
    "batch": (
        "cell_assembly",
        "autobass_assembly",
        {"cell": CELL, "cell_info": {}, "batch_volume": 65},
        r"batch_volume: 65 was given, accepted is a whole number from 1 to 64 or null",
    ),
    "half-a-cell": (
        "cell_assembly",
        "autobass_assembly",
        {"cell": CELL, "cell_info": {}, "batch_volume": 1.5},
        r"batch_volume: 1.5 was given, accepted is a whole number",
    ),
    "voltages": (
        "capacity",
        "cycling",
        {**CYCLING, "V_max": 2.5, "V_min": 4.2},
        r"'V_min 4.2 V, V_max 2.5 V' was given, accepted is V_min below V_max",
    ),
    "place": (
        "transport",
        "transport_service",
        {"origin": {}, "destination": {}},
        r"origin.address: None .*destination.add",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_parameters_are_refused_with_path_given_and_accepted(case):
    quantity, method, parameters, words = case
    with pytest.raises(SchemaError, match=words):
        validate_parameters(quantity, method, parameters)


def test_every_defect_is_named_at_once():
    parameters = {"formulation": [_component(fraction=2), {}], "temperature": -1}
    with pytest.raises(SchemaError) as caught:
        validate_parameters("conductivity", "two_electrode", parameters)
    paths = [error["path"] for error in caught.value.errors]
    expected = ["formulation[0].fraction", "formulation[1].chemical", "formulation[1].fraction"]
    assert paths == [*expected, "formulation[1].fraction_type", "temperature"]
    assert all(set(error) == {"path", "given", "accepted"} for error in caught.value.errors)


def test_words_are_made_canonical_and_everything_else_is_kept():
    parameters = {
        "note": [1, None],
        "temperature": 298,
        "formulation": [_component(fraction_type="molar fraction", x=1)],
    }
    answer = validate_parameters("conductivity", "two_electrode", parameters)
    assert list(answer) == ["note", "temperature", "formulation"]
    assert answer["formulation"][0]["fraction_type"] == "molPerMol"
    assert answer["formulation"][0]["x"] == 1
    assert parameters["formulation"][0]["fraction_type"] == "molar fraction"


def test_correct_spellings_of_keys_become_the_published_ones():
    given_ = {**CYCLING, "repetitions_formation_cycle": 3.0}
    given_["reservation_id"] = given_.pop("reservation_number")
    answer = validate_parameters("capacity", "cycling", given_)
    assert answer["repetions_formation_cycle"] == 3.0
    assert answer["reservation_number"] == "1"
    assert judge_result("cycling_channel", "service", {"success": True, "reservation_number": "1"}).valid


def _conductivity(values, **meta):
    run_info = {"formulation": [_component()], "internal_reference": "1"}
    return {"run_info": run_info, "conductivity": {"values": values, "meta": {"success": True, "rating": 3, **meta}}}


VERDICTS = {
    "good": (_conductivity([0.9]), None),
    "integer-as-float": (_conductivity([1], rating=4.0), None),
    "failed-without-value": (_conductivity([], success=False), None),
    "success-without-value": (_conductivity([]), "conductivity"),
    "negative": (_conductivity([-0.1]), "conductivity.values[0]"),
    "rating-6": (_conductivity([1], rating=6), "conductivity.meta.rating"),
    "rating-0": (_conductivity([1], rating=0), "conductivity.meta.rating"),
    "rating-4.5": (_conductivity([1], rating=4.5), "conductivity.meta.rating"),
    "text-for-truth": (_conductivity([1], success="True"), "conductivity.meta.success"),
    "one-for-truth": (_conductivity([1], success=1), "conductivity.meta.success"),
    "nothing": ({"foo": "bar"}, "run_info"),
    "null": (None, "$"),
}


@pytest.mark.parametrize("case", VERDICTS.values(), ids=VERDICTS.keys())
@pytest.mark.parametrize("method", ["two_electrode", "empirical_model", "literature", "molecular_dynamics"])
def test_results_are_judged(case, method):
    data, path = case
    verdict = judge_result("conductivity", method, data)
    assert [error["path"] for error in verdict.errors][:1] == ([path] if path else [])
    assert verdict.valid is (path is None)


def test_parameters_of_a_result_are_judged_too():
    verdict = judge_result("conductivity", "two_electrode", _conductivity([1]), {"formulation": [], "temperature": 0})
    assert [error["path"] for error in verdict.errors] == ["parameters.formulation", "parameters.temperature"]
    assert judge_result("conductivity", "two_electrode", _conductivity([1]), []).errors[0]["path"] == "parameters"


def test_viscosity_has_its_own_unit():
    run_info = {"formulation": [_component()], "internal_reference": "1"}
    viscosity = {"values": [-3.1], "temperature": 298.15, "meta": {"success": True, "rating": 4}}
    verdict = judge_result("viscosity", "rolling_ball_viscometry", {"run_info": run_info, "viscosity": viscosity})
    assert verdict.errors == [{"path": "viscosity.values[0]", "given": -3.1, "accepted": "a number above 0"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["run_info", "conductivity", "formulation", "chemical", "fraction", "values", "meta", "rating", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(data=JSON, parameters=JSON)
def test_no_data_makes_the_judge_raise(data, parameters):
    for quantity, method in SCHEMAS:
        verdict = judge_result(quantity, method, data, parameters)
        json.dumps(verdict.errors, allow_nan=False)


def test_data_that_contain_themselves_or_overflow_are_bad_not_fatal():
    loop: dict = {}
    loop["formulation"] = [{"chemical": loop}]
    assert not judge_result("conductivity", "two_electrode", loop).valid
    assert not judge_result("conductivity", "two_electrode", _conductivity([10**400])).valid


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=7))
def test_any_normalised_formulation_is_accepted(shares):
    names = ["LiPF6", "EC", "EMC", "DMC", "PC", "DEC", "FEC"][: len(shares)]
    total = sum(shares)
    formulation = make_formulation({name: share / total for name, share in zip(names, shares, strict=True)})
    validate_parameters("conductivity", "two_electrode", {"formulation": formulation})


def test_defects_by_json_schema_have_the_same_form():
    schema = {
        "$defs": {
            "Inner": {"type": "object", "required": ["a"], "properties": {"a": {"type": "number", "unit": "kelvin"}}}
        },
        "properties": {
            "x": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]},
            "y": {"allOf": [{"$ref": "#/$defs/Inner"}]},
        },
        "required": ["y"],
    }
    assert check_json_schema(schema, {"x": None, "y": {"a": 1}}) == []
    assert check_json_schema(schema, {"x": {"a": "1"}}) == [
        {"path": "x.a", "given": "1", "accepted": "a number (K)"},
        {"path": "y", "given": None, "accepted": "a value; it is required"},
    ]
