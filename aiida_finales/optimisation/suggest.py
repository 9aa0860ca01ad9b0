"""One step of an optimisation: from what is known and what is under way to what to ask next.

A pure function: the same problem, rows, step and source give the same suggestion, whatever the order of the rows,
whatever ran before, and however many threads there are. On another processor it is the same within
:data:`.SAME_COMPOSITION`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_finales.exceptions import FitError, OptimiserError, UsedUpError
from aiida_finales.optimisation.acquisition import ExpectedGain, Together
from aiida_finales.optimisation.front import describe_front
from aiida_finales.optimisation.objective import require
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.scale import learn_scales
from aiida_finales.optimisation.search import Candidates, derive_seed, place_initial, search
from aiida_finales.optimisation.space import DesignSpace
from aiida_finales.optimisation.study import Parts, Study
from aiida_finales.optimisation.suggestion import (
    Candidate,
    ModelState,
    Prediction,
    Recommendation,
    Suggestion,
    describe_environment,
)
from aiida_finales.optimisation.surrogate import ONE_THREAD, Surrogate
from aiida_finales.optimisation.worth import find_candidates, variance_reduction
from aiida_finales.schemas import Json
from aiida_finales.schemas.words import count
from aiida_finales.science.array import Array

#: Space-filling points tried before a space counts as used up.
MAX_TRIES = 100


def ask(
    problem: Problem, observations: Sequence[Observation], pending: Sequence[Pending], source: str, step: int
) -> Suggestion:
    """Return what to ask of a source next.

    :param observations: the results that count, of all sources, in any order.
    :param pending: all requests without an answer, of all sources, in any order.
    :param source: name of the source that can take a request.
    :param step: number of the suggestion within the campaign; a new number gives a new suggestion.
    :raises InputError: when a row does not fit the problem, or the source can do nothing.
    :raises UsedUpError: when all that the source can do is known or pending, and replicates are not allowed.
    :raises MissingExtraError: when the engine of the settings is not installed.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(ONE_THREAD):
        suggestion = _answer(learn_scales(Study.of_rows(problem, observations, pending)), source, step)
    timing = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return replace(suggestion, environment=describe_environment(), timing=timing)


def recommend(problem: Problem, observations: Sequence[Observation]) -> Recommendation:
    """Return the compositions at which the target is expected to be best, given what is known.

    :raises FitError: when the model cannot be fitted.
    :raises OptimiserError: when nothing is known.
    """
    study = learn_scales(Study.of_rows(problem, observations, ()))
    check_known(study)
    rng = np.random.default_rng(derive_seed(problem.settings.seed, len(observations), "recommend"))
    with threadpool_limits(ONE_THREAD):
        return study.recommend(study.fit_all(study.target, rng), rng)


def show_front(problem: Problem, observations: Sequence[Observation]) -> Json:
    """Return what several objectives are traded for, given what is known; see :attr:`.Suggestion.front`.

    :raises InputError: when there is one objective.
    :raises FitError: when a model cannot be fitted.
    :raises OptimiserError: when of some objective nothing is known.
    """
    require("objectives", [item.name for item in problem.optimised], len(problem.optimised) > 1, "at least two")
    study = learn_scales(Study.of_rows(problem, observations, ()))
    check_known(study)
    rng = np.random.default_rng(derive_seed(problem.settings.seed, len(observations), "front"))
    with threadpool_limits(ONE_THREAD):
        return describe_front(study, study.fit_all(study.target, rng), rng)


def check_known(study: Study) -> None:
    """Refuse to say anything of an objective of which there is no result.

    :raises OptimiserError: when there is one.
    """
    unknown = [o.name for o, t in zip(study.problem.objectives, study.trainings, strict=True) if not t.uuids]
    if unknown:
        of_what = f" of {' and '.join(unknown)}" if len(study.trainings) > 1 else ""
        raise OptimiserError(f"nothing can be recommended without a single result{of_what}")


