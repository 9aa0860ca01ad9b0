"""Early prediction of the lifetime: published figures, real cells, and what makes a prediction sane."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.data import LifetimeDataset, make_twin_dataset, read_dataset, read_protocols
from aiida_finales.science.lifetime.domain import LIMIT, Domain, Seen
from aiida_finales.science.lifetime.features import OneFeatureModel, clean
from aiida_finales.science.lifetime.gp import GaussianProcess, _negative_posterior, train_gp
from aiida_finales.science.lifetime.methods import load_model, train
from aiida_finales.science.lifetime.model import CellRecord, EndOfLifeRule, Task, pack, predict, predict_cells
from aiida_finales.science.lifetime.score import ONE_SD, divide, is_skilled, scale_to_coverage, score

TASK = Task(EndOfLifeRule(0.8, None, 3), window=40, inputs=("slope", "final"), covariates=())


def make_cell(number: int, n_cycles: int = 400, knee: float = 1.0) -> CellRecord:
    """Return a cell that fades by a straight line, some faster than others; the first 40 cycles tell how fast.

    :param knee: factor on the rate after 45 cycles, which nothing tells before.
    """
    generator = np.random.default_rng(number)
    rate = 0.2 / generator.uniform(60, 300)
    k = np.arange(n_cycles)
    capacities = (
        2.0 * (1 - rate * (k + (knee - 1) * np.maximum(k - 45, 0))) * (1 + 2e-4 * generator.standard_normal(n_cycles))
    )
    capacities = np.maximum(capacities, 0.1)
    return CellRecord(f"line-{number}", capacities, {}, TASK.rule.find(capacities))


@pytest.fixture(scope="module")
def lines():
    return [make_cell(number) for number in range(30)]


@pytest.fixture(scope="module")
def line_model(lines):
    return train_gp(lines[:20], TASK)


@pytest.fixture(scope="module")
def matr(shared_data) -> LifetimeDataset:
    """The published cells."""
    return read_dataset(shared_data / "cycling" / "matr_lfp83_capacity_per_cycle.csv.gz")


@pytest.fixture(scope="module")
def matr_model(matr):
    return train(matr.of_group("train"), "gp")


class TestPublished:
    """Against figures of K. A. Severson et al. and cells of theirs."""

    def test_one_feature_model(self, shared_data) -> None:
        """The variance model: RMSE of 103.6 cycles on train, 137.9 on test1 (its cell of 148 cycles included)."""
        with (shared_data / "cycling" / "matr_lfp84_early_features.csv").open() as file:
            rows = list(csv.DictReader(file))
        found = {}
        for split in ("train", "test1"):
            part = [row for row in rows if row["split"] == split]
            feature, life = (
                np.array([float(row[key]) for row in part]) for key in ("log10_var_dQ_100_10", "cycle_life")
            )
            model = OneFeatureModel.fit(feature, life) if split == "train" else model  # noqa: F821 - train is first
            error = model.predict(feature) - life
            found[split] = (len(part), np.sqrt(np.mean(error**2)), 100 * np.mean(np.abs(error) / life))
        assert found["train"] == pytest.approx((41, 103.6, 14.1), abs=0.1)
        assert found["test1"] == pytest.approx((43, 137.9, 14.7), abs=0.1)

    def test_features_belong_to_the_curves(self, matr) -> None:
        """Both tables are joined by order and life; the capacities of both then agree but for the way of counting."""
        assert [len(matr.of_group(name).cells) for name in ("train", "test1")] == [41, 42]
        for cell in matr.cells:
            crossing = matr.task.rule.find(cell.capacities, matr.task.first_cycle)
            last = len(cell.capacities) + matr.task.first_cycle - 1
            assert cell.end_of_life == (crossing or last + 1)

    def test_life_from_100_cycles(self, matr, matr_model) -> None:
        """Trained on train. Features were chosen within it; the widening of intervals was chosen on all cells."""
        figures = score(matr_model, matr.of_group("test1").cells)
        assert figures.n_cells == 42
        assert figures.mape <= 10.0
        assert 0.60 <= round(figures.coverage, 2) <= 0.76
        assert figures.n_refused == 0
        assert figures.curve_rmse <= 3.0
        assert matr_model.validation["mape"] <= 10.0

    def test_protocols_that_were_left_out(self, matr, shared_data) -> None:
        """The intervals of protocols that a model does not know, whole protocols at a time."""
        cells = read_protocols(matr, shared_data / "ageing" / "cells.csv.gz").cells
        assert len({cell.protocol for cell in cells if cell.protocol}) > 40
        covered = 0.0
        for fold in divide(cells, 4, 0):
            model = train_gp([cell for number, cell in enumerate(cells) if number not in fold], matr.task, n_folds=10)
            figures = score(model, [cells[number] for number in fold])
            covered += figures.coverage * figures.n_cells
        assert 0.60 <= round(covered / len(cells), 2) <= 0.76

    def test_without_the_voltage_curves_it_is_no_better_than_a_constant(self, matr) -> None:
        for inputs in (("initial", "curvature"), ("initial", "final", "slope")):
            model = train_gp(matr.of_group("train").cells, replace(matr.task, inputs=inputs))
            assert not is_skilled(model.validation)

    def test_training_is_deterministic(self, matr, matr_model) -> None:
        assert train(matr.of_group("train"), "gp").to_bytes() == matr_model.to_bytes()

    def test_later_cycles_are_not_read(self, matr, matr_model) -> None:
        """What was scored saw 100 cycles: more of them change the prediction, the life of the cell does not."""
        cell = matr.of_group("test1").cells[3]
        first = predict(matr_model, cell.capacities[:99], cell.features)
        assert predict(matr_model, cell.capacities[:99].copy(), cell.features) == first
        assert predict(matr_model, cell.capacities[:500], cell.features) != first


class TestPrediction:
    def test_trajectory_goes_on_from_what_was_measured(self, lines, line_model) -> None:
        cell = lines[25]
        found = predict(line_model, cell.capacities[:40])
        assert found.reached
        assert found.method == "gp"
        assert found.end_of_life == pytest.approx(cell.end_of_life, rel=0.05)
        assert len(found.trajectory) == len(found.trajectory_sd) == found.end_of_life
        assert found.trajectory[:40] == pytest.approx(cell.capacities[:40], rel=1e-5)
        assert found.trajectory_sd[:40] == [0.0] * 40
        assert all(np.diff(found.trajectory[40:]) <= 1e-9)
        assert found.trajectory[-1] == pytest.approx(0.8 * cell.capacities[0], rel=0.01)
        assert found.trajectory[39:] == pytest.approx(cell.capacities[39 : found.end_of_life], rel=0.02)

    @pytest.mark.parametrize(("factor", "words"), [(100.0, "per cent: give Ah"), (1e-3, "mAh that were divided")])
    def test_in_another_unit_no_end_is_observed_either(self, lines, line_model, factor, words) -> None:
        cell = lines[25]
        with pytest.raises(InputError, match=f"the capacity at the begin is .*{words}"):
            predict(line_model, np.asarray(cell.capacities[: cell.end_of_life + 10]) * factor)

    def test_a_limit_in_ah_is_none_for_a_cell_of_another_size(self, lines) -> None:
        """It would be dead from its first cycle on, and surely so."""
        cell = lines[25]
        rule = EndOfLifeRule(0.8, float(cell.capacities[0]), 3)
        model = train_gp(lines[:20], replace(TASK, rule=rule))
        with pytest.raises(InputError, match="the capacity at the begin is "):
            predict(model, np.asarray(cell.capacities[: cell.end_of_life + 10]) * 0.1)

    def test_a_share_of_its_own_capacity_is_observed_at_any_size(self, lines, line_model) -> None:
        cell = lines[25]
        found = predict(line_model, np.asarray(cell.capacities[: cell.end_of_life + 10]) * 0.1)
        assert (found.end_of_life, found.method) == (cell.end_of_life, "observed")

    def test_better_than_the_mean(self, lines, line_model) -> None:
        figures = score(line_model, lines[20:])
        lives = np.array([cell.end_of_life for cell in lines[20:]])
        mean = np.mean([cell.end_of_life for cell in lines[:20]])
        assert figures.rmse < 0.2 * np.sqrt(np.mean((lives - mean) ** 2))
        assert figures.n_not_reached == 0

    def test_end_of_life_within_the_data_is_observed(self, lines, line_model) -> None:
        cell = lines[25]
        found = predict(line_model, cell.capacities[: cell.end_of_life + 10])
        assert (found.end_of_life, found.sd, found.method) == (cell.end_of_life, 0.0, "observed")
        assert len(found.trajectory) == cell.end_of_life

    @pytest.mark.parametrize("n_seen", [40, 60, 100, 115])
    def test_a_cell_outlives_what_was_seen_of_it(self, lines, line_model, n_seen) -> None:
        """Even when it was predicted to be dead by now."""
        weak = next(cell for cell in lines if cell.end_of_life < 90)
        lasting = np.concatenate([weak.capacities[:40], np.full(n_seen - 40, weak.capacities[39])])
        found = predict(line_model, lasting)
        assert found.end_of_life > n_seen
        assert np.isfinite(found.trajectory).all()
        assert np.isfinite(found.trajectory_sd).all()

    def test_beyond_the_horizon_nothing_is_said(self, lines, line_model) -> None:
        short = replace(line_model, horizon=60)
        lasting = max(lines, key=lambda cell: cell.end_of_life)
        found = predict(short, lasting.capacities[:40])
        assert (found.end_of_life, found.reached) == (None, False)
        assert len(found.trajectory) == 60

    def test_alone_as_in_company(self, lines, line_model) -> None:
        together = predict_cells(line_model, [(cell.capacities[:40], {}) for cell in lines])
        for cell, found in zip(lines, together, strict=True):
            alone = predict(line_model, cell.capacities[:40])
            assert alone.end_of_life == found.end_of_life
            assert alone.sd == pytest.approx(found.sd, rel=1e-5)

    def test_one_outlier_changes_little(self, lines, line_model) -> None:
        values = lines[25].capacities[:40].copy()
        before = predict(line_model, values).end_of_life
        values[20] *= 0.6
        assert predict(line_model, values).end_of_life == pytest.approx(before, abs=2)

    def test_bytes_and_back(self, lines, line_model) -> None:
        again = load_model(line_model.to_bytes())
        assert again.to_bytes() == line_model.to_bytes()
        assert predict(again, lines[25].capacities[:40]) == predict(line_model, lines[25].capacities[:40])


@pytest.fixture(scope="module", params=["gp", "lstm"])
def gap_model(request, lines):
    """A model of each method, of cells with a feature that tells their life."""
    if request.param == "lstm":
        pytest.importorskip("torch")
    task = replace(TASK, inputs=("slope", "gap"), covariates=("gap",))
    cells = [replace(cell, features={"gap": -np.log(cell.end_of_life)}) for cell in lines[:20]]
    small = {"n_networks": 2, "hidden": 4, "epochs": 20, "n_samples": 4} if request.param == "lstm" else {}
    return train(LifetimeDataset(tuple(cells), task, "lines", simulated=True), request.param, small)


class TestDomain:
    """What a model was trained on, and how far from it a cell is."""

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_outward_is_never_surer(self, gap_model, lines, sign) -> None:
        """A feature that leaves what was learned widens the interval, until it is refused, and stays refused."""
        curve = lines[25].capacities[:40]
        domain = gap_model.domain
        place = domain.names.index("gap")
        edge, step = (domain.low, domain.high)[sign > 0][place], domain.scale[place]
        shares = []
        for away in (-1.0, -0.5, *np.arange(0, LIMIT, 0.5)):
            found = predict(gap_model, curve, {"gap": edge + sign * away * step})
            shares.append(found.sd / found.end_of_life)
        inside, outside = shares[:3], shares[3:]
        assert (np.diff(outside) >= -0.01).all()  # the end of life is a whole number
        assert outside[0] > max(inside) - 0.01
        assert outside[-1] > 1.5 * max(inside)
        for away in (LIMIT + 0.1, 30, 1e6):
            with pytest.raises(InputError, match="gap is"):
                predict(gap_model, curve, {"gap": edge + sign * away * step})

    def test_known_again_from_bytes(self, gap_model) -> None:
        again = load_model(gap_model.to_bytes()).domain
        assert again.ranges() == gap_model.domain.ranges()

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (5.7e-5, "the number itself: give its decadic logarithm, -4.244"),
            (-9.77, "a natural logarithm: give the decadic one, -4.243"),
            (1.755, "capacities in mAh instead of Ah: -4.245"),
            (56.9, "a number from mAh instead of Ah, not its decadic logarithm"),
        ],
    )
    def test_slips_of_a_logarithm_are_named(self, given, words) -> None:
        points = np.linspace(-5, -3, 20)[:, None]
        domain = Domain(("log10_var_dQ",), 1, points, 40)
        with pytest.raises(InputError, match=words):
            domain.check(Seen(np.ones(40), {"log10_var_dQ": given}))

    def test_older_models_are_trained_again(self) -> None:
        with pytest.raises(InputError, match="train it again"):
            load_model(pack({"method": "gp"}, {}))

    def test_protocols_are_left_out_as_a_whole(self, lines) -> None:
        cells = [replace(cell, protocol=f"p{number % 7}") for number, cell in enumerate(lines)]
        folds = divide(cells, 4, 0)
        assert sorted(number for fold in folds for number in fold) == list(range(30))
        for fold in folds:
            others = {number % 7 for number in range(30)} - {number % 7 for number in fold}
            assert not others & {number % 7 for number in fold}
            assert len(fold) > 3

    def test_named_batches_tell_how_batches_differ(self) -> None:
        """One batch cannot tell how another differs; two can, where the group of each cell says which it is of."""
        knees = (1.0, 1.5, 2.0)
        batches = [[make_cell(40 * b + number, knee=knee) for number in range(12)] for b, knee in enumerate(knees)]
        named = [replace(cell, group=f"batch {b}") for b, batch in enumerate(batches[:2]) for cell in batch]
        models = train_gp(batches[0], TASK), train_gp([replace(cell, group="") for cell in named], TASK)
        assert max(score(model, batches[2]).coverage for model in models) < 0.3
        careful = train_gp(named, TASK)
        assert score(careful, batches[2]).coverage > 0.6
        assert load_model(careful.to_bytes()).batch_sd == careful.batch_sd > 0.1

    def test_constant_is_the_measure(self, lines) -> None:
        noise = np.random.default_rng(3).normal(size=30)
        cells = [replace(cell, features={"noise": float(n)}) for cell, n in zip(lines, noise, strict=True)]
        assert not is_skilled(train_gp(cells, replace(TASK, inputs=("noise",))).validation)
        assert is_skilled(train_gp(cells, TASK).validation)


class TestRefusals:
    @pytest.mark.parametrize(
        ("capacities", "words"),
        [
            (np.full(39, 1.0), "39 cycles were given, accepted are 40"),
            (np.full((40, 2), 1.0), "were given, accepted are 40"),
            (np.r_[np.full(39, 1.0), np.nan], "accepted are numbers above 0"),
            (np.r_[np.full(39, 1.0), -1.0], "accepted are numbers above 0"),
            (np.full(40, 4e6), "up to 1000 Ah"),
            (np.r_[1.0, np.full(38, 1.0), 9.0], "at one rate"),
            (np.tile([1.0, 0.9], 20), "from one cycle to the next"),
            (np.linspace(1.0, 1.5, 40), "the capacity grows"),
        ],
        ids=["few", "matrix", "nan", "negative", "unit", "jump", "mixed", "growing"],
    )
    def test_what_cannot_be_a_cell(self, line_model, capacities, words) -> None:
        with pytest.raises(InputError, match=words):
            predict(line_model, capacities)

    def test_missing_feature(self, lines) -> None:
        cells = [replace(cell, features={"gap": float(number)}) for number, cell in enumerate(lines[:20])]
        model = train_gp(cells, replace(TASK, inputs=("slope", "gap")))
        assert model.needs == ("gap",)
        with pytest.raises(InputError, match="also needs gap"):
            predict(model, lines[25].capacities[:40], {"gap": None})
        assert predict(model, lines[25].capacities[: lines[25].end_of_life + 9]).method == "observed"

    def test_too_few_cells(self, lines) -> None:
        with pytest.raises(InputError, match="7 of 7 cells have a known end of life after cycle 40, accepted are 8"):
            train_gp(lines[:7], TASK)

    @pytest.mark.parametrize(
        "content", [b"", b"no archive", pack({"method": "magic"}, {})], ids=["empty", "text", "method"]
    )
    def test_bytes_of_no_model(self, content) -> None:
        with pytest.raises(InputError, match="accepted"):
            load_model(content)

    def test_unknown_method_and_setting(self, lines) -> None:
        cells = LifetimeDataset(tuple(lines), TASK, "lines", simulated=True)
        with pytest.raises(InputError, match="accepted are gp, lstm, generator, fade"):
            train(cells, "oracle")
        with pytest.raises(InputError, match="accepted for gp are n_folds, seed"):
            train(cells, "gp", {"depth": 3})


class TestParts:
    def test_process_interpolates_without_noise(self) -> None:
        x = np.linspace(-2, 2, 15)[:, None]
        y = np.sin(x[:, 0])
        process = GaussianProcess.fit(x, y)
        middle = np.linspace(-1.9, 1.9, 40)[:, None]
        assert process.weights(middle) @ y == pytest.approx(np.sin(middle[:, 0]), abs=0.05)

    def test_gradient_is_that_of_the_likelihood(self) -> None:
        generator = np.random.default_rng(2)
        x, theta = generator.normal(size=(12, 3)), generator.normal(scale=0.3, size=4)
        arguments = x, x[:, 0] + 0.3 * generator.normal(size=12), np.zeros(4)
        steps = 1e-6 * np.eye(4)
        numeric = [
            (_negative_posterior(theta + step, *arguments)[0] - _negative_posterior(theta - step, *arguments)[0]) / 2e-6
            for step in steps
        ]
        assert _negative_posterior(theta, *arguments)[1] == pytest.approx(numeric, rel=1e-4)

    def test_process_is_unsure_away_from_data(self) -> None:
        x = np.random.default_rng(0).normal(size=(30, 2))
        process = GaussianProcess.fit(x, x[:, 0] + 0.1 * x[:, 1] ** 2)
        near, far = process.variance(np.array([[0.0, 0.0], [6.0, 6.0]]))
        assert far > 5 * near

    @pytest.mark.parametrize("theta", [(40, 0, -30, 40), (0, 20, -30, 9), (-30, -30, -30, -30)])
    def test_no_hyperparameters_break_the_likelihood(self, theta) -> None:
        """The search for the best ones comes by where the covariance is singular in double precision."""
        x = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 5, axis=0)
        value, gradient = _negative_posterior(np.array(theta, dtype=float), x, x[:, 0], np.zeros(4))
        assert np.isfinite([value, *gradient]).all()

    def test_scale_makes_one_sd_cover_68_percent(self) -> None:
        z = np.abs(np.random.default_rng(1).normal(scale=2.0, size=4000))
        scale = scale_to_coverage(z)
        assert np.mean(z <= scale) == pytest.approx(ONE_SD, abs=0.01)
        assert scale == pytest.approx(2.0, rel=0.05)

    def test_clean_leaves_steep_curves_alone(self) -> None:
        steep = np.linspace(1.0, 0.3, 40)
        assert clean(steep) == pytest.approx(steep)

    def test_dataset_as_json_and_back(self, lines, tmp_path) -> None:
        dataset = LifetimeDataset(tuple(lines[:3]), TASK, "lines", simulated=True)
        file = tmp_path / "lines.json"
        file.write_text(dataset.to_json())
        again = read_dataset(file)
        assert again.to_json() == dataset.to_json()
        assert again.task == TASK
        assert again.cells[2].capacities == pytest.approx(lines[2].capacities)

    @pytest.mark.parametrize("text", ["", "[]", '{"cells": [{}]}'])
    def test_text_of_no_dataset(self, text, tmp_path) -> None:
        file = tmp_path / "x.json"
        file.write_text(text)
        with pytest.raises(InputError, match="no dataset of lifetimes"):
            read_dataset(file)

    def test_what_belongs_to_a_file_lacks(self, tmp_path) -> None:
        file = tmp_path / "a_capacity_per_cycle.csv"
        file.write_text("cell_id,cycle\n")
        with pytest.raises(InputError, match=r"0 files \*_labels.csv lie beside"):
            read_dataset(file)
        with pytest.raises(InputError, match="accepted are a dataset"):
            read_dataset(tmp_path / "a.xlsx")


def test_simulated_cells() -> None:
    """The default model of the simulated laboratory is good on cells it does not know."""
    known, others = make_twin_dataset(48, 1), make_twin_dataset(40, 7)
    assert known.simulated
    assert score(train(known, "gp"), others.cells).mape < 10.0


def test_prediction_needs_no_torch(line_model, tmp_path) -> None:
    """Predicting by a Gaussian process loads neither torch nor scipy."""
    file = tmp_path / "model.npz"
    file.write_bytes(line_model.to_bytes())
    program = (
        "import sys, numpy as np\n"
        "from aiida_finales.science.lifetime.methods import load_model\n"
        "from aiida_finales.science.lifetime.model import predict\n"
        f"predict(load_model(open({str(file)!r}, 'rb').read()), 2 - 0.002 * np.arange(40))\n"
        "heavy = [name for name in ('torch', 'scipy', 'aiida') if name in sys.modules]\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
