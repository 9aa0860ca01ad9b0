"""The common interface of every registered capability, of whatever package."""

from __future__ import annotations

import gzip
import json
from importlib.metadata import entry_points
from typing import get_args

import pytest
from aiida.engine import Process
from jsonschema import Draft202012Validator

from aiida_finales.broker.capability import GROUP, Capability, Remedy, load_capabilities, load_capability
from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import post_request
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import UnknownCapabilityError
from aiida_finales.operations.platform.installation import COMPUTER
from aiida_finales.operations.platform.laboratory import setup_laboratory
from aiida_finales.operations.platform.learned_dynamics import Dynamics, setup_learned_dynamics
from aiida_finales.operations.platform.simulation import setup_simulation
from aiida_finales.schemas.limitations.offer import Offer, check, nearest
from tests.potential.conftest import HELD_OUT, make_document

POINTS = sorted(entry_points(group=GROUP), key=lambda point: point.name)


@pytest.fixture(params=POINTS, ids=lambda point: point.name)
def point(request):
    return request.param


def test_capability_fits_its_name(point):
    capability = point.load()
    assert isinstance(capability, Capability)
    assert point.name == f"{capability.quantity}.{capability.method}"
    assert capability.summary
    assert load_capability(capability.quantity, capability.method) is capability


def test_schemas_are_json_schemas_of_objects(point):
    capability = point.load()
    for schema in (capability.parameters_schema, capability.result_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["properties"]


def test_remedies_are_known_words_for_exit_statuses(point):
    capability = point.load()
    assert set(capability.remedies.values()) <= set(get_args(Remedy))
    assert all(isinstance(status, int) and status > 0 for status in capability.remedies)
    assert capability.judge_failure(None) == "same-key"
    assert capability.judge_failure(999) == "give-up"


def test_what_is_provided_is_offered(point):
    capability = point.load()
    assert (capability.prepare is None) == (capability.default_offer is None)


def test_default_offer_is_understood_and_feasible(point):
    capability = point.load()
    if capability.default_offer is None:
        pytest.skip("nobody here provides it")
    document = {"quantity": capability.quantity, "method": capability.method, **capability.default_offer()}
    offer = Offer.from_dict(document)
    assert Offer.from_dict(offer.to_dict()) == offer
    assert offer.alternatives


AGEING = {
    ("lifetimeCurve", "lifetime_generator"),
    ("lifetimeCurve", "capacity_fade"),
    ("degradationEOL", "lifetime_generator"),
}
CELL_TO_AGE = {
    "positive_electrode": {"material": "LFP"},
    "negative_electrode": {"material": "graphite"},
    "cell_design": {"format": "cylindrical", "nominal_capacity": 1.1},
    "protocol": {"charging": [{"rate": 1.0}], "discharging": [{"rate": 1.0}]},
    "temperature": 298.15,
}
EARLY = {"early_cycles": {"cycle": [1, 2], "capacity": [1.1, 1.1]}}


@pytest.fixture(scope="module")
def whole_laboratory(registered, tmp_path_factory):
    tenants = setup_laboratory(tmp_path_factory.mktemp("laboratory"))
    offers = [{"quantity": quantity, "method": method, "limitations": {}} for quantity, method in AGEING]
    ageing = add_tenant("ageing", offers, kind="internal")
    return [*tenants, setup_simulation(COMPUTER, program="/bin/true"), ageing, *offer_dynamics(tmp_path_factory)]


def offer_dynamics(tmp_path_factory):
    """Return the tenants of a stored potential and of its reference method."""
    folder = tmp_path_factory.mktemp("potential")
    (folder / "given.json").write_text(json.dumps(make_document()))
    (folder / "start.xyz").write_bytes(gzip.decompress(HELD_OUT.read_bytes()))
    places = folder / "given.json", folder / "start.xyz"
    potentials = (str(HELD_OUT.parent / "small"), None)
    return [
        setup_learned_dynamics(COMPUTER, Dynamics(*places, potential), program="/bin/true") for potential in potentials
    ]


def make_example(quantity, method, parameters):
    """Return parameters of a quantity as simple as can be; those given are of a conductivity."""
    chemistry = {"electrolyte": parameters["formulation"]}
    here = {"address": "here"}
    if (quantity, method) in AGEING:
        return CELL_TO_AGE | (EARLY if method == "capacity_fade" else {})
    if (quantity, method) == ("capacity", "workflow"):
        return {"battery_chemistry": chemistry}
    examples = {
        "electrolyte": {"electrolyte": {"formulation": parameters["formulation"]}, "volume": 4.2},
        "transport": {"origin": here, "destination": {"address": "there"}},
        "cell_assembly": {"cell": {"battery_chemistry": chemistry, "electrolyte_volume": 35.0}, "cell_info": {}},
        "cycling_channel": {"number_required_channels": 2},
        "capacity": {
            "cycling_protocol": "any",
            "number_cycles": 40,
            "cell_info": {},
            "location": here,
            "reservation_number": "1",
        },
        "degradationEOL": {"battery_chemistry": chemistry, "cell_info": {}},
    }
    return examples.get(quantity, parameters)


def test_prepare_returns_a_process_with_a_result(point, whole_laboratory, make_parameters):
    capability = point.load()
    if capability.prepare is None:
        pytest.skip("nobody here provides it")
    tenant = next(item for item in whole_laboratory if item.find_offer(capability.quantity, capability.method))
    offer = tenant.find_offer(capability.quantity, capability.method)
    parameters = nearest(
        Offer.from_dict(offer), make_example(capability.quantity, capability.method, make_parameters())
    )
    assert check(Offer.from_dict(offer), parameters) == []
    request = RequestData(capability.quantity, {capability.method: parameters}, "tester").store()
    settings = offer.get("settings", {})
    process, inputs = capability.prepare(request, tenant, settings, "key-1")
    if getattr(process, "is_process_function", False):
        # its output is what it returns; that there is a result is the test of the function
        assert set(inputs) <= set(process.spec().inputs)
        assert process.spec().outputs.dynamic
    else:
        assert issubclass(process, Process)
        assert "result" in process.spec().outputs
        assert set(inputs) <= set(process.spec().inputs)


def test_no_name_is_registered_twice():
    names = [point.name for point in POINTS]
    assert len(names) == len(set(names)) == len(load_capabilities())
    assert {"conductivity.two_electrode", "conductivity.empirical_model"} <= set(names)


def test_what_is_not_installed_is_named():
    with pytest.raises(
        UnknownCapabilityError, match=r"no installed package provides colour\.eye; installed are .*two_"
    ):
        load_capability("colour", "eye")


def test_a_tenant_may_offer_several_capabilities(desk, make_request):
    offers = [{"quantity": "conductivity", "method": name} for name in ("two_electrode", "empirical_model")]
    add_tenant("all-rounder", offers)
    post_request(make_request("two_electrode", "empirical_model"), "tester")
    assert [offer["method"] for offer in find_tenant("all-rounder").offers] == ["two_electrode", "empirical_model"]
