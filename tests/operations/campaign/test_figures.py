"""The figures of a campaign: one look per source in all of them, errors with a middle, legends beside the data."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex

from aiida_finales.operations.campaign.evaluation import Evaluation, Expected, read_expected
from aiida_finales.operations.campaign.figures import draw_figures
from aiida_finales.operations.campaign.molality import draw_together, varies
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.style import COLOURS, MARKERS, style_of
from aiida_finales.operations.campaign.triangle import _ticks
from aiida_finales.operations.campaign.truth import find_true_optimum
from aiida_finales.operations.campaign.words import count_rows, describe_overview, table_rows
from aiida_finales.operations.platform.laboratory import TENANT_UUIDS
from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import Problem, Source
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.campaign.file import VariableSection
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.limitations.region import Region
from aiida_finales.schemas.values import Value
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6

COMPONENTS = (LIPF6, EC, EMC)
#: the first result is of the second source of the file
RESULTS = (("empirical_model", 0.05, 0.7), ("two_electrode", 0.06, 0.8), ("empirical_model", 0.12, 0.6),
           ("two_electrode", 0.09, 1.0), ("two_electrode", 0.11, 0.9))  # fmt: skip


def evaluate(number: int, source: str, salt: float, value: float) -> Evaluation:
    fractions = {LIPF6: salt, EC: 0.3, EMC: 0.7 - salt}
    error = 0.07 if source == "empirical_model" else None
    expected = Expected(fractions, value - 0.05, 0.1, value - 0.15, value + 0.05) if number > 2 else None
    return Evaluation(
        number=number, uuid=f"{number}", pk=number, source=source, fractions=fractions, value=value, spread=None,
        values=(Value(value, error, is_valid=True, rating=4),), rating=4, is_known=False, against="",
        is_simulated=source == "two_electrode", temperature=301.15, expected=expected,
        tenant=TENANT_UUIDS["asab-simulated"] if source == "two_electrode" else "somebody",
    )  # fmt: skip


@pytest.fixture(scope="module")
def overview() -> Overview:
    """A campaign of a robot and a closed form, in the middle."""
    file = {"name": "both", "quantity": "conductivity", "target": "two_electrode", "fixed": {"temperature": 301.15},
            "sources": {"two_electrode": {}, "empirical_model": {}}, "stop": {"evaluations": 9}}  # fmt: skip
    region = Region.from_box({LIPF6: (0.0, 0.15), EC: (0.0, 0.55), EMC: (0.3, 1.0)})
    problem = Problem(COMPONENTS, (Source("two_electrode", (region,)), Source("empirical_model", (region,))),
                      (Objective("y", "two_electrode"),))  # fmt: skip
    best = Expected({LIPF6: 0.08, EC: 0.4, EMC: 0.52}, 1.0061, 0.0063, 0.9998, 1.0124)
    return Overview(
        name="both", campaign=parse_campaign(file), pk=1, state="waiting", is_ended=False, is_ok=False,
        stop_reason="", unit="S/m", components=COMPONENTS,
        evaluations=tuple(evaluate(number, *item) for number, item in enumerate(RESULTS, start=1)), open_states={},
        spent=None, left_out={}, troubles=(),
        forecasts=((4, best), (5, best)), recommendation=best, problem=problem.to_dict(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def figures(overview):
    """Its figures by name; drawing takes a second each."""
    return {**draw_figures(overview), "together": draw_together([overview] * 2)}


def looks(figure) -> dict[str, tuple[str, str]]:
    """Return marker and colour by the word with which an entry of the legend begins."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            line = handle[0] if isinstance(handle, tuple) else handle
            if hasattr(line, "get_marker"):
                found[label.split(" (")[0].split(",")[0]] = (line.get_marker(), to_hex(line.get_color()).upper())
    return found


def test_a_source_looks_the_same_in_all_figures(figures):
    assert set(figures) == {"molality", "progress", "triangle", "together"}
    for name in ("molality", "progress", "triangle"):
        shown = looks(figures[name])
        assert shown["two electrode"] == (MARKERS[0], COLOURS[0]), name
        assert shown["empirical model"] == (MARKERS[1], COLOURS[1]), name


def test_nothing_is_drawn_against_one_molality(overview, figures):
    assert "molality" in figures
    shares = {LIPF6: 0.1, EC: 0.3, EMC: 0.6}
    one = [replace(item, fractions=shares) for item in overview.evaluations]
    alone = replace(overview, evaluations=tuple(one))
    other = {**shares, LIPF6: 0.0, get_chemical("NaPF6").inchikey: 0.11}  # another salt at a molality of its own
    salts = replace(alone, evaluations=(replace(one[0], fractions=other), *one[1:]))
    assert not varies(salts)


def test_a_number_of_a_result_is_a_value(overview):
    numbers = tuple(replace(item, values=(), spread=None) for item in overview.evaluations)
    rows = count_rows([replace(overview, evaluations=numbers)])
    assert sorted((row["values"], row["valid_values"]) for row in rows) == [(2, 2), (3, 3)]


