"""Mixtures as people say them, made mole fractions: the one place where that is done.

A text: ``1 M LiPF6 in EC:EMC 3:7 w/w``, ``1.2 mol/kg NaPF6 in EC/DEC 1:1 v/v + 2 wt% FEC``, ``EC:EMC 3:7 w/w``,
``LiPF6 8 mol%, EC 45 mol%, EMC 47 mol%``; a density may follow: ``..., 1.21 g/cm3``. An object: mole fractions by name,
numbers or percent; ``mole_fractions`` or ``mass_fractions``; or ``solvents`` (parts), ``by`` (mass, volume, mole),
``molality`` (mol/kg of solvent) or ``molarity`` (mol/L), ``additives`` (mass fraction of the whole) and ``density``
(g/cm3 of the solution without additives); or ``mixture`` (a text) and ``density``.

What is needed besides, and is not in it, comes from records of chemicals, and is named: densities of solvents for
ratios by volume; the density of the solution for mol/L from whoever calls, for forms know no models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.record import Chemical
from aiida_finales.schemas.chemicals.registry import get_chemical
from aiida_finales.schemas.chemicals.scaling import scale

#: g/cm3 of a mixture, given its mole fractions by InChIKey, and where that is from
DensityOf = Callable[[Mapping[str, float]], tuple[float, str]]
EXAMPLE = "'1 M LiPF6 in EC:EMC 3:7 w/w'"
_BASES = {"mass": "mass", "weight": "mass", "w": "mass", "wt": "mass", "w/w": "mass", "w:w": "mass", "m/m": "mass",
          "volume": "volume", "vol": "volume", "v": "volume", "v/v": "volume", "v:v": "volume",
          "mole": "mole", "mol": "mole", "mol/mol": "mole", "n/n": "mole"}  # fmt: skip
_CONCENTRATIONS = {"M": "molarity", "mol/L": "molarity", "mol/l": "molarity", "molar": "molarity",
                   "mol/dm3": "molarity", "m": "molality", "mol/kg": "molality", "molal": "molality"}  # fmt: skip
_PERCENT = {"%": "mole", "mol%": "mole", "mol-%": "mole", "wt%": "mass", "wt-%": "mass", "w%": "mass", "mass%": "mass"}
#: g/cm3 that a liquid solution may have
DENSITIES = (0.3, 5.0)
_KEYS = ("solvents", "by", "molality", "molarity", "additives", "density")
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_DENSITY = re.compile(rf"[,;(]?\s*(?:density|d|rho)?\s*=?\s*{_NUMBER}\s*(?:g/cm3|g/cm³|g/mL|g/ml)\s*\)?\s*$")
_UNITS = "|".join(sorted(map(re.escape, _CONCENTRATIONS), key=len, reverse=True))
_SALT = re.compile(rf"\s*{_NUMBER}\s*({_UNITS})\s+(\S+)\s*")
_WORDS = "|".join(sorted(map(re.escape, _PERCENT), key=len, reverse=True))
_SHARE = re.compile(rf"\s*(?:{_NUMBER}\s*({_WORDS})\s+(?:of\s+)?(\S+)|(\S+)\s+{_NUMBER}\s*({_WORDS}))\s*")
_RATIO = re.compile(
    r"\s*(\S+?)(?:\s+\(?([\d.]+(?:\s*[:/]\s*[\d.]+)+))?(?:[\s,]+\(?(?:by\s+)?([a-z:/]+)\.?\)?)?\s*", re.IGNORECASE
)
#: relative change of a density that ends its search, and the most steps
_SAME, _STEPS = 1e-14, 200


@dataclass(frozen=True)
class Mixed:
    """A mixture in the form of storage, and what it was made of.

    :param fractions: mole fraction by InChIKey, sum 1.
    :param given: as it was said.
    :param density: g/cm3 that a molarity needed, and its source.
    :param numbers: others that were needed, by what they are, with source and temperature.
    :param records: which record of each chemical was used.
    """

    fractions: dict[str, float]
    given: Any
    density: dict[str, Any] | None = None
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what is kept beside the mole fractions."""
        parts = {"density": self.density, "numbers": self.numbers, "records": self.records}
        return {"given": self.given, **{key: value for key, value in parts.items() if value}}


