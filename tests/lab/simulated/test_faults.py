"""What goes wrong does so as declared: before, while or after the act, in the data or on the way of the message."""

from __future__ import annotations

import time

import numpy as np
import pytest

from aiida_finales.exceptions import DeviceInputError, FitError
from aiida_finales.lab.driver.reading import bad_input
from aiida_finales.lab.simulated.faults import (
    DEVICES,
    FAULTS,
    MOMENTS,
    PUBLISHED_BAD_SHARE,
    choose_cell_faults,
    choose_fault,
    draw,
    faults_of,
)
from aiida_finales.lab.simulated.ordered_faults import list_ordered_faults, order_fault
from aiida_finales.lab.simulated.settings import DeviceSettings, read_settings
from aiida_finales.science.electrolyte.impedance import fit_resistance


def order_for(lab, device, **settings):
    """Return an order that the device would carry out, everything being at its place."""
    if device == "asab":
        return lab.make_flow(**settings)
    if device == "autobass":
        return lab.make_assembly(lab.bring_vial("prepared"), **settings)
    lab.fill_vial("prepared")
    return lab.make_errand("ASAB", "AutoBASS", **settings)


#: the cycler has tests of its own
ROBOTS = [device for device in DEVICES if device != "cycler"]
ACTING = ["die_before_act", "die_after_act", "fault_after_act"]
BEFORE = [("device_unavailable", 69), ("device_fault", 70)]


def test_every_fault_is_declared_in_full():
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.strikes in MOMENTS
        assert fault.each in ("call", "cell")
        assert set(fault.devices) <= set(DEVICES)
        assert fault.devices
        assert fault.effect


@pytest.mark.parametrize("device", ROBOTS)
@pytest.mark.parametrize(("fault", "status"), BEFORE)
def test_before_the_act_nothing_was_done(lab, device, fault, status):
    order = order_for(lab, device)
    broken = order | {"settings": {"fault": fault}}
    assert lab.call(device, "a", broken) == status
    assert "a" not in lab.acts()
    assert lab.call(device, "b", order) == 0
    assert lab.acts()["b"] == 1


@pytest.mark.parametrize("device", ROBOTS)
@pytest.mark.parametrize("fault", ACTING)
def test_while_acting_nobody_knows(lab, device, fault):
    order = order_for(lab, device) | {"settings": {"fault": fault}}
    assert lab.run(device, "a", order)[0] == (75 if fault == "fault_after_act" else 1)
    n_acts = 0 if fault == "die_before_act" else 1
    for _ in range(2):
        assert lab.call(device, "a", order) == 75
        assert lab.acts()["a"] == n_acts
    assert lab.settle(device, "a", "done" if n_acts else "not-done") == 0
    assert lab.call(device, "a", order) == 0
    assert lab.acts()["a"] == 1
    assert lab.output("a")["success"] is (n_acts == 0)


