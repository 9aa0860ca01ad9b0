"""One liquid of 113 atoms, NaPF6 in EC and EMC: twenty frames to learn from, six of another packing.

The frames were made once by ``finales-mlp sample`` and ``label`` (classical cells at 330 K, GFN1-xTB by tblite 0.8.0),
simulated both.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MISSING = [name for name in ("openmm", "rdkit", "packmol", "ase", "graph_pes", "tblite") if find_spec(name) is None]
TRAIN, HELD_OUT = FOLDER / "train.xyz.gz", FOLDER / "held_out.xyz.gz"
SALTS = {"NaPF6": "[Na+].F[P-](F)(F)(F)(F)F", "LiPF6": "[Li+].F[P-](F)(F)(F)(F)F"}


def make_document(salt="NaPF6", **changes) -> dict:
    shares = {"C1COC(=O)O1": 0.33333, "CCOC(=O)OC": 0.55556, SALTS[salt]: 0.11111}
    formulation = [{"smiles": smiles, "mole_fraction": share} for smiles, share in shares.items()]
    document = {"schema": "finales-mlp/1", "formulation": formulation, "temperature_K": 330, "n_molecules": 9}
    quick = {"model": {"channels": 16}, "train": {"steps": 130}, "explore": {"ps": 0.025, "frame_ps": 0.005}}
    return document | quick | changes


def exchange_cation(frame):
    """Return a frame of the same with lithium in the place of sodium; its labels stay, and are none of lithium."""
    other = frame.copy()
    other.symbols[other.symbols == "Na"] = "Li"
    return other


def pytest_collection_modifyitems(items):
    """Skip, and say why, where the extra is not installed."""
    skip = pytest.mark.skip(reason=f"the extra mlp is not installed: {', '.join(MISSING)}")
    for item in items:
        if MISSING and FOLDER in item.path.parents:
            item.add_marker(skip)


@pytest.fixture
def write_input(tmp_path):
    """Write an input file and return its path."""

    def write(**changes):
        path = tmp_path / "given.json"
        path.write_text(json.dumps(make_document(**changes)))
        return path

    return write


@pytest.fixture(scope="session")
def frames():
    """The held-out frames; copy before changing one."""
    from aiida_finales.potential.frames import read_labelled

    return read_labelled(HELD_OUT)


@pytest.fixture(scope="session")
def cell():
    from aiida_finales.potential.classical import plan
    from aiida_finales.potential.input import check_input

    return plan(check_input(make_document()))