@dataclass(frozen=True)
class Recipe:
    """A mixture as it is prepared.

    :param solvents: parts by name.
    :param by: ``mass``, ``volume`` or ``mole``: what parts are of.
    :param salts: mol per kg of solvent, or per litre of solution.
    :param kind: ``molality`` or ``molarity``.
    :param additives: mass fraction of the whole.
    :param density: g/cm3 of the solution without additives.
    """

    solvents: dict[str, float]
    by: str = "mass"
    salts: dict[str, float] = field(default_factory=dict)
    kind: str = "molality"
    additives: dict[str, float] = field(default_factory=dict)
    density: float | None = None


def is_mixture(given: Any) -> bool:
    """Return whether something is meant as a mixture in other words than the published form."""
    if isinstance(given, str):
        return bool(given.strip())
    if not isinstance(given, Mapping) or not given:
        return False
    is_short = all(_is_share(share) for share in given.values())
    return is_short or bool({"solvents", "mole_fractions", "mass_fractions", "mixture"} & set(given))


def find_said_density(given: Any) -> float | None:
    """Return the density of the solution in g/cm3 that is said with a mixture, or ``None``.

    :raises InputError: when it is no number above 0.
    """
    if isinstance(given, Mapping):
        said = _read_density(given.get("density"))
        return said if said is not None or "mixture" not in given else find_said_density(str(given["mixture"]))
    match = _DENSITY.search(given) if isinstance(given, str) else None
    return _read_density(float(match[1])) if match else None


def read_mixture(given: Any, density_of: DensityOf | None = None) -> Mixed:
    """Return the mole fractions of a mixture.

    :param density_of: asked where a molarity comes without a density.
    :raises InputError: naming what cannot be understood, is not known, or is needed besides.
    """
    if isinstance(given, Mapping):
        return _read_object(given, density_of)
    if not isinstance(given, str) or not given.strip():
        raise InputError(f"mixture is {given!r}, but accepted are mole fractions by name, or a text as {EXAMPLE}")
    return _read_text(given, given, None, density_of)


def _read_object(given: Mapping[str, Any], density_of: DensityOf | None) -> Mixed:
    if "mixture" in given:
        _demand_keys(given, ("mixture", "density"))
        return _read_text(str(given["mixture"]), dict(given), _read_density(given.get("density")), density_of)
    for key, by in (("mole_fractions", "mole"), ("mass_fractions", "mass")):
        if key in given:
            _demand_keys(given, (key,))
            return _mix_shares(_table(given[key], key), by, dict(given))
    if "solvents" not in given:
        return _mix_shares(dict(given), "mole", dict(given))
    _demand_keys(given, _KEYS)
    return _prepare(_read_recipe(given), dict(given), density_of)


def _read_recipe(given: Mapping[str, Any]) -> Recipe:
    solvents = _numbers(_table(given["solvents"], "solvents"), "solvents")
    kinds = [kind for kind in ("molality", "molarity") if kind in given]
    if len(kinds) > 1:
        raise InputError("a mixture has molality and molarity, but accepted is one of them")
    by = _BASES.get(str(given.get("by", "mass" if len(solvents) == 1 else "")).lower())
    if by is None:
        raise InputError(f"'by' is {given.get('by')!r}, but accepted is what the parts are of: mass, volume or mole")
    salts = _numbers(_table(given[kinds[0]], kinds[0]), kinds[0]) if kinds else {}
    additives = {word: _read_share(share)[0] for word, share in _table(given.get("additives", {}), "additives").items()}
    return Recipe(
        solvents, by, salts, kinds[0] if kinds else "molality", additives, _read_density(given.get("density"))
    )


