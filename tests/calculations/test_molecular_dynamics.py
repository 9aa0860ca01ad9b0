"""One simulated cell: real jobs of the real program, and one test per exit code on what it really left."""

from __future__ import annotations

import copy
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.common.links import LinkType as Link
from aiida.engine import CalcJob, run_get_node
from aiida.plugins import ParserFactory

from aiida_finales.calculations.molecular_dynamics import ANALYSIS, MolecularDynamicsCalculation, walltime_of
from aiida_finales.calculations.simulation import N_LINES, find_runaway
from aiida_finales.workflows.molecular_dynamics import TREATMENTS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "molecular_dynamics"
EXITS = MolecularDynamicsCalculation.exit_codes
INPUT = json.loads((FIXTURES / "small.json").read_text())


@pytest.fixture
def program(registered, aiida_localhost, tmp_path):
    """The real program as a code on a local computer."""
    script = tmp_path / "finales-md"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m aiida_finales.md.command "$@" --threads 1\n')
    script.chmod(0o755)
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    return orm.InstalledCode(computer=aiida_localhost, filepath_executable=str(script)).store()


@pytest.fixture
def parse(registered, aiida_localhost, tmp_path):
    """Return a function that parses the files of a case, changed before if need be."""

    def run(case, change=None, *, analysis=None, scheduler=None):
        folder = tmp_path / case
        shutil.copytree(FIXTURES / case, folder)
        if change is not None:
            change(folder)
        node = orm.CalcJobNode(
            computer=aiida_localhost, process_type="aiida.calculations:finales.molecular_dynamics_cell"
        )
        inputs = {"parameters": orm.Dict(INPUT), "analysis": orm.Dict({**ANALYSIS, **(analysis or {})})}
        for name, value in inputs.items():
            node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
        node.store()
        if scheduler is not None:
            node.set_exit_status(scheduler)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        if (folder / "rdf.dcd").exists():
            (folder / "rdf.dcd").rename(temporary / "rdf.dcd")
        retrieved = orm.FolderData(tree=folder)
        retrieved.base.links.add_incoming(node, Link.CREATE, "retrieved")
        retrieved.store()
        parser = ParserFactory("finales.molecular_dynamics")
        return parser.parse_from_node(node, store_provenance=False, retrieved_temporary_folder=str(temporary))

    return run


# --- exit codes


def test_a_diffusive_cell_is_good_and_has_all_outputs(parse):
    outputs, node = parse("diffusive")
    assert node.exit_status == 0, node.exit_message
    cell = outputs["cell"].get_dict()
    assert cell["transport"]["flags"] == []
    assert cell["transport"]["conductivity_nernst_einstein"] > 0
    assert {ion["species"]: (ion["charge"], ion["n_ions"]) for ion in cell["transport"]["ions"]} == {
        "Li": (1, 4),
        "PF6": (-1, 4),
    }
    assert cell["output"]["density_g_cm3"]["mean"] == pytest.approx(1.2, abs=0.15)
    titles = outputs["pair_distributions"].base.attributes.get("pair_title")
    assert {"Li-O(EC, carbonyl)", "Li-O(EC, ether)", "Li-O(EMC, carbonyl)", "Li-F(PF6)"} <= set(titles)
    assert outputs["pair_distributions"].get_array("g").shape[0] == len(titles)
    shell = cell["coordination"]["Li"]
    assert set(shell["numbers"]) == {"EC carbonyl O", "EC ether O", "EMC carbonyl O", "EMC ether O", "PF6 F"}
    assert shell["total"] == pytest.approx(sum(shell["numbers"].values()))
    assert 1.7 < shell["peak"] < 2.3 < shell["cutoff"] < 3.5
    assert 3 < shell["total"] < 7


def test_a_caged_cell_keeps_its_outputs_and_says_so(parse):
    outputs, node = parse("caged")
    assert node.exit_status == EXITS.ERROR_NOT_DIFFUSIVE.status
    assert "Li is not diffusive (exponent" in node.exit_message
    assert outputs["cell"]["transport"]["flags"]
    assert "ions" in outputs


@pytest.mark.parametrize(
    ("case", "label", "words"),
    [
        ("blown_up", "ERROR_BLOWN_UP", "the simulation blew up"),
        ("walltime", "ERROR_OUT_OF_WALLTIME", "call again with --resume"),
        ("bad_input", "ERROR_BAD_INPUT", "n_molecules: 2 was given"),
        ("unknown_species", "ERROR_UNKNOWN_SPECIES", "no force field for CCCCCO"),
        ("no_engine", "ERROR_NO_ENGINE", "platform CUDA does not work"),
        ("disk_full", "ERROR_DISK_FULL", "0 MB free"),
    ],
)
def test_what_the_program_reports_has_an_exit_code_of_its_own(parse, case, label, words):
    outputs, node = parse(case)
    assert node.exit_status == EXITS[label].status
    assert words in node.exit_message
    assert not outputs


