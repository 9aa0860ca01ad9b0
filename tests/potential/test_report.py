"""What people see of a learning."""

from __future__ import annotations

import json
import re

import pytest

from aiida_finales.potential.cell_folder import Replay, describe_simulation, leave_cell
from aiida_finales.potential.command import run_command
from aiida_finales.potential.input import check_input
from tests.potential.conftest import make_document

ERRORS = {"forces_meV_A": 209.0, "energy_without_offset_meV_atom": 0.9}
CONSERVED = {"drift_meV_per_atom_ps": -0.25}
STATEMENT = "GFN1-xTB, not DFT"


@pytest.fixture
def folders(tmp_path):
    """A training, dynamics of it, and the true error of what they visited."""
    found = {
        "potential_0": {"step": "train", "frames": 20, "validation": ERRORS},
        "visited_0": {
            "step": "explore",
            "ps": 0.5,
            "ended_by": "spread",
            "temperature_K": {"mean": 331.0},
            **CONSERVED,
        },
        "true_0": {"step": "evaluate", **ERRORS, "forces_meV_A": 859.0, "distrust": "so", "statement": STATEMENT},
    }
    for name, output in found.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "output.json").write_text(json.dumps(output | {"end": "finales-mlp"}))
    shell = {
        "total": {"number": 4.0},
        "molecules": {"EC carbonyl O": {"number": 1.0}, "EMC carbonyl O": {"number": 3.0}},
    }
    for name, step in (("own", "reference"), ("production", "run")):
        (tmp_path / name).mkdir()
        output = {"step": step, "ps": 20.0, "ended_by": "end", "statement": STATEMENT, "coordination": {"Li": shell}}
        (tmp_path / name / "output.json").write_text(json.dumps(output | {"end": "finales-mlp"}))
        found[name] = output
    (tmp_path / "true_0" / "spread_error.csv").write_text("spread_eV_A,error_eV_A\n0.1,0.2\n0.3,0.2\n")
    header = "time_ps,temperature_K,potential_eV,kinetic_eV,spread_eV_A\n"
    (tmp_path / "visited_0" / "log.csv").write_text(header + "0.1,320,-5.0,1.0,0.1\n0.2,330,-5.1,1.0,0.2\n")
    return [str(tmp_path / name) for name in found]


def test_a_calm_temperature_is_not_shown_alone(folders, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert run_command(["report", *folders, "--out", str(tmp_path / "learning.svg")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "held-out 209 meV/Å" in lines[0]
    assert "331 K, energy drifts by -0.25 meV/atom/ps" in lines[1]
    assert "true error 859 meV/Å" in lines[2]
    assert "DISTRUSTED (GFN1-xTB, not DFT)" in lines[2]
    assert lines[3] == (
        "reference own                  20 ps, ended by end (GFN1-xTB, not DFT); "
        "Li 4.0 = 1.0 EC carbonyl O + 3.0 EMC carbonyl O"
    )
    drawn = (tmp_path / "learning.svg").read_text()
    assert all(
        f"<!-- {words} -->" in drawn for words in ("reference itself", "potential", "trusted / ps", "neighbours")
    )


@pytest.mark.parametrize("name", ["learning.xyz", "none"])
def test_what_cannot_be_reported_is_said(folders, tmp_path, capsys, name):
    words = ["report", *folders, "--out", str(tmp_path / name)] if "." in name else ["report", str(tmp_path / name)]
    assert run_command(words) == 10
    assert "accepted is .svg" in capsys.readouterr().err or name == "none"


def test_what_is_around_the_cations_of_classical_cells_is_said_with_its_error(cell, frames, tmp_path, capsys):
    given = check_input(make_document())
    protocol = {"timestep_fs": 0.5, "production_ps": 0.02 * len(frames), "frame_ps": 0.02}
    for number in range(2):
        # the second cell has one frame only, again and again
        seen = [frames[0]] * len(frames) if number else frames
        replay = Replay(cell, seen, [(330.0, -5.0)] * len(seen))
        simulation = describe_simulation(given, number, protocol)
        leave_cell(tmp_path / "sample" / f"cell_{number}", simulation, replay, "stored frames", 1.0)
    output = {"step": "sample", "frames": 2 * len(frames), "densities_g_cm3": [1.1, 1.1], "end": "finales-mlp"}
    (tmp_path / "sample" / "output.json").write_text(json.dumps(output))
    assert run_command(["report", str(tmp_path / "sample")]) == 0
    words = capsys.readouterr().out
    assert "12 frames of 2 classical cells; Na " in words
    assert re.search(r"Na \d\.\d ± \d\.\d = ", words)