def _read_text(text: str, given: Any, density: float | None, density_of: DensityOf | None) -> Mixed:
    body, match = text, _DENSITY.search(text)
    if match is not None:
        body, density = text[: match.start()], _read_density(float(match[1]))
    parts = [_SHARE.fullmatch(part) for part in re.split(r"[,;]", body)]
    if all(parts):
        shares, kinds = _read_shares([part for part in parts if part])
        if len(kinds) == 1:
            return _mix_shares(shares, kinds.pop(), given)
        raise InputError(f"{text!r} mixes mol% and wt%: say one of them")
    try:
        recipe = _parse_recipe(body, density)
    except InputError as error:
        raise InputError(f"the mixture {text!r} cannot be read: {error}. Accepted is e.g. {EXAMPLE}") from error
    return _prepare(recipe, given, density_of)


def _read_shares(parts: list[re.Match[str]]) -> tuple[dict[str, Any], set[str]]:
    shares: dict[str, Any] = {}
    kinds = set()
    for part in parts:
        number, unit, word = (part[1], part[2], part[3]) if part[1] else (part[5], part[6], part[4])
        if word in shares:
            raise InputError(f"{word} is given twice")
        shares[word] = float(number) / 100.0
        kinds.add(_PERCENT[unit])
    return shares, kinds


def _parse_recipe(text: str, density: float | None) -> Recipe:
    salt_text, has_salt, rest = text.partition(" in ")
    if not has_salt:
        salt_text, rest = "", text
    solvent_text, *additive_texts = re.split(r"\s\+\s|\s+with\s+", rest)
    salts, kinds = {}, set()
    for part in re.split(r"\s\+\s|\s*,\s*|\s+and\s+", salt_text) if salt_text else ():
        match = _SALT.fullmatch(part)
        if match is None:
            raise InputError(f"{part.strip()!r} is no amount of a salt, as 1 M LiPF6 or 1 mol/kg LiPF6")
        salts[match[3]] = float(match[1])
        kinds.add(_CONCENTRATIONS[match[2]])
    if len(kinds) > 1:
        raise InputError("mol/L and mol/kg are mixed")
    solvents, by = _parse_solvents(solvent_text)
    additives = {}
    for part in additive_texts:
        match = _SHARE.fullmatch(part)
        if match is None or _PERCENT[match[2] or match[6]] != "mass":
            raise InputError(f"{part.strip()!r} is no amount of an additive, as 2 wt% VC (of the whole mass)")
        additives[match[3] or match[4]] = float(match[1] or match[5]) / 100.0
    return Recipe(solvents, by, salts, kinds.pop() if kinds else "molality", additives, density)


def _parse_solvents(text: str) -> tuple[dict[str, float], str]:
    match = _RATIO.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text.strip()!r} are no solvents with a ratio, as EC:EMC 3:7 w/w (w/w, v/v or mol/mol), after an amount "
            "of salt and 'in' where there is a salt"
        )
    words = re.split(r"[:/]", match[1])
    parts = [float(part) for part in re.split(r"[:/]", match[2])] if match[2] else [1.0] * (len(words) == 1)
    if len(parts) != len(words) or len(set(words)) < len(words):
        raise InputError(f"{len(words)} solvents ({', '.join(words)}) have {len(parts)} parts, as EC:EMC 3:7")
    by = _BASES.get((match[3] or "").lower())
    if by is None and (len(words) > 1 or match[3]):
        raise InputError(f"the ratio of {', '.join(words)} is of what? Say w/w (mass), v/v (volume) or mol/mol")
    return dict(zip(words, parts, strict=True)), by or "mass"


