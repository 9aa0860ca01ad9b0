"""The capacity of a cell, cycle after cycle until the end of its life, by an ensemble of recurrent networks.

Each network reads the capacities of the window, relative to the reference and averaged over blocks of some cycles, and
the standardised covariates of the cell; it says by how much the logarithm of the capacity changes until the next block,
with a variance. Fed with its own answers it goes on until the end of life. The idea is that of L. H. Rieger et al.,
Digital Discovery 2 (2023) 112; their networks read windows that slide over the curve, these keep their state.

**Uncertainty.** The network of each fold never saw the cells of that fold, nor others of their protocols. On these it
is found how strongly the noise of one block goes on in the next (``persistence``), and the factor after which one
standard deviation covers 68 %. What is then predicted combines the noise within each network (aleatoric) and the
difference between networks (epistemic). What lies outside of the known cells is for
:mod:`aiida_finales.science.lifetime.domain`.

torch is needed to train; predictions are computed by :mod:`aiida_finales.science.lifetime.networks` without it, for all
cells, samples and networks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.domain import Domain, Seen
from aiida_finales.science.lifetime.features import CURVE_FEATURES, level
from aiida_finales.science.lifetime.gp import usable_cells
from aiida_finales.science.lifetime.model import (
    CellRecord,
    Forecast,
    Task,
    describe_model,
    forecast_cells,
    pack,
    relative,
)
from aiida_finales.science.lifetime.networks import (
    LEAST_VARIANCE,
    N_LAYERS,
    RANGE,
    Crossing,
    Look,
    Network,
    log_spread,
    read_blocks,
    stretch,
    to_blocks,
)
from aiida_finales.science.lifetime.score import LeftOut, divide, judge_left_out, scale_to_coverage

if TYPE_CHECKING:
    import torch


#: Blocks that the window is divided into.
_BLOCKS = 9
#: The horizon over the longest life that was learned from.
_HORIZON = 2.0
#: Correlations of the noise from block to block that are tried.
_PERSISTENCES = (0.0, 0.5, 0.8, 0.95, 1.0)
#: Relative noise on what the network reads while it learns: it shall not trust its own answers too much either.
_JITTER = 1e-3


@dataclass(frozen=True)
class LstmSettings:
    """How the networks are made.

    :param block: cycles that are averaged; 0: a ninth of the window.
    :param epochs: how often a network sees all cells; it is kept as it was when it did best on its left-out cells.
    :param n_samples: paths per network and cell by which the noise is judged.
    """

    n_networks: int = 5
    hidden: int = 24
    block: int = 0
    epochs: int = 150
    learning_rate: float = 1e-2
    n_samples: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Paths:
    """What networks say about cells: blocks to come, relative capacity.

    :param mean: without noise, shape ``(networks, cells, blocks)``.
    :param samples: with noise, shape ``(networks, cells, samples, blocks)``.
    """

    mean: Array
    samples: Array


@dataclass(frozen=True)
class LstmLifetimeModel:
    """A trained ensemble.

    :param weights: of all networks by name of the parameter, first axis over the networks.
    :param moments: mean and standard deviation of each covariate, shape ``(2, c)``.
    :param unit: of the predicted changes of the logarithm of the capacity.
    :param largest: change per block that was ever seen upwards; a path does not rise faster.
    """

    task: Task
    settings: LstmSettings
    weights: Mapping[str, Array]
    moments: Array
    unit: float
    largest: float
    horizon: int
    domain: Domain
    persistence: float = 0.0
    scale: float = 1.0
    validation: Mapping[str, float] = field(default_factory=dict)

    method = "lstm"

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the names of the features that must come with a cell."""
        return self.task.covariates

    def forecast(self, cells: Sequence[Seen]) -> list[Forecast]:
        """Predict cells within the domain whose end of life is not within the data."""
        # cells of equal length go together: a path begins where its cell ends
        groups: dict[int, list[int]] = {}
        for number, cell in enumerate(cells):
            groups.setdefault(len(cell.relative) // self.settings.block, []).append(number)
        found: dict[int, Forecast] = {}
        for numbers in groups.values():
            paths = self.roll_out([cells[number] for number in numbers])
            for place, number in enumerate(numbers):
                found[number] = self._combine(cells[number], paths.mean[:, place], paths.samples[:, place])
        return [found[number] for number in range(len(cells))]

    def roll_out(self, cells: Sequence[Seen]) -> Paths:
        """Return the paths of cells of which equally many blocks are known."""
        blocks = np.array([to_blocks(cell.relative, self.settings.block) for cell in cells])
        given = np.array([[cell.features[name] for name in self.needs] for cell in cells]).reshape(len(cells), -1)
        covariates = (self.domain.hold(given) - self.moments[0]) / self.moments[1]
        n_blocks = self.horizon // self.settings.block - blocks.shape[1]
        network = Network(self.weights, self.unit, self.largest)
        state = network.read(self._look(blocks, covariates))
        noise = self._noise(len(cells), max(n_blocks, 1))
        last = blocks[:, -1]
        begin = blocks.shape[1]
        look = Look(covariates, begin, self.settings.block, self.unit)
        paths = network.go_on(state, last, look, (noise, self.task.rule.threshold))
        return Paths(paths[:, :, 0], paths[:, :, 1:])

    def _look(self, blocks: Array, covariates: Array) -> Array:
        """Return what the networks read of the known blocks, shape ``(cells, blocks, 3 + c)``."""
        return read_blocks(blocks, covariates, self.settings.block, self.unit)

    def _noise(self, n_cells: int, n_blocks: int) -> Array:
        """Return standard normal noise, shape ``(samples + 1, blocks)``, equal for all cells; the first path has none.

        Equal noise makes the prediction of a cell independent of its company.
        """
        generator = np.random.default_rng([self.settings.seed, 1])
        fresh = generator.standard_normal((self.settings.n_samples, n_blocks))
        noise = np.empty_like(fresh)
        noise[:, 0] = fresh[:, 0]
        for block in range(1, n_blocks):
            noise[:, block] = (
                self.persistence * noise[:, block - 1] + np.sqrt(1 - self.persistence**2) * fresh[:, block]
            )
        return np.vstack([np.zeros(n_blocks), noise])

    def _combine(self, cell: Seen, mean: Array, samples: Array) -> Forecast:
        """Return the forecast of one cell from its paths: the difference of networks and the noise within them."""
        block, first = self.settings.block, self.task.first_cycle
        n_seen = len(cell.relative)
        last = first + n_seen - 1
        centres = first + (n_seen // block) * block + (np.arange(mean.shape[1]) + 0.5) * block - 0.5
        crossing = Crossing(np.r_[last, centres], level(cell.relative), self.task.rule.threshold, float(self.horizon))
        lives = np.array([crossing.find(path) for path in mean])
        # the median: one network that never comes to an end shall not decide
        life = max(float(np.median(lives)), last + 1.0)
        sd = self.scale * life * log_spread(lives, np.array([[crossing.find(path) for path in one] for one in samples]))
        reached = life < self.horizon
        cycles = np.arange(last + 1, (round(life) if reached else self.horizon) + 1, dtype=np.float64)
        path = stretch(crossing, mean, lives, (cycles, life))
        every = np.interp(cycles, centres, samples.reshape(-1, samples.shape[-1]).std(axis=0))
        # the noise of the first block is reached after it, not with the first cycle
        ramp = np.clip((cycles - last) / block, 0.0, 1.0)
        return Forecast(life if reached else float("inf"), sd, path, self.scale * ramp * every)

    def describe(self) -> dict[str, Any]:
        """Return what a node says of it."""
        return describe_model(self)

    def to_bytes(self) -> bytes:
        """Return the model as an ``.npz`` archive."""
        header = {
            "method": self.method,
            "task": asdict(self.task),
            "settings": asdict(self.settings),
            "unit": self.unit,
            "largest": self.largest,
            "horizon": self.horizon,
            "persistence": self.persistence,
            "scale": self.scale,
            "validation": dict(self.validation),
        }
        domain, known = self.domain.to_parts()
        weights = {f"weight:{name}": w for name, w in self.weights.items()}
        return pack({**header, **domain}, {"moments": self.moments, **known, **weights})

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> LstmLifetimeModel:
        """Return the model that :meth:`to_bytes` packed."""
        weights = {name.removeprefix("weight:"): w for name, w in arrays.items() if name.startswith("weight:")}
        rest = {key: item for key, item in header.items() if key not in ("method", "task", "settings", "domain")}
        rest["domain"] = Domain.from_parts(header, arrays)
        task, settings = Task.from_dict(header["task"]), LstmSettings(**header["settings"])
        return cls(task, settings, weights, arrays["moments"], **rest)


def train_lstm(
    cells: Sequence[CellRecord],
    task: Task,
    *,
    report: Callable[[str], None] | None = None,
    **settings: Any,
) -> LstmLifetimeModel:
    """Return an ensemble with calibrated standard deviations; the same cells, settings and seed give the same one.

    :param report: called with a sentence after each network.
    :param settings: see :class:`LstmSettings`.
    :raises InputError: when too few cells can be used, or a setting is not known.
    :raises MissingExtraError: without torch.
    """
    chosen = _check_settings(settings, task)
    usable = usable_cells(cells, replace(task, inputs=task.covariates))
    folds = divide(usable, chosen.n_networks, chosen.seed)
    if len(folds) == 1:
        raise InputError(f"all {len(usable)} cells are of one protocol, accepted are two or more, to judge by one")
    model = _prepare(usable, task, chosen)
    networks = []
    for number, fold in enumerate(folds):
        left_out = [usable[i] for i in fold]
        learned = [cell for i, cell in enumerate(usable) if i not in fold]
        weights, loss = _train_network(learned, left_out, model, chosen.seed + number)
        networks.append(weights)
        if report is not None:
            report(f"network {number + 1} of {len(folds)}: loss on cells left out {loss:.3f}")
    stacked = {name: np.stack([weights[name] for weights in networks]) for name in networks[0]}
    return _calibrate(replace(model, weights=stacked), usable, folds)


def _check_settings(given: Mapping[str, Any], task: Task) -> LstmSettings:
    unknown = sorted(set(given) - set(asdict(LstmSettings())))
    if unknown:
        raise InputError(f"settings {unknown} were given, accepted are {', '.join(asdict(LstmSettings()))}")
    chosen = LstmSettings(**given)
    chosen = replace(chosen, block=chosen.block or max(1, task.n_window // _BLOCKS))
    least = {"n_networks": 2, "hidden": 1, "epochs": 1, "n_samples": 2, "block": 1}
    low = [f"{name} is {getattr(chosen, name)}" for name, bound in least.items() if getattr(chosen, name) < bound]
    if low:
        raise InputError(f"{'; '.join(low)}, accepted are at least {least}")
    if 2 * chosen.block > task.n_window:
        raise InputError(f"block is {chosen.block}, accepted is up to {task.n_window // 2}, half of the window")
    return chosen


def _prepare(cells: Sequence[CellRecord], task: Task, settings: LstmSettings) -> LstmLifetimeModel:
    """Return a model without networks: what is standardised by which numbers."""
    features = np.array([[cell.features[name] for name in task.covariates] for cell in cells]).reshape(len(cells), -1)
    deviation = features.std(axis=0)
    moments = np.array([features.mean(axis=0), np.where(deviation > 0, deviation, 1.0)])
    begin = task.n_window // settings.block
    changes = np.concatenate([np.diff(np.log(_lifetime(cell, task, settings)))[begin - 1 :] for cell in cells])
    horizon = round(_HORIZON * max(cell.end_of_life or 0 for cell in cells))
    unit = max(float(np.sqrt(np.mean(changes**2))), 1e-9)
    domain = _domain(cells, task)
    return LstmLifetimeModel(task, settings, {}, moments, unit, max(float(changes.max()), 0.0), horizon, domain)


def _domain(cells: Sequence[CellRecord], task: Task) -> Domain:
    """Return the domain; the networks read the whole curve, which its features stand for."""
    return Domain.of_cells([cell.see(task) for cell in cells], (*task.covariates, *CURVE_FEATURES), task.n_window)


def _lifetime(cell: CellRecord, task: Task, settings: LstmSettings) -> Array:
    """Return the blocks of a cell until shortly after its end of life: what comes later does not matter."""
    blocks = to_blocks(relative(cell.capacities, task.rule), settings.block)
    return blocks[: (cell.end_of_life or 0) // settings.block + 3]


def _train_network(
    learned: Sequence[CellRecord], left_out: Sequence[CellRecord], model: LstmLifetimeModel, seed: int
) -> tuple[dict[str, Array], float]:
    """Return the weights of one network and its loss on the cells left out, where that was lowest."""
    torch = _import_torch()
    n_threads = torch.get_num_threads()
    # several threads on small matrices cost more than they bring, and much more on a busy machine
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _descend(learned, left_out, model)
    finally:
        torch.set_num_threads(n_threads)


def _descend(
    learned: Sequence[CellRecord], left_out: Sequence[CellRecord], model: LstmLifetimeModel
) -> tuple[dict[str, Array], float]:
    torch = _import_torch()
    settings = model.settings
    network = _make_network(settings.hidden, len(model.task.covariates))
    batch, check = _make_batch(learned, model), _make_batch(left_out, model)
    optimiser = torch.optim.Adam(network.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    best, kept = float("inf"), {name: weight.clone() for name, weight in network.state_dict().items()}
    for _ in range(settings.epochs):
        inputs = batch[0].clone()
        inputs[..., 0] += _JITTER / RANGE * torch.randn(len(inputs), 1)
        optimiser.zero_grad()
        _loss(network, inputs, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            loss = float(_loss(network, check[0], check))
        if loss < best:
            best, kept = loss, {name: weight.clone() for name, weight in network.state_dict().items()}
    return {name: weight.numpy().astype(np.float64) for name, weight in kept.items()}, best


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("optimise", "training recurrent networks") from error
    return torch


def _make_network(n_hidden: int, n_covariates: int) -> torch.nn.ModuleDict:
    from torch import nn

    return nn.ModuleDict(
        {
            "lstm": nn.LSTM(3 + n_covariates, n_hidden, N_LAYERS, batch_first=True),
            "join": nn.Linear(n_hidden + n_covariates, n_hidden),
            "out": nn.Linear(n_hidden, 2),
        }
    )


#: Inputs ``(cells, blocks, 3 + c)``, next changes ``(cells, blocks)`` and weights of the same shape.
_Batch = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]


def _make_batch(cells: Sequence[CellRecord], model: LstmLifetimeModel) -> _Batch:
    """Return all cells side by side; each has the same weight, whatever its life."""
    torch = _import_torch()
    settings, task = model.settings, model.task
    curves = [_lifetime(cell, task, settings) for cell in cells]
    longest, begin = max(map(len, curves)), task.n_window // settings.block
    padded = np.array([np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves])
    features = np.array([[cell.features[name] for name in task.covariates] for cell in cells]).reshape(len(cells), -1)
    inputs = read_blocks(padded, (features - model.moments[0]) / model.moments[1], settings.block, model.unit)
    changes = np.diff(np.log(padded), axis=1) / model.unit
    known = np.zeros(changes.shape)
    for row, curve in zip(known, curves, strict=True):
        row[begin - 1 : len(curve) - 1] = 1.0 / max(len(curve) - begin, 1)
    first, second, third = (torch.tensor(item, dtype=torch.float32) for item in (inputs[:, :-1], changes, known))
    return first, second, third


def _loss(network: torch.nn.ModuleDict, inputs: torch.Tensor, batch: _Batch) -> torch.Tensor:
    """Return the mean negative logarithm of the likelihood of the next changes."""
    import torch

    hidden, _ = network["lstm"](inputs)
    joined = torch.relu(network["join"](torch.cat([hidden, inputs[..., 3:]], dim=-1)))
    mean, raw = network["out"](joined).unbind(dim=-1)
    variance = torch.nn.functional.softplus(raw) + LEAST_VARIANCE
    each = 0.5 * (torch.log(variance) + (batch[1] - mean) ** 2 / variance)
    loss: torch.Tensor = (each * batch[2]).sum() / batch[2].sum()
    return loss


def _calibrate(
    model: LstmLifetimeModel, cells: Sequence[CellRecord], folds: Sequence[Sequence[int]]
) -> LstmLifetimeModel:
    """Return the model with the persistence of the noise and the scale that the cells left out call for."""
    tried = []
    for persistence in _PERSISTENCES:
        left_out = _judge(replace(model, persistence=persistence), cells, folds)
        scale = scale_to_coverage(np.array([item.error / item.sd for item in left_out]))
        tried.append((abs(np.log(max(scale, 1e-9))), persistence, scale, left_out))
    # the noise whose spread is nearly right by itself
    _, persistence, scale, left_out = min(tried, key=lambda item: item[:2])
    return replace(model, persistence=persistence, scale=scale, validation=judge_left_out(left_out))


def _judge(model: LstmLifetimeModel, cells: Sequence[CellRecord], folds: Sequence[Sequence[int]]) -> list[LeftOut]:
    """Return each cell as the network predicts it that does not know it."""
    found = []
    for number, fold in enumerate(folds):
        known = [cell for i, cell in enumerate(cells) if i not in fold]
        seen = [cells[i].see(model.task) for i in fold]
        weights = {name: weight[number : number + 1] for name, weight in model.weights.items()}
        together = replace(model, scale=1.0, domain=_domain(known, model.task))
        single = replace(together, weights=weights)
        constant = float(np.median([cell.end_of_life or 0 for cell in known]))
        pairs = zip(forecast_cells(single, seen), forecast_cells(together, seen), strict=True)
        for i, (alone, both) in zip(fold, pairs, strict=True):
            true = float(cells[i].end_of_life or 0)
            error = abs(min(alone.life, float(model.horizon)) - true)
            # with the difference between networks, part of which have seen the cell
            found.append(LeftOut(true, error, max(alone.sd, both.sd, 1e-9), constant))
    return found
