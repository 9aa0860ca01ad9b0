"""How a potential was learned, as people see it: of a work chain that has ended, beside results of its liquid."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.broker.listing import Selection, list_result_rows
from aiida_finales.data.capability import find_capability
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.result import ResultData
from aiida_finales.operations.campaign.potential_pictures import draw_potential, draw_potentials
from aiida_finales.operations.potential.learning import chart_forces, find_forces, read_learning
from aiida_finales.operations.request.records import describe_results, detail_result
from aiida_finales.potential.learning import chart_learning
from aiida_finales.schemas.formulation import make_formulation

pytest.importorskip("matplotlib")

SMALL = Path(__file__).parents[2] / "potential" / "small"
LIQUID = {"EC": 0.33333, "EMC": 0.55556, "NaPF6": 0.11111}
ERRORS = {"forces_meV_A": 270.0, "forces_by_element_meV_A": {"Na": 260.0, "O": 300.0}}
LOG = "time_ps,temperature_K,potential_eV,kinetic_eV,spread_eV_A\n0.1,320,-5.0,1.0,0.1\n0.2,331,-4.0,1.0,0.2\n0.3,33"
PAIRS = "spread_eV_A,error_eV_A\n0.1,0.2\n0.3,0.25\n"
SHELL = {"total": {"number": 5.0}, "molecules": {"EC carbonyl O": {"number": 2.0}, "PF6 F": {"number": 1.0}}}
FIGURES = ["learning", "elements", "temperature-by-round", "energy-by-round", "trusted", "doubt"]


def call(chain, label, process, **files):
    """Store a calculation of a work chain, with what it left."""
    process.base.links.add_incoming(chain, LinkType.CALL_CALC, label)
    process.store()
    retrieved = orm.FolderData()
    for name, text in files.items():
        retrieved.base.repository.put_object_from_filelike(io.BytesIO(text.encode()), f"{name}.csv")
    retrieved.base.links.add_incoming(process, LinkType.CREATE, "retrieved")
    retrieved.store()
    return process


@pytest.fixture
def learned(desk, aiida_localhost):
    """A potential of one round, as the work chain leaves it."""
    chain = orm.WorkChainNode().store()

    def step(label, **files):
        node = orm.CalcJobNode(computer=aiida_localhost)
        node.set_option("resources", {"num_machines": 1})
        call(chain, label, node, **files)

    step("round_00_start_00_1", log=LOG.replace("331", "999"))
    step("round_00_start_00_2", log=LOG)
    step("round_00_evaluate_1", spread_error=PAIRS)
    node = PotentialData(SMALL)
    node.base.links.add_incoming(call(chain, "round_00_assemble", orm.CalcFunctionNode()), LinkType.CREATE, "result")
    node.store()
    dynamics = {"start_00": {"ps": 0.25, "ended_by": "spread: 2.00 eV/Å"}}
    relabelled = {**ERRORS, "forces_meV_A": 859.0, "classical_forces_meV_A": 617.0, "distrust": "3.2 times"}
    point = {"round": 0, "n_frames": 20, "held_out": ERRORS, "relabelled": relabelled, "dynamics": dynamics}
    curve = orm.List([point])
    curve.base.links.add_incoming(call(chain, "curve", orm.CalcFunctionNode()), LinkType.CREATE, "result")
    curve.store()
    curve.base.links.add_incoming(chain, LinkType.RETURN, "curve")
    return node


def store_result(method, shares=None, temperature=330.0, run=None):
    """Store the coordination of a liquid."""
    data = {
        "coordination_number": {"values": [5.0], "temperature": temperature, "meta": {"success": True, "rating": 3}},
        "coordination": {"Na": SHELL},
        "simulation": {"run": run},
        "forces": {"statement": "GFN1-xTB, not DFT"},
    }
    parameters = {"formulation": make_formulation(shares or LIQUID), "temperature": temperature}
    return ResultData(find_capability("coordination_number", method), data, parameters).store()


def run_by(node):
    """Return the UUID of dynamics by a potential."""
    run = orm.WorkChainNode()
    run.base.links.add_incoming(node, LinkType.INPUT_WORK, "potential")
    return run.store().uuid


def test_no_temperature_is_shown_without_its_true_error(learned):
    learning = read_learning(learned)
    (first,) = learning.rounds
    # of a step that went on the last attempt counts, and of a log that was cut off whole lines
    assert first.walked[0].log["temperature_K"].tolist() == [320.0, 331.0]
    charts = {chart.name: chart for chart in chart_learning(learning)}
    assert list(charts) == FIGURES
    for name in ("temperature-by-round", "energy-by-round", "trusted"):
        assert charts[name].series[0].name == "round 0, true error 859 meV/Å"
    assert [mark.y for mark in charts["energy-by-round"].series[0].marks] == [0.0, 1.0]
    assert charts["trusted"].series[0].marks[0].lines == (("ended by", "spread: 2.00 eV/Å"),)
    assert all("not DFT" in chart.note for chart in charts.values())
    errors = {item.name: item.marks[0].y for item in charts["learning"].series if item.name}
    assert errors == {
        "held-out frames": 270.0,
        "visited frames, labelled again": 859.0,
        "classical force field, visited frames": 617.0,
    }


def test_beside_its_structure_is_that_of_others_of_the_same_liquid(learned):
    store_result("molecular_dynamics")
    store_result("molecular_dynamics", {"EC": 0.3, "EMC": 0.5, "NaPF6": 0.2})
    store_result("ab_initio_molecular_dynamics", temperature=400.0)
    # by another potential of the same liquid
    store_result("machine_learned_dynamics", run=run_by(PotentialData(SMALL).store()))
    assert [item.kind for item in read_learning(learned).structures] == ["classical"]
    own = store_result("machine_learned_dynamics", run=run_by(learned))
    assert [item.kind for item in read_learning(learned).structures] == ["classical", "potential"]
    assert find_forces(own).uuid == learned.uuid
    assert [chart.name for chart in chart_forces(own)] == [*FIGURES, "neighbours"]
    chart = chart_forces(own)[-1]
    assert chart.x.labels == ("Na, EC\ncarbonyl O", "Na, PF6\nF")
    assert [item.name for item in chart.series] == ["classical", "potential"]


def test_results_without_a_potential_have_no_figures_of_one(learned):
    assert chart_forces(store_result("molecular_dynamics")) == []
    assert chart_forces(store_result("ab_initio_molecular_dynamics")) == []


def test_it_is_drawn_for_a_person_and_in_the_report_of_a_campaign(learned, tmp_path):
    files = draw_potential(learned, tmp_path / "pictures", "svg")
    assert [file.stem for file in files] == FIGURES
    assert "<!-- round 0, true error 859 meV/Å -->" in files[2].read_text()
    own = store_result("machine_learned_dynamics", run=run_by(learned))

    class Asked:
        """A campaign with one result."""

        evaluations = (type("Told", (), {"pk": own.pk, "forces": "GFN1-xTB, not DFT"})(),)

    assert list(draw_potentials(Asked)) == [f"potential_{name}" for name in [*FIGURES, "neighbours"]]


def test_lists_of_results_say_whose_forces_they_are_of(desk):
    other = ResultData(find_capability("density", "literature"), {"density": {"values": [1.2]}}, {}).store()
    own = store_result("ab_initio_molecular_dynamics")
    rows = describe_results(list_result_rows(Selection()))
    assert {row["pk"]: row.get("forces") for row in rows} == {other.pk: None, own.pk: "GFN1-xTB, not DFT"}
    assert detail_result(own)["forces"] == "GFN1-xTB, not DFT: of unknown error"


def test_one_that_came_as_a_folder_knows_its_own_errors(desk):
    node = PotentialData(SMALL).store()
    learning = read_learning(node)
    assert [(item.n_frames, item.visited) for item in learning.rounds] == [(20, None)]
    assert [chart.name for chart in chart_learning(learning)] == ["learning", "elements"]
