"""What is stored is right, is found again, and what is wrong is never stored."""

from __future__ import annotations

import math
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from hypothesis import HealthCheck, given, settings

from aiida_finales.data import capability as capability_module
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.capability import CapabilityData, find_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError, SchemaError, UnknownCapabilityError, UnknownNodeError
from aiida_finales.schemas.chemicals import get_chemical, list_chemicals
from aiida_finales.schemas.formulation import fractions, make_formulation

EC = get_chemical("EC").inchikey
SEVEN = list_chemicals()[:7]
SCHEMA_NAMES = ("parameters_schema", "result_schema")
UUID = "6f2b1c9e-5a0d-4f53-9d1e-0a5ab00000aa"
OFFER = {"quantity": "conductivity", "method": "two_electrode", "limitations": {}}


def as_stored(value):
    """Return a document with its floats as AiiDA stores them: 14 significant digits."""
    if isinstance(value, dict):
        return {key: as_stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_stored(item) for item in value]
    return float(f"{value:.14g}") if isinstance(value, float) else value


def find(kind, filters):
    return orm.QueryBuilder().append(kind, filters=filters, project="id").all(flat=True)


class TestRequest:
    def test_round_trip(self, registered, make_request, make_parameters):
        node = make_request("two_electrode", "empirical_model", requester="campaign x").store()
        loaded = orm.load_node(node.pk)
        assert isinstance(loaded, RequestData)
        assert (loaded.quantity, loaded.requester) == ("conductivity", "campaign x")
        assert loaded.methods == ["two_electrode", "empirical_model"]
        assert loaded.parameters["two_electrode"] == make_parameters()
        assert loaded.capabilities["two_electrode"] == find_capability("conductivity", "two_electrode").uuid

    def test_processes_tell_requests_apart_without_a_kept_hash(self, registered, make_request):
        same, also, other = make_request().store(), make_request().store(), make_request(temperature=301.15).store()
        assert same.base.caching.get_hash() is None
        assert same.base.caching.compute_hash() == also.base.caching.compute_hash()
        assert same.base.caching.compute_hash() != other.base.caching.compute_hash()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        weights=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=len(SEVEN)),
        temperature=st.one_of(st.none(), st.floats(150.0, 1000.0)),
    )
    def test_any_formulation_survives_the_database(self, registered, weights, temperature):
        shares = {chemical.name: weight / sum(weights) for chemical, weight in zip(SEVEN, weights, strict=False)}
        parameters = {"formulation": make_formulation(shares), "temperature": temperature}
        node = RequestData("conductivity", {"two_electrode": parameters}).store()
        stored = orm.QueryBuilder().append(RequestData, filters={"id": node.pk}, project="attributes").first(flat=True)
        assert stored["parameters"]["two_electrode"] == as_stored(parameters)
        assert stored["fractions"] == as_stored(fractions(parameters))
        assert stored["temperature"] == as_stored(temperature)

    def test_names_and_words_become_canonical(self, registered, make_parameters):
        parameters = make_parameters()
        for component in parameters["formulation"]:
            component["fraction_type"] = "molar fraction"
        node = RequestData("conductivity", {"twoElectrodeMeasuringCell": parameters}, methods=None).store()
        assert node.methods == ["two_electrode"]
        assert {part["fraction_type"] for part in node.parameters["two_electrode"]["formulation"]} == {"molPerMol"}

    def test_found_by_temperature_and_fraction(self, registered, make_request):
        filters = (
            {"attributes.temperature": {">": 277.0, "<": 278.0}},
            {f"attributes.fractions.{EC}": {">": 0.122, "<": 0.124}},
        )
        others = [set(find(RequestData, item)) for item in filters]  # of tests that ran before in the same profile
        node = make_request(temperature=277.5, shares={"EC": 0.123, "EMC": 0.877}).store()
        found = [set(find(RequestData, item)) for item in filters]
        assert [now - known for now, known in zip(found, others, strict=True)] == [{node.pk}, {node.pk}]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"formulation": make_formulation({"EC": 1.0})[:0]}, "formulation"),
            ({"temperature": -3.0}, r"temperature: -3\.0 was given, accepted is a number above 0 \(K\)"),
            ({"temperature": "warm"}, "temperature: 'warm' was given"),
            ({"formulation": "EC"}, "formulation: 'EC' was given"),
        ],
    )
    def test_bad_parameters_are_refused(self, registered, make_parameters, count_nodes, change, words):
        before = count_nodes()
        with pytest.raises(SchemaError, match=words) as caught:
            RequestData("conductivity", {"two_electrode": {**make_parameters(), **change}}).store()
        assert {"path", "given", "accepted"} <= set(caught.value.errors[0])
        assert count_nodes() == before

    def test_fractions_that_do_not_sum_to_one_are_refused(self, registered, make_parameters, count_nodes):
        before = count_nodes()
        parameters = make_parameters()
        parameters["formulation"][0]["fraction"] = 0.5
        with pytest.raises(SchemaError, match="formulation"):
            RequestData("conductivity", {"two_electrode": parameters}).store()
        assert count_nodes() == before

    @pytest.mark.parametrize(
        ("quantity", "methods", "words"),
        [
            ("colour", ["two_electrode"], "no active capability colour/two_electrode; registered are"),
            ("conductivity", ["two_electrodes"], "did you mean conductivity/two_electrode"),
            ("conductivity", ["two_electrode", "crystal_ball"], "no active capability conductivity/crystal_ball"),
        ],
    )
    def test_unknown_names_are_refused(self, registered, make_parameters, count_nodes, quantity, methods, words):
        before = count_nodes()
        with pytest.raises(UnknownCapabilityError, match=words):
            RequestData(quantity, dict.fromkeys(methods, make_parameters())).store()
        assert count_nodes() == before

    @pytest.mark.parametrize(
        ("given_parameters", "methods", "words"),
        [
            ({}, None, "accepted is one set of parameters per method"),
            ([], None, "accepted is one set of parameters per method"),
            ({"two_electrode": {}}, ["two_electrode", "empirical_model"], r"lacking: \['empirical_model'\]"),
            ({"two_electrode": {}}, [], r"excess: \['two_electrode'\]"),
        ],
    )
    def test_methods_and_parameters_belong_together(self, registered, given_parameters, methods, words):
        with pytest.raises(InputError, match=words):
            RequestData("conductivity", given_parameters, methods=methods)

    def test_is_immutable(self, registered, make_request):
        node = make_request().store()
        with pytest.raises(ModificationNotAllowed, match="immutable"):
            node.base.attributes.set("quantity", "colour")

    def test_empty_node_is_not_stored(self, registered, count_nodes):
        before = count_nodes()
        node = RequestData.__new__(RequestData)
        orm.Data.__init__(node)
        with pytest.raises(ValidationError, match="a request is made by RequestData"):
            node.store()
        assert count_nodes() == before


