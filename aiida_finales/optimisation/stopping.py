"""When a campaign has learned enough, or spent enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiida_finales.optimisation.problem import Problem


def stop_reason(problem: Problem, n_results: Mapping[str, int], gains: Sequence[float | None] = ()) -> str | None:
    """Return in words why a campaign should stop, or ``None`` when it should go on.

    :param n_results: results so far, by name of the source; what is pending does not count.
    :param gains: :attr:`.Suggestion.relative_gain` of the suggestions so far, oldest first; ``None`` (a suggestion
        without a model, or of another source than the target) says nothing either way.
    """
    settings = problem.settings
    total = sum(n_results.values())
    if settings.max_evaluations is not None and total >= settings.max_evaluations:
        made = "1 evaluation was made" if total == 1 else f"{total} evaluations were made"
        return f"{made}, the limit is {settings.max_evaluations}"
    spent = sum(problem.sources[problem.index(name)].cost * number for name, number in n_results.items())
    if settings.budget is not None and spent >= settings.budget:
        return f"the evaluations cost {spent:g}, the budget is {settings.budget:g}"
    return _no_gain(settings.gain_tolerance, settings.gain_patience, gains)


def _no_gain(tolerance: float | None, patience: int, gains: Sequence[float | None]) -> str | None:
    """Return why nothing more is to be expected, or ``None``."""
    last = [gain for gain in gains if gain is not None][-patience:]
    if tolerance is None or len(last) < patience or max(last) >= tolerance:
        return None
    return (
        f"the last {patience} suggestions promised at most {max(last):.2g} of the spread of the values, "
        f"less than the {tolerance:g} that is worth an evaluation"
    )
