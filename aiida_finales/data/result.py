"""A result: data, the parameters really used, success and rating."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed, ValidationError

from aiida_finales.data.capability import CapabilityData, CapabilityVersion
from aiida_finales.data.nodes import Stored, or_none
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.plausibility import tell_poor_conductor
from aiida_finales.schemas.structure import get_at, is_number, is_place
from aiida_finales.schemas.values import PER_CELL, Value, first_body, read_meta, read_values, stated_uncertainty

STATE = "finales"


class ResultData(orm.Data):
    """An answer; immutable, created by a calculation.

    Looked up by keys of their own: ``value`` (mean of the values, median of cells, in the unit of the quantity),
    ``spread`` (standard deviation of the single values), ``n_values``, ``n_valid``, ``temperature`` (K), ``fractions``
    (achieved mole fractions by InChIKey), ``success``, ``rating`` (1-5), ``valid``, ``simulated``.

    :param capability: the version of the capability that was provided.
    :param data: what was found, in the form of the capability's result schema.
    :param parameters: the parameters really used.
    :param tenant_uuid: who provided it.
    :param request_uuid: the request it answers; ``None`` for an unsolicited result.
    :param simulated: whether the numbers come from a simulated laboratory.
    :param strict: refuse data that break the schema instead of keeping them with ``valid = False``.
    :param is_sure: numbers that are not to be expected are right; without, they are kept, but ``implausible`` names
        their paths and ``valid`` is false. Of another quantity that is told beside this one ``implausible_beside``
        names them: they say nothing against this one. What may be right, but looks like another unit, is said under
        ``looks_like``, and counts.
    :raises InputError: when data or parameters are no dictionary.
    :raises SchemaError: when strict and the data break the result schema.
    """

    quantity = Stored(str, "What was asked for.")
    method = Stored(str, "How it was provided.")
    data = Stored(dict, "What was found.")
    parameters = Stored(dict, "The parameters really used.")
    value = Stored(or_none(float), "Mean of the values, or median of the valid cells, in the unit of the quantity.")
    spread = Stored(or_none(float), "Standard deviation of the single values; ``None`` below two of them.", None)
    fractions = Stored(dict, "Achieved mole fractions by InChIKey.")
    is_successful = Stored(bool, "Whether the method says that it worked.", key="success")
    rating = Stored(or_none(int), "Quality from 1 (poor) to 5 (excellent).")
    tenant_uuid = Stored(str, "Who provided it.")
    request_uuid = Stored(or_none(str), "The request it answers.")

    def __init__(  # noqa: PLR0913 - the fields of the node
        self,
        capability: CapabilityData | CapabilityVersion,
        data: dict[str, Any],
        parameters: dict[str, Any],
        *,
        tenant_uuid: str = "",
        request_uuid: str | None = None,
        simulated: bool = False,
        strict: bool = False,
        is_sure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, given in (("data", data), ("parameters", parameters)):
            if not isinstance(given, dict):
                raise InputError(f"{name} of a result is {given!r}, but accepted is a dictionary")
        content = capability.content if isinstance(capability, CapabilityData) else capability
        verdict = content.judge_result(data, parameters, strict=strict)
        doubted = [] if is_sure else content.find_implausible(data, parameters)
        implausible = [defect for defect in doubted if not content.is_beside(defect)]
        beside = [defect["path"] for defect in doubted if content.is_beside(defect)]
        remark = "" if is_sure else find_slip(capability.quantity, data, parameters)
        self.base.attributes.set_many(
            {
                "quantity": capability.quantity,
                "method": capability.method,
                "capability": capability.uuid,
                "data": data,
                "parameters": parameters,
                "tenant_uuid": tenant_uuid,
                "request_uuid": request_uuid,
                "simulated": simulated,
                "valid": verdict.valid and not implausible,
                "errors": verdict.errors + implausible,
                "implausible": [defect["path"] for defect in implausible],
                **({"implausible_beside": beside} if beside else {}),
                **({"looks_like": remark} if remark else {}),
                **summarise(capability.quantity, data, parameters),
            }
        )
        self.base.extras.set(STATE, {"serial": 0, "status": "original"})

    def _validate(self) -> bool:
        super()._validate()
        if not isinstance(self.base.attributes.get("data", None), dict):
            raise ValidationError("a result is made by ResultData(capability, data, parameters)")
        return True

    @property
    def values(self) -> tuple[Value, ...]:
        """The single values: repetitions, or cells."""
        return read_values(self.quantity, self.data)

    @property
    def uncertainty(self) -> float | None:
        """Standard deviation of the value as its provider states it, or of repetitions as they scatter."""
        return stated_uncertainty(self.values) or self.spread

    @property
    def keeps_schema(self) -> bool:
        """Whether the data are as the capability promises; numbers that are not to be expected do not matter here."""
        errors, implausible = (self.base.attributes.get(key, None) or [] for key in ("errors", "implausible"))
        return len(errors) == len(implausible)


@dataclass(frozen=True)
class Facts:
    """What a stored result says and what is said of it, without its node.

    The properties of a stored node ask the database each time; of a thousand results that takes seconds.

    :param extras: of now; those of a loaded node may be old.
    """

    quantity: str
    method: str
    data: dict[str, Any]
    parameters: dict[str, Any]
    request_uuid: str | None
    tenant_uuid: str
    simulated: bool
    value: float | None
    spread: float | None
    success: bool
    rating: int | None
    temperature: float | None
    fractions: dict[str, float]
    implausible: list[str] | None
    errors: list[dict[str, Any]] | None
    extras: dict[str, Any]
    ctime: datetime

    @classmethod
    def from_stored(cls, attributes: Mapping[str, Any], extras: dict[str, Any], ctime: datetime) -> Facts:
        """Return what the columns of a stored node say."""
        told = {item.name: attributes.get(item.name) for item in fields(cls)}
        return cls(**{**told, "extras": extras, "ctime": ctime})

    @property
    def values(self) -> tuple[Value, ...]:
        """The single values: repetitions, or cells."""
        return read_values(self.quantity, self.data)


#: columns of a query that facts are made of
FACTS = tuple(item.name if item.name in ("extras", "ctime") else f"attributes.{item.name}" for item in fields(Facts))


def read_facts(results: Iterable[ResultData]) -> dict[str, Facts]:
    """Return what stored results say by their UUID; one query."""
    uuids = [result.uuid for result in results]
    if not uuids:
        return {}
    query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": uuids}}, project=["uuid", *FACTS])
    return {uuid: Facts(*row) for uuid, *row in query.all()}


def read_number(facts: Facts, quantity: str, keys: str | None = None) -> float | None:
    """Return a number that a result tells, whatever it was asked for; ``None`` where it does not tell it.

    :param quantity: of which; a result may tell others besides its own.
    :param keys: dotted keys of its data, in a list the place (-1 is the last); a list stands for its mean. Without, the
        values of the quantity: their mean, of cells the median.
    """
    if keys is not None:
        return _mean(_pick(facts.data, keys))
    if quantity == facts.quantity:
        return facts.value
    valid = [item for item in read_values(quantity, facts.data) if item.is_valid]
    found = _summarise_cells(valid, valid) if quantity in PER_CELL else _summarise_repetitions(tuple(valid))
    return found["value"]


def tell_forces(data: dict[str, Any]) -> str:
    """Return what a result says of its forces, for example ``GFN1-xTB, not DFT: an error ... of 90 meV/Å, ...``."""
    whose = name_forces(data)
    return f"{whose}: {data['forces'].get('rated_for', 'of unknown error')}" if whose else ""


def name_forces(data: dict[str, Any]) -> str:
    """Return by which method the forces of a result are, for example ``GFN1-xTB, not DFT``; else empty."""
    forces = data.get("forces")
    return str(forces.get("statement") or "") if isinstance(forces, dict) else ""


def _pick(found: Any, keys: str) -> Any:
    """Return what stands at dotted keys, of which those of lists are places; ``None`` where there is nothing."""
    for key in keys.split("."):
        if isinstance(found, list):
            place = int(key) if is_place(key) else len(found)
            found = found[place] if -len(found) <= place < len(found) else None
        else:
            found = get_at(found, (key,))
    return found


def _mean(found: Any) -> float | None:
    """Return a number, or the mean of a list of them."""
    numbers = found if isinstance(found, list) else [found]
    usable = bool(numbers) and all(is_number(number) for number in numbers)
    return float(sum(numbers) / len(numbers)) if usable else None


def find_slip(quantity: str, data: Any, parameters: Any) -> str:
    """Return that the values of a result, each of which can be, look like another unit; else nothing."""
    if quantity != "conductivity" or not isinstance(data, dict) or not isinstance(parameters, dict):
        return ""
    summary = summarise(quantity, data, parameters)
    values = [item.value for item in read_values(quantity, data) if item.value is not None]
    return tell_poor_conductor(values, summary["temperature"], summary["fractions"])


def set_uuid(result: ResultData, uuid: str) -> None:
    """Give a result that is not stored the identity that was promised to whoever posted it.

    :raises ModificationNotAllowed: when it is stored.
    :raises ValueError: when it is no UUID.
    """
    if result.is_stored:
        raise ModificationNotAllowed(f"result {result.uuid} is stored, its identity is fixed")
    entity: Any = result.backend_entity
    entity.bare_model.uuid = str(UUID(uuid))


def summarise(quantity: str, data: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what results are looked up by: value, success, rating, temperature (K) and achieved mole fractions.

    The value of a measurement is the mean of its repetitions. That of cells is the median over those that are valid,
    which one early death among eight does not move; it is successful when at least half of the cells are valid.
    """
    body = first_body(data.get(quantity))
    temperature = body.get("temperature", parameters.get("temperature"))
    run_info = data.get("run_info")
    fractions = find_fractions(run_info) if isinstance(run_info, dict) else {}
    values = read_values(quantity, data)
    valid = [item for item in values if item.is_valid]
    if quantity in PER_CELL:
        found = _summarise_cells(values, valid)
    else:
        meta = read_meta(body, data)
        found = {**_summarise_repetitions(values), "success": meta["success"] is True, "rating": meta["rating"]}
    return {
        **found,
        "n_values": len(values),
        "n_valid": len(valid),
        "temperature": float(temperature) if is_number(temperature) else None,
        "fractions": fractions or find_fractions(parameters),
    }


def _summarise_repetitions(values: tuple[Value, ...]) -> dict[str, Any]:
    numbers = [item.value for item in values if item.value is not None]
    return {"value": float(sum(numbers) / len(numbers)) if numbers else None, "spread": _spread(numbers)}


def _summarise_cells(cells: Sequence[Value], valid: list[Value]) -> dict[str, Any]:
    numbers = [item.value for item in valid if item.value is not None]
    ratings = [item.rating for item in valid or cells if item.rating is not None]
    return {
        "value": statistics.median(numbers) if numbers else None,
        "spread": _spread(numbers),
        "success": bool(valid) and 2 * len(valid) >= len(cells),
        "rating": statistics.median_low(ratings) if ratings else None,
    }


def _spread(numbers: list[float]) -> float | None:
    """Return the sample standard deviation, in the unit of the quantity; ``None`` below two numbers."""
    return statistics.stdev(numbers) if len(numbers) > 1 else None
