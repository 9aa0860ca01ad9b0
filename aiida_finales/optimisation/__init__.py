"""Ask and tell without AiiDA: what to measure next, given what is known and what is under way."""

from aiida_finales.optimisation.problem import Observation, OptimiserSettings, Pending, Problem, Source
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.optimisation.suggest import ask, choose_source, recommend
from aiida_finales.optimisation.suggestion import Recommendation, Suggestion

__all__ = [
    "Observation",
    "OptimiserSettings",
    "Pending",
    "Problem",
    "Recommendation",
    "Source",
    "Suggestion",
    "ask",
    "choose_source",
    "recommend",
    "stop_reason",
]
