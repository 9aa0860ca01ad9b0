"""The library, and species of one's own."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from aiida_finales.calculations.simulation import SIMULATED
from aiida_finales.exceptions import ForceFieldError, SimulationInputError
from aiida_finales.md.command import run_command
from aiida_finales.md.molecules import shape, volume
from aiida_finales.md.parametrise import PROGRAMS, add_species, make_species
from aiida_finales.md.species import LIBRARY, Library, append_species
from aiida_finales.schemas.chemicals import get_chemical

SODIUM = """
- name: Na2
  smiles: "[Na+]"
  charge: 1
  sources: {all: a test}
  terms: {atoms: [[Na, 1.0, 0.25, 0.3]]}
"""
#: mL/mol of pure liquids at 298 K or, ethylene carbonate, 313 K; from densities in the CRC Handbook of Chemistry and
#: Physics
MOLAR_VOLUMES = {"EC": 66.6, "DMC": 84.7, "EMC": 103.5, "DEC": 121.8, "PC": 85.2}


def test_every_chemical_the_platform_knows_can_be_simulated(library):
    from aiida_finales.md.molecules import split

    assert all(library.find(part) for name in SIMULATED for part in split(get_chemical(name).smiles))


@pytest.mark.parametrize(
    ("smiles", "name"),
    [
        ("O=C1OCCO1", "EC"),
        ("[O-][Cl+3]([O-])([O-])[O-]", "ClO4"),
        ("FC(F)(F)S(=O)(=O)[N-]S(=O)(=O)C(F)(F)F", "TFSI"),
        ("[F-].FP(F)(F)(F)F", None),
        ("O", None),
    ],
)
def test_a_species_is_found_by_its_graph(library, smiles, name):
    if name is None:
        with pytest.raises(ForceFieldError, match=r"there is no force field for .* 'finales-md species add'"):
            library.find(smiles)
    else:
        assert library.find(smiles).name == name


def test_every_number_has_a_source():
    for entry in yaml.safe_load(LIBRARY.read_text(encoding="utf-8")):
        assert entry["sources"], entry["name"]


def test_shapes_are_those_of_the_force_field(library):
    """Bonds of the start geometry are within 10 % of the rest lengths of the force field."""
    for species in library:
        positions = shape(species, seed=1)
        for first, second, length, _ in species.terms.bonds:
            assert np.linalg.norm(positions[first] - positions[second]) == pytest.approx(length, rel=0.1), species.name


def test_a_liquid_is_filled_as_estimated(library):
    """The estimated volume of a liquid, van der Waals volume over 0.6, is within 15 % of the measured one."""
    from aiida_finales.md.cell import PACKING_FRACTION

    for name, measured in MOLAR_VOLUMES.items():
        estimate = volume(library.get(name), seed=1) * 602.214 / PACKING_FRACTION
        assert estimate == pytest.approx(measured, rel=0.15), name


def test_an_entry_of_ones_own_comes_before_that_of_the_library(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(SODIUM)
    assert Library((path,)).find("[Na+]").name == "Na2"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("charge: 1", "charge: 2", r"charges of its atoms sum to 1 e, its charge is 2"),
        ("[Na+]", "[K+]", r"its atoms and bonds are \[Na\] \+1, its SMILES means \[K\] \+1"),
        ("charge: 1", "charge: one", "charge"),
        ("atoms:", "atom:", "atom"),
        ("}]", "", "cannot be read as YAML"),
        ("0.25, 0.3]]", "0.25, 0.3]], bonds: [[0, 1, 0.1, 1000]]", "name an atom beyond the 1 it has"),
    ],
    ids=["charge", "graph", "type", "key", "yaml", "index"],
)
def test_a_bad_entry_is_refused(tmp_path, old, new, message):
    path = tmp_path / "own.yaml"
    path.write_text(SODIUM.replace(old, new) if old != "}]" else "- [")
    with pytest.raises(ForceFieldError, match=message):
        Library((path,))


def test_a_species_survives_being_written_and_read(library, tmp_path):
    species = library.get("PF6")
    append_species(species, tmp_path / "own.yaml")
    assert Library((tmp_path / "own.yaml",)).get("PF6") == species
    with pytest.raises(ForceFieldError, match="has a species PF6 already"):
        append_species(species, tmp_path / "own.yaml")


@pytest.mark.parametrize("smiles", ["F[P-](F)(F)(F)(F)F", "CO.CO"])
def test_only_one_neutral_molecule_can_be_parametrised(smiles):
    with pytest.raises(SimulationInputError, match="accepted is one molecule without charge"):
        make_species(smiles, "X")


def test_without_the_programs_a_molecule_cannot_be_parametrised(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ForceFieldError, match="antechamber, sqm, parmchk2 of AmberTools not found on the PATH"):
        make_species("COC", "DME")


needs_ambertools = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason="antechamber, sqm or parmchk2 of AmberTools are not on the PATH"
)


@needs_ambertools
@pytest.mark.parametrize("name", ["EC", "PC", "FEC", "DMC", "EMC", "DEC"])
def test_parametrising_again_gives_the_library(library, tmp_path, name):
    """The entry of every solvent is what AmberTools gives, within the convergence of its charges."""
    entry = library.get(name)
    made = add_species(entry.smiles, name, tmp_path / "own.yaml")
    assert made.terms.bonds == entry.terms.bonds
    assert made.terms.angles == entry.terms.angles
    assert made.terms.torsions == entry.terms.torsions
    # an atom is element, charge, sigma, epsilon
    assert [(atom[0], *atom[2:]) for atom in made.terms.atoms] == [(atom[0], *atom[2:]) for atom in entry.terms.atoms]
    charges = [[atom[1] for atom in species.terms.atoms] for species in (made, entry)]
    assert charges[0] == pytest.approx(charges[1], abs=0.005)


@needs_ambertools
@pytest.mark.slow
def test_a_new_solvent_is_simulated(tmp_path, document_of_a_cell, capsys):
    """From SMILES to a trajectory, by the commands of the documentation: dimethoxyethane, which nobody entered."""
    own, given, out = tmp_path / "own.yaml", tmp_path / "given.json", tmp_path / "cell"
    assert run_command(["species", "add", "COCCOC", "--name", "DME", "--out", str(own)]) == 0
    solvent, salt = (
        {"smiles": "COCCOC", "mole_fraction": 0.8},
        {"smiles": "[Li+].F[P-](F)(F)(F)(F)F", "mole_fraction": 0.2},
    )
    given.write_text(json.dumps({**document_of_a_cell, "formulation": [solvent, salt]}))
    words = ["run", str(given), "--out", str(out), "--threads", "1"]
    assert run_command(words) == 20
    assert "there is no force field for COCCOC" in capsys.readouterr().err
    assert run_command([*words, "--resume", "--species", str(own)]) == 0, capsys.readouterr().err
    output = json.loads((out / "output.json").read_text())
    assert 0.6 < output["density_g_cm3"]["mean"] < 1.5