@pytest.mark.parametrize("device", ROBOTS)
def test_a_hanging_driver_has_acted(lab, device):
    order = order_for(lab, device) | {"settings": {"fault": "driver_hangs"}}
    process = lab.start(device, "a", order)
    deadline = time.monotonic() + 20
    while not lab.acts()["a"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert lab.call(device, "a", order) == 75
    assert lab.acts()["a"] == 1


@pytest.mark.parametrize("device", ROBOTS)
def test_a_duplicate_message_acts_once(lab, device, capsys):
    order = order_for(lab, device) | {"settings": {"fault": "duplicate_message"}}
    assert lab.call(device, "a", order) == 0
    assert "returning the first result" in capsys.readouterr().err
    assert lab.acts()["a"] == 1


def test_a_late_message_is_late(lab):
    begin = time.monotonic()
    assert lab.call("asab", "a", lab.make_flow(fault="late_message", late_s=0.4)) == 0
    assert time.monotonic() - begin > 0.4


def test_a_clogged_line_doses_nothing(lab, capsys):
    assert lab.call("asab", "a", lab.make_flow(fault="clogged_line")) == 70
    assert "clogged" in capsys.readouterr().err
    assert not lab.acts()


def test_an_absent_operator_can_be_tried_again(lab):
    vial = lab.fill_vial()
    order = lab.make_errand("ASAB", "AutoBASS", [vial])
    assert lab.call("operator", "a", order | {"settings": {"fault": "operator_absent"}}) == 69
    assert lab.inventory.get(vial).location["address"] == "ASAB"
    assert lab.call("operator", "a", order) == 0


def test_wrong_volumes_are_not_in_the_report(lab):
    assert lab.call("asab", "right", lab.make_flow()) == 0
    assert lab.call("asab", "wrong", lab.make_flow(fault="wrong_volume")) == 0
    right, wrong = lab.output("right"), lab.output("wrong")
    assert wrong["formulation"] == right["formulation"]
    assert wrong["volume"] == right["volume"]
    truth = lab.inventory.get(wrong["sample"]).content
    reported = {part["chemical"]["InChIKey"]: part["fraction"] for part in wrong["formulation"]}
    assert max(abs(truth["fractions"][key] - reported[key]) for key in reported) > 5e-3
    assert sum(truth["fractions"].values()) == pytest.approx(1)
    assert truth["amount_mL"] < 0.95 * wrong["volume"]
    spent = lab.inventory.read_ledger()[-1]["volumes_mL"]
    assert sum(spent.values()) == pytest.approx(truth["amount_mL"])


def test_wrong_volumes_are_measured(lab):
    """The spectrum is that of what is truly in the cell."""
    quiet = {"noise": 0.0, "spectrum_noise": 0.0}
    dilute = {"LiPF6": 0.02, "EC": 0.4, "EMC": 0.58}
    assert lab.call("asab", "right", lab.make_order(dilute, **quiet)) == 0
    assert lab.call("asab", "wrong", lab.make_order(dilute, fault="wrong_volume", **quiet)) == 0
    right, wrong = (np.array(lab.output(name)["spectrum"]["real_ohm"]) for name in ("right", "wrong"))
    assert abs(wrong / right - 1).max() > 0.05
    assert lab.output("wrong")["formulation"] == lab.output("right")["formulation"]


def test_a_leaking_vial_is_not_enough_for_the_cells(lab, capsys):
    vial = lab.bring_vial(volume=2.0, fault="leaking_vial")
    assert lab.output("flow")["volume"] == pytest.approx(2.0, abs=2e-3)
    assert lab.inventory.get(vial).content["amount_mL"] == pytest.approx(1.0, abs=2e-3)
    assert lab.call("autobass", "a", lab.make_assembly(vial)) == 65
    assert "fill a new vial" in capsys.readouterr().err


def test_a_vial_may_leak_on_the_way(lab):
    vial = lab.fill_vial()
    before = lab.inventory.get(vial).content["amount_mL"]
    assert lab.call("operator", "a", lab.make_errand("ASAB", "AutoBASS", [vial], fault="leaking_vial")) == 0
    assert lab.inventory.get(vial).content["amount_mL"] == pytest.approx(before / 2)


@pytest.mark.parametrize(("fault", "place"), [("dropped_cell", "rejects"), ("unsealed_cell", "tray 1")])
def test_a_bad_cell_is_in_the_list(lab, fault, place):
    order = order_for(lab, "autobass", fault=fault)
    assert lab.call("autobass", "a", order) == 0
    output = lab.output("a")
    bad = [item for item in output["batch_output"] if not item["meta"]["success"]]
    assert (len(bad), len(output["batch_output"])) == (1, 8)
    assert bad[0]["meta"]["rating"] == 1
    assert bad[0]["meta"]["reason"]
    assert bad[0]["sealing_time"] is None
    cell = lab.inventory.get(bad[0]["cell_info"]["uuid"])
    assert cell.content["defect"] == fault
    assert cell.location["detail_1"] == place
    assert output["success"] is True


def test_a_bad_result_says_so(lab):
    assert lab.call("asab", "a", lab.make_flow(fault="bad_result")) == 0
    output = lab.output("a")
    assert (output["success"], output["meta"]) == (False, {"success": False, "rating": 1})
    assert output["reason"]
    assert lab.call("asab", "b", lab.make_order(fault="bad_result")) == 0
    assert lab.output("b")["success"] is False
    order = lab.make_assembly(lab.bring_vial("c"), fault="bad_result")
    assert lab.call("autobass", "d", order) == 0
    assert {item["meta"]["rating"] for item in lab.output("d")["batch_output"]} == {1}


def test_a_broken_sensor_gives_no_number_to_trust(lab):
    for index in range(10):
        assert lab.call("asab", f"key-{index}", lab.make_order(fault="sensor_out_of_range")) == 0
        spectrum = lab.output(f"key-{index}")["spectrum"]
        impedance = np.array(spectrum["real_ohm"]) + 1j * np.array(spectrum["imaginary_ohm"])
        try:
            rating = fit_resistance(np.array(spectrum["frequency_Hz"]), impedance).rating
        except FitError:
            continue
        assert rating == 1


def test_a_fault_strikes_the_first_attempts_only(lab):
    order = lab.make_flow(fault="die_before_act", fault_attempts=2)
    for _ in range(2):
        assert lab.fork("asab", "a", order) == 1
        assert lab.settle("asab", "a", "not-done") == 0
    assert lab.fork("asab", "a", order) == 0
    assert lab.acts() == {"a": 1}


def test_chance_has_the_probability_that_is_set():
    settings = DeviceSettings(
        seed=1, faults={"bad_result": PUBLISHED_BAD_SHARE, "clogged_line": 0.1, "cycler_reboot": 1}
    )
    drawn = [choose_fault("asab", settings, f"key-{index}", 1) for index in range(4000)]
    # three standard errors of a share from 4000 draws
    assert drawn.count("bad_result") / 4000 == pytest.approx(0.37, abs=0.023)
    assert drawn.count("clogged_line") / 4000 == pytest.approx(0.1, abs=0.015)
    assert set(drawn) == {"bad_result", "clogged_line", None}


def test_chance_is_the_same_on_any_machine():
    assert draw(0, "asab", "key", 1) == pytest.approx(0.8096941242, abs=1e-9)
    settings = DeviceSettings(faults={"bad_result": 0.5})
    first = [choose_fault("asab", settings, f"key-{index}", 1) for index in range(50)]
    assert first == [choose_fault("asab", settings, f"key-{index}", 1) for index in range(50)]
    assert first != [choose_fault("asab", settings, f"key-{index}", 2) for index in range(50)]
    assert first != [
        choose_fault("asab", DeviceSettings(seed=1, faults={"bad_result": 0.5}), f"key-{index}", 1)
        for index in range(50)
    ]


def test_cells_go_wrong_one_by_one():
    settings = DeviceSettings(faults={"dropped_cell": 0.2})
    drawn = [fault for key in range(200) for fault in choose_cell_faults("autobass", settings, str(key), None, 8)]
    assert drawn.count("dropped_cell") / len(drawn) == pytest.approx(0.2, abs=0.03)
    assert choose_fault("autobass", DeviceSettings(faults={"dropped_cell": 1.0}), "a", 1) is None


def test_the_fault_of_another_device_does_not_strike():
    assert choose_fault("asab", DeviceSettings(fault="cycler_reboot"), "a", 1) is None
    assert choose_fault("cycler", DeviceSettings(fault="cycler_reboot"), "a", 1) == "cycler_reboot"


BAD_SETTINGS = {
    "unknown": ({"colour": 1}, "settings.colour: 1 was given"),
    "fault of another": ({"fault": "dropped_cell"}, "settings.fault: 'dropped_cell' was given"),
    "no object": ({"faults": ["bad_result"]}, "an object of probabilities"),
    "no such fault": ({"faults": {"earthquake": 0.1}}, r"settings.faults.earthquake: 0.1 was given"),
    "no probability": ({"faults": {"bad_result": 2}}, "settings.faults.bad_result: 2 was given"),
    "too probable": ({"faults": {"bad_result": 0.7, "wrong_volume": 0.7}}, "a sum of 1.4 per call"),
    "speed": ({"speed": 0}, "settings.speed: 0 was given, accepted is a number above 0"),
    "folder": ({"inventory": 5}, "settings.inventory: 5 was given"),
    "boolean": ({"seed": True}, "settings.seed: True was given"),
    "list": ([], "settings: .* was given, accepted is an object"),
}


@pytest.mark.parametrize(("given", "words"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_are_refused(given, words):
    with pytest.raises(DeviceInputError, match=words):
        read_settings(DeviceSettings, given, "asab")


def test_faults_of_other_devices_may_be_set_for_all():
    settings = read_settings(DeviceSettings, {"faults": {"cycler_reboot": 1.0, "dropped_cell": 1.0}}, "asab")
    assert choose_fault("asab", settings, "a", 1) is None


def test_an_ordered_fault_strikes_once(lab):
    order_fault(lab.inventory, "asab", "clogged_line", 2)
    order_fault(lab.inventory, "asab", "wrong_volume")
    order_fault(lab.inventory, "autobass", "dropped_cell")
    assert lab.call("asab", "a", lab.make_flow()) == 70
    assert lab.call("asab", "b", lab.make_flow()) == 70
    assert lab.call("asab", "c", lab.make_flow()) == 0
    assert lab.call("asab", "d", lab.make_flow()) == 0
    wrong, right = (lab.inventory.get(lab.output(key)["sample"]).content["amount_mL"] for key in "cd")
    assert wrong < 0.95 * right
    assert list_ordered_faults(lab.inventory) == [{"device": "autobass", "fault": "dropped_cell", "times": 1}]
    assert lab.call("autobass", "e", lab.make_assembly(lab.bring_vial("f"))) == 0
    assert [item["meta"]["success"] for item in lab.output("e")["batch_output"]].count(False) == 1
    assert list_ordered_faults(lab.inventory) == []


@pytest.mark.parametrize(
    ("device", "name", "times"),
    [
        ("asab", "dropped_cell", 1),
        ("kettle", "device_fault", 1),
        ("cycler", "dropped_cell", 1),
        ("asab", "device_fault", 0),
    ],
)
def test_what_cannot_be_ordered(lab, device, name, times):
    with pytest.raises(DeviceInputError, match="accepted are"):
        order_fault(lab.inventory, device, name, times)
    assert list_ordered_faults(lab.inventory) == []


def test_a_campaign_with_everything_going_wrong_loses_nothing(lab):
    """Many vials under random faults: whatever happened, the bottles agree with the ledger, and no key acts twice."""
    names = [name for name in faults_of("asab") if name not in ("driver_hangs", "hang_after_dose", "late_message")]
    settings = {"faults": dict.fromkeys(names, 0.9 / len(names)), "seed": 5}
    before = {thing.identity: thing.content["amount_mL"] for thing in lab.inventory.find("stock")}
    statuses = [lab.fork("asab", f"key-{index}", lab.make_flow(**settings)) for index in range(30)]
    spent = dict.fromkeys(before, 0.0)
    for line in lab.inventory.read_ledger():
        for identity, volume in line["volumes_mL"].items():
            spent[identity] += volume
    used = {name: amount - lab.inventory.get(name).content["amount_mL"] for name, amount in before.items()}
    assert used == pytest.approx(spent)
    assert set(lab.acts().values()) == {1}
    assert {0, 1, 69, 70, 75} == set(statuses)
    assert len(lab.inventory.find("vial")) == len(lab.acts())


def test_errors_name_place_given_and_accepted():
    assert str(bad_input("a.b", 5, "a text")) == "a.b: 5 was given, accepted is a text"
