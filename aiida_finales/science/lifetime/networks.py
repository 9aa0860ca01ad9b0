"""An ensemble of recurrent networks in numpy: what they read, and the paths they take.

Two layers of long short-term memory, then ``relu(join)`` of state and covariates, then mean and raw variance of the
next change. Weights are named and ordered as torch does (``lstm.weight_ih_l0``; gates in, forget, candidate, out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiida_finales.science.array import Array

#: Capacities that the networks read are about 0 within this frame.
MIDDLE, RANGE = 0.9, 0.1
#: Cycles; what tells the networks the time is the logarithm of the cycle over this.
TIME = 100.0
#: Smallest predicted variance, in units of the variance of all changes.
LEAST_VARIANCE = 1e-4
#: Layers of the recurrent part.
N_LAYERS = 2


@dataclass(frozen=True)
class Crossing:
    """Where a path of one cell falls below the threshold.

    :param cycles: last known cycle and centres of the blocks to come.
    """

    cycles: Array
    level: float
    threshold: float
    horizon: float

    def find(self, path: Array) -> float:
        """Return the cycle, between two blocks; the horizon when the path stays above."""
        below = np.flatnonzero(path < self.threshold)
        if not len(below):
            return self.horizon
        n = int(below[0])
        before = path[n - 1] if n else max(self.level, self.threshold)
        share = (before - self.threshold) / max(before - path[n], 1e-12)
        return float(self.cycles[n] + share * (self.cycles[n + 1] - self.cycles[n]))


def stretch(crossing: Crossing, mean: Array, lives: Array, target: tuple[Array, float]) -> Array:
    """Return the mean of the paths, each stretched so that it ends its life with the others."""
    cycles, life = target
    last = crossing.cycles[0]
    paths = []
    for path, own in zip(mean, lives, strict=True):
        moments = last + (cycles - last) * max(own - last, 1.0) / max(life - last, 1.0)
        paths.append(np.interp(moments, crossing.cycles, np.r_[crossing.level, path]))
    return np.asarray(np.mean(paths, axis=0))


def log_spread(lives: Array, sampled: Array) -> float:
    """Return the standard deviation of the logarithm of the life: between networks, and within them by noise.

    :param lives: of the paths without noise, shape ``(networks,)``.
    :param sampled: shape ``(networks, samples)``.
    """
    between = np.log(lives).var(ddof=1) if len(lives) > 1 else 0.0
    return float(np.sqrt(between + np.log(sampled).var(axis=1).mean()))


def to_blocks(curve: Array, block: int) -> Array:
    """Return means over consecutive blocks of cycles; an incomplete last one is left out."""
    n_blocks = len(curve) // block
    return np.asarray(curve[: n_blocks * block].reshape(n_blocks, block).mean(axis=1))


def read_blocks(blocks: Array, covariates: Array, block: int, unit: float) -> Array:
    """Return the inputs of the networks: capacity, its last change, time, covariates.

    :param blocks: shape ``(cells, n)``.
    :param covariates: standardised, shape ``(cells, c)``.
    :returns: shape ``(cells, n, 3 + c)``.
    """
    change = np.diff(np.log(blocks), axis=1, prepend=np.log(blocks[:, :1])) / unit
    time = np.broadcast_to(np.log((np.arange(blocks.shape[1]) + 1) * block / TIME), blocks.shape)
    along = np.stack([(blocks - MIDDLE) / RANGE, change, time], axis=-1)
    return np.concatenate([along, np.repeat(covariates[:, None], blocks.shape[1], axis=1)], axis=-1)


@dataclass(frozen=True)
class Look:
    """What the networks are told beside the capacity while they go on."""

    covariates: Array
    begin: int
    block: int
    unit: float

    def at(self, step: int, capacity: Array, change: Array) -> Array:
        """Return the inputs for a block, shape ``(networks, rows, 3 + c)``; rows are cells times paths."""
        time = np.full(capacity.shape, np.log((self.begin + step + 1) * self.block / TIME))
        along = np.stack([(capacity - MIDDLE) / RANGE, change / self.unit, time], axis=-1)
        n_paths = capacity.shape[1] // len(self.covariates)
        rows = np.repeat(self.covariates, n_paths, axis=0)
        return np.concatenate([along, np.broadcast_to(rows, (len(capacity), *rows.shape))], axis=-1)


#: Hidden and cell state of each layer, shape ``(networks, rows, hidden)``.
State = list[tuple[Array, Array]]


class Network:
    """All networks of an ensemble at once, in numpy: first axis networks, second rows."""

    def __init__(self, weights: Mapping[str, Array], unit: float, largest: float) -> None:
        self.w, self.unit, self.largest = weights, unit, largest
        self.n_hidden = weights["lstm.weight_hh_l0"].shape[2]

    def read(self, inputs: Array) -> State:
        """Return the state after the known blocks, inputs of shape ``(cells, blocks, 3 + c)``."""
        n_networks = len(self.w["lstm.weight_hh_l0"])
        empty = np.zeros((n_networks, len(inputs), self.n_hidden))
        state: State = [(empty, empty)] * N_LAYERS
        for block in range(inputs.shape[1]):
            state = self._step(np.broadcast_to(inputs[:, block], (n_networks, *inputs[:, block].shape)), state)
        return state

    def go_on(self, state: State, last: Array, look: Look, chance: tuple[Array, float]) -> Array:
        """Return paths of shape ``(networks, cells, paths, blocks)``; they are cut when all are below the threshold.

        :param last: last known block of each cell.
        :param chance: noise of shape ``(paths, blocks)``, and the threshold.
        """
        noise, threshold = chance
        n_networks, n_cells, n_paths = len(state[0][0]), len(last), len(noise)
        state = [(np.repeat(h, n_paths, axis=1), np.repeat(c, n_paths, axis=1)) for h, c in state]
        capacity = np.broadcast_to(np.repeat(last, n_paths), (n_networks, n_cells * n_paths))
        lowest, found = capacity, []
        for block in range(noise.shape[1]):
            mean, deviation = self._head(state[-1][0], look.covariates, n_paths)
            change = self.unit * (mean + deviation * np.tile(noise[:, block], n_cells))
            change = np.minimum(change, self.largest)
            capacity = capacity * np.exp(change)
            found.append(capacity)
            lowest = np.minimum(lowest, capacity)
            if (lowest < threshold).all():
                break
            state = self._step(look.at(block, capacity, change), state)
        return np.stack(found, axis=-1).reshape(n_networks, n_cells, n_paths, -1)

    def _step(self, inputs: Array, state: State) -> State:
        """Return the state after one more block."""
        after: State = []
        below = inputs
        for layer, (hidden, memory) in enumerate(state):
            gates = (
                below @ self.w[f"lstm.weight_ih_l{layer}"].transpose(0, 2, 1)
                + hidden @ self.w[f"lstm.weight_hh_l{layer}"].transpose(0, 2, 1)
                + (self.w[f"lstm.bias_ih_l{layer}"] + self.w[f"lstm.bias_hh_l{layer}"])[:, None]
            )
            let_in, forget, candidate, let_out = np.split(gates, 4, axis=-1)
            memory = _sigmoid(forget) * memory + _sigmoid(let_in) * np.tanh(candidate)  # noqa: PLW2901 - the next state
            below = _sigmoid(let_out) * np.tanh(memory)
            after.append((below, memory))
        return after

    def _head(self, hidden: Array, covariates: Array, n_paths: int) -> tuple[Array, Array]:
        """Return mean and standard deviation of the next change, shape ``(networks, rows)``."""
        rows = np.repeat(covariates, n_paths, axis=0)
        joined = np.concatenate([hidden, np.broadcast_to(rows, (len(hidden), *rows.shape))], axis=-1)
        joined = np.maximum(joined @ self.w["join.weight"].transpose(0, 2, 1) + self.w["join.bias"][:, None], 0.0)
        out = joined @ self.w["out.weight"].transpose(0, 2, 1) + self.w["out.bias"][:, None]
        return out[..., 0], np.sqrt(np.logaddexp(0.0, out[..., 1]) + LEAST_VARIANCE)


def _sigmoid(values: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
