"""From mole fractions to whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.cell import count_components, round_shares

SHARES = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=6)


@given(SHARES, st.integers(6, 500))
def test_rounded_shares_sum_up_and_leave_nobody_out(shares, number):
    counts = round_shares(shares, number)
    assert sum(counts) == number
    assert min(counts) >= 1


@given(SHARES, st.integers(100, 500))
def test_rounded_shares_are_within_one_of_the_exact_ones_or_lifted_to_one(shares, number):
    exact = [share / sum(shares) * number for share in shares]
    lifted = sum(share < 1 for share in exact)
    for count, share in zip(round_shares(shares, number), exact, strict=True):
        assert abs(count - share) < 1 + lifted


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=3),
    st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=2),
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=2),
    st.integers(20, 400),
)
def test_ions_given_one_by_one_come_out_without_charge(solvents, cations, amounts, number):
    """Any cations, and one anion that balances them."""
    ions = [amount for amount, _ in zip(amounts, cations, strict=False)]
    anion = sum(amount * charge for amount, charge in zip(ions, cations, strict=True))
    shares = [*solvents, *ions, anion]
    fractions = [share / sum(shares) for share in shares]
    charges = [0] * len(solvents) + cations + [-1]
    counts = count_components(fractions, charges, number)
    assert sum(count * charge for count, charge in zip(counts, charges, strict=True)) == 0
    assert min(counts) >= 1


def test_the_published_cell_comes_out_exactly():
    assert count_components([20 / 222, 68 / 222, 134 / 222], [0, 0, 0], 222) == [20, 68, 134]


def test_a_divalent_cation_takes_two_anions():
    assert count_components([0.8, 0.2 / 3, 0.4 / 3], [0, 2, -1], 30) == [28, 2, 4]


def test_a_charged_mixture_is_refused():
    with pytest.raises(SimulationInputError, match=r"\+0.05 e per molecule was given, accepted is one without charge"):
        count_components([0.9, 0.075, 0.025], [0, 1, -1], 40)


def test_a_cell_smaller_than_its_components_is_refused():
    with pytest.raises(SimulationInputError, match="2 was given, accepted are at least 3"):
        count_components([0.5, 0.3, 0.2], [0, 0, 0], 2)
