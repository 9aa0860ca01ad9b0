"""Where a campaign looks: variables, categories, and the part of the mixtures that it keeps to."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from aiida_finales.schemas.chemicals import SUM_TOLERANCE, chemical_label, find_chemical, get_chemical
from aiida_finales.schemas.formulation import find_shared
from aiida_finales.schemas.structure import get_at


class Section(BaseModel):
    """A part of a campaign file; a key that it does not know is a mistake, and so are infinity and nan."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuse true and false (in YAML also yes, no, on, off) where a number is wanted: they would be 1 and 0."""
        kinds = get_args(cls.model_fields[str(info.field_name)].annotation) or (
            cls.model_fields[str(info.field_name)].annotation,
        )
        if isinstance(given, bool) and {int, float}.intersection(kinds):
            message = "accepted is a number; YAML takes yes and on for true, no and off for false"
            raise ValueError(message)
        return given


class VariableSection(Section):
    """A number that the campaign varies beside the composition, within what tenants can do."""

    min: float | None = Field(None, description="lowest value; default: what the tenants of the targets can do")
    max: float | None = Field(None, description="highest value; default: likewise")
    path: str | None = Field(
        None, description="where it stands in the parameters, as dotted keys; default: the name of the variable"
    )
    unit: str = Field("", description="the unit of its values, for tables and figures; default: what its methods state")

    @model_validator(mode="after")
    def _limit(self) -> VariableSection:
        if self.min is not None and self.max is not None and self.min >= self.max:
            message = f"min {self.min:g} is not below max {self.max:g}"
            raise ValueError(message)
        return self


class CategorySection(Section):
    """What is one of several things, such as the electrode: each option is some parameters."""

    options: dict[str, dict[str, Any]] = Field(
        min_length=2, description="the parameters that an option stands for, by its name; placed as those under `fixed`"
    )

    def demand_free(self, name: str, fixed: Mapping[str, Any], formulation: Sequence[str]) -> None:
        """Refuse options that say what something else says: results of the other options would not count.

        :param name: of the category.
        :param fixed: parameters that all requests have.
        :param formulation: keys of the formulation.
        :raises ValueError: naming the option and what it says.
        """
        for option, said in self.options.items():
            place = f"option {option!r} of category {name!r}"
            if get_at(said, tuple(formulation)) is not None:
                message = (
                    f"{place} has {'.'.join(formulation)}, but the formulation is what the campaign varies, within "
                    "what tenants offer: leave it out, and narrow it by 'within'; chemicals of which each mixture has "
                    "one, as salts, are named by 'one_of'"
                )
                raise ValueError(message)
            if path := find_shared(fixed, said):
                message = f"{path} is fixed, and {place} says it: leave one out"
                raise ValueError(message)


def read_one_of(given: Any) -> Any:
    """Return chemicals that stand for one another by InChIKey, as people name them; what is no such list as it is.

    :raises ValueError: when there are fewer than two, or one twice.
    """
    if not isinstance(given, dict) or not all(isinstance(words, list) for words in given.values()):
        return given
    found = {name: [_inchikey(str(word)) for word in words] for name, words in given.items()}
    every = [key for keys in found.values() for key in keys]
    for name, keys in found.items():
        if len(keys) < 2 or any(every.count(key) > 1 for key in keys):  # noqa: PLR2004 - said in the message
            message = f"{name} is {given[name]}, but accepted are two chemicals or more, each once"
            raise ValueError(message)
    return found


