"""Mole fractions of what is weighed, measured and dissolved: the one place where that is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.record import Chemical
from aiida_finales.schemas.chemicals.registry import get_chemical
from aiida_finales.schemas.chemicals.scaling import scale
from aiida_finales.schemas.ranges import PLAUSIBLE

#: g/cm3 of a mixture, given its mole fractions by InChIKey, and where that is from
DensityOf = Callable[[Mapping[str, float]], tuple[float, str]]
EXAMPLE = "'1 M LiPF6 in EC:EMC 3:7 w/w'"
#: mol/kg of solvent: of what is known, the melts of hydrates have most, some 55
_STRONGEST = 100.0
#: of a part or an amount; what is larger need not be summed
_MOST = 1e12
#: relative change of a density that ends its search, and the most steps
_SAME, _STEPS = 1e-14, 200
_UNITS = {"molarity": "mol/L", "molality": "mol/kg of solvent"}
_SHARES = {"mass": "wt%", "mole": "mol%"}


@dataclass(frozen=True)
class Mixed:
    """A mixture in the form of storage, and what it was made of.

    :param fractions: mole fraction by InChIKey, sum 1.
    :param given: as it was said.
    :param understood: what was read of it, in words.
    :param density: g/cm3 that a molarity needed, and its source.
    :param numbers: others that were needed, by what they are, with source and temperature.
    :param records: which record of each chemical was used.
    """

    fractions: dict[str, float]
    given: Any
    understood: str = ""
    density: dict[str, Any] | None = None
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what is kept beside the mole fractions."""
        parts = {
            "understood": self.understood,
            "density": self.density,
            "numbers": self.numbers,
            "records": self.records,
        }
        return {"given": self.given, **{key: value for key, value in parts.items() if value}}


@dataclass(frozen=True)
class Shares:
    """Fractions of the whole.

    :param fractions: by name, as they were said; their sum may miss 1 by rounding.
    :param by: ``mass`` or ``mole``.
    :param density: g/cm3 of the solution, where it was said.
    """

    fractions: dict[str, float]
    by: str = "mole"
    density: float | None = None

    def mix(self, given: Any, density_of: DensityOf | None = None) -> Mixed:
        """Return the mole fractions.

        :raises InputError: when a chemical is not known, or fractions do not sum to 1.
        """
        chemicals = _find_all(self.fractions)
        scaled = scale(self.fractions)
        if self.by == "mole":
            found = {chemicals[word].inchikey: share for word, share in scaled.items()}
        else:
            found = normalise({chemicals[word].inchikey: share / chemicals[word].molar_mass
                               for word, share in scaled.items()})  # fmt: skip
        listed = ", ".join(f"{chemicals[word].name} {share:.6g}" for word, share in scaled.items())
        records = {} if self.by == "mole" else _records(chemicals)
        return Mixed(found, given, f"{self.by} fractions of the whole, {listed}", records=records)


