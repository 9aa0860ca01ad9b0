"""Figures as pictures: what they show is within them."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.potential.learning import Learning, Round, Structure, Walked, chart_learning

pytest.importorskip("matplotlib")


def charts():
    errors = {"forces_meV_A": 585.0, "forces_by_element_meV_A": {"Na": 280.0}}
    first = Round(0, 3, errors, {**errors, "forces_meV_A": 541.0}, (Walked("start", 0.03, "end"),))
    radius = np.array([1.0, 2.0, 3.0])
    pairs = (("Na-O(PC)", radius, np.array([0.0, 5.0, 1.0])), ("Na-F(PF6)", radius, np.zeros(3)))
    return {
        chart.name: chart for chart in chart_learning(Learning("stub", (first,), (Structure("potential", {}, pairs),)))
    }


def test_the_largest_value_is_within_its_figure():
    from aiida_finales.potential.painting import paint_all

    found = charts()
    figure = paint_all([found["learning"], found["trusted"]])
    curve, trusted = figure.axes
    assert curve.get_ylim() == pytest.approx((0.0, 585.0 * 1.05))
    # one round has one whole number, not the fractions around it
    ticks = [tick for tick in trusted.get_xticks() if trusted.get_xlim()[0] <= tick <= trusted.get_xlim()[1]]
    assert ticks == [0.0]


def test_what_is_never_near_a_cation_is_not_drawn():
    assert [chart.title for name, chart in charts().items() if name.startswith("distribution")] == ["Na-O(PC)"]
