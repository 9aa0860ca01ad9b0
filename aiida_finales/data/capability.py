"""A capability: a quantity by a method, with the JSON schemas of its parameters and of its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidJsonSchema

from aiida_finales.data.active import ACTIVE, REGISTERED_HERE, StoredNode, list_active, read_stored
from aiida_finales.data.nodes import Stored
from aiida_finales.exceptions import ImplausibleError, SchemaError, UnknownCapabilityError
from aiida_finales.schemas import Json
from aiida_finales.schemas.defects import Defect
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.schemas.formulation import find_formulation
from aiida_finales.schemas.plausibility import Finding as Implausible
from aiida_finales.schemas.plausibility import (
    find_disproportions,
    find_implausible,
    is_beside,
    is_of_water,
    list_numbers,
)
from aiida_finales.schemas.registry import (
    SCHEMAS,
    Verdict,
    canonical_capability,
    check_json_schema,
    judge_result,
    validate_parameters,
)


@dataclass(frozen=True)
class CapabilityVersion:
    """What one version of a capability says, without its node; do not change the schemas.

    :param uuid: of the node.
    :param parameters_schema: JSON Schema (draft 2020-12) of the parameters.
    :param result_schema: JSON Schema of the result's data.
    :param version: counts from 1 for each (quantity, method).
    """

    uuid: str
    quantity: str
    method: str
    parameters_schema: dict[str, Any]
    result_schema: dict[str, Any]
    version: int

    @classmethod
    def from_stored(cls, node: StoredNode) -> CapabilityVersion:
        """Return what a stored node says."""
        return cls(node.uuid, **node.attributes)

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters with canonical words, or refuse them.

        :raises SchemaError: naming the JSON path, what was given and what is accepted, for each defect.
        """
        if self._is_known:
            parameters = validate_parameters(self.quantity, self.method, parameters)
        errors = self._check_more(self.parameters_schema, parameters_json_schema, parameters)
        if errors:
            raise SchemaError(f"parameters of {self.quantity}/{self.method}", errors)
        return parameters

    def demand_no_slip(self, parameters: dict[str, Any]) -> None:
        """Refuse parameters with a number that is not to be expected, but would be in another unit.

        :raises ImplausibleError: naming the JSON path, what was given and the unit that it looks like, for each.
        """
        found = [item for item in find_implausible(self.parameters_schema, parameters) if item.slips]
        found += self._compare(self.parameters_schema, parameters, parameters)
        if found:
            raise ImplausibleError(f"parameters of {self.quantity}/{self.method}", [item.defect for item in found])

    def find_implausible(self, data: dict[str, Any], parameters: dict[str, Any]) -> list[Defect]:
        """Return the numbers of a result that are not to be expected; of the parameters only what the data do not say.

        They are no breach of the schema: who has looked at them may say that they are right.
        """
        hits = find_implausible(self.result_schema, data) + self._compare(self.result_schema, data, parameters)
        mixture = find_formulation(data) or find_formulation(parameters) or ()
        hits = [item for item in hits if not is_of_water(item, mixture)]
        found = [item.defect for item in hits]
        told = {(defect["given"], defect["accepted"]) for defect in found}
        used = [item.defect for item in find_implausible(self.parameters_schema, parameters)]
        more = [{**defect, "path": f"parameters.{defect['path']}"} for defect in used]
        return found + [defect for defect in more if (defect["given"], defect["accepted"]) not in told]

    def _compare(self, schema: Json, document: Any, parameters: dict[str, Any]) -> list[Implausible]:
        """Return currents and capacities that do not fit the cell; of the parameters all but the capacity itself."""
        if "capacity" not in parameters:
            return []
        numbers = list_numbers(schema, document, ("ampere", "ampere_hour"))
        return find_disproportions(parameters, [item for item in numbers if item.location != ("capacity",)])

    def is_beside(self, defect: Defect) -> bool:
        """Return whether a number that is not to be expected is in another quantity than this one, told beside it."""
        return is_beside(self.result_schema, self.quantity, defect)

    def demand_result(self, data: dict[str, Any], parameters: dict[str, Any], *, is_sure: bool = False) -> None:
        """Refuse a result that is not as the capability promises, or has numbers that are not to be expected.

        :param is_sure: who hands it in has looked at them and says that they are right.
        :raises SchemaError: naming the JSON path, what was given and what is accepted, for each defect.
        :raises ImplausibleError: the same of each number that is not to be expected.
        """
        self.judge_result(data, parameters, strict=True)
        errors = [] if is_sure else self.find_implausible(data, parameters)
        if errors:
            raise ImplausibleError(f"result of {self.quantity}/{self.method} is not plausible", errors)

    def judge_result(self, data: dict[str, Any], parameters: dict[str, Any], *, strict: bool = False) -> Verdict:
        """Return whether a result's data are as the capability promises, with the defects.

        :param strict: raise instead of returning defects.
        :raises SchemaError: when strict, naming the JSON path, what was given and what is accepted, for each defect.
        """
        errors = judge_result(self.quantity, self.method, data, parameters).errors if self._is_known else []
        told = {error["path"] for error in errors}
        more = self._check_more(self.result_schema, result_json_schema, data)
        errors += [error for error in more if error["path"] not in told]
        if strict and errors:
            raise SchemaError(f"result of {self.quantity}/{self.method}", errors)
        return Verdict(valid=not errors, errors=errors)

    @property
    def _is_known(self) -> bool:
        return (self.quantity, self.method) in SCHEMAS

    def _check_more(self, stored: Json, publish: Callable[[str, str], Json], document: Json) -> list[Defect]:
        """Return what is wrong by a stored schema; none where it is the registered model's, which was asked before."""
        if self._is_known and stored == publish(self.quantity, self.method):
            return []
        return check_json_schema(stored, document)


