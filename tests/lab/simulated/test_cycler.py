"""The simulated cycler as a process: channels are never sold twice, cells go on ageing, files hold what is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from aiida_finales.lab.driver.reading import make_location
from aiida_finales.lab.simulated.channels import ChannelPool
from aiida_finales.lab.simulated.cycler import run_cycler
from aiida_finales.lab.simulated.cycler_order import DEFAULTS, LIMITS, read_cycler_order
from aiida_finales.lab.simulated.cycling_file import read_attributes
from aiida_finales.lab.simulated.inventory import Inventory, Thing
from aiida_finales.science.ageing.cycling import HalfCycle, capacity_list, early_features
from aiida_finales.science.electrolyte.composition import EC, EMC, fractions_from_molality
from tests.lab.documents import cell_info, place

ROOT = Path(__file__).parents[3]
FEATURES = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")
SIZE = 1.5386  # cm2


def read_half_cycles(path):
    """Return the half cycles after formation by number; their times begin at 0."""
    with h5py.File(path) as file:
        found = {name: read_part(part) for name, part in file["split"].items() if name.startswith("Cycle_")}
    return dict(sorted((int(name.removeprefix("Cycle_")), half) for name, half in found.items()))


def read_formation(path):
    """Return the formation half cycles: charge and discharge in turn."""
    with h5py.File(path) as file:
        n_cycles = sum(name.startswith("FormationCycle_Charge_") for name in file["split"])
        names = [f"FormationCycle_{word}_{k + 1}" for k in range(n_cycles) for word in ("Charge", "Discharge")]
        return [read_part(file["split"][name]) for name in names]


def read_part(group):
    time = group["t"][()]
    return HalfCycle(time - time[0], group["I"][()], group["V"][()])


class CyclerBench:
    """A cycler and its laboratory in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "device"
        self.inventory = Inventory(folder / "laboratory", create=True)

    def add_cell(self, identity, address="Cycler", molality=1.0, defect=None):
        cathode = {"mass_loading": 1.0, "size": SIZE}
        fractions = fractions_from_molality(molality, {EC: 0.3, EMC: 0.7})
        content = {"fractions": fractions, "cathode": cathode, "defect": defect}
        self.inventory.add(Thing(identity, "cell", make_location(address, "tray 1", "7"), content=content))

    def arguments(self, key, quantity, method, parameters, settings):
        settings = {"inventory": str(self.inventory.folder), "n_channels": 8} | settings
        payload = {"quantity": quantity, "method": method, "parameters": parameters, "settings": settings}
        path = self.folder / f"in-{key}.json"
        path.write_text(json.dumps(payload))
        (self.folder / key).mkdir(exist_ok=True)
        paths = ["--input", path, "--output", self.folder / key / "out.json", "--journal", self.journal]
        return ["--key", key, *map(str, paths)]

    def start(self, arguments):
        command = [sys.executable, "-m", "aiida_finales.lab.simulated.cycler", *arguments]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)

    def run(self, arguments):
        process = self.start(arguments)
        log = process.communicate(timeout=60)[1]
        return process.returncode, log

    def channels(self, key, n, settings=None, **more):
        parameters = {"number_required_channels": n, "number_cycles": 200} | more
        return self.arguments(key, "cycling_channel", "service", parameters, settings or {})

    def cycling(self, key, cell, n_cycles, reservation="reservation-r", settings=None, **more):
        parameters = {
            "cycling_protocol": "BIG-MAP-Standard",
            "number_cycles": n_cycles,
            "cell_info": {"uuid": cell, "batch": "1"},
            "location": {"address": "Cycler"},
            "reservation_number": reservation,
        } | more
        return self.arguments(key, "capacity", "cycling", parameters, settings or {})

    def reserve(self, key="r", n=2, **more):
        assert run_cycler(self.channels(key, n, **more)) == 0
        return self.output(key)

    def output(self, key):
        return json.loads((self.folder / key / "out.json").read_text())

    def file(self, key):
        return self.folder / key / "cycling.h5"

    def free(self):
        return ChannelPool(self.journal, 8).free


