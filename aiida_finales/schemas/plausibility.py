"""Numbers that nobody measures: outside of what electrolytes and cells can have, and the slip that explains them.

A schema says what can be a number at all; here is, once for each unit, what is to be expected. The units are those that
JSON Schemas write (key ``unit``), so that a capability of another package is judged as ours are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.ranges import PLAUSIBLE
from aiida_finales.schemas.structure import format_path, get_at, is_number, without_null
from aiida_finales.schemas.units import SYMBOLS, plain_unit

Defect = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """A number that is not to be expected.

    :param slips: units in which it would be.
    :param reason: what is accepted here, where that is less than the range of the unit.
    """

    location: tuple[int | str, ...]
    given: Any
    unit: str
    slips: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def defect(self) -> Defect:
        """The finding as defects of a schema are told: path, what was given, what is accepted."""
        symbol = SYMBOLS.get(self.unit, self.unit)
        accepted = self.reason or "{0.low:g} to {0.high:g} {1}".format(PLAUSIBLE[self.unit], symbol)
        hint = f": {self.given:g} looks like {' or '.join(self.slips)}" if self.slips else ""
        return {"path": format_path(self.location), "given": self.given, "accepted": accepted + hint}


def find_implausible(schema: Json, document: Any) -> list[Finding]:
    """Return the numbers of a document that are not to be expected in their unit.

    :param schema: JSON Schema whose nodes say their ``unit``.
    """
    return [*_walk(schema, schema, document, (), _judge), *_find_other_units(schema, schema, document, ())]


#: keys by which people say in which unit the numbers beside them are; ours never read them
_UNIT_KEYS = ("unit", "units", "values_unit", "value_unit")


def _find_other_units(node: Json, root: Json, value: Any, location: tuple[int | str, ...]) -> Iterator[Finding]:
    """Yield where a document says another unit than that in which its numbers are taken."""
    plain = without_null(node, root)
    if isinstance(value, list):
        for number, child in enumerate(value):
            yield from _find_other_units(plain.get("items", {}), root, child, (*location, number))
    if not isinstance(value, dict):
        return
    properties = plain.get("properties", {})
    unit = next((str(properties[key]["unit"]) for key in ("values", "value") if "unit" in properties.get(key, {})), "")
    for key in (key for key in _UNIT_KEYS if unit and key not in properties and isinstance(value.get(key), str)):
        if plain_unit(value[key]) not in {plain_unit(SYMBOLS.get(unit, unit)), plain_unit(unit)}:
            symbol = SYMBOLS.get(unit, unit)
            yield Finding(
                (*location, key), value[key], unit, reason=f"values in {symbol}: convert them, or leave it out"
            )
    for key, child in value.items():
        if key in properties:
            yield from _find_other_units(properties[key], root, child, (*location, key))


_IDENTITY = ("chemical", "InChIKey")
#: water, of which so large a mole fraction makes a solution aqueous, and what such a one may conduct, S/m
_WATER, _AQUEOUS, _BEST = "XLYOFNOQVPJJNP-UHFFFAOYSA-N", 0.3, 100.0


def is_of_water(finding: Finding, formulation: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a conductivity that no organic electrolyte has is one that water with a salt or a base may have.

    :param formulation: as data or parameters say it; it may break its schema.
    """
    if finding.unit != "siemens / meter" or not is_number(finding.given):
        return False
    shares: list[Any] = [part.get("fraction") for part in formulation if get_at(part, _IDENTITY) == _WATER]
    return bool(finding.given <= _BEST) and any(is_number(share) and share >= _AQUEOUS for share in shares)


#: the highest C-rate of a cell, and the most that a capacity may be above the one that rates refer to
_FASTEST, _MOST = 100.0, 20.0
#: S/m and K: below the one, above the other, and with so much salt no electrolyte is: it looks like S/cm
_POOR, _COLD, _DILUTE = (5e-4, 0.03), 273.0, 0.02


def find_disproportions(parameters: Any, numbers: list[Finding]) -> list[Finding]:
    """Return currents and capacities that are a thousand times too large for the capacity that rates refer to.

    :param parameters: of the request, with the ``capacity`` of the cell in Ah.
    :param numbers: all currents and capacities, see :func:`list_numbers`.
    """
    nominal = parameters.get("capacity") if isinstance(parameters, dict) else None
    if isinstance(nominal, bool) or not isinstance(nominal, (int, float)) or not nominal > 0:
        return []
    most = {"ampere": (_FASTEST * nominal, "mA"), "ampere_hour": (_MOST * nominal, "mAh")}
    found = []
    for item in numbers:
        limit, slip = most.get(item.unit, (math.inf, ""))
        if abs(item.given) > limit:
            found.append(replace(item, slips=[slip], reason=f"at most {limit:g} for a capacity of {nominal:g} Ah"))
    return found