def _prepare(recipe: Recipe, given: Any, density_of: DensityOf | None) -> Mixed:
    """Return what comes of a recipe: solvents, then salts, then additives."""
    _demand_parts(recipe)
    chemicals = {word: get_chemical(word) for word in (*recipe.solvents, *recipe.salts, *recipe.additives)}
    if len({chemical.inchikey for chemical in chemicals.values()}) < len(chemicals):
        raise InputError(f"a chemical is named twice in {', '.join(chemicals)}")
    salt = next((word for word in recipe.solvents if chemicals[word].is_salt), None)
    if salt is not None:
        raise InputError(f"{salt} is a salt, but stands among the solvents; accepted is e.g. {EXAMPLE}")
    numbers: dict[str, dict[str, Any]] = {}
    masses = {word: _mass(chemicals[word], part, recipe.by, numbers) for word, part in recipe.solvents.items()}
    kilogram = math.fsum(masses.values())
    solvent = {chemicals[word].inchikey: 1000.0 * mass / kilogram / chemicals[word].molar_mass
               for word, mass in masses.items()}  # fmt: skip
    salts = {chemicals[word].inchikey: amount for word, amount in recipe.salts.items()}
    density = None
    if recipe.kind == "molarity" and any(salts.values()):
        salts, density = _from_molarity(solvent, salts, recipe.density, density_of)
    moles = {**salts, **solvent}
    base = math.fsum(amount * get_chemical(key).molar_mass for key, amount in moles.items())
    rest = 1.0 - math.fsum(recipe.additives.values())
    for word, share in recipe.additives.items():
        moles[chemicals[word].inchikey] = base * share / rest / chemicals[word].molar_mass
    return Mixed(_normalise(moles), given, density, numbers, _records(chemicals.values()))


def _demand_parts(recipe: Recipe) -> None:
    amounts = [*recipe.solvents.values(), *recipe.salts.values(), *recipe.additives.values()]
    if not all(0 <= amount < math.inf for amount in amounts) or not sum(recipe.solvents.values()) > 0:
        raise InputError("amounts of a mixture are 0 or more, and there is a solvent")
    if sum(recipe.additives.values()) >= 1:
        raise InputError(f"additives are {recipe.additives}, but accepted is a part of the whole mass, below 100 %")


def _mass(chemical: Chemical, part: float, by: str, numbers: dict[str, dict[str, Any]]) -> float:
    """Return the mass of parts of a solvent, in any unit that is common to all."""
    if by == "mass":
        return part
    if by == "mole":
        return part * chemical.molar_mass
    if chemical.density is None:
        raise InputError(
            f"the density of {chemical.name} is needed for a ratio by volume, and its record has none: say the ratio "
            "by mass (w/w), or tell the density with 'aiida-finales chemical add'"
        )
    found = chemical.density
    numbers[f"density of {chemical.name}"] = {"value": found.value, "source": found.source,
                                              "temperature": found.temperature}  # fmt: skip
    return part * found.value


