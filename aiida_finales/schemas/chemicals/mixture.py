"""Mixtures as people say them, made mole fractions.

A text: :mod:`.phrase` says which. An object: mole fractions by name, numbers or percent; ``mole_fractions`` or
``mass_fractions``; or ``solvents`` (parts), ``by`` (mass, volume, mole), ``molality`` (mol/kg of solvent) or
``molarity`` (mol/L), ``additives`` (mass fraction of the whole) and ``density`` (g/cm3 of the solution without
additives); or ``mixture`` (a text) and ``density``. A list: of such texts, or of objects with one chemical each.

What is needed besides, and is not in it, comes from records of chemicals, and is named: densities of solvents for
ratios by volume; the density of the solution for mol/L from whoever calls, for forms know no models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.phrase import read_phrase
from aiida_finales.schemas.chemicals.recipe import EXAMPLE, DensityOf, Mixed, Recipe, Shares, read_density
from aiida_finales.schemas.chemicals.tokens import read_basis, read_share, search_density

_KEYS = ("solvents", "by", "molality", "molarity", "additives", "density")


def is_mixture(given: Any) -> bool:
    """Return whether something is meant as a mixture in other words than the published form."""
    if isinstance(given, str):
        return bool(given.strip())
    if isinstance(given, list):
        return bool(given) and (all(isinstance(part, str) for part in given) or all(map(_is_entry, given)))
    if not isinstance(given, Mapping) or not given:
        return False
    is_short = all(read_share(share) is not None for share in given.values())
    return is_short or bool({"solvents", "mole_fractions", "mass_fractions", "mixture"} & set(given))


def _is_entry(part: Any) -> bool:
    """Return whether something is one chemical of a list: ``{EC: 0.3}``, or ``chemical`` (a name) and ``fraction``."""
    if not isinstance(part, Mapping):
        return False
    if "fraction" in part:
        return isinstance(part.get("chemical"), str)
    return len(part) == 1 and read_share(next(iter(part.values()))) is not None


def find_said_density(given: Any) -> float | None:
    """Return the density of the solution in g/cm3 that is said with a mixture, or ``None``.

    :raises InputError: when it is no number above 0.
    """
    if isinstance(given, Mapping):
        said = read_density(given.get("density"))
        return said if said is not None or "mixture" not in given else find_said_density(str(given["mixture"]))
    return search_density(given) if isinstance(given, str) else None


def read_mixture(given: Any, density_of: DensityOf | None = None) -> Mixed:
    """Return the mole fractions of a mixture.

    :param density_of: asked where a molarity comes without a density.
    :raises InputError: naming what cannot be understood, is not known, or is needed besides.
    """
    if isinstance(given, list):
        return _read_list(given).mix(given, density_of)
    if isinstance(given, Mapping):
        return _read_object(given).mix(dict(given), density_of)
    if not isinstance(given, str) or not given.strip():
        raise InputError(f"mixture is {given!r}, but accepted are mole fractions by name, or a text as {EXAMPLE}")
    return _read_text(given, None).mix(given, density_of)


def _read_text(text: str, density: float | None) -> Recipe | Shares:
    try:
        return read_phrase(text, density)
    except InputError as error:
        end = "" if str(error).endswith("?") else "."
        raise InputError(f"the mixture {text!r} cannot be read: {error}{end} Accepted is e.g. {EXAMPLE}") from error


def _read_list(given: list[Any]) -> Recipe | Shares:
    if all(isinstance(part, str) for part in given):
        return _read_text(", ".join(given), None)
    if not all(map(_is_entry, given)):
        raise InputError(f"mixture is {given!r}, but accepted in a list are texts, or objects as {{EC: 0.3}}")
    pairs: list[tuple[str, Any]] = []
    for part in given:
        _demand_keys(part, ("chemical", "fraction") if "fraction" in part else tuple(part))
        pairs.append((part["chemical"], part["fraction"]) if "fraction" in part else next(iter(part.items())))
    if len(dict(pairs)) < len(pairs):
        raise InputError(f"a chemical is named twice in {', '.join(word for word, _ in pairs)}")
    return _read_shares(dict(pairs), "mole")


def _read_object(given: Mapping[str, Any]) -> Recipe | Shares:
    if "mixture" in given:
        _demand_keys(given, ("mixture", "density"))
        return _read_text(str(given["mixture"]), read_density(given.get("density")))
    for key, by in (("mole_fractions", "mole"), ("mass_fractions", "mass")):
        if key in given:
            _demand_keys(given, (key,))
            return _read_shares(_table(given[key], key), by)
    if "solvents" not in given:
        return _read_shares(given, "mole")
    _demand_keys(given, _KEYS)
    return _read_recipe(given)


def _read_recipe(given: Mapping[str, Any]) -> Recipe:
    solvents = _numbers(_table(given["solvents"], "solvents"), "solvents")
    kinds = [kind for kind in ("molality", "molarity") if kind in given]
    if len(kinds) > 1:
        raise InputError("a mixture has molality and molarity, but accepted is one of them")
    by = read_basis(str(given.get("by", "mass" if len(solvents) == 1 else "")))
    if by is None:
        raise InputError(f"'by' is {given.get('by')!r}, but accepted is what the parts are of: mass, volume or mole")
    salts = _numbers(_table(given[kinds[0]], kinds[0]), kinds[0]) if kinds else {}
    additives = _read_shares(_table(given.get("additives", {}), "additives"), "mass")
    return Recipe(solvents, by, salts, kinds[0] if kinds else "molality", additives.fractions, additives.by,
                  read_density(given.get("density")))  # fmt: skip


def _read_shares(shares: Mapping[str, Any], by: str) -> Shares:
    """Return fractions of the whole.

    :param by: what they are of where they do not say it themselves.
    """
    read = {}
    for word, share in shares.items():
        found = read_share(share)
        if found is None:
            raise InputError(
                f"fraction is {share!r}, but accepted is a number from 0 to 1, or a text as '8 %' or '12 wt%'"
            )
        read[word] = found
    kinds = {kind for _, kind in read.values() if kind}
    if len(kinds) > 1:
        raise InputError(f"{dict(shares)} mixes mol% and wt%: say one of them")
    if "volume" in kinds:
        raise InputError(f"{dict(shares)} has parts by volume: say 'solvents' and 'by: volume', or a text as {EXAMPLE}")
    return Shares({word: share for word, (share, _) in read.items()}, kinds.pop() if kinds else by)


def _table(given: Any, key: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{key} is {given!r}, but accepted is an object of numbers by the name of a chemical")
    return dict(given)


def _numbers(table: Mapping[str, Any], key: str) -> dict[str, float]:
    for word, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{key}.{word} is {value!r}, but accepted is a number")
    return {word: float(value) for word, value in table.items()}


def _demand_keys(given: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(accepted))
    if unknown:
        raise InputError(f"unknown {unknown} in a mixture; accepted beside each other are {', '.join(accepted)}")


def tell(mixed: Mapping[str, Any]) -> str:
    """Return in words what a mixture was made of beside its mole fractions: what :meth:`Mixed.to_dict` returned."""
    words = [f"as given: {mixed['given']}"]
    if "understood" in mixed:
        words.append(f"understood as {mixed['understood']}")
    if "density" in mixed:
        words.append(f"density {mixed['density']['value']:.5g} g/cm3 ({mixed['density']['source']})")
    for name, number in mixed.get("numbers", {}).items():
        words.append(f"{name} {number['value']:g} g/cm3 ({number['source']}, {number['temperature']:g} K)")
    return "; ".join(words)
