"""What a cell is made of, said by name: spelt out for storage, with the version of the record that was used.

An electrode, separator or format may stand as a text, or as an object with ``name``::

    {"cathode": {"name": "Na3V2(PO4)3", "areal_mass": 10}, "anode": "hard carbon"}

What the published form asks for beside is filled in: the material, and the capacity per area of a mass per area. What
has a ``record`` was spelt out before and stays, and so does what has no ``name``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.cells.record import WORKING_IONS, CellFormat, CellPart, Electrode, Separator
from aiida_finales.schemas.cells.registry import CATALOGUES, find_electrode, find_format, find_separator
from aiida_finales.schemas.chemicals import find_chemical
from aiida_finales.schemas.names import MOLE_FRACTION

#: the polarity of an electrode by the key that it stands under
POLARITY = {"anode": "negative", "cathode": "positive"}
#: keys of a cell that name a record, and of what kind
KINDS: dict[str, type[CellPart]] = {
    **dict.fromkeys(POLARITY, Electrode),
    "separator": Separator,
    "format": CellFormat,
}
_ACCEPTED = {
    **{key: f"a {polarity} electrode as its record has it" for key, polarity in POLARITY.items()},
    "separator": "a separator that is known",
    "format": "a cell format that is known",
}
#: keys of an electrode that is named by its ``material``
MATERIALS = ("positive_electrode", "negative_electrode")
#: what tells that a document is of a cell: elsewhere ``format`` and ``separator`` mean other things
_OF_CELL = ("battery_chemistry", "electrolyte", *POLARITY)
#: mg/cm2 * mAh/g -> mAh/cm2
PER_MILLIGRAM = 1e-3
#: by how much two capacities per area may differ that are the same
_SAME = 0.02


def spell_parts(document: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Return parameters with the names of parts of cells spelt out, and what is wrong with those, by place."""
    defects: list[dict[str, Any]] = []
    return _spell(document, "", defects), defects


