"""What a number means: its unit and its range, declared once for every model of a request or a result.

The unit is written into the JSON Schema as the published schemas do (key ``unit``, spelled out); storage knows one unit
per quantity, and conversion happens at the border only.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from aiida_finales.schemas.names import MOLE_FRACTION, canonical_fraction_type

#: Symbols for messages; a unit that is not listed is written out.
SYMBOLS = {
    "kelvin": "K",
    "ampere": "A",
    "volt": "V",
    "ampere_hour": "Ah",
    "milliampere_hour": "mAh",
    "1 / hour": "1/h",
    "milliliter": "mL",
    "microliter": "µL",
    "centimeter ** 2": "cm²",
    "milliampere_hour / centimeter ** 2": "mAh/cm²",
    "gram / centimeter ** 3": "g/cm³",
    "gram / mole": "g/mol",
    "milliampere_hour / gram": "mAh/g",
    "watt_hour": "Wh",
    "percent": "%",
    "siemens / meter": "S/m",
    "millipascal * second": "mPa·s",
    "angstrom": "Å",
    "angstrom ** 3": "Å³",
    "meter ** 2 / second": "m²/s",
    "joule / kilogram / kelvin": "J/(kg·K)",
    "dimensionless": "",
}


def _read_integer(value: Any) -> Any:
    # JSON has one kind of number: 4.0 is an integer there, and the laboratory's clients do send it
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read_fraction_type(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    word = canonical_fraction_type(value)
    if word is None:
        accepted = f"'{MOLE_FRACTION}' (also 'molar fraction', 'mol/mol'): convert the fractions to mole fractions"
        raise PydanticCustomError("fraction_type", "not a mole fraction", {"accepted": accepted})
    return word


def _unit(name: str) -> dict[str, Any]:
    return {"unit": name}


Integer = Annotated[int, BeforeValidator(_read_integer)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_read_integer)]
PositiveCount = Annotated[int, Field(ge=1), BeforeValidator(_read_integer)]
#: 1 (do not trust) to 5 (best).
Rating = Annotated[int, Field(ge=1, le=5), BeforeValidator(_read_integer)]
#: Cells of one batch; the trays of the assembly robot hold 64.
BatchVolume = Annotated[int, Field(ge=1, le=64), BeforeValidator(_read_integer)]
NonEmptyText = Annotated[str, Field(min_length=1)]

Fraction = Annotated[float, Field(ge=0, le=1)]
FractionType = Annotated[str, BeforeValidator(_read_fraction_type)]
Temperature = Annotated[float, Field(gt=0, json_schema_extra=_unit("kelvin"))]
Current = Annotated[float, Field(ge=0, json_schema_extra=_unit("ampere"))]
Voltage = Annotated[float, Field(json_schema_extra=_unit("volt"))]
CRate = Annotated[float, Field(ge=0, json_schema_extra=_unit("1 / hour"))]
PositiveCRate = Annotated[float, Field(gt=0, json_schema_extra=_unit("1 / hour"))]
SpecificCapacity = Annotated[float, Field(gt=0, json_schema_extra=_unit("milliampere_hour / gram"))]
Energy = Annotated[float, Field(json_schema_extra=_unit("watt_hour"))]
Percent = Annotated[float, Field(ge=0, json_schema_extra=_unit("percent"))]
Capacity = Annotated[float, Field(gt=0, json_schema_extra=_unit("ampere_hour"))]
Volume = Annotated[float, Field(gt=0, json_schema_extra=_unit("milliliter"))]
CellVolume = Annotated[float, Field(gt=0, json_schema_extra=_unit("angstrom ** 3"))]
ElectrolyteVolume = Annotated[float, Field(ge=0, json_schema_extra=_unit("microliter"))]
Area = Annotated[float, Field(gt=0, json_schema_extra=_unit("centimeter ** 2"))]
MassLoading = Annotated[float, Field(gt=0, json_schema_extra=_unit("milliampere_hour / centimeter ** 2"))]
Density = Annotated[float, Field(gt=0, json_schema_extra=_unit("gram / centimeter ** 3"))]

# A list carries the unit itself, as the published schemas write it.
Conductivities = Annotated[list[Annotated[float, Field(ge=0)]], Field(json_schema_extra=_unit("siemens / meter"))]
Densities = Annotated[list[Annotated[float, Field(gt=0)]], Field(json_schema_extra=_unit("gram / centimeter ** 3"))]
Viscosities = Annotated[list[Annotated[float, Field(gt=0)]], Field(json_schema_extra=_unit("millipascal * second"))]
Diffusivities = Annotated[list[float], Field(json_schema_extra=_unit("meter ** 2 / second"))]
Numbers = Annotated[list[float], Field(json_schema_extra=_unit("dimensionless"))]
HeatCapacities = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(json_schema_extra=_unit("joule / kilogram / kelvin"))
]
Capacities = Annotated[list[float], Field(json_schema_extra=_unit("ampere_hour"))]
CapacityTrajectory = Annotated[list[float], Field(json_schema_extra=_unit("milliampere_hour"))]
Radii = Annotated[list[Annotated[float, Field(ge=0)]], Field(json_schema_extra=_unit("angstrom"))]

#: A value with its uncertainty; JSON has no tuples, so a list must do.
_Pair = tuple[float, float]
MolarMassPair = Annotated[_Pair, Field(strict=False, json_schema_extra=_unit("gram / mole"))]
DensityPair = Annotated[_Pair, Field(strict=False, json_schema_extra=_unit("gram / centimeter ** 3"))]

#: other spellings of these units, after powers and dots are written as there
_SPELLINGS = {
    **dict.fromkeys(("°C", "C", "deg C", "° C"), "degC"),
    **{"g/mL": "g/cm3", "g/ml": "g/cm3", "mPas": "mPa s", "Pas": "Pa s", "mol%": "%", "mol %": "%"},
    **{"wt%": "%", "wt %": "%", "w%": "%"},
}


def plain_unit(unit: str) -> str:
    """Return a unit as tables write it: ``mS·cm⁻¹`` is mS/cm."""
    plain = re.sub(r"[·⋅*.]", " ", unicodedata.normalize("NFKC", unit)).replace("\u2212", "-").replace("^", "").strip()
    plain = re.sub(r"\s*\b(c?m|m[lL])-(\d)", lambda found: f"/{found[1]}{found[2].replace('1', '')}", plain)
    return _SPELLINGS.get(plain, plain)
