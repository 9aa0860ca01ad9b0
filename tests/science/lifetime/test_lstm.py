"""The ensemble of recurrent networks on a handful of cells that nobody measured."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.science.lifetime.domain import Seen
from aiida_finales.science.lifetime.methods import load_model
from aiida_finales.science.lifetime.model import CellRecord, EndOfLifeRule, Task, predict, predict_cells
from aiida_finales.science.lifetime.networks import LEAST_VARIANCE, Network, read_blocks, to_blocks
from aiida_finales.science.lifetime.score import score

torch = pytest.importorskip("torch")

from aiida_finales.science.lifetime.lstm import _make_network, train_lstm  # noqa: E402 - needs torch

TASK = Task(EndOfLifeRule(0.8, None, 3), window=40, inputs=("slope",), covariates=("gap", "efficiency", "variance"))
SMALL = {"n_networks": 3, "hidden": 16, "epochs": 150, "n_samples": 8}


def make_cell(number: int) -> CellRecord:
    """Return a cell with a knee whose fade can be told from its first cycles and, less well, from its features."""
    generator = np.random.default_rng(number)
    life = generator.uniform(60, 160)
    k = np.arange(200)
    capacities = 4e-3 * (1 - 0.1 * np.sqrt(k / life) - 0.1 * (k / life) ** 2)
    capacities *= 1 + 3e-4 * generator.standard_normal(200)
    noise = generator.normal(scale=0.1, size=3)
    features = dict(zip(TASK.covariates, (np.log(life) * np.array([1, -1, 2]) + noise).tolist(), strict=True))
    return CellRecord(f"knee-{number}", np.maximum(capacities, 1e-4), features, TASK.rule.find(capacities))


@pytest.fixture(scope="module")
def cells():
    return [make_cell(number) for number in range(30)]


@pytest.fixture(scope="module")
def trained(cells):
    return train_lstm(cells[:20], TASK, **SMALL)


@pytest.mark.slow
def test_better_than_the_mean(cells, trained) -> None:
    figures = score(trained, cells[20:])
    lives = np.array([cell.end_of_life for cell in cells[20:]], dtype=float)
    mean = np.mean([cell.end_of_life for cell in cells[:20]])
    assert figures.mape < 0.5 * 100 * np.mean(np.abs(lives - mean) / lives)
    assert figures.rmse < 0.5 * np.sqrt(np.mean((lives - mean) ** 2))


def test_networks_are_those_of_torch_batch_first() -> None:
    """The recurrence in numpy is that of ``nn.LSTM(batch_first=True)``: over the blocks, not over the cells."""
    torch.manual_seed(0)
    module = _make_network(5, 3)
    inputs = torch.randn(4, 7, 6)
    assert module["lstm"].batch_first
    with torch.no_grad():
        hidden, _ = module["lstm"](inputs)
        joined = torch.relu(module["join"](torch.cat([hidden[:, -1], inputs[:, -1, 3:]], dim=-1)))
        mean, raw = module["out"](joined).unbind(dim=-1)
        variance = torch.nn.functional.softplus(raw) + LEAST_VARIANCE
    weights = {name: weight.numpy().astype(float)[None] for name, weight in module.state_dict().items()}
    network = Network(weights, 1.0, 1.0)
    state = network.read(inputs.numpy().astype(float))
    assert state[-1][0][0] == pytest.approx(hidden[:, -1].numpy(), abs=1e-6)
    found = network._head(state[-1][0], inputs[:, -1, 3:].numpy().astype(float), 1)
    assert found[0][0] == pytest.approx(mean.numpy(), abs=1e-6)
    assert found[1][0] == pytest.approx(np.sqrt(variance.numpy()), abs=1e-6)


def test_alone_as_in_company(cells, trained) -> None:
    together = predict_cells(trained, [(cell.capacities[:40], cell.features) for cell in cells[20:]])
    for cell, found in zip(cells[20:], together, strict=True):
        alone = predict(trained, cell.capacities[:40], cell.features)
        assert alone.end_of_life == found.end_of_life
        assert alone.sd == pytest.approx(found.sd, rel=1e-9)
        assert alone.trajectory == pytest.approx(found.trajectory, rel=1e-9)
        assert alone.trajectory_sd == pytest.approx(found.trajectory_sd, rel=1e-5, abs=1e-12)


def test_order_of_cells_does_not_matter(cells, trained) -> None:
    """With the recurrence over the batch it would."""
    asked = [(cell.capacities[: 40 + 3 * number], cell.features) for number, cell in enumerate(cells[20:24])]
    forward, backward = predict_cells(trained, asked), predict_cells(trained, asked[::-1])
    assert [item.end_of_life for item in forward] == [item.end_of_life for item in backward[::-1]]


def test_order_of_cycles_matters(cells, trained) -> None:
    cell = cells[21]
    seen = [
        Seen(curve / cell.capacities[0], cell.features) for curve in (cell.capacities[:40], cell.capacities[39::-1])
    ]
    there, back = trained.forecast(seen)
    assert abs(there.life - back.life) > 1


def test_trajectory_and_uncertainty(cells, trained) -> None:
    cell = cells[22]
    found = predict(trained, cell.capacities[:40], cell.features)
    assert found.method == "lstm"
    assert len(found.trajectory) == len(found.trajectory_sd) == found.end_of_life
    assert found.trajectory[-1] == pytest.approx(0.8 * cell.capacities[0], rel=0.02)
    assert found.trajectory_sd[:40] == [0.0] * 40
    assert 0 < found.trajectory_sd[41] < found.trajectory_sd[-1]
    assert found.sd > 0
    later = predict(trained, cell.capacities[: cell.end_of_life - 5], cell.features)
    assert later.sd < found.sd


def test_calibrated_on_cells_left_out(trained) -> None:
    assert trained.scale > 0
    assert trained.persistence in (0.0, 0.5, 0.8, 0.95, 1.0)
    assert trained.validation["n_cells"] == 20


@pytest.mark.slow
def test_same_seed_same_model(cells) -> None:
    tiny = {"n_networks": 2, "hidden": 4, "epochs": 3, "n_samples": 4}
    before = torch.random.get_rng_state(), torch.get_num_threads()
    first, second, other = (train_lstm(cells[:10], TASK, seed=seed, **tiny) for seed in (1, 1, 2))
    assert first.to_bytes() == second.to_bytes()
    assert first.to_bytes() != other.to_bytes()
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.get_num_threads()


def test_bytes_and_back(cells, trained) -> None:
    again = load_model(trained.to_bytes())
    assert again.to_bytes() == trained.to_bytes()
    cell = cells[23]
    asked = cell.capacities[:40], cell.features
    assert predict(again, *asked) == predict(trained, *asked)


@pytest.mark.slow
def test_progress_is_reported(cells) -> None:
    said: list[str] = []
    train_lstm(cells[:10], TASK, report=said.append, n_networks=2, hidden=4, epochs=2, n_samples=2)
    assert [sentence.split(":")[0] for sentence in said] == ["network 1 of 2", "network 2 of 2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"depth": 3}, "depth"), ({"n_networks": 1}, "n_networks"), ({"block": 41}, "block"), ({"epochs": 0}, "epochs")],
)
def test_settings_that_make_no_sense(cells, change, words) -> None:
    with pytest.raises(InputError, match=words):
        train_lstm(cells[:10], TASK, **{**SMALL, **change})


def test_blocks() -> None:
    assert to_blocks(np.arange(7.0), 3) == pytest.approx([1.0, 4.0])
    read = read_blocks(np.array([[1.0, 0.9]]), np.array([[5.0]]), 10, 1.0)
    assert read.shape == (1, 2, 4)
    assert read[0, 1] == pytest.approx([0.0, np.log(0.9), np.log(0.2), 5.0])
