"""An electrode, a separator, a format of cells as a record: names, what it is, and numbers with source and status.

As a document (JSON, YAML) it has the keys of its class; a number stands under its own key, as an object with ``value``,
``source`` and ``status``. Its unit is fixed by the key: :attr:`CellPart.NUMBERS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import TENANT, Record
from aiida_finales.schemas.chemicals.record import are_same_compound, count_elements, molar_mass

#: how much a number can be trusted
STATUSES = {
    "seen": "read in the source",
    "measured": "by the source, for this record",
    "computed": "follows from other numbers",
    "recalled": "from memory of the source: check it before you publish",
    "invented": "for rehearsals and examples",
    "unknown": "nobody here knows it; there is no value",
}
POLARITIES = ("positive", "negative", "both")
#: charge of each working ion, and the standard potential of its metal in water, V against hydrogen: CRC Handbook
WORKING_IONS = {"Li": 1, "Na": 1, "K": 1, "Mg": 2}
METAL_POTENTIALS = {"Li": -3.040, "Na": -2.714, "K": -2.931, "Mg": -2.372}
DESIGNS = ("coin", "pouch", "cylindrical", "prismatic", "three-electrode")
#: C/mol
_FARADAY = 96485.33212
#: relative deviation of a theoretical capacity from its formula that is rounding
_ROUNDING = 0.02
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212®]+|\(r\)")
#: letters and a ratio: ``nmc8:1:1``, ``nmc(8/1/1)``
_RATIO = re.compile(r"([a-z]+)\(?(\d(?:[:/]?\d){1,3})\)?")


@dataclass(frozen=True)
class Number:
    """A number that somebody published, measured, computed or invented.

    :param value: ``None`` where it is not known.
    :param status: one of :data:`STATUSES`.
    """

    value: float | None
    unit: str
    source: str
    status: str


@dataclass(frozen=True)
class Kind:
    """What numbers of one key are: their unit, and the range that none can leave.

    :param slip: what a number outside is likely to be.
    """

    unit: str
    low: float
    high: float
    slip: str = ""


@dataclass(frozen=True)
class CellPart(Record):
    """What cells are made of, known by its name.

    :param numbers: one per key of :attr:`NUMBERS`; those that are not known have no value.
    """

    IS_NAMED: ClassVar[bool] = True
    #: section of a file, and noun
    NOUN: ClassVar[str] = "parts"
    NUMBERS: ClassVar[Mapping[str, Kind]] = {}
    REQUIRED: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    synonyms: tuple[str, ...] = ()
    description: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)
    origin: str = "library"
    version: str = "1"

    @property
    def key(self) -> str:
        """What identifies it: its name, as it is compared with others."""
        return self.fold(self.name)

    @property
    def known(self) -> dict[str, float]:
        """The numbers that are known, in the units of :attr:`NUMBERS`."""
        return {key: number.value for key, number in self.numbers.items() if number.value is not None}

    @staticmethod
    def fold(word: str) -> str:
        """Return a word without what people write differently: capitals, blanks, hyphens, signs in ratios."""
        plain = _SEPARATORS.sub("", word.casefold())
        ratio = _RATIO.fullmatch(plain)
        return plain if ratio is None else ratio[1] + re.sub("[:/]", "", ratio[2])

    def named(self, name: str, synonyms: Iterable[str]) -> Self:
        """Return the same under other names."""
        return replace(self, name=name, synonyms=tuple(synonyms))

    def unite(self, later: Self, names: Iterable[str]) -> Self:
        """Return this with what a later record says; a tenant only adds what was not known."""
        first, second = (self, later) if later.origin.startswith(TENANT) else (later, self)
        told = {item.name: getattr(first, item.name) or getattr(second, item.name) for item in fields(self)}
        numbers = {**self.numbers, **{key: later.numbers[key] for key in later.known}}
        numbers |= {key: first.numbers[key] for key in first.known}
        synonyms = tuple(word for word in dict.fromkeys((*self.synonyms, *names)) if word != self.name)
        kept = {"name": self.name, "synonyms": synonyms, "origin": self.origin, "version": self.version}
        united = replace(self, **{**told, **kept, "numbers": numbers})
        is_new = replace(united, synonyms=self.synonyms) != self
        return replace(united, origin=later.origin, version=later.version) if is_new else united

    def demand(self, key: str) -> float:
        """Return a number that must be known.

        :raises InputError: when it is not, with how to tell it.
        """
        value = self.numbers[key].value
        if value is None:
            noun = self.NOUN.removesuffix("s").replace("_", " ")
            raise InputError(
                f"{key} of {noun} {self.name} ({self.record}) is not known: {self.numbers[key].source}; tell it in a "
                f"file ({key}: value in {self.numbers[key].unit}, source, status) with 'aiida-finales electrode add'"
            )
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a document, without what is not said."""
        about = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "numbers"}
        said = {key: list(value) if isinstance(value, tuple) else value for key, value in about.items() if value}
        told = {key: number for key, number in self.numbers.items() if number.source}
        return said | {key: asdict(number) for key, number in told.items()}

    def check(self) -> None:
        """Refuse what contradicts itself.

        :raises InputError: naming both.
        """


