"""How a cell was cycled and what it could store."""

from __future__ import annotations

from collections.abc import Iterator

from aiida_finales.fair.graph.quantity import join, make_quantity
from aiida_finales.fair.graph.records import NodeRecord
from aiida_finales.schemas import Json
from aiida_finales.schemas.structure import is_number

QUANTITY = "capacity"
#: key of the parameters, class, unit and words
_SETTINGS = (
    ("cycling_V_max", "UpperVoltageLimit", "Volt", "voltage at which charging ends"),
    ("cycling_V_min", "LowerVoltageLimit", "Volt", "voltage at which discharging ends"),
    ("c_rate_charge", "CRate", "ReciprocalHour", "rate of charging"),
    ("c_rate_discharge", "CRate", "ReciprocalHour", "rate of discharging"),
    ("V_max", "UpperVoltageLimit", "Volt", "voltage at which charging ends, formation"),
    ("V_min", "LowerVoltageLimit", "Volt", "voltage at which discharging ends, formation"),
    ("c_rate_charge_formation", "CRate", "ReciprocalHour", "rate of charging, formation"),
    ("c_rate_discharge_formation", "CRate", "ReciprocalHour", "rate of discharging, formation"),
    ("number_cycles", "NumberOfIterations", "UnitOne", "cycles after formation"),
)
#: place in the list of capacities (charge and discharge in turn), class and words
_OUTCOMES = (
    ("first-charge", 0, "ChargingCapacity", "charge of the first cycle"),
    ("first-discharge", 1, "DischargingCapacity", "discharge of the first cycle"),
    ("last-discharge", -1, "DischargingCapacity", "discharge of the last cycle"),
)


def describe_settings(node: NodeRecord) -> Iterator[Json]:
    """Yield how a cell was cycled."""
    given = node.fields["parameters"] if node.fields["quantity"] == QUANTITY else {}
    for key, term, unit, words in _SETTINGS:
        if is_number(given.get(key)):
            iri = join(node.iri, key.replace("_", "-"))
            yield make_quantity(iri, (term, "ConventionalProperty"), given[key], unit, name=words)


def describe_capacities(node: NodeRecord, kind: str) -> Iterator[Json]:
    """Yield the first and the last capacities of a cell (Ah); the others stay with the result.

    :param kind: what kind of property they are.
    """
    found = node.fields["data"].get("capacity_list") if node.fields["quantity"] == QUANTITY else None
    if not isinstance(found, list) or not found or len(found) % 2 or not all(map(is_number, found)):
        return
    for key, place, term, words in _OUTCOMES:
        iri = join(node.iri, key)
        yield make_quantity(iri, (term, kind), found[place], "AmpereHour", name=words, reportedIn=node.iri)
