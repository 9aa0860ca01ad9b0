"""Numbers with unit and meaning, and mixtures of chemicals, in the pattern of EMMO."""

from __future__ import annotations

from typing import Any

from aiida_finales.fair.graph.terms import CHEMICALS
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label, find_chemical, molality_or_none

Fractions = dict[str, float]

#: digits of a mole fraction that two equal formulations share
KEY_DIGITS = 4


def make_quantity(iri: str, terms: tuple[str, ...], value: float, unit: str, **others: Any) -> Json:
    """Return a quantity.

    :param terms: its classes; empty ones are left out.
    :param value: in this unit.
    :param others: more about it; ``None`` is left out.
    """
    classes = [term for term in terms if term]
    about = {key: item for key, item in others.items() if item is not None}
    return {"@id": iri, "@type": classes, **_number(value), "hasMeasurementUnit": unit, **about}


def make_uncertainty(value: float | None, unit: str, description: str) -> Json | None:
    """Return the uncertainty of a quantity, or ``None`` where none is known.

    :param description: what kind of uncertainty it is.
    """
    if value is None:
        return None
    about = {"hasMeasurementUnit": unit, "description": description}
    return {"@type": "MetrologicalUncertainty", **_number(value), **about}


def make_mixture(iri: str, fractions: Fractions) -> tuple[Json, list[Json]]:
    """Return what says that a thing is a solution of chemicals, and the molality of its salt.

    :param iri: of the solution; parts get addresses below it.
    :param fractions: mole fraction of the whole solution by InChIKey.
    :returns: keys for the description of the solution, and the quantities they refer to.
    """
    parts: Json = {"hasConstituent": [_constituent(iri, *item) for item in sorted(fractions.items())]}
    salt = molality_or_none(fractions, digits=None)
    quantities = []
    if salt is not None:
        name = "amount of salt per mass of solvent"
        quantities = [make_quantity(join(iri, "molality"), ("Molality",), salt, "MolePerKilogram", name=name)]
        parts["hasProperty"] = [quantities[0]["@id"]]
    return {**parts, "formulationKey": formulation_key(fractions)}, quantities


def formulation_key(fractions: Fractions) -> str:
    """Return a text that is the same for equal formulations."""
    shares = sorted((name, round(share, KEY_DIGITS)) for name, share in fractions.items())
    return "; ".join(f"{name} {share:.{KEY_DIGITS}f}" for name, share in shares if share)


def join(iri: str, part: str) -> str:
    """Return the address of a part of something."""
    return f"{iri}{'-' if '#' in iri else '#'}{part}"


def _constituent(iri: str, inchikey: str, share: float) -> Json:
    chemical = find_chemical(inchikey)
    role = "" if chemical is None else "Solute" if chemical.is_salt else "Solvent"
    about = {"identifier": inchikey, "name": chemical_label(inchikey)}
    fraction = {"@type": ["AmountFraction"], **_number(share), "hasMeasurementUnit": "UnitOne"}
    types = [term for term in (CHEMICALS.get(inchikey, ""), role) if term]
    found: Json = {"@id": join(iri, inchikey), **about, "hasProperty": fraction}
    return {**found, "@type": types} if types else found


def _number(value: float) -> Json:
    return {"hasNumericalPart": {"@type": "RealData", "hasNumberValue": float(value)}}