@pytest.fixture
def cycler(tmp_path):
    return CyclerBench(tmp_path)


class TestChannels:
    def test_reserve_until_there_are_no_more_and_give_back(self, cycler):
        code, log = cycler.run(cycler.channels("a", 6))
        assert code == 0, log
        first = cycler.output("a")
        assert (first["success"], first["reservation_id"]) == (True, "reservation-a")
        assert first["channels"] == [1, 2, 3, 4, 5, 6]
        code, log = cycler.run(cycler.channels("b", 3))
        assert code == 69
        assert "2 of 8 are free" in log
        assert "reservation-a (6)" in log
        assert cycler.free() == [7, 8]
        assert cycler.run(cycler.channels("c", 1, release="reservation-a"))[0] == 0
        assert cycler.free() == list(range(1, 9))
        assert cycler.run(cycler.channels("b", 3))[0] == 0

    def test_simultaneous_reservations_never_oversell(self, cycler):
        calls = [cycler.channels(f"key-{index}", 3) for index in range(8)]
        processes = [cycler.start(call) for call in calls]
        for process in processes:
            process.communicate(timeout=60)
        codes = [process.returncode for process in processes]
        assert sorted(codes) == [0, 0, *[69] * 6]
        sold = [ch for index, code in enumerate(codes) if not code for ch in cycler.output(f"key-{index}")["channels"]]
        assert len(sold) == len(set(sold)) == 6

    @pytest.mark.parametrize(
        ("more", "code"),
        [({"number_required_channels": 9}, 65), ({"number_required_channels": 0}, 64), ({"release": "nobody's"}, 64)],
        ids=["more than there are", "none", "unknown reservation"],
    )
    def test_what_cannot_be_reserved(self, cycler, more, code):
        assert run_cycler(cycler.channels("a", 1, **more)) == code
        assert cycler.free() == list(range(1, 9))

    def test_a_reservation_given_back_takes_no_new_cells(self, cycler, capsys):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.channels("back", 1, release="reservation-r")) == 0
        assert run_cycler(cycler.cycling("k", "cell-1", 10)) == 65
        assert "given back at" in capsys.readouterr().err


