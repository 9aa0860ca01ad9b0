"""What several objectives are traded for: figures, and the point that a person chooses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.operations.campaign.charts import make_charts
from aiida_finales.operations.campaign.evaluation import Evaluation, Predicted, value_wanted
from aiida_finales.operations.campaign.figures import draw_figures
from aiida_finales.operations.campaign.front import (
    choose_point,
    describe_front,
    draw_front,
    draw_fronts,
    front_lines,
    list_figures,
    measured_points,
)
from aiida_finales.operations.campaign.naming import name_units
from aiida_finales.operations.campaign.overview import Front, FrontPoint, Overview, read_front
from aiida_finales.operations.campaign.report import write_report
from aiida_finales.operations.campaign.words import (
    describe_overview,
    final_words,
    print_table,
    progress_words,
    say_overview,
)
from aiida_finales.optimisation import Objective, Problem, Source
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6

METHODS = {"density": "densimeter", "viscosity": "viscometer", "conductivity": "robot"}
UNITS = {"density": "g/cm³", "viscosity": "mPa·s", "conductivity": "S/m"}
#: salt, density, viscosity, conductivity
POINTS = ((0.05, 1.20, 2.0, 0.8), (0.08, 1.25, 3.0, 1.0), (0.12, 1.30, 4.5, 0.7))


def make_overview(*quantities: str) -> Overview:
    """Return a campaign that wants a high density, a low viscosity, a high conductivity, or some of them."""
    goals = {
        name: {"direction": "minimise" if name == "viscosity" else "maximise", "sources": {METHODS[name]: {}}}
        for name in quantities
    }
    evaluations, places = [], []
    for salt, *values in POINTS:
        places.append({LIPF6: salt, EC: 0.3, EMC: 0.7 - salt})
        for name, value in zip(METHODS, values, strict=True):
            if name in quantities:
                evaluations.append(evaluate(len(evaluations) + 1, METHODS[name], places[-1], {name: value}))
    values = [dict(zip(METHODS, row[1:], strict=True)) for row in POINTS]
    means = [{name: row[name] for name in quantities} for row in values]
    points = tuple(FrontPoint(place, {}, mean, {}, ("u1", "u2")) for place, mean in zip(places, means, strict=True))
    predicted = tuple(replace(point, sd=dict.fromkeys(quantities, 0.01)) for point in points)
    reference = {"density": 1.0, "viscosity": 10.0}
    return Overview(
        name="traded", campaign=parse_campaign({"name": "traded", "objectives": goals}), pk=1, state="waiting",
        is_ended=False, is_ok=False, stop_reason="", unit="g/cm3", components=(LIPF6, EC, EMC),
        evaluations=tuple(evaluations), open_states={}, spent=None, left_out={}, troubles=(), forecasts=(),
        recommendation=None, problem=None, units={name: UNITS[name] for name in quantities},
        front=Front(points, predicted, reference, ((4, 0.5, 0.1), (6, 0.7, 0.05)), 0.7),
    )  # fmt: skip


def evaluate(number: int, source: str, place: dict, numbers: dict) -> Evaluation:
    return Evaluation(
        number=number, uuid=f"{number}", pk=number, source=source, fractions=place, value=next(iter(numbers.values())),
        spread=None, values=(), rating=4, is_known=False, against="", is_simulated=True, temperature=298.15,
        expected=None, tenant="somebody", numbers=numbers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def overview() -> Overview:
    return make_overview("density", "viscosity")


def test_answers_of_different_times_make_one_point(overview):
    assert measured_points(overview) == [
        (2, {"density": 1.20, "viscosity": 2.0}),
        (4, {"density": 1.25, "viscosity": 3.0}),
        (6, {"density": 1.30, "viscosity": 4.5}),
    ]
    without = replace(overview, evaluations=overview.evaluations[:-1])
    assert len(measured_points(without)) == 2


def test_figures_of_two_objectives(overview):
    figures = draw_fronts(overview)
    assert list(figures) == ["front", "hypervolume"]
    axes = figures["front"].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("density / g cm$^{-3}$", "viscosity / mPa·s")
    labels = axes.get_legend_handles_labels()[1]
    assert {"measured, 3", "front that the model predicts, ± 1 sd", "front, measured, 3"} <= set(labels)
    assert "reference at 1, 10, beyond the figure" in labels
    assert "simulated data" in [text.get_text() for text in figures["front"].texts]


def test_limits_and_references_do_not_squeeze_the_points():
    overview = make_overview("density", "viscosity")
    alone = draw_front(replace(overview, front=None)).axes[0]
    goals = overview.campaign.objectives
    goals["density"].at_least, goals["viscosity"].at_most, goals["viscosity"].at_least = 1.18, 400.0, 2.5
    near = replace(overview.front, reference={"density": 1.17, "viscosity": 5.0})
    axes = draw_front(replace(overview, front=near)).axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert "viscosity at most 400, beyond the figure" in labels
    assert "reference" in labels
    assert axes.get_ylim()[1] < 1.5 * alone.get_ylim()[1]
    assert axes.get_xlim()[0] < 1.17


def test_results_have_whole_numbers_and_the_band_follows_the_steps(overview):
    figure = draw_fronts(overview)["hypervolume"]
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    (band,) = axes.collections
    heights = {round(float(y), 6) for x, y in band.get_paths()[0].vertices if x == 6.0}
    assert {0.4, 0.6} <= heights  # the band of before reaches to the next result


def test_numbers_of_a_chosen_point_have_units(overview):
    variables = [{"name": "temperature", "lower": 280.0, "upper": 320.0, "unit": "K"}]
    told = replace(overview, problem={"variables": variables, "components": [LIPF6, EC, EMC]})
    row = name_units({**choose_point(told, 2), "temperature": 298.15}, told)
    assert row["molality"].endswith(" mol/kg of solvent")
    assert row["temperature"] == "298.15 K"


def test_figures_of_three_objectives():
    overview = make_overview("density", "viscosity", "conductivity")
    assert list_figures(overview) == ["parallel", "hypervolume"]
    axes = draw_fronts(overview)["parallel"].axes[0]
    lines = [list(line.get_ydata()) for line in axes.lines[:3]]
    # the thinnest is the best in viscosity and the worst in density
    assert lines[0][:2] == [0.0, 1.0]


def test_each_objective_is_drawn_alone_as_well(overview):
    region = Region.from_box({LIPF6: (0.0, 0.15), EC: (0.0, 0.55), EMC: (0.3, 1.0)})
    sources = tuple(Source(METHODS[name], (region,), 1.0, (name,)) for name in ("density", "viscosity"))
    aims = (
        Objective("density", "densimeter", "maximise"),
        Objective("viscosity", "viscometer", "minimise"),
    )
    problem = Problem((LIPF6, EC, EMC), sources, aims).to_dict()
    figures = draw_figures(replace(overview, problem=problem))
    kinds = {f"{kind}_{name}" for kind in ("progress", "triangle") for name in ("density", "viscosity")}
    assert set(figures) == {"front", "hypervolume", "molality"} | kinds
    labels = [axes.get_ylabel() for axes in figures["molality"].axes]
    assert labels == ["density / g cm$^{-3}$", "viscosity / mPa·s"]
    best = {
        name: next(
            list(line.get_ydata())
            for line in figures[f"progress_{name}"].axes[0].lines
            if line.get_label() == "best so far (target)"
        )
        for name in ("density", "viscosity")
    }
    assert best == {"density": [1.20, 1.25, 1.30], "viscosity": [2.0, 2.0, 2.0]}


def test_what_weights_prefer_is_said_of_many_points_too(overview):
    points = overview.front.predicted
    many = tuple(replace(points[0], is_preferred=number == 17) for number in range(30))
    told = replace(overview, front=replace(overview.front, predicted=many))
    lines = list(front_lines(told))
    assert [line.split(":")[0].strip() for line in lines if "best by the weights" in line] == ["18"]
    assert lines[-1].endswith("--point 18'")
    rows = describe_front(many, told)
    assert [row["point"] for row in rows if row["remark"]] == [18]
    assert "remark" not in describe_front(points, told)[0]
    assert choose_point(told, 18)["remark"] == rows[17]["remark"]
    assert "remark" not in choose_point(told, 1)


def test_what_weights_prefer_has_a_star_in_the_figures(overview):
    first, *others = overview.front.predicted
    told = replace(overview, front=replace(overview.front, predicted=(replace(first, is_preferred=True), *others)))
    words = describe_front(told.front.predicted, told)[0]["remark"]
    [chart] = (chart for chart in make_charts(told, "") if chart.name == "front")
    [star] = (series for series in chart.series if series.shape == "star")
    assert (star.name, star.marks[0].x, star.marks[0].y) == (words, 1.20, 2.0)
    assert words in draw_front(told).axes[0].get_legend_handles_labels()[1]
    assert words not in draw_front(overview).axes[0].get_legend_handles_labels()[1]


def test_a_person_chooses_a_point(overview):
    chosen = choose_point(overview, 2)
    assert chosen["density"] == "1.250 ± 0.010 g/cm³"
    assert chosen["expected"]["viscosity"] == {"mean": 3.0, "sd": 0.01}
    assert [part["fraction"] for part in chosen["formulation"]] == [0.08, 0.3, 0.62]
    assert choose_point(overview, 1, is_measured=True)["results"] == ["u1", "u2"]
    with pytest.raises(InputError, match="point 4 of the predicted front: accepted is 1 to 3"):
        choose_point(overview, 4)
    with pytest.raises(StatusError, match="has no predicted front: it has no model yet"):
        choose_point(replace(overview, front=None), 1)


def test_it_is_told_in_words(overview):
    row = describe_overview(overview)
    assert (row["quantity"], row["best_value"], row["hypervolume"]) == ("density, viscosity", None, 0.7)
    assert row["front_predicted"][0]["density"] == "1.200 ± 0.010 g/cm³"
    assert row["objectives"]["viscosity"] == {"direction": "minimise", "unit": "mPa·s"}
    assert "3 measured points that no other one surpasses" in progress_words(overview)
    assert "the front is told once there is a model" in progress_words(replace(overview, front=None))
    assert "nothing found yet" in progress_words(replace(overview, front=None, evaluations=()))
    assert any("front, predicted: 3 points" in line for line in final_words(overview))


NUMBERS = {"last": "capacity_list.-1", "efficiency": "delta_coulombic_efficiency"}


def read_numbers(overview: Overview) -> Overview:
    """Return a campaign of two numbers of one result that has no values, with a variable and a category."""
    goals = {
        name: {"quantity": "capacity", "number": number, "direction": "maximise", "target": "workflow"}
        for name, number in NUMBERS.items()
    }
    options = {"thin": {"electrolyte_volume": 35.0}, "thick": {"electrolyte_volume": 70.0}}
    file = parse_campaign(
        {
            "name": "cells",
            "objectives": goals,
            "sources": {"workflow": {"quantity": "capacity"}},
            "variables": {"rate": {"path": "c_rate_charge", "min": 0.1, "max": 1.0, "unit": "1/h"}},
            "categories": {"filling": {"options": options}},
        }
    )
    evaluations = []
    for number, (salt, last, *_) in enumerate(POINTS, start=1):
        item = evaluate(number, "workflow", {LIPF6: salt, EC: 0.3, EMC: 0.7 - salt}, {"last": last, "efficiency": -0.1})
        item = replace(item, value=None, variables={"rate": 0.5}, options={"filling": "thin"})
        evaluations.append(value_wanted(item, "capacity", file))
    point = FrontPoint(evaluations[0].fractions, {"rate": 0.5}, {"last": 1.2, "efficiency": -0.1}, {}, (),
                       {"filling": "thin"})  # fmt: skip
    return replace(
        overview, name="cells", campaign=file, evaluations=tuple(evaluations), units={"last": "Ah", "efficiency": ""},
        front=Front((point,), (point,) * 30, {"last": 1.0, "efficiency": -1.0}, ()),
        problem={"variables": [{"name": "rate", "unit": "1/h"}]},
    )  # fmt: skip


def test_numbers_of_results_without_values_are_reported(overview, tmp_path):
    told = replace(read_numbers(overview), problem=None)
    paths = [path.name for path in write_report(told, tmp_path)]
    assert {"cells-results.csv", "cells-front.png", "cells-progress_last.png"} <= set(paths)
    assert {"front", "parallel"} <= {chart.name for chart in make_charts(told, "")}


def test_values_below_zero_are_inside_of_their_panel(overview):
    axes = draw_figures(replace(read_numbers(overview), problem=None))["molality"].axes[1]
    low, high = axes.get_ylim()
    assert low < -0.1 < high


def test_points_of_a_front_tell_what_varies_beside_the_composition(overview):
    told = read_numbers(overview)
    row = say_overview(told)
    assert row["front_measured"] == [
        "1: last 1.2 Ah, efficiency -0.1 at LiPF6 0.0500, EC 0.3000, EMC 0.6500, rate 0.5 1/h, filling thin"
    ]
    assert len(row["front_predicted"]) == 11  # every third of 30, and where the rest is
    assert row["front_predicted"][-1] == "30 points in all: 'aiida-finales campaign choose cells'"
    assert row["objectives"][0] == "last: maximise capacity (capacity_list.-1) by workflow"
    assert "rate in 1/h" in print_table(told).splitlines()[0]
    assert all("filling thin" in line for line in final_words(told) if line.startswith("  1:"))


def test_colours_of_a_triangle_are_of_one_objective(overview):
    region = Region.from_box({LIPF6: (0.0, 0.15), EC: (0.0, 0.55), EMC: (0.3, 1.0)})
    sources = tuple(Source(METHODS[name], (region,), 1.0, (name,)) for name in ("density", "viscosity"))
    aims = Objective("density", "densimeter"), Objective("viscosity", "viscometer", "minimise")
    problem = Problem((LIPF6, EC, EMC), sources, aims).to_dict()
    charts = {chart.name: chart for chart in make_charts(replace(overview, problem=problem), "")}
    for place, (name, unit) in enumerate((("density", "g/cm³"), ("viscosity", "mPa·s")), start=1):
        chart = charts[f"triangle_{name}"]
        assert chart.colour.title == f"{name} / {unit}"
        marks = [mark.value for item in chart.series if item.kind == "points" for mark in item.marks]
        assert sorted(marks) == sorted(row[place] for row in POINTS)


def test_what_was_expected_is_of_who_answered(overview):
    """Targets are asked for the same point, by one suggestion: each answer is compared with its own quantity."""
    by_objective = {"density": {"mean": 1.2}, "viscosity": {"mean": 3.0}}
    told = Predicted(1, by_objective["density"], by_objective)
    found = [told.of_source(name, overview.campaign) for name in ("densimeter", "viscometer")]
    assert found == [{"mean": 1.2}, {"mean": 3.0}]
    cheap = replace(told, asked={"mean": 1.3})
    assert cheap.of_source("simulation", overview.campaign) == {"mean": 1.3}
    assert Predicted(1, None, {}).of_source("densimeter", overview.campaign) is None


def test_a_result_that_was_deleted_since_is_on_no_front():
    region = Region.from_box({LIPF6: (0.0, 0.15), EC: (0.0, 0.55), EMC: (0.3, 1.0)})
    aims = Objective("density", "densimeter"), Objective("viscosity", "densimeter", "minimise")
    problem = Problem((LIPF6, EC, EMC), (Source("densimeter", (region,), 1.0, ("density", "viscosity")),), aims)
    points = [{"x": list(row), "values": {"density": 1.2 + x, "viscosity": 3.0}, "uuids": [f"a{x}", f"b{x}"]}
              for x, row in enumerate(((0.1, 0.3, 0.6), (0.05, 0.3, 0.65)))]  # fmt: skip
    found = [(3, {"measured": points, "hypervolume": 0.4})]
    whole = read_front(found, problem.to_dict(), {"c"})
    assert (len(whole.measured), whole.hypervolume) == (2, 0.4)
    left = read_front(found, problem.to_dict(), {"b1"})
    assert ([point.uuids for point in left.measured], left.hypervolume) == ([("a0", "b0")], None)
    assert left.hypervolumes == ((3, 0.4, 0.0),)