def test_what_the_program_has_no_number_for_is_a_failure_with_its_reason(parse):
    report = {"exit_status": 1, "error": "SimulationError", "message": "gmx mdrun ended with -9"}
    outputs, node = parse("bad_input", lambda folder: (folder / "error.json").write_text(json.dumps(report)))
    assert node.exit_status == EXITS.ERROR_PROGRAM_FAILED.status
    assert node.exit_message == "the program failed: gmx mdrun ended with -9"
    assert not outputs


def test_a_cell_that_is_no_liquid_is_refused(parse):
    outputs, node = parse("diffusive", analysis={"density_range": [1.5, 2.5]})
    assert node.exit_status == EXITS.ERROR_WRONG_DENSITY.status
    assert "accepted is 1.5 to 2.5" in node.exit_message
    assert "cell" in outputs


def test_an_output_without_end_marker_is_no_output(parse):
    def drop_marker(folder):
        document = json.loads((folder / "output.json").read_text())
        del document["end"]
        (folder / "output.json").write_text(json.dumps(document))

    assert parse("diffusive", drop_marker)[1].exit_status == EXITS.ERROR_NO_OUTPUT.status


@pytest.mark.parametrize("size", [0, 200])
def test_an_output_that_was_cut_off_is_no_output(parse, size):
    def cut(folder):
        content = (folder / "output.json").read_bytes()
        (folder / "output.json").write_bytes(content[:size])

    assert parse("diffusive", cut)[1].exit_status == EXITS.ERROR_NO_OUTPUT.status


def test_the_scheduler_s_reason_counts_where_the_program_could_not_give_one(parse):
    scheduler = CalcJob.exit_codes.ERROR_SCHEDULER_OUT_OF_WALLTIME.status
    _, node = parse("walltime", lambda folder: (folder / "error.json").unlink(), scheduler=scheduler)
    assert node.exit_status == EXITS.ERROR_OUT_OF_WALLTIME.status


@pytest.mark.parametrize("name", ["ions.npz", "last.pdb", "system.json"])
def test_files_that_are_damaged_are_named(parse, name):
    outputs, node = parse("diffusive", lambda folder: (folder / name).write_bytes(b"{}"))
    assert node.exit_status == EXITS.ERROR_OUTPUT_UNREADABLE.status
    assert "cell" not in outputs


def test_without_frames_of_all_atoms_there_are_no_pair_distributions(parse):
    outputs, node = parse("diffusive", lambda folder: (folder / "rdf.dcd").unlink())
    assert node.exit_status == 0
    assert "pair_distributions" not in outputs
    assert outputs["cell"]["coordination"] == {}


def test_every_exit_code_of_the_program_has_a_treatment_or_the_cell_is_lost():
    own = {code.status: label for label, code in EXITS.items() if code.status >= 350}
    lost = {label for status, label in own.items() if status not in TREATMENTS}
    # neither a full disk nor damaged files are better at the next attempt
    assert lost == {"ERROR_DISK_FULL", "ERROR_OUTPUT_UNREADABLE"}


# --- nodes


def test_cells_and_trajectory_open_in_pymatgen(parse):
    outputs, _ = parse("diffusive")
    for name in ("packed", "last"):
        structure = outputs[name].get_pymatgen()
        formula = structure.composition.get_el_amt_dict()
        assert (formula["Li"], formula["P"], formula["F"]) == (4, 4, 24)
        assert structure.lattice.a == pytest.approx(outputs[name].cell[0][0])
    ions = outputs["ions"]
    assert ions.base.attributes.get("species") == ["Li"] * 4 + ["PF6"] * 4
    frame = ions.get_step_structure(10).get_pymatgen()
    assert [site.specie.symbol for site in frame] == ["Li"] * 4 + ["P"] * 4
    with np.load(FIXTURES / "diffusive" / "ions.npz") as file:
        np.testing.assert_allclose(ions.get_positions(), file["positions"] * 10.0, rtol=1e-6)
        np.testing.assert_allclose(ions.get_times(), file["time"])


def test_cells_open_in_ase(parse):
    pytest.importorskip("ase")
    outputs, _ = parse("diffusive")
    atoms = outputs["last"].get_ase()
    assert atoms.symbols.formula.count()["Li"] == 4
    assert outputs["ions"].get_step_structure(0).get_ase().get_chemical_symbols() == ["Li"] * 4 + ["P"] * 4


# --- jobs