class ConstraintSection(Section):
    """One linear constraint on a composition: ``min <= sum of coefficient x amount <= max``."""

    coefficients: dict[str, float] = Field(
        min_length=1, description="a number per chemical, by name or InChIKey; the others have 0"
    )
    min: float | None = Field(None, description="lowest value of the sum; default: none")
    max: float | None = Field(None, description="highest value of the sum; default: none")
    by: Literal["mole", "mass", "molality"] = Field(
        "mole", description="of which amounts: `mole` or `mass` fractions, or `molality` (mol per kg of solvent)"
    )

    @model_validator(mode="after")
    def _limit(self) -> ConstraintSection:
        if self.min is None and self.max is None:
            message = "it limits nothing: give min, max, or both"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min {self.min:g} is above max {self.max:g}"
            raise ValueError(message)
        self.coefficients = _by_inchikey(self.coefficients)
        if self.by == "molality":
            _demand_salts(self.coefficients)
        return self

    def in_mole_fractions(self, names: Sequence[str]) -> list[ConstraintSection]:
        """Return the same as constraints on mole fractions; with a bound of its own each, as the whole is in the bound.

        :param names: InChIKeys of all chemicals that the mixtures consist of.
        :raises InputError: when the molar mass of one is not known.
        """
        if self.by == "mole":
            return [self]
        chemicals = {name: get_chemical(name) for name in names}
        masses = {name: chemical.molar_mass / SCALE for name, chemical in chemicals.items()}
        weights = masses if self.by == "mass" else dict.fromkeys((*names, *self.coefficients), SCALE_PER_KG)
        whole = masses if self.by == "mass" else {key: masses[key] for key in names if not chemicals[key].is_salt}
        own = {name: number * weights.get(name, 1.0) for name, number in self.coefficients.items()}
        return [
            ConstraintSection(
                coefficients={name: own.get(name, 0.0) - end * whole.get(name, 0.0) for name in {**whole, **own}},
                min=0.0 if end == self.min else None,
                max=0.0 if end == self.max else None,
                by="mole",
            )
            for end in ([self.min] if self.min == self.max else [self.min, self.max])
            if end is not None
        ]


def _demand_salts(words: Iterable[str]) -> None:
    solvents = [chemical.name for word in words if (chemical := find_chemical(word)) and not chemical.is_salt]
    if solvents:
        message = f"a molality (mol/kg of solvent) is of salts, but {', '.join(solvents)} is none: give %, or wt%"
        raise ValueError(message)