def test_whole_number_filters_miss_and_float_filters_find(registered, make_request):
    """A trap of AiiDA on SQLite that everything here must avoid: it compares as integers."""
    node = make_request(temperature=298.15).store()
    assert node.pk in find(RequestData, {"attributes.temperature": {">": 298.0}})
    assert node.pk not in find(RequestData, {"attributes.temperature": {">": 298}})


def test_whole_number_temperatures_are_stored_as_floats(registered, make_request, make_result):
    request, result = make_request(temperature=400).store(), make_result(temperature=400).store()
    assert request.pk in find(RequestData, {"attributes.temperature": {"==": 400.0}})
    assert result.pk in find(ResultData, {"attributes.temperature": {"==": 400.0}})
    assert isinstance(orm.load_node(request.pk).base.attributes.get("temperature"), float)


class TestResult:
    def test_round_trip_and_keys(self, registered, make_result, make_data):
        node = make_result(value=0.87, rating=2, request_uuid=UUID).store()
        loaded = orm.load_node(node.pk)
        assert isinstance(loaded, ResultData)
        assert (loaded.value, loaded.rating, loaded.is_successful) == (0.87, 2, True)
        assert loaded.data == make_data(value=0.87, rating=2)
        assert loaded.fractions[EC] == 0.3
        assert loaded.request_uuid == UUID
        assert loaded.base.attributes.get("valid") is True
        assert node.pk in find(ResultData, {"attributes.rating": {"<=": 2}, "attributes.success": True})
        assert node.pk in find(ResultData, {f"attributes.fractions.{EC}": {">": 0.29}})
        assert node.pk in find(ResultData, {"attributes.value": {">": 0.86, "<": 0.88}})

    def test_failures_are_found(self, registered, make_result):
        node = make_result(success=False, value=0.1).store()
        assert find(ResultData, {"attributes.success": False}) == [node.pk]
        assert not node.is_successful

    def test_value_is_the_mean_and_achieved_fractions_count(self, registered, make_data, make_parameters):
        data = make_data(shares={"EC": 0.4, "EMC": 0.6})
        data["conductivity"]["values"] = [1.0, 2.0]
        capability = find_capability("conductivity", "two_electrode")
        node = ResultData(capability, data, make_parameters({"EC": 0.5, "EMC": 0.5})).store()
        assert node.value == 1.5
        assert node.fractions[EC] == 0.4

    def test_bad_data_are_kept_as_invalid_or_refused(self, registered, make_data, make_parameters, count_nodes):
        capability = find_capability("conductivity", "two_electrode")
        data = make_data(rating=9)
        node = ResultData(capability, data, make_parameters()).store()
        assert node.base.attributes.get("valid") is False
        assert "rating" in node.base.attributes.get("errors")[0]["path"]
        before = count_nodes()
        with pytest.raises(SchemaError, match=r"result of conductivity/two_electrode: .*rating: 9 was given"):
            ResultData(capability, data, make_parameters(), strict=True).store()
        assert count_nodes() == before

    @pytest.mark.parametrize(
        ("data", "parameters", "words"),
        [([], {}, r"data of a result is \[\]"), ({}, None, "parameters of a result is None")],
    )
    def test_what_is_no_document_is_refused(self, registered, data, parameters, words):
        with pytest.raises(InputError, match=words):
            ResultData(find_capability("conductivity", "two_electrode"), data, parameters)

    def test_not_a_number_is_never_stored(self, registered, make_result, count_nodes):
        before = count_nodes()
        with pytest.raises(ValidationError, match="nan"):
            make_result(value=math.nan).store()
        assert count_nodes() == before


