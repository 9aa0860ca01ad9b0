"""End of life: by hand, and against the published cycle lives of 83 cells."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.end_of_life import crossing_uncertainty, find_end_of_life


@pytest.mark.parametrize(
    ("capacities", "persistence", "expected"),
    [
        ([1.0, 0.9, 0.79], 1, 3),
        ([1.0, 0.9, 0.8], 1, None),
        ([1.0, 0.7, 0.9, 0.7, 0.7, 0.7, 0.9], 1, 2),
        ([1.0, 0.7, 0.9, 0.7, 0.7, 0.7, 0.9], 3, 4),
        ([1.0, 0.9, 0.7, 0.7], 3, None),
        ([0.7], 3, None),
        ([], 1, None),
    ],
    ids=["crossed", "equal is not below", "first dip", "dips do not last", "too short to tell", "one cycle", "nothing"],
)
def test_by_hand(capacities, persistence, expected):
    assert find_end_of_life(capacities, reference=1.0, persistence=persistence) == expected


def test_first_entry_may_be_another_cycle():
    assert find_end_of_life([1.0, 0.5], reference=1.0, first_cycle=2) == 3


@pytest.mark.parametrize(
    ("capacities", "options"),
    [([1.0, float("nan")], {}), ([1.0], {"reference": 0.0}), ([1.0], {"persistence": 0}), ([1.0], {"threshold": -1})],
    ids=["gap", "no reference", "no persistence", "no threshold"],
)
def test_nonsense_is_refused(capacities, options):
    with pytest.raises(InputError, match="accepted"):
        find_end_of_life(capacities, **({"reference": 1.0} | options))


@given(st.lists(st.floats(0, 2), max_size=30), st.integers(1, 4), st.floats(0.1, 1.0))
def test_agrees_with_the_definition(capacities, persistence, threshold):
    limit = threshold * (1 - 1e-9)
    starts = range(len(capacities) - persistence + 1)
    expected = next((i + 1 for i in starts if all(q < limit for q in capacities[i : i + persistence])), None)
    assert find_end_of_life(capacities, reference=1.0, threshold=threshold, persistence=persistence) == expected


def test_published_cycle_lives(shared_data):
    folder = shared_data / "cycling"
    capacities: dict[str, list[float]] = {}
    with gzip.open(folder / "matr_lfp83_capacity_per_cycle.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            capacities.setdefault(row["cell_id"], []).append(float(row["discharge_capacity_Ah"]))
    with (folder / "matr_lfp83_labels.csv").open() as stream:
        labels = list(csv.DictReader(stream))
    assert len(labels) == len(capacities) == 83
    n_reached = 0
    for label in labels:
        found = find_end_of_life(np.array(capacities[label["cell_id"]]), reference=1.1, first_cycle=2)
        if min(capacities[label["cell_id"]]) < 0.88:
            assert found == int(float(label["published_cycle_life"])) == int(float(label["first_cycle_below_0p88Ah"]))
            n_reached += 1
        else:
            assert found is None
            assert int(label["published_cycle_life"]) == int(label["last_cycle"]) + 1
    assert 0 < n_reached < 83


def test_a_scattering_capacity_makes_its_end_uncertain():
    """Of 200 records with noise, the ends that are read off scatter as much as each of them says, within a factor."""
    rng = np.random.default_rng(1)
    cycles = np.arange(1, 400)
    true = 1.0 - 5e-4 * cycles
    noise = 2e-3
    found = [true + noise * rng.standard_normal(len(cycles)) for _ in range(200)]
    ends = [find_end_of_life(record, reference=1.0, threshold=0.9, persistence=1) for record in found]
    said = [crossing_uncertainty(cycles, record, end) for record, end in zip(found, ends, strict=True)]
    assert 0.5 * np.std(ends) < np.median(said) < 3 * np.std(ends)
    assert crossing_uncertainty(cycles, true, 201) == 1.0
