"""CP2K as a command: what is written, and both forms of output that it has printed. No CP2K is run here."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import EngineError, NotConvergedError
from aiida_finales.potential.cp2k import HARTREE, HARTREE_PER_BOHR, Cp2k, Cp2kOptions, read_cp2k, write_cp2k

ase = pytest.importorskip("ase")

OLD = """
 *** SCF run converged in     9 steps ***
 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              -17.146409139741527

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      Li         0.10000000    -0.20000000     0.30000000
      2      2      F         -0.10000000     0.20000000    -0.30000000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000     0.00000000

 **** **** ******  **  PROGRAM ENDED AT                 2024-01-01 00:00:00.000
"""
NEW = """
 ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]             -17.146409139741527

 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1  1.00000000E-01 -2.00000000E-01  3.00000000E-01   3.74165739E-01
 FORCES|      2 -1.00000000E-01  2.00000000E-01 -3.00000000E-01   3.74165739E-01
 FORCES| Sum     0.00000000E+00  0.00000000E+00  0.00000000E+00
 FORCES| Total atomic force       0.00000000E+00

 **** **** ******  **  PROGRAM ENDED AT                 2026-01-01 00:00:00.000
"""


@pytest.fixture
def frame():
    return ase.Atoms("LiF", [[0.0, 0.0, 0.0], [1.6, 0.0, 0.0]], cell=[10.0] * 3, pbc=True)


@pytest.fixture
def run(tmp_path):
    """Return a function that labels a frame by a command that leaves a given output."""

    def label(frame, text, status=0):
        (tmp_path / "text").write_text(text)
        script = tmp_path / "cp2k"
        # called as CP2K is: -i INPUT -o OUTPUT
        script.write_text(f'#!/bin/sh\ntest -s "$2" || exit 9\ncp {tmp_path / "text"} "$4"\nexit {status}\n')
        script.chmod(0o755)
        return Cp2k(str(script), Cp2kOptions(), "PBE-D3 by CP2K").evaluate(frame)

    return label


@pytest.mark.parametrize("text", [OLD, NEW], ids=["to 2024", "since 2025"])
def test_both_forms_give_the_same_label(run, frame, text):
    found = run(frame, text)
    assert found.energy == pytest.approx(-17.146409139741527 * HARTREE)
    assert found.forces[0] == pytest.approx([0.1 * HARTREE_PER_BOHR, -0.2 * HARTREE_PER_BOHR, 0.3 * HARTREE_PER_BOHR])
    assert found.forces.sum() == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NEW.replace("PROGRAM ENDED AT", ""), "cut off"),
        (NEW + " *** WARNING: SCF run NOT converged ***", "did not converge"),
        (NEW.replace("FORCES|      2", "#"), "forces of 1 of 2 atoms"),
        ("PROGRAM ENDED AT", "0 energies"),
    ],
    ids=["cut off", "not converged", "an atom is missing", "nothing"],
)
def test_what_is_not_whole_is_no_label(frame, text, words):
    with pytest.raises(ValueError, match=words):
        read_cp2k(text, len(frame))


def test_a_run_that_fails_says_its_last_line(run, frame):
    with pytest.raises(NotConvergedError, match="status 1: ABORT"):
        run(frame, "begin\nABORT\n", status=1)


def test_a_command_that_is_not_there_is_said_once(frame):
    with pytest.raises(EngineError, match=r"reference\.command: .*nowhere"):
        Cp2k("/nowhere/cp2k", Cp2kOptions(), "CP2K").evaluate(frame)


def test_the_input_has_every_atom_kind_and_the_box(frame):
    text = write_cp2k(frame, Cp2kOptions(functional="BLYP", cutoff_Ry=600))
    lines = [line.strip() for line in text.splitlines()]
    assert "ABC 10.00000000 10.00000000 10.00000000" in lines
    assert "F 1.60000000 0.00000000 0.00000000" in lines
    assert [line for line in lines if line.startswith("&KIND")] == ["&KIND F", "&KIND Li"]
    assert lines.count("POTENTIAL GTH-BLYP") == 2
    assert "CUTOFF 600" in lines
    # sections are closed in the order in which they were opened
    opened: list[str] = []
    for line in lines:
        if line.startswith("&END"):
            assert opened.pop() == line.split()[1]
        elif line.startswith("&"):
            opened.append(line[1:].split()[0])
    assert not opened
