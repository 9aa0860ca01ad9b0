"""What a source is asked for: how much each candidate is worth, and the best of them."""

from __future__ import annotations

import numpy as np

from aiida_finales.optimisation.acquisition import (
    Acquisition,
    NoisyExpectedImprovement,
    NoisyHypervolumeImprovement,
    ScalarImprovement,
    Separated,
    Together,
    VarianceReduction,
    draw_optima,
)
from aiida_finales.optimisation.search import Candidates, search
from aiida_finales.optimisation.study import Parts, Study
from aiida_finales.science.array import Array


def find_candidates(
    study: Study, parts: Parts, source: int, rng: np.random.Generator
) -> tuple[Acquisition, Candidates]:
    """Return what a source is asked for, and the candidates for it.

    A target is asked for better values, another source for what it tells about the targets.
    """
    settings = study.problem.settings
    if source not in study.targets:
        acquisition = variance_reduction(study, parts, source, rng)
        separated = Separated(acquisition, study.pending_at(source), study.separation(source), study.coordinates)
        return acquisition, search(separated, study.spaces[source], study.x, settings, rng)
    space, under_way = study.target_space, np.vstack([study.pending_at(target) for target in study.targets])
    baseline = study.complete()
    if settings.engine == "botorch":
        return _search_with_botorch(study, parts, source, rng)
    improvement = _improvement(study, parts, _baseline(study, parts, baseline, rng), rng)
    separated = Separated(improvement, under_way, study.separation(source), study.coordinates)
    return improvement, search(separated, space, study.x, settings, rng)


def _search_with_botorch(
    study: Study, parts: Parts, source: int, rng: np.random.Generator
) -> tuple[Acquisition, Candidates]:
    """Return the same by BoTorch; its gradients climb in the composition, where nothing else varies."""
    from aiida_finales.optimisation import botorch_engine

    space, under_way = study.target_space, np.vstack([study.pending_at(target) for target in study.targets])
    done = study.complete(with_pending=False)
    known = done if len(done) else _baseline(study, parts, study.complete(), rng)
    climbing: botorch_engine.LogNoisyExpectedImprovement
    if study.is_plain:
        climbing = botorch_engine.LogNoisyExpectedImprovement(parts[0][0], study.coordinates, known, under_way, rng)
    else:
        climbing = botorch_engine.LogNoisyHypervolumeImprovement(
            parts, study.optimised, study.coordinates, (known, under_way), rng
        )
    separated = Separated(climbing, under_way, study.separation(source), study.coordinates)
    if len(study.problem.variables) + len(study.problem.categories):
        return climbing, search(separated, space, study.x, study.problem.settings, rng)
    return climbing, botorch_engine.search_with_gradients(climbing, separated, space, study.problem.settings.n_raw, rng)


def _improvement(study: Study, parts: Parts, baseline: Array, rng: np.random.Generator) -> Acquisition:
    """Return by how much a point is expected to improve upon those of a baseline (b x d)."""
    if study.is_plain:
        return NoisyExpectedImprovement(parts[0][0], study.coordinates, baseline, rng)
    if study.problem.settings.scalarise and len(study.optimised) > 1:
        return ScalarImprovement(parts, study.optimised, study.coordinates, baseline, rng)
    return NoisyHypervolumeImprovement(parts, study.optimised, study.coordinates, baseline, rng)


def variance_reduction(study: Study, parts: Parts, source: int, rng: np.random.Generator) -> Acquisition:
    """Return what a source tells about the likely optima, summed over the objectives that it measures."""
    drawn, _ = study.target_space.sample(study.problem.settings.n_paths, rng)
    paths = np.vstack([drawn, study.complete(with_pending=False)])
    best = draw_optima(parts, study.optimised, study.coordinates, paths, rng)
    measured = study.problem.measures(study.problem.sources[source])
    told = [
        VarianceReduction(surrogate, study.coordinates, source, paths, best, study.pending_points(k))
        for k, (surrogate, _) in enumerate(parts)
        if study.problem.objectives[k].name in measured
    ]
    return told[0] if len(told) == 1 else Together(told)


def _baseline(study: Study, parts: Parts, known: Array, rng: np.random.Generator) -> Array:
    """Return the points (b x d) to improve upon: those of the targets, or where all is expected to be best."""
    if len(known):
        return known
    return search(study.merit(parts), study.target_space, study.x, study.problem.settings, rng).points[:1]