def choose_source(
    problem: Problem,
    observations: Sequence[Observation],
    pending: Sequence[Pending],
    step: int,
    choices: Sequence[str] = (),
) -> str:
    """Return the name of the source whose next answer is worth most for its cost.

    Worth is the variance that the best placed measurement removes from the comparison of likely optima (see
    :class:`.VarianceReduction`). Targets are asked together, and cost as much. Before there is a model, it is the turn
    of the source with the fewest rows.

    :param choices: names of those that can be asked; none: all.
    :raises InputError: when a row does not fit the problem, or it has no source of that name.
    :raises UsedUpError: when none has anything left to be asked.
    """
    study = learn_scales(Study.of_rows(problem, observations, pending))
    given = [problem.index(name) for name in choices] or list(range(len(problem.sources)))
    numbers = [number for number in given if not _is_used_up(study, number)]
    if not numbers:
        raise UsedUpError(_tell_used_up(problem.sources[number].name for number in given))
    if _initial_reason(study):
        return problem.sources[min(numbers, key=lambda number: len(study.occupied(number)))].name
    rng = np.random.default_rng(derive_seed(problem.settings.seed, step, "choose"))
    first = next((number for number in numbers if number in study.targets), None)
    worth = {}
    with threadpool_limits(ONE_THREAD):
        for number in (number for number in numbers if number == first or number not in study.targets):
            together = study.targets if number == first else (number,)
            try:
                parts = study.fit_all(number, rng)
            except FitError:
                return problem.sources[numbers[0]].name  # the suggestion says why
            told = Together([variance_reduction(study, parts, one, rng) for one in together])
            best = search(told, _space_of(study, number), study.x, problem.settings, rng)
            worth[number] = best.values[0] - np.log(sum(problem.sources[one].cost for one in together))
    return problem.sources[max(worth, key=lambda number: worth[number])].name


def is_used_up(problem: Problem, observations: Sequence[Observation], pending: Sequence[Pending], source: str) -> bool:
    """Return whether all that a source can do is known or pending; never where something varies continuously.

    :raises InputError: when a row does not fit the problem, or it has no source of that name.
    """
    return _is_used_up(Study.of_rows(problem, observations, pending), problem.index(source))


def _answer(study: Study, source: str, step: int) -> Suggestion:
    """Return the suggestion without environment and timing."""
    number = study.problem.index(source)
    reason = _initial_reason(study)
    if reason:
        return replace(_fill_space(study, number, step, reason), is_initial=True)
    try:
        return _use_model(study, number, step)
    except FitError as error:
        return replace(_fill_space(study, number, step, f"the model failed: {error}"), is_fallback=True)


def _initial_reason(study: Study) -> str | None:
    """Return why the model is not used yet, or ``None``."""
    n_initial = study.problem.settings.n_initial
    wanted = 5 + len(study.problem.components) if n_initial is None else n_initial
    if study.n_known < wanted:
        return f"{study.n_known} of {wanted} initial evaluations were made or are under way"
    if not study.results:
        return f"no result yet of {count(study.n_known, 'evaluation')}"
    unknown = [o.name for o, t in zip(study.problem.objectives, study.trainings, strict=True) if not t.uuids]
    return f"there is no result of {' and '.join(unknown)} yet" if unknown else None


def _fill_space(study: Study, source: int, step: int, reason: str) -> Suggestion:
    """Return the next point of the space-filling sequence of a source; of all targets together, if it is one."""
    settings, name = study.problem.settings, study.problem.sources[source].name
    space = _space_of(study, source)
    # targets that are asked together have one sequence
    sequence = study.problem.targets[0] if source in study.targets else name
    seeds = (derive_seed(settings.seed, attempt) if attempt else settings.seed for attempt in range(MAX_TRIES))
    placed = (place_initial(space, seed, sequence, step) for seed in seeds)
    # by chance the last of a few points is not met
    for place in chain(placed, space.list_points()):
        point, is_rounded = space.round(place)
        if settings.allow_replicates or _is_new(study, point, source):
            return Suggestion(
                **_describe_place(study, point, source),
                step=step,
                seed=derive_seed(settings.seed, step, name),
                acquisition="space filling",
                reason=reason,
                training=study.training,
                pending=study.pending,
                is_rounded=is_rounded,
            )
    raise UsedUpError(_tell_used_up([name]))


def _space_of(study: Study, source: int) -> DesignSpace:
    """Return where a source may be asked: targets are asked together."""
    return study.target_space if source in study.targets else study.spaces[source]


def _is_used_up(study: Study, source: int) -> bool:
    """Return whether a source has a few points that can be asked for, and all of them are known or pending."""
    if study.problem.settings.allow_replicates:
        return False
    space = _space_of(study, source)
    points = [space.round(place)[0] for place in space.list_points()]
    return bool(points) and not any(_is_new(study, point, source) for point in points)


def _tell_used_up(names: Iterable[str]) -> str:
    words = " and ".join(repr(name) for name in names)
    return f"all that source {words} can do is known or pending, and replicates are not allowed"


def _is_new(study: Study, point: Array, source: int) -> bool:
    """Return whether a point may be asked for: some target is missing there, or the source that is no target."""
    return bool(study.missing(point)) if source in study.targets else not study.is_occupied(point, source)


def _describe_place(study: Study, point: Array, source: int) -> dict[str, Any]:
    """Return where a suggestion asks, and whom."""
    x, category = study.problem.decode(point.tolist())
    name, asks = study.problem.sources[source].name, tuple[str, ...]()
    if source in study.targets:
        asks = study.missing(point) or study.problem.targets
    is_replicate = not _is_new(study, point, source)
    return {"x": x, "category": category, "source": name, "asks": asks, "is_replicate": is_replicate}


