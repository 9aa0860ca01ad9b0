"""Where a model may be asked: its components, temperatures and ratios, as data.

A ratio of two sums that are linear in the mole fractions (a mass share, a concentration) with a lower and an upper
limit is two linear constraints on the mole fractions. So the same few numbers refuse a bad call with a message a
chemist understands, and tell the platform exactly which compositions it may request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import chemical_label, get_chemical
from aiida_finales.science.electrolyte.composition import Fractions, check_fractions, describe

if TYPE_CHECKING:
    from aiida_finales.schemas.limitations.region import Region

#: Relative overshoot of a limit that is still accepted: a point that an optimiser puts on the edge is inside.
EDGE = 1e-5


@dataclass(frozen=True)
class Ratio:
    """A ratio of two weighted sums of mole fractions, and its accepted range.

    :param numerator: weight of each mole fraction, by InChIKey.
    :param denominator: same; must be positive for every mixture in range.
    """

    label: str
    unit: str
    numerator: Fractions
    denominator: Fractions
    lower: float
    upper: float

    def value(self, fractions: Fractions) -> float:
        """Return the ratio of a mixture; infinite where the denominator vanishes."""
        top = sum(weight * fractions.get(key, 0.0) for key, weight in self.numerator.items())
        bottom = sum(weight * fractions.get(key, 0.0) for key, weight in self.denominator.items())
        return top / bottom if bottom > 0 else float("inf")

    def constraint(self, limit: float) -> dict[str, float]:
        """Return coefficients whose weighted sum of fractions is 0 where the ratio equals ``limit``, largest one 1."""
        keys = list(dict.fromkeys([*self.numerator, *self.denominator]))
        row = {key: self.numerator.get(key, 0.0) - limit * self.denominator.get(key, 0.0) for key in keys}
        scale = max(abs(value) for value in row.values())
        return {key: value / scale for key, value in row.items()}


@dataclass(frozen=True)
class Validity:
    """Where a model may be asked.

    :param model: its name in messages.
    :param components: the InChIKeys of all it knows; every other fraction must be 0.
    :param temperature: lowest and highest, K.
    """

    model: str
    components: tuple[str, ...]
    temperature: tuple[float, float]
    ratios: tuple[Ratio, ...]

    def check(self, fractions: Fractions, temperature: float) -> None:
        """Refuse a question outside the range of the model.

        :param fractions: mole fractions by InChIKey.
        :param temperature: K.
        :raises InputError: naming what was given and what is accepted.
        """
        check_fractions(fractions)
        self.demand_components(fractions)
        low, high = self.temperature
        if not low <= temperature <= high:
            raise InputError(f"temperature is {temperature} K, but {self.model} accepts {low} to {high} K")
        for ratio in self.ratios:
            given = ratio.value(fractions)
            slack = EDGE * max(abs(ratio.lower), abs(ratio.upper))
            if not ratio.lower - slack <= given <= ratio.upper + slack:
                raise InputError(
                    f"{ratio.label} is {given:.4g}{ratio.unit} in {describe(fractions)}, but {self.model} accepts "
                    f"{ratio.lower:.4g} to {ratio.upper:.4g}{ratio.unit}"
                )

    def demand_components(self, fractions: Fractions) -> None:
        """Refuse what the model knows nothing about.

        :raises InputError: naming the chemicals, and those that it knows.
        """
        foreign = [chemical_label(key) for key, value in fractions.items() if value and key not in self.components]
        if foreign:
            known = ", ".join(map(chemical_label, self.components))
            raise InputError(f"{self.model} was given {', '.join(foreign)}, but knows only {known}")

    def find_refusal(self, fractions: Fractions, temperature: float) -> str | None:
        """Return why a question is outside the range of the model, or ``None`` where it is inside."""
        try:
            self.check(fractions, temperature)
        except InputError as refusal:
            return str(refusal)
        return None

    def constraints(self) -> list[dict[str, Any]]:
        """Return the linear constraints on the mole fractions, JSON-ready."""
        answer: list[dict[str, Any]] = []
        for ratio in self.ratios:
            answer.append({"path": "formulation", "coefficients": ratio.constraint(ratio.lower), "min": 0.0})
            answer.append({"path": "formulation", "coefficients": ratio.constraint(ratio.upper), "max": 0.0})
        return answer

    def region(self) -> Region:
        """Return the accepted compositions as a region with the tightest box around it."""
        from scipy.optimize import linprog

        from aiida_finales.schemas.limitations.region import Region

        rows = [(item["coefficients"], -1.0 if "min" in item else 1.0) for item in self.constraints()]
        matrix = np.array([[sign * row.get(key, 0.0) for key in self.components] for row, sign in rows])
        size = len(self.components)
        limits = []
        for sign in (1.0, -1.0):
            answers = [
                linprog(sign * row, A_ub=matrix, b_ub=np.zeros(len(matrix)), A_eq=np.ones((1, size)), b_eq=[1.0])
                for row in np.eye(size)
            ]
            limits.append(np.array([sign * answer.fun for answer in answers]))
        return Region(self.components, limits[0], limits[1], matrix, np.zeros(len(matrix)))

    def limitations(self) -> dict[str, Any]:
        """Return the published FINALES form of the limitations: one range per mole fraction, and the temperatures.

        The box is the tightest around the accepted compositions, hence wider than :meth:`constraints`.
        """
        region = self.region()
        return limitation_boxes(dict(zip(region.names, zip(region.lower, region.upper, strict=True), strict=True))) | {
            "temperature": [{"min": self.temperature[0], "max": self.temperature[1]}]
        }


def limitation_boxes(box: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Return lower and upper mole fractions by InChIKey in the published FINALES form of limitations."""
    return {
        "formulation": [
            [
                {
                    "chemical": {"SMILES": get_chemical(key).smiles, "InChIKey": key},
                    "fraction": [{"min": round(float(low), 6), "max": round(float(high), 6)}],
                    "fraction_type": ["molPerMol"],
                }
                for key, (low, high) in box.items()
            ]
        ]
    }