class TestCapability:
    def test_round_trip(self, registered):
        schema = {"type": "object", "properties": {"light": {"type": "number"}}}
        node = CapabilityData("colour", "eye", parameters_schema=schema, result_schema={}, version=4).store()
        loaded = orm.load_node(node.pk)
        assert (loaded.quantity, loaded.method, loaded.version) == ("colour", "eye", 4)
        assert (loaded.parameters_schema, loaded.result_schema) == (schema, {})
        assert not loaded.is_active
        with pytest.raises(SchemaError, match="light: 'dim' was given"):
            loaded.content.validate_parameters({"light": "dim"})

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"quantity": "ionic conductivity"}, "quantity is 'ionic conductivity', but accepted are letters"),
            ({"method": ""}, "method is '', but accepted are letters"),
            ({"parameters_schema": {"type": "objekt"}}, "parameters_schema is no JSON Schema"),
            ({"result_schema": {"required": "all"}}, "result_schema is no JSON Schema"),
        ],
    )
    def test_bad_capabilities_are_not_stored(self, registered, count_nodes, change, words):
        good = {"quantity": "colour", "method": "eye", "parameters_schema": {}, "result_schema": {}}
        before = count_nodes()
        with pytest.raises(ValidationError, match=words):
            CapabilityData(**{**good, **change}).store()
        assert count_nodes() == before

    def test_what_the_model_has_checked_is_not_checked_again(self, registered, make_data, make_parameters, monkeypatch):
        monkeypatch.setattr(capability_module, "check_json_schema", None)
        capability = find_capability("conductivity", "two_electrode").content
        assert capability.validate_parameters(make_parameters()) == make_parameters()
        assert capability.judge_result(make_data(), make_parameters()).valid

    def test_a_stored_schema_of_its_own_is_checked_as_well(self, registered, make_data, make_parameters):
        stored = find_capability("conductivity", "two_electrode").content
        strict = {name: getattr(stored, name) | {"required": ["operator"]} for name in SCHEMA_NAMES}
        capability = replace(stored, **strict)
        with pytest.raises(SchemaError, match="operator"):
            capability.validate_parameters(make_parameters())
        assert [error["path"] for error in capability.judge_result(make_data(), {}).errors] == [
            "parameters.formulation",
            "operator",
        ]

    def test_a_profile_without_capabilities_says_what_to_do(self, aiida_profile_clean):
        with pytest.raises(
            UnknownCapabilityError, match="none is registered in this profile, run 'aiida-finales setup'"
        ):
            find_capability("conductivity", "two_electrode")


