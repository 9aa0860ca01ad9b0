"""What the workflow tenant offers follows from who does its steps."""

from __future__ import annotations

import pytest

from aiida_finales.broker.registration import add_tenant, switch_tenant
from aiida_finales.calculations.chain import SERVED, STEPS
from aiida_finales.data.tenant import find_tenant
from aiida_finales.exceptions import InputError
from aiida_finales.operations.platform.chain import derive_offer, follow_steps, missing_steps, register_workflow
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.limitations.offer import Offer, allowed_values, check, formulation_regions


def box(**ranges):
    return [
        {
            "chemical": {"SMILES": get_chemical(name).smiles, "InChIKey": get_chemical(name).inchikey},
            "fraction": [{"min": low, "max": high}],
            "fraction_type": ["molPerMol"],
        }
        for name, (low, high) in ranges.items()
    ]


FLOW = {
    "quantity": "electrolyte",
    "method": "flow",
    "limitations": {"electrolyte": {"formulation": [box(LiPF6=(0, 0.2), EC=(0, 0.5), EMC=(0, 1))]}},
    "constraints": [{"path": "formulation", "coefficients": {get_chemical("EC").inchikey: 1.0}, "max": 0.4}],
}
ASSEMBLY = {
    "quantity": "cell_assembly",
    "method": "autobass_assembly",
    "limitations": {
        "cell": {
            "electrolyte_volume": [{"min": 20, "max": 300}],
            "separator": {"material": ["Celgard 2325"]},
            "battery_chemistry": {"electrolyte": [box(LiPF6=(0.05, 0.3), EC=(0, 1), EMC=(0, 1))]},
        },
        "batch_volume": [{"min": 1, "max": 32}],
    },
}
CYCLING = {"quantity": "capacity", "method": "cycling", "limitations": {"V_max": [{"min": 3.0, "max": 4.4}]}}
ALL = [FLOW, ASSEMBLY, CYCLING]


def derive(quantity, method="workflow", offers=ALL):
    return Offer.from_dict({"quantity": quantity, "method": method, **derive_offer(quantity, method, offers)})


def lithium(offer):
    (region,) = formulation_regions(offer)
    return region.lower[region.names.index(get_chemical("LiPF6").inchikey)], region.upper.max()


def test_an_electrolyte_is_limited_by_who_mixes_it():
    offer = derive("electrolyte")
    assert lithium(offer) == (0.0, 1.0)
    (finding,) = check(
        offer, {"electrolyte": {"formulation": make_formulation({"EC": 0.45, "EMC": 0.55})}, "volume": 1}
    )
    assert "mixtures with EC at most 0.4" in finding.allowed


@pytest.mark.parametrize(("quantity", "method"), [key for key in SERVED if key[0] != "electrolyte"])
def test_cells_are_limited_by_who_mixes_and_by_who_builds(quantity, method):
    offer = derive(quantity, method)
    assert lithium(offer)[0] == 0.05
    assert offer.constraints[0]["path"] == "formulation"


def test_the_numbers_of_a_step_stand_where_the_request_has_them():
    assembly, capacity = derive("cell_assembly"), derive("capacity")
    assert allowed_values(assembly, "cell.electrolyte_volume") == allowed_values(capacity, "electrolyte_volume")
    assert allowed_values(capacity, "batch_volume") == [(1.0, 32.0)]
    assert allowed_values(capacity, "V_max") == [(3.0, 4.4)]
    chemistry = {"electrolyte": make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6})}
    assert check(capacity, {"battery_chemistry": chemistry}) == []
    (finding,) = check(capacity, {"battery_chemistry": chemistry, "separator": {"material": "glass"}})
    assert finding.path == "separator.material"


def test_what_any_of_several_tenants_can_do_is_offered():
    other = {"quantity": "electrolyte", "method": "flow", "limitations": {"formulation": [box(EC=(0, 1), DMC=(0, 1))]}}
    offer = derive("electrolyte", offers=[FLOW, other])
    first, second = formulation_regions(offer)
    ec = get_chemical("EC").inchikey
    # what binds the first does not bind the second, and goes with it through the other steps
    assert [item["alternatives"] for item in offer.constraints] == [[0]]
    assert check(offer, {"electrolyte": {"formulation": make_formulation({"EC": 0.45, "DMC": 0.55})}}) == []
    assert check(offer, {"electrolyte": {"formulation": make_formulation({"EC": 0.45, "EMC": 0.55})}})
    assert (len(first.bound), second.upper[second.names.index(ec)]) == (1, 1.0)


