"""The figures of a campaign as data: what each point tells, and where it leads."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aiida_finales.operations.campaign.charts import make_charts
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.chart import MODEL, Axis, Chart, Mark, Series, documents

from .test_figures import overview as one_objective
from .test_front import make_overview

overview = one_objective


@pytest.fixture
def charts(overview):
    return {chart.name: chart for chart in make_charts(overview, "/pages/results")}


def series_of(chart, name):
    return [item for item in chart.series if item.name.startswith(name)]


def test_each_result_tells_all_and_leads_to_its_page(overview, charts):
    """Hover and click: value with uncertainty, composition, and the address of the page."""
    used = [item for item in overview.evaluations if item.is_used]
    told = [mark for item in charts["progress"].series if item.kind == "points" for mark in item.marks]
    assert {mark.link for mark in told} == {f"/pages/results/{item.uuid}" for item in used}
    by_link = {mark.link: mark for mark in told}
    for item in used:
        mark = by_link[f"/pages/results/{item.uuid}"]
        assert (mark.x, mark.y) == (item.number, item.value)
        lines = dict(mark.lines)
        assert overview.unit in lines["value"]
        assert "LiPF6" in lines["composition"]
        assert ("simulated" in mark.title) is item.is_simulated


def test_the_best_so_far_never_falls(charts):
    (best,) = series_of(charts["progress"], "best so far")
    values = [mark.y for mark in best.marks]
    assert values == sorted(values)
    assert len(set(values)) > 1


def test_the_triangle_has_the_space_and_every_result_inside_of_its_axes(overview, charts):
    chart = charts["triangle"]
    (area,) = [item for item in chart.series if item.kind == "area"]
    assert len(area.marks) >= 3
    marks = [mark for item in chart.series if item.kind == "points" for mark in item.marks]
    assert len(marks) >= sum(item.is_used for item in overview.evaluations)
    for mark in (*marks, *area.marks):
        assert chart.x.low <= mark.x <= chart.x.high
        assert chart.y.low <= mark.y <= chart.y.high


def test_side_by_side_each_scale_goes_from_its_least_to_its_most(charts):
    paths = [mark.path for item in charts["parallel"].series for mark in item.marks]
    assert len(charts["parallel"].x.labels) == len(paths[0])
    for heights in zip(*paths, strict=True):
        known = [height for height in heights if height is not None]
        assert (min(known), max(known)) == (0, 1)


def test_simulated_data_are_said_to_be_so(overview, charts):
    assert any(item.is_simulated for item in overview.evaluations)
    assert all("imulated data" in chart.note for chart in charts.values())
    real = replace(overview, evaluations=tuple(replace(item, is_simulated=False) for item in overview.evaluations))
    assert not any("imulated data" in chart.note for chart in make_charts(real, ""))


def test_two_objectives_are_drawn_against_each_other():
    """Measured points in their order, and the front that the model predicts with one standard deviation."""
    charts = {chart.name: chart for chart in make_charts(make_overview("density", "viscosity"), "/r")}
    assert list(charts) == ["front", "hypervolume", "parallel"]
    (measured,) = series_of(charts["front"], "measured")
    assert [(mark.x, mark.y, mark.value) for mark in measured.marks] == [(1.2, 2, 2), (1.25, 3, 4), (1.3, 4.5, 6)]
    band, line = series_of(charts["front"], "front that the model predicts")
    assert (band.kind, line.kind, band.place) == ("band", "line", MODEL)
    assert [round(mark.high - mark.low, 9) for mark in band.marks] == [0.02] * 3
    assert charts["front"].x.title == "density / g/cm³"


def test_what_was_varied_is_told_with_its_unit_and_by_the_names_of_options():
    """Variables, categories from the lowest option on, objectives; of one result nothing varies."""
    two = make_overview("density", "viscosity")
    section = {"A": {"separator": "a"}, "B": {"separator": "b"}}
    campaign = parse_campaign({
        "name": "c", "variables": {"temperature": {"min": 290, "max": 310}},
        "categories": {"kind": {"options": section}},
        "objectives": {name: {"direction": "maximise", "sources": {name: {}}} for name in ("density", "viscosity")},
    })  # fmt: skip
    items = [
        replace(item, variables={"temperature": 290.0 + item.number}, options={"kind": "AB"[item.number % 2]})
        for item in two.evaluations
    ]
    problem = {"variables": [{"name": "temperature", "unit": "K"}], "components": list(two.components)}
    varied = replace(two, campaign=campaign, evaluations=tuple(items), components=(), problem=problem)
    chart = make_charts(varied, "/r")[-1]
    labels = dict(label.split("\n", 1) for label in chart.x.labels)
    assert labels["temperature"] == "291 to\n296 K"
    assert labels["kind"] == "A to\nB"
    assert labels["density"].endswith(" g/cm³")
    told = [mark.lines for series in chart.series for mark in series.marks]
    assert all([words for words, _ in lines].count("temperature") == 1 for lines in told)
    assert ("temperature", "291 K") in [line for lines in told for line in lines]
    alone = replace(varied, evaluations=tuple(items[:1]))
    assert "parallel" not in [item.name for item in make_charts(alone, "/r")]


def test_without_a_result_there_is_no_figure(overview):
    assert make_charts(replace(overview, evaluations=()), "") == []


def test_a_document_is_plain_json_and_leaves_out_what_is_as_by_default():
    """A point at the origin keeps its place; what nobody said is not there."""
    series = Series("a", "points", (Mark(0.0), Mark(1.0, 2.0, link="/pages/results/u")))
    chart = Chart("n", "T", "W", Axis("x / 1"), Axis("y / 1", low=0.0), (series,))
    found = json.loads(json.dumps(documents([chart], "s"), allow_nan=False))
    assert found["charts"][0]["series"][0] == {
        "name": "a", "kind": "points", "marks": [{"x": 0.0}, {"x": 1.0, "y": 2.0, "link": "/pages/results/u"}],
    }  # fmt: skip
    assert found["charts"][0]["y"] == {"title": "y / 1", "low": 0.0}
