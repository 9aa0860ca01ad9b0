"""Capabilities and tenants come, change and go while things run."""

from __future__ import annotations

import pytest

from aiida_finales.broker.registration import (
    add_capability,
    add_tenant,
    deactivate_capability,
    switch_tenant,
)
from aiida_finales.broker.requests import find_request, post_request
from aiida_finales.broker.reservation import reserve_request
from aiida_finales.broker.state import read_history, read_state
from aiida_finales.data.capability import find_capability, list_capabilities
from aiida_finales.data.tenant import find_tenant, list_tenants
from aiida_finales.exceptions import InputError, SchemaError, UnknownCapabilityError, UnknownNodeError

ANY = {"type": "object"}


def candidates(pk):
    return {item["node"] for item in read_state(pk)["candidates"]}


class TestCapability:
    def test_unchanged_is_left_alone_and_changed_is_a_new_version(self, registered):
        first = add_capability("colour", "eye", ANY, ANY)
        assert add_capability("colour", "eye", ANY, ANY).uuid == first.uuid
        second = add_capability("colour", "eye", {**ANY, "required": ["light"]}, ANY)
        assert (first.version, second.version) == (1, 2)
        assert find_capability("colour", "eye").uuid == second.uuid
        assert find_capability("colour", "eye", version=1).uuid == first.uuid
        assert [item.uuid for item in list_capabilities() if item.quantity == "colour"] == [second.uuid]

    def test_deactivated_takes_no_request_and_comes_back(self, registered, make_request):
        node = find_capability("conductivity", "two_electrode")
        deactivate_capability("conductivity", "two_electrode")
        with pytest.raises(UnknownCapabilityError, match="no active capability conductivity/two_electrode"):
            make_request()
        add_capability("conductivity", "two_electrode", node.parameters_schema, node.result_schema)
        assert make_request().capabilities["two_electrode"] == node.uuid

    def test_aliases_are_the_same_capability(self, registered):
        node = find_capability("conductivity", "two_electrode")
        again = add_capability("conductivity", "twoElectrodeMeasuringCell", node.parameters_schema, node.result_schema)
        assert again.uuid == node.uuid


class TestTenant:
    def test_replacing_keeps_identity_and_checks_what_is_pending(self, desk, add_offer, make_request):
        old = add_offer("robot")
        request = post_request(make_request(), "tester")
        assert candidates(request.pk) == {old.uuid}
        new = add_offer("robot", low=310.0)
        assert (new.tenant_uuid, new.version) == (old.tenant_uuid, old.version + 1)
        assert find_tenant("robot").uuid == new.uuid
        assert candidates(request.pk) == set()
        assert read_history(request.pk)[-1].why == (
            "checked again after registration of tenant robot: 0 tenants can serve it"
        )
        newest = add_offer("robot", low=290.0)
        assert candidates(request.pk) == {newest.uuid}

    def test_the_same_again_is_no_new_version(self, desk, add_offer):
        assert add_offer("robot").uuid == add_offer("robot").uuid

    def test_a_holder_keeps_the_version_it_was_given(self, desk, add_offer, make_request, candidate_of):
        old = add_offer("robot")
        request = post_request(make_request(), "tester")
        reserve_request(request.pk, "alice", candidate_of(request.pk, "robot"))
        new = add_offer("robot", high=340.0)
        state = read_state(request.pk)
        assert (state["status"], state["holder"], state["node"]) == ("reserved", "alice", old.uuid)
        assert candidates(request.pk) == {new.uuid}

    def test_deactivating_and_activating(self, desk, add_offer, make_request):
        tenant = add_offer("robot")
        request = post_request(make_request(), "tester")
        switch_tenant("robot", is_active=False)
        assert candidates(request.pk) == set()
        assert tenant.uuid not in {item.uuid for item in list_tenants()}
        switch_tenant(tenant.tenant_uuid, is_active=True)
        assert candidates(request.pk) == {tenant.uuid}

    def test_a_name_belongs_to_one(self, desk, add_offer):
        add_offer("robot")
        with pytest.raises(InputError, match="tenant name 'robot' belongs to"):
            add_tenant("robot", [], tenant_uuid="6f2b1c9e-5a0d-4f53-9d1e-0a5ab00000ff")

    @pytest.mark.parametrize(
        ("offer", "error", "words"),
        [
            ({"quantity": "conductivity", "method": "eye"}, UnknownCapabilityError, "no active capability"),
            (
                {"quantity": "conductivity", "method": "two_electrode", "limitations": "cold"},
                SchemaError,
                "cold",
            ),
            (
                {"quantity": "conductivity", "method": "two_electrode", "limitations": {"temperature": [{"min": "x"}]}},
                SchemaError,
                "temperature",
            ),
        ],
    )
    def test_bad_offers_store_nothing(self, desk, count_nodes, offer, error, words):
        before = count_nodes()
        with pytest.raises(error, match=words):
            add_tenant("bad", [offer])
        assert count_nodes() == before

    def test_unknown_tenants_are_named(self, desk, add_offer):
        add_offer("robot")
        with pytest.raises(UnknownNodeError, match=r"no tenant 'robbot'.*registered are .*robot"):
            switch_tenant("robbot", is_active=False)


def test_old_requests_keep_their_version(desk, add_offer, make_request):
    add_offer("robot")
    old = find_capability("conductivity", "two_electrode")
    request = make_request().store()
    schema = {**old.parameters_schema, "required": ["formulation", "temperature"]}
    new = add_capability("conductivity", "two_electrode", schema, old.result_schema)
    assert request.capabilities["two_electrode"] == old.uuid
    with pytest.raises(SchemaError, match=r"temperature"):
        make_request(temperature=None)
    assert make_request().capabilities["two_electrode"] == new.uuid
    assert find_request(request.uuid[:13]).pk == request.pk
    with pytest.raises(UnknownNodeError, match="no request 'zzz'"):
        find_request("zzz")
    add_capability("conductivity", "two_electrode", old.parameters_schema, old.result_schema)
