"""Models that answer before the first cycle, and from the first cycles."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.generator.cell import AgeingDataset, CellDesign, Electrode, Step, describe
from aiida_finales.science.lifetime.generator.domain import REGIMES, Place
from aiida_finales.science.lifetime.generator.early import describe_early
from aiida_finales.science.lifetime.generator.fade import train_fade
from aiida_finales.science.lifetime.generator.judge import compare_generators, evaluate_generator
from aiida_finales.science.lifetime.generator.learners import (
    PERCENTS,
    Encoder,
    Lesson,
    complete_curves,
    learn_boosting,
    learn_charged_forest,
    learn_forest,
)
from aiida_finales.science.lifetime.generator.left_out import judge, log_cycles
from aiida_finales.science.lifetime.generator.model import train_generator
from aiida_finales.science.lifetime.generator.regime import (
    Calibration,
    LeftOut,
    find_bounds,
    find_calibration,
)
from aiida_finales.science.lifetime.methods import load_model, read_dataset_json, train

pytest.importorskip("sklearn")
_SPEC = importlib.util.spec_from_file_location("made_up", Path(__file__).with_name("made_up.py"))
made_up = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_up)

SHARES = [0.95, 0.9, 0.85, 0.8]


@pytest.fixture(scope="module")
def dataset():
    return made_up.make()


@pytest.fixture(scope="module")
def model(dataset):
    return train_generator(dataset, n_folds=2, n_trees=30)


@pytest.fixture(scope="module")
def fade(dataset):
    return train_fade(dataset, n_folds=2, windows=(100,))


class TestAnswer:
    def test_curve_is_near_the_rule_and_grows(self, model) -> None:
        found = made_up.ask(model, made_up.design("LFP", 2.0, 25.0), SHARES)
        assert found.place.regime == "known_protocol"
        assert found.place.replicates == 2
        assert found.cycles[-1] == pytest.approx(made_up.life("LFP", 2.0, 25.0), rel=0.3)
        assert (np.diff(found.cycles) > 0).all()
        assert (found.lower < found.cycles).all()
        assert (found.cycles < found.upper).all()

    @pytest.mark.parametrize(
        ("asked", "regime"),
        [
            (made_up.design("LFP", 2.0, 25.0), "known_protocol"),
            (made_up.design("LFP", 2.1, 26.0), "known_family"),
            (made_up.design("LFP", 0.2, 15.0), "new_protocol"),
            (made_up.design("LFP", 2.0, 25.0, 5.0, "pouch"), "new_cell"),
            (made_up.design("LCO", 2.0, 25.0, 2.0), "new_chemistry"),
        ],
        ids=REGIMES,
    )
    def test_regime_and_rating_follow_the_distance(self, model, asked, regime) -> None:
        found = made_up.ask(model, asked, SHARES)
        assert found.place.regime == regime
        assert found.rating <= 5 - REGIMES.index(regime)
        assert len(found.place.nearest) == 5

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"temperature": 220.0},
                "temperature is 220 K, accepted is 2.* K: cells learned from have 298.1 to 318.1 K",
            ),
            ({"temperature": 400.0}, "temperature is 400 K"),
            ({"charging": (Step(400.0, 1.0),)}, "mean charging rate is 400 1/h, accepted is .*: .* have 1 to 4 1/h"),
            ({"discharging": (Step(0.01, 0.0),)}, "mean discharging rate is 0.01 1/h"),
            ({"voltage_maximum": 9.0}, "voltage_maximum is 9 V"),
        ],
        ids=["cold", "hot", "fast", "slow", "voltage"],
    )
    def test_far_outside_of_what_was_learned_from_it_is_refused(self, model, fade, changes, words) -> None:
        asked = replace(made_up.design("LFP", 2.0, 25.0), **changes)
        with pytest.raises(InputError, match=words):
            made_up.ask(model, asked, SHARES)
        early = {"cycle": list(range(1, 101)), "capacity": [1.1] * 100}
        with pytest.raises(InputError, match=words):
            made_up.ask(fade, asked, early, SHARES)

    def test_a_little_outside_it_is_less_sure_and_says_so(self, model) -> None:
        inside, outside = (
            made_up.ask(model, replace(made_up.design("LFP", 2.0, 45.0), temperature=kelvin), SHARES)
            for kelvin in (323.15, 343.15)
        )
        assert not inside.place.reasons
        assert outside.place.reasons[0].startswith("temperature is 343.1 K, but cells learned from have 298.1 to 318.1")
        assert outside.upper[-1] / outside.lower[-1] >= inside.upper[-1] / inside.lower[-1]
        assert outside.rating <= inside.rating

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"practical_capacity": 400.0}, "practical_capacity of electrode 'LFP' is 400 mAh/g, accepted is up to"),
            ({"mean_potential": 0.05}, "mean_potential of the positive electrode LFP .* is 0.05 V, .* exchanged"),
        ],
    )
    def test_impossible_electrodes_are_refused(self, model, changes, words) -> None:
        asked = made_up.design("LFP", 2.0, 25.0)
        told = replace(asked.positive, properties={**asked.positive.properties, **changes}, is_told=True)
        with pytest.raises(InputError, match=words):
            made_up.ask(model, replace(asked, positive=told), SHARES)

    def test_properties_of_another_material_are_no_known_electrode(self, model) -> None:
        """The name alone made it a known cell with the best rating, whatever was told of it."""
        asked = made_up.design("LFP", 2.0, 25.0)
        for changes, regime in (({"practical_capacity": 160.0}, "known_protocol"),
                                ({"mean_potential": 3.9}, "new_chemistry")):  # fmt: skip
            told = replace(asked.positive, properties={**asked.positive.properties, **changes}, is_told=True)
            found = made_up.ask(model, replace(asked, positive=told), SHARES)
            assert found.place.regime == regime
        assert found.rating == 1
        assert found.place.reasons[0] == "no cell with LFP of mean_potential 3.9, not 3.4 was learned from"

    def test_a_known_name_with_another_ion_is_refused(self, model) -> None:
        asked = made_up.design("LFP", 2.0, 25.0)
        with pytest.raises(InputError, match="'LFP' takes up Na, but the model learned from cells of Li only"):
            made_up.ask(
                model, replace(asked, positive=replace(asked.positive, working_ion="Na", properties={})), SHARES
            )

    def test_unknown_is_no_material_that_another_laboratory_has(self) -> None:
        """Two cells of which nobody knows the material are not alike, but for who knows both."""
        cells = [
            replace(cell, design=replace(cell.design, positive=Electrode("unknown")))
            if cell.dataset == "NMC" else cell for cell in made_up.make().cells
        ]  # fmt: skip
        model = train_generator(AgeingDataset(tuple(cells), "half unknown"), n_folds=2, n_trees=10,
                                learners=("forest",))  # fmt: skip
        asked = replace(made_up.design("NMC", 2.0, 25.0, 2.0), positive=Electrode("unknown"))
        known, other = (made_up.ask(model, asked, SHARES, laboratory=name) for name in ("laboratory NMC", ""))
        assert known.place.regime == "known_protocol"
        assert other.place.regime == "new_chemistry"
        assert "the material of the positive electrode is not known" in other.place.reasons

    def test_cycled_in_part_it_is_less_sure(self, model) -> None:
        asked = made_up.design("LFP", 2.0, 25.0)
        part = replace(asked, charging=(Step(2.0, 0.6),), discharging=(Step(1.0, 0.4),))
        found = made_up.ask(model, part, SHARES)
        assert any(words.startswith("cycled between 40 and 60 % only") for words in found.place.reasons)
        full = made_up.ask(model, replace(asked, charging=(Step(2.0, 1.0),)), SHARES)
        assert not full.place.reasons
        assert found.upper[-1] / found.lower[-1] > full.upper[-1] / full.lower[-1]

    def test_more_coverage_is_wider(self, model) -> None:
        asked = made_up.design("LFP", 2.0, 25.0)
        narrow, wide = (made_up.ask(model, asked, SHARES, coverage) for coverage in (0.5, 0.9))
        assert (wide.upper >= narrow.upper).all()
        assert (wide.lower <= narrow.lower).all()

    def test_doubts_widen(self, model) -> None:
        asked = made_up.design("LFP", 2.1, 26.0)
        sure, unsure = (
            made_up.ask(model, asked, SHARES),
            made_up.ask(model, asked, SHARES, doubts=("another electrolyte",)),
        )
        assert "another electrolyte" in unsure.place.reasons
        assert unsure.upper[0] / unsure.lower[0] >= sure.upper[0] / sure.lower[0]

    def test_farther_is_never_surer(self, model) -> None:
        """Whichever errors the few laboratories and chemistries happened to have."""
        asked = [
            made_up.design("LFP", 0.2, 15.0),
            made_up.design("LFP", 0.2, 15.0, 5.0, "pouch"),
            made_up.design("LCO", 0.2, 15.0, 2.0),
        ]
        found = [made_up.ask(model, design, SHARES) for design in asked]
        assert [item.place.regime for item in found] == list(REGIMES[2:])
        widths = [item.upper[-1] / item.lower[-1] for item in found]
        assert widths == sorted(widths)
        assert [item.rating for item in found] == sorted((item.rating for item in found), reverse=True)

    def test_models_that_know_no_distances_answer(self, model) -> None:
        """As those that were stored before intervals grew with the distance."""
        plain = {name: replace(item, reach=float("inf")) for name, item in model.calibrations.items()}
        old = load_model(replace(model, calibrations=plain).to_bytes())
        asked = made_up.design("LFP", 12.0, 25.0)
        first, second = (made_up.ask(item, asked, SHARES) for item in (model, old))
        assert first.cycles == pytest.approx(second.cycles)
        assert first.upper[-1] / first.lower[-1] >= second.upper[-1] / second.lower[-1] > 1

    def test_faster_than_any_known_charge_is_shorter(self, model) -> None:
        """Trees alone would say of any faster charge what they say of the fastest that they know."""
        known, faster = (made_up.ask(model, made_up.design("LFP", rate, 25.0), SHARES) for rate in (4.0, 12.0))
        assert faster.place.regime == "new_protocol"
        assert faster.cycles[-1] < 0.6 * known.cycles[-1]

    def test_another_laboratory_widens(self, model) -> None:
        asked = made_up.design("LFP", 2.0, 25.0)
        same = made_up.ask(model, asked, SHARES, laboratory="laboratory LFP")
        other = made_up.ask(model, asked, SHARES, laboratory="elsewhere")
        assert (same.place.regime, other.place.regime) == ("known_protocol", "new_cell")
        assert "not by elsewhere" in other.place.reasons[0]

    def test_who_cycles_it_is_not_assumed_in_silence(self, model, fade, dataset) -> None:
        """A request that does not say it is answered as if those who are known cycled the cell."""
        asked = made_up.design("LFP", 2.0, 25.0)
        silent, other = (made_up.ask(model, asked, SHARES, laboratory=name) for name in ("", "elsewhere"))
        assert (silent.place.regime, other.place.regime) == ("known_protocol", "new_cell")
        assert silent.place.reasons[0] == "taken to be cycled by laboratory LFP, as laboratory is not said"
        early = dataset.cells[0].early
        assert "laboratory is not said" in fade.predict_numbers(asked, early, SHARES).place.reasons[0]
        loud = made_up.ask(model, asked, SHARES, laboratory=" Laboratory lfp ")
        assert (loud.place.regime, loud.place.reasons) == ("known_protocol", ())

    def test_a_window_that_is_not_said_is_no_known_one(self, model) -> None:
        """It was filled by the median of all cells, of whatever chemistry, without a word."""
        told = made_up.design("NMC", 2.0, 25.0, 2.0)
        silent = replace(told, voltage_minimum=None, voltage_maximum=None)
        known, found = (made_up.ask(model, asked, SHARES) for asked in (told, silent))
        assert found.cycles.tolist() == known.cycles.tolist()
        assert "voltage_maximum is not said, and taken to be 4.2 V as of most cells like this" in found.place.reasons
        assert found.upper[-1] / found.lower[-1] >= known.upper[-1] / known.lower[-1]

    def test_a_window_that_no_cell_told_widens(self, dataset) -> None:
        """A voltage was refused as far outside of the 0 V of cells that told none."""
        cells = [
            replace(cell, design=replace(cell.design, voltage_minimum=None, voltage_maximum=None))
            for cell in dataset.cells
        ]
        model = train_generator(replace(dataset, cells=tuple(cells)), n_folds=2, n_trees=5, learners=("forest",))
        told = made_up.design("LFP", 2.0, 25.0)
        silent = replace(told, voltage_minimum=None, voltage_maximum=None)
        for one in (model, load_model(model.to_bytes())):
            loud, plain = (made_up.ask(one, asked, SHARES) for asked in (told, silent))
            assert loud.place.reasons[0] == "voltage_minimum is 2 V, but no cell learned from says its own"
            assert not plain.place.reasons
            assert loud.cycles.tolist() == plain.cycles.tolist()

    def test_formula_of_a_material_without_record_is_found_in_any_order(self, dataset) -> None:
        def rename(cell):
            return replace(cell, design=replace(cell.design, positive=replace(
                cell.design.positive, material="LiNi0.7Mn0.2Co0.1O2")))  # fmt: skip

        cells = [rename(cell) if cell.dataset == "NMC" else cell for cell in dataset.cells]
        model = train_generator(replace(dataset, cells=tuple(cells)), n_folds=2, n_trees=5, learners=("forest",))
        asked = made_up.design("NMC", 2.0, 25.0, 2.0)
        for word, is_known in (("Li1.0Co0.1Mn0.2Ni0.7O2", True), ("LiNi0.75Mn0.15Co0.1O2", False)):
            said = replace(asked, positive=Electrode(word, "Li", asked.positive.properties))
            found = model.predict(said, SHARES, laboratory="laboratory NMC")
            assert (found.place.regime == "known_protocol") is is_known

    def test_contributions_tell_that_fast_charging_ages(self, model) -> None:
        slow, fast = (
            made_up.ask(model, made_up.design("LFP", rate, 25.0), SHARES).contributions for rate in (1.0, 4.0)
        )
        assert slow["charging"] > fast["charging"]
        assert set(slow) >= {"positive electrode", "temperature", "voltage window"}

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"positive": Electrode("unobtainium")}, "practical_capacity, mean_potential must be known"),
            ({"positive": Electrode("NVP", "Na", {"practical_capacity": 110.0, "mean_potential": 3.4})}, "takes up Na"),
            ({"form": "sphere"}, "accepted are coin"),
            ({"charging": (Step(-1.0, 1.0),)}, "one rate above 0"),
            ({"charging": (Step(1.0, 0.8), Step(2.0, 0.5))}, "rise"),
            ({"temperature": -3.0}, "above 0"),
        ],
        ids=["unknown-material", "other-ion", "format", "rate", "steps", "temperature"],
    )
    def test_refuses_in_words(self, model, changes, words) -> None:
        with pytest.raises(InputError, match=words):
            made_up.ask(model, replace(made_up.design(), **changes), SHARES)

    @pytest.mark.parametrize("shares", [[], [0.5], [1.2], [float("nan")]])
    def test_refuses_shares_that_no_cell_told(self, model, shares) -> None:
        with pytest.raises(InputError, match="state_of_health"):
            made_up.ask(model, made_up.design(), shares)

    def test_coverage_out_of_reach(self, model) -> None:
        with pytest.raises(InputError, match="coverage"):
            made_up.ask(model, made_up.design(), SHARES, 0.999)


class TestModel:
    def test_bytes_give_the_same_answers(self, model) -> None:
        again = load_model(model.to_bytes())
        asked = made_up.design("NMC", 3.0, 30.0, 2.0)
        assert made_up.ask(again, asked, SHARES).cycles == pytest.approx(made_up.ask(model, asked, SHARES).cycles)
        assert again.to_bytes() == model.to_bytes()

    def test_known_electrodes_stay_as_they_were_learned(self, model) -> None:
        """Whatever becomes of the record of an electrode, or of others, moves no answer."""
        asked = made_up.design("LFP", 2.0, 25.0)
        named = replace(asked, positive=Electrode("LFP"), negative=Electrode("graphite"))
        assert made_up.ask(model, named, SHARES).cycles.tolist() == made_up.ask(model, asked, SHARES).cycles.tolist()

    def test_describes_regimes(self, model) -> None:
        said = model.describe()
        assert set(REGIMES) <= set(said["errors"])
        assert said["errors"]["known_protocol"]["mape"] < 25
        assert said["validation"]["mape"] < said["validation"]["mape_constant"]
        assert said["end_of_life_rule"]["reference"] == "largest of the first tenth"

    def test_evaluates_on_other_cells(self, model) -> None:
        rows = evaluate_generator(model, made_up.make(seed=5))
        assert rows[-1]["group"] == "all"
        assert rows[-1]["mape_percent"] < 25
        assert 0.6 <= rows[-1]["coverage_80"] <= 1.0

    def test_too_few_cells(self) -> None:
        with pytest.raises(InputError, match="accepted are 12 such cells"):
            train_generator(AgeingDataset(made_up.make().cells[:6], "few"))

    def test_unknown_learner(self, dataset) -> None:
        with pytest.raises(InputError, match="accepted are boosting"):
            train(dataset, "generator", {"learners": ["oracle"]})

    def test_methods_need_their_kind_of_cells(self, dataset) -> None:
        with pytest.raises(InputError, match="gp learns from cells of one design"):
            train(dataset, "gp")

    def test_dataset_is_read_again(self, dataset) -> None:
        assert read_dataset_json(dataset.to_json()) == dataset


def test_charged_trees_learn_the_cycle_times_the_rate(dataset) -> None:
    numbers = np.array([describe(cell.design) for cell in dataset.cells])
    encoder = Encoder.of_cells(numbers)
    trees = learn_charged_forest(Lesson(numbers, log_cycles(dataset.cells), encoder, n_trees=20))
    said = trees.predict(numbers, encoder)
    assert np.nanmedian(np.abs(said - log_cycles(dataset.cells))) < 0.2
    faster = (
        numbers + 3 * np.eye(numbers.shape[1])[0]
    )  # beyond all that is known the trees say the same, and the rate counts
    fastest = faster + np.eye(numbers.shape[1])[0]
    assert trees.predict(faster, encoder) - trees.predict(fastest, encoder) == pytest.approx(np.ones(said.shape))


@pytest.mark.parametrize("learn", [learn_boosting, learn_forest])
def test_trees_say_what_scikit_learn_says(dataset, learn, monkeypatch) -> None:
    """What is kept of the trees is all of them."""
    from sklearn import ensemble

    kept = []
    for name in ("HistGradientBoostingRegressor", "ExtraTreesRegressor"):
        original = getattr(ensemble, name)

        class Kept(original):
            def fit(self, *args, **kwargs):
                kept.append(self)
                return super().fit(*args, **kwargs)

        monkeypatch.setattr(ensemble, name, Kept)
    numbers = np.array([describe(cell.design) for cell in dataset.cells])
    encoder = Encoder.of_cells(numbers)
    trees = learn(Lesson(numbers, log_cycles(dataset.cells), encoder, n_trees=20))
    points = np.column_stack([np.repeat(encoder.fill(numbers), 40, axis=0), np.tile(PERCENTS, len(numbers))])
    assert trees.predict(numbers, encoder).ravel() == pytest.approx(kept[0].predict(points), abs=1e-5)


class TestFade:
    def test_first_cycles_tell_more(self, model, fade) -> None:
        early = {"cycle": list(range(1, 101)), "capacity": [1.1 - 1.1 * 20 / 1500 * k / 97 for k in range(100)]}
        found, reader = made_up.ask(fade, made_up.design("LFP", 1.0, 25.0), early, SHARES)
        assert reader.window == 100
        assert found.cycles[-1] == pytest.approx(1500, rel=0.4)
        assert (np.diff(found.cycles) > 0).all()

    def test_intervals_are_those_of_cells_of_the_kind(self, dataset) -> None:
        """Cells of one kind that follow their first cycles well are not as unsure as those of another."""
        random = np.random.default_rng(3)

        def scatter(cell):
            factor = np.exp(random.normal(0.0, 0.8)) if cell.dataset == "NMC" else 1.0
            return replace(cell, crossings={key: factor * cycle for key, cycle in cell.crossings.items()})

        made = train_fade(replace(dataset, cells=tuple(map(scatter, dataset.cells))), n_folds=2, windows=(100,))
        early = dataset.cells[0].early
        calm, wild = (
            made.predict_numbers(made_up.design(positive, 2.0, 25.0, capacity), early, SHARES, f"laboratory {positive}")
            for positive, capacity in (("LFP", 1.1), ("NMC", 2.0))
        )
        assert 1.5 * calm.upper[-1] / calm.lower[-1] < wild.upper[-1] / wild.lower[-1]
        assert 0.5 <= made.readers[0].errors["protocol"]["coverage_80"] <= 1.0

    def test_models_that_know_no_kinds_answer(self, fade) -> None:
        """As those that were stored before intervals were those of the kind."""
        own = fade.readers[0]
        plain = {split: own.calibrations[split] for split in ("protocol", "laboratory")}
        old = load_model(replace(fade, readers=(replace(own, calibrations=plain),)).to_bytes())
        numbers = made_up.make().cells[0].early
        first, second = (
            item.predict_numbers(made_up.design(), numbers, SHARES, "laboratory LFP") for item in (fade, old)
        )
        assert first.cycles == pytest.approx(second.cycles)
        assert (second.lower < second.cycles).all()

    def test_numbers_that_it_does_not_read_are_named(self, fade) -> None:
        early = {"cycle": list(range(1, 101)), "capacity": [1.1 - 0.0001 * k for k in range(100)]}
        plain, more = (
            made_up.ask(fade, made_up.design(), {**early, **others}, SHARES)[0]
            for others in ({}, {"log10_var_dQ": -4.2})
        )
        assert plain.cycles.tolist() == more.cycles.tolist()
        assert more.place.reasons[-1].startswith("log10_var_dQ not read")

    def test_bytes_give_the_same_answers(self, fade) -> None:
        numbers = made_up.make().cells[0].early
        first, second = (
            item.predict_numbers(made_up.design(), numbers, SHARES, "laboratory LFP")
            for item in (fade, load_model(fade.to_bytes()))
        )
        assert first.cycles == pytest.approx(second.cycles)

    @pytest.mark.parametrize(
        ("early", "words"),
        [
            ({"cycle": [1, 2, 3], "capacity": [1.1, 1.1, 1.1]}, "accepted are 6 or more"),
            ({"cycle": list(range(1, 101)), "capacity": [1100.0] * 100}, "in Ah"),
        ],
        ids=["few", "mAh"],
    )
    def test_refuses_in_words(self, fade, early, words) -> None:
        with pytest.raises(InputError, match=words):
            made_up.ask(fade, made_up.design("LFP", 1.0, 25.0), early, SHARES)


@pytest.fixture(scope="module")
def short(dataset):
    """Return cells of which those of one set did not get far."""

    def cut(cell, end):
        return replace(cell, crossings={key: value for key, value in cell.crossings.items() if key >= end})

    return replace(dataset, cells=tuple(cut(cell, 82 if cell.dataset == "NMC" else 75) for cell in dataset.cells))


class TestShortSeries:
    """Of 55 published cells of one set three got to 80 %."""

    def test_figures_that_no_cell_tells_of_are_left_out(self, short) -> None:
        """A node could not be stored: no number has no place in it."""
        model = train_generator(short, n_folds=2, n_trees=5, learners=["boosting"])
        errors = model.describe()["errors"]
        assert "mape_at_80" in errors["set LFP"]
        assert "mape_at_80" not in errors["set NMC"]
        figures = [value for found in errors.values() for value in found.values()]
        assert np.isfinite(figures).all()

    def test_fade_knows_them_too(self, short) -> None:
        fade = train_fade(short.of_group("NMC"), n_folds=2, windows=(100,))
        assert "mape_at_80" not in fade.readers[0].errors["protocol"]
        (*_, row) = evaluate_generator(fade, short.of_group("NMC"))
        assert row["mape_at_80_percent"] is None
        assert row["mape_at_90_percent"] > 0

    def test_cells_that_hardly_aged_teach_nothing(self, dataset) -> None:
        young = [replace(cell, crossings={key: cell.crossings[key] for key in (99, 98)}) for cell in dataset.cells]
        with pytest.raises(InputError, match=r"24 cells were given, of which 0 .* fell to 97 %"):
            train_generator(replace(dataset, cells=tuple(young)))
        with pytest.raises(InputError, match="24 cells were given"):
            train_fade(replace(dataset, cells=tuple(young)))


@pytest.mark.parametrize("learner", [pytest.param("network_pca", marks=pytest.mark.slow), "network_embedding"])
def test_networks_of_the_published_generator(dataset, learner, monkeypatch) -> None:
    """What numpy predicts is what torch has learned; the embedding gives known lives back."""
    pytest.importorskip("torch")
    from aiida_finales.science.lifetime.generator import networks
    from aiida_finales.science.lifetime.generator.left_out import LEARNERS

    monkeypatch.setattr(networks, "_STEPS", 100)
    numbers = np.array([describe(cell.design) for cell in dataset.cells])
    logs = log_cycles(dataset.cells)
    encoder = Encoder.of_cells(numbers)
    learn, restore = LEARNERS[learner]
    network = learn(Lesson(numbers, logs, encoder))
    said = network.predict(numbers, encoder)
    assert np.nanmedian(np.abs(said - logs)) < 0.2
    assert restore(**network.to_arrays()).predict(numbers, encoder).tolist() == said.tolist()
    assert learn(Lesson(numbers, logs, encoder)).layers.tolist() == network.layers.tolist()


def test_rates_at_states_of_charge() -> None:
    """The mean of a charge goes to 80 %, that of a discharge to the end; the highest rate is that of any step."""
    cell = CellDesign(
        Electrode("LFP"), Electrode("graphite"), "cylindrical", 1.1,
        charging=(Step(5.4, 0.5), Step(3.0, 0.8), Step(1.0, 1.0)),
        discharging=(Step(5.0, 0.2), Step(1.0, 0.0)),
        temperature=303.15,
    )  # fmt: skip
    numbers = np.exp(describe(cell)[:6])
    assert numbers == pytest.approx([4.154, 5.4, 2.778, 5.0, 5.4, 3.0], rel=1e-3)


class TestCompare:
    def test_on_cells_that_no_model_knows(self, dataset) -> None:
        """Rows of both are of the same cells, and none of these was learned from."""
        known = AgeingDataset(dataset.cells[::2], "half", simulated=True)
        how = {"n_folds": 2, "n_trees": 10}
        models = {kind: train(known, "generator", {**how, "learners": [kind]}) for kind in ("boosting", "process")}
        rows = compare_generators(models, dataset)
        whole = {row["model"]: row["n_cells"] for row in rows if row["group"] == "all"}
        assert whole == dict.fromkeys(models, len(dataset.cells) - len(known.cells))
        assert {row["regime"] for row in rows} >= {"known_protocol", "all"}

    def test_cells_learned_from_are_no_test(self, model, dataset) -> None:
        with pytest.raises(InputError, match="accepted are cells that no model knows"):
            compare_generators({"one": model, "two": model}, dataset)


class TestFirstCycles:
    def test_a_table_that_is_thinned_out_tells_the_same(self) -> None:
        """Between two cycles on either side of the end of the window the capacity is known."""
        cycles = np.arange(1.0, 301.0)
        capacities = 1.1 - 2e-6 * cycles**1.5
        thin = np.isin(cycles, [*range(1, 11), 37, 74, 111, 150])
        whole, part = (describe_early(cycles[k], capacities[k], 1.1) for k in (cycles > 0, thin))
        assert part["curvature"] == pytest.approx(whole["curvature"], rel=0.15)
        assert part["capacity_difference"] == pytest.approx(whole["capacity_difference"], rel=0.02)
        assert whole["capacity_difference"] > 0

    def test_a_gap_is_no_end_of_the_window(self) -> None:
        cycles = np.array([1.0, 2, 3, 4, 5, 6, 40, 180])
        assert describe_early(cycles, np.full(8, 1.1), 1.1) is None


def test_curves_that_nobody_measured_to_their_end_go_on_as_they_fell() -> None:
    logs = np.full((3, 40), np.nan)
    logs[:, :20] = np.log(500) + 0.05 * np.arange(20)
    curves = complete_curves(logs)
    assert np.diff(curves[0]) == pytest.approx(np.full(39, 0.05))


def test_intervals_are_those_of_cells_of_the_kind() -> None:
    """Twenty protocols of one kind follow well and four of another do not: neither is as unsure as all together."""
    random = np.random.default_rng(0)

    def leave(kind, number, scale):
        logs = np.full(len(PERCENTS), 6.0)
        found = logs + scale * random.standard_normal()
        return LeftOut("new_protocol", f"{kind}{number}", kind, logs, found[None], f"{kind}{number}", str(number), kind)

    items = [leave("calm", n, 0.05) for n in range(20)] + [leave("wild", n, 1.0) for n in range(20, 24)]
    left_out = {"cell": [], "protocol": items, "laboratory": [], "chemistry": []}
    _, calibrations, _ = judge(left_out, ["forest"])
    widths = {}
    for kind in ("calm", "wild", "unknown"):
        low, high = find_calibration(calibrations, "new_protocol", kind).bounds(0.8)
        widths[kind] = high - low
    assert widths["calm"] < widths["unknown"] < widths["wild"]
    assert widths["wild"] > 0.8


def test_cells_of_a_known_protocol_are_as_unsure_as_their_kind() -> None:
    """Thirty equal cells of one kind and six of another: the many do not speak for the few."""
    random = np.random.default_rng(1)

    def leave(kind, number, scale):
        found = np.full(len(PERCENTS), 6.0 + scale * random.standard_normal())
        logs, name = np.full(len(PERCENTS), 6.0), f"{kind}{number}"
        return LeftOut("known_protocol", name, kind, logs, found[None], name, kind, kind)

    items = [leave("calm", n, 0.05) for n in range(30)] + [leave("wild", n, 0.5) for n in range(6)]
    left_out = {"cell": items, "protocol": [], "laboratory": [], "chemistry": []}
    _, calibrations, _ = judge(left_out, ["forest"])
    calm, wild = (
        find_bounds(calibrations, Place("known_protocol", (), 0.0, 3), kind, 0.8) for kind in ("calm", "wild")
    )
    assert 2 * (calm[1] - calm[0]) < wild[1] - wild[0]


@pytest.mark.parametrize("n_groups", [2, 3, 5, 6])
def test_few_groups_say_how_unsure_another_is(n_groups) -> None:
    """Each laboratory is wrong by about the same for all of its cells, by how much nobody knows of the next one."""
    random = np.random.default_rng(n_groups)
    inside = []
    for _ in range(400):
        *known, new = random.standard_normal(n_groups + 1)
        low, high = Calibration(np.sort(known), np.full(n_groups, 1 / n_groups), n_groups).bounds(0.8)
        inside.append(low <= new <= high)
    assert 0.76 <= np.mean(inside) <= 0.95


def test_farther_in_a_regime_is_less_sure_up_to_the_next_one(model) -> None:
    """Every answer of a regime as sure as the nearest would say nothing of how strange a cell is."""
    errors = {name: (place + 1) * np.linspace(-0.3, 0.3, 20) for place, name in enumerate(REGIMES)}
    calibrations = {name: Calibration(own, np.full(20, 0.05), 20, 0.5) for name, own in errors.items()}
    ends = [
        find_bounds(calibrations, Place("new_protocol", (), distance, 0), "", 0.8)[1]
        for distance in (0.4, 0.5, 0.7, 0.8, 5.0)
    ]
    assert ends[0] == ends[1] < ends[2] < ends[3] < ends[4]
    assert ends[4] == find_bounds(calibrations, Place("new_cell", (), 0.5, 0), "", 0.8)[1]
    unsure = [find_bounds(calibrations, Place(REGIMES[-1], (), distance, 0), "", 0.8)[1] for distance in (0.5, 5.0)]
    assert unsure[1] == pytest.approx(unsure[0] * 10**0.5)
    asked = made_up.design("LFP", 12.0, 25.0)
    assert "times as far from the nearest known cell" in made_up.ask(model, asked, SHARES).place.reasons[-1]


class TestOneLaboratory:
    """Cells of one kind, laboratory and temperature say little of others: the answer must tell so."""

    @pytest.fixture(scope="class")
    @staticmethod
    def alike(dataset):
        cells = [
            replace(cell, design=replace(cell.design, temperature=298.15), protocol=f"{cell.protocol}-{number}")
            for number, cell in enumerate(dataset.of_group("LFP").cells * 2)
        ]
        return replace(dataset, cells=tuple(replace(cell, name=str(n)) for n, cell in enumerate(cells)))

    @pytest.mark.parametrize("method", ["generator", "fade"])
    def test_answers(self, alike, method) -> None:
        how = {"n_trees": 10} if method == "generator" else {"windows": (100,)}
        made = train(alike, method, {"n_folds": 2, **how})

        def ask(design, laboratory="laboratory LFP"):
            early = alike.cells[0].early
            known = (early,) if method == "fade" else ()
            ask_for = made.predict_numbers if method == "fade" else made.predict
            return ask_for(design, *known, SHARES, laboratory=laboratory)

        own = ask(made_up.design("LFP", 2.0, 25.0))
        strange = [ask(made_up.design("LFP", 2.0, 25.0), "elsewhere"), ask(made_up.design("LCO", 2.0, 25.0, 1.1))]
        for found in strange:
            assert found.upper[-1] / found.lower[-1] > (own.upper[-1] / own.lower[-1]) ** 2
            assert found.rating < own.rating
        warmer = ask(made_up.design("LFP", 2.0, 35.0))
        assert warmer.place.regime == "new_protocol"
        assert warmer.place.reasons[0].startswith("temperature is 308.1 K, but cells learned from have 298.1 to 298.1")
        with pytest.raises(InputError, match=r"temperature is 263\.1 K, accepted is"):
            ask(made_up.design("LFP", 2.0, -10.0))
