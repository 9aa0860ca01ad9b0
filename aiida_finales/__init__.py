"""A materials acceleration platform as an AiiDA plugin.

``from aiida_finales import request, Campaign, graph`` asks for a quantity, runs a campaign, and returns what the data
mean, from Python.
"""

from __future__ import annotations

from typing import Any

# all but the version are found when they are used (see below), not here
__all__ = ["Campaign", "__version__", "graph", "request"]

__version__ = "0.1.0"

_LAZY = ("Campaign", "graph", "request")


def __getattr__(name: str) -> Any:
    """Load what is public when it is used: drivers import this package where there is no AiiDA."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module("aiida_finales.entry_points.python"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