class WithinSection(Section):
    """Where a campaign looks, within what tenants offer: by name or InChIKey of the chemical."""

    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="lowest and highest mole fraction per chemical: `LiPF6: [0.02, 0.12]`, or with a unit: see below",
    )
    fixed: dict[str, float] = Field(
        default_factory=dict, description="mole fractions that do not vary: `EC: 0.3`, or with a unit"
    )
    constraints: list[ConstraintSection] = Field(
        default_factory=list,
        description="linear constraints on fractions or molalities: see below",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_units(cls, given: Any) -> Any:
        """Take ranges with a unit: %, and as constraints wt% and mol/kg."""
        if not isinstance(given, dict):
            return given
        answer = {**given, "constraints": list(given.get("constraints") or [])}
        for section in ("ranges", "fixed"):
            if not isinstance(given.get(section), dict):
                continue
            answer[section] = {}
            for word, limits in given[section].items():
                low, high, by = _read_limits(f"{section}.{word}", limits)
                if by == "mole":
                    answer[section][word] = limits if low is None else low if section == "fixed" else [low, high]
                else:
                    answer["constraints"].append({"coefficients": {word: 1.0}, "min": low, "max": high, "by": by})
        return answer

    @model_validator(mode="after")
    def _fit_together(self) -> WithinSection:
        for word, (low, high) in self.limits.items():
            if not 0 <= low <= high <= 1:
                message = f"{word} is {[low, high]}, but accepted is [lowest, highest] in mole fraction, from 0 to 1"
                if 0 <= low <= high <= PERCENT:
                    span = f"{low:g}" if low == high else f"{low:g}..{high:g}"
                    message += f"; per cent is written '{span} %'"
                raise ValueError(message)
        lowest = sum(low for low, _ in self.limits.values())
        if lowest > 1 + SUM_TOLERANCE:
            message = f"the lowest mole fractions have the sum {lowest:g}, but accepted is 1 at most"
            raise ValueError(message)
        self.ranges, self.fixed = _by_inchikey(self.ranges), _by_inchikey(self.fixed)
        if both := sorted(set(self.ranges) & set(self.fixed)):
            message = f"{', '.join(map(chemical_label, both))} has a range and is fixed: leave one out"
            raise ValueError(message)
        return self

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest mole fraction by chemical."""
        return {**self.ranges, **{word: (share, share) for word, share in self.fixed.items()}}

    def without(self, names: Collection[str]) -> WithinSection:
        """Return what it says of mixtures that have none of these chemicals."""
        return self.model_copy(
            update={
                "ranges": {key: limits for key, limits in self.ranges.items() if key not in names},
                "fixed": {key: share for key, share in self.fixed.items() if key not in names},
                "constraints": [item for item in self.constraints if not set(item.coefficients) <= set(names)],
            }
        )

    @property
    def names(self) -> set[str]:
        """The chemicals that it speaks of."""
        return set(self.limits).union(*(item.coefficients for item in self.constraints))


def _read_limits(whose: str, given: Any) -> tuple[float | None, float | None, str]:
    """Return the ends of a range that is a text, and of what they are; of numbers, which need no reading, ``None``."""
    ends = given if isinstance(given, (list, tuple)) else [given]
    if not any(isinstance(end, str) for end in ends) and not (ends is not given and whose.startswith("ranges")):
        return None, None, "mole"
    match = _LIMITS.fullmatch("..".join(map(str, ends)))
    units = [unit for unit in (match[2], match[4]) if unit] if match else []
    kinds = {UNITS.get(unit.replace(" ", "")) for unit in units} or {UNITS[""]}
    if match is None or len(kinds) > 1 or None in kinds:
        message = (
            f"{whose} is {given!r}, but accepted is [0.02, 0.12], or a text as '5..12 %' (mole fraction), '20..40 wt%' "
            "or '0.5..1.5 mol/kg'"
        )
        if _PER_LITRE.search(str(given)):
            message += "; mol/L needs a density, which depends on the mixture: say mol/kg"
        raise ValueError(message)
    [(factor, by)] = [kind for kind in kinds if kind]
    low, high = float(match[1]) / factor, float(match[3] or match[1]) / factor
    most = math.inf if by == "molality" else 1.0
    if by != "mole" and not 0 <= low <= high <= most:
        whole = "from 0" if by == "molality" else "from 0 to 100"
        message = f"{whose} is {given!r}, but accepted is the lower number first, {whole}"
        raise ValueError(message)
    return low, high, by


#: the number that a unit stands beside, over ours, and of which amounts it is
UNITS = {"": (1.0, "mole"), "mol/mol": (1.0, "mole"), "%": (100.0, "mole"), "mol%": (100.0, "mole"),
         "mol-%": (100.0, "mole"), "wt%": (100.0, "mass"), "wt-%": (100.0, "mass"), "w%": (100.0, "mass"),
         "mass%": (100.0, "mass"), "kg/kg": (1.0, "mass"), "mol/kg": (1.0, "molality"), "m": (1.0, "molality"),
         "molal": (1.0, "molality")}  # fmt: skip
_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_UNIT = r"(" + "|".join(sorted(map(re.escape, filter(None, UNITS)), key=len, reverse=True)) + r")?"
_LIMITS = re.compile(rf"\s*{_NUMBER}\s*{_UNIT}\s*(?:(?:\.\.+|…|\u2013|-|to)\s*{_NUMBER}\s*{_UNIT}\s*)?")
_PER_LITRE = re.compile(r"\d\s*(M|mol/[lL]|mol L-1|mM)\b")
#: the whole
PERCENT = 100.0
#: g/mol, so that coefficients are about 1; and kg in so much of it
SCALE = 100.0
SCALE_PER_KG = 1000.0 / SCALE


def _by_inchikey(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of chemicals by InChIKey.

    :raises ValueError: when two names are of one chemical: one of them would not count.
    """
    words: dict[str, str] = {}
    for word in said:
        other = words.setdefault(_inchikey(word), word)
        if other != word:
            message = f"{other} and {word} are one chemical: leave one out"
            raise ValueError(message)
    return {key: said[word] for key, word in words.items()}


def _inchikey(word: str) -> str:
    """Return the InChIKey of a chemical; what is not known here may be one of a tenant's own."""
    chemical = find_chemical(word)
    return chemical.inchikey if chemical else word