def _from_molarity(
    solvent: Mapping[str, float], salts: Mapping[str, float], given: float | None, density_of: DensityOf | None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return mol of each salt per kg of solvent, and the density (g/cm3) with its source.

    :param salts: mol per litre of solution.
    """
    load = math.fsum(amount * get_chemical(key).molar_mass for key, amount in salts.items()) / 1000.0  # kg/L
    if given is not None:
        return _dissolve(salts, load, given), {"value": given, "source": "given"}
    if density_of is None:
        raise InputError("mol/L needs the density of the solution: give it in g/cm3, or say mol/kg")
    density, source = density_of(_normalise({**salts, **solvent}))
    for _ in range(_STEPS):
        found = _dissolve(salts, load, density)
        before, (density, source) = density, density_of(_normalise({**found, **solvent}))
        if abs(density - before) <= _SAME * density:
            break
    return _dissolve(salts, load, density), {"value": density, "source": source}


def _dissolve(salts: Mapping[str, float], load: float, density: float) -> dict[str, float]:
    rest = density - load
    if rest <= 0:
        raise InputError(f"{load:.4g} kg of salt in a litre that weighs {density:.4g} kg leave no room for a solvent")
    return {key: amount / rest for key, amount in salts.items()}


def _mix_shares(shares: Mapping[str, Any], by: str, given: Any) -> Mixed:
    """Return a mixture of fractions of the whole, by mole or by mass."""
    read = {word: _read_share(share) for word, share in shares.items()}
    kinds = {kind for _, kind in read.values() if kind}
    if len(kinds) > 1:
        raise InputError(f"{dict(shares)} mixes mol% and wt%: say one of them")
    chemicals = {word: get_chemical(word) for word in read}
    if len({chemical.inchikey for chemical in chemicals.values()}) < len(chemicals):
        raise InputError(f"a chemical is named twice in {', '.join(chemicals)}")
    scaled = scale({word: share for word, (share, _) in read.items()})
    if (kinds.pop() if kinds else by) == "mole":
        return Mixed({chemicals[word].inchikey: share for word, share in scaled.items()}, given)
    moles = {chemicals[word].inchikey: share / chemicals[word].molar_mass for word, share in scaled.items()}
    return Mixed(_normalise(moles), given, records=_records(chemicals.values()))


def _normalise(moles: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(moles.values())
    return {key: amount / total for key, amount in moles.items()}


def _records(chemicals: Any) -> dict[str, str]:
    return {chemical.name: chemical.record for chemical in chemicals}


def _is_share(share: Any) -> bool:
    if isinstance(share, str):
        return re.fullmatch(rf"\s*{_NUMBER}\s*({_WORDS})\s*", share) is not None
    return isinstance(share, (int, float)) and not isinstance(share, bool)


def _read_share(share: Any) -> tuple[float, str]:
    """Return a fraction, and whether it was said as ``mole`` or ``mass``; empty where it was not."""
    if not _is_share(share):
        raise InputError(f"fraction is {share!r}, but accepted is a number from 0 to 1, or a text as '8 %' or '12 wt%'")
    if not isinstance(share, str):
        return float(share), ""
    number, unit = re.fullmatch(rf"\s*{_NUMBER}\s*({_WORDS})\s*", share).groups()  # type: ignore[union-attr]
    return float(number) / 100.0, "" if unit == "%" else _PERCENT[unit]


def _table(given: Any, key: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{key} is {given!r}, but accepted is an object of numbers by the name of a chemical")
    return dict(given)


def _numbers(table: Mapping[str, Any], key: str) -> dict[str, float]:
    for word, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{key}.{word} is {value!r}, but accepted is a number")
    return {word: float(value) for word, value in table.items()}


def _positive(given: Mapping[str, Any], key: str) -> float | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InputError(f"{key} is {value!r}, but accepted is a number above 0")
    return float(value)


def _read_density(value: Any) -> float | None:
    """Return a density of a solution in g/cm3.

    :raises InputError: when it is no number that a solution can have, naming the unit that it looks like.
    """
    density = _positive({"density": value}, "density")
    low, high = DENSITIES
    if density is not None and not low <= density <= high:
        slip = ": that looks like kg/m3" if low <= density / 1000 <= high else ""
        raise InputError(f"density is {density:g}, but accepted is {low:g} to {high:g} g/cm3{slip}")
    return density


def _demand_keys(given: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(accepted))
    if unknown:
        raise InputError(f"unknown {unknown} in a mixture; accepted beside each other are {', '.join(accepted)}")


def tell(mixed: Mapping[str, Any]) -> str:
    """Return in words what a mixture was made of beside its mole fractions: what :meth:`Mixed.to_dict` returned."""
    words = [f"as given: {mixed['given']}"]
    if "density" in mixed:
        words.append(f"density {mixed['density']['value']:.5g} g/cm3 ({mixed['density']['source']})")
    for name, number in mixed.get("numbers", {}).items():
        words.append(f"{name} {number['value']:g} g/cm3 ({number['source']}, {number['temperature']:g} K)")
    return "; ".join(words)


def mass_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """Return the mass fraction of each chemical.

    :param fractions: mole fractions, by any word for a chemical.
    """
    return _normalise({word: share * get_chemical(word).molar_mass for word, share in fractions.items()})


def molarities(fractions: Mapping[str, float], density: float) -> dict[str, float]:
    """Return mol/L of each chemical.

    :param density: g/cm3.
    """
    mass = math.fsum(share * get_chemical(word).molar_mass for word, share in fractions.items())
    return {word: 1000.0 * share * density / mass for word, share in fractions.items()}


def solvent_ratio(fractions: Mapping[str, float], by: str) -> dict[str, float]:
    """Return the part of each solvent of all solvents.

    :param by: ``mass``, ``volume`` (needs the density in each record) or ``mole``.
    """
    parts = {}
    for word, share in fractions.items():
        chemical = get_chemical(word)
        if not chemical.is_salt:
            per_part = _mass(chemical, 1.0, by, {})
            parts[word] = share * chemical.molar_mass / per_part
    return _normalise(parts)
