"""The tokens of a line that says a mixture: names of chemicals, amounts, shares, ratios, and what separates them.

A name that is known is found first, whatever is in it: ``1,3-dioxolane`` is no list, ``Mg(TFSI)2`` no bracket.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.recipe import read_density
from aiida_finales.schemas.chemicals.registry import LIBRARY, load_registry

_NUMBER = r"(?:\d+(?:[.,]\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_PART = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?\s*%?"  # no decimal comma: in '3:7,1.2' it would take the 1 along
_LITRE = r"(?i:l(?:it(?:er|re)s?)?|dm\s*\^?3)"
_PER = r"(?:/|(?i:per)\b)\s*"
#: mol per litre and per kg, in small and capital letters as people write them; only M and m differ by them
_MOLARITY = rf"m?M|(?i:molar)(?!\s*ratio)|(?i:m?mol)\s*(?:{_PER}{_LITRE}|[·.*]?\s*(?i:l|dm)\s*\^?-[13])"
_MOLALITY = rf"m(?!/m)|(?i:molal)|(?i:m?mol)\s*(?:{_PER}(?i:kg)|[·.*]?\s*(?i:kg)\s*\^?-1)"
_BASES = {
    "mass": r"wt(?:[/:]wt)*|w(?:[/:]w)*|m(?:[/:]m)+|g/g|weight|mass|gew|massen?|ma(?=\.)",
    "volume": r"vol(?:[/:]vol)*|v(?:[/:]v)*|volume",
    "mole": r"mol(?:[/:]mol)*|n(?:[/:]n)+|mole|molar|moles",
}
_BASIS = "|".join(f"(?P<{by}>{words})" for by, words in _BASES.items())
_PER_CM3 = r"g\s*/\s*(?:cm\s*\^?3|ml|cc)|g\s*[·.*]?\s*(?:cm\s*\^?-3|ml\s*\^?-1)|kg\s*/\s*(?:l|dm\s*\^?3)"
_PER_M3 = r"kg\s*/\s*m\s*\^?3|kg\s*[·.*]?\s*m\s*\^?-3|g\s*/\s*l"
#: what is weighed, measured or counted, in a unit that drops out
_WEIGHTS = {"g": ("mass", 1.0), "mg": ("mass", 1e-3), "kg": ("mass", 1e3), "ml": ("volume", 1.0),
            "µl": ("volume", 1e-3), "μl": ("volume", 1e-3), "ul": ("volume", 1e-3), "l": ("volume", 1e3),
            "mol": ("mole", 1.0), "mmol": ("mole", 1e-3)}  # fmt: skip
_FILLERS = r"(?:an?|the|of|to|as)(?=\s+\w)|ratio|mixture|solution|solvents?|additives?|dissolved|electrolyte"
_END = r"(?![\w/%])"
_PERCENT = r"(?:%|percent\b|per\s+cent\b)"


def _compile(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(pattern, flags)


#: what a token may be, in the order in which it is tried
_TOKENS = (
    ("density", _compile(rf"(?:(?:density|rho|\u03c1|d)\s*[=:]?\s*)?({_NUMBER})\s*(?:({_PER_CM3})|({_PER_M3})){_END}")),
    ("amount", _compile(rf"({_NUMBER})\s*(?:({_MOLARITY})|({_MOLALITY})){_END}", 0)),
    ("ratio", _compile(rf"{_PART}(?:\s*[:/]\s*{_PART})+{_END}")),
    ("share", _compile(rf"({_NUMBER})\s*(?:{_BASIS})[.\s-]*{_PERCENT}")),
    ("share", _compile(rf"({_NUMBER})\s*{_PERCENT}(?:\s*\(?(?:by\s+)?(?:{_BASIS}){_END}\)?)?")),
    ("weight", _compile(rf"({_NUMBER})\s*({'|'.join(_WEIGHTS)}){_END}")),
    ("temperature", _compile(rf"(?:at\s+)?{_NUMBER}\s*(?:°\s*C|deg\s?C|K){_END}")),
    ("number", _compile(rf"{_NUMBER}(?!\w|[.,]\d|-[^\W\d_])")),
    ("in", _compile(r"in\b")),
    ("with", _compile(r"(?:with|containing|plus|and|mit|und)\b|[&,;+]")),
    ("basis", _compile(rf"(?:by\s+)?(?:{_BASIS})\.?(?:\s*-?\s*%)?{_END}")),
    ("filler", _compile(rf"(?:{_FILLERS})\b|[()\[\]=]")),
    ("minus", _compile(r"(?<![^\s(\[=:/,;+])-(?=\.?\d)\S*")),
    ("joint", _compile(r"[:/|-]")),
)  # fmt: skip
#: names that nobody here knows, to be named in the message: with groups in brackets, and as SMILES
_UNKNOWN = (_compile(r"\S*(?:\(=|#|@|\[[A-Z])\S*"), _compile(r"(?:\d+(?:,\d+)*-)?[^\W\d_](?:\w|\([^\s()]*\)|-(?=\w))*"))


class Token(NamedTuple):
    """A piece of a line.

    :param kind: ``name``, ``amount`` (value: number, kind), ``share`` (fraction, basis or empty), ``ratio`` (parts),
        ``weight`` (parts, basis), ``number``, ``basis``, ``density``, ``in``, ``with`` or ``joint``.
    """

    kind: str
    text: str
    value: Any = None


def unify(text: str) -> str:
    """Return a text with the plain form of signs that have several: subscripts, dashes, blanks, dots between units."""
    plain = unicodedata.normalize("NFKC", text).replace("∶", ":")  # noqa: RUF001 - these are meant
    return re.sub("[∙⋅•×]", "·", re.sub("[‐‑‒–—−]", "-", plain)).strip()  # noqa: RUF001 - these are meant


def search_density(text: str) -> float | None:
    """Return the density in g/cm3 that a line says, or ``None``.

    :raises InputError: when it is none that a solution can have.
    """
    pattern = re.compile(rf"(?<![\w.,]){_TOKENS[0][1].pattern}", re.IGNORECASE)
    match = pattern.search(unify(text))
    return _density_of(match) if match else None


def _density_of(match: re.Match[str]) -> float | None:
    return read_density(_float(match[1]) * (1.0 if match[2] else 1e-3))


def _float(text: str) -> float:
    return float(text.replace(",", "."))


@cache
def _products() -> dict[str, str]:
    """Return what the trade sells under a name."""
    document = json.loads(LIBRARY.read_text(encoding="utf-8"))
    return {product["name"]: product["mixture"] for product in document["mixtures"]}


@lru_cache(maxsize=4)
def _name_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds the longest known name; a SMILES only where nothing else of the line touches it."""
    ordered = sorted(words, key=len, reverse=True)
    plain = [re.escape(word) for word in ordered if re.fullmatch(r"[\w(),.'-]+", word) or " " in word]
    drawn = [re.escape(word) for word in ordered if re.search(r"[()=#@\[]|^[A-Z]$", word)]
    return re.compile(rf"(?P<drawn>{'|'.join(drawn)})(?=[\s,;:]|$)|(?i:{'|'.join(plain)})(?!\w)")