def _spell(value: Any, place: str, defects: list[dict[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_spell(item, f"{place}[{number}]", defects) for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    told: dict[str, Any] = {}
    is_cell = any(key in value for key in _OF_CELL)
    for key, item in value.items():
        where = f"{place}.{key}".removeprefix(".")
        part = {"name": item} if isinstance(item, str) and key in KINDS else item
        is_named = is_cell and key in KINDS and isinstance(part, Mapping) and "name" in part and not part.get("record")
        try:
            told[key] = _SPELLERS[key](key, part) if is_named else _spell(item, where, defects)
        except InputError as error:
            told[key] = item
            defects.append({"path": where, "given": part["name"], "accepted": f"{_ACCEPTED[key]}: {error}"})
    if "electrolyte" in told and not defects:
        defects += _compare_ions(told, place)
    return told


def _compare_ions(chemistry: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Return that neither of two electrodes takes up an ion of the electrolyte, if so."""
    names = [part["name"] for key in POLARITY if isinstance(part := chemistry.get(key), Mapping) and part.get("name")]
    ions = find_cations(_keys(chemistry["electrolyte"]))
    if len(names) < len(POLARITY) or not ions:
        return []
    parts = [CATALOGUES[Electrode].load().find(name) for name in names]
    takes = {ion for part in parts if part for ion in part.working_ions}
    if not all(parts) or takes & ions:
        return []
    accepted = f"a salt of {' or '.join(sorted(takes))}, which {' and '.join(names)} take up"
    return [{"path": f"{place}.electrolyte".removeprefix("."), "given": ", ".join(sorted(ions)), "accepted": accepted}]


def _keys(electrolyte: Any) -> list[str]:
    parts = [item for item in electrolyte if isinstance(item, Mapping)] if isinstance(electrolyte, list) else []
    chemicals = [part.get("chemical") for part in parts if part.get("fraction")]
    return [str(chemical.get("InChIKey")) for chemical in chemicals if isinstance(chemical, Mapping)]


def find_cations(inchikeys: Iterable[str]) -> set[str]:
    """Return the working ions of the salts among chemicals; what is not known says nothing."""
    known = [chemical for key in inchikeys if (chemical := find_chemical(key)) is not None and chemical.is_salt]
    return {ion for salt in known for ion in WORKING_IONS if any(f"[{ion}+" in smiles for smiles in salt.charges)}


def _spell_electrode(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    electrode = find_electrode(given["name"])
    polarity = POLARITY[key]
    if electrode.polarity not in (polarity, "both"):
        raise InputError(f"{electrode.name} is a {electrode.polarity} electrode, but the {key} is the {polarity} one")
    told = {**given, "name": electrode.name, "record": electrode.record}
    told.setdefault("material", _material(electrode))
    # of a metal in excess nobody knows the capacity, and nobody needs it
    is_limiting = polarity == "positive" or "practical_capacity" in electrode.known
    areal_mass = given.get("areal_mass")
    if areal_mass is not None and not (_is_number(areal_mass) and 0 < areal_mass < math.inf):
        raise InputError(f"areal_mass is {areal_mass!r}, but accepted is a number above 0 (mg/cm2)")
    if areal_mass is not None and is_limiting:
        told["mass_loading"] = _capacity_per_area(electrode, given)
    return told


def _material(electrode: Electrode) -> list[dict[str, Any]]:
    """Return the material as published requests have it; without an InChIKey the name identifies it."""
    chemical = {"SMILES": electrode.smiles or electrode.formula or electrode.name}
    chemical["InChIKey"] = electrode.inchikey or electrode.name
    return [{"chemical": chemical, "fraction": 1.0, "fraction_type": MOLE_FRACTION}]


def _capacity_per_area(electrode: Electrode, given: Mapping[str, Any]) -> Any:
    loading = round(given["areal_mass"] * electrode.demand("practical_capacity") * PER_MILLIGRAM, 9)
    told = given.get("mass_loading")
    if _is_number(told) and abs(told - loading) > _SAME * loading:
        raise InputError(
            f"mass_loading is {told:g} mAh/cm2, but areal_mass {given['areal_mass']:g} mg/cm2 of {electrode.name} "
            f"({electrode.record}) is {loading:g} mAh/cm2: give one of them"
        )
    return loading


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _spell_separator(_key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    separator = find_separator(given["name"])
    return {"material": separator.name, **given, "name": separator.name, "record": separator.record}


def _spell_format(_key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found = find_format(given["name"])
    return {**given, "name": found.name, "record": found.record}


_SPELLERS: dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    **dict.fromkeys(POLARITY, _spell_electrode),
    "separator": _spell_separator,
    "format": _spell_format,
}


def used_parts(document: Any) -> list[CellPart]:
    """Return the records of everything that parameters name; what is not known any more is left out."""
    found: dict[tuple[str, str], CellPart] = {}
    if isinstance(document, list):
        lists = [used_parts(item) for item in document]
        return [part for parts in lists for part in parts]
    if not isinstance(document, Mapping):
        return []
    for key, item in document.items():
        name = item.get("name") if key in KINDS and isinstance(item, Mapping) else None
        part = CATALOGUES[KINDS[key]].load().find(name) if isinstance(name, str) else None
        for each in [part] if part else used_parts(item):
            found[each.NOUN, each.key] = each
    return list(found.values())


#: key, name and record of a part of a cell
NamedPart = tuple[str, str, str]


def find_parts(document: Any) -> frozenset[NamedPart]:
    """Return what parameters that are spelt out say a cell is made of: key, name and record of each part."""
    found: set[NamedPart] = set()
    for key, item in document.items() if isinstance(document, Mapping) else ():
        if key in KINDS and isinstance(item, Mapping) and item.get("record"):
            found.add((key, str(item.get("name")), str(item["record"])))
        else:
            found |= find_parts(item)
    return frozenset(found)


def tell_mixed(cells: Iterable[frozenset[NamedPart]], options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is not the same in cells that are taken for one kind, with the number of each.

    :param cells: of :func:`find_parts`, one for each result.
    :param options: the parameters of each option, by category and option: names that they choose among may differ.
    """
    chosen = {key for item in options.values() for choice in item.values() for key in _list_keys(choice)}
    kinds: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for key, name, record in (part for parts in cells for part in sorted(parts)):
        kinds[(key, name) if key in chosen else (key,)][f"{name} ({record})"] += 1
    for (key, *_), numbers in sorted(kinds.items()):
        if len(numbers) > 1:
            words = " and ".join(f"{name} in {number}" for name, number in sorted(numbers.items()))
            yield f"its results are of different cells, and it learns from them as from one kind: the {key} is {words}"


def _list_keys(document: Any) -> Iterator[str]:
    """Yield the keys of parts of cells in a document."""
    for key, item in document.items() if isinstance(document, Mapping) else ():
        yield from [key] if key in KINDS else _list_keys(item)


def spell_limits(document: Any, own: Iterable[CellPart] = ()) -> Any:
    """Return limitations in which parts of cells have the names of their records.

    :param own: records that come with them.
    :raises InputError: when a name is not known.
    """
    return _spell_limit(document, {(type(part), part.fold(word)): part.name for part in own for word in _names(part)})


def _names(part: CellPart) -> tuple[str, ...]:
    return (part.name, *part.synonyms)


def _spell_limit(value: Any, own: Mapping[tuple[type[CellPart], str], str]) -> Any:
    if isinstance(value, list):
        return [_spell_limit(item, own) for item in value]
    if not isinstance(value, Mapping):
        return value
    told = {}
    for key, item in value.items():
        if key in KINDS and isinstance(item, Mapping) and "name" in item:
            names = item["name"] if isinstance(item["name"], list) else [item["name"]]
            told[key] = {**_spell_limit(item, own), "name": [_name(KINDS[key], word, own) for word in names]}
        elif key in MATERIALS and isinstance(item, Mapping) and "material" in item:
            words = item["material"] if isinstance(item["material"], list) else [item["material"]]
            told[key] = {**_spell_limit(item, own), "material": [name_electrode(word) for word in words]}
        else:
            told[key] = _spell_limit(item, own)
    return told


def spell_materials(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in which electrodes named by a synonym or formula have the names of their records.

    Those without a record keep what they are called: a model may know them all the same.
    """
    told = {
        key: {**item, "material": name_electrode(item["material"])}
        for key in MATERIALS
        if isinstance(item := parameters.get(key), Mapping) and "material" in item
    }
    return {**parameters, **told}


def name_electrode(word: Any) -> Any:
    """Return the name of the record of an electrode, or what was given where there is none."""
    found = CATALOGUES[Electrode].load().find(word) if isinstance(word, str) else None
    return word if found is None else found.name


def _name(kind: type[CellPart], word: Any, own: Mapping[tuple[type[CellPart], str], str]) -> Any:
    if not isinstance(word, str):
        return word
    found = own.get((kind, kind.fold(word)))
    return found if found is not None else CATALOGUES[kind].get(word, "electrode").name
