"""Series of capacities made fit to learn from."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.ageing.cleaning import Settings, clean_series

CYCLES = np.arange(1, 401)
FADING = 1.1 * (1 - 0.25 * (CYCLES / 400) ** 2)


def dirty(seed=0):
    values = FADING + 0.001 * np.random.default_rng(seed).standard_normal(400)
    values[[50, 120, 300]] = [0.0, 2.0, 0.4]
    return values


class TestCleaning:
    def test_outliers_are_replaced_and_told(self) -> None:
        found = clean_series(CYCLES, dirty())
        assert {51, 121, 301} <= set(found.cycles[found.is_outlier])
        assert found.smoothed[50] == pytest.approx(FADING[50], rel=0.01)
        assert found.describe()["n_outliers"] == found.is_outlier.sum()

    def test_each_per_cent_is_where_it_is(self) -> None:
        found = clean_series(CYCLES, dirty())
        for percent in (95, 90, 80):
            assert found.crossings[percent] == pytest.approx(400 * ((1 - percent / 100) / 0.25) ** 0.5, rel=0.03)
        assert list(found.crossings.values()) == sorted(found.crossings.values())

    def test_a_clean_series_stays(self) -> None:
        found = clean_series(CYCLES, FADING, Settings(window=1))
        assert not found.is_outlier.any()
        assert found.smoothed == pytest.approx(FADING)

    def test_reference_may_be_given(self) -> None:
        assert clean_series(CYCLES, FADING, Settings(reference=1.1)).reference == 1.1
        assert clean_series(CYCLES, FADING).describe()["reference_rule"] == "largest of the first tenth"

    def test_order_does_not_matter(self) -> None:
        order = np.random.default_rng(1).permutation(400)
        assert clean_series(CYCLES[order], dirty()[order]).crossings == clean_series(CYCLES, dirty()).crossings

    def test_formation_is_no_reference(self) -> None:
        """Three slow first cycles made the end of life come after a third of the cycles."""
        values = np.r_[[1.3] * 3, FADING]
        cycles = np.arange(1, len(values) + 1)
        with pytest.raises(InputError, match=r"the first 3 cycles lie above .* \(--formation 3"):
            clean_series(cycles, values)
        for how in (Settings(formation=0), Settings(reference=1.1)):
            assert clean_series(cycles, values, how).crossings

    def test_gaps_are_told(self) -> None:
        assert clean_series(CYCLES, FADING).list_notes() == []
        kept = (CYCLES < 200) | (CYCLES > 300)
        found = clean_series(CYCLES[kept], FADING[kept])
        assert found.list_notes()[0] == "101 cycles between the first and the last not there"
        assert found.list_notes()[1].startswith("no cycle between 199 and 301: that of 9")
        assert clean_series(CYCLES[::20], FADING[::20]).list_notes() == []  # a table that is thinned out has none

    @pytest.mark.parametrize(
        ("cycles", "capacities", "words"),
        [
            ([1, 2], [1.0], "one for each"),
            ([1, 1, 2, 3, 4, 5], [1.0] * 6, "given twice"),
            ([1, 2, 3, 4, 5, 6], [0.0] * 6, "capacity above 0"),
        ],
    )
    def test_refuses_in_words(self, cycles, capacities, words) -> None:
        with pytest.raises(InputError, match=words):
            clean_series(cycles, capacities)

    @pytest.mark.parametrize("settings", [{"limit": 0.0}, {"window": 4}, {"reference": -1.0}])
    def test_settings_that_make_no_sense(self, settings) -> None:
        with pytest.raises(InputError, match=next(iter(settings))):
            Settings(**settings)


def _read(path):
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


def test_the_23_dirty_series(shared_data) -> None:
    """Where each per cent is reached agrees with the published labels, made of the same series by other code."""
    series, labels = defaultdict(list), defaultdict(dict)
    for row in _read(shared_data / "ageing" / "capacity_full_examples.csv.gz"):
        series[row["cell_id"]].append((float(row["cycle"]), float(row["discharge_capacity_Ah"])))
    for row in _read(shared_data / "ageing" / "soh_crossings.csv.gz"):
        labels[row["cell_id"]][int(row["soh_percent"])] = float(row["cycle"])
    assert len(series) == 23
    errors, of_cell = [], {}
    for name, points in series.items():
        found = clean_series(*zip(*points, strict=True)).crossings
        both = [abs(found[key] / labels[name][key] - 1) for key in found.keys() & labels[name].keys()]
        errors += both
        of_cell[name] = np.median(both)
    assert np.median(errors) < 0.001
    # two cells of NASA jump by ten per cent from cycle to cycle: nobody can say better
    assert sum(error > 0.03 for error in of_cell.values()) <= 2
