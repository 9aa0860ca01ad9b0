"""A materials acceleration platform as an AiiDA plugin.

``from aiida_finales import request, Campaign, graph, from_aiida`` asks for a quantity, runs a campaign, returns what
the data mean, and the data as data frames, from Python.
"""

from __future__ import annotations

from typing import Any

# all but the version are found when they are used (see below), not here
__all__ = ["Campaign", "__version__", "from_aiida", "graph", "request"]

__version__ = "0.1.0"

_HOME = "aiida_finales.entry_points"
_LAZY = {"Campaign": "python", "from_aiida": "dataframes", "graph": "python", "request": "python"}


def __getattr__(name: str) -> Any:
    """Load what is public when it is used: drivers import this package where there is no AiiDA."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"{_HOME}.{_LAZY[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
