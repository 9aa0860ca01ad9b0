"""Small cells: forty formula units in a short cutoff, seconds of simulation."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MISSING = [name for name in ("openmm", "rdkit", "packmol") if find_spec(name) is None]

EC, EMC = "C1COC(=O)O1", "CCOC(=O)OC"
LIPF6 = "[Li+].F[P-](F)(F)(F)(F)F"
SHORT = {"nvt_ps": 0.4, "npt_ps": 1.0, "settle_ps": 0.2, "production_ps": 2.0, "frame_ps": 0.1, "cutoff_nm": 0.7}


def make_document(**changes) -> dict:
    """Return an input: LiPF6 in EC and EMC."""
    shares = {EC: 0.3, EMC: 0.6, LIPF6: 0.1}
    formulation = [{"smiles": smiles, "mole_fraction": share} for smiles, share in shares.items()]
    document = {"schema": "finales-md/1", "formulation": formulation, "temperature_K": 303.15, "n_molecules": 40}
    return document | {"engine": "openmm", "platform": "CPU", "protocol": SHORT | {"rdf_frames": 5}} | changes


def pytest_collection_modifyitems(items):
    """Skip, and say why, where the extra is not installed."""
    skip = pytest.mark.skip(reason=f"the extra md is not installed: {', '.join(MISSING)}")
    for item in items:
        if MISSING and FOLDER in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def document_of_a_cell() -> dict:
    return make_document()


@pytest.fixture
def document() -> dict:
    return make_document()


@pytest.fixture
def write_input(tmp_path):
    """Write an input file and return its path."""

    def write(**changes):
        path = tmp_path / "given.json"
        path.write_text(json.dumps(make_document(**changes)))
        return path

    return write


@pytest.fixture(scope="session")
def library():
    from aiida_finales.md.species import Library

    return Library()
