"""A chemical as a record: names, structure, role, and the numbers that somebody can cite.

As a document (JSON, YAML) it has the keys of :class:`Chemical`; a number is an object with ``value``, ``source`` and
``temperature``. What follows from the structure (InChIKey, formula, charges) is computed where RDKit is installed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import TENANT, Record
from aiida_finales.schemas.chemicals.smiles import compute_formula, compute_inchikey, ion_charges, net_charge
from aiida_finales.schemas.ranges import PLAUSIBLE
from aiida_finales.schemas.temperature import read_temperature

ROLES = ("salt", "solvent", "additive")
#: the numbers that a record may have, in the unit of storage
NUMBERS = {"density": "g/cm3", "molar_volume": "cm3/mol", "viscosity": "mPa s"}
_EXPECTED = {
    "density": PLAUSIBLE["gram / centimeter ** 3"],
    "molar_volume": PLAUSIBLE["centimeter ** 3 / mole"],
    "viscosity": PLAUSIBLE["millipascal * second"],
    "temperature": PLAUSIBLE["kelvin"],
}
_REQUIRED = ("name", "smiles")
#: what a name may not have: it would be read as something else in a mixture
_NO_NAME = re.compile(r"[\s:;+/%|]|^[\d.]+$")
_NUMBER = r"(\d+(?:\.\d+)?)?"
_FORMULA = re.compile(rf"([A-Z][a-z]?){_NUMBER}")
_GROUP = re.compile(rf"[(\[]((?:[A-Z][a-z]?{_NUMBER.replace('(', '(?:', 1)})+)[)\]]{_NUMBER}")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
#: ``1/3`` in a formula, and by how much of all atoms the share of an element may differ that is rounded
_SHARE, _ROUNDED = re.compile(r"(\d+)[/\u2044]([1-9]\d*)"), 1.5e-3
_INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
#: a systematic name: at least six letters in a row; in SMILES there are fewer
_NAME = re.compile(r"[\w\s,.'()-]*[^\W\d_]{6}[\w\s,.'()-]*")
#: one spelling of what is written in several ways, in English and German: ``Natrium-bis(fluorsulfonyl)imid``
_SPELLINGS = tuple((re.compile(pattern), letters) for pattern, letters in (
    (r"[\s-]+", ""), ("natrium", "sodium"), ("kalium", "potassium"), ("karbonat", "carbonat"), ("sulph", "sulf"),
    ("glykol", "glycol"), ("äther", "ether"), ("fluoro", "fluor"), ("chloro", "chlor"), (r"(at|an|en|id|on)e", r"\1"),
))  # fmt: skip

# Standard atomic weights (IUPAC 2021, conventional values where an interval is given). Lithium has 6.941, as earlier
# results here were computed with and as RDKit has it; the interval is 6.938 to 6.997.
WEIGHTS = {
    "H": 1.008, "Li": 6.941, "Be": 9.0121831, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998403162,
    "Na": 22.98976928, "Mg": 24.305, "Al": 26.9815384, "Si": 28.085, "P": 30.973761998, "S": 32.06, "Cl": 35.45,
    "K": 39.0983, "Ca": 40.078, "Sc": 44.955907, "Ti": 47.867, "V": 50.9415, "Cr": 51.9961, "Mn": 54.938043,
    "Fe": 55.845, "Co": 58.933194, "Ni": 58.6934, "Cu": 63.546, "Zn": 65.38, "Ga": 69.723, "Ge": 72.630,
    "As": 74.921595, "Se": 78.971, "Br": 79.904, "Rb": 85.4678, "Sr": 87.62, "Y": 88.905838, "Zr": 91.224,
    "Nb": 92.90637, "Mo": 95.95, "Ag": 107.8682, "Sn": 118.710, "Sb": 121.760, "Te": 127.60, "I": 126.90447,
    "Cs": 132.90545196, "Ba": 137.327, "La": 138.90547, "W": 183.84, "Pb": 207.2, "Bi": 208.98040,
}  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A number that somebody published or measured.

    :param source: who, e.g. a DOI.
    :param temperature: K.
    """

    value: float
    source: str
    temperature: float


