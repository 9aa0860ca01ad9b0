"""The feed-forward networks of the published generator: torch trains them, numpy predicts.

``network_pca`` reads the electrodes reduced to principal axes, as published. ``network_embedding`` learns, with the
lives, what of the properties matters, three numbers of the positive and two of the negative electrode, and must be
able to give the properties back: the encoder and decoder that the authors propose.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import MissingExtraError
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import PROPERTIES
from aiida_finales.science.lifetime.generator.learners import IS_ELECTRODE, PERCENTS, Encoder, Lesson

if TYPE_CHECKING:
    import torch

#: numbers that each electrode is reduced to by a learned embedding
EMBEDDED = {"positive": 3, "negative": 2}
_HIDDEN, _INNER = 32, 8
_STEPS, _RATE = 400, 1e-2
#: how strongly weights are drawn to nothing: a learned embedding needs more of it, by protocols left out
_DECAY = {"network_pca": 1e-3, "network_embedding": 1.0}
#: what giving the properties back counts beside the lives
_GIVE_BACK = 0.1
#: middle and half range of the per cents
_MIDDLE, _RANGE = 80.0, 20.0


@dataclass(frozen=True)
class Network:
    """A network of three layers.

    :param layers: weights and biases in turn, flat; :param sizes: of each layer.
    :param mean: of the logarithms; :param spread: their standard deviation.
    :param embedding: weights of the encoders, flat; empty where the principal axes are read.
    """

    layers: Array
    sizes: Array
    mean: Array
    spread: Array
    embedding: Array

    def predict(self, numbers: Array, encoder: Encoder) -> Array:
        """Return logarithms of the cycle, shape ``(n, 40)``."""
        points = self._read(numbers, encoder)
        level = (PERCENTS - _MIDDLE) / _RANGE
        state = np.column_stack([np.repeat(points, len(level), axis=0), np.tile(level, len(points))])
        parts = _unflatten(self.layers, [int(size) for size in self.sizes])
        for number, (weight, bias) in enumerate(parts):
            state = state @ weight.T + bias
            state = np.tanh(state) if number < len(parts) - 1 else state
        return np.asarray(state.reshape(-1, len(level)) * float(self.spread[0]) + float(self.mean[0]))

    def _read(self, numbers: Array, encoder: Encoder) -> Array:
        if not len(self.embedding):
            return encoder.points(numbers)
        scaled = encoder.standardise(numbers)
        begin, read = 0, [scaled[:, ~IS_ELECTRODE]]
        for place, size in enumerate(EMBEDDED.values()):
            sizes = [len(PROPERTIES), _INNER, size]
            n_weights = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
            (first, second) = _unflatten(self.embedding[begin : begin + n_weights], sizes)
            own = scaled[:, IS_ELECTRODE][:, place * len(PROPERTIES) : (place + 1) * len(PROPERTIES)]
            read.append(np.tanh(own @ first[0].T + first[1]) @ second[0].T + second[1])
            begin += n_weights
        return np.column_stack(read)

    def to_arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""
        return {name: getattr(self, name) for name in ("layers", "sizes", "mean", "spread", "embedding")}


def _unflatten(values: Array, sizes: list[int]) -> list[tuple[Array, Array]]:
    """Return weights, shape ``(out, in)``, and biases of each layer."""
    parts, begin = [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        weight = values[begin : begin + n_in * n_out].reshape(n_out, n_in)
        bias = values[begin + n_in * n_out : begin + (n_in + 1) * n_out]
        parts.append((weight, bias))
        begin += (n_in + 1) * n_out
    return parts


def learn_network_pca(lesson: Lesson) -> Network:
    """Return the network that reads the principal axes of the electrodes.

    :raises MissingExtraError: when torch is not installed.
    """
    return _learn(lesson, has_embedding=False)


def learn_network_embedding(lesson: Lesson) -> Network:
    """Return the network that learns what of the electrodes matters.

    :raises MissingExtraError: when torch is not installed.
    """
    return _learn(lesson, has_embedding=True)


def _learn(lesson: Lesson, *, has_embedding: bool) -> Network:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("lifetime", "training networks") from error
    generator = torch.get_rng_state()
    torch.manual_seed(lesson.seed)
    try:
        return _train(lesson, torch, has_embedding=has_embedding)
    finally:
        torch.set_rng_state(generator)


def _train(lesson: Lesson, torch: Any, *, has_embedding: bool) -> Network:
    cell, level = np.nonzero(np.isfinite(lesson.logs))
    logs = lesson.logs[cell, level]
    weight = np.asarray(1.0 / np.isfinite(lesson.logs).sum(axis=1)[cell], dtype=np.float64)
    mean, spread = float(np.average(logs, weights=weight)), float(max(logs.std(), 1e-6))
    scaled = lesson.encoder.standardise(lesson.numbers)
    sides = np.split(scaled[:, IS_ELECTRODE], 2, axis=1)
    plain = scaled[:, ~IS_ELECTRODE] if has_embedding else lesson.encoder.points(lesson.numbers)
    encoders = [_make(torch, [len(PROPERTIES), _INNER, size]) for size in EMBEDDED.values()] if has_embedding else []
    decoders = [_make(torch, [size, _INNER, len(PROPERTIES)]) for size in EMBEDDED.values()] if has_embedding else []
    sizes = [plain.shape[1] + (sum(EMBEDDED.values()) if has_embedding else 0) + 1, _HIDDEN, _HIDDEN, 1]
    network = _make(torch, sizes)

    def tensor(values: Any) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float64)

    known, given = tensor(plain), [tensor(side) for side in sides]
    wanted, weights = tensor((logs - mean) / spread), tensor(weight / weight.sum())
    height = tensor(np.asarray((PERCENTS - _MIDDLE) / _RANGE, dtype=float)[level])[:, None]
    of_cell = torch.as_tensor(cell)
    learned = [item for part in (network, *encoders, *decoders) for item in part.parameters()]
    decay = _DECAY["network_embedding" if has_embedding else "network_pca"]
    optimiser = torch.optim.AdamW(learned, lr=_RATE, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    for _ in range(_STEPS):
        codes = [part(side) for part, side in zip(encoders, given, strict=False)]
        said = network(torch.cat([torch.cat([known, *codes], dim=1)[of_cell], height], dim=1))[:, 0]
        loss = (weights * torch.nn.functional.smooth_l1_loss(said, wanted, reduction="none")).sum()
        for part, code, side in zip(decoders, codes, given, strict=False):
            loss = loss + _GIVE_BACK * torch.mean((part(code) - side) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Network(
        _flatten([network]), np.array(sizes, dtype=np.float64), np.array([mean]), np.array([spread]), _flatten(encoders)
    )


def _make(torch: Any, sizes: list[int]) -> Any:
    layers: list[Any] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out, dtype=torch.float64), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def _flatten(parts: list[Any]) -> Array:
    values = [item.detach().numpy().ravel() for part in parts for item in part.parameters()]
    return np.concatenate(values).astype(np.float64) if values else np.empty(0)
