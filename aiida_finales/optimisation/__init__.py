"""Ask and tell without AiiDA: what to measure next, given what is known and what is under way.

What fits models is loaded when it is used: it takes half a second, and who only lists campaigns fits nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiida_finales.optimisation.objective import Objective
from aiida_finales.optimisation.problem import (
    Category,
    Observation,
    Pending,
    Problem,
    Source,
    Variable,
)
from aiida_finales.optimisation.settings import OptimiserSettings
from aiida_finales.optimisation.stopping import stop_reason
from aiida_finales.optimisation.suggestion import Recommendation, Suggestion

if TYPE_CHECKING:
    from aiida_finales.optimisation.insight import explain, predict
    from aiida_finales.optimisation.narrowing import Constraint, narrow
    from aiida_finales.optimisation.suggest import ask, choose_source, recommend, show_front

#: The room of what is loaded when it is used.
LATE = {
    **dict.fromkeys(("ask", "choose_source", "recommend", "show_front"), "suggest"),
    **dict.fromkeys(("explain", "predict"), "insight"),
    **dict.fromkeys(("Constraint", "narrow"), "narrowing"),
}

__all__ = [
    "Category",
    "Constraint",
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
    "explain",
    "narrow",
    "predict",
    "recommend",
    "show_front",
    "stop_reason",
]


def __getattr__(name: str) -> Any:
    """Load what asks when it is used."""
    if name in LATE:
        module = import_module(f"aiida_finales.optimisation.{LATE[name]}")
        return getattr(module, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