def _use_model(study: Study, source: int, step: int) -> Suggestion:
    """Return the composition that maximises the acquisition of a source.

    :raises FitError: when the model cannot be fitted or gives nothing new.
    """
    settings, name = study.problem.settings, study.problem.sources[source].name
    seed = derive_seed(settings.seed, step, name)
    rng = np.random.default_rng(seed)
    parts = study.fit_all(source, rng)
    acquisition, candidates = find_candidates(study, parts, source, rng)
    space = _space_of(study, source)
    point, is_rounded = _first_new(study, candidates, source, space)
    value = float(acquisition(point[None])[0])
    recommendation = study.recommend(parts, rng)
    predictions = study.predict_targets(parts, point)
    is_many = len(study.problem.objectives) > 1
    names = [objective.name for objective in study.problem.objectives]
    return Suggestion(
        **_describe_place(study, point, source),
        step=step,
        seed=seed,
        acquisition=type(acquisition).__name__,
        reason=f"best of {len(candidates.points)} candidates",
        training=study.training,
        pending=study.pending,
        predicted=_predict_source(study, parts, point, source),
        value=value,
        candidates=tuple(_list_candidates(study, candidates.spread(settings.n_listed))),
        recommendation=recommendation,
        model=_describe_model(study, parts[0][0], source, 0),
        **_describe_gain(study, value, source, recommendation),
        is_rounded=is_rounded,
        predictions=predictions,
        probability_feasible=_probability_feasible(study, parts, point),
        front=describe_front(study, parts, rng) if len(study.optimised) > 1 else None,
        trainings=dict(zip(names, study.trainings, strict=True)) if is_many else None,
        models={name: _describe_model(study, parts[k][0], source, k) for k, name in enumerate(names)}
        if is_many
        else None,
    )


def _predict_source(study: Study, parts: Parts, point: Array, source: int) -> Prediction:
    """Return what is expected of the source asked: of the first objective that it measures."""
    measured = study.problem.measures(study.problem.sources[source])
    number = next(k for k, objective in enumerate(study.problem.objectives) if objective.name in measured)
    return study.predict(parts[number][0], point, source, number)


def _describe_gain(study: Study, value: float, source: int, recommendation: Recommendation) -> dict[str, Any]:
    """Return the expected gain in the unit of the quantity, and in units of the spread of the values."""
    if source not in study.targets:
        return {"expected_gain": None, "relative_gain": None}
    relative, wanted = float(np.exp(value)), study.problem.objectives[study.optimised[0]]
    if len(study.optimised) > 1 and study.problem.settings.scalarise:
        return {"expected_gain": None, "relative_gain": relative}  # of one number that has no unit
    units = [abs(study.trainings[k].scale if study.is_plain else study.gained(k)[1]) for k in study.optimised]
    own = relative * float(np.prod(units))
    if len(study.optimised) == 1 and (wanted.scale if study.is_plain else wanted.transform) == "log":
        own = (10**own - 1) * recommendation.overall.mean  # over what is recommended
    return {"expected_gain": own, "relative_gain": relative}


def _probability_feasible(study: Study, parts: Parts, point: Array) -> float | None:
    """Return the probability that all limits hold at a point, or ``None`` where there are none."""
    if not any(objective.is_limited for objective in study.problem.objectives):
        return None
    return float(ExpectedGain(parts, study.optimised, study.coordinates).gains(point[None])[1][0])


def _list_candidates(study: Study, listed: Candidates) -> Iterator[Candidate]:
    for point, value in zip(listed.points.tolist(), listed.values.tolist(), strict=True):
        x, category = study.problem.decode(point)
        yield Candidate(x, value, category)


def _first_new(study: Study, candidates: Candidates, source: int, space: DesignSpace) -> tuple[Array, bool]:
    """Return the best candidate, in whole steps, that may be asked for, and whether it is in whole steps.

    Candidates too close to what is under way come last, but before giving up.
    """
    for candidate in candidates.points:
        point, is_rounded = space.round(candidate)
        if study.problem.settings.allow_replicates or _is_new(study, point, source):
            return point, is_rounded
    msg = f"all {len(candidates.points)} candidates are known or pending"
    raise FitError(msg)


def _describe_model(study: Study, surrogate: Surrogate, source: int, objective: int) -> ModelState:
    asked = source if source in surrogate.kernel.sources else surrogate.kernel.target
    return ModelState(
        name="mixture of multi-source Gaussian processes",
        engine=study.problem.settings.engine,
        kernel=study.problem.settings.kernel,
        names=surrogate.kernel.names,
        samples=tuple(tuple(process.theta.tolist()) for process in surrogate.processes),
        log_likelihoods=surrogate.log_likelihoods,
        noise_sd=surrogate.noise(asked) * abs(study.trainings[objective].scale),
    )