@dataclass(frozen=True)
class Chemical(Record):
    """A chemical; what identifies it is the InChIKey.

    :param role: one of :data:`ROLES`.
    :param formula: atoms and their numbers, e.g. ``C3H4O3``; empty where it is not known.
    :param density: of the pure liquid, g/cm3.
    :param molar_volume: in solution, cm3/mol.
    :param viscosity: of the pure liquid, mPa s.
    :param origin: where the record is from: ``library``, ``profile``, a tenant, another package.
    :param version: of the record there.
    """

    name: str
    smiles: str
    inchikey: str
    role: str = "solvent"
    formula: str = ""
    synonyms: tuple[str, ...] = ()
    density: Number | None = None
    molar_volume: Number | None = None
    viscosity: Number | None = None
    origin: str = "library"
    version: str = "1"

    @property
    def is_salt(self) -> bool:
        """Whether it is dissolved in the others."""
        return self.role == "salt"

    @property
    def molar_mass(self) -> float:
        """Molar mass in g/mol, of the formula.

        :raises InputError: when the record has none.
        """
        if not self.formula:
            message = (
                f"the molar mass of {self.name} is not known: its record has no formula; install RDKit, or give one "
                "('aiida-finales chemical add')"
            )
            raise InputError(message)
        return molar_mass(self.formula)

    @property
    def charges(self) -> dict[str, int]:
        """Charge of each ion by its SMILES."""
        return ion_charges(self.smiles)

    @property
    def key(self) -> str:
        """What identifies it."""
        return self.inchikey

    @property
    def words(self) -> tuple[str, ...]:
        """What it is found by beside its names."""
        return self.inchikey, self.smiles

    @property
    def identity(self) -> str:
        """What tells it from another chemical of the same name."""
        return f"{self.smiles}, {self.inchikey}"

    @staticmethod
    def fold(word: str) -> str:
        """Return a word as it is compared with others: subscripts are figures, too, and names may be in German."""
        plain = unicodedata.normalize("NFKC", word).strip().casefold()
        if not _NAME.fullmatch(plain):
            return plain  # a SMILES, an abbreviation, a number
        for pattern, letters in _SPELLINGS:
            plain = pattern.sub(letters, plain)
        return plain

    def named(self, name: str, synonyms: Iterable[str]) -> Chemical:
        """Return the same under other names."""
        return replace(self, name=name, synonyms=tuple(synonyms))

    def unite(self, later: Chemical, names: Iterable[str]) -> Chemical:
        """Return this with what a later record says; a tenant only adds what was not known."""
        first, second = (self, later) if later.origin.startswith(TENANT) else (later, self)
        numbers: dict[str, Any] = {
            name: getattr(first, name) or getattr(second, name) for name in (*NUMBERS, "formula")
        }
        is_new = any(number != getattr(self, name) for name, number in numbers.items())
        about: dict[str, Any] = {"origin": later.origin, "version": later.version} if is_new else {}
        synonyms = tuple(word for word in dict.fromkeys((*self.synonyms, *names)) if word != self.name)
        return replace(self, synonyms=synonyms, **numbers, **about)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON, without what is not known."""
        return {key: list(value) if key == "synonyms" else value for key, value in asdict(self).items() if value}


@lru_cache(maxsize=1024)
def molar_mass(formula: str) -> float:
    """Return the molar mass in g/mol, of standard atomic weights.

    :raises InputError: when it is no formula of elements that are known here.
    """
    return round(math.fsum(WEIGHTS[symbol] * number for symbol, number in count_elements(formula).items()), 3)


def count_elements(formula: str) -> dict[str, float]:
    """Return how many atoms of each element a formula has, e.g. ``Na3V2(PO4)3`` or ``LiNi0.8Mn0.1Co0.1O2``.

    :raises InputError: when it is no formula of elements that are known here.
    """
    flat = formula
    while group := _GROUP.search(flat):
        flat = flat.replace(group[0], "".join(_multiply(group[1], float(group[2] or 1))), 1)
    parts = _FORMULA.findall(flat)
    unknown = sorted({symbol for symbol, _ in parts if symbol not in WEIGHTS})
    if not parts or unknown or _FORMULA.sub("", flat):
        why = f"elements that are not known here: {', '.join(unknown)}" if unknown else "that is none"
        raise InputError(f"formula is {formula!r}, {why}; accepted are elements and numbers, e.g. C3H4O3")
    counts: dict[str, float] = {}
    for symbol, number in parts:
        counts[symbol] = counts.get(symbol, 0.0) + float(number or 1)
    return counts


def are_same_compound(formula: str, other: str) -> bool:
    """Return whether two formulas are of one compound of several elements, whatever their order and multiple.

    Subscripts, shares such as ``1/3`` and what rounding to two digits changes are no difference.
    """
    shares, others = _list_shares(formula), _list_shares(other)
    is_compound = len(shares) > 1 and shares.keys() == others.keys()
    return is_compound and all(abs(share - others[symbol]) <= _ROUNDED for symbol, share in shares.items())


@lru_cache(maxsize=1024)
def _list_shares(formula: str) -> dict[str, float]:
    """Return the share of the atoms that each element has; nothing where it is no formula."""
    plain = _COMMA.sub(".", unicodedata.normalize("NFKC", formula))
    plain = _SHARE.sub(lambda share: f"{int(share[1]) / int(share[2]):.9g}", plain)
    try:
        counts = count_elements(plain)
    except InputError:
        return {}
    total = math.fsum(counts.values())
    return {symbol: number / total for symbol, number in counts.items() if number} if total else {}


def _multiply(group: str, times: float) -> list[str]:
    return [f"{symbol}{float(number or 1) * times:.9g}" for symbol, number in _FORMULA.findall(group)]


def parse_record(document: Mapping[str, Any], origin: str, version: str) -> Chemical:
    """Return the chemical of a document that was checked before."""
    numbers: dict[str, Any] = {key: Number(**document[key]) for key in NUMBERS if document.get(key)}
    others = {key: document[key] for key in ("formula", "role") if document.get(key)}
    names = {key: document[key] for key in ("name", "smiles", "inchikey")}
    return Chemical(
        **names, **others, **numbers, synonyms=tuple(document.get("synonyms", ())), origin=origin, version=version
    )


def read_record(document: Any, origin: str, version: str = "1") -> Chemical:
    """Return the chemical that somebody described.

    :raises InputError: naming the key, what was given and what is accepted; also where structure, InChIKey and formula
        contradict each other.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"a chemical is {document!r}, but accepted is an object with {', '.join(_accepted())}")
    said = {_KEYS.get(str(key).lower(), str(key)): value for key, value in document.items()}
    whose = f"chemical {said.get('name', '')!r}"
    unknown = sorted(set(said) - set(_accepted()) - {"origin", "version"})
    lacking = [key for key in _REQUIRED if not said.get(key)]
    if unknown or lacking:
        raise InputError(f"{whose}: unknown {unknown}, lacking {lacking}; accepted are {', '.join(_accepted())}")
    _demand_texts(said, whose)
    told = {
        **said,
        "inchikey": _read_inchikey(said, whose),
        "formula": _read_formula(said, whose),
        "role": said.get("role") or ("salt" if ion_charges(said["smiles"]) else "solvent"),
        **{key: _read_number(said[key], key, whose) for key in NUMBERS if said.get(key) is not None},
    }
    charge = net_charge(said["smiles"])
    if charge and "." in said["smiles"]:  # an ion alone is meant
        raise InputError(
            f"{whose}: the ions of the SMILES sum to {charge:+d}, but accepted is a salt with all its ions"
        )
    if told["role"] not in ROLES:
        raise InputError(f"{whose}: role is {told['role']!r}, but accepted are {', '.join(ROLES)}")
    return parse_record(told, origin, version)