class TestCycling:
    def test_forty_cycles_and_then_on_to_two_hundred(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve(n=1)
        code, log = cycler.run(cycler.cycling("forty", "cell-1", 40))
        assert code == 0, log
        assert cycler.free() == [2, 3, 4, 5, 6, 7, 8]
        assert cycler.run(cycler.cycling("all", "cell-1", 200))[0] == 0
        forty, everything = cycler.output("forty"), cycler.output("all")
        assert len(forty["capacity_list"]) == 80
        assert len(everything["capacity_list"]) == 400
        assert everything["capacity_list"][:80] == forty["capacity_list"]
        assert forty["features"] == everything["features"]
        assert None not in [forty["features"][name] for name in FEATURES]
        assert cycler.free() == list(range(1, 9)), "the cell has all its cycles, the channel is free"
        assert run_cycler(cycler.cycling("ten", "cell-1", 10)) == 0
        assert cycler.output("ten")["capacity_list"] == forty["capacity_list"][:20]
        acts = [(line["key"], line["act"], line["sample"]) for line in cycler.inventory.read_ledger()]
        assert acts == [("forty", "cycle", "cell-1"), ("all", "cycle", "cell-1"), ("ten", "read", "cell-1")]
        assert cycler.inventory.get("cell-1").content["cycles"] == 200

    def test_currents_follow_from_the_electrode(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 2)) == 0
        output = cycler.output("k")
        assert output["protocol"]["capacity"] == pytest.approx(0.0015386, rel=1e-12)  # 1 mAh/cm2 * 1.5386 cm2
        assert output["protocol"]["cycling"]["discharge"] == pytest.approx(0.0015386)
        assert output["protocol"]["formation"]["charge"] == pytest.approx(0.00015386)
        halves = read_half_cycles(cycler.file("k"))
        assert halves[2].current == pytest.approx(np.full(100, -0.0015386))
        assert 0.7 < output["capacity_list"][1] / 0.0015386 < 1.05
        assert len(output["formation"]["capacities"]) == 6
        # the lithium of the passive layer is lost in the first charge
        assert 0.8 < output["formation"]["capacities"][1] / output["formation"]["capacities"][0] < 0.95

    def test_file_holds_what_is_reported(self, cycler):
        h5py = pytest.importorskip("h5py")
        key = "5f0c3a52-9a2f-4c57-9d0e-2f7c3d1b8e44-cycling-1"
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling(key, "cell-1", 40)) == 0
        output, path = cycler.output(key), cycler.file(key)
        halves = read_half_cycles(path)
        assert list(halves) == list(range(1, 81))
        assert capacity_list(halves) == pytest.approx(output["capacity_list"], rel=1e-12)
        for name, value in early_features(halves).values().items():
            assert value == pytest.approx(output["features"][name], rel=1e-9)
        assert [half.capacity() for half in read_formation(path)] == pytest.approx(output["formation"]["capacities"])
        attributes = read_attributes(path)
        assert attributes["simulated"]
        assert (attributes["cell"], attributes["request"]) == ("cell-1", key[:36])
        assert json.loads(attributes["protocol"]) == output["protocol"]
        units = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, node: units.update({name: node.attrs.get("unit")} if hasattr(node, "shape") else {})
            )
            assert file["features"].attrs["capacity_vector_variance"] == output["features"]["capacity_vector_variance"]
            time_, energy = file["raw/Testtime(s)"][()], file["raw/discharge_Energy(Wh)"][()]
        assert len(units) == 7 + 6 * (80 + 6 + 2)
        assert all(units.values())
        assert (units["raw/Voltage(V)"], units["split/Cycle_7/chargeE"], units["split/Cycle_7/C"]) == (
            b"V",
            b"Wh",
            b"Ah",
        )
        assert np.all(np.diff(time_) >= 0)
        assert energy.max() == pytest.approx(max(half.energy()[-1] for half in read_formation(path)[1::2]))

    def test_too_few_cycles_have_no_features(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 39)) == 0
        output = cycler.output("k")
        assert [output["features"][name] for name in FEATURES] == [None] * 3
        assert "half cycle 79, 80" in output["features"]["reasons"]["capacity_vector_variance"]
        assert output["success"]

    def test_a_cell_that_is_elsewhere(self, cycler):
        cycler.add_cell("cell-1", address="AutoBASS")
        cycler.reserve()
        code, log = cycler.run(cycler.cycling("k", "cell-1", 10))
        assert code == 65
        assert "AutoBASS, tray 1, 7" in log
        cycler.inventory.move("cell-1", make_location("Cycler"), "transported")
        assert run_cycler(cycler.cycling("k", "cell-1", 10)) == 0

    @pytest.mark.parametrize(
        ("more", "code", "text"),
        [
            ({"capacity": 0.0015386, "I_max": 0.0015}, 64, "is up to I_max, 0.0015 A"),
            ({"reservation": "reservation-x"}, 64, "the latest are reservation-r"),
            ({"n_cycles": 201}, 65, "reservation-r is for 200"),
            ({"n_cycles": 5000}, 65, "1 to 1000 cycles"),
            ({"V_min": 1.0}, 65, "V_min is 1 V"),
            ({"c_rate_charge": 0}, 65, "c_rate_charge is 0 1/h"),
            ({"c_rate_charge": "fast"}, 64, "parameters.c_rate_charge: 'fast'"),
            ({"cell": "cell-9"}, 64, "'cell-9' is not in"),
            ({"cell_info": {}}, 65, "parameters.cell_info.uuid"),
            ({"location": {}}, 64, "parameters.location.address"),
            ({"cell_info": {"uuid": "cell-1", "batch": 5}}, 64, "parameters.cell_info.batch: 5"),
            ({"V_max": 2.0, "V_min": 3.0}, 64, "less than V_max, 2 V"),
            ({"CV_I_cutoff": 0}, 65, "CV_I_cutoff is 0 A"),
            ({"number_cycles": 10**400}, 65, "1 to 1000 cycles"),
            ({"settings": {"inventory": None}}, 64, "settings.inventory"),
            ({"settings": {"ageing": "fast"}}, 64, "published_coin_cell"),
            ({"settings": {"file": "../x.h5"}}, 64, "without a folder"),
        ],
    )
    def test_what_is_refused(self, cycler, capsys, more, code, text):
        cycler.add_cell("cell-1")
        cycler.reserve()
        call = {"cell": "cell-1", "n_cycles": 10} | more
        assert run_cycler(cycler.cycling("k", **call)) == code
        assert text in capsys.readouterr().err
        assert cycler.inventory.read_ledger() == []

    @pytest.mark.skipif(find_spec("pybamm") is not None, reason="PyBaMM is installed")
    def test_pybamm_is_not_installed(self, cycler, capsys):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 10, settings={"ageing": "pybamm_spme"})) == 64
        log = capsys.readouterr().err
        assert "settings.ageing" in log
        assert "pip install 'aiida-finales[pybamm]'" in log
        assert cycler.inventory.read_ledger() == []

    def test_channels_of_a_reservation_run_out(self, cycler, capsys):
        for name in ("cell-1", "cell-2"):
            cycler.add_cell(name)
        cycler.reserve(n=1)
        assert run_cycler(cycler.cycling("a", "cell-1", 10)) == 0
        assert run_cycler(cycler.cycling("b", "cell-2", 10)) == 65
        assert "1: cell-1" in capsys.readouterr().err

    def test_one_cell_one_protocol_one_channel(self, cycler, capsys):
        cycler.add_cell("cell-1")
        cycler.reserve()
        cycler.reserve("s")
        assert run_cycler(cycler.cycling("a", "cell-1", 10)) == 0
        assert run_cycler(cycler.cycling("b", "cell-1", 20, c_rate_charge=0.5)) == 65
        assert "c_rate_charge 1.0 instead of 0.5" in capsys.readouterr().err
        assert run_cycler(cycler.cycling("c", "cell-1", 20, reservation="reservation-s")) == 65
        assert "is on channel 1 of reservation-r" in capsys.readouterr().err

    def test_cells_differ_and_formulation_matters(self, cycler):
        for name, molality in (("good-1", 1.0), ("good-2", 1.0), ("poor", 0.2)):
            cycler.add_cell(name, molality=molality)
        cycler.add_cell("leaky", defect="unsealed_cell")
        cycler.reserve(n=4)
        kept = {}
        for name in ("good-1", "good-2", "poor", "leaky"):
            assert run_cycler(cycler.cycling(f"key-{name}", name, 60)) == 0
            discharge = cycler.output(f"key-{name}")["capacity_list"][1::2]
            kept[name] = discharge[-1] / discharge[0]
        assert kept["good-1"] != kept["good-2"]
        assert max(kept["poor"], kept["leaky"]) < min(kept["good-1"], kept["good-2"])

    def test_with_a_clock_it_takes_its_time_and_others_go_on(self, cycler):
        for name in ("cell-1", "cell-2"):
            cycler.add_cell(name)
        cycler.reserve()
        # ten cycles at 1C are 20 h: 2 s at this speed
        calls = [cycler.cycling(f"key-{name}", name, 10, settings={"speed": 36000.0}) for name in ("cell-1", "cell-2")]
        began = time.monotonic()
        processes = [cycler.start(call) for call in calls]
        for process in processes:
            process.communicate(timeout=60)
        assert [process.returncode for process in processes] == [0, 0]
        assert time.monotonic() - began > 2.0
        ready = [cycler.output(f"key-{name}")["ready_at"] for name in ("cell-1", "cell-2")]
        assert abs(ready[1] - ready[0]) < 2.0, "one after the other would be 2 s apart"
        # the cell goes on for 400 h of the laboratory although the reservation is given back
        assert run_cycler(cycler.channels("back", 1, release="reservation-r")) == 0
        assert cycler.free() == [3, 4, 5, 6, 7, 8]

    def test_given_back_without_a_clock_all_channels_are_free(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("a", "cell-1", 40)) == 0
        assert run_cycler(cycler.channels("back", 1, release="reservation-r")) == 0
        assert cycler.free() == list(range(1, 9))
        assert run_cycler(cycler.cycling("b", "cell-1", 200)) == 0, "what the cell went on to do can still be read"


