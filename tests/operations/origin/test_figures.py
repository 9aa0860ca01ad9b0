"""The data behind a result as figures, and where it comes from as a graph."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.operations.origin import raw
from aiida_finales.operations.origin.graph import MOST, make_graph
from aiida_finales.operations.origin.raw import MOST_POINTS, Table, find_figures, read_tables, tell_spectrum, write_csv
from aiida_finales.science.electrolyte.impedance import circuit_impedance
from aiida_finales.server.pages.drawing import draw_curve, draw_graph


class Answer:
    """What is looked at of a result."""

    creator = None

    def __init__(self, data):
        self.data = data


def draw(*tables):
    return find_figures(tables, is_simulated=True)


def test_a_spectrum_has_its_fit_beside_it():
    """Of 50 ohm in series with electrodes the fit gives 50 ohm, and its curve passes through the points."""
    hertz = np.geomspace(50, 5e5, 40)
    (chart,) = draw(tell_spectrum(hertz, circuit_impedance(hertz, 50.0, 1e-5, 0.9, 1e-7)))
    measured, fit = chart.series
    assert "R = 50 Ω" in chart.title
    assert (measured.kind, len(measured.marks)) == ("points", 40)
    low = min(mark.y for mark in measured.marks)
    assert min(mark.y for mark in fit.marks) == pytest.approx(low, abs=0.5)  # ohm, of several hundred
    assert chart.is_equal
    assert chart.note == "Simulated data."


def test_more_spectra_than_are_drawn_are_told(registered, make_result):
    """What is downloaded is whole, as many cells as were measured."""
    made, spectra = make_result(), {f"spectrum_{number}": make_spectrum() for number in range(raw.MOST + 2)}

    @calcfunction
    def measure():
        return {"result": made, **spectra}

    result = measure()["result"]
    tables = read_tables(result)
    assert [table.kind for table in tables] == ["spectrum"] * (raw.MOST + 2)
    assert len(draw(*tables)) == raw.MOST
    assert write_csv(result, f"spectrum-{raw.MOST + 2}").startswith("frequency / Hz,Re Z")


def make_spectrum():
    node = orm.ArrayData()
    node.set_array("frequency", np.array([1.0, 2.0]))
    node.set_array("impedance", np.array([1 + 1j, 2 + 1j]))
    return node


def test_a_spectrum_that_cannot_be_fitted_is_shown_and_says_so():
    (chart,) = draw(tell_spectrum([1.0, 2.0], [1 + 1j, 2 + 1j]))
    assert "cannot be fitted" in chart.title
    assert [item.name for item in chart.series] == ["measured"]


def test_an_expected_life_has_its_interval():
    body = {
        "capacity_trajectory": [1.0, 0.9],
        "capacity_trajectory_uncertainty": [0.1, 0.2],
        "cell_info": {"uuid": "c"},
    }
    (chart,) = draw(*read_tables(Answer({"degradationEOL": body})))
    band, line = chart.series
    assert [(mark.low, mark.high) for mark in band.marks] == [pytest.approx((0.9, 1.1)), pytest.approx((0.7, 1.1))]
    assert [mark.y for mark in line.marks] == [1.0, 0.9]


@pytest.mark.parametrize("body", [None, {}, {"capacity_trajectory": [1.0]}, [{"capacity_trajectory": "x"}]])
def test_data_that_break_their_schema_give_no_table(body):
    assert read_tables(Answer({"degradationEOL": body})) == []


def test_cells_are_one_figure_with_a_series_each():
    cells = [{"discharge_capacities": [1.0, 0.9], "cell_info": {"uuid": name}} for name in ("a", "b")]
    (chart,) = draw(*read_tables(Answer({"cells": cells})))
    assert [(item.name, len(item.marks)) for item in chart.series] == [("a", 2), ("b", 2)]


def test_long_series_are_thinned_in_figures_alone():
    hertz = np.geomspace(1, 1e5, 5000)
    table = tell_spectrum(hertz, circuit_impedance(hertz, 50, 1e-5, 0.9, 1e-7))
    (chart,) = draw(table)
    assert table.n_rows == 5000
    assert len(chart.series[0].marks) <= MOST_POINTS


def test_stages_of_a_simulation_follow_each_other_on_one_line_of_time():
    """The log counts from the begin of each stage; what is no number is not drawn."""
    columns = {"stage": ["nvt", "nvt", "npt"], "time_ps": [1.0, 2.0, 1.0]}
    density = {"density_g_cm3": [float("nan"), 1.1, 1.2], "potential_kJ_mol": [-1.0, -2.0, -3.0]}
    charts = draw(Table("dynamics-1", "dynamics", "cell 1", columns | density))
    assert [(chart.name, chart.y.title) for chart in charts] == [
        ("density", "density / g/cm³"), ("energy", "potential energy / kJ/mol"),
    ]  # fmt: skip
    assert [(mark.x, mark.y) for mark in charts[0].series[0].marks] == [(2.0, 1.1), (3.0, 1.2)]


STORY = {
    "result": {"pk": 9, "uuid": "r", "value": 0.9, "uncertainty": 0.01, "unit": "S/m"},
    "campaigns": ["<c>"],
    "suggestion": {"pk": 4, "step": 2, "formulation": "LiPF6 0.1"},
    "request": {"pk": 5, "uuid": "q", "formulation": "LiPF6 0.1"},
    "tenant": {"name": "robot"},
    "provided_by": None,
    "origins": [{"depth": 1, "pk": 11, "words": "vial v1 of LiPF6 0.1, ASAB  <11>"}]
    + [{"depth": 2, "pk": 20 + n, "words": f"stock s{n}, ASAB  <2{n}>"} for n in range(10)],
}


def test_the_graph_leads_from_the_campaign_to_the_bottles():
    """Each box is right of what it came from, or, of what it was made of, left; the answer is between."""
    graph = make_graph(STORY)
    titles = [box["title"] for box in graph["boxes"]]
    assert titles[:5] == ["result <9>", "campaign", "suggestion <4>", "request <5>", "answered by"]
    edges = {(titles[first], titles[second]) for first, second in graph["edges"]}
    chain = ["campaign", "suggestion <4>", "request <5>", "answered by", "result <9>", "vial v1"]
    assert set(itertools.pairwise(chain)) <= edges
    columns = [next(box["column"] for box in graph["boxes"] if box["title"] == title) for title in chain]
    assert columns == sorted(columns)
    assert sum(title.startswith("stock") for title in titles) == MOST


def test_a_result_nobody_asked_for_is_a_graph_of_its_own():
    bare = {"campaigns": [], "suggestion": None, "request": None, "tenant": None, "origins": []}
    graph = make_graph({**STORY, **bare})
    assert [box["kind"] for box in graph["boxes"]] == ["result"]
    assert graph["edges"] == []


def test_drawings_hold_nothing_that_a_browser_would_run():
    drawn = draw_graph(make_graph({**STORY, "campaigns": ['"><script>alert(1)</script>']}))
    assert "<script" not in drawn
    assert "/pages/campaigns/%22%3E%3Cscript" in drawn
    assert " style=" not in drawn


@pytest.mark.parametrize(("values", "n"), [([], 0), ([1.0], 0), ([1.0, 1.0], 1), ([1.0, 2.0, 3.0], 1)])
def test_a_small_curve_needs_two_values(values, n):
    assert draw_curve(values, "S/m").count("<polyline") == n
