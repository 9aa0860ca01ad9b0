"""Ask and tell without AiiDA: what to measure next, given what is known and what is under way.

What fits models is loaded when it is used: it takes half a second, and who only lists campaigns fits nothing.
"""

from typing import TYPE_CHECKING, Any

from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import (
    Category,
    Observation,
    OptimiserSettings,
    Pending,
    Problem,
    Source,
    Variable,
)
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.optimisation.suggestion import Recommendation, Suggestion

if TYPE_CHECKING:
    from aiida_finales.optimisation.suggest import ask, choose_source, recommend

__all__ = [
    "Category",
    "Objective",
    "Observation",
    "OptimiserSettings",
    "Pending",
    "Problem",
    "Recommendation",
    "Source",
    "Suggestion",
    "Variable",
    "ask",
    "choose_source",
    "recommend",
    "stop_reason",
]


def __getattr__(name: str) -> Any:
    """Load what asks when it is used."""
    if name in ("ask", "choose_source", "recommend"):
        from aiida_finales.optimisation import suggest

        return getattr(suggest, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
