"""The errors of the closed forms: derived from measurements of others, kept by measurements that they do not know."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, PC, fractions_from_molality
from aiida_finales.science.electrolyte.conductivity import EMPIRICAL_MODEL, POLYNOMIAL
from aiida_finales.science.electrolyte.density import fractions_from_concentration
from aiida_finales.science.electrolyte.model_error import LABORATORY, rate

#: mass share of EC, mol/kg, degree Celsius, S/m: LiPF6 in EC/EMC measured by Dave et al., Nat. Commun. 13 (2022) 5454,
#: doi:10.1038/s41467-022-32938-1; a laboratory that is not among those of the tables
CLIO = (
    (0.46, 1.34, 27.6, (0.915, 0.941, 0.952)),
    (0.36, 1.33, 28.0, (1.010, 0.979, 0.976)),
    (0.32, 1.33, 27.7, (0.993, 0.966, 0.962)),
    (0.42, 1.34, 27.5, (0.991, 0.958, 0.956)),
)


@pytest.fixture(scope="module")
def bench(shared_data):
    """The program that derives the tables."""
    if not (shared_data / "conductivity" / "calisol23.csv.gz").is_file():
        pytest.skip("the measurements of CALiSol-23 are absent")
    path = Path(__file__).parents[3] / "benchmarks" / "closed_forms.py"
    spec = importlib.util.spec_from_file_location("closed_forms", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["empirical-model", "polynomial"])
def judged(bench, request):
    """A form and the measurements of others in its domain."""
    form = bench.FORMS[request.param]
    return form, bench.read_points(form)


def test_tables_are_those_of_the_measurements(bench, judged):
    form, points = judged
    assert bench.derive(points, form.errors) == form.errors


def test_scatter_of_the_laboratories_is_that_of_the_measurements(bench):
    assert bench.laboratory_scatter(bench.read_points(EMPIRICAL_MODEL)) == pytest.approx(LABORATORY, abs=5e-4)


@pytest.mark.parametrize("way", ["without_laboratory", "without_region"])
def test_errors_cover_measurements_that_were_left_out(bench, judged, way):
    form, points = judged
    table_of = getattr(bench, way)(points, form.errors)
    assert 0.68 < bench.coverage(points, table_of, 1) < 0.95
    assert bench.coverage(points, table_of, 2) > 0.94


@pytest.mark.parametrize(
    ("axis", "limits"),
    [(0, (0.0, 0.6)), (0, (0.6, 1.2)), (0, (1.2, 1.8)), (0, (1.8, 3.0)), (1, (263, 278)), (1, (278, 308)),
     (1, (308, 324)), (2, (0.15, 0.25)), (2, (0.25, 0.35)), (2, (0.35, 0.55)), (3, (-0.1, 0.1)), (3, (0.9, 1.1))],
)  # fmt: skip
def test_no_region_is_without_its_error(bench, axis, limits):
    """Left out by laboratory: in no part of the domain are the errors those of another part."""
    points = bench.read_points(EMPIRICAL_MODEL)
    table_of = bench.without_region(points, EMPIRICAL_MODEL.errors)
    inside = [point for point in points if limits[0] <= point.place[axis] < limits[1]]
    assert bench.coverage(inside, table_of, 1) > 0.5
    assert bench.coverage(inside, table_of, 2) > 0.9


def test_measurements_of_an_unknown_laboratory_are_within_the_error():
    sizes = []
    for share, molality, celsius, values in CLIO:
        fractions = fractions_from_molality(molality, {EC: share, EMC: 1 - share})
        value = EMPIRICAL_MODEL.value(fractions, celsius + 273.15)
        error = value * EMPIRICAL_MODEL.relative_error(fractions, celsius + 273.15)
        sizes += [abs(measured - value) / error for measured in values]
    assert sorted(sizes)[len(sizes) // 2] < 1.2
    assert max(sizes) < 2


def test_a_cold_polynomial_is_no_good_answer():
    # 33 to 52 % off measurements at -30 degree Celsius with much salt
    fractions = fractions_from_molality(1.5, {EC: 30.0, EMC: 70.0})
    assert POLYNOMIAL.relative_error(fractions, 243.15) > 0.25
    assert rate(POLYNOMIAL.relative_error(fractions, 243.15)) == 1
    assert rate(POLYNOMIAL.relative_error(fractions, 298.15)) >= 3


def test_away_from_what_was_measured_the_error_grows():
    def error(concentration, ec=0.3, dmc=0.0, kelvin=298.15):
        masses = {EC: ec, EMC: (1 - ec) * (1 - dmc), DMC: (1 - ec) * dmc}
        return EMPIRICAL_MODEL.relative_error(fractions_from_concentration(concentration, masses), kelvin)

    assert error(2.1) < error(2.5) < error(2.9)
    assert error(0.25) < error(0.15)
    assert error(1.0) < error(1.0, dmc=0.1) < error(1.0, dmc=0.4)
    pc = [
        POLYNOMIAL.relative_error(fractions_from_molality(1.0, {EC: 30 * (1 - x), PC: 30 * x, EMC: 70.0}), 298.15)
        for x in (0.0, 0.3, 0.6, 1.0)
    ]
    assert pc == sorted(pc)
    assert pc[-1] > 1.5 * pc[0]


@pytest.mark.parametrize(("error", "rating"), [(0.0, 4), (0.07, 4), (0.1, 3), (0.2, 2), (0.31, 1), (5.0, 1)])
def test_rating_follows_the_error(error, rating):
    assert rate(error) == rating
