"""The real program under the work chain: cells side by side, resumed, and begun again with a shorter time step."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.molecular_dynamics import MolecularDynamicsCalculation
from aiida_finales.data.request import RequestData
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows import molecular_dynamics
from aiida_finales.workflows.molecular_dynamics import MolecularDynamicsWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CELL = MolecularDynamicsCalculation.exit_codes
#: in so short a run it is chance whether the few ions look diffusive
ENDED = {0, CELL.ERROR_NOT_DIFFUSIVE.status}
#: exit status that AiiDA gives to what a monitor ended
STOPPED_BY_MONITOR = 150
SMALL = json.loads((Path(__file__).parents[1] / "fixtures" / "molecular_dynamics" / "small.json").read_text())
PROGRAM = f"{sys.executable} -m aiida_finales.md.command"
#: kJ/(mol nm2) of a bond between carbon and oxygen: too much for 2 fs, not for 1 fs
STIFF = 1.4e7


@pytest.fixture
def run(desk, aiida_localhost, tmp_path, monkeypatch):
    """Return a function that runs the work chain with the real program; the monitor looks every second."""
    monkeypatch.setattr(molecular_dynamics, "MONITOR_INTERVAL", 1)
    aiida_localhost.set_minimum_job_poll_interval(0.0)

    def simulate(lines="", species=None, **overrides):
        script = tmp_path / "finales-md"
        script.write_text(f'#!/bin/sh\n{lines}\nexec {PROGRAM} "$@" --threads 1 $more\n')
        script.chmod(0o755)
        code = orm.InstalledCode(label="real", computer=aiida_localhost, filepath_executable=str(script)).store()
        offer = {"quantity": "conductivity", "method": "molecular_dynamics", "limitations": {}}
        tenant = add_tenant("simulation", [offer], kind="internal")
        formulation = make_formulation({"EC": 0.3, "EMC": 0.5, "LiPF6": 0.2})
        parameters = {"formulation": formulation, "temperature": 303.15}
        request = RequestData("conductivity", {"molecular_dynamics": parameters}, "tester").store()
        settings = {name: SMALL[name] for name in ("engine", "n_molecules", "protocol")}
        builder = MolecularDynamicsWorkChain.get_builder_from_protocol(
            code, request, tenant, "fast", {**settings, **overrides}
        )
        if species is not None:
            builder.species = orm.SinglefileData(io.BytesIO(species.encode()), filename="own.yaml").store()
        return run_get_node(builder)

    return simulate


def cells_of(node):
    """Return the calculations of the cells by their labels."""
    links = node.base.links.get_outgoing(link_label_filter="cell%").all()
    return {link.link_label: link.node for link in links}


def read(cell, name):
    return cell.outputs.retrieved.base.repository.get_object_content(name, "r")


def test_two_cells_are_simulated(run):
    outputs, node = run()
    assert node.exit_status == 0, node.exit_message
    first, second = outputs["result"].data["conductivity"]["values"]
    assert first != second
    assert outputs["result"].data["density"]["values"][0] == pytest.approx(1.2, abs=0.3)
    assert set(cells_of(node)) == {"cell_01_1", "cell_02_1"}


def test_a_cell_whose_time_is_over_goes_on_from_its_checkpoint(run, tmp_path):
    # the first two jobs have no time for more than a frame
    calls = tmp_path / "calls"
    lines = f'echo >>{calls}\n[ "$(wc -l <{calls})" -gt 2 ] || more="--walltime 0.001"'
    outputs, node = run(lines, n_cells=1)
    assert node.exit_status == 0, node.exit_message
    cells = cells_of(node)
    over = CELL.ERROR_OUT_OF_WALLTIME.status
    assert [cells[f"cell_01_{number}"].exit_status for number in (1, 2)] == [over, over]
    assert cells["cell_01_3"].exit_status in ENDED
    assert ["packing" in read(cells[f"cell_01_{number}"], "finales-md.err") for number in (1, 2, 3)] == [
        True,
        False,
        False,
    ]
    frames = [line for line in read(cells["cell_01_3"], "log.csv").splitlines() if line.startswith("production")]
    assert len(frames) == cells["cell_01_3"].outputs.cell["output"]["n_frames"] == 40
    assert outputs["result"].data["simulation"]["n_cells"] == 1


def test_a_cell_that_blows_up_holds_at_half_the_time_step(run):
    words = [*PROGRAM.split(), "species", "show", "EC"]
    species = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    max(species["terms"]["bonds"], key=lambda bond: bond[3])[3] = STIFF  # its double bond
    outputs, node = run(species=json.dumps([species]), n_cells=1)
    assert node.exit_status == 0, node.exit_message
    cells = cells_of(node)
    assert cells["cell_01_1"].exit_status == CELL.ERROR_BLOWN_UP.status
    assert cells["cell_01_2"].exit_status in ENDED
    assert [cells[f"cell_01_{n}"].inputs.parameters["protocol"]["timestep_fs"] for n in (1, 2)] == [2.0, 1.0]
    assert outputs["result"].data["simulation"]["n_cells"] == 1


def test_a_cell_that_runs_away_is_stopped_while_it_runs(run, tmp_path):
    """The first job simulates another temperature than it was asked for, as with a thermostat that does not hold."""
    calls = tmp_path / "calls"
    hot = "sed -i 's/303.15/450.0/' input.json; sed -i -E 's/(\"production_ps\": ?)[0-9.]+/\\1100000/' input.json"
    outputs, node = run(f'echo >>{calls}\n[ "$(wc -l <{calls})" -gt 1 ] || {{ {hot}; }}', n_cells=1)
    assert node.exit_status == 0, node.exit_message
    stopped, right = (cells_of(node)[f"cell_01_{number}"] for number in (1, 2))
    assert stopped.exit_status == STOPPED_BY_MONITOR, stopped.exit_message
    assert "K in stage" in stopped.exit_message
    assert "asked were 303.15 K" in stopped.exit_message
    assert right.exit_status in ENDED
    assert right.inputs.parameters["protocol"]["timestep_fs"] == 1.0
    assert outputs["result"].data["simulation"]["n_cells"] == 1