@cache
def _find_fault(schema: str) -> str:
    """Return why a text is no JSON Schema, empty if it is one; once for each, as it takes longer than all else."""
    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except InvalidJsonSchema as error:
        return str(error.message)
    return ""


class CapabilityData(orm.Data):
    """One version of a capability; only one version is active at a time, old requests keep the one they were made for.

    :param quantity: what is asked for, e.g. ``conductivity``.
    :param method: a way to provide it, e.g. ``two_electrode``.
    :param parameters_schema: JSON Schema (draft 2020-12) of the parameters.
    :param result_schema: JSON Schema of the result's data.
    :param version: counts from 1 for each (quantity, method).
    """

    quantity = Stored(str, "What is asked for.")
    method = Stored(str, "A way to provide it.")
    version = Stored(int, "The version, from 1.")
    parameters_schema = Stored(dict, "JSON Schema of the parameters.")
    result_schema = Stored(dict, "JSON Schema of the result's data.")

    def __init__(
        self,
        quantity: str,
        method: str,
        *,
        parameters_schema: dict[str, Any],
        result_schema: dict[str, Any],
        version: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.base.attributes.set_many(
            {
                "quantity": quantity,
                "method": method,
                "parameters_schema": parameters_schema,
                "result_schema": result_schema,
                "version": version,
            }
        )

    def _validate(self) -> bool:
        super()._validate()
        for key in ("quantity", "method"):
            name = self.base.attributes.get(key, None)
            if not isinstance(name, str) or not name.isidentifier():
                raise ValidationError(f"{key} is {name!r}, but accepted are letters, digits and underscores")
        for key in ("parameters_schema", "result_schema"):
            if words := _find_fault(json.dumps(self.base.attributes.get(key, None), sort_keys=True)):
                raise ValidationError(f"{key} is no JSON Schema (draft 2020-12): {words}")
        return True

    @property
    def is_active(self) -> bool:
        """Whether new requests may use this version."""
        return bool(self.base.extras.get(ACTIVE, False))

    @property
    def content(self) -> CapabilityVersion:
        """What this version says."""
        return CapabilityVersion(self.uuid, **self.base.attributes.all)


def find_capability(quantity: str, method: str, version: int | None = None) -> CapabilityData:
    """Return the active version of a capability, or the version asked for of those that were registered here.

    :raises UnknownCapabilityError: naming what was given and what is registered.
    """
    quantity, method = canonical_capability(quantity, method)
    filters: dict[str, Any] = {"attributes.quantity": quantity, "attributes.method": method}
    if version is None:
        filters[f"extras.{ACTIVE}"] = True
    else:
        filters |= {"attributes.version": version, **REGISTERED_HERE}
    query = (
        orm.QueryBuilder()
        .append(CapabilityData, subclassing=False, filters=filters)
        .order_by({CapabilityData: {"id": "desc"}})
    )
    found = query.limit(1).all(flat=True)
    if not found:
        raise UnknownCapabilityError(_unknown_message(quantity, method))
    return found[0]


def find_active_capability(quantity: str, method: str) -> CapabilityVersion:
    """Return what the active version of a capability says; much cheaper than its node.

    :raises UnknownCapabilityError: naming what was given and what is registered.
    """
    names = canonical_capability(quantity, method)
    for node in reversed(list_active(CapabilityData.class_node_type)):
        if (node.attributes["quantity"], node.attributes["method"]) == names:
            return CapabilityVersion.from_stored(node)
    raise UnknownCapabilityError(_unknown_message(*names))


#: JSON Schemas by quantity and method
Schemas = Mapping[tuple[str, str], Mapping[str, Any]]


def read_result_schemas() -> Schemas:
    """Return the result schema of each active capability, for who asks for many: one statement."""
    found = (node.attributes for node in list_active(CapabilityData.class_node_type))
    return {(item["quantity"], item["method"]): item["result_schema"] for item in found}


def read_capability(uuid: str) -> CapabilityVersion:
    """Return what a version of a capability says, by the UUID of its node.

    :raises UnknownCapabilityError: when it is not stored.
    """
    node = read_stored([uuid]).get(uuid)
    if node is None:
        raise UnknownCapabilityError(f"no version of a capability has UUID {uuid}")
    return CapabilityVersion.from_stored(node)


def list_capabilities(*, only_active: bool = True) -> list[CapabilityData]:
    """Return the capabilities that are registered here, ordered by quantity, method and version."""
    filters: dict[str, Any] = {f"extras.{ACTIVE}": True} if only_active else REGISTERED_HERE
    nodes = orm.QueryBuilder().append(CapabilityData, subclassing=False, filters=filters).all(flat=True)
    return sorted(nodes, key=lambda node: (node.quantity, node.method, node.version))


def _unknown_message(quantity: str, method: str) -> str:
    import difflib

    registered = [(node.quantity, node.method) for node in list_capabilities()]
    given = f"no active capability {quantity}/{method}"
    if not registered:
        return f"no capability {quantity}/{method}: none is registered in this profile, run 'aiida-finales setup' first"
    # another quantity than the one that is wanted is of no use, however alike the words are
    methods = [name for known, name in registered if known == quantity]
    if methods:
        close = difflib.get_close_matches(method, methods, n=1, cutoff=0.5)
        hint = f"; did you mean {quantity}/{close[0]}?" if close else ""
        return f"{given}; {quantity} is known by {', '.join(methods)}{hint}"
    names = difflib.get_close_matches(quantity, [known for known, _ in registered], n=1, cutoff=0.6)
    hints = [f"{known}/{name}" for known, name in registered if names and known == names[0]]
    right = [hint for hint in hints if hint.endswith(f"/{method}")] or hints
    hint = f"; did you mean {' or '.join(right)}?" if right else ""
    return f"{given}; registered are {', '.join(f'{known}/{name}' for known, name in registered)}{hint}"
