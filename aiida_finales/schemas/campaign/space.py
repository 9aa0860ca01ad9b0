"""Where a campaign looks: variables, categories, and the part of the mixtures that it keeps to."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_finales.schemas.chemicals import SUM_TOLERANCE, find_chemical


class Section(BaseModel):
    """A part of a campaign file; a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class VariableSection(Section):
    """A number that the campaign varies beside the composition, within what tenants can do."""

    min: float | None = Field(None, description="lowest value; default: what the tenants of the targets can do")
    max: float | None = Field(None, description="highest value; default: likewise")
    path: str | None = Field(
        None, description="where it stands in the parameters, as dotted keys; default: the name of the variable"
    )
    unit: str = Field("", description="the unit of its values, for tables and figures; K for `temperature`")

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


class ConstraintSection(Section):
    """One linear constraint on a composition: ``min <= sum of coefficient x mole fraction <= max``."""

    coefficients: dict[str, float] = Field(
        min_length=1, description="a number per chemical, by name or InChIKey; the others have 0"
    )
    min: float | None = Field(None, description="lowest value of the sum; default: none")
    max: float | None = Field(None, description="highest value of the sum; default: none")

    @model_validator(mode="after")
    def _limit(self) -> ConstraintSection:
        if self.min is None and self.max is None:
            message = "it limits nothing: give min, max, or both"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min {self.min:g} is above max {self.max:g}"
            raise ValueError(message)
        self.coefficients = {_inchikey(word): number for word, number in self.coefficients.items()}
        return self


class WithinSection(Section):
    """Where a campaign looks, within what tenants offer: mole fractions, by name or InChIKey of the chemical."""

    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="lowest and highest mole fraction per chemical: `LiPF6: [0.02, 0.12]`"
    )
    fixed: dict[str, float] = Field(default_factory=dict, description="mole fractions that do not vary: `EC: 0.3`")
    constraints: list[ConstraintSection] = Field(
        default_factory=list, description="linear constraints on mole fractions: see below"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> WithinSection:
        both = sorted(set(self.ranges) & set(self.fixed))
        if both:
            message = f"{', '.join(both)} has a range and is fixed: leave one out"
            raise ValueError(message)
        for word, (low, high) in self.limits.items():
            if not 0 <= low <= high <= 1:
                message = f"{word} is {[low, high]}, but accepted is [lowest, highest] in mole fraction, from 0 to 1"
                raise ValueError(message)
        lowest = sum(low for low, _ in self.limits.values())
        if lowest > 1 + SUM_TOLERANCE:
            message = f"the lowest mole fractions have the sum {lowest:g}, but accepted is 1 at most"
            raise ValueError(message)
        self.ranges = {_inchikey(word): limits for word, limits in self.ranges.items()}
        self.fixed = {_inchikey(word): share for word, share in self.fixed.items()}
        return self

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest mole fraction by chemical."""
        return {**self.ranges, **{word: (share, share) for word, share in self.fixed.items()}}

    @property
    def names(self) -> set[str]:
        """The chemicals that it speaks of."""
        return set(self.limits).union(*(item.coefficients for item in self.constraints))


def _inchikey(word: str) -> str:
    """Return the InChIKey of a chemical; what is not known here may be one of a tenant's own."""
    chemical = find_chemical(word)
    return chemical.inchikey if chemical else word
