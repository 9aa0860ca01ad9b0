"""What is looked up of a result of cells: the median of those that are valid, and how far they scatter."""

from __future__ import annotations

import statistics

import pytest
from aiida import orm

from aiida_finales.data.result import ResultData, summarise
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import make_formulation, place_formulation

EC = get_chemical("EC").inchikey
ASKED = place_formulation("degradationEOL", make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}))
MADE = make_formulation({"LiPF6": 0.08, "EC": 0.31, "EMC": 0.61})


def make_cells(*lives, success=True, rating=4):
    return [{"end_of_life": life, "meta": {"success": success, "rating": rating}} for life in lives]


def make_summary(*cells, made=True):
    run_info = {"formulation": MADE} if made else {}
    return summarise("degradationEOL", {"run_info": run_info, "degradationEOL": list(cells)}, ASKED)


def test_the_median_of_the_valid_cells_counts():
    valid, failed = (120, 150, 90, 160, 3), make_cells(9, 8, 7, success=False, rating=1)
    found = make_summary(*make_cells(*valid), *failed)
    assert (found["value"], found["success"], found["rating"]) == (120, True, 4)
    assert (found["n_values"], found["n_valid"]) == (8, 5)
    assert found["spread"] == pytest.approx(statistics.stdev(valid))
    assert found["temperature"] is None


@pytest.mark.parametrize(("n_valid", "is_success"), [(4, True), (3, False), (0, False)])
def test_at_least_half_of_the_cells_must_be_valid(n_valid, is_success):
    lives = range(100, 108)
    found = make_summary(*make_cells(*lives[:n_valid]), *make_cells(*lives[n_valid:], success=False, rating=1))
    assert found["success"] is is_success
    assert (found["value"] is None) is (n_valid == 0)


def test_the_rating_is_the_median_of_the_valid_cells():
    found = make_summary(
        *make_cells(100, rating=5), *make_cells(110, 120, rating=3), *make_cells(9, success=False, rating=1)
    )
    assert found["rating"] == 3
    assert make_summary(*make_cells(9, 8, success=False, rating=1))["rating"] == 1


def test_one_cell_alone():
    cell = make_cells(140)[0]
    found = summarise("degradationEOL", {"run_info": {"formulation": MADE}, "degradationEOL": cell}, ASKED)
    assert (found["value"], found["spread"], found["success"], found["n_values"]) == (140, None, True, 1)


def test_what_was_really_made_counts_else_what_was_asked():
    assert make_summary(*make_cells(100))["fractions"][EC] == 0.31
    assert make_summary(*make_cells(100), made=False)["fractions"][EC] == 0.3


@pytest.mark.parametrize("body", [None, [], {}, "x"], ids=repr)
def test_no_cell_is_no_success(body):
    found = summarise("degradationEOL", {"degradationEOL": body}, ASKED)
    assert (found["value"], found["success"], found["rating"]) == (None, False, None)


def test_repetitions_have_mean_and_spread(registered, make_data, make_parameters):
    from aiida_finales.data.capability import find_capability

    data = make_data()
    data["conductivity"]["values"] = [0.9, 1.0, 1.1]
    node = ResultData(find_capability("conductivity", "two_electrode"), data, make_parameters()).store()
    loaded = orm.load_node(node.pk)
    assert (loaded.value, loaded.spread) == (pytest.approx(1.0), pytest.approx(0.1))
    assert loaded.base.attributes.get("n_valid") == 3
    assert [item.value for item in loaded.values] == [0.9, 1.0, 1.1]
