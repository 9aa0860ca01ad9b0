"""Ageing by PyBaMM: records as those of the twin, that depend on the formulation and on the cell."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.science.ageing.cycling import early_features
from aiida_finales.science.ageing.pybamm import SpmeLife, check_pybamm, make_spme_cell
from aiida_finales.science.ageing.twin import Protocol, Stage, standard_stage
from aiida_finales.science.electrolyte.composition import EC, EMC, PC, fractions_from_molality

MASS_LOADING, SIZE = 2.0, 1.5386  # mAh/cm2, cm2
NOMINAL = MASS_LOADING * SIZE * 1e-3
PROTOCOL = Protocol(standard_stage(NOMINAL, 0.1), standard_stage(NOMINAL, 1.0), n_formation=1)

needs_pybamm = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("pybamm") is None, reason="needs the extra 'pybamm'"),
]


def make(molality=1.0, ec=0.3, *, seed=1, defective=False):
    fractions = fractions_from_molality(molality, {EC: ec, EMC: 1 - ec})
    return make_spme_cell(fractions, mass_loading=MASS_LOADING, size=SIZE, seed=seed, defective=defective)


@pytest.mark.skipif(find_spec("pybamm") is not None, reason="PyBaMM is installed")
def test_without_pybamm_the_error_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install 'aiida-finales\[pybamm\]'"):
        check_pybamm()
    with pytest.raises(MissingExtraError, match="pybamm_spme"):
        SpmeLife(make(), PROTOCOL, 1)


class TestCell:
    def test_the_same_seed_is_the_same_cell(self):
        assert make(seed=3) == make(seed=3)
        assert make(seed=3) != make(seed=4)

    def test_a_defect_raises_resistance_and_ageing(self):
        good, bad = make(), make(defective=True)
        assert bad.contact == pytest.approx(2 * good.contact)
        assert bad.rate == pytest.approx(3 * good.rate)

    @pytest.mark.parametrize("solvents", [{EC: 0.3, PC: 0.7}, {PC: 1.0}])
    def test_other_solvents_are_refused(self, solvents):
        fractions = fractions_from_molality(1.0, solvents)
        with pytest.raises(InputError, match="LiPF6 in EC and EMC alone"):
            make_spme_cell(fractions, mass_loading=MASS_LOADING, size=SIZE, seed=1)

    def test_an_electrode_that_holds_nothing_is_refused(self):
        with pytest.raises(InputError, match="mass loading 0"):
            make_spme_cell(fractions_from_molality(1.0, {EC: 1.0}), mass_loading=0, size=SIZE, seed=1)


@pytest.fixture(scope="module")
def life():
    return SpmeLife(make(), PROTOCOL, 4)


class TestLife:
    pytestmark = needs_pybamm

    def test_capacities_decrease(self, life):
        halves = life.half_cycles()
        assert sorted(halves) == list(range(1, 9))
        discharged = np.array([halves[2 * k].capacity() for k in range(1, 5)])
        assert np.all(np.diff(discharged) < 0)
        assert np.all((discharged > 0.8 * NOMINAL) & (discharged < 1.05 * NOMINAL))
        assert life.discharge_half(0).capacity() > discharged[0]

    def test_records_are_within_the_protocol(self, life):
        charge, discharge = life.charge_half(2, 60), life.discharge_half(2, 60)
        for half in (charge, discharge):
            assert len(half.time) == 60
            assert half.time[0] == 0
            assert np.all(np.diff(half.time) >= 0)
            assert np.all((half.voltage > 2.499) & (half.voltage < 4.201))
        assert charge.current[0] == pytest.approx(NOMINAL, rel=1e-3)
        assert charge.current[-1] == pytest.approx(NOMINAL / 20, rel=0.02)
        assert np.allclose(discharge.current, -NOMINAL, rtol=1e-3)
        assert discharge.voltage[-1] == pytest.approx(2.5, abs=1e-3)

    def test_lithium_is_lost_while_charging(self, life):
        halves = life.half_cycles([3])
        assert 0.98 < halves[6].capacity() / halves[5].capacity() < 1

    def test_features_can_be_computed(self, life):
        assert not early_features(life.half_cycles(), cycles=(1, 4)).reasons

    def test_the_first_cycles_are_those_of_a_shorter_life(self, life):
        shorter = SpmeLife(make(), PROTOCOL, 2)
        for number, half in shorter.half_cycles().items():
            assert half.capacity() == pytest.approx(life.half_cycles()[number].capacity(), rel=1e-9)

    def test_other_cycles_are_refused(self, life):
        with pytest.raises(InputError, match="cycle 5 was asked for, accepted is 0 to 4"):
            life.charge_half(5)


class TestFormulation:
    pytestmark = needs_pybamm

    def test_another_molality_gives_another_voltage(self, life):
        dilute = SpmeLife(make(0.3), PROTOCOL, 1)
        assert dilute.discharge_half(1).mean_voltage() < life.discharge_half(1).mean_voltage() - 0.02

    def test_more_ec_ages_faster(self, life):
        rich = SpmeLife(make(ec=0.5), PROTOCOL, 4)
        losses = [each.discharge_half(1).capacity() - each.discharge_half(4).capacity() for each in (life, rich)]
        assert losses[1] > 1.1 * losses[0]

    def test_a_cycle_that_fails_is_named(self):
        fast = Protocol(PROTOCOL.formation, standard_stage(NOMINAL, 5.0), n_formation=1)
        with pytest.raises(InputError, match=r"cannot complete cycle 1 of 2 with LiPF6 0\.0005"):
            SpmeLife(make(0.005), fast, 2)


class TestStages:
    pytestmark = needs_pybamm

    def test_a_charge_without_constant_voltage(self):
        stage = PROTOCOL.cycling
        plain = Stage(stage.charge, stage.discharge, stage.charge, stage.low, stage.high)
        charge = SpmeLife(make(), Protocol(plain, plain, n_formation=0), 1).charge_half(1)
        assert np.allclose(charge.current, NOMINAL, rtol=1e-3)
        assert charge.voltage[-1] == pytest.approx(4.2, abs=1e-3)
