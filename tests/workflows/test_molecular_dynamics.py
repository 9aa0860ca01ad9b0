"""Several cells side by side: what becomes of each, and what they mean together."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from aiida import orm
from aiida.common import AttributeDict, LinkType
from aiida.engine import run_get_node

from aiida_finales.broker.capability import load_capability
from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.results import delete_result
from aiida_finales.calculations import simulation as simulation_monitor
from aiida_finales.calculations.simulation import plan_simulation, seed_of
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import InputError
from aiida_finales.md.input import check_input
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.schemas.limitations.offer import Offer, check, nearest
from aiida_finales.workflows import molecular_dynamics
from aiida_finales.workflows.molecular_dynamics import (
    MolecularDynamicsWorkChain,
    fingerprint,
    prepare_simulation,
    replicate_of,
)
from aiida_finales.workflows.protocols import _read, fill_settings
from aiida_finales.workflows.serve import ServeRequestWorkChain

REPLAY = Path(__file__).parents[1] / "fixtures" / "molecular_dynamics" / "replay.py"
SHARES = {"EC": 0.3, "EMC": 0.45, "LiPF6": 0.25}
METHODS = {
    "conductivity": "molecular_dynamics",
    **dict.fromkeys(
        (
            "density",
            "viscosity",
            "self_diffusion_coefficient",
            "transference_number",
            "coordination_number",
            "heat_capacity",
        ),
        "molecular_dynamics",
    ),
    "radial_density_function": "molacular_dynamics",
}
EXITS = MolecularDynamicsWorkChain.exit_codes


def make_request(quantity="conductivity", shares=SHARES, **more):
    parameters = {"formulation": make_formulation(shares), "temperature": 303.15} | more
    return RequestData(quantity, {METHODS[quantity]: parameters}, "tester")


@pytest.fixture
def replay(desk, aiida_localhost, tmp_path, monkeypatch):
    """Return a function that makes a code which leaves the given cases, cell by cell."""
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    # what is replayed has 700 K where 303 K are asked for: a monitor that comes in time would stop it
    monkeypatch.setattr(simulation_monitor, "TEMPERATURE_PART", 1.6)

    def make(orders):
        (tmp_path / "orders.json").write_text(json.dumps(orders))
        script = tmp_path / "finales-md"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {REPLAY} {tmp_path / "orders.json"} "$@"\n')
        script.chmod(0o755)
        label = f"finales-md-{tmp_path.name}"
        return orm.InstalledCode(label=label, computer=aiida_localhost, filepath_executable=str(script)).store()

    return make


@pytest.fixture
def calls(tmp_path):
    """Return a function that reads what the program was called with for a cell."""

    def read(cell):
        return [json.loads(line) for line in (tmp_path / f"calls_{cell}.jsonl").read_text().splitlines()]

    return read


def make_tenant(code, quantity="conductivity", **overrides):
    settings = {"code": f"{code.label}@{code.computer.label}", "protocol": "fast", "overrides": overrides}
    offer = {"quantity": quantity, "method": METHODS[quantity], "limitations": {}, "settings": settings}
    return add_tenant(f"simulation of {quantity}", [offer], kind="internal")


@pytest.fixture
def simulate(replay):
    """Return a function that runs the work chain for a request, with cells that end as ordered."""

    def run(orders, quantity="conductivity", **overrides):
        code = replay(orders)
        overrides = {"n_cells": len([cell for cell in orders if int(cell) < 1000]), **overrides}
        tenant = make_tenant(code, quantity, **overrides)
        settings = tenant.find_offer(quantity, METHODS[quantity])["settings"]
        request = make_request(quantity).store()
        process, inputs = prepare_simulation(METHODS[quantity], request, tenant, settings)
        return run_get_node(process, **inputs)

    return run


def children(node, name):
    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return sorted(link.link_label for link in links if link.link_label.startswith(name))


# --- what becomes of a cell


def unexpected_errors(result):
    """Return what is wrong with a result, but for the replayed cell: 700 K, and a conductivity that goes with it."""
    errors = result.base.attributes.get("errors", [])
    replayed = [item for item in errors if item["path"].startswith("conductivity.values[") and item["given"] > 5.0]
    replayed += [item for item in errors if item["path"].endswith(".temperature") and item["given"] == 700.0]
    return [item for item in errors if item not in replayed]


@pytest.mark.slow
def test_cells_are_averaged_and_the_provenance_holds_it(simulate, calls):
    outputs, node = simulate({"0": ["diffusive"], "1": ["diffusive"]})
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"]
    values = result.data["conductivity"]["values"]
    assert len(values) == 2
    assert result.value == pytest.approx(values[0])
    assert (result.is_successful, result.rating) == (True, 4)
    assert not unexpected_errors(result)
    creator = result.creator
    assert creator.process_label == "collect_cells"
    averaged = {link.link_label for link in creator.base.links.get_incoming().all()}
    assert {"outputs__cell_01", "outputs__cell_02"} <= averaged or {"cell_01", "cell_02"} <= averaged
    assert children(node, "cell") == ["cell_01_1", "cell_02_1"]
    # the seed is that of the request, the cell that of the call
    seeds = {call["seed"] for cell in (0, 1) for call in calls(cell)}
    assert seeds == {seed_of(result.request_uuid)}


def test_the_result_has_the_published_form(simulate):
    result = simulate({"0": ["diffusive"], "1": ["diffusive"]})[0]["result"]
    data = result.data
    assert data["density"]["values"][0] == pytest.approx(1.2, abs=0.2)
    assert data["number_molecules_per_component"] == {
        "C1COC(=O)O1": 5,
        "CCOC(=O)OC": 7,
        "[Li+].F[P-](F)(F)(F)(F)F": 4,
    }
    achieved = [part["fraction"] for part in data["run_info"]["formulation"]]
    assert achieved == pytest.approx([5 / 16, 7 / 16, 4 / 16])
    distributions = data["RDF"]
    assert len(distributions["RDF"]) == len(distributions["pair_title"])
    assert len(distributions["RDF"][0]) == len(distributions["radius"])
    assert "Li4" in distributions["cell_formula"].split()
    assert data["transport"]["haven_ratio"] is None or data["transport"]["haven_ratio"] > 0
    assert data["simulation"]["ion_charge_scale"] == 0.8


@pytest.mark.parametrize("quantity", ["density", "radial_density_function"])
@pytest.mark.slow
def test_other_quantities_are_answered_by_the_same_cells(simulate, quantity):
    outputs, node = simulate({"0": ["caged"], "1": ["diffusive"]}, quantity)
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"]
    assert not unexpected_errors(result)
    assert (result.quantity, result.is_successful) == (quantity, True)


MORE = ["self_diffusion_coefficient", "transference_number", "coordination_number", "heat_capacity", "viscosity"]


@pytest.fixture
def ask(replay):
    """Return a function that serves a request of one tenant by one or two cells, and gives the result and the node."""

    def run(quantity="conductivity", **changes):
        settings = tenant.find_offer("conductivity", "molecular_dynamics")["settings"]
        request = make_request(quantity, **changes).store()
        process, inputs = prepare_simulation(METHODS[quantity], request, tenant, settings)
        outputs, node = run_get_node(process, **inputs)
        assert node.exit_status == 0, node.exit_message
        return outputs["result"], node

    tenant = make_tenant(replay({"0": ["diffusive"]}), "conductivity", n_cells=1)
    return run


def test_one_simulation_answers_all_that_is_asked_of_a_liquid(ask, calls):
    first, leader = ask()
    shuffled = dict(reversed([*SHARES.items()]))
    found = {quantity: ask(quantity, shares=shuffled)[0] for quantity in MORE}
    assert len(calls(0)) == 1
    assert children(leader, "cell") == ["cell_01_1"]
    for quantity, result in found.items():
        assert not unexpected_errors(result), quantity
        assert result.data["simulation"]["run"] == leader.uuid
        assert result.data["conductivity"] == first.data["conductivity"]
        # the composition is told in the order of the request, from cells in the order of another
        assert result.fractions == pytest.approx(first.fractions)
        assert result.data["number_molecules_per_component"] == first.data["number_molecules_per_component"]
    check_motion(*(found[name] for name in MORE[:2]))
    check_neighbours(found["coordination_number"])
    check_what_is_not_told(found["heat_capacity"], found["viscosity"])


def check_motion(diffusion, transference):
    """Check that every species has its number, and that values are those of the cation."""
    moving, shares = diffusion.data[MORE[0]], transference.data[MORE[1]]
    assert moving["of"] == shares["of"] == "Li"
    assert set(moving["by_species"]) == {"Li", "PF6", "EC", "EMC"}
    assert moving["by_species"]["Li"]["mean"] == pytest.approx(diffusion.value)
    assert 1e-10 < moving["by_species"]["EMC"]["mean"] < 1e-7
    assert sum(item["mean"] for item in shares["by_species"].values()) == pytest.approx(1.0)


def check_neighbours(result):
    """Check that neighbours by partner add up."""
    body = result.data["coordination_number"]
    assert set(body["by_partner"]) == {"Li-O(EC)", "Li-O(EMC)", "Li-F(PF6)"}
    assert sum(item["mean"] for item in body["by_partner"].values()) == pytest.approx(result.value)
    assert 2.3 < body["cutoff_angstrom"]["Li"] < 3.5


def check_what_is_not_told(heat, viscosity):
    """Check that what so short a run does not tell is no success, and says what would do."""
    assert (viscosity.is_successful, viscosity.value, viscosity.rating) == (False, None, 1)
    assert "1 cell of 120 ps: too short" in viscosity.data["viscosity"]["reason"]
    body = heat.data["heat_capacity"]
    assert (heat.is_successful, heat.value) == (False, None)
    assert "needed are 32: npt_ps" in body["reason"]
    assert body["isochoric"]["mean"] > 1000.0
    assert "classical" in body["how"]


def test_what_is_another_liquid_or_replicate_is_another_run(replay):
    tenant = make_tenant(replay({}))
    settings = tenant.find_offer("conductivity", "molecular_dynamics")["settings"]

    def identify(overrides=None, quantity="density", **changes):
        given = {**settings, "overrides": overrides or {}}
        request = make_request(quantity, **changes).store()
        _, inputs = prepare_simulation("molecular_dynamics", request, tenant, given)
        chosen = {name: inputs[name] for name in ("request", "settings", "method")}
        plan = plan_simulation(**chosen).get_dict()
        return fingerprint(plan, inputs["settings"].get_dict(), AttributeDict(inputs))

    same = {identify(), identify(quantity="viscosity"), identify(shares=dict(reversed([*SHARES.items()])))}
    same |= {identify({"max_parallel": 1, "attempts": 3}), identify(replicate=1)}
    assert len(same) == 1
    others = {identify(replicate=2), identify(temperature=313.15), identify({"protocol": {"production_ps": 400.0}})}
    others |= {identify({"n_cells": 3}), identify(shares={"EC": 0.301, "EMC": 0.449, "LiPF6": 0.25})}
    assert len(others | same) == 6


@pytest.mark.slow
def test_a_run_whose_result_was_taken_back_is_not_taken(ask, calls):
    first, _ = ask()
    delete_result(first.pk, "tester", "the wrong force field")
    second, _ = ask("density")
    assert second.data["simulation"]["run"] != first.data["simulation"]["run"]
    assert len({call["seed"] for call in calls(0)}) == 2


@pytest.mark.slow
def test_a_run_that_failed_is_not_taken(replay, calls):
    tenant = make_tenant(replay({"0": ["disk_full", "diffusive"]}), n_cells=1)
    settings = tenant.find_offer("conductivity", "molecular_dynamics")["settings"]
    ended = []
    for _ in range(2):
        process, inputs = prepare_simulation("molecular_dynamics", make_request().store(), tenant, settings)
        ended.append(run_get_node(process, **inputs)[1])
    assert [node.exit_status for node in ended] == [EXITS.ERROR_TOO_FEW_CELLS.status, 0]
    assert len(calls(0)) == 2


@pytest.mark.parametrize("number", [0, -1, "two", True, 1.5])
def test_a_replicate_that_has_no_number_is_refused(desk, number):
    with pytest.raises(InputError, match="accepted is a whole number from 1"):
        replicate_of(make_request(replicate=number), "molecular_dynamics")


@pytest.mark.slow
def test_cells_that_are_not_diffusive_count_and_lower_the_rating(simulate):
    outputs, node = simulate({"0": ["caged"], "1": ["caged"]})
    assert node.exit_status == 0, node.exit_message
    assert outputs["result"].rating == 1
    assert outputs["result"].is_successful
    assert "not diffusive" in outputs["result"].data["transport"]["flags"][0]


@pytest.mark.slow
def test_an_interrupted_cell_is_resumed_where_its_files_are(simulate, calls):
    outputs, node = simulate({"0": ["walltime", "nothing", "diffusive"], "1": ["diffusive"]})
    assert node.exit_status == 0, node.exit_message
    assert children(node, "cell_01") == ["cell_01_1", "cell_01_2", "cell_01_3"]
    first, second, third = calls(0)
    assert first["found"] == []
    assert "packed.pdb" in second["found"]
    assert "packed.pdb" in third["found"]
    assert outputs["result"].data["simulation"]["n_cells"] == 2


@pytest.mark.slow
def test_what_blows_up_begins_again_with_a_shorter_time_step(simulate, calls):
    _, node = simulate({"0": ["blown_up", "blown_up", "diffusive"], "1": ["diffusive"]})
    assert node.exit_status == 0, node.exit_message
    assert [(call["timestep"], call["found"]) for call in calls(0)] == [(2.0, []), (1.0, []), (0.5, [])]
    assert children(node, "shorten") == ["shorten_01_1", "shorten_01_2"]


@pytest.mark.slow
def test_a_time_step_is_not_shortened_for_ever(simulate, calls):
    outputs, node = simulate({"0": ["blown_up"], "1": ["diffusive"]})
    assert node.exit_status == 0, node.exit_message
    assert len(calls(0)) == 3
    # one value has no error: the lowest rating
    assert (len(outputs["result"].data["conductivity"]["values"]), outputs["result"].rating) == (1, 1)


@pytest.mark.slow
def test_a_cell_that_is_no_liquid_is_replaced_once(simulate, calls):
    orders = {"0": ["diffusive"], "1": ["diffusive"], "1000": ["diffusive"], "1001": ["diffusive"]}
    outputs, node = simulate(orders, density_range=[1.8, 2.5])
    assert node.exit_status == EXITS.ERROR_TOO_FEW_CELLS.status
    assert "0 of 2 cells could be used: cell 1: the cell is no liquid" in node.exit_message
    assert (len(calls(0)), len(calls(1000)), len(calls(1001))) == (1, 1, 1)
    assert "result" not in outputs


@pytest.mark.parametrize(
    ("case", "label"),
    [
        ("bad_input", "ERROR_BAD_INPUT"),
        ("unknown_species", "ERROR_UNKNOWN_SPECIES"),
        ("no_engine", "ERROR_NO_ENGINE"),
    ],
)
def test_what_no_cell_can_do_ends_at_once(simulate, calls, case, label):
    _, node = simulate({"0": [case], "1": [case]}, max_parallel=1)
    assert node.exit_status == EXITS[label].status
    assert "cannot be simulated" in node.exit_message
    assert len(calls(0)) == 1
    assert children(node, "cell") == ["cell_01_1"]


@pytest.mark.slow
def test_a_full_disk_is_not_tried_again(simulate, calls):
    _, node = simulate({"0": ["disk_full"], "1": ["disk_full"]})
    assert node.exit_status == EXITS.ERROR_TOO_FEW_CELLS.status
    assert "disk is full" in node.exit_message
    assert len(calls(0)) == 1


@pytest.mark.slow
def test_attempts_are_bounded(simulate, calls):
    _, node = simulate({"0": ["walltime"], "1": ["walltime"]}, attempts=2)
    assert node.exit_status == EXITS.ERROR_TOO_FEW_CELLS.status
    assert len(calls(0)) == 2


@pytest.mark.slow
def test_the_monitor_stops_what_runs_away(simulate, calls, monkeypatch):
    monkeypatch.setattr(molecular_dynamics, "MONITOR_INTERVAL", 1)
    assert simulation_monitor.MONITOR == "finales.molecular_dynamics"
    _, node = simulate({"0": ["hot", "diffusive"]})
    assert node.exit_status == 0, node.exit_message
    stopped = node.base.links.get_outgoing(link_label_filter="cell_01_1").one().node
    assert (stopped.exit_status, "900.0 K" in stopped.exit_message) == (150, True)
    assert [call["timestep"] for call in calls(0)] == [2.0, 1.0]


# --- as a tenant


def test_a_request_is_served_by_it(replay):
    code = replay({"0": ["diffusive"], "1": ["diffusive"]})
    tenant = make_tenant(code)
    outputs, node = run_get_node(ServeRequestWorkChain, request=make_request())
    assert node.exit_status == 0, node.exit_message
    assert outputs["result"].tenant_uuid == tenant.tenant_uuid
    assert outputs["result"].method == "molecular_dynamics"


def test_another_tenant_may_have_the_force_field():
    capability = load_capability("conductivity", "molecular_dynamics")
    assert capability.judge_failure(EXITS.ERROR_UNKNOWN_SPECIES.status) == "retry"
    assert capability.judge_failure(EXITS.ERROR_BAD_INPUT.status) == "give-up"


@pytest.mark.parametrize(
    ("shares", "is_feasible"),
    [
        ({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}, True),
        ({"LiPF6": 0.08, "EC": 0.915, "EMC": 0.005}, True),
        ({"LiPF6": 0.08, "EC": 0.917, "EMC": 0.003}, False),
        ({"LiPF6": 0.6, "EC": 0.4}, False),
        ({"LiPF6": 0.0, "EC": 0.4, "EMC": 0.6}, False),
    ],
)
def test_limitations_are_those_of_the_published_tenant(shares, is_feasible):
    capability = load_capability("conductivity", "molecular_dynamics")
    offer = Offer.from_dict({"quantity": "conductivity", "method": "molecular_dynamics", **capability.default_offer()})
    parameters = {"formulation": make_formulation(shares), "temperature": 300.0}
    assert (not check(offer, parameters)) is is_feasible
    assert check(offer, nearest(offer, parameters)) == []
    assert check(offer, {**parameters, "temperature": 500.0})


def test_every_chemical_that_is_offered_has_a_force_field():
    pytest.importorskip("rdkit")
    from aiida_finales.md.molecules import split
    from aiida_finales.md.species import Library

    offered = load_capability("conductivity", "molecular_dynamics").default_offer()["limitations"]["formulation"][0]
    library = Library()
    for component in offered:
        assert all(library.find(part) for part in split(component["chemical"]["SMILES"]))


# --- protocols


def test_the_published_protocol_is_that_of_the_paper():
    settings = fill_settings("molecular_dynamics", "published")
    lengths = {name: settings["protocol"][name] for name in ("nvt_ps", "npt_ps", "production_ps")}
    assert lengths == {"nvt_ps": 200.0, "npt_ps": 200.0, "production_ps": 2500.0}
    assert settings["n_cells"] == 5


@pytest.mark.parametrize("protocol", ["fast", "moderate", "published"])
def test_a_builder_has_all_settings_of_its_protocol_written_out(replay, protocol):
    code = replay({})
    tenant = make_tenant(code)
    overrides = {"protocol": {"nvt_ps": 5.0}}
    builder = MolecularDynamicsWorkChain.get_builder_from_protocol(code, make_request(), tenant, protocol, overrides)
    settings = builder.settings.get_dict()
    assert settings == fill_settings("molecular_dynamics", protocol, overrides)
    assert settings["protocol"]["nvt_ps"] == 5.0
    assert builder.method.value == "molecular_dynamics"
    with pytest.raises(InputError, match="accepted are fast, moderate, published"):
        MolecularDynamicsWorkChain.get_builder_from_protocol(code, make_request(), tenant, "slow")


def test_every_protocol_is_an_input_of_the_program_and_says_what_it_is_for():
    for name, entry in _read("molecular_dynamics")["protocols"].items():
        settings = fill_settings("molecular_dynamics", name)
        program = {key: settings[key] for key in ("n_molecules", "pressure_bar", "engine", "platform", "protocol")}
        formulation = [{"smiles": "CCOC(=O)OC", "mole_fraction": 1.0}]
        check_input({"schema": "finales-md/1", "formulation": formulation, "temperature_K": 300.0, **program})
        assert entry["description"]


def test_protocols_are_changed_in_part_and_unknown_ones_refused():
    settings = fill_settings("molecular_dynamics", "fast", {"n_cells": 3, "protocol": {"nvt_ps": 5.0}})
    assert (settings["n_cells"], settings["protocol"]["nvt_ps"], settings["protocol"]["timestep_fs"]) == (3, 5.0, 2.0)
    assert fill_settings("molecular_dynamics", "fast")["n_cells"] == 2
    with pytest.raises(InputError, match="protocol is 'slow', but accepted are fast, moderate, published"):
        fill_settings("molecular_dynamics", "slow")
    with pytest.raises(InputError, match="settings cells are unknown, accepted are n_cells"):
        fill_settings("molecular_dynamics", None, {"cells": 3})