def cut(line: str) -> list[Token]:
    """Return the tokens of a line.

    :raises InputError: naming what is none.
    """
    registry = load_registry()
    names = _name_pattern(tuple(registry.words))
    for word, mixture in _products().items():
        line = re.sub(rf"(?<!\w){word}(?!\w)", mixture, line, flags=re.IGNORECASE)
    tokens: list[Token] = []
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
            continue
        match = names.match(line, place)
        token = Token("name", match[0]) if match else None
        if match is None:
            token, match = _read_token(line, place)
        if token is not None:
            tokens.append(token)
        place = match.end()
    return tokens


def _read_token(line: str, place: int) -> tuple[Token | None, re.Match[str]]:
    for kind, pattern in _TOKENS:
        match = pattern.match(line, place)
        if match is not None:
            return (None if kind == "filler" else Token(kind, match[0].strip(), _value(kind, match))), match
    for pattern in _UNKNOWN:
        match = pattern.match(line, place)
        if match is not None:
            return Token("name", match[0]), match
    raise InputError(f"{line[place:].split(maxsplit=1)[0]!r} is not understood")


def _read_amount(match: re.Match[str]) -> tuple[float, str]:
    is_milli = re.match("mM|mmol", match[2] or match[3]) is not None
    return _float(match[1]) * (1e-3 if is_milli else 1.0), "molarity" if match[2] else "molality"


