"""Volumes of stock solutions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from aiida_finales.exceptions import InputError, LimitationError
from aiida_finales.lab.simulated.laboratory import default_laboratory
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6
from aiida_finales.science.electrolyte.formulation import (
    StockSolution,
    component_names,
    molarity_matrix,
    reachable_region,
    solve_non_negative,
    solve_volumes,
)

#: of the published robot
ASAB_STOCKS = default_laboratory().offer("conductivity").stocks

NAMES = component_names(ASAB_STOCKS)
MATRIX = molarity_matrix(ASAB_STOCKS)


def mix(volumes):
    amounts = MATRIX @ volumes
    return dict(zip(NAMES, (amounts / amounts.sum()).tolist(), strict=True))


def distance(first, second):
    return max(abs(first[key] - second[key]) for key in NAMES)


@given(st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).filter(lambda volumes: sum(volumes) > 0.01))
def test_what_was_mixed_is_found_again(volumes):
    target = mix(np.array(volumes))
    mixture = solve_volumes(target, ASAB_STOCKS, 4.2)
    assert distance(mixture.fractions, target) < 1e-9
    assert distance(mix(np.array(list(mixture.volumes.values()))), target) < 1e-9
    assert sum(mixture.volumes.values()) == pytest.approx(4.2)
    assert min(mixture.volumes.values()) >= 0


def test_three_stock_solutions_are_recovered_exactly():
    generator = np.random.default_rng(3)
    stocks = ASAB_STOCKS[:3]  # as many as components: the answer is unique
    for shares in generator.dirichlet(np.ones(3), 50):
        found = solve_volumes(mix(np.append(shares, 0.0)), stocks, 1.0)
        assert list(found.volumes.values()) == pytest.approx(shares.tolist(), abs=1e-9)


def test_a_thousand_attainable_targets():
    fractions = MATRIX / MATRIX.sum(axis=0)
    weights = np.random.default_rng(0).dirichlet(np.ones(4), 1000)
    targets = [dict(zip(NAMES, point, strict=True)) for point in weights @ fractions.T]
    assert max(solve_volumes(target, ASAB_STOCKS, 4.2).deviation for target in targets) < 1e-9
    # 1 µL of 4.2 mL
    assert max(solve_volumes(target, ASAB_STOCKS, 4.2, 0.001).deviation for target in targets) < 2e-4


def test_volumes_are_multiples_of_the_dosing_step():
    mixture = solve_volumes({LIPF6: 0.08, EC: 0.4, EMC: 0.52}, ASAB_STOCKS, 4.2, 0.01)
    for volume in mixture.volumes.values():
        assert volume == round(volume, 2)
    assert 0 < mixture.deviation < 2e-3


@pytest.mark.parametrize("target", [(0.2, 0.4, 0.4), (0.09, 0.55, 0.36), (0.05, 0.6, 0.35)])
def test_unreachable_names_the_nearest(target):
    with pytest.raises(LimitationError, match=r"cannot be mixed from LiPF6 in EC:EMC, .+; nearest is LiPF6") as caught:
        solve_volumes(dict(zip(NAMES, target, strict=True)), ASAB_STOCKS, 4.2)
    nearest = caught.value.nearest["fractions"]
    assert solve_volumes(nearest, ASAB_STOCKS, 4.2).deviation < 1e-6
    region = reachable_region(ASAB_STOCKS)
    assert not region.contains(np.array(target))
    for stock in ASAB_STOCKS:
        other = np.array([stock.fractions.get(key, 0.0) for key in NAMES])
        assert np.linalg.norm(np.array(list(nearest.values())) - target) <= np.linalg.norm(other - target) + 1e-9


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda parts: sum(parts) > 0.01))
def test_solver_and_region_agree(parts):
    point = np.array(parts) / sum(parts)
    region = reachable_region(ASAB_STOCKS)
    if 1e-9 < region.violation(point) < 1e-5:
        return  # too close to the edge to tell
    try:
        solve_volumes(dict(zip(NAMES, point.tolist(), strict=True)), ASAB_STOCKS, 4.2)
    except LimitationError:
        assert not region.contains(point)
    else:
        assert region.contains(point, 1e-5)


def test_a_single_stock_solution():
    bottle = (StockSolution("bottle", {LIPF6: 1.0, EC: 4.0, EMC: 7.0}, 1.2),)
    assert solve_volumes(bottle[0].fractions, bottle, 2.0).volumes == {"bottle": pytest.approx(2.0)}


REFUSED = {
    "foreign": ({get_chemical("DMC").inchikey: 0.5, EMC: 0.5}, 4.2, 0.001, "no stock solution contains DMC"),
    "sum": ({EMC: 0.5}, 4.2, 0.001, "sum to 0.5"),
    "no volume": ({EMC: 1.0}, 0.0, 0.0, "a positive volume"),
    "coarse": ({EMC: 1.0}, 1.0, 0.5, "a tenth of it"),
}


@pytest.mark.parametrize(("target", "volume", "resolution", "words"), REFUSED.values(), ids=REFUSED)
def test_bad_targets_are_refused(target, volume, resolution, words):
    with pytest.raises(InputError, match=words):
        solve_volumes(target, ASAB_STOCKS, volume, resolution)


def test_non_negative_least_squares_agrees_with_scipy():
    generator = np.random.default_rng(5)
    for _ in range(300):
        rows, columns = generator.integers(1, 8, 2)
        matrix, target = generator.normal(size=(rows, columns)), generator.normal(size=rows)
        x = solve_non_negative(matrix, target)
        assert (x >= 0).all()
        assert np.linalg.norm(matrix @ x - target) == pytest.approx(nnls(matrix, target)[1], abs=1e-7)
