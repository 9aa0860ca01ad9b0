"""Who can serve a request, and what is nearest when nobody can."""

from __future__ import annotations

import pytest

from aiida_finales.broker.matching import demand_match, match
from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.requests import OPEN, list_requests, post_request
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import LimitationError
from aiida_finales.schemas.formulation import fractions


def test_quantity_and_method_and_limitations_decide(desk, add_offer, make_parameters):
    cold = add_offer("cold", low=250.0, high=280.0)
    warm = add_offer("warm", low=280.0, high=330.0)
    model = add_offer("model", "empirical_model", kind="internal", slots=7)
    found = match("conductivity", {"two_electrode": make_parameters(), "empirical_model": make_parameters()})
    assert [item.tenant for item in found.candidates] == [warm.tenant_uuid, model.tenant_uuid]
    assert [item.slots for item in found.candidates] == [1, 7]
    (refusal,) = found.refusals
    assert (refusal.tenant, refusal.method) == (cold.name, "two_electrode")
    assert "temperature is 298.15, allowed is" in str(refusal)
    assert match("density", {"two_electrode": make_parameters()}).candidates == []


def test_methods_keep_the_order_of_preference(desk, add_offer, make_parameters):
    add_offer("a model", "empirical_model")
    add_offer("robot")
    parameters = {"two_electrode": make_parameters(), "empirical_model": make_parameters()}
    assert [item.method for item in demand_match("conductivity", parameters)] == ["two_electrode", "empirical_model"]
    backwards = dict(reversed(parameters.items()))
    assert [item.method for item in demand_match("conductivity", backwards)] == ["empirical_model", "two_electrode"]


def test_nobody_offers_it(desk, make_parameters):
    with pytest.raises(LimitationError, match="no active tenant offers conductivity by two_electrode"):
        demand_match("conductivity", {"two_electrode": make_parameters()})


def test_the_nearest_temperature_is_named(desk, add_offer, make_parameters):
    add_offer("robot", low=283.15, high=323.15)
    parameters = make_parameters(temperature=350.0)
    with pytest.raises(LimitationError, match=r"robot \(two_electrode\): temperature is 350\.0, allowed is") as caught:
        demand_match("conductivity", {"two_electrode": parameters})
    assert caught.value.nearest["two_electrode"] == {**parameters, "temperature": 323.15}


def test_the_nearest_mixture_of_the_robot_is_feasible(laboratory, make_parameters):
    parameters = make_parameters({"LiPF6": 0.09, "EC": 0.5, "EMC": 0.41})
    with pytest.raises(LimitationError, match="asab-simulated") as caught:
        demand_match("conductivity", {"two_electrode": parameters})
    nearest = caught.value.nearest["two_electrode"]
    assert demand_match("conductivity", {"two_electrode": nearest})
    moved = fractions(nearest)
    assert sum(moved.values()) == pytest.approx(1)
    asked = fractions(parameters)
    assert all(abs(moved[key] - asked[key]) < 0.1 for key in asked)


@pytest.mark.parametrize("stored", [False, True])
def test_what_nobody_can_ever_do_is_refused_at_once(desk, add_offer, make_request, count_nodes, stored):
    add_offer("robot")
    request = make_request(temperature=500.0)
    if stored:
        request.store()
    before = count_nodes()
    with pytest.raises(LimitationError, match="temperature is 500"):
        post_request(request, "tester")
    assert count_nodes() == before
    assert list_requests(OPEN) == []


def test_inactive_tenants_are_not_asked(desk, add_offer, make_parameters):
    add_offer("robot")
    switch_tenant("robot", is_active=False)
    with pytest.raises(LimitationError, match="no active tenant offers"):
        demand_match("conductivity", {"two_electrode": make_parameters()})
    assert find_tenant("robot").is_active is False


def test_a_chemical_the_tenant_does_not_name_is_refused(laboratory, make_parameters):
    parameters = make_parameters({"LiPF6": 0.05, "EC": 0.3, "DMC": 0.65})
    request = RequestData("conductivity", {"two_electrode": parameters}, "tester")
    with pytest.raises(LimitationError, match="allowed is no DMC, only LiPF6, EC, EMC"):
        post_request(request, "tester")