def _weigh(match: re.Match[str]) -> tuple[float, str]:
    by, factor = _WEIGHTS[match[2].lower()]
    return _float(match[1]) * factor, by


def _refuse_temperature(match: re.Match[str]) -> None:
    raise InputError(f"a temperature ({match[0]}) is said beside a mixture ('temperature'), not in it")


def _refuse_minus(match: re.Match[str]) -> None:
    raise InputError(f"{match[0]!r} is below 0; accepted are amounts of 0 or more, and '-' between names")


def _basis(match: re.Match[str]) -> str:
    return next((by for by, word in match.groupdict().items() if word), "")


#: what is read of a token, by its kind; nothing of the others
_READ: dict[str, Callable[[re.Match[str]], Any]] = {
    "density": _density_of,
    "amount": _read_amount,
    "ratio": lambda match: [_float(part) for part in re.findall(_NUMBER, match[0])],
    "share": lambda match: (_float(match[1]) / 100.0, _basis(match)),
    "weight": _weigh,
    "temperature": _refuse_temperature,
    "minus": _refuse_minus,
    "number": lambda match: _float(match[0]),
    "basis": _basis,
}


def _value(kind: str, match: re.Match[str]) -> Any:
    return _READ[kind](match) if kind in _READ else None


#: what says how much there is of something
_MUCH = ("density", "amount", "ratio", "share", "weight")


def _is_cas(word: str) -> bool:
    """Return whether a word is a CAS registry number, with the right last digit."""
    if not re.fullmatch(r"[1-9]\d{1,6}-\d\d-\d", word):
        return False
    *digits, last = map(int, word.replace("-", ""))
    return sum(place * digit for place, digit in enumerate(reversed(digits), start=1)) % 10 == last


def is_no_name(word: str) -> bool:
    """Return whether a line would be read otherwise if a chemical had this name: ``in``, ``2``, ``w/w``, ``LP30``."""
    line = unify(word)
    kinds: list[str] = []
    if _is_cas(line):
        return False
    if line.casefold() in map(str.casefold, _products()):
        return True
    while line:
        found = next(((kind, match) for kind, pattern in _TOKENS if (match := pattern.match(line))), None)
        if found is None:
            return bool(kinds) and kinds[0] in _MUCH
        kinds.append(found[0])
        line = line[found[1].end() :].lstrip()
    return True


def read_basis(word: str) -> str | None:
    """Return what ``w/w``, ``vol`` or ``mole`` means: ``mass``, ``volume`` or ``mole``; ``None``: nothing."""
    match = re.fullmatch(_BASIS, word.strip(), re.IGNORECASE)
    return _basis(match) if match else None


def read_share(share: Any) -> tuple[float, str] | None:
    """Return a fraction, and what it was said to be of (empty where it was not); ``None`` where it is no fraction."""
    if isinstance(share, (int, float)) and not isinstance(share, bool):
        return float(share), ""
    if not isinstance(share, str):
        return None
    matches = (pattern.fullmatch(unify(share)) for kind, pattern in _TOKENS if kind == "share")
    return next((_value("share", match) for match in matches if match), None)