@dataclass(frozen=True)
class Recipe:
    """A mixture as it is prepared: solvents, then salts, then additives.

    :param solvents: parts by name; salts too, where all is said by mass or mole and nothing by ``salts``.
    :param by: ``mass``, ``volume`` or ``mole``: what parts are of.
    :param salts: mol per kg of solvent, or per litre of solution.
    :param kind: ``molality`` or ``molarity``.
    :param additives: fraction of the whole.
    :param additives_by: ``mass`` or ``mole``: what those fractions are of.
    :param density: g/cm3 of the solution without additives.
    """

    solvents: dict[str, float]
    by: str = "mass"
    salts: dict[str, float] = field(default_factory=dict)
    kind: str = "molality"
    additives: dict[str, float] = field(default_factory=dict)
    additives_by: str = "mass"
    density: float | None = None

    def mix(self, given: Any, density_of: DensityOf | None = None) -> Mixed:
        """Return the mole fractions.

        :param density_of: asked where a molarity comes without a density.
        :raises InputError: when a chemical is not known, an amount cannot be, or a density is needed.
        """
        self._demand_amounts()
        chemicals = _find_all((*self.solvents, *self.salts, *self.additives))
        salt = next((word for word in self.solvents if chemicals[word].is_salt), None)
        if salt is not None and (self.salts or self.by == "volume"):
            raise InputError(f"{salt} is a salt, but stands among the solvents; accepted is e.g. {EXAMPLE}")
        numbers: dict[str, dict[str, Any]] = {}
        masses = {word: weigh(chemicals[word], part, self.by, numbers) for word, part in self.solvents.items()}
        kilogram = math.fsum(masses.values())
        solvent = {chemicals[word].inchikey: 1000.0 * mass / kilogram / chemicals[word].molar_mass
                   for word, mass in masses.items()}  # fmt: skip
        salts = {chemicals[word].inchikey: amount for word, amount in self.salts.items()}
        density = None
        if self.kind == "molarity" and any(salts.values()):
            salts, density = _from_molarity(solvent, salts, self.density, density_of)
        moles = {**salts, **solvent}
        unit = {word: 1.0 if self.additives_by == "mole" else chemicals[word].molar_mass for word in self.additives}
        base = math.fsum(amount if self.additives_by == "mole" else amount * get_chemical(key).molar_mass
                         for key, amount in moles.items())  # fmt: skip
        rest = 1.0 - math.fsum(self.additives.values())
        for word, share in self.additives.items():
            moles[chemicals[word].inchikey] = base * share / rest / unit[word]
        return Mixed(normalise(moles), given, self._say(chemicals), density, numbers, _records(chemicals))

    def _demand_amounts(self) -> None:
        amounts = {**self.solvents, **self.salts, **self.additives}
        wrong = [f"{amount:g} of {word}" for word, amount in amounts.items() if not 0 <= amount <= _MOST]
        if wrong:
            raise InputError(f"there is {', '.join(wrong)}, but accepted are amounts from 0 to {_MOST:g}")
        if not sum(self.solvents.values()) > 0:
            raise InputError(f"the solvents are {self.solvents}, but accepted is more than nothing of one of them")
        strongest = max(self.salts.values(), default=0.0)
        if self.kind == "molality" and strongest > _STRONGEST:
            slip = f": {strongest:g} looks like mmol/kg" if strongest <= 10 * _STRONGEST else ""
            raise InputError(f"there are {strongest:g} mol/kg of solvent, but accepted are up to {_STRONGEST:g}{slip}; "
                             "where it is meant, say fractions")  # fmt: skip
        if sum(self.additives.values()) >= 1:
            raise InputError(f"additives are {self.additives}, but accepted is a part of the whole, below 100 %")

    def _say(self, chemicals: Mapping[str, Chemical]) -> str:
        salts = " + ".join(
            f"{amount:g} {_UNITS[self.kind]} {chemicals[word].name}" for word, amount in self.salts.items()
        )
        solvents = ":".join(chemicals[word].name for word in self.solvents)
        if len(self.solvents) > 1:
            solvents += f" {':'.join(f'{part:g}' for part in self.solvents.values())} by {self.by}"
        unit = _SHARES[self.additives_by]
        shares = [f" + {100 * share:g} {unit} {chemicals[word].name}" for word, share in self.additives.items()]
        additives = "".join(shares) + (" (of the whole)" if shares else "")
        return (f"{salts} in {solvents}" if salts else solvents) + additives


def _find_all(words: Any) -> dict[str, Chemical]:
    chemicals = {word: get_chemical(word) for word in words}
    if len({chemical.inchikey for chemical in chemicals.values()}) < len(list(words)):
        raise InputError(f"a chemical is named twice in {', '.join(words)}")
    return chemicals


def weigh(chemical: Chemical, part: float, by: str, numbers: dict[str, dict[str, Any]]) -> float:
    """Return the mass of parts of a solvent, in any unit that is common to all.

    :param by: ``mass``, ``volume`` or ``mole``.
    :param numbers: takes the density that was needed, with its source.
    :raises InputError: when the density is needed and the record has none.
    """
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
    density, source = density_of(normalise({**salts, **solvent}))
    for _ in range(_STEPS):
        found = _dissolve(salts, load, density)
        before, (density, source) = density, density_of(normalise({**found, **solvent}))
        if abs(density - before) <= _SAME * density:
            break
    return _dissolve(salts, load, density), {"value": density, "source": source}


def _dissolve(salts: Mapping[str, float], load: float, density: float) -> dict[str, float]:
    rest = density - load
    if rest <= 0:
        raise InputError(f"{load:.4g} kg of salt in a litre that weighs {density:.4g} kg leave no room for a solvent")
    return {key: amount / rest for key, amount in salts.items()}


def normalise(moles: Mapping[str, float]) -> dict[str, float]:
    """Return amounts divided by their sum."""
    total = math.fsum(moles.values())
    return {key: amount / total for key, amount in moles.items()}


def _records(chemicals: Mapping[str, Chemical]) -> dict[str, str]:
    return {chemical.name: chemical.record for chemical in chemicals.values()}


def read_density(value: Any) -> float | None:
    """Return a density of a solution in g/cm3.

    :raises InputError: when it is no number that a solution can have, naming the unit that it looks like.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InputError(f"density is {value!r}, but accepted is a number above 0, in g/cm3")
    refusal = PLAUSIBLE["gram / centimeter ** 3"].find_refusal(value, "g/cm3")
    if refusal:
        raise InputError(f"density is {value:g}, but accepted is {refusal}")
    return float(value)


def mass_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """Return the mass fraction of each chemical.

    :param fractions: mole fractions, by any word for a chemical.
    """
    return normalise({word: share * get_chemical(word).molar_mass for word, share in fractions.items()})


def molarities(fractions: Mapping[str, float], density: float) -> dict[str, float]:
    """Return mol/L of each chemical.

    :param density: g/cm3.
    """
    mass = math.fsum(share * get_chemical(word).molar_mass for word, share in fractions.items())
    return {word: 1000.0 * share * density / mass for word, share in fractions.items()}
