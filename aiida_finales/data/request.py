"""A request: a quantity, the acceptable methods with their parameters, and who asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.orm.nodes.caching import NodeCaching

from aiida_finales.data.capability import find_active_capability
from aiida_finales.data.nodes import Stored, or_none
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.formulation import find_fractions


class RequestCaching(NodeCaching):
    """A request is never taken from a cache, so no hash of it is kept.

    AiiDA would compute and write one with each request, a sixth of the work of posting it. Processes with requests as
    inputs hash these when they need it.
    """

    def rehash(self) -> None:
        """Keep none."""


class RequestData(orm.Data):
    """What somebody wants to know; immutable. Its status lives with the broker.

    What is looked up is kept under keys of its own: ``temperature`` (K) and ``fractions`` (mole fraction by InChIKey)
    of the first method.

    :param quantity: what is asked for.
    :param parameters: parameters per method: ``{method: {...}}``; the methods are acceptable in this order.
    :param requester: who asks: the UUID of a tenant, the name of a campaign or of a person.
    :param methods: the acceptable methods; default: all keys of ``parameters``, in their order.
    :param parent: UUID of the request that this one is a step of.
    :param made_from: UUIDs of the results that parameters were copied from.
    :param given: mixtures and temperatures as they were said, with the numbers that their conversion needed.
    :param is_sure: numbers that are not to be expected are right.
    :raises SchemaError: when parameters break the schema of their capability; nothing is stored.
    :raises UnknownCapabilityError: when the quantity or a method is not registered.
    :raises InputError: when methods and parameters do not fit together.
    """

    _CLS_NODE_CACHING = RequestCaching

    quantity = Stored(str, "What is asked for.")
    methods = Stored(list, "The acceptable methods, the preferred one first.")
    parameters = Stored(dict, "Parameters per method.")
    requester = Stored(str, "Who asks.")
    parent = Stored(or_none(str), "UUID of the request that this one is a step of.", None)
    made_from = Stored(list, "UUIDs of the results that parameters were copied from.", [])
    given = Stored(dict, "What was given, by its place in the parameters, where it is stored in another form.", {})
    capabilities = Stored(dict, "UUID of the version of the capability each method was checked against.")

    def __init__(  # noqa: PLR0913 - the fields of the node
        self,
        quantity: str,
        parameters: dict[str, dict[str, Any]],
        requester: str = "",
        methods: list[str] | None = None,
        *,
        parent: str | None = None,
        made_from: Iterable[str] = (),
        given: dict[str, Any] | None = None,
        is_sure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        methods = _check_methods(parameters, methods)
        capabilities = [find_active_capability(quantity, method) for method in methods]
        checked = {
            capability.method: capability.validate_parameters(parameters[method])
            for method, capability in zip(methods, capabilities, strict=True)
        }
        for capability in () if is_sure else capabilities:
            capability.demand_no_slip(checked[capability.method])
        first = next(iter(checked.values()))
        temperature = first.get("temperature")
        self.base.attributes.set_many(
            {
                "quantity": capabilities[0].quantity,
                "methods": list(checked),
                "parameters": checked,
                "requester": requester,
                "capabilities": {capability.method: capability.uuid for capability in capabilities},
                "temperature": None if temperature is None else float(temperature),
                "fractions": find_fractions(first),
                "parent": parent,
                "made_from": list(made_from),
                **({"given": given} if given else {}),
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("capabilities", None):
            raise ValidationError("a request is made by RequestData(quantity, parameters, requester)")
        return True


def _check_methods(parameters: dict[str, dict[str, Any]], methods: list[str] | None) -> list[str]:
    if not isinstance(parameters, dict) or not parameters:
        raise InputError(
            f"parameters is {parameters!r}, but accepted is one set of parameters per method: {{method: {{...}}}}"
        )
    if methods is not None and not (isinstance(methods, (list, tuple)) and all(isinstance(it, str) for it in methods)):
        raise InputError(f"methods is {methods!r}, but accepted is a list of names")
    methods = list(parameters) if methods is None else list(methods)
    lacking = [method for method in methods if method not in parameters]
    excess = [method for method in parameters if method not in methods]
    if lacking or excess or not methods:
        raise InputError(
            f"methods are {methods}, but parameters were given for {list(parameters)}: "
            f"each method needs its parameters (lacking: {lacking}) and no others (excess: {excess})"
        )
    return methods