class TestTenant:
    def test_round_trip(self, registered):
        node = TenantData("robot", [OFFER], tenant_uuid=UUID.upper(), kind="human", max_concurrent=3, contact="Ada")
        loaded = orm.load_node(node.store().pk)
        assert (loaded.name, loaded.tenant_uuid, loaded.kind) == ("robot", UUID, "human")
        assert (loaded.max_concurrent, loaded.contact, loaded.version) == (3, "Ada", 1)
        assert loaded.offers == [OFFER]
        assert loaded.find_offer("conductivity", "two_electrode") == OFFER
        assert loaded.find_offer("conductivity", "empirical_model") is None

    def test_alias_of_an_offer_becomes_canonical(self, registered):
        offer = {**OFFER, "method": "twoElectrodeMeasuringCell"}
        assert TenantData("robot", [offer], tenant_uuid=UUID).offers[0]["method"] == "two_electrode"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"kind": "alien"}, "kind of tenant is 'alien', but accepted are internal, external, human"),
            ({"max_concurrent": 0}, "max_concurrent is 0, but a tenant must serve at least 1"),
            ({"tenant_uuid": "me"}, "tenant_uuid is 'me', but accepted is a UUID"),
            ({"offers": [{"method": "two_electrode"}]}, "offer: quantity: None was given"),
            ({"offers": [{**OFFER, "limitations": {"temperature": [{"min": 9, "max": 1}]}}]}, "temperature"),
        ],
    )
    def test_bad_tenants_are_refused(self, registered, count_nodes, change, words):
        before = count_nodes()
        with pytest.raises(InputError, match=words):
            TenantData(**{"name": "robot", "offers": [OFFER], "tenant_uuid": UUID, **change}).store()
        assert count_nodes() == before


class TestSuggestion:
    def test_round_trip(self, registered):
        document = {"source": "robot", "step": 7, "x": [0.1, 0.9], "predicted": {"mean": 1.5, "sd": 0.25}}
        node = SuggestionData(document, {"source": "robot", "step": 7}).store()
        loaded = orm.load_node(node.pk)
        assert (loaded.document, loaded.source_name, loaded.step) == (document, "robot", 7)
        assert loaded.question == {"source": "robot", "step": 7}
        assert find(SuggestionData, {"attributes.step": 7}) == [node.pk]

    def test_empty_node_is_not_stored(self, registered):
        node = SuggestionData.__new__(SuggestionData)
        orm.Data.__init__(node)
        with pytest.raises(ValidationError, match="a suggestion is made by"):
            node.store()


class TestCampaignGroup:
    def test_one_name_one_campaign(self, registered):
        group = CampaignGroup.create_for("ocond")
        assert CampaignGroup.create_for("ocond").pk == group.pk  # nothing in it yet
        group.add_nodes(orm.Int(1).store())
        with pytest.raises(InputError, match="a campaign 'ocond' exists already: choose another name"):
            CampaignGroup.create_for("ocond")
        assert CampaignGroup.find("ocond").pk == group.pk
        assert isinstance(orm.load_group("ocond"), CampaignGroup)
        with pytest.raises(UnknownNodeError, match="no campaign 'oeol'; there are ocond"):
            CampaignGroup.find("oeol")
