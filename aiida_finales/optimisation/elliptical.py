"""Samples from a posterior with a Gaussian prior, without gradients, step sizes or restarts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Width of the bracket, in rad, at which the search on the ellipse stops: the proposal is then the present state.
SMALLEST_BRACKET = 1e-9


def draw_chain(
    log_likelihood: Callable[[Array], float], size: int, n_steps: int, n_starts: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return n_steps states (n_steps x size) of a chain and their log-likelihoods (n_steps).

    The chain starts at the likeliest of the prior mean and n_starts - 1 draws from the prior N(0, 1).
    """
    starts = np.vstack([np.zeros(size), rng.standard_normal((n_starts - 1, size))])
    levels = [log_likelihood(start) for start in starts]
    best = int(np.argmax(levels))
    state, level = starts[best], levels[best]
    chain, heights = np.empty((n_steps, size)), np.empty(n_steps)
    for k in range(n_steps):
        state, level = step_elliptically(log_likelihood, state, level, rng)
        chain[k], heights[k] = state, level
    return chain, heights


def step_elliptically(
    log_likelihood: Callable[[Array], float], state: Array, level: float, rng: np.random.Generator
) -> tuple[Array, float]:
    """Return the next state (shape p) and its log-likelihood by one step of elliptical slice sampling.

    Murray, Adams and MacKay, Elliptical slice sampling, AISTATS 2010 (PMLR 9, 541), figure 2.
    """
    direction = rng.standard_normal(len(state))
    threshold = level + np.log(rng.random())
    angle = rng.uniform(0.0, 2 * np.pi)
    low, high = angle - 2 * np.pi, angle
    while high - low > SMALLEST_BRACKET:
        proposal = state * np.cos(angle) + direction * np.sin(angle)
        height = log_likelihood(proposal)
        if height > threshold:
            return proposal, height
        low, high = (angle, high) if angle < 0 else (low, angle)
        angle = rng.uniform(low, high)
    return state, level
