"""What several objectives are traded for: the front that was measured, and the one that the model predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aiida_finales.optimisation.acquisition import ExpectedGain
from aiida_finales.optimisation.hypervolume import dominated_volume, is_on_front, spread_out
from aiida_finales.optimisation.sampled import draw_values
from aiida_finales.optimisation.search import SCALES
from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.optimisation.study import SAME_PLACE, Parts, Study
from aiida_finales.optimisation.transform import to_natural_value
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

#: Points that are refined in each round of the search for a front, and neighbours of each that are looked at.
N_PARENTS, N_CHILDREN = 60, 8
#: Probability of holding all limits below which a point is not on the predicted front.
LIKELY = 0.5
#: Antithetic pairs of joint samples from which the volume is estimated, of each hyperparameter sample.
N_PAIRS = 2


def describe_front(study: Study, parts: Parts, rng: np.random.Generator) -> Json:
    """Return what a suggestion says of the front; see :class:`.Suggestion`.

    The volume is in the product of the units of the objectives (of their decadic logarithms where they are modelled).
    """
    mean, sd = _estimate_volume(study, parts, rng)
    points = find_front(study, parts, rng)
    predicted: list[Json] = []
    for point in points:
        x, category = study.problem.decode(point.tolist())
        told = study.predict_targets(parts, point)
        values = {name: _numbers(prediction) for name, prediction in told.items()}
        predicted.append({"x": x, **({"category": category} if category else {}), "values": values})
    merit = ExpectedGain(parts, study.optimised, study.coordinates)
    gains = merit.likely_gains(points)[0] if predicted else np.empty((0, len(study.optimised)))
    return {
        "measured": list_measured(study),
        "predicted": _mark_preferred(study.problem.settings, predicted, gains),
        "reference": {
            wanted.name: to_natural_value(wanted.transform, study.reference(k))
            for k, wanted in enumerate(study.problem.objectives)
            if k in study.optimised
        },
        "hypervolume": mean,
        "hypervolume_sd": sd,
    }


def _mark_preferred(settings: OptimiserSettings, points: Sequence[Json], gains: Array) -> tuple[Json, ...]:
    """Return points of a front with a mark at the one that fixed weights prefer; weights of each step prefer none.

    :param gains: shape n x m; the smallest weighted gain is counted from the best of these points.
    """
    if settings.scalarise is None or not settings.weights or not points:
        return tuple(points)
    weighted = np.array(settings.weights) * (gains - gains.max(axis=0))
    best = int((weighted.sum(axis=1) if settings.scalarise == "weights" else weighted.min(axis=1)).argmax())
    return tuple({**point, "is_preferred": True} if k == best else point for k, point in enumerate(points))


def _numbers(prediction: Any) -> dict[str, float]:
    numbers = {key: getattr(prediction, key) for key in ("mean", "sd", "low", "high")}
    return {key: value for key, value in numbers.items() if value is not None}


def list_measured(study: Study) -> tuple[Json, ...]:
    """Return the points measured by every target that no other one beats, and that hold all limits as measured."""
    objectives = study.problem.objectives
    answers, gains, usable = [], [], []
    first = objectives[0]
    for number, row in enumerate(study.results):
        if row.source != first.target or first.name not in study.problem.values(row):
            continue
        rows = [_find_answer(study, k, number) for k in range(len(objectives))]
        if any(found is None for found in rows):
            continue
        found = [study.results[index] for index in rows if index is not None]
        values = [study.problem.values(row)[wanted.name] for row, wanted in zip(found, objectives, strict=True)]
        aims = [study.aim(k) for k in range(len(objectives))]
        scaled = [(value - t.offset) / t.scale for value, t in zip(values, study.trainings, strict=True)]
        usable.append(all(bool(aim.is_usable(np.array(value))) for aim, value in zip(aims, scaled, strict=True)))
        gains.append([float(aims[k].gain(np.array(scaled[k]))) for k in study.optimised])
        natural = {wanted.name: wanted.to_natural(value) for wanted, value in zip(objectives, values, strict=True)}
        category = {"category": dict(row.category)} if row.category else {}
        uuids = tuple(dict.fromkeys(item.uuid for item in found))
        answers.append({"x": row.x, **category, "values": natural, "uuids": uuids})
    kept = [k for k, is_usable in enumerate(usable) if is_usable]
    told = np.array([gains[k] for k in kept]).reshape(len(kept), len(study.optimised))
    best = is_on_front(told)
    on_front = [answers[k] for k, is_best in zip(kept, best, strict=True) if is_best]
    return _mark_preferred(study.problem.settings, on_front, told[best])


def _find_answer(study: Study, objective: int, number: int) -> int | None:
    """Return the number of the result of an objective's target at the place of a result, or ``None``."""
    wanted = study.problem.objectives[objective]
    own = study.results[number]
    if own.source == wanted.target and wanted.name in study.problem.values(own):
        return number
    gaps = study.coordinates.gaps(study.x[number][None], study.x)[0]
    near = [
        (float(gaps[k]), k)
        for k, row in enumerate(study.results)
        if row.source == wanted.target and gaps[k] <= SAME_PLACE and wanted.name in study.problem.values(row)
    ]
    return min(near)[1] if near else None