@dataclass(frozen=True)
class Electrode(CellPart):
    """A material that electrodes are made of.

    :param polarity: one of :data:`POLARITIES`.
    :param working_ions: that it takes up; potentials are against the metal of the first.
    :param formula: of the material as a cell is built with it.
    :param electrons: that one formula exchanges at the theoretical capacity; 0: not said.
    :param smiles: of the material in published requests, if there is one.
    """

    NOUN: ClassVar[str] = "electrodes"
    NUMBERS: ClassVar[Mapping[str, Kind]] = {
        "theoretical_capacity": Kind("mAh/g", 5, 5000, "Ah/g"),
        "practical_capacity": Kind("mAh/g", 5, 5000, "Ah/g"),
        "mean_potential": Kind("V", -3, 6, "mV"),
        "crystal_density": Kind("g/cm3", 0.05, 25, "kg/m3"),
        "volume_change": Kind("percent", 0, 500),
        "log10_diffusion": Kind("log10(cm2/s)", -30, -1, "a diffusion coefficient, not its logarithm"),
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "polarity", "working_ions")

    polarity: str = "positive"
    working_ions: tuple[str, ...] = ("Li",)
    formula: str = ""
    structure_class: str = ""
    electrons: float = 0.0
    smiles: str = ""
    inchikey: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What it is found by beside its names; a formula belongs to the first electrode of it."""
        return tuple(word for word in (self.key, self.formula, self.smiles, self.inchikey) if word)

    def is_meant(self, word: str) -> bool:
        """Return whether a word is its formula, however written; of one element alone there are several materials."""
        return bool(self.formula) and are_same_compound(word, self.formula)

    @property
    def identity(self) -> str:
        """What tells it from another one of the same name."""
        return ", ".join(filter(None, (f"{self.polarity} electrode for {'/'.join(self.working_ions)}", self.formula)))

    @property
    def reference(self) -> str:
        """What its potentials are against, e.g. ``Na/Na+``: the metal of its first working ion."""
        ion = self.working_ions[0]
        return f"{ion}/{ion}{'+' if WORKING_IONS[ion] == 1 else f'{WORKING_IONS[ion]}+'}"

    def potential_against(self, ion: str) -> float | None:
        """Return its mean potential in V against the metal of an ion; ``None`` where it is not known.

        The metals are compared by their standard potentials in water: good for a plot, not for a cell.
        """
        value = self.numbers["mean_potential"].value
        return None if value is None else value + METAL_POTENTIALS[self.working_ions[0]] - METAL_POTENTIALS[ion]

    def contradicts(self, later: Self) -> str | None:
        """Return in words why a later record is of another electrode, or ``None``."""
        if "both" not in (self.polarity, later.polarity) and self.polarity != later.polarity:
            return f"one is {self.polarity}, the other {later.polarity}"
        if not set(self.working_ions) & set(later.working_ions):
            return f"one takes up {', '.join(self.working_ions)}, the other {', '.join(later.working_ions)}"
        if self.formula and later.formula and count_elements(self.formula) != count_elements(later.formula):
            return f"one is {self.formula}, the other {later.formula}"
        return None

    def check(self) -> None:
        """Refuse capacities that contradict each other or the formula.

        :raises InputError: naming both.
        """
        theory, practice = self.known.get("theoretical_capacity"), self.known.get("practical_capacity")
        if theory and practice and practice > theory * (1 + _ROUNDING):
            raise InputError(
                f"electrode {self.name!r}: practical_capacity is {practice:g} mAh/g, but the theoretical one is "
                f"{theory:g} mAh/g"
            )
        if not theory or not self.formula:
            return
        per_electron = faradaic_capacity(self.formula, 1.0)
        if self.electrons and abs(theory / (per_electron * self.electrons) - 1) > _ROUNDING:
            raise InputError(
                f"electrode {self.name!r}: theoretical_capacity is {theory:g} mAh/g, but {self.electrons:g} electrons "
                f"per {self.formula} are {per_electron * self.electrons:.4g} mAh/g"
            )
        most = sum(WORKING_IONS[ion] * count_elements(self.formula).get(ion, 0.0) for ion in self.working_ions)
        if not self.electrons and self.polarity == "positive" and 0 < most * (1 + _ROUNDING) < theory / per_electron:
            raise InputError(
                f"electrode {self.name!r}: theoretical_capacity is {theory:g} mAh/g, but all "
                f"{', '.join(self.working_ions)} of {self.formula} are {per_electron * most:.4g} mAh/g; if it takes up "
                "more, say how many electrons one formula exchanges (electrons)"
            )


def faradaic_capacity(formula: str, electrons: float) -> float:
    """Return mAh/g of a material of which one formula exchanges so many electrons."""
    return electrons * _FARADAY / 3.6 / molar_mass(formula)


@dataclass(frozen=True)
class Separator(CellPart):
    """What keeps the electrodes apart."""

    NOUN: ClassVar[str] = "separators"
    NUMBERS: ClassVar[Mapping[str, Kind]] = {
        "thickness": Kind("um", 1, 5000, "mm or m"),
        "porosity": Kind("percent", 1, 99.9, "a share, not percent"),
    }

    @property
    def pore_volume(self) -> float | None:
        """Its pores per area, µL/cm², which is µm/10; ``None`` where they are not known."""
        known = self.known
        return known["thickness"] * known["porosity"] * 1e-3 if len(known) == len(self.NUMBERS) else None


@dataclass(frozen=True)
class CellFormat(CellPart):
    """The housing of a cell.

    :param design: one of :data:`DESIGNS`.
    :param reference: what the third electrode is, where there is one.
    """

    NOUN: ClassVar[str] = "cell_formats"
    NUMBERS: ClassVar[Mapping[str, Kind]] = {
        "electrode_area": Kind("cm2", 1e-3, 1e6, "m2"),
        "electrolyte_volume": Kind("uL", 0.1, 1e7, "mL"),
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "design")

    design: str = "coin"
    reference: str = ""

    def contradicts(self, later: Self) -> str | None:
        """Return in words why a later record is of another format, or ``None``."""
        return None if self.design == later.design else f"one is {self.design}, the other {later.design}"


def parse_part(kind: type[CellPart], document: Mapping[str, Any], origin: str, version: str) -> Any:
    """Return the record of a document that was checked before."""
    names = {item.name for item in fields(kind)} - {"numbers", "origin", "version"}
    said = {key: tuple(value) if isinstance(value, (list, tuple)) else value for key, value in document.items()}
    numbers = {
        key: Number(float(told["value"]), each.unit, told["source"], told["status"])
        if (told := document.get(key)) and told["value"] is not None
        else Number(None, each.unit, told["source"] if told else "", "unknown")
        for key, each in kind.NUMBERS.items()
    }
    about: dict[str, Any] = {key: said[key] for key in names & set(said)}
    return kind(**about, numbers=numbers, origin=origin, version=version)


def read_part(kind: type[CellPart], document: Any, origin: str, version: str = "1") -> Any:
    """Return the record that somebody wrote.

    :raises InputError: naming the key, what was given and what is accepted; also where numbers contradict each other.
    """
    noun = kind.NOUN.removesuffix("s").replace("_", " ")
    accepted = [item.name for item in fields(kind) if item.name not in ("numbers", "origin", "version")]
    accepted += list(kind.NUMBERS)
    if not isinstance(document, Mapping):
        raise InputError(f"{noun} is {document!r}, but accepted is an object with {', '.join(accepted)}")
    whose = f"{noun} {document.get('name', '')!r}"
    unknown = sorted(set(map(str, document)) - set(accepted) - {"origin", "version"})
    lacking = [key for key in kind.REQUIRED if not document.get(key)]
    if unknown or lacking:
        raise InputError(f"{whose}: unknown {unknown}, lacking {lacking}; accepted are {', '.join(accepted)}")
    said = {key: value for key, value in document.items() if value is not None and key in accepted}
    told = {
        key: _read_number(value, key, kind.NUMBERS[key], whose) for key, value in said.items() if key in kind.NUMBERS
    }
    words = {key: _READERS.get(key, _read_text)(value, key, whose) for key, value in said.items() if key not in told}
    part = parse_part(kind, {**words, **_compute_capacity(words, told)}, origin, version)
    part.check()
    return part


def _compute_capacity(words: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers, with the theoretical capacity where formula and electrons say it."""
    if "theoretical_capacity" in told or not (words.get("formula") and words.get("electrons")):
        return told
    value = round(faradaic_capacity(words["formula"], words["electrons"]), 1)
    source = f"{words['electrons']:g} electrons per {words['formula']}"
    return told | {"theoretical_capacity": {"value": value, "source": source, "status": "computed"}}


