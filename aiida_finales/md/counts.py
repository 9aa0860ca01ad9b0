"""From mole fractions to whole numbers of molecules and ions, without charge in sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import FRACTION_TOLERANCE


@dataclass(frozen=True)
class Unit:
    """A formula unit without charge: how many of which components.

    :param share: its part of all units.
    """

    members: tuple[tuple[int, int], ...]
    share: float


def count_components(fractions: Sequence[float], charges: Sequence[int], number: int) -> list[int]:
    """Return how many of each component a cell holds.

    Charged components are first joined to formula units without charge; the units are rounded by largest remainders.

    :param fractions: mole fraction of each component.
    :param charges: charge of each component, e.
    :param number: formula units in the cell.
    :raises SimulationInputError: when the mixture is charged, or has more components than the cell has units.
    """
    units = _neutral_units(fractions, charges)
    if number < len(units):
        raise SimulationInputError(
            f"n_molecules: {number} was given, accepted are at least {len(units)}, one of each formula unit"
        )
    counts = [0] * len(fractions)
    for unit, amount in zip(units, round_shares([unit.share for unit in units], number), strict=True):
        for component, multiple in unit.members:
            counts[component] += amount * multiple
    if 0 in counts:
        raise SimulationInputError(
            f"formulation[{counts.index(0)}]: an ion without counter-ion was given, accepted is a mixture without "
            "charge"
        )
    return counts


def round_shares(shares: Sequence[float], number: int) -> list[int]:
    """Return whole numbers with a given sum and about these shares, by largest remainders; each at least 1."""
    exact = np.asarray(shares, dtype=float) / sum(shares) * number
    whole = np.floor(exact).astype(int)
    for index in np.argsort(whole - exact, kind="stable")[: number - whole.sum()]:
        whole[index] += 1
    for index in np.flatnonzero(whole == 0):
        whole[np.argmax(whole)] -= 1
        whole[index] = 1
    return [int(item) for item in whole]


def _neutral_units(fractions: Sequence[float], charges: Sequence[int]) -> list[Unit]:
    excess = sum(fraction * charge for fraction, charge in zip(fractions, charges, strict=True))
    if abs(excess) > FRACTION_TOLERANCE:
        raise SimulationInputError(
            f"formulation: a mixture with {excess:+.4g} e per molecule was given, accepted is one without charge"
        )
    units = [Unit(((index, 1),), fractions[index]) for index, charge in enumerate(charges) if charge == 0]
    left = {index: fractions[index] for index, charge in enumerate(charges) if charge}
    while any(charges[index] > 0 for index in left) and any(charges[index] < 0 for index in left):
        units.append(_join(left, charges))
    return units


def _join(left: dict[int, float], charges: Sequence[int]) -> Unit:
    """Make units of the first cation and the first anion that are left, as many as they allow."""
    cation = next(index for index in left if charges[index] > 0)
    anion = next(index for index in left if charges[index] < 0)
    common = gcd(charges[cation], -charges[anion])
    multiples = {cation: -charges[anion] // common, anion: charges[cation] // common}
    amounts = {index: left[index] / multiple for index, multiple in multiples.items()}
    scarce = min(amounts, key=lambda index: amounts[index])
    for index, multiple in multiples.items():
        left[index] -= amounts[scarce] * multiple
    # what remains of the other one is rounding, or joins its next counter-ion
    for index in multiples:
        if index == scarce or left[index] < FRACTION_TOLERANCE * amounts[scarce]:
            del left[index]
    return Unit(tuple(multiples.items()), amounts[scarce])


def achieved(counts: Sequence[int]) -> list[float]:
    """Return the mole fractions of whole numbers of components."""
    total = sum(counts)
    return [count / total for count in counts]


def count_species(parts: Sequence[Sequence[str]], counts: Sequence[int]) -> Counter[str]:
    """Return how many of each species a cell holds, in the order in which they are first named.

    :param parts: names of the species in each component, repeated as often as they are in it.
    """
    total: Counter[str] = Counter()
    for names, count in zip(parts, counts, strict=True):
        for name in names:
            total[name] += count
    return total
