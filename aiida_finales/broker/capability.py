"""What this installation can provide by processes of its own: the entry points ``aiida_finales.capabilities``.

Another package adds a capability by registering an object of :class:`Capability` under the name
``<quantity>.<method>``; nothing here needs to change for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import UnknownCapabilityError

GROUP = "aiida_finales.capabilities"

#: what to do when a method failed: give it to a tenant again (the device did not act, or says so itself), ask again
#: after a pause (the device is busy or away), with the same key (it is not known whether it acted; its journal knows),
#: wait for an operator, or give up
Remedy = Literal["retry", "later", "same-key", "operator", "give-up"]

Prepare = Callable[[RequestData, TenantData, dict[str, Any], str], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Capability:
    """A quantity by a method, and how to provide it.

    :param parameters_schema: JSON Schema of the parameters.
    :param result_schema: JSON Schema of the result's data.
    :param prepare: given request, tenant, the tenant's settings and the key, return an AiiDA process and its inputs;
        the process must have an output ``result``. ``None``: nobody here provides it (external tenants, existing data).
    :param default_offer: limitations and constraints of the tenant that ``aiida-finales setup`` registers.
    :param remedies: what to do by exit status of the process; others are given up.
    :param check_settings: given the settings of a tenant, return what people should know, or refuse them.
    :param is_instant: whether its process function takes milliseconds: it is then stored in one transaction, during
        which nobody else writes to SQLite.
    :param after: what follows from a result once it counts (a sample is elsewhere); may be called again.
    """

    quantity: str
    method: str
    summary: str
    parameters_schema: dict[str, Any]
    result_schema: dict[str, Any]
    prepare: Prepare | None = None
    default_offer: Callable[[], dict[str, Any]] | None = None
    remedies: Mapping[int, Remedy] = field(default_factory=dict)
    is_instant: bool = False
    after: Callable[[RequestData, ResultData], None] | None = None
    check_settings: Callable[[dict[str, Any]], list[str]] | None = None

    def demand_prepare(self) -> Prepare:
        """Return the function that prepares the process.

        :raises UnknownCapabilityError: when nobody here provides it, although an internal tenant claims to.
        """
        if self.prepare is None:
            raise UnknownCapabilityError(f"{self.quantity}.{self.method} has no process here: its tenants are external")
        return self.prepare

    def judge_failure(self, exit_status: int | None) -> Remedy:
        """Return what to do about a process that ended with this exit status; ``None``: it excepted or was killed."""
        if exit_status is None:
            return "same-key"
        return self.remedies.get(exit_status, "give-up")


@cache
def load_capabilities() -> dict[tuple[str, str], Capability]:
    """Return all capabilities of all installed packages, by quantity and method."""
    loaded = (point.load() for point in entry_points(group=GROUP))
    return {(capability.quantity, capability.method): capability for capability in loaded}


def load_capability(quantity: str, method: str) -> Capability:
    """Return the capability of an installed package.

    :raises UnknownCapabilityError: naming the ones that are installed.
    """
    installed = load_capabilities()
    if (quantity, method) not in installed:
        names = ", ".join(f"{first}.{second}" for first, second in sorted(installed))
        raise UnknownCapabilityError(f"no installed package provides {quantity}.{method}; installed are {names}")
    return installed[quantity, method]