class TestFaults:
    def test_one_key_never_starts_twice(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        call = cycler.cycling("k", "cell-1", 40, settings={"fault": "die_after_act"})
        assert cycler.run(call)[0] == 1
        assert cycler.run(call)[0] == 75
        assert cycler.run(call)[0] == 75
        assert [line["key"] for line in cycler.inventory.read_ledger()] == ["k"]
        journal = ["--journal", str(cycler.journal), "--key", "k", "--reason", "the channel is idle"]
        assert run_cycler([*journal, "--settle", "not-done"]) == 0
        assert cycler.run(call)[0] == 0

    def test_the_same_key_again_brings_the_same_file(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        call = cycler.cycling("k", "cell-1", 40)
        assert run_cycler(call) == 0
        first = cycler.file("k").read_bytes()
        cycler.file("k").unlink()
        cycler.inventory.move("cell-1", make_location("bin"), "thrown away")
        assert run_cycler(call) == 0
        assert cycler.file("k").read_bytes() == first
        assert len(cycler.inventory.read_ledger()) == 1

    def test_a_lost_file_is_no_success(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        call = cycler.cycling("k", "cell-1", 5)
        assert run_cycler(call) == 0
        (cycler.journal / "files" / "k.h5").unlink()
        assert run_cycler(call) == 75

    @pytest.mark.parametrize(
        ("fault", "code"), [("device_unavailable", 69), ("device_fault", 70), ("fault_after_act", 75)]
    )
    def test_exit_status(self, cycler, fault, code):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 5, settings={"fault": fault})) == code
        assert len(cycler.inventory.read_ledger()) == (1 if code == 75 else 0)

    def test_a_restart_loses_cycles_and_says_so(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 40, settings={"fault": "cycler_reboot"})) == 0
        output = cycler.output("k")
        assert (output["success"], output["meta"]) == (False, {"success": False, "rating": 1})
        assert "the data lack" in output["reason"]
        assert len(output["missing_cycles"]) == 4
        assert len(output["capacity_list"]) == 72
        assert len(read_half_cycles(cycler.file("k"))) == 72

    def test_a_broken_sensor_has_the_lowest_rating(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 40, settings={"fault": "sensor_out_of_range"})) == 0
        output = cycler.output("k")
        assert output["meta"]["rating"] == 1
        assert "the voltage leaves 2.5 to 4.2 V in cycle" in output["reason"]
        assert run_cycler(cycler.cycling("good", "cell-1", 40)) == 0
        assert cycler.output("good")["meta"] == {"success": True, "rating": 4}