def stocks(*mixtures):
    """Return what a robot offers that mixes stock solutions."""
    names = list(dict.fromkeys(name for mixture in mixtures for name in mixture))
    vertices = [[mixture.get(name, 0.0) for name in names] for mixture in mixtures]
    hull = {"chemicals": [get_chemical(name).inchikey for name in names], "vertices": vertices}
    return {**FLOW, "limitations": {}, "constraints": [{"path": "formulation", "hull": hull}]}


def test_each_of_several_robots_mixes_from_its_own_stock_solutions():
    lithium = stocks({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6}, {"EC": 0.3, "EMC": 0.7})
    sodium = stocks({"NaPF6": 0.1, "EC": 0.3, "EMC": 0.6}, {"EC": 0.3, "EMC": 0.7})
    anything = {**ASSEMBLY, "limitations": {"batch_volume": [{"min": 1, "max": 32}]}}
    offer = derive("capacity", offers=[lithium, sodium, anything, CYCLING])

    def ask(**shares):
        return check(offer, {"battery_chemistry": {"electrolyte": make_formulation(shares)}, "V_max": 4.2})

    assert ask(LiPF6=0.05, EC=0.3, EMC=0.65) == ask(NaPF6=0.05, EC=0.3, EMC=0.65) == []
    assert ask(LiPF6=0.05, EC=0.5, EMC=0.45)
    assert ask(LiPF6=0.05, NaPF6=0.05, EC=0.3, EMC=0.6)
    twice = derive("capacity", offers=[lithium, sodium, lithium, anything, CYCLING])
    assert twice == offer


def test_steps_that_exclude_each_other_are_named():
    dry = {**ASSEMBLY, "limitations": {"cell": {"battery_chemistry": {"electrolyte": [box(DMC=(0.5, 1))]}}}}
    with pytest.raises(InputError, match=r"no request for capacity passes all steps: cell_assembly/autobass_assembly"):
        derive("capacity", offers=[FLOW, dry])


def test_only_what_can_be_done_is_offered(desk):
    with pytest.raises(InputError, match="nobody offers electrolyte/flow"):
        register_workflow()
    add_tenant("robot", [FLOW])
    assert [offer["quantity"] for offer in register_workflow().offers] == ["electrolyte"]
    carrier = {"quantity": "transport", "method": "transport_service", "limitations": {}}
    add_tenant("builder", [ASSEMBLY, carrier])
    tenant = register_workflow({"batch_volume": 2})
    assert [offer["quantity"] for offer in tenant.offers] == ["electrolyte", "cell_assembly"]
    assert register_workflow({"batch_volume": 2}).version == tenant.version
    assert missing_steps("capacity", "workflow", [FLOW, ASSEMBLY, carrier]) == [
        "cycling_channel/service",
        "capacity/cycling",
    ]


def test_what_is_offered_follows_the_tenants_of_the_steps(desk):
    add_tenant("robot", [FLOW])
    first = register_workflow({"batch_volume": 2})
    narrow = {**FLOW, "limitations": {"electrolyte": {"formulation": [box(LiPF6=(0, 0.1), EC=(0, 0.5), EMC=(0, 1))]}}}
    add_tenant("robot", [narrow])
    assert follow_steps("robot") == [
        f"degradation-workflow is version {first.version + 1} now: what it offers follows from who does its steps"
    ]
    (offer,) = find_tenant(first.name).offers
    assert offer["settings"] == {"batch_volume": 2}
    (region,) = formulation_regions(Offer.from_dict(offer))
    assert region.upper[region.names.index(get_chemical("LiPF6").inchikey)] == 0.1
    assert follow_steps("robot") == []
    switch_tenant("robot", is_active=False)
    (words,) = follow_steps("robot")
    assert "cannot do it: no step of the chain can be done: nobody offers electrolyte/flow" in words


def test_every_step_is_a_capability_that_is_installed(registered):
    from aiida_finales.broker.capability import load_capabilities

    assert {(step.quantity, step.method) for step in STEPS.values()} <= load_capabilities().keys()
    assert SERVED.keys() <= load_capabilities().keys()
    assert load_capabilities()["capacity", "workflow"].default_offer()["limitations"][0]["electrolyte_volume"]
