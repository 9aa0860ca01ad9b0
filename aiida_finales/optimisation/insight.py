"""What a model says to a person: what to expect somewhere, what each input does, and how far to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.scale import learn_scales
from aiida_finales.optimisation.search import derive_seed
from aiida_finales.optimisation.study import Parts, Study
from aiida_finales.optimisation.suggest import check_known
from aiida_finales.optimisation.suggestion import Prediction, to_lists
from aiida_finales.optimisation.surrogate import ONE_THREAD
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label
from aiida_finales.science.array import Array

#: Levels of an input, and points over which its effect is averaged.
N_LEVELS, N_AVERAGED = 11, 64
#: Half the width of a 95 % interval in standard deviations.
INTERVAL = 1.96
#: Results named as speaking against the model, and the standardised residual from which one does.
N_NAMED, UNLIKELY = 5, 2.0


def predict(
    problem: Problem,
    observations: Sequence[Observation],
    places: Sequence[tuple[Sequence[float], Mapping[str, str]]],
) -> dict[str, list[Prediction]]:
    """Return what the target of each objective would give at each place, noise aside, in the natural units.

    :param places: fractions and variables, and the option of each category.
    :raises InputError: when a row or a place does not fit the problem.
    :raises OptimiserError: when nothing is known.
    """
    study, parts = _fit(problem, observations)
    rows = [Pending(problem.target, tuple(x), f"place {k}", category) for k, (x, category) in enumerate(places)]
    Study.of_rows(problem, (), rows)  # refuses what does not fit
    with threadpool_limits(ONE_THREAD):
        told = [study.predict_targets(parts, np.array(problem.encode(row))) for row in rows]
    return {objective.name: [item[objective.name] for item in told] for objective in problem.objectives}


def explain(problem: Problem, observations: Sequence[Observation]) -> dict[str, Json]:
    """Return of each objective, by its name, what its model has learned and how far to believe it.

    ``effects``: of each component, variable and category, ``levels`` with ``mean``, ``low`` and ``high``: what the
    target gives on average over the space when the input is there, with its 95 % interval (partial dependence; the
    other components keep their proportions). ``range``: how far the mean goes. ``left_out``: each result predicted
    from all others: root mean square ``error``, its ratio ``error_to_spread`` to the spread of the values, and
    ``coverage``, the share of results within the 95 % interval. ``against``: results that are the least expected.
    ``noise``: by source, on the ``scale`` of the model: ``log`` is of decades.

    :raises OptimiserError: when nothing is known.
    """
    study, parts = _fit(problem, observations)
    rng = np.random.default_rng(derive_seed(problem.settings.seed, "explain"))
    with threadpool_limits(ONE_THREAD):
        places, _ = study.target_space.sample(N_AVERAGED, rng)
        answer: dict[str, Json] = to_lists(
            {
                objective.name: {
                    "effects": _list_effects(study, parts, number, places),
                    **_judge(study, parts, number),
                    "noise": _list_noise(study, parts, number),
                    "scale": objective.scale,
                }
                for number, objective in enumerate(study.problem.objectives)
            }
        )
    return answer


def _fit(problem: Problem, observations: Sequence[Observation]) -> tuple[Study, Parts]:
    study = learn_scales(Study.of_rows(problem, observations, ()))
    check_known(study)
    rng = np.random.default_rng(derive_seed(problem.settings.seed, len(observations), "explain"))
    with threadpool_limits(ONE_THREAD):
        return study, study.fit_all(study.target, rng)


def _list_effects(study: Study, parts: Parts, objective: int, places: Array) -> list[Json]:
    """Return the effect of each input on an objective, the strongest first."""
    effects: list[Json] = []
    for name, levels in _list_levels(study, places):
        told: list[Json] = []
        for level, moved in levels:
            mean, low, high = _average(study, parts, objective, moved)
            told.append({"level": level, "mean": mean, "low": low, "high": high})
        means = [float(entry["mean"]) for entry in told]
        effects.append({"name": name, "levels": told, "range": max(means) - min(means)})
    return sorted(effects, key=lambda effect: -float(effect["range"]))


def _list_levels(study: Study, places: Array) -> Iterator[tuple[str, list[tuple[Any, Array]]]]:
    """Yield the name of each input, and its levels with the places moved there."""
    problem, corners, d = study.problem, study.target_space.corners, len(study.problem.components)
    alone = [k for k in range(d) if not any(k in group for group in problem.groups)]
    names = [*(f"amount of {name}" for name in problem.one_of), *(problem.components[k] for k in alone)]
    for name, group in zip(names, (*problem.groups, *((k,) for k in alone)), strict=True):
        amounts = corners[:, list(group)].sum(axis=1)
        levels = np.linspace(amounts.min(), amounts.max(), N_LEVELS).tolist()
        yield name, [(level, _dilute(places, group, d, level)) for level in levels]
    for name, group in zip(problem.one_of, problem.groups, strict=True):
        yield name, [(chemical_label(problem.components[k]), _exchange(places, group, k)) for k in group]
    ranges = [np.linspace(low, high, N_LEVELS).tolist() for low, high in study.target_space.box]
    for k, (variable, levels) in enumerate(zip(problem.variables, ranges, strict=True), start=d):
        yield variable.name, [(level, _set(places, k, level)) for level in levels]
    choices = zip(problem.categories, study.target_space.choices.T.tolist(), strict=True)
    for k, (category, codes) in enumerate(choices, start=d + len(problem.variables)):
        yield category.name, [(category.options[round(code)], _set(places, k, code)) for code in sorted(set(codes))]


def _dilute(places: Array, group: Sequence[int], d: int, level: float) -> Array:
    """Return places with so much of a group of components; it and the other components keep their proportions."""
    moved, chosen = places.copy(), list(group)
    others = [k for k in range(d) if k not in group]
    amount = moved[:, chosen].sum(axis=1, keepdims=True)
    shares = np.where(amount > 0, moved[:, chosen] / np.maximum(amount, 1e-12), np.eye(len(chosen))[0])
    moved[:, others] *= (1 - level) / np.maximum(moved[:, others].sum(axis=1, keepdims=True), 1e-12)
    moved[:, chosen] = level * shares
    return moved


def _exchange(places: Array, group: Sequence[int], chosen: int) -> Array:
    """Return places with one component of a group instead of the one that is there."""
    moved = places.copy()
    moved[:, list(group)] = 0.0
    return _set(moved, chosen, places[:, list(group)].sum(axis=1))


def _set(places: Array, column: int, level: Any) -> Array:
    moved = places.copy()
    moved[:, column] = level
    return moved


def _average(study: Study, parts: Parts, objective: int, places: Array) -> tuple[float, float, float]:
    """Return mean and 95 % interval, in the natural unit, of the average over places."""
    surrogate, _ = parts[objective]
    points, means, variances = study.points(places, surrogate.kernel.target), [], []
    for process in surrogate.processes:
        mean, w = process.predict(points)
        means.append(mean.mean())
        variances.append(max(float(process.covariance(points, w, points, w).mean()), 0.0))
    centre, sd = float(np.mean(means)), float(np.sqrt(np.mean(variances) + np.var(means)))
    training, wanted = study.trainings[objective], study.problem.objectives[objective]
    ends = [training.offset + training.scale * (centre + shift * sd) for shift in (0.0, -INTERVAL, INTERVAL)]
    natural = [wanted.to_natural(value) for value in ends]
    return natural[0], min(natural), max(natural)


def _judge(study: Study, parts: Parts, objective: int) -> dict[str, Any]:
    """Return what results say that were left out of the model one by one."""
    surrogate, _ = parts[objective]
    mean, sd = surrogate.leave_out()
    training, wanted = study.trainings[objective], study.problem.objectives[objective]
    values = surrogate.processes[0].values
    residuals = (values - mean) / sd
    expected = [wanted.to_natural(training.offset + training.scale * value) for value in mean]
    given = [wanted.to_natural(value) for value in training.y]
    worst = [k for k in np.argsort(-np.abs(residuals), kind="stable")[:N_NAMED] if abs(residuals[k]) >= UNLIKELY]
    names = [source.name for source in study.problem.sources]
    return {
        "left_out": {
            "error": float(np.sqrt(np.mean((np.array(expected) - given) ** 2))),
            "error_to_spread": float(np.sqrt(np.mean((values - mean) ** 2)) / max(float(values.std()), 1e-12)),
            "coverage": float((np.abs(residuals) < INTERVAL).mean()),
            "n": len(values),
        },
        "against": [
            {
                "uuid": training.uuids[k],
                "source": names[training.sources[k]],
                "value": given[k],
                "expected": expected[k],
                "residual": float(residuals[k] * np.sign(training.scale)),
            }
            for k in worst
        ],
    }


def _list_noise(study: Study, parts: Parts, objective: int) -> dict[str, float]:
    """Return the standard deviation of one measurement of each source that has results, on the scale of the model."""
    surrogate, scale = parts[objective][0], abs(study.trainings[objective].scale)
    present = sorted(set(study.trainings[objective].sources))
    return {study.problem.sources[k].name: surrogate.noise(k) * scale for k in present}