def _read_number(given: Any, key: str, kind: Kind, whose: str) -> dict[str, Any]:
    form = f"an object with value ({kind.unit}), source and status ({', '.join(STATUSES)})"
    if not isinstance(given, Mapping) or set(given) - {"unit"} != {"value", "source", "status"}:
        raise InputError(f"{whose}: {key} is {given!r}, but accepted is {form}")
    if given.get("unit", kind.unit) != kind.unit:
        raise InputError(f"{whose}: unit of {key} is {given['unit']!r}, but accepted is {kind.unit}")
    value, source, status = given["value"], given["source"], given["status"]
    if status not in STATUSES or not isinstance(source, str) or not source.strip():
        raise InputError(f"{whose}: {key} is {dict(given)!r}, but accepted is {form}")
    if (status == "unknown") != (value is None):
        raise InputError(f"{whose}: {key} is {value!r} and {status}, but accepted is no value (null) for unknown only")
    if value is not None:
        _demand_range(value, key, kind, whose)
    return {"value": value, "source": source, "status": status}


def _demand_range(value: Any, key: str, kind: Kind, whose: str) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not kind.low <= value <= kind.high:
        slip = f"; is it {kind.slip}?" if is_number and kind.slip else ""
        raise InputError(
            f"{whose}: {key} is {value!r}, but accepted is {kind.low:g} to {kind.high:g} {kind.unit}{slip}"
        )