@pytest.fixture
def simulate(program):
    """Return a function that simulates a cell for real."""

    def run(change=None, protocol=None, **inputs):
        document = {**copy.deepcopy(INPUT), **(change or {})}
        document["protocol"] |= protocol or {}
        options = inputs.pop("options", {})
        metadata = {"options": {"resources": {"num_machines": 1}, **options}}
        return run_get_node(
            MolecularDynamicsCalculation, code=program, parameters=orm.Dict(document), metadata=metadata, **inputs
        )

    return run


@pytest.mark.timeout(900)  # seconds of processor time, and minutes where ten processes share a core
def test_a_cell_is_simulated_for_real(simulate, tmp_path):
    stash = {"target_base": str(tmp_path / "stash"), "source_list": ["cell/rdf.dcd"], "stash_mode": "copy"}
    outputs, node = simulate(cell=orm.Int(3), options={"stash": stash})
    # in so short a run it is chance whether the few ions look diffusive
    assert node.exit_status in {0, EXITS.ERROR_NOT_DIFFUSIVE.status}, node.exit_message
    assert outputs["cell"]["output"]["cell_index"] == 3
    assert outputs["cell"]["output"]["n_frames"] == 40
    kept = set(outputs["retrieved"].base.repository.list_object_names())
    assert {"output.json", "system.json", "ions.npz", "log.csv", "packed.pdb", "last.pdb"} <= kept
    assert "rdf.dcd" not in kept
    assert "rdf.dcd" in outputs["remote_folder"].listdir("cell")
    assert outputs["last"].creator.pk == node.pk
    # large files stay there, or go where they are kept
    assert list((tmp_path / "stash").glob("*/*/*/cell/rdf.dcd"))
    assert node.outputs.remote_stash.source_list == ["cell/rdf.dcd"]


@pytest.mark.slow
def test_an_interrupted_cell_goes_on_from_its_checkpoint(simulate):
    protocol = {"production_ps": 30.0}
    outputs, node = simulate(protocol=protocol, options={"max_wallclock_seconds": 20})
    assert node.exit_status == EXITS.ERROR_OUT_OF_WALLTIME.status, node.exit_message
    frames = 600
    again, resumed = simulate(protocol=protocol, parent_folder=outputs["remote_folder"])
    assert resumed.exit_status in {0, EXITS.ERROR_NOT_DIFFUSIVE.status}, resumed.exit_message
    assert again["cell"]["output"]["n_frames"] == frames
    log = io.StringIO(again["retrieved"].base.repository.get_object_content("log.csv", "r"))
    packings = again["retrieved"].base.repository.get_object_content("finales-md.err", "r").count("packing")
    assert packings == 0
    assert sum(line.startswith("production") for line in log) == frames


def test_wrong_input_is_refused_before_anything_runs(simulate):
    def count():
        return orm.QueryBuilder().append(orm.CalcJobNode).count()

    before = count()
    with pytest.raises(ValueError, match="temperature_K: 3000"):
        simulate({"temperature_K": 3000.0})
    with pytest.raises(ValueError, match="density_range is"):
        simulate(analysis=orm.Dict({**ANALYSIS, "density_range": [2.0, 1.0]}))
    assert count() == before


def test_the_program_ends_before_the_scheduler_stops_it():
    assert [walltime_of(limit) for limit in (20, 60, 120, 3600, 86400)] == [10, 30, 60, 3420, 82080]


# --- monitor


HEADER = ["stage", "time_ps", "temperature_K", "density_g_cm3", "volume_nm3", "potential_kJ_mol", "kinetic_kJ_mol"]


def rows_of(temperature, energy="-2700.5", stage="production", n_lines=N_LINES + 1):
    lines = [[stage, "1", str(temperature), "1.2", "3.5", energy, "900.0"] for _ in range(n_lines)]
    return [HEADER, *lines]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], None),
        ([HEADER], None),
        (rows_of(303.0), None),
        (rows_of(400.0), "temperature is 400.0 K in stage production, asked were 303.15 K"),
        (rows_of(400.0, n_lines=5), None),
        (rows_of(250.0, stage="nvt"), None),
        (rows_of(303.0, energy="nan", n_lines=3), "potential energy is nan kJ/mol"),
    ],
    ids=["empty", "header", "good", "hot", "too short to tell", "warming up", "no energy"],
)
def test_a_simulation_that_runs_away_is_found(rows, words):
    found = find_runaway(rows, 303.15)
    assert (found is None) if words is None else (words in found)


def test_real_logs_are_those_of_good_simulations():
    for case in ("caged", "diffusive"):
        rows = [line.split(",") for line in (FIXTURES / case / "log.csv").read_text().splitlines()]
        wanted = json.loads((FIXTURES / case / "output.json").read_text())["temperature_asked_K"]
        found = [find_runaway(rows[:stop], wanted) for stop in range(len(rows))]
        assert set(found) == {None}