#: other spellings of a key
_KEYS = {"smiles": "smiles", "inchikey": "inchikey", "inchi_key": "inchikey"}


def _accepted() -> list[str]:
    return [field.name for field in fields(Chemical) if field.name not in ("origin", "version")]


def _demand_texts(said: Mapping[str, Any], whose: str) -> None:
    synonyms = said.get("synonyms") or []
    if not isinstance(synonyms, (list, tuple)):
        raise InputError(f"{whose}: synonyms is {synonyms!r}, but accepted is a list of names")
    texts = {key: said[key] for key in ("name", "smiles", "inchikey", "formula", "role") if said.get(key) is not None}
    texts |= {f"synonyms[{number}]": word for number, word in enumerate(synonyms)}
    for key, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{whose}: {key} is {text!r}, but accepted is a text")
    if _NO_NAME.search(said["name"]):
        words = "a short name without blanks and : ; + / % |, as mixtures are written with it; put others in synonyms"
        raise InputError(f"{whose}: accepted is {words}")


def _read_inchikey(said: Mapping[str, Any], whose: str) -> str:
    given, computed = said.get("inchikey"), compute_inchikey(said["smiles"])
    if given is None and computed is None:
        why = "RDKit cannot read the SMILES" if _has_words(said["smiles"]) else "RDKit is not installed"
        raise InputError(f"{whose}: inchikey is missing, and it cannot be computed: {why}")
    if given is None:
        return str(computed)
    if not is_inchikey(given):
        raise InputError(f"{whose}: inchikey is {given!r}, but accepted is one as KMTRUDSVKNLOMY-UHFFFAOYSA-N")
    return str(given)


def _has_words(smiles: str) -> bool:
    return compute_inchikey("C") is not None and compute_inchikey(smiles) is None


def _read_formula(said: Mapping[str, Any], whose: str) -> str:
    given, computed = said.get("formula"), compute_formula(said["smiles"])
    if given is not None:
        mass = molar_mass(given)
        if computed is not None and abs(molar_mass(computed) - mass) > 1e-6:  # noqa: PLR2004 - g/mol
            raise InputError(f"{whose}: formula is {given}, but that of the SMILES is {computed}")
    return str(given or computed or "")


def _read_number(given: Any, key: str, whose: str) -> dict[str, Any]:
    accepted = f"an object with value ({NUMBERS[key]}), source and temperature (K, or a text as '25 °C')"
    if not isinstance(given, Mapping) or set(given) != {"value", "source", "temperature"}:
        raise InputError(f"{whose}: {key} is {given!r}, but accepted is {accepted}")
    value = given["value"]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    if not is_number or not isinstance(given["source"], str) or not given["source"].strip():
        raise InputError(f"{whose}: {key} is {dict(given)!r}, but accepted is {accepted}; a number above 0, a DOI")
    temperature = read_temperature(given["temperature"], f"{whose}: temperature of {key}")
    for name, number, unit in ((key, value, NUMBERS[key]), ("temperature", temperature, "K")):
        refusal = _EXPECTED[name].find_refusal(number, unit)
        if refusal:
            of = f" of {key}" if name != key else ""
            raise InputError(f"{whose}: {name}{of} is {number:g}, but accepted is {refusal}")
    return {"value": float(value), "source": given["source"], "temperature": temperature}


def is_inchikey(word: str) -> bool:
    """Return whether a word has the form of an InChIKey."""
    return _INCHIKEY.fullmatch(word) is not None
