"""What a tenant is asked to do, what it answers, and what follows from a failure."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiida_finales.exceptions import (
    DeviceFaultError,
    DeviceInputError,
    DeviceLimitationError,
    DeviceUnavailableError,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.names import canonical_capability


@dataclass(frozen=True)
class Order:
    """One request, by one method.

    :param request: UUID of the request.
    :param parameters: those of the method.
    :param key: names the act; the same whenever the same request is served again.
    """

    request: str
    quantity: str
    method: str
    parameters: Json
    key: str

    @classmethod
    def of(cls, info: Json, method: str) -> Order:
        """Return the order in a request as the server lists it."""
        asked = info["request"]
        quantity = asked["quantity"]
        given = {canonical_capability(quantity, name)[1]: value for name, value in asked["parameters"].items()}
        return cls(info["uuid"], quantity, method, given[method], f"{info['uuid']}.{method}")

    @property
    def payload(self) -> Json:
        """What a driver gets as input; the journal tells by it whether a key is used for something else."""
        return {
            "quantity": self.quantity,
            "method": self.method,
            "parameters": self.parameters,
            "request": self.request,
        }


@dataclass(frozen=True)
class Answer:
    """What came of an order.

    :param data: in the published form of the capability.
    :param parameters: those really used, where they differ from those asked for.
    :param simulated: whether the numbers are those of a simulation that stands in for a device.
    """

    data: Json
    parameters: Json | None = None
    simulated: bool = field(default=False, kw_only=True)

    def body(self, order: Order, tenant_uuid: str) -> Json:
        """Return the result as it is posted."""
        return {
            "data": self.data,
            "quantity": order.quantity,
            "method": [order.method],
            "parameters": {order.method: order.parameters if self.parameters is None else self.parameters},
            "tenant_uuid": tenant_uuid,
            "request_uuid": order.request,
            "simulated": self.simulated,
        }


@dataclass(frozen=True)
class Verdict:
    """What is known after a failure.

    :param has_acted: whether it may have acted.
    :param is_final: whether this tenant will never be able to serve the request.
    :param is_away: whether the device is busy or away, so that nothing else should be tried at once.
    """

    has_acted: bool = True
    is_final: bool = False
    is_away: bool = False


#: by class; anything else may have acted
VERDICTS: tuple[tuple[type[Exception], Verdict], ...] = (
    (DeviceInputError, Verdict(has_acted=False, is_final=True)),
    (DeviceLimitationError, Verdict(has_acted=False, is_final=True)),
    (DeviceUnavailableError, Verdict(has_acted=False, is_away=True)),
    (DeviceFaultError, Verdict(has_acted=False)),
)


def judge(error: Exception) -> Verdict:
    """Return what follows from a failure."""
    return next((verdict for kind, verdict in VERDICTS if isinstance(error, kind)), Verdict())
