"""Molality, density and concentration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import InputError
from aiida_finales.lab.simulated.laboratory import default_laboratory
from aiida_finales.schemas.chemicals import get_chemical, molality
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6, PC, describe, fractions_from_molality, mass
from aiida_finales.science.electrolyte.density import density, fractions_from_concentration, salt_concentration

#: of the published robot
ASAB_STOCKS = default_laboratory().offer("conductivity").stocks

amounts = st.floats(0.05, 1.0)


@given(st.floats(0.0, 3.0), amounts, amounts, amounts)
def test_molality_there_and_back(salt, ec, pc, emc):
    fractions = fractions_from_molality(salt, {EC: ec, PC: pc, EMC: emc})
    assert sum(fractions.values()) == pytest.approx(1)
    assert molality(fractions) == pytest.approx(salt)
    assert mass(fractions, (EC,)) / mass(fractions, (EC, PC, EMC)) == pytest.approx(ec / (ec + pc + emc))


@given(st.floats(0.0, 3.0), amounts, amounts, amounts)
def test_concentration_there_and_back(salt, ec, pc, emc):
    fractions = fractions_from_concentration(salt, {EC: ec, PC: pc, EMC: emc})
    assert sum(fractions.values()) == pytest.approx(1)
    assert salt_concentration(fractions) == pytest.approx(salt)


@pytest.mark.parametrize("stock", ASAB_STOCKS, ids=lambda stock: stock.name)
def test_density_of_the_stock_solutions(stock):
    assert density(stock.fractions) == pytest.approx(stock.density, rel=5e-3)
    weighed = sum(value * mass({key: 1.0}) for key, value in stock.molarities.items()) / 1000
    assert weighed == pytest.approx(stock.density, rel=5e-3)


@pytest.mark.parametrize("stock", ASAB_STOCKS[:2], ids=lambda stock: stock.name)
def test_concentration_of_the_stock_solutions(stock):
    assert salt_concentration(stock.fractions) == pytest.approx(stock.molarities[LIPF6], rel=5e-3)


def test_the_most_concentrated_stock_solution_is_1_6_molal():
    assert molality(ASAB_STOCKS[1].fractions) == pytest.approx(1.60, abs=0.005)


def test_what_is_absent_is_not_named():
    assert describe({LIPF6: 0.0, EC: 0.4, EMC: 0.6 - 1e-12, PC: 1e-12}) == "EC 0.4000, EMC 0.6000"
    assert describe({EC: float("nan"), EMC: -0.1}) == "EC nan, EMC -0.1000"


def test_impossible_mixtures_are_refused():
    with pytest.raises(InputError, match="needs a solvent"):
        molality({LIPF6: 1.0})
    with pytest.raises(InputError, match="accepted are a molality of 0 or more"):
        fractions_from_molality(-1.0, {EC: 1.0})
    with pytest.raises(InputError, match=r"25\.0 mol/L of LiPF6"):
        fractions_from_concentration(25.0, {EC: 1.0})
    with pytest.raises(InputError, match="no molar volume for DEC"):
        density({EC: 0.5, get_chemical("DEC").inchikey: 0.5})
