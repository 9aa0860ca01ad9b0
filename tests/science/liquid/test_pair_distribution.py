"""Radial distribution functions of liquids whose structure is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.liquid.pair_distribution import (
    BIN,
    average_coordination,
    cell_formula,
    find_first_shell,
    read_surroundings,
)

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
    found = read_surroundings(*files, {"LI": "Li"})
    assert [pair.title for pair in found.pairs] == ["Li-O(EC)", "Li-F(PF6)"]
    assert found.formula == "Li60 O150 F50"
    assert found.volume == pytest.approx(SIDE**3)
    assert found.shells == {}
    oxygen = found.pairs[0]
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
    shell = read_surroundings(*files, {"LI": "Li"}).shells["Li"]
    assert shell.peak == pytest.approx(2.0, abs=0.1)
    assert 2.1 < shell.cutoff < 4.1
    assert shell.numbers == {"EC O": pytest.approx(4.0)}


@pytest.mark.filterwarnings("ignore")
def test_a_cation_that_is_not_there_is_refused(write_box):
    files = write_box(lambda rng: rng.uniform(0, SIDE, (4, 3)), 2, 2, 0)
    with pytest.raises(InputError, match=r"no NA in last\.pdb; in it are EC, LI"):
        read_surroundings(*files, {"NA": "Na"})


RADIUS = BIN * (np.arange(200) + 0.5)
VOLUMES = 4 * np.pi * RADIUS**2 * BIN


def liquid(rng, n_samples, number, density=0.008, gap=(2.4, 3.4), second=1.6):
    """Return counts around cations: a shell of so many at 2 angstrom, a gap, a second shell, and the bulk."""
    shape = np.where(gap[1] > RADIUS, 0.0, 1.0 + (second - 1) * np.exp(-0.5 * ((RADIUS - 4.5) / 0.5) ** 2))
    first = np.exp(-0.5 * ((RADIUS - 2.0) / 0.1) ** 2)
    return rng.poisson(n_samples * (number * first / first.sum() + density * VOLUMES * shape))


@pytest.mark.parametrize("n_samples", [40, 400, 40000])
@pytest.mark.parametrize("number", [2.0, 4.4, 6.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_shell_ends_in_the_gap_behind_it_however_short_the_run(number, n_samples, seed):
    peak, end = find_first_shell(liquid(np.random.default_rng(seed), n_samples, number), 0.008, n_samples)
    assert RADIUS[peak] == pytest.approx(2.0, abs=0.15)
    assert 2.3 < RADIUS[end] < 3.6


def test_a_shallow_valley_ends_a_shell():
    # as around a large cation: between the shells the density falls to half the mean
    bumps = 1.0 + 4 * np.exp(-0.5 * ((RADIUS - 2.8) / 0.25) ** 2) + 0.6 * np.exp(-0.5 * ((RADIUS - 5.0) / 0.5) ** 2)
    shape = np.where(RADIUS < 2.2, 0.0, bumps - 0.5 * np.exp(-0.5 * ((RADIUS - 3.8) / 0.4) ** 2))
    counts = np.random.default_rng(1).poisson(20000 * 0.008 * VOLUMES * shape)
    peak, end = find_first_shell(counts, 0.008, 20000)
    assert RADIUS[peak] == pytest.approx(2.8, abs=0.1)
    assert RADIUS[end] == pytest.approx(3.8, abs=0.25)


@pytest.mark.parametrize("n_samples", [50, 5000])
def test_nothing_nearer_than_chance_is_no_shell(n_samples):
    counts = np.random.default_rng(2).poisson(n_samples * 0.008 * VOLUMES)
    assert find_first_shell(counts, 0.008, n_samples) is None
    assert find_first_shell(np.zeros(200), 0.008, n_samples) is None


@pytest.fixture
def write_solution(tmp_path):
    """Store one cation in the middle of a box with molecules given as (residue, elements, positions)."""

    def write(molecules, cation=("LI", "Li")):
        parts = [(cation[0], [cation[1]], [[0.0, 0.0, 0.0]]), *molecules]
        owner = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
        universe = MDAnalysis.Universe.empty(len(owner), len(parts), atom_resindex=owner, trajectory=True)
        elements = [element for part in parts for element in part[1]]
        universe.add_TopologyAttr("names", elements)
        universe.add_TopologyAttr("elements", elements)
        universe.add_TopologyAttr("resnames", [part[0] for part in parts])
        universe.add_TopologyAttr("resids", np.arange(1, len(parts) + 1))
        universe.atoms.positions = SIDE / 2 + np.concatenate([np.array(part[2]) for part in parts])
        universe.dimensions = [SIDE, SIDE, SIDE, 90, 90, 90]
        universe.atoms.write(str(tmp_path / "packed.pdb"))
        with MDAnalysis.Writer(str(tmp_path / "rdf.dcd"), len(owner)) as writer:
            for _ in range(N_FRAMES):
                writer.write(universe.atoms)
        return tmp_path / "packed.pdb", tmp_path / "rdf.dcd"

    return write


def carbonate(direction, gap, is_turned=False):
    """Return a carbonate group C(=O)(OC)OC whose carbonyl (or ether) oxygen points at the cation from a distance."""
    axis = np.array(direction) / np.linalg.norm(direction)
    side = np.cross(axis, [0.3, 0.5, 0.8])
    side /= np.linalg.norm(side)
    along = [0.0, 1.2, 1.9, 1.9, 3.3, 3.3] if not is_turned else [4.0, 2.8, 0.0, 2.1, 1.0, 3.5]
    across = [0.0, 0.0, 1.1, -1.1, 1.2, -1.2]
    if is_turned:  # the ether oxygen in front, its two carbons 1.4 away, the carbonyl oxygen behind
        along, across = [2.0, 0.85, 0.0, 1.4, 0.85, 2.8], [-0.3, -1.1, 0.0, -2.3, 1.1, -2.3]
    points = [axis * (gap + a) + side * b for a, b in zip(along, across, strict=True)]
    return "EMC", ["O", "C", "O", "O", "C", "C"], points


def octahedron(direction, gap):
    """Return PF6 of which one fluorine is at a distance from the cation."""
    axis = np.array(direction) / np.linalg.norm(direction)
    side = np.cross(axis, [0.2, 0.9, 0.4])
    side /= np.linalg.norm(side)
    third = np.cross(axis, side)
    centre = axis * (gap + 1.6)
    arms = [s * a * 1.6 for a in (axis, side, third) for s in (1, -1)]
    return "PF6", ["P", *"FFFFFF"], [centre, *(centre + arm for arm in arms)]


@pytest.mark.filterwarnings("ignore")
def test_molecules_are_counted_once_and_add_up(write_solution):
    molecules = [carbonate((1, 0, 0), 2.0), carbonate((0, 1, 0), 2.0), carbonate((0, 0, 1), 2.0),
                 carbonate((-1, 0, 0), 2.1, is_turned=True), octahedron((0, -1, 0), 2.0)]  # fmt: skip
    molecules += [carbonate(direction, 6.0) for direction in ((1, 1, 0), (-1, 0, -1), (0, -1, 1))]
    shell = read_surroundings(*write_solution(molecules), {"LI": "Li"}).shells["Li"]
    assert shell.numbers == {"EMC carbonyl O": 3.0, "EMC ether O": 1.0, "PF6 F": 1.0}
    assert shell.total == 5.0
    assert 2.1 < shell.cutoff < 6.0


@pytest.mark.filterwarnings("ignore")
def test_other_cations_and_anions_are_counted_likewise(write_solution):
    # the chlorine of a perchlorate coordinates nothing; two of its oxygens are as near, and it counts once
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3) * 1.45
    perchlorate = ("CLO", ["Cl", *"OOOO"], [[0, 0, 2.95], *(np.array([0, 0, 2.95]) + tetrahedron)])
    nitriles = [("ACN", ["N", "C", "C"], [[x, 0, 0], [x * 1.5, 0, 0], [x * 2.1, 0, 0]]) for x in (2.4, -2.4)]
    # a residue has three letters, people know the ion by four
    names = {"CLO": "ClO4", "NA": "Na"}
    found = read_surroundings(*write_solution([perchlorate, *nitriles], ("NA", "Na")), {"NA": "Na"}, names=names)
    assert found.shells["Na"].numbers == {"ACN N": 2.0, "ClO4 O": 1.0}
    assert {pair.title for pair in found.pairs} == {"Na-N(ACN)", "Na-O(ClO4)"}


def test_means_of_cells_add_up_where_a_cell_lacks_a_molecule():
    cells = [{"Li": {"peak": 2.0, "cutoff": 2.8, "numbers": {"EC carbonyl O": 3.0, "PF6 F": 1.0}, "total": 4.0}},
             {"Li": {"peak": 2.1, "cutoff": 3.0, "numbers": {"EC carbonyl O": 4.0}, "total": 4.0}}, {}]  # fmt: skip
    mean = average_coordination(cells)["Li"]
    assert mean["cutoff_angstrom"] == pytest.approx(2.9)
    assert {name: part["number"] for name, part in mean["molecules"].items()} == {"EC carbonyl O": 3.5, "PF6 F": 0.5}
    assert mean["total"] == {"number": 4.0, "standard_error": 0.0}


def test_formula_counts_in_the_order_of_the_file():
    assert cell_formula(["LI", "P", "F", "F", "Li"]) == "Li2 P1 F2"