def _read_text(value: Any, key: str, whose: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{whose}: {key} is {value!r}, but accepted is a text")
    return value


def _read_names(value: Any, key: str, whose: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) and word.strip() for word in value):
        raise InputError(f"{whose}: {key} is {value!r}, but accepted is a list of names")
    return tuple(value)


def _read_ions(value: Any, key: str, whose: str) -> tuple[str, ...]:
    ions = (value,) if isinstance(value, str) else _read_names(value, key, whose)
    if not set(ions) <= set(WORKING_IONS):
        raise InputError(f"{whose}: {key} is {value!r}, but accepted is a list of {', '.join(WORKING_IONS)}")
    return tuple(dict.fromkeys(ions))


def _read_choice(value: Any, key: str, whose: str) -> str:
    choices = {"polarity": POLARITIES, "design": DESIGNS}[key]
    if value not in choices:
        raise InputError(f"{whose}: {key} is {value!r}, but accepted are {', '.join(choices)}")
    return str(value)


def _read_formula(value: Any, key: str, whose: str) -> str:
    text = _read_text(value, key, whose)
    try:
        count_elements(text)
    except InputError as error:
        raise InputError(f"{whose}: {error}") from error
    return text


def _read_electrons(value: Any, key: str, whose: str) -> float:
    _demand_range(value, key, Kind("electrons per formula", 0.01, 50), whose)
    return float(value)


_READERS = {
    "synonyms": _read_names,
    "working_ions": _read_ions,
    "polarity": _read_choice,
    "design": _read_choice,
    "formula": _read_formula,
    "electrons": _read_electrons,
}