def test_many_sources_have_a_look_each(overview):
    sources = {f"s{number}": None for number in range(30)}
    many = replace(overview, campaign=overview.campaign.model_copy(update={"sources": sources}))
    assert len({style_of(many, name) for name in sources}) == 30


def test_the_best_so_far_has_the_colour_of_the_target(overview):
    other = overview.campaign.model_copy(update={"target": "empirical_model"})
    line = looks(draw_figures(replace(overview, campaign=other))["progress"])["best so far"]
    assert line[1] == COLOURS[1]


def test_what_was_expected_has_a_middle(figures):
    axes = figures["molality"].axes[0]
    bars = next(item for item in axes.containers if "expected" in str(item.get_label()))
    middle = bars.lines[0]
    assert middle.get_marker() == "_"
    assert list(middle.get_ydata()) == pytest.approx([0.95, 0.85])


def test_values_have_their_uncertainty(figures):
    for name in ("molality", "progress"):
        axes = figures[name].axes[0]
        bars = {str(item.get_label()).split(",")[0]: item for item in axes.containers}
        assert bars["empirical model"].has_yerr, name


def test_numbers_in_legends_are_rounded_to_their_uncertainty(figures):
    for name in ("molality", "triangle"):
        axes = figures[name].axes[0]
        assert "recommended: 1.006 ± 0.006 S/m" in axes.get_legend_handles_labels()[1]


@pytest.mark.parametrize("name", ["molality", "progress", "triangle", "together"])
def test_a_legend_covers_no_data(figures, name):
    figure = figures[name]
    figure.canvas.draw()
    axes = figure.axes[0]
    legend = axes.get_legend() or figure.legends[0]
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    if axes.xaxis.get_label_text():
        assert not legend.get_window_extent().overlaps(axes.xaxis.label.get_window_extent())


def test_the_inset_covers_no_data(figures):
    figure = figures["triangle"]
    figure.canvas.draw()
    axes = figure.axes[0]
    inset = axes.child_axes[0].get_window_extent()
    places = axes.transData.transform(axes.collections[-1].get_offsets())
    assert not [place for place in places if inset.contains(*place)]
    title = axes.title.get_window_extent() if axes.title.get_text() else axes._left_title.get_window_extent()
    assert title.y1 <= figure.bbox.y1


def test_the_true_optimum_of_our_simulation_is_drawn(overview, figures):
    truth = find_true_optimum(overview)
    # that of the surface itself: it lies within the design space
    assert truth.mean == pytest.approx(1.004, abs=1e-3)
    assert truth.fractions[EC] / (1 - truth.fractions[LIPF6]) == pytest.approx(0.47, abs=0.02)
    for figure in figures.values():
        assert any("true optimum" in label and "1.004 S/m" in label for label in all_labels(figure))


def test_of_others_nobody_knows_the_true_optimum(overview):
    measured = tuple(replace(item, tenant="a real robot") for item in overview.evaluations)
    varied = overview.campaign.model_copy(update={"variables": {"temperature": VariableSection(min=290, max=310)}})
    for other in (
        replace(overview, evaluations=measured),
        replace(overview, problem=None),
        replace(overview, campaign=varied),  # at each temperature it is another one
    ):
        assert find_true_optimum(other) is None
    for figure in draw_figures(replace(overview, evaluations=measured)).values():
        assert not any("true optimum" in label for label in all_labels(figure))


def all_labels(figure) -> list[str]:
    return [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]


def test_words_say_at_which_temperature_something_is_best(overview):
    varied = overview.campaign.model_copy(update={"variables": {"temperature": VariableSection(min=290, max=310)}})
    told = read_expected({"x": [0.08, 0.4, 0.52, 305.0], "mean": 1.0, "sd": 0.1}, COMPONENTS, ("temperature",))
    problem = {**overview.problem, "variables": [{"name": "temperature", "unit": "K"}]}
    row = describe_overview(replace(overview, campaign=varied, recommendation=told, problem=problem))
    assert row["recommended_formulation"].endswith("EMC 0.5200, temperature 305 K")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.065, ["0.000", "0.015", "0.030", "0.045", "0.060"]),
        (0.0, 0.5, ["0.00", "0.10", "0.20", "0.30", "0.40", "0.50"]),
        (0.02, 0.1, ["0.030", "0.045", "0.060", "0.075", "0.090"]),
    ],
)
def test_mole_fractions_of_a_grid_are_written_as_they_are(low, high, words):
    assert [word for _, word in _ticks(low, high)] == words


def test_what_is_recommended_says_at_which_variables(overview):
    best = replace(overview.recommendation, variables={"temperature": 313.15}, options={"salt": "a"})
    row = table_rows(replace(overview, recommendation=best))[-1]
    assert (row["remark"], row["temperature"], row["salt"]) == ("recommended", 313.15, "a")