def test_reads_the_parameters_of_the_schema():
    from aiida_finales.schemas.quantities.cycling import CapacityCyclingInput

    others = {"cycling_protocol", "cell_info", "location", "reservation_number", "I_max", "capacity"}
    cutoffs = {"CV_I_cutoff", "CV_I_cutoff_formation"}
    assert set(LIMITS) | others | cutoffs == set(CapacityCyclingInput.model_fields)
    assert set(DEFAULTS) <= set(LIMITS)


def test_output_fits_the_schema(cycler):
    from aiida_finales.schemas.quantities.cycling import CapacityCyclingOutput, CyclingChannelOutput

    cycler.add_cell("cell-1")
    CyclingChannelOutput.model_validate(cycler.reserve())
    assert run_cycler(cycler.cycling("k", "cell-1", 40)) == 0
    CapacityCyclingOutput.model_validate(cycler.output("k") | cycler.output("k")["features"])
    assert cycler.output("k")["simulated"] is True
    assert cycler.output("k")["maximum_charging_rate"] == pytest.approx(1.0, abs=0.05)


def test_driver_starts_fast():
    script = (
        "import sys, aiida_finales.lab.simulated.cycler; "
        "print([name for name in sys.modules if name.split('.')[0] in {slow}])"
    )
    script = script.replace("{slow}", "{'h5py', 'scipy', 'pydantic', 'pandas', 'aiida'}")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_file_of_two_hundred_cycles_is_small(cycler):
    cycler.add_cell("cell-1")
    cycler.reserve()
    assert run_cycler(cycler.cycling("k", "cell-1", 200)) == 0
    assert cycler.file("k").stat().st_size < 5e6


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pybamm") is None, reason="needs the extra 'pybamm'")
class TestPybamm:
    settings = {"ageing": "pybamm_spme"}  # noqa: RUF012

    def test_file_and_output_are_as_ever_and_say_who_computed_them(self, cycler):
        cycler.add_cell("cell-1")
        cycler.reserve()
        assert run_cycler(cycler.cycling("k", "cell-1", 3, settings=self.settings)) == 0
        result, halves = cycler.output("k"), read_half_cycles(cycler.file("k"))
        attributes = read_attributes(cycler.file("k"))
        assert result["ageing"] == attributes["ageing"]
        assert result["ageing"].startswith("pybamm_spme (PyBaMM ")
        assert (result["simulated"], attributes["simulated"]) == (True, True)
        assert result["success"]
        assert result["meta"]["rating"] == 4
        assert sorted(halves) == [1, 2, 3, 4, 5, 6]
        assert result["capacity_list"] == pytest.approx(capacity_list(halves))
        assert len(read_formation(cycler.file("k"))) == 6
        assert [line["act"] for line in cycler.inventory.read_ledger()] == ["cycle"]

    def test_a_cell_that_cannot_be_cycled_is_refused_before_the_act(self, cycler, capsys):
        cycler.add_cell("cell-1", molality=0.005)
        cycler.reserve()
        call = cycler.cycling("k", "cell-1", 3, settings=self.settings, c_rate_discharge=5)
        assert run_cycler(call) == 65
        assert "cannot complete cycle 1 of 3" in capsys.readouterr().err
        assert cycler.inventory.read_ledger() == []


CHANNELS = {"number_required_channels": 2, "cycling_protocol": "standard", "number_cycles": 10}
CYCLING = {
    "cycling_protocol": "standard",
    "number_cycles": 10,
    "cell_info": cell_info(),
    "location": place(),
    "reservation_number": "reservation-r",
    "capacity": 0.002,
    "I_max": 0.01,
    "CV_I_cutoff": 1e-4,
    "CV_I_cutoff_formation": 1e-4,
    **DEFAULTS,
    "cycling_V_min": 2.5,
    "cycling_V_max": 4.2,
}


@pytest.mark.parametrize(
    ("quantity", "method", "parameters"),
    [("cycling_channel", "service", CHANNELS), ("capacity", "cycling", CYCLING)],
)
def test_the_reader_accepts_what_the_schema_accepts(demand_same_reading, lab, quantity, method, parameters):
    demand_same_reading(quantity, method, parameters, read_cycler_order, inventory=str(lab.inventory.folder))
