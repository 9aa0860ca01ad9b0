"""The data behind a result as figures, and where it comes from as a graph."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from aiida_finales.operations.origin.graph import MOST, make_graph
from aiida_finales.operations.origin.raw import MOST_POINTS, _trajectories, draw_spectrum
from aiida_finales.science.electrolyte.impedance import circuit_impedance
from aiida_finales.server.pages.drawing import draw_curve, draw_graph, draw_plot


def test_a_spectrum_has_its_fit_beside_it():
    """Of 50 ohm in series with electrodes the fit gives 50 ohm, and its curve passes through the points."""
    hertz = np.geomspace(50, 5e5, 40)
    ohm = circuit_impedance(hertz, 50.0, 1e-5, 0.9, 1e-7)
    figure = draw_spectrum(hertz, ohm)
    measured, fit = figure["series"]
    assert "R = 50 Ω" in figure["title"]
    assert measured["kind"] == "dots"
    assert len(measured["x"]) == 40
    low = min(measured["y"])
    assert min(fit["y"]) == pytest.approx(low, abs=0.5)  # ohm, of several hundred
    assert figure["is_equal"]


def test_a_spectrum_that_cannot_be_fitted_is_shown_and_says_so():
    figure = draw_spectrum([1.0, 2.0], [1 + 1j, 2 + 1j])
    assert "cannot be fitted" in figure["title"]
    assert [item["name"] for item in figure["series"]] == ["measured"]


class Answer:
    """What is looked at of a result."""

    def __init__(self, data):
        self.data = data


def test_an_expected_life_has_its_interval():
    body = {
        "capacity_trajectory": [1.0, 0.9],
        "capacity_trajectory_uncertainty": [0.1, 0.2],
        "cell_info": {"uuid": "c"},
    }
    (figure,) = _trajectories(Answer({"degradationEOL": body}))
    band, line = figure["series"]
    assert (band["low"], band["high"]) == (pytest.approx([0.9, 0.7]), pytest.approx([1.1, 1.1]))
    assert line["y"] == [1.0, 0.9]


@pytest.mark.parametrize("body", [None, {}, {"capacity_trajectory": [1.0]}, [{"capacity_trajectory": "x"}]])
def test_data_that_break_their_schema_give_no_figure(body):
    assert _trajectories(Answer({"degradationEOL": body})) == []


def test_long_series_are_thinned():
    figure = {"title": "t", "x": "x", "y": "y", "is_equal": False, "series": []}
    long = draw_spectrum(np.geomspace(1, 1e5, 5000), circuit_impedance(np.geomspace(1, 1e5, 5000), 50, 1e-5, 0.9, 1e-7))
    assert len(long["series"][0]["x"]) <= MOST_POINTS
    assert draw_plot(figure) == ""


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
