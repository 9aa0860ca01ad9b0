"""What is to be expected of a number, once for each unit, and the other units that are mistaken for it."""

from __future__ import annotations

from dataclasses import dataclass

#: a number in another unit may be so much above the range and still be recognised
_SLACK = 2.0


@dataclass(frozen=True)
class Slip:
    """A unit that is taken for ours: ours is ``factor * theirs + offset``."""

    unit: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Range:
    """What is to be expected in a unit, ends included, and the units that are mistaken for it."""

    low: float
    high: float
    slips: tuple[Slip, ...] = ()

    def find_slips(self, number: float) -> list[str]:
        """Return the units in which a number would be as expected; none where it is as it is."""
        if self.low <= number <= self.high:
            return []
        return [slip.unit for slip in self.slips if self._is_inside(number, slip)]

    def find_refusal(self, number: float, unit: str) -> str | None:
        """Return what is accepted instead of a number, and what it looks like; ``None`` where it is to be expected.

        :param unit: as it is told.
        """
        if self.low <= number <= self.high:
            return None
        slips = " or ".join(self.find_slips(number))
        return f"{self.low:g} to {self.high:g} {unit}{slips and f': that looks like {slips}'}"

    def _is_inside(self, number: float, slip: Slip) -> bool:
        high = self.high if slip.offset else self.high * _SLACK
        return self.low <= slip.factor * number + slip.offset <= high


#: by the unit as schemas write it; liquids and cells from the button cell to the largest that are sold
PLAUSIBLE: dict[str, Range] = {
    "kelvin": Range(150.0, 500.0, (Slip("°C", offset=273.15),)),
    "siemens / meter": Range(0.0, 5.0, (Slip("mS/cm", 0.1), Slip("mS/m", 1e-3), Slip("µS/cm", 1e-4))),
    "gram / centimeter ** 3": Range(0.3, 5.0, (Slip("kg/m³", 1e-3),)),
    "millipascal * second": Range(0.05, 1e5, (Slip("Pa·s", 1e3),)),
    # from a glass to a molten salt
    "meter ** 2 / second": Range(-1e-12, 1e-7, (Slip("cm²/s", 1e-4),)),
    "joule / kilogram / kelvin": Range(200.0, 1e4, (Slip("J/(g·K)", 1e3),)),
    "ampere": Range(-2e3, 2e3, (Slip("mA", 1e-3), Slip("µA", 1e-6))),
    "ampere_hour": Range(-1e3, 1e3, (Slip("mAh", 1e-3),)),
    "volt": Range(-10.0, 10.0, (Slip("mV", 1e-3),)),
    "1 / hour": Range(0.0, 100.0),
    "milliliter": Range(0.0, 1e3, (Slip("µL", 1e-3),)),
    "microliter": Range(0.0, 1e5),
    "centimeter ** 2": Range(1e-3, 2e3, (Slip("mm²", 1e-2),)),
    # the mass of an active material of some 150 mAh/g is the commonest of wrong numbers here
    "milliampere_hour / centimeter ** 2": Range(1e-3, 20.0, (Slip("mg/cm²", 0.15), Slip("µAh/cm²", 1e-3))),
    "milliampere_hour / gram": Range(5.0, 5e3, (Slip("Ah/g", 1e3),)),
    "watt_hour": Range(-1e4, 1e4, (Slip("mWh", 1e-3),)),
    "percent": Range(0.0, 1e3),
    "gram / mole": Range(1.0, 1e5, (Slip("kg/mol", 1e3),)),
    # of a salt in solution it may be small, where the ions draw the solvent together
    "centimeter ** 3 / mole": Range(1.0, 5e3, (Slip("L/mol", 1e3), Slip("m³/mol", 1e6))),
}
