"""Density and viscosity of the simulated laboratory, against what was measured."""

from __future__ import annotations

import math

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, LIPF6, PC, fractions_from_molality
from aiida_finales.science.electrolyte.density import benchmark_density, fractions_from_concentration, rate_density
from aiida_finales.science.electrolyte.viscosity import benchmark_viscosity, rate_viscosity

#: mol/kg, masses of EC, EMC and DMC, g/cm3: ten stock solutions of Dave et al., doi:10.1038/s41467-022-32938-1 (column
#: feeder_densities of ECDMCEMC_optimization_march2021.csv), and four of the ASAB robot (stockSolutions.csv)
MEASURED = [
    (2.0, 0.3, 0.0, 0.7, 1.31),
    (2.0, 0.5, 0.0, 0.5, 1.362),
    (0.0, 0.3, 0.0, 0.7, 1.135),
    (0.0, 0.5, 0.0, 0.5, 1.186),
    (1.5, 0.3, 0.7, 0.0, 1.225),
    (1.5, 0.5, 0.5, 0.0, 1.287),
    (0.0, 0.3, 0.7, 0.0, 1.095),
    (1.5, 0.3, 0.0, 0.7, 1.27),
    (0.0, 0.5, 0.5, 0.0, 1.156),
    (1.5, 0.5, 0.0, 0.5, 1.323),
    (1.4123, 0.5, 0.5, 0.0, 1.288),
    (1.602, 0.0, 1.0, 0.0, 1.162),
    (0.0, 0.5, 0.5, 0.0, 1.159),
    (0.0, 0.0, 1.0, 0.0, 1.005),
]


def mixture(molality, ec, emc, dmc):
    return fractions_from_molality(molality, {EC: ec, EMC: emc, DMC: dmc})


@pytest.mark.parametrize(("molality", "ec", "emc", "dmc", "density"), MEASURED)
def test_measured_stock_solutions(molality, ec, emc, dmc, density):
    fractions = mixture(molality, ec, emc, dmc)
    assert benchmark_density(fractions) == pytest.approx(density, rel=5e-3)
    assert rate_density(fractions, 298.15).rating == 5


UNMEASURED = {
    "EMC and DMC": (mixture(1.0, 0.3, 0.4, 0.3), 298.15, 4, "no mixture in this region was measured"),
    "salt in DMC alone": (mixture(1.0, 0.0, 0.0, 1.0), 298.15, 4, "no mixture in this region was measured"),
    "warm": (mixture(1.0, 0.3, 0.7, 0.0), 313.15, 3, "thermal expansion is a guess"),
    "much salt": (mixture(2.5, 0.3, 0.7, 0.0), 298.15, 2, "the molality is 2.5 mol/kg"),
    "much EC": (mixture(1.0, 0.8, 0.2, 0.0), 298.15, 2, "the mass share of EC in the solvent is 0.8"),
    "cold": (mixture(1.0, 0.3, 0.7, 0.0), 253.15, 2, "accepts 263.15 to 334.15 K"),
}


@pytest.mark.parametrize(("fractions", "temperature", "rating", "words"), UNMEASURED.values(), ids=UNMEASURED)
def test_where_nobody_measured_the_rating_falls(fractions, temperature, rating, words):
    trust = rate_density(fractions, temperature)
    assert trust.rating == rating
    assert words in trust.reason
    assert rate_viscosity(fractions, temperature).rating == min(rating, 3)


def test_density_falls_with_temperature():
    fractions = mixture(1.0, 0.3, 0.7, 0.0)
    assert benchmark_density(fractions, 308.15) / benchmark_density(fractions) == pytest.approx(1 - 0.0105)


#: mol/L, masses of EC, EMC and DMC, mPa s at 298.15 K: what the surface was set to, not measured
SET = [(1.0, 0.3, 0.7, 0.0, 2.95), (1.0, 0.5, 0.0, 0.5, 3.82), (1.0, 0.0, 0.0, 1.0, 1.29)]


@pytest.mark.parametrize(("concentration", "ec", "emc", "dmc", "viscosity"), SET)
def test_viscosity_has_the_usual_size(concentration, ec, emc, dmc, viscosity):
    fractions = fractions_from_concentration(concentration, {EC: ec, EMC: emc, DMC: dmc})
    assert benchmark_viscosity(fractions) == pytest.approx(viscosity, rel=0.005)


@pytest.mark.parametrize(("key", "viscosity"), [(EMC, 0.65), (DMC, 0.585)])
def test_pure_solvents(key, viscosity):
    assert benchmark_viscosity({key: 1.0}) == pytest.approx(viscosity)
    assert benchmark_viscosity({key: 1.0}, 318.15) < viscosity


def test_pure_ec_where_it_is_liquid():
    assert benchmark_viscosity({EC: 1.0}, 313.15) == pytest.approx(1.90, rel=0.02)


@pytest.mark.parametrize("surface", [benchmark_density, benchmark_viscosity])
@pytest.mark.parametrize(("fractions", "words"), [({LIPF6: 1.0}, "has no solvent"), ({PC: 1.0}, "was given PC")])
def test_what_the_surfaces_do_not_know_is_refused(surface, fractions, words):
    with pytest.raises(InputError, match=words):
        surface(fractions)
    assert math.isfinite(surface(mixture(2.1, 0.52, 0.24, 0.24)))
