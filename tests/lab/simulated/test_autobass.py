"""Three drivers over one laboratory: what is mixed, carried and assembled, and what it is truly made of."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from aiida_finales.exceptions import DeviceUnavailableError
from aiida_finales.lab.simulated.autobass import AutoBass
from aiida_finales.lab.simulated.autobass_order import CATHODE, read_assembly
from aiida_finales.lab.simulated.laboratory import default_laboratory
from aiida_finales.lab.simulated.operator import Operator, _check_presence
from aiida_finales.schemas.limitations.offer import check, read_offers
from aiida_finales.schemas.quantities.electrolyte import AutoBASSOutput, FlowOutput, TransportOutput
from tests.lab.documents import cell_info, formulation, place


def fractions_of(formulation):
    return {part["chemical"]["InChIKey"]: part["fraction"] for part in formulation}


def left(lab):
    return {thing.identity: thing.content["amount_mL"] for thing in lab.inventory.find("stock")}


def spent(lab):
    """Return mL per stock solution that the ledger knows of."""
    total = dict.fromkeys(left(lab), 0.0)
    for line in lab.inventory.read_ledger():
        for identity, volume in line.get("volumes_mL", {}).items():
            total[identity] += volume
    return total


def test_mix_carry_assemble(lab):
    """By processes of their own; all that they publish has the published form."""
    assert lab.run("asab", "flow", lab.make_flow())[0] == 0
    flow = lab.output("flow")
    info = {name: flow[name] for name in ("formulation", "formulation_info")} | {"internal_reference": flow["key"]}
    electrolyte = {name: flow[name] for name in ("formulation", "volume", "location", "meta")}
    FlowOutput.model_validate({"run_info": info, "electrolyte": electrolyte})
    assert flow["location"]["address"] == "ASAB"

    errand = lab.make_errand("ASAB", "AutoBASS")
    assert lab.run("operator", "carry", errand)[0] == 0
    carried = lab.output("carry")
    TransportOutput.model_validate(carried)
    assert carried["samples"] == [flow["sample"]]
    assert carried["actual_new_location"]["address"] == "AutoBASS"

    assert lab.run("autobass", "assemble", lab.make_assembly(flow["formulation_info"]["uuid"]))[0] == 0
    batch = lab.output("assemble")
    AutoBASSOutput.model_validate(batch)
    assert len(batch["batch_output"]) == 8
    assert {item["cell_info"]["cell_location"]["address"] for item in batch["batch_output"]} == {"AutoBASS"}
    assert [item["cell_info"]["cell_location"]["detail_2"] for item in batch["batch_output"]] == [*"12345678"]
    assert {item["meta"]["success"] for item in batch["batch_output"]} == {True}
    assert (lab.folder / "autobass" / batch["batch_output"][0]["manufacturing_img"]).read_text().startswith("simulated")

    cells = lab.inventory.find("cell")
    assert [cell.identity for cell in cells] == [item["cell_info"]["uuid"] for item in batch["batch_output"]]
    assert all(cell.parents == (flow["sample"],) for cell in cells)
    assert cells[0].content["fractions"] == pytest.approx(fractions_of(flow["formulation"]))
    assert lab.acts() == {"flow": 1, "carry": 1, "assemble": 1}
    assert all(output["simulated"] is True for output in (flow, carried, batch))


def test_what_is_mixed_is_taken_from_the_bottles(lab):
    before = left(lab)
    vial = lab.fill_vial(volume=6.0)
    output = lab.output("flow")
    used = {name: before[name] - amount for name, amount in left(lab).items()}
    assert sum(used.values()) == pytest.approx(6.0, abs=2e-3)
    assert used == pytest.approx(spent(lab))
    assert sorted(output["parents"]) == sorted(name for name, volume in used.items() if volume)
    thing = lab.inventory.get(vial)
    assert thing.content["amount_mL"] == pytest.approx(output["volume"])
    assert thing.content["fractions"] == pytest.approx(fractions_of(output["formulation"]))


def test_a_measurement_takes_from_the_bottles_too(lab):
    before = left(lab)
    assert lab.call("asab", "measure", lab.make_order()) == 0
    assert sum(before.values()) - sum(left(lab).values()) == pytest.approx(4.2, abs=2e-3)
    assert lab.inventory.find("vial") == []


def test_the_vial_belongs_to_the_key(lab):
    assert lab.fill_vial("a") != lab.fill_vial("b")
    assert lab.call("asab", "a", lab.make_flow()) == 0
    assert len(lab.inventory.find("vial")) == 2
    assert lab.acts() == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("device", "order"),
    [
        ("asab", lambda lab: lab.make_flow(inventory=None)),
        ("autobass", lambda lab: lab.make_assembly("vial-1", inventory=None)),
        ("operator", lambda lab: lab.make_errand("ASAB", "AutoBASS", inventory=None)),
    ],
    ids=["asab", "autobass", "operator"],
)
def test_without_an_inventory_it_says_what_to_set(lab, capsys, device, order):
    assert lab.call(device, "a", order(lab)) == 64
    assert "settings.inventory" in (message := capsys.readouterr().err)
    assert "finales-lab init" in message


def test_a_folder_that_is_no_laboratory_is_refused(lab, capsys):
    assert lab.call("asab", "a", lab.make_flow(inventory=str(lab.folder))) == 64
    assert "is not a simulated laboratory" in capsys.readouterr().err


def test_an_empty_bottle_asks_for_a_person_before_anything_begins(lab, capsys):
    lab.inventory.update("stock-LiPF6-in-EMC", "spilled", amount_mL=0.3)
    assert lab.call("asab", "a", lab.make_flow()) == 75
    message = capsys.readouterr().err
    assert "stock-LiPF6-in-EMC holds 0.3 mL, but 1.014 mL are needed" in message
    assert "finales-lab refill stock-LiPF6-in-EMC" in message
    assert not (lab.folder / "asab" / "keys" / "a.json").exists()
    assert lab.settle("asab", "a", "done") == 64
    assert lab.settle("asab", "a", "not-done") == 0
    assert lab.call("asab", "a", lab.make_flow()) == 75
    assert lab.settle("asab", "a", "not-done") == 0
    lab.inventory.update("stock-LiPF6-in-EMC", "filled up", amount_mL=100.0)
    assert lab.call("asab", "a", lab.make_flow()) == 0
    assert lab.call("asab", "a", lab.make_flow(volume=5.0)) == 64
    assert lab.acts() == {"a": 1}
    entry = json.loads((lab.folder / "asab" / "keys" / "a.json").read_text())
    assert [step["state"] for step in entry["history"]] == ["not-done", "not-done", "begun", "done"]


def test_the_last_drop_is_used(lab):
    for name, volume in {"EC-EMC": 1.662, "EMC": 1.014}.items():
        lab.inventory.update(f"stock-LiPF6-in-{name}", "measured", amount_mL=volume)
    lab.fill_vial()
    assert left(lab)["stock-LiPF6-in-EMC"] == 0.0


BAD_FLOW = {
    "no electrolyte": ({"electrolyte": None}, 64, "parameters.electrolyte: None was given"),
    "no formulation": ({"electrolyte": {}}, 64, "parameters.electrolyte.formulation"),
    "no volume": ({"volume": None}, 64, "parameters.volume"),
    "drop": ({"volume": 0.1}, 65, "volume is 0.1 mL, but asab accepts 0.5 to 20.0 mL"),
    "bucket": ({"volume": 100}, 65, "nearest is 20.0 mL"),
}


@pytest.mark.parametrize(("change", "status", "words"), BAD_FLOW.values(), ids=BAD_FLOW)
def test_bad_flow_is_refused(lab, capsys, change, status, words):
    order = lab.make_flow()
    order["parameters"] |= change
    assert lab.call("asab", "a", order) == status
    assert words in capsys.readouterr().err


def test_a_quantity_that_it_cannot_do_is_refused_with_what_it_can(lab, capsys):
    assert lab.call("asab", "a", lab.make_flow() | {"quantity": "colour"}) == 64
    assert "'conductivity' (two_electrode) or 'electrolyte' (flow) or 'density'" in capsys.readouterr().err
    assert lab.call("asab", "a", lab.make_flow() | {"method": "two_electrode"}) == 64
    assert "method: 'two_electrode' was given, accepted is 'flow'" in capsys.readouterr().err


def test_the_robot_fills_what_its_limitations_say(lab):
    limitations = default_laboratory().offer("electrolyte").limitations("electrolyte")
    constraints = limitations.pop("constraints")
    target = {"quantity": "electrolyte", "method": "flow"}
    (offer,) = read_offers(target | {"limitations": limitations, "constraints": constraints})
    generator = np.random.default_rng(3)
    outcomes = []
    for point in generator.dirichlet([1.0, 3.0, 5.0], 40):
        volume = float(generator.uniform(0.3, 25))
        order = lab.make_flow(volume, dict(zip(("LiPF6", "EC", "EMC"), point.tolist(), strict=True)))
        outcomes.append(not check(offer, order["parameters"]))
        assert lab.call("asab", "a", order, "--dry-run") == (0 if outcomes[-1] else 65)
    assert 5 < sum(outcomes) < 35


def test_limitations_of_the_assembly_robot_are_read(lab):
    target = {"quantity": "cell_assembly", "method": "autobass_assembly"}
    (offer,) = read_offers(target | {"limitations": AutoBass().limitations()})
    assert not check(offer, lab.make_assembly("vial", 64, {"electrolyte_volume": 80.0})["parameters"])
    assert check(offer, lab.make_assembly("vial", 65)["parameters"])
    assert check(offer, lab.make_assembly("vial", 8, {"electrolyte_volume": 81.0})["parameters"])


def test_cells_take_electrolyte_and_parts(lab):
    vial = lab.bring_vial()
    before = lab.inventory.get(vial).content["amount_mL"]
    assert lab.call("autobass", "a", lab.make_assembly(vial, 4, {"electrolyte_volume": 50.0})) == 0
    # 4 x 50 µL, and 1 mL for the dosing line
    assert before - lab.inventory.get(vial).content["amount_mL"] == pytest.approx(1.2)
    assert {box.content["count"] for box in lab.inventory.find("consumable")} == {996}
    assert lab.inventory.find("cell")[0].content["electrolyte_volume_uL"] == 50.0


def test_what_the_request_leaves_open_is_assumed_and_said(lab):
    vial = lab.bring_vial()
    assert lab.call("autobass", "a", lab.make_assembly(vial, None)) == 0
    output = lab.output("a")
    assert len(output["batch_output"]) == 8
    assert {"cathode.mass_loading 1.0", "cathode.size 1.5386", "electrolyte_volume 35.0 µL"} <= set(output["assumed"])
    assert lab.inventory.find("cell")[0].content["cathode"] == {"mass_loading": 1.0, "size": 1.5386}
    order = lab.make_assembly(vial, 1)
    order["parameters"]["cell"]["battery_chemistry"]["cathode"] = {
        "material": CATHODE["material"],
        "mass_loading": 2.5,
        "size": 1.2,
    }
    assert lab.call("autobass", "b", order) == 0
    output = lab.output("b")
    assert "cathode.mass_loading 1.0" not in output["assumed"]
    assert lab.inventory.get(output["batch_output"][0]["cell_info"]["uuid"]).content["cathode"]["mass_loading"] == 2.5


def test_the_published_batch_can_be_asked_for_again(lab, shared_data):
    """The cell of a real batch as request: what comes back describes the same cell."""
    published = json.loads((shared_data / "finales" / "Last_Result.json").read_text())["data"]["batch_output"][0]
    vial = lab.bring_vial()
    order = lab.make_assembly(vial, 8, published["cell"])
    order["parameters"]["cell_info"] = published["cell_info"] | {"electrolyte_info": {"uuid": vial}}
    assert lab.call("autobass", "a", order) == 0
    output = lab.output("a")
    assert output["assumed"] == []
    assert output["batch_output"][0]["cell"] == published["cell"]
    assert set(output["batch_output"][0]) == set(published)
    assert set(output["batch_output"][0]["cell_info"]) == set(published["cell_info"])


def test_a_vial_that_stands_elsewhere_is_refused(lab, capsys):
    vial = lab.fill_vial()
    assert lab.call("autobass", "a", lab.make_assembly(vial)) == 65
    assert f"{vial} is at ASAB, rack, {vial}, but must be at AutoBASS: request its transport" in capsys.readouterr().err
    assert lab.call("autobass", "a", lab.make_assembly("vial-0")) == 64
    assert "'vial-0' is not in" in capsys.readouterr().err
    assert lab.call("autobass", "a", lab.make_assembly("box-cap")) == 65


def test_a_vial_with_too_little_is_refused(lab, capsys):
    vial = lab.bring_vial(volume=1.2)
    assert lab.call("autobass", "a", lab.make_assembly(vial)) == 65
    assert "but for 8 cells it takes 1.28 mL" in capsys.readouterr().err
    assert lab.call("autobass", "b", lab.make_assembly(vial, 2)) == 0


def test_an_empty_box_asks_for_a_person(lab, capsys):
    vial = lab.bring_vial()
    lab.inventory.update("box-cap", "counted", count=7)
    assert lab.call("autobass", "a", lab.make_assembly(vial)) == 75
    assert "box-cap holds 7, but 8 are needed" in (message := capsys.readouterr().err)
    assert "finales-lab refill box-cap" in message
    assert lab.settle("autobass", "a", "not-done") == 0
    lab.inventory.update("box-cap", "filled up", count=8)
    assert lab.call("autobass", "a", lab.make_assembly(vial)) == 0


def test_a_full_tray_must_be_emptied(lab, capsys):
    vial = lab.bring_vial(volume=10.0)
    assert lab.call("autobass", "a", lab.make_assembly(vial, 60)) == 0
    assert lab.call("autobass", "b", lab.make_assembly(vial, 5)) == 69
    assert "has 4 free places, but 5 are needed" in capsys.readouterr().err
    cells = [thing.identity for thing in lab.inventory.find("cell")][:1]
    assert lab.call("operator", "c", lab.make_errand("AutoBASS", "Cycler", cells)) == 0
    assert lab.call("autobass", "b", lab.make_assembly(vial, 5)) == 0
    places = [item["cell_info"]["cell_location"]["detail_2"] for item in lab.output("b")["batch_output"]]
    assert places == ["1", "61", "62", "63", "64"]


CHEMISTRY = {"electrolyte": formulation()}


def test_an_assembly_that_names_no_vial_is_nothing_for_this_robot(lab, capsys):
    for info in ({}, {"electrolyte_info": None}, {"electrolyte_info": {"name": "best"}}):
        order = lab.make_assembly("vial-1")
        order["parameters"]["cell_info"] = info
        assert lab.call("autobass", "a", order) == 65
        assert "electrolyte_info.uuid: None was given" in capsys.readouterr().err


BAD_ASSEMBLY = {
    "no cell info": ({"cell_info": None}, "parameters.cell_info: None was given"),
    "batch a number": (
        {"cell_info": {"electrolyte_info": {"uuid": "vial-1", "batch": 5}}},
        "electrolyte_info.batch: 5",
    ),
    "part of nothing": ({"cell": {"battery_chemistry": CHEMISTRY, "separator": {}}}, "cell.separator.material: None"),
    "no cell": ({"cell": None}, "parameters.cell: None"),
    "no cells": ({"batch_volume": 0}, "a whole number from 1 to 64"),
    "too many cells": ({"batch_volume": 65}, "a whole number from 1 to 64"),
    "half a cell": ({"batch_volume": 1.5}, "a whole number from 1 to 64"),
    "no electrolyte": ({"cell": {"battery_chemistry": {}}}, "battery_chemistry.electrolyte"),
}


@pytest.mark.parametrize(("change", "words"), BAD_ASSEMBLY.values(), ids=BAD_ASSEMBLY)
def test_bad_assembly_is_refused(lab, capsys, change, words):
    order = lab.make_assembly("vial-1")
    order["parameters"] |= change
    assert lab.call("autobass", "a", order) == 64
    assert words in capsys.readouterr().err


def test_too_much_electrolyte_in_a_cell_is_out_of_limits(lab, capsys):
    assert lab.call("autobass", "a", lab.make_assembly("vial-1", 8, {"electrolyte_volume": 100.0})) == 65
    assert "autobass accepts 10 to 80 µL" in capsys.readouterr().err


def test_only_what_is_at_the_origin_is_carried(lab, capsys):
    first, second = lab.fill_vial("a"), lab.fill_vial("b")
    assert lab.call("operator", "1", lab.make_errand("ASAB", "AutoBASS", [first])) == 0
    assert lab.call("operator", "2", lab.make_errand("ASAB", "AutoBASS", [first])) == 65
    assert f"{first} is at AutoBASS, not at ASAB" in capsys.readouterr().err
    assert lab.call("operator", "3", lab.make_errand("ASAB", "AutoBASS")) == 0
    assert lab.output("3")["samples"] == [second]
    assert lab.call("operator", "4", lab.make_errand("ASAB", "AutoBASS")) == 65
    assert "neither vial nor cell at ASAB" in capsys.readouterr().err
    assert lab.call("operator", "5", lab.make_errand("ASAB", "AutoBASS", ["vial-0"])) == 64
    assert lab.call("operator", "6", lab.make_errand("ASAB", "AutoBASS", ["stock-EMC"])) == 65


def test_a_place_within_the_origin(lab, capsys):
    vial = lab.fill_vial()
    order = lab.make_errand("ASAB", "Cycler", [vial])
    order["parameters"]["origin"]["detail_1"] = "shelf"
    assert lab.call("operator", "1", order) == 65
    order["parameters"]["origin"]["detail_1"] = "rack"
    order["parameters"]["destination"]["detail_2"] = "7"
    assert lab.call("operator", "1", order) == 0
    assert lab.inventory.get(vial).location == {"address": "Cycler", "detail_1": None, "detail_2": "7"}


BAD_ERRAND = {
    "no origin": ({"origin": None}, "parameters.origin: None was given"),
    "no address": ({"destination": {}}, "parameters.destination.address"),
    "empty address": ({"destination": {"address": ""}}, "parameters.destination.address: '' was given"),
    "address a number": ({"origin": {"address": 5}}, "parameters.origin.address: 5 was given"),
    "detail a number": ({"origin": {"address": "ASAB", "detail_1": 5}}, "parameters.origin.detail_1: 5 was given"),
    "no samples": ({"samples": []}, "parameters.samples: [] was given"),
    "sample a number": ({"samples": [5]}, "parameters.samples: [5] was given"),
}


@pytest.mark.parametrize(("change", "words"), BAD_ERRAND.values(), ids=BAD_ERRAND)
def test_a_bad_errand_is_refused(lab, capsys, change, words):
    order = lab.make_errand("ASAB", "AutoBASS")
    order["parameters"] |= change
    assert lab.call("operator", "a", order) == 64
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hours", "hour", "is_there"),
    [([8, 18], 8, True), ([8, 18], 18, False), ([22, 6], 23, True), ([22, 6], 5, True), ([22, 6], 12, False)],
)
def test_working_hours(hours, hour, is_there):
    now = datetime(2026, 1, 5, hour, 0, tzinfo=UTC)
    if is_there:
        _check_presence(hours, now)
    else:
        with pytest.raises(DeviceUnavailableError, match="nobody is there"):
            _check_presence(hours, now)


def test_nobody_is_there(lab, capsys):
    lab.fill_vial()
    assert lab.call("operator", "a", lab.make_errand("ASAB", "AutoBASS", hours=[0, 0])) == 69
    assert "nobody is there" in capsys.readouterr().err
    assert lab.call("operator", "a", lab.make_errand("ASAB", "AutoBASS", hours=[25, 0])) == 64
    assert lab.call("operator", "a", lab.make_errand("ASAB", "AutoBASS", hours=[0, 24])) == 0


@pytest.mark.parametrize(
    "is_one_device", [pytest.param(True, marks=pytest.mark.slow), False], ids=["one robot", "eight robots"]
)
def test_mixing_at_once_loses_nothing(lab, is_one_device):
    before = left(lab)
    keys = [f"key-{index}" for index in range(8)]
    journals = ["asab"] * 8 if is_one_device else [f"asab-{key}" for key in keys]
    processes = [
        lab.start("asab", key, lab.make_flow(), journal=journal) for key, journal in zip(keys, journals, strict=True)
    ]
    for process in processes:
        log = process.communicate(timeout=60)[1]
        assert process.returncode == 0, log
    used = {name: before[name] - amount for name, amount in left(lab).items()}
    assert sum(used.values()) == pytest.approx(8 * 4.2, abs=8 * 2e-3)
    assert used == pytest.approx(spent(lab))
    assert len(lab.inventory.find("vial")) == 8
    assert lab.acts() == dict.fromkeys(keys, 1)


def test_two_robots_cannot_spend_the_same_drop(lab):
    lab.inventory.update("stock-EC-EMC", "spilled", amount_mL=4.0)
    keys = [f"key-{index}" for index in range(4)]
    processes = [lab.start("asab", key, lab.make_flow(), journal=key) for key in keys]
    for process in processes:
        process.communicate(timeout=60)
    # 1.524 mL each: enough for two
    assert sorted(process.returncode for process in processes) == [0, 0, 75, 75]
    assert left(lab)["stock-EC-EMC"] == pytest.approx(4.0 - 2 * 1.524)


def test_the_mixing_of_minutes_is_not_waited_for(lab):
    begin = time.monotonic()
    assert lab.run("asab", "key", lab.make_flow())[0] == 0
    assert time.monotonic() - begin < 150.0  # the laboratory's own 300 s of mixing would be more


def test_the_laboratory_may_take_its_time(lab):
    begin = time.monotonic()
    assert lab.call("asab", "a", lab.make_flow(speed=1000.0)) == 0
    assert time.monotonic() - begin > 0.3


def test_the_reader_accepts_what_the_schema_accepts(demand_same_reading, lab):
    electrode = {"material": formulation(), "mass_loading": 1.0, "size": 1.5}
    cell = {
        "battery_chemistry": {"electrolyte": formulation(), "anode": electrode, "cathode": dict(electrode)},
        "separator": {"material": "Celgard(R) 2325", "size": 2.0},
        "electrolyte_volume": 35.0,
    }
    parameters = {"cell": cell, "cell_info": cell_info(), "batch_volume": 8}
    inventory = str(lab.inventory.folder)
    demand_same_reading("cell_assembly", "autobass_assembly", parameters, read_assembly, inventory=inventory)


def test_the_operator_accepts_what_the_schema_accepts(demand_same_reading, lab):
    parameters = {"origin": place(), "destination": place()}
    inventory = str(lab.inventory.folder)
    demand_same_reading("transport", "transport_service", parameters, Operator().prepare, inventory=inventory)
