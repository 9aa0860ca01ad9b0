"""One step of an optimisation: from what is known and what is under way to what to ask next.

A pure function: the same problem, rows, step and source give the same suggestion, whatever the order of the rows,
whatever ran before, and however many threads there are. On another processor it is the same within
:data:`.SAME_COMPOSITION`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from aiida_finales.exceptions import FitError, OptimiserError
from aiida_finales.optimisation.acquisition import (
    Acquisition,
    NoisyExpectedImprovement,
    PosteriorMean,
    Separated,
    VarianceReduction,
)
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.search import Candidates, derive_seed, place_initial, search
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.suggestion import (
    Candidate,
    ModelState,
    Recommendation,
    Suggestion,
    describe_environment,
)
from aiida_finales.optimisation.surrogate import Surrogate
from aiida_finales.science.array import Array

#: Threads of the linear algebra: more of them add in another order, are no quicker at these sizes, and disturb others.
ONE_THREAD = 1
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
    :raises OptimiserError: when all that the source can do is known or pending, and replicates are not allowed.
    :raises MissingExtraError: when the engine of the settings is not installed.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(ONE_THREAD):
        suggestion = _answer(Study.of_rows(problem, observations, pending), source, step)
    timing = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return replace(suggestion, environment=describe_environment(), timing=timing)


def recommend(problem: Problem, observations: Sequence[Observation]) -> Recommendation:
    """Return the compositions at which the target is expected to be best, given what is known.

    :raises FitError: when the model cannot be fitted.
    :raises OptimiserError: when nothing is known.
    """
    study = Study.of_rows(problem, observations, ())
    if not study.training.uuids:
        raise OptimiserError("nothing can be recommended without a single result")
    rng = np.random.default_rng(derive_seed(problem.settings.seed, len(observations), "recommend"))
    with threadpool_limits(ONE_THREAD):
        return study.recommend(study.fit(study.target, rng), rng)


def choose_source(problem: Problem, observations: Sequence[Observation], pending: Sequence[Pending], step: int) -> str:
    """Return the name of the source whose next answer is worth most for its cost.

    Worth is the variance that the best placed measurement removes from the comparison of likely optima (see
    :class:`.VarianceReduction`). Before there is a model, it is the turn of the source with the fewest rows.
    """
    study = Study.of_rows(problem, observations, pending)
    names = [source.name for source in problem.sources]
    if _initial_reason(study):
        return min(names, key=lambda name: len(study.occupied(problem.index(name))))
    rng = np.random.default_rng(derive_seed(problem.settings.seed, step, "choose"))
    worth = {}
    for source in problem.sources:
        surrogate = study.fit(problem.index(source.name), rng)
        acquisition = _variance_reduction(study, surrogate, problem.index(source.name), rng)
        space = study.spaces[problem.index(source.name)]
        best = search(acquisition, space, study.x, problem.settings, rng).values[0]
        worth[source.name] = best - np.log(source.cost)
    return max(names, key=lambda name: worth[name])


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
    return None if study.training.uuids else f"none of {study.n_known} evaluations has a result yet"


def _fill_space(study: Study, source: int, step: int, reason: str) -> Suggestion:
    """Return the next point of the space-filling sequence of a source."""
    settings, name = study.problem.settings, study.problem.sources[source].name
    for attempt in range(MAX_TRIES):
        seed = settings.seed if attempt == 0 else derive_seed(settings.seed, attempt)
        point, is_rounded = study.spaces[source].round(place_initial(study.spaces[source], seed, name, step))
        is_replicate = study.is_occupied(point, source)
        if settings.allow_replicates or not is_replicate:
            return Suggestion(
                tuple(point.tolist()),
                name,
                step,
                derive_seed(settings.seed, step, name),
                "space filling",
                reason,
                study.training,
                study.pending,
                is_replicate=is_replicate,
                is_rounded=is_rounded,
            )
    msg = f"all that source {name!r} can do is known or pending, and replicates are not allowed"
    raise OptimiserError(msg)


def _use_model(study: Study, source: int, step: int) -> Suggestion:
    """Return the composition that maximises the acquisition of a source.

    :raises FitError: when the model cannot be fitted or gives nothing new.
    """
    settings, name = study.problem.settings, study.problem.sources[source].name
    seed = derive_seed(settings.seed, step, name)
    rng = np.random.default_rng(seed)
    surrogate = study.fit(source, rng)
    acquisition, candidates = _search(study, surrogate, source, rng)
    point, is_rounded = _first_new(study, candidates, source)
    value = float(acquisition(point[None])[0])
    gain = float(np.exp(value)) if source == study.target else None
    listed = candidates.spread(settings.n_listed)
    return Suggestion(
        tuple(point.tolist()),
        name,
        step,
        seed,
        type(acquisition).__name__,
        f"best of {len(candidates.points)} candidates",
        study.training,
        study.pending,
        predicted=study.predict(surrogate, point, source),
        value=value,
        candidates=tuple(
            Candidate(tuple(x), v) for x, v in zip(listed.points.tolist(), listed.values.tolist(), strict=True)
        ),
        recommendation=study.recommend(surrogate, rng),
        model=_describe_model(study, surrogate, source),
        expected_gain=None if gain is None else gain * abs(study.training.scale),
        relative_gain=gain,
        is_replicate=study.is_occupied(point, source),
        is_rounded=is_rounded,
    )


def _first_new(study: Study, candidates: Candidates, source: int) -> tuple[Array, bool]:
    """Return the best candidate, in whole steps, that may be asked for, and whether it is in whole steps.

    Candidates too close to what is under way come last, but before giving up.
    """
    for candidate in candidates.points:
        point, is_rounded = study.spaces[source].round(candidate)
        if study.problem.settings.allow_replicates or not study.is_occupied(point, source):
            return point, is_rounded
    msg = f"all {len(candidates.points)} candidates are known or pending"
    raise FitError(msg)


def _search(
    study: Study, surrogate: Surrogate, source: int, rng: np.random.Generator
) -> tuple[Acquisition, Candidates]:
    """Return what a source is asked for, and the candidates for it.

    The target is asked for a better value, another source for what it tells about the target.
    """
    space, settings = study.spaces[source], study.problem.settings
    acquisition: Acquisition
    if source == study.target and settings.engine == "botorch":
        from aiida_finales.optimisation.botorch_engine import LogNoisyExpectedImprovement, search_with_gradients

        done, under_way = study.evaluated(source), study.pending_at(source)
        baseline = done if len(done) else _baseline(study, surrogate, rng)
        climbing = LogNoisyExpectedImprovement(surrogate, study.coordinates, baseline, under_way, rng)
        separated = Separated(climbing, under_way, study.separation(source))
        return climbing, search_with_gradients(climbing, separated, space, settings.n_raw, rng)
    if source == study.target:
        baseline = _baseline(study, surrogate, rng)
        acquisition = NoisyExpectedImprovement(surrogate, study.coordinates, baseline, rng)
    else:
        acquisition = _variance_reduction(study, surrogate, source, rng)
    separated = Separated(acquisition, study.pending_at(source), study.separation(source))
    return acquisition, search(separated, space, study.x, settings, rng)


def _variance_reduction(study: Study, surrogate: Surrogate, source: int, rng: np.random.Generator) -> VarianceReduction:
    drawn, _ = study.spaces[study.target].sample(study.problem.settings.n_paths, rng)
    paths = np.vstack([drawn, study.evaluated(study.target)])
    return VarianceReduction(surrogate, study.coordinates, source, paths, study.pending_points(), rng)


def _baseline(study: Study, surrogate: Surrogate, rng: np.random.Generator) -> Array:
    """Return the compositions (b x d) to improve upon: those of the target, or where it is expected to be best."""
    own = study.occupied(study.target)
    if len(own):
        return own
    space, settings = study.spaces[study.target], study.problem.settings
    return search(PosteriorMean(surrogate, study.coordinates), space, study.x, settings, rng).points[:1]


def _describe_model(study: Study, surrogate: Surrogate, source: int) -> ModelState:
    return ModelState(
        name="mixture of multi-source Gaussian processes",
        engine=study.problem.settings.engine,
        kernel=study.problem.settings.kernel,
        names=surrogate.kernel.names,
        samples=tuple(tuple(process.theta.tolist()) for process in surrogate.processes),
        log_likelihoods=surrogate.log_likelihoods,
        noise_sd=surrogate.noise(source) * abs(study.training.scale),
    )