def find_front(study: Study, parts: Parts, rng: np.random.Generator) -> Array:
    """Return the points of the predicted front, in the order of the first objective: what is likely, not measured.

    None, where no point is as likely as not to hold all limits. What is worse than a reference that was given is of no
    use, and not on it while anything is of use. Points fill the space, its faces, edges and corners; those on the front
    get neighbours, ever closer.
    """
    space, settings = study.target_space, study.problem.settings
    merit = ExpectedGain(parts, study.optimised, study.coordinates)
    drawn = [space.sample(settings.n_raw, rng), space.on_faces(max(settings.n_faces, N_PARENTS), rng)]
    if len(study.x):
        drawn.append(space.admit(study.x))
    points, labels = (np.concatenate(items) for items in zip(*drawn, strict=True))
    gains, usable = merit.likely_gains(points)
    n_parents = max(N_PARENTS, settings.n_front)
    for scale in SCALES:
        points, labels, gains, usable = (item[_keep(gains, usable)] for item in (points, labels, gains, usable))
        chosen = np.repeat(spread_out(gains, n_parents), N_CHILDREN)
        children = space.perturb(points[chosen], labels[chosen], scale, rng, stays_on_faces=True)
        more, their_usable = merit.likely_gains(children)
        points, labels = np.vstack([points, children]), np.concatenate([labels, labels[chosen]])
        gains, usable = np.vstack([gains, more]), np.concatenate([usable, their_usable])
    kept = _keep(gains, usable)
    kept = kept[usable[kept] >= LIKELY]
    given = [study.problem.objectives[k].reference is not None for k in study.optimised]
    worth = kept[(gains[kept][:, given] > 0).all(axis=1)]
    kept = worth if len(worth) else kept
    points, gains = points[kept], gains[kept]
    if len(points) == 0:
        return np.empty((0, points.shape[1]))
    best = spread_out(gains, settings.n_front)
    rounded = np.array([space.round(point)[0] for point in points[best]])
    return np.asarray(rounded[np.argsort(-gains[best][:, 0].round(6), kind="stable")])


def _keep(gains: Array, usable: Array) -> Any:
    """Return the numbers of the points on the front of those that are likely to hold all limits."""
    likely = usable >= min(LIKELY, float(usable.max(initial=0.0)))
    numbers = np.flatnonzero(likely)
    return numbers[is_on_front(gains[numbers].round(9))]


def _estimate_volume(study: Study, parts: Parts, rng: np.random.Generator) -> tuple[float, float]:
    """Return mean and standard deviation of the volume that the measured points truly dominate."""
    baseline = study.complete(with_pending=False)
    if len(baseline) == 0:
        return 0.0, 0.0
    unit = float(np.prod([abs(study.gained(k)[1]) for k in study.optimised]))
    volumes = []
    for number in range(study.problem.settings.n_hyper_samples):
        samples = []
        for surrogate, _ in parts:
            process, points = surrogate.processes[number], study.points(baseline, surrogate.kernel.target)
            half = rng.standard_normal((len(baseline), N_PAIRS))
            samples.append(draw_values(process, points, np.hstack([half, -half])))
        usable = np.logical_and.reduce([aim.is_usable(values) for (_, aim), values in zip(parts, samples, strict=True)])
        over = [parts[k][1].gain(samples[k]) - parts[k][1].reference for k in study.optimised]
        gains = np.stack(over, axis=2)
        volumes += [unit * dominated_volume(gains[usable[:, s], s]) for s in range(gains.shape[1])]
    return float(np.mean(volumes)), float(np.std(volumes))
