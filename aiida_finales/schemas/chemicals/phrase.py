"""Mixtures as people write them: what stands beside a name says how much of it there is.

``1 M LiPF6 in EC:EMC 3:7 w/w``, ``LiPF6 1 mol/L, EC/DMC (1/1 by volume) + 2 wt% VC``, ``20 wt% NaFSI in TEP``,
``LiPF6 8 mol%, EC 45 mol%, EMC 47 mol%``, ``LiFSI:DME 1:1.2 mol/mol``, ``LP30``. Whatever is left over, or could be
meant in two ways, is refused: a mixture is never guessed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.recipe import Recipe, Shares
from aiida_finales.schemas.chemicals.registry import SUM_TOLERANCE, get_chemical
from aiida_finales.schemas.chemicals.tokens import Token, cut, unify

#: kinds of tokens that separate, or make a list
_SIGNS = ("in", "with", "joint")


@dataclass
class _Group:
    """Names that stand together, and what is said of them, by the kind of the token."""

    names: list[str]
    said: dict[str, Token] = field(default_factory=dict)
    #: what could be said of these names as well as of those before
    doubt: Token | None = None

    def say(self, token: Token) -> None:
        if token.kind in self.said:
            raise InputError(f"{self.said[token.kind].text} and {token.text} are both said of {', '.join(self.names)}")
        self.said[token.kind] = token


def read_phrase(text: str, density: float | None = None) -> Recipe | Shares:
    """Return what a line says.

    :param density: g/cm3 of the solution without additives, where the line has none.
    :raises InputError: naming what is not understood, or can be meant in two ways.
    """
    tokens = cut(unify(text))
    densities = [token.value for token in tokens if token.kind == "density"]
    bases = {token.value for token in tokens if token.kind == "basis"}
    if density is not None and densities and not math.isclose(densities[0], density):
        densities.append(density)
    for several in ([f"{said:g} g/cm3" for said in densities], sorted(bases)):
        if len(several) > 1:
            raise InputError(f"{' and '.join(several)} are both said; accepted is one of them")
    groups = _group([token for token in tokens if token.kind not in ("density", "basis")])
    names = [name for group in groups for name in group.names]
    if not names:
        raise InputError("no chemical is named")
    if len({get_chemical(name).inchikey for name in names}) < len(names):
        raise InputError(f"a chemical is named twice in {', '.join(names)}")
    return _Reading(groups, next(iter(bases), ""), densities[0] if densities else density).conclude()


def _group(tokens: list[Token]) -> list[_Group]:
    """Return names with what stands beside them."""
    grouping = _Grouping()
    kept = [token for place, token in enumerate(tokens) if not _is_idle(token, tokens[place + 1 : place + 3])]
    for before, token, later in zip([None, *kept], kept, [*kept[1:], None], strict=False):
        if token.kind == "name":
            grouping.name(token, before)
        elif token.kind in _SIGNS:
            grouping.separate(token, before, later)
        else:
            grouping.say(token)
    grouping.demand_names()
    for earlier, group in itertools.pairwise(grouping.groups):
        if group.doubt is not None and not group.said:
            raise InputError(f"{group.doubt.text} of what: {earlier.names[-1]} or {group.names[0]}?")
    return grouping.groups


@dataclass
class _Grouping:
    """Groups of names as they are found in a line.

    :param pending: what was said before the name that it is said of.
    :param is_open: what comes next may belong to the last group.
    """

    groups: list[_Group] = field(default_factory=list)
    pending: list[Token] = field(default_factory=list)
    is_open: bool = False

    def name(self, token: Token, before: Token | None) -> None:
        if self.is_open and before is not None and _joins(before, self.groups[-1]):
            self.groups[-1].names.append(token.text)
            return
        self.groups.append(_Group([token.text], doubt=_find_doubt(before, self.groups)))
        for said in self.pending:
            self.groups[-1].say(said)
        self.pending, self.is_open = [], True

    def separate(self, token: Token, before: Token | None, later: Token | None) -> None:
        is_list = self.is_open and later is not None and later.kind == "name" and _joins(token, self.groups[-1])
        if token.kind == "joint" and not is_list:
            words = " and ".join(repr(other.text) for other in (before, later) if other is not None)
            raise InputError(f"{token.text!r} is understood between names, but stands beside {words}")
        self.demand_names()
        self.is_open = is_list

    def say(self, token: Token) -> None:
        said = self.groups[-1].said if self.is_open else {}
        # a ratio may stand behind an amount: 1 M LiPF6/EC:DMC 1:1
        if self.is_open and token.kind not in said and (not said or token.kind == "ratio"):
            self.groups[-1].say(token)
        else:
            self.pending.append(token)

    def demand_names(self) -> None:
        if self.pending:
            raise InputError(f"{self.pending[0].text} of what?")


def _find_doubt(before: Token | None, groups: list[_Group]) -> Token | None:
    """Return the share that stands between two names without a sign, as in ``EC 30 wt% EMC``."""
    is_after = before is not None and before.kind == "share" and bool(groups) and before in groups[-1].said.values()
    return before if is_after else None


def _is_idle(token: Token, later: list[Token]) -> bool:
    """Return whether a sign separates nothing: it stands before the ratio of what was named, or at the end."""
    kinds = [other.kind for other in later]
    return token.kind in _SIGNS and (not kinds or (kinds[0] == "ratio" and kinds[1:] != ["name"]))


def _joins(token: Token, group: _Group) -> bool:
    """Return whether a sign makes a list of names: ``EC:EMC`` always, ``EC, EMC`` where nothing was said of EC."""
    return token.kind == "joint" or (token.kind == "with" and not group.said)


@dataclass
class _Reading:
    """What groups of names say together."""

    groups: list[_Group]
    by: str
    density: float | None
    amounts: dict[str, float] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    shares: dict[str, Token] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)

    def conclude(self) -> Recipe | Shares:
        for group in self.groups:
            self._take(group)
        if len(self.kinds) > 1:
            raise InputError("mol/L and mol/kg are mixed")
        if self.numbers:
            return self._conclude_numbers()
        if self.parts or self.amounts:
            return self._conclude_recipe()
        fractions, by = self._read_shares(self.shares)
        return self._whole(fractions, by or self.by or "mole")

    def _take(self, group: _Group) -> None:
        names = list(group.names)
        if "amount" in group.said:
            names.remove(self._take_amount(group))
        for kind in ("share", "number"):
            token = group.said.get(kind)
            if token is not None:
                if len(group.names) > 1 or len(group.said) > 1:
                    raise InputError(f"{token.text} is said of {', '.join(group.names)}: of which?")
                self._take_share(names.pop(), token)
        weight = group.said.get("weight")
        if weight is not None:
            self._weigh(names, weight)
        elif names:
            self._take_parts(names, group.said.get("ratio"))
        elif "ratio" in group.said:
            raise InputError(f"{group.said['ratio'].text} is the ratio of what?")

    def _take_share(self, name: str, token: Token) -> None:
        if token.kind == "share":
            self.shares[name] = token
        else:
            self.numbers[name] = token.value

    def _take_amount(self, group: _Group) -> str:
        token = group.said["amount"]
        salts = [name for name in group.names if get_chemical(name).is_salt]
        if len(group.names) > 1 and len(salts) != 1:
            raise InputError(f"{token.text} is said of {', '.join(group.names)}: of which?")
        name = (salts or group.names)[0]
        self.amounts[name], kind = token.value
        self.kinds.add(kind)
        return name

    def _weigh(self, names: list[str], token: Token) -> None:
        part, by = token.value
        if len(names) != 1:
            raise InputError(f"{token.text} is said of {', '.join(names) or 'nothing'}: of which?")
        if self.by not in ("", by):
            raise InputError(f"{by} and {self.by} are both said; accepted is one of them")
        self.parts[names[0]], self.by = part, by

    def _take_parts(self, names: list[str], ratio: Token | None) -> None:
        parts = ratio.value if ratio else [1.0] * (len(names) == 1)
        salt = next((name for name in names if get_chemical(name).is_salt), None)
        if salt is not None and ratio is None:
            raise InputError(f"{salt!r} is no amount of a salt, as 1 M {salt} or 1 mol/kg {salt}")
        if len(parts) != len(names):
            raise InputError(f"{len(names)} solvents ({', '.join(names)}) have {len(parts)} parts, as EC:EMC 3:7 w/w")
        if self.parts:
            raise InputError(f"how much is there of {', '.join(names)} beside {', '.join(self.parts)}?")
        self.parts = dict(zip(names, parts, strict=True))

    def _conclude_numbers(self) -> Recipe | Shares:
        if self.amounts or self.shares or self.parts:
            name, number = next(iter(self.numbers.items()))
            raise InputError(f"'{number:g} {name}' is no amount of a salt, as 1 M {name} or 1 mol/kg {name}")
        return self._whole(self.numbers, self.by or "mole")

    def _conclude_recipe(self) -> Recipe:
        parts, by, others = self.parts, self.by, self.shares
        if not parts:
            mixed = {name: token for name, token in self.shares.items() if not get_chemical(name).is_salt}
            others = {name: token for name, token in self.shares.items() if name not in mixed}
            parts, said = self._read_shares(mixed)
            by = said or by
            total = math.fsum(parts.values())
            if not parts:
                raise InputError(f"in which solvent is {', '.join(self.amounts)}?")
            if abs(total - 1.0) > SUM_TOLERANCE:
                raise InputError(f"the solvents ({', '.join(parts)}) sum to {100 * total:g} %, accepted is 100")
        if not by and len(parts) > 1:
            raise InputError(f"the ratio of {', '.join(parts)} is of what? Say w/w (mass), v/v (volume) or mol/mol")
        additives, additives_by = self._read_additives(others)
        kind = next(iter(self.kinds), "molality")
        return Recipe(parts, by or "mass", self.amounts, kind, additives, additives_by, self.density)

    def _read_additives(self, tokens: dict[str, Token]) -> tuple[dict[str, float], str]:
        for name, token in tokens.items():
            if token.value[1] not in ("mass", "mole"):
                raise InputError(
                    f"'{token.text} {name}' is no amount of an additive, as 2 wt% {name} (of the whole mass)"
                )
        shares, by = self._read_shares(tokens)
        return shares, by or "mass"

    @staticmethod
    def _read_shares(tokens: dict[str, Token]) -> tuple[dict[str, float], str]:
        """Return fractions, and what they are of; empty where that is not said."""
        bases = {token.value[1] for token in tokens.values()} - {""}
        if len(bases) > 1:
            raise InputError(
                f"{', '.join(token.text for token in tokens.values())}: mixes mol% and wt%: say one of them"
            )
        return {name: token.value[0] for name, token in tokens.items()}, next(iter(bases), "")

    def _whole(self, fractions: dict[str, float], by: str) -> Recipe | Shares:
        """Return fractions of the whole; by volume only of solvents, for what a salt adds to it is another question."""
        if by != "volume":
            return Shares(fractions, by, self.density)
        total = math.fsum(fractions.values())
        if abs(total - 1.0) > SUM_TOLERANCE:
            raise InputError(f"parts by volume sum to {100 * total:g} %, accepted is 100")
        return Recipe(fractions, by, density=self.density)