def list_numbers(schema: Json, document: Any, units: tuple[str, ...]) -> list[Finding]:
    """Return all numbers of a document in some units."""
    return [item for item in _walk(schema, schema, document, (), _tell) if item.unit in units]


def find_poor_conductor(values: Iterable[float], temperature: float | None, salt: float) -> bool:
    """Return whether all of some conductivities (S/m) look like S/cm, for a liquid of which people would say so.

    :param temperature: K.
    :param salt: mole fraction.
    """
    found = [value for value in values if value]
    is_usual = temperature is not None and temperature >= _COLD and salt >= _DILUTE
    return bool(found) and is_usual and all(_POOR[0] <= value <= _POOR[1] for value in found)


def salt_share(fractions: Mapping[str, float]) -> float:
    """Return the mole fraction of all salts.

    :param fractions: mole fraction by InChIKey.
    """
    return sum(share for key, share in fractions.items() if (chemical := find_chemical(key)) and chemical.is_salt)


def tell_poor_conductor(values: Sequence[float], temperature: float | None, fractions: Mapping[str, float]) -> str:
    """Return that conductivities (S/m) look like S/cm, for people; empty where they do not, or nobody can tell.

    One value may be right and small all the same, so that this is a remark and no reason to refuse it.

    :param temperature: K.
    :param fractions: mole fraction by InChIKey.
    """
    if not find_poor_conductor(values, temperature, salt_share(fractions)):
        return ""
    given, meant = (", ".join(f"{factor * value:.4g}" for value in values) for factor in (1.0, 100.0))
    return f"{given} S/m looks like S/cm, which would be {meant} S/m: so little is rare for so much salt, and not cold"


def judge_range(location: tuple[int | str, ...], unit: str, low: float, high: float) -> Finding | None:
    """Return that all of a range is outside of what is to be expected, but an end of it is inside in another unit."""
    expected = PLAUSIBLE.get(unit)
    if expected is None or (low <= expected.high and high >= expected.low):
        return None
    ends = [end for end in (high, low) if math.isfinite(end)]
    slips = [(end, found) for end in ends if (found := expected.find_slips(end))]
    return Finding(location, slips[0][0], unit, slips[0][1]) if slips else None


def is_beside(schema: Json, quantity: str, defect: Defect) -> bool:
    """Return whether a finding is in another quantity that a result tells besides its own.

    A simulation asked for the density tells the conductivity as well: where that is not to be expected, the density may
    be as good as ever. Others are what the schema lets be absent beside the quantity.

    :param schema: of the result.
    :param defect: a number that is not to be expected, see :attr:`Finding.defect`.
    """
    first = re.split(r"[.\[]", str(defect["path"]), maxsplit=1)[0]
    properties = schema.get("properties", {})
    is_other = first in properties and first not in schema.get("required", ()) and first not in {quantity, "run_info"}
    return is_other and quantity in properties


_Look = Callable[[str, Any, tuple[int | str, ...]], Iterator["Finding"]]


def _walk(node: Json, root: Json, value: Any, location: tuple[int | str, ...], look: _Look) -> Iterator[Finding]:
    plain = without_null(node, root)
    unit = str(node.get("unit", plain.get("unit", "")))
    if isinstance(value, dict):
        extra = plain.get("additionalProperties")
        for key, child in value.items():
            schema = plain.get("properties", {}).get(key, extra)
            if isinstance(schema, dict):
                yield from _walk(schema, root, child, (*location, key), look)
    elif isinstance(value, list) and "prefixItems" in plain:  # a value and its uncertainty
        yield from look(unit, value[0] if value else None, (*location, 0))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _walk({"unit": unit, **plain.get("items", {})}, root, child, (*location, number), look)
    else:
        yield from look(unit, value, location)


def _tell(unit: str, value: Any, location: tuple[int | str, ...]) -> Iterator[Finding]:
    if unit in PLAUSIBLE and not isinstance(value, bool) and isinstance(value, (int, float)):
        yield Finding(location, float(value), unit)


def _judge(unit: str, value: Any, location: tuple[int | str, ...]) -> Iterator[Finding]:
    expected = PLAUSIBLE.get(unit)
    if expected is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not expected.low <= value <= expected.high:
        yield Finding(location, float(value), unit, expected.find_slips(float(value)))
