"""What is wanted of one quantity: as much, as little, or as close to a value as can be, or only within limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.transform import TRANSFORMS, to_model, to_natural_value

DIRECTIONS = ("maximise", "minimise", "reach")


@dataclass(frozen=True)
class Objective:
    """A number that results give, and what is wanted of it. All values are in its natural unit.

    :param name: of the number; results give their values under it.
    :param target: name of the source whose true value counts; the other sources that measure it only teach.
    :param direction: ``maximise``, ``minimise``, ``reach`` (as close to ``value`` as can be), or ``None``: only the
        limits below hold.
    :param value: to reach.
    :param transform: scale on which gains, distances and the hypervolume count: ``none`` or ``log``.
    :param reference: the worst value that counts; what is worse adds nothing to the hypervolume.
    :param at_least: what is lower cannot be used.
    :param at_most: what is higher cannot be used.
    :param modelled: scale on which the values are modelled; ``None``: that of ``transform`` if it is a logarithm,
        otherwise the one on which the results are the more likely.
    :param usual: scale that is expected of that, unless the results clearly say otherwise.
    """

    name: str
    target: str
    direction: str | None = "maximise"
    value: float | None = None
    transform: str = "none"
    reference: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    modelled: str | None = None
    usual: str = "none"

    def __post_init__(self) -> None:
        """Refuse what nobody could mean."""
        here = f"of objective {self.name!r}"
        accepted = f"one of {DIRECTIONS}, or None with a limit"
        require(f"direction {here}", self.direction, self.direction in (None, *DIRECTIONS), accepted)
        require(f"direction {here}", None, self.direction is not None or self.is_limited, accepted)
        reaches = self.direction == "reach"
        require(
            f"value {here}", self.value, (self.value is not None) == reaches, "a number with direction 'reach' only"
        )
        require(f"transform {here}", self.transform, self.transform in TRANSFORMS, f"one of {TRANSFORMS}")
        scales = (None, *TRANSFORMS) if self.transform == "none" else (None, self.transform)
        require(f"modelled {here}", self.modelled, self.modelled in scales, f"one of {scales}")
        require(f"usual {here}", self.usual, self.usual in TRANSFORMS, f"one of {TRANSFORMS}")
        for key in ("value", "reference", "at_least", "at_most"):
            given = getattr(self, key)
            is_usable = given is None or (isfinite(given) and (given > 0 or self.transform == "none"))
            require(f"{key} {here}", given, is_usable, "a finite number, above 0 on a logarithmic scale")
        low, high = self.at_least, self.at_most
        in_order = low is None or high is None or low < high
        require(f"at_least and at_most {here}", (low, high), in_order, "the lower one first")

    @property
    def is_limited(self) -> bool:
        """Whether some values cannot be used."""
        return self.at_least is not None or self.at_most is not None

    @property
    def sign(self) -> float:
        """Return -1 where less is better, otherwise 1."""
        return -1.0 if self.direction == "minimise" else 1.0

    @property
    def scale(self) -> str:
        """Return the scale on which the values are modelled."""
        return self.modelled or self.transform

    def to_model(self, value: float) -> float:
        """Return a value on the scale that is modelled.

        :raises InputError: when it has no logarithm.
        """
        return to_model(self.scale, value)

    def to_gain(self, value: float) -> float:
        """Return a value on the scale on which gains count.

        :raises InputError: when it has no logarithm.
        """
        return to_model(self.transform, value)

    def to_natural(self, value: float) -> float:
        """Return a value of the scale that is modelled in the unit of the quantity."""
        return to_natural_value(self.scale, value)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Objective:
        """Return the objective that :func:`dataclasses.asdict` wrote; what is not named keeps its default.

        :raises InputError: when a key is unknown.
        """
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        require("keys of an objective", unknown, not unknown, f"some of {sorted(cls.__dataclass_fields__)}")
        return cls(**data)


def require(name: str, given: object, is_acceptable: bool, accepted: str) -> None:
    """Refuse what is not acceptable.

    :raises InputError: with what was given and what is accepted.
    """
    if not is_acceptable:
        msg = f"{name} is {given!r}, accepted is {accepted}"
        raise InputError(msg)
