"""Why a request is outside of what a tenant can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida_finales.schemas.structure import Path, Place, format_path

_LONGEST_GIVEN = 80


@dataclass(frozen=True)
class Finding:
    """Why a request is outside of what a tenant can do.

    :param path: where in the parameters, e.g. ``temperature`` or ``formulation[1].fraction``.
    :param given: what was asked for.
    :param allowed: a phrase, e.g. ``263.15 to 333.15 K or absent``.
    :param unit: symbol of the unit of a given number, empty for none.
    :param subject: what people call it; empty where the path says it best.
    :param size: how far outside, 0 to 1 and comparable between alternatives; 1 where nothing can be measured.
    """

    path: str
    given: Any
    allowed: str
    unit: str = ""
    subject: str = ""
    size: float = field(default=1.0, compare=False, repr=False)

    def phrase(self, who: str) -> str:
        """Return one sentence, e.g. ``temperature is 3000 K, but two_electrode accepts 263.15 to 333.15 K``.

        :param who: the method or the tenant that has the limitation.
        """
        given = f"{self.given:.6g}" if isinstance(self.given, float) else str(self.given)
        if len(given) > _LONGEST_GIVEN:
            given = f"{given[:_LONGEST_GIVEN]}..."
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.subject or self.path} is {given}{unit}, but {who} accepts {self.allowed}"


@dataclass(frozen=True)
class Spot:
    """Where one is in the parameters while looking for findings.

    :param path: the keys that lead here.
    :param places: what is known about the parameters of the capability; empty for an unknown one.
    """

    path: Path
    places: Mapping[Path, Place]

    def child(self, path: Path) -> Spot:
        """Return the place some keys further down."""
        return Spot(self.path + path, self.places)

    @property
    def name(self) -> str:
        """The path as people write it."""
        return format_path(self.path)

    @property
    def unit(self) -> str:
        """Symbol of the unit, empty where none is known."""
        place = self.places.get(self.path)
        return place.unit if place else ""

    def phrase(self, allowed: str) -> str:
        """Return what is allowed here, with its unit and whether it may be left out."""
        place = self.places.get(self.path)
        with_unit = f"{allowed} {self.unit}" if self.unit else allowed
        return f"{with_unit} or absent" if place and not place.is_required else with_unit


def join_phrases(phrases: list[str], most: int = 6) -> str:
    """Return alternatives in words, only the first ones of a long list."""
    distinct = list(dict.fromkeys(phrases))
    if len(distinct) <= most:
        return " or ".join(distinct)
    return f"{', '.join(distinct[: most - 1])} ... ({len(distinct)} alternatives)"
