"""Cells of other chemistries: what they are made of is said by name, and how they age follows from the records."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.simulated.autobass import _make_cell, assembly_limitations
from aiida_finales.lab.simulated.autobass_order import read_assembly
from aiida_finales.lab.simulated.cells import default_cells, read_cells
from aiida_finales.lab.simulated.cycler import cycling_limitations, live
from aiida_finales.lab.simulated.cycler_order import CyclerSettings, read_cycler_order
from aiida_finales.lab.simulated.inventory import Inventory, Thing, create_laboratory
from aiida_finales.lab.simulated.laboratory import read_laboratory
from aiida_finales.schemas.cells import find_electrode
from aiida_finales.schemas.chemicals.mixture import read_mixture
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.limitations.offer import Offer, check
from aiida_finales.schemas.registry import validate_parameters
from aiida_finales.science.ageing.twin import Protocol, standard_stage
from aiida_finales.science.electrolyte.known_density import find_density

SODIUM = "1 mol/kg NaPF6 in EC:EMC 3:7 w/w"
MAGNESIUM = {"Mg(TFSI)2": 0.04, "MgCl2": 0.04, "DME": 0.92}
NVP = {"name": "NVP", "areal_mass": 10.0}
SIZE = 1.5386


@pytest.fixture
def folder(tmp_path):
    return Inventory(tmp_path / "laboratory", create=True).folder


def parameters(mixture, cathode, anode, **cell):
    electrolyte = make_formulation(read_mixture(mixture, find_density).fractions)
    chemistry = {"electrolyte": electrolyte, "cathode": cathode, "anode": anode}
    return {"cell": {"battery_chemistry": chemistry, **cell}, "cell_info": {"electrolyte_info": {"uuid": "vial-1"}}}


def assemble(folder, mixture, cathode, anode, records=(), **cell):
    """Return a cell as the robot makes it."""
    order = {"quantity": "cell_assembly", "method": "autobass_assembly", "settings": {"inventory": str(folder)}}
    order |= {"parameters": parameters(mixture, cathode, anode, **cell), "electrodes": list(records)}
    fractions = read_mixture(mixture, find_density).fractions
    vial = Thing("vial-1", "vial", {"address": "AutoBASS"}, content={"fractions": fractions, "amount_mL": 9.0})
    return _make_cell(read_assembly(order), vial, "cell-1", {"address": "Cycler", "detail_2": "1"}, None)


def cycle(folder, cell, low, high, rate=1.0, n_cycles=100):
    """Return the discharge capacities after formation over the nominal one."""
    capacity = cell.content["cathode"]["mass_loading"] * cell.content["cathode"]["size"] * 1e-3
    stages = (standard_stage(capacity, 0.1, low, high), standard_stage(capacity, rate, low, high))
    life = live(cell, CyclerSettings(inventory=str(folder)), Protocol(*stages), n_cycles)
    return life, life.discharge_capacities() / capacity


@pytest.mark.parametrize(
    ("cell", "window", "system", "voltage"),
    [
        ((SODIUM, NVP, "hard carbon"), (1.5, 4.0), "sodium_hard_carbon", 3.2),
        ((SODIUM, {**NVP, "name": "NVPF"}, "hard carbon"), (1.5, 4.4), "sodium_hard_carbon", 3.7),
        ((MAGNESIUM, {**NVP, "name": "PAQS"}, "Mg"), (0.5, 2.5), "magnesium_organic", 1.5),
        ((MAGNESIUM, {**NVP, "name": "PHBQS"}, "Mg"), (0.5, 3.0), "magnesium_organic", 2.0),
    ],
    ids=["NVP", "NVPF", "PAQS", "PHBQS"],
)
def test_other_chemistries_age(folder, cell, window, system, voltage):
    cell = assemble(folder, *cell)
    life, shares = cycle(folder, cell, *window, rate=0.2)
    assert life.name == system
    assert 0.7 < shares[0] < 1.1
    assert shares[-1] < 0.9 * shares[0]
    half = life.discharge_half(0)  # at C/10
    assert np.mean(half.voltage) == pytest.approx(voltage, abs=0.25)


def test_the_capacity_is_that_of_the_record(folder):
    """Another record of an electrode is another cell: adding one by file changes an answer."""
    cell = assemble(folder, SODIUM, NVP, "hard carbon")
    assert cell.content["cathode"]["mass_loading"] == pytest.approx(1.10)  # mAh/cm2: 10 mg/cm2 of 110 mAh/g
    mine = {
        "name": "NFPP",
        "polarity": "positive",
        "working_ions": ["Na"],
        "structure_class": "NASICON",
        "practical_capacity": {"value": 95.0, "source": "a bench", "status": "measured"},
        "mean_potential": {"value": 3.0, "source": "a bench", "status": "measured"},
    }
    named = {"name": "NFPP", "record": "profile 2", "areal_mass": 10.0, "mass_loading": 0.95}
    named["material"] = make_formulation({"EC": 1.0})
    offer = folder / "laboratory.yaml"
    offer.write_text("stock_solutions: {EMC: EMC}\ncells: {negative: [hard carbon]}\n")
    sent = {**mine, "origin": "profile", "version": "2"}
    with pytest.raises(DeviceLimitationError, match="cathode is NFPP, but the laboratory has"):
        assemble(folder, SODIUM, named, "hard carbon", [sent])
    offer.write_text(
        "stock_solutions: {EMC: EMC}\ncells: {positive: [NFPP], negative: [hard carbon]}\nelectrodes:\n"
        "- {name: NFPP, polarity: positive, working_ions: [Na]}\n"
    )
    other = assemble(folder, SODIUM, named, "hard carbon", [sent])
    assert other.content["cathode"]["mass_loading"] == 0.95
    [first, second] = (cycle(folder, each, 1.5, 4.0) for each in (cell, other))
    assert second[0].discharge[0] / first[0].discharge[0] == pytest.approx(95 / 110, rel=0.01)
    gap = first[0].discharge_half(0).voltage.mean() - second[0].discharge_half(0).voltage.mean()
    assert gap == pytest.approx(0.4, abs=0.02)
    assert other.content["electrodes"][1]["version"] == "2"


def test_lithium_nickel_oxide_lasts_less_the_larger_the_cation(folder):
    (folder / "laboratory.yaml").write_text("stock_solutions: {EMC: EMC}\ncells: {electrolyte_volume_uL: [10, 400]}\n")
    left = {}
    for salt in ("LiPF6", "NaPF6", "KPF6"):
        housing = {"format": "Swagelok", "separator": {"name": "GF/A", "size": 1.13}, "electrolyte_volume": 300.0}
        anode = {"name": "AC", "areal_mass": 500.0, "size": 1.13}
        cathode = {"name": "LNO", "areal_mass": 10.0, "size": 1.13}
        cell = assemble(folder, f"1 M {salt} in EC:EMC 3:7 w/w, 1.2 g/cm3", cathode, anode, **housing)
        life, shares = cycle(folder, cell, 0.2, 1.4, rate=0.1, n_cycles=50)
        assert life.name == "lno_activated_carbon"
        left[salt] = shares[-1] / shares[0]
    assert left["LiPF6"] > left["NaPF6"] > left["KPF6"] > 0


def test_magnesium_needs_its_chloride(folder):
    without = {"Mg(TFSI)2": 0.08, "DME": 0.92}
    pair = [assemble(folder, mixture, {**NVP, "name": "PAQS"}, "Mg") for mixture in (MAGNESIUM, without)]
    with_it, lone = (cycle(folder, cell, 0.5, 2.5, rate=0.2)[1] for cell in pair)
    assert lone[30] < 0.8 * with_it[30]


def test_a_thick_separator_costs_voltage(folder):
    volume = {"electrolyte_volume": 80.0}
    thin = assemble(folder, SODIUM, NVP, "hard carbon", separator={"name": "Celgard 2325", "size": 2.0}, **volume)
    thick = assemble(folder, SODIUM, NVP, "hard carbon", separator={"name": "GF/A", "size": 2.0}, **volume)
    voltages = [cycle(folder, cell, 1.5, 4.0)[0].discharge_half(1).voltage.mean() for cell in (thin, thick)]
    assert voltages[1] < voltages[0]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"separator": {"name": "GF/D", "size": 2.0}}, "the pores of Whatman GF/D .2 cm².* take 122 µL"),
        ({"format": "CR2032", "electrolyte_volume": 81.0}, "accepts 10 to 80 µL"),
        ({"electrolyte_volume": 500.0}, "accepts 10 to 80 µL"),
    ],
    ids=["dry", "volume", "robot"],
)
def test_what_cannot_be_is_refused(folder, cell, words):
    with pytest.raises(DeviceLimitationError, match=words):
        assemble(folder, SODIUM, NVP, "hard carbon", **cell)
    with pytest.raises(DeviceLimitationError, match=r"cathode has 2.5 cm², but CR2032 .*2.01 cm²"):
        assemble(folder, SODIUM, {**NVP, "size": 2.5}, "hard carbon", format="CR2032")


def test_a_window_without_the_cell_in_it_is_refused(folder):
    cell = assemble(folder, MAGNESIUM, {**NVP, "name": "PAQS"}, "Mg")
    with pytest.raises(
        DeviceLimitationError, match=r"between 2.5 and 4.2 V nothing flows: .* lies between 1.25 and 2.00"
    ):
        cycle(folder, cell, 2.5, 4.2)


def test_an_order_that_names_other_electrodes_is_refused(folder):
    named = validate_parameters("capacity", "cycling", _cycling(battery_chemistry=_chemistry("NVP")))
    order = {"quantity": "capacity", "method": "cycling", "settings": {"inventory": str(folder)}, "parameters": named}
    assert read_cycler_order(order).electrodes == {"cathode": "NVP", "anode": "hard carbon"}


def _chemistry(cathode):
    return parameters(SODIUM, cathode, "hard carbon")["cell"]["battery_chemistry"]


def _cycling(**more):
    names = {"cycling_protocol": "p", "reservation_number": "r", "number_cycles": 5}
    return {**names, "cell_info": {"uuid": "cell-1"}, "location": {"address": "Cycler"}, **more}


class TestLimitations:
    @pytest.mark.parametrize(
        ("cathode", "anode", "path"),
        [("NVP", "hard carbon", None), ("NVP", "graphite", "cathode.name"), ("LFP", "Gr-Si", None), (None, None, None)],
    )
    def test_pairs_go_together(self, cathode, anode, path):
        salt = "NaPF6" if cathode == "NVP" else "LiPF6"
        asked = parameters({salt: 0.08, "EC": 0.4, "EMC": 0.52}, cathode, anode)
        chemistry = asked["cell"]["battery_chemistry"]
        for key in ("cathode", "anode"):
            if chemistry[key] is None:
                del chemistry[key]
        offer = Offer("cell_assembly", "autobass_assembly", assembly_limitations(default_cells()))
        found = check(offer, validate_parameters(offer.quantity, offer.method, asked))
        assert [item.path for item in found] == ([f"cell.battery_chemistry.{path}"] if path else [])

    def test_a_cycler_says_its_voltages_and_electrodes(self):
        offer = Offer("capacity", "cycling", cycling_limitations(read_cells({"voltage_V": [0, 4.5]})))
        assert check(offer, _cycling(V_min=0.5)) == []
        assert [item.path for item in check(offer, _cycling(V_min=-1.0))] == ["V_min"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"positive": ["NMC812"]}, "cells.positive: electrode 'NMC812' is not known here: did you mean NMC811"),
        ({"positive": ["graphite"]}, "cells.positive: 'graphite' was given, accepted is a positive electrode"),
        ({"voltage_V": [5, 0]}, "the lowest first"),
        ({"colour": 1}, "cells: key: 'colour'"),
        ({"systems": [{"name": "x"}]}, "cells.systems: system 'x': .*lacking"),
        (
            {"systems": [{"name": "x", "positive": "*", "negative": "*", "ions": ["Zn"], "ageing": {"knee": 1}}]},
            "ions is",
        ),
    ],
    ids=["unknown", "polarity", "range", "key", "system", "ion"],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path, section, words):
    with pytest.raises(DeviceInputError, match=words):
        read_cells(section)


def test_a_laboratory_describes_its_electrodes_and_how_they_age(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "offers: {electrolyte: {stocks: [a]}}\nstock_solutions: {a: '1 M NaPF6 in EC:EMC 3:7 w/w, 1.2 g/cm3'}\n"
        "electrodes:\n- name: mystery\n  polarity: positive\n  working_ions: [Na]\n"
        "  mean_potential: {value: 3, source: here, status: invented}\n"
        "cells:\n  positive: [mystery]\n  negative: [hard carbon]\n  systems:\n"
        "  - {name: mine, positive: [mystery], negative: '*', ions: Na, ageing: {square_root: 0.1, early: 0, "
        "early_cycles: 9, linear: 0, knee: 400, side_reaction: 0.3, resistance: 0.1, electrolyte_share: 0.3, "
        "resistance_growth: 1, lag: 0.05}}\n"
    )
    laboratory = read_laboratory(path)
    folder = create_laboratory(tmp_path / "laboratory", laboratory).folder
    assert find_electrode("Mystery").record == "laboratory laboratory 1"
    cell = assemble(folder, SODIUM, {"name": "mystery", "mass_loading": 1.0}, "hard carbon")
    assert cycle(folder, cell, 1.5, 4.0)[0].name == "mine"
