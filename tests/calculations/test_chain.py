"""What the steps of the chain copy from each other, on published documents."""

from __future__ import annotations

import json

import pytest
from aiida import orm

from aiida_finales.calculations.chain import (
    DEFAULTS,
    SERVED,
    STEPS,
    fill_settings,
    find_steps,
    good_cells,
    make_order,
    plan_step,
)
from aiida_finales.data.capability import find_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.formulation import find_fractions, make_formulation

SHARES = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
MADE = {"LiPF6": 0.081, "EC": 0.299, "EMC": 0.62}


@pytest.fixture
def wanted():
    return {"battery_chemistry": {"electrolyte": make_formulation(SHARES)}, "cell_info": {}}


@pytest.fixture
def sources(shared_data):
    """Results of the steps before; the assembly is a published one."""
    made = make_formulation(MADE)
    info = {"name": "vial 7", "uuid": "vial-7"}
    place = {"address": "ASAB", "detail_1": "rack", "detail_2": "7"}
    batch = json.loads((shared_data / "finales" / "Last_Result.json").read_text())["data"]
    return {
        "channels": {"success": True, "reservation_id": "reservation-1"},
        "electrolyte": {
            "run_info": {"formulation": made, "internal_reference": "k", "formulation_info": info},
            "electrolyte": {
                "formulation": made,
                "volume": 4.2,
                "location": place,
                "meta": {"success": True, "rating": 5},
            },
        },
        "vial_transport": {"success": True, "actual_new_location": {"address": "AutoBASS"}, "executant": "me"},
        "assembly": batch,
        "cell_transport": {"success": True, "actual_new_location": {"address": "Cycler"}, "executant": "me"},
        "cycling": {"capacity_list": [0.0015] * 80, "cell_info": {}, "capacity_vector_variance": -15.1},
    }


def copy(step, wanted, sources, cell=0, quantity="degradationEOL", **settings):
    return STEPS[step].copy(make_order(quantity, wanted, fill_settings(settings)), sources, cell)


@pytest.mark.parametrize(
    ("quantity", "steps"),
    [
        ("electrolyte", ["electrolyte"]),
        ("cell_assembly", ["electrolyte", "vial_transport", "assembly"]),
        ("capacity", ["channels", "electrolyte", "vial_transport", "assembly", "cell_transport", "cycling"]),
        (
            "degradationEOL",
            ["channels", "electrolyte", "vial_transport", "assembly", "cell_transport", "cycling", "prediction"],
        ),
    ],
)
def test_what_is_asked_for_decides_how_far_the_chain_goes(quantity, steps):
    assert find_steps(next(step for key, step in SERVED.items() if key[0] == quantity)) == steps


def test_what_a_request_says_comes_before_the_settings(sources):
    """Cells with 300 uL at C/10, as a request for their capacity says; the laboratory's own habits fill the rest."""
    said = {
        "battery_chemistry": {"electrolyte": make_formulation(SHARES)},
        "electrolyte_volume": 300.0,
        "batch_volume": 2,
        "number_cycles": 5,
        "c_rate_charge": 0.1,
        "c_rate_discharge": 0.1,
        "V_max": 4.3,
        "anode": None,
    }
    assert copy("channels", said, sources, quantity="capacity")["number_required_channels"] == 2
    assert copy("electrolyte", said, sources, quantity="capacity")["volume"] == pytest.approx(2 + 2 * 0.33)
    built = copy("assembly", said, sources, quantity="capacity")
    assert (built["batch_volume"], built["cell"]["electrolyte_volume"]) == (2, 300.0)
    assert built["cell"]["separator"] == DEFAULTS["separator"]
    cycled = copy("cycling", said, sources, 1, quantity="capacity")
    assert (cycled["number_cycles"], cycled["c_rate_charge"], cycled["cycling_V_max"]) == (5, 0.1, 4.3)
    assert cycled["I_max"] == pytest.approx(0.1 * 1.5386e-3 * 1.2, abs=1e-7)  # the formation is at C/10, too
    assert cycled["V_min"] == DEFAULTS["V_min"]


def test_a_volume_that_was_asked_for_is_mixed(sources):
    said = {"electrolyte": {"formulation": make_formulation(SHARES)}, "volume": 3.0}
    assert copy("electrolyte", said, sources, quantity="electrolyte") == said


