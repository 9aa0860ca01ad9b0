"""Radial distribution functions of liquids whose structure is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.pair_distribution import PairDistribution, cell_formula, read_pair_distributions

MDAnalysis = pytest.importorskip("MDAnalysis")

SIDE, N_FRAMES = 20.0, 40  # angstrom


@pytest.fixture
def write_box(tmp_path):
    """Return a function that stores lithium, water-like oxygen and fluorine as PDB and DCD."""

    def write(make_frame, n_lithium, n_oxygen, n_fluorine):
        names = ["LI"] * n_lithium + ["EC"] * n_oxygen + ["PF6"] * n_fluorine
        elements = ["Li"] * n_lithium + ["O"] * n_oxygen + ["F"] * n_fluorine
        n_atoms = len(names)
        universe = MDAnalysis.Universe.empty(n_atoms, n_atoms, atom_resindex=np.arange(n_atoms), trajectory=True)
        universe.add_TopologyAttr("names", elements)
        universe.add_TopologyAttr("elements", elements)
        universe.add_TopologyAttr("resnames", names)
        universe.add_TopologyAttr("resids", np.arange(1, n_atoms + 1))
        rng = np.random.default_rng(0)
        with MDAnalysis.Writer(str(tmp_path / "rdf.dcd"), n_atoms) as writer:
            for _ in range(N_FRAMES):
                universe.atoms.positions = make_frame(rng)
                universe.dimensions = [SIDE, SIDE, SIDE, 90, 90, 90]
                writer.write(universe.atoms)
        universe.atoms.write(str(tmp_path / "last.pdb"))
        return tmp_path / "last.pdb", tmp_path / "rdf.dcd"

    return write


@pytest.mark.filterwarnings("ignore")  # of MDAnalysis, about what such a PDB file lacks
def test_an_ideal_gas_has_no_structure(write_box):
    files = write_box(lambda rng: rng.uniform(0, SIDE, (260, 3)), 60, 150, 50)
    found, formula, volume = read_pair_distributions(*files, {"LI": "Li"})
    assert [pair.title for pair in found] == ["Li-O(EC)", "Li-F(PF6)"]
    assert formula == "Li60 O150 F50"
    assert volume == pytest.approx(SIDE**3)
    oxygen = found[0]
    far = oxygen.g[oxygen.radius > 4]
    assert np.mean(far) == pytest.approx(1.0, abs=0.02)
    expected = 150 / SIDE**3 * 4 / 3 * np.pi * 5.0**3
    assert np.interp(4.975, oxygen.radius, oxygen.neighbours) == pytest.approx(expected, rel=0.03)


@pytest.mark.filterwarnings("ignore")
def test_a_shell_of_four_is_counted(write_box):
    def frame(rng):
        ions = np.array([[5.0, 5.0, 5.0], [15.0, 15.0, 15.0]]) + rng.normal(0, 0.1, (2, 3))
        corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3) * 2.0
        near = np.concatenate([ion + corners * rng.normal(1, 0.02, (4, 1)) for ion in ions])
        far = rng.uniform(0, SIDE, (400, 3))
        away = np.min([np.linalg.norm(far - ion, axis=1) for ion in ions], axis=0) > 4.0
        return np.concatenate([ions, near, far[away][:100]])

    files = write_box(frame, 2, 108, 0)
    (oxygen,), _, _ = read_pair_distributions(*files, {"LI": "Li"})
    peak, end, number = oxygen.first_shell()
    assert peak == pytest.approx(2.0, abs=0.1)
    assert 2.1 < end < 4.1
    assert number == pytest.approx(4.0)


@pytest.mark.filterwarnings("ignore")
def test_a_cation_that_is_not_there_is_refused(write_box):
    files = write_box(lambda rng: rng.uniform(0, SIDE, (4, 3)), 2, 2, 0)
    with pytest.raises(InputError, match=r"no NA in last\.pdb; in it are EC, LI"):
        read_pair_distributions(*files, {"NA": "Na"})


def test_nothing_nearer_than_chance_is_no_shell():
    radius = np.arange(0.025, 5, 0.05)
    assert PairDistribution("Li-O(EC)", radius, np.zeros_like(radius), np.zeros_like(radius)).first_shell() is None


def test_formula_counts_in_the_order_of_the_file():
    assert cell_formula(["LI", "P", "F", "F", "Li"]) == "Li2 P1 F2"