def test_a_cell_that_was_asked_for_is_built(sources):
    electrodes = {"anode": {"material": make_formulation({"EC": 1.0})}}
    chemistry = {"electrolyte": make_formulation(SHARES), **electrodes}
    cell = {"battery_chemistry": chemistry, "electrolyte_volume": 50.0, "format": "Swagelok"}
    built = copy("assembly", {"cell": cell, "cell_info": {}, "batch_volume": 3}, sources, quantity="cell_assembly")
    assert (built["batch_volume"], built["cell"]["format"], built["cell"]["electrolyte_volume"]) == (
        3,
        "Swagelok",
        50.0,
    )
    assert built["cell"]["battery_chemistry"]["anode"] == electrodes["anode"]
    assert find_fractions(built["cell"]["battery_chemistry"]["electrolyte"]) == find_fractions(make_formulation(MADE))


def test_parameters_of_every_step_are_valid(registered, wanted, sources):
    for name, step in STEPS.items():
        parameters = copy(name, wanted, sources, 2)
        assert (
            find_capability(step.quantity, step.method).content.validate_parameters(parameters).keys()
            >= parameters.keys()
        )


def test_the_volume_is_that_of_the_published_chain(wanted, sources):
    assert copy("electrolyte", wanted, sources)["volume"] == pytest.approx(4.2)
    assert copy("electrolyte", wanted, sources, batch_volume=64)["volume"] == pytest.approx(2 * 8 * 1.1 + 2)


def test_currents_follow_from_capacity(wanted, sources):
    """1 mAh/cm2 on 1.5386 cm2 are 1.5386 mAh; the published chain had a tenth of it in the capacity."""
    parameters = copy("cycling", wanted, sources, 0)
    assert parameters["capacity"] == pytest.approx(1.0 * 1.5386e-3)
    assert parameters["I_max"] == pytest.approx(1.5386e-3 * 1.2, abs=1e-7)
    assert parameters["CV_I_cutoff"] == pytest.approx(1.5386e-3 / 20, abs=1e-7)
    assert parameters["number_cycles"] == 40
    assert copy("further_cycling", wanted, sources, 0)["number_cycles"] == 200
    assert parameters["location"] == {"address": "Cycler"}


def test_cells_are_built_with_what_was_mixed_and_the_electrodes_that_were_asked_for(wanted, sources):
    material = make_formulation({"EC": 1.0})
    wanted["battery_chemistry"]["cathode"] = {"material": material, "size": 2.0, "mass_loading": None}
    chemistry = copy("assembly", wanted, sources)["cell"]["battery_chemistry"]
    assert find_fractions(chemistry["electrolyte"]) == find_fractions(make_formulation(MADE))
    assert chemistry["cathode"]["size"] == 2.0
    assert chemistry["cathode"]["mass_loading"] == DEFAULTS["mass_loading"]
    assert chemistry["cathode"]["material"] == material


def test_transports_name_their_samples(wanted, sources):
    vial = copy("vial_transport", wanted, sources)
    assert vial["samples"] == ["vial-7"]
    assert (vial["origin"]["address"], vial["destination"]) == ("ASAB", {"address": "AutoBASS"})
    cells = copy("cell_transport", wanted, sources)
    good = good_cells(sources["assembly"])
    assert cells["samples"] == [sources["assembly"]["batch_output"][number]["cell_info"]["uuid"] for number in good]
    assert cells["destination"] == {"address": "Cycler"}


def test_a_bad_cell_is_not_cycled(sources):
    sources["assembly"]["batch_output"][3]["meta"]["success"] = False
    assert 3 not in good_cells(sources["assembly"])


def test_features_that_are_not_known_are_not_copied(wanted, sources):
    parameters = copy("prediction", wanted, sources, 0)
    assert parameters["capacity_vector_variance"] == -15.1
    assert "delta_coulombic_efficiency" not in parameters
    assert parameters["input_cycles"] == sources["cycling"]["capacity_list"]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"batch": 8}, "batch unknown, accepted are batch_volume"), ({"early_cycles": 300}, "accepted is 1 to 200")],
)
def test_bad_settings_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        fill_settings(given)


def test_a_step_is_linked_to_what_it_was_copied_from(registered, wanted, sources):
    parent = RequestData("degradationEOL", {"degradation_workflow": wanted}, "somebody").store()
    capability = find_capability("electrolyte", "flow")
    mixed = ResultData(capability, sources["electrolyte"], {"electrolyte": {}, "volume": 4.2}).store()
    settings = orm.Dict(fill_settings({}))
    request = plan_step(orm.Str("vial_transport"), parent, settings, electrolyte=mixed)
    assert (request.quantity, request.parent, request.made_from) == ("transport", parent.uuid, [mixed.uuid])
    assert request.requester == "somebody"
    assert request.parameters["transport_service"]["samples"] == ["vial-7"]
    assert mixed in request.creator.base.links.get_incoming().all_nodes()
