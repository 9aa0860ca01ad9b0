"""The cycles at which a cell has lost some of its capacity: before its first cycle, or from its first cycles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.schemas import units
from aiida_finales.schemas.quantities.common import CellInfo, Formulation, MethodMeta, WireModel
from aiida_finales.schemas.quantities.degradation import DegradationEOLOutput

#: what is told where nothing else is asked for
SHARES = (0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
Share = Annotated[float, Field(ge=0.6, le=0.99)]
Coverage = Annotated[float, Field(ge=0.5, le=0.95)]
#: cycles of an end of life that is predicted; not whole ones
Cycles = Annotated[float, Field(ge=0)]


class ElectrodeProperties(WireModel):
    """What is known of a material; needed where no record has it."""

    theoretical_capacity: units.SpecificCapacity | None = Field(default=None, description="From its formula.")
    practical_capacity: units.SpecificCapacity | None = Field(default=None, description="In use.")
    mean_potential: units.Voltage | None = Field(default=None, description="Against the metal of its working ion.")
    crystal_density: units.Density | None = Field(default=None, description="Of the crystal.")
    volume_change: units.Percent | None = Field(default=None, description="From empty to full.")
    log10_diffusion: float | None = Field(
        default=None, description="Decadic logarithm of the diffusion coefficient of the working ion in cm2/s."
    )


class ElectrodeMaterial(WireModel):
    """An electrode by the name of its record, or by its properties."""

    material: units.NonEmptyText = Field(description="Name, synonym or formula of its record.")
    working_ion: str | None = Field(default=None, description="What it takes up, e.g. Li; default: as its record says.")
    properties: ElectrodeProperties | None = Field(default=None, description="Default: those of its record.")


class CellDesignForm(WireModel):
    """The housing of a cell and what it holds."""

    format: Literal["coin", "cylindrical", "pouch", "prismatic"] = Field(description="Kind of the housing.")
    nominal_capacity: units.Capacity = Field(description="Capacity that rates refer to.")


class RateStep(WireModel):
    """A part of a charge or discharge."""

    rate: units.PositiveCRate = Field(description="Mean over time.")
    until_soc: units.Fraction | None = Field(
        default=None, description="State of charge at its end, 0 to 1; default: full, or empty."
    )
    highest_rate: units.PositiveCRate | None = Field(
        default=None, description="Where the rate varies within the step, as of a drive cycle."
    )


class CyclingProtocolForm(WireModel):
    """How a cell is cycled."""

    charging: list[RateStep] = Field(min_length=1, description="Steps in their order.")
    discharging: list[RateStep] = Field(min_length=1, description="Steps in their order.")
    voltage_minimum: units.Voltage | None = Field(default=None, description="End of the discharge.")
    voltage_maximum: units.Voltage | None = Field(default=None, description="End of the charge.")

    @model_validator(mode="after")
    def _check_window(self) -> CyclingProtocolForm:
        low, high = self.voltage_minimum, self.voltage_maximum
        if low is not None and high is not None and low >= high:
            detail = {"given": f"{low:g} V to {high:g} V", "accepted": "voltage_minimum below voltage_maximum"}
            raise PydanticCustomError("voltage_window", "empty voltage window", detail)
        return self


class EarlyCycles(WireModel):
    """What was measured of the first cycles."""

    cycle: list[units.PositiveCount] = Field(description="Numbers of the cycles, the first after formation is 1.")
    capacity: units.Capacities = Field(description="Discharge capacity of each.")
    capacity_difference: float | None = Field(
        default=None, description="Capacity of cycle 3 less that of cycle 100, Ah; default: as the capacities say."
    )
    area_difference: units.Energy | None = Field(
        default=None, description="Area under the discharge curve of cycle 3 less that of cycle 100."
    )
    log10_var_dQ: float | None = Field(  # noqa: N815 - the published name
        default=None, description="Decadic logarithm of the variance of Q100(V) - Q10(V) in Ah2."
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> EarlyCycles:
        if len(self.cycle) != len(self.capacity):
            given = f"{len(self.cycle)} cycles and {len(self.capacity)} capacities"
            detail = {"given": given, "accepted": "one capacity per cycle"}
            raise PydanticCustomError("early_cycles", "uneven first cycles", detail)
        return self


class AgedCell(WireModel):
    """A cell and how it is cycled."""

    positive_electrode: ElectrodeMaterial = Field(description="Positive electrode.")
    negative_electrode: ElectrodeMaterial = Field(description="Negative electrode.")
    cell_design: CellDesignForm = Field(description="Housing and size.")
    protocol: CyclingProtocolForm = Field(description="How it is cycled.")
    temperature: units.Temperature = Field(description="Of the chamber.")
    laboratory: str | None = Field(
        default=None, description="Who cycles it, as in the table learned from; another one widens the interval."
    )


class CellToAge(AgedCell):
    """A cell and how it is cycled, of which the life is asked for."""

    coverage: Coverage = Field(default=0.8, description="Probability that the interval shall have.")


class LifetimeCurveInput(CellToAge):
    """A cell, how it is cycled, and which shares of its capacity are asked about."""

    electrolyte: Formulation | None = Field(
        default=None, description="Composition; where the cells learned from do not vary it, it widens the interval."
    )
    state_of_health: list[Share] = Field(
        default_factory=lambda: list(SHARES), min_length=1, description="Shares of the reference capacity."
    )
    early_cycles: EarlyCycles | None = Field(default=None, description="First cycles, where they were measured.")
    cell_info: CellInfo | None = Field(default=None, description="Identity of the cell, where it exists.")


class CapacityFadeInput(LifetimeCurveInput):
    """A cell, how it is cycled, and its first cycles."""

    early_cycles: EarlyCycles = Field(description="First cycles.")


class EndOfLife(WireModel):
    """When a cell has reached the end of its life."""

    share: Share = Field(description="Of the reference.")
    reference: str = Field(description="What the shares refer to.")
    cycle: Cycles | None = Field(description="Cycle of the end of life; null: not known.")


class LearnedFrom(WireModel):
    """How far a cell is from those that a model learned from."""

    regime: str | None = Field(description="From the nearest to the farthest; null: it was refused.")
    nearest_cells: list[str] = Field(description="Names of the nearest cells learned from.")
    distance: float | None = Field(description="From the nearest, in standard deviations of each number.")
    replicates: units.Count = Field(description="Like cells with the same protocol.")
    reached_by: list[units.Count] = Field(
        default_factory=list, description="How many cells learned from got down to each share."
    )


class ModelUsed(WireModel):
    """Which model answered."""

    uuid: units.NonEmptyText = Field(description="Of its node.")
    data: str = Field(description="What it learned from.")
    split: str = Field(description="What was left out to find the errors of this regime.")
    errors: dict[str, float | None] = Field(description="Of this regime: cells, and errors in per cent.")


class LifetimeMeta(MethodMeta):
    """How far an answer can be trusted."""

    reason: str | None = Field(default=None, description="Why it is no better, or none.")


class Curve(WireModel):
    """The cycles at which a cell falls to shares of its capacity, and what they depend on."""

    state_of_health: list[Share] = Field(description="Shares of the reference.")
    cycle: list[Cycles] = Field(description="At each share; grows as it falls.")
    cycle_lower: list[Cycles] = Field(description="Lower end of the interval.")
    cycle_upper: list[Cycles] = Field(description="Upper end of the interval.")
    coverage: Coverage = Field(description="Probability that the interval is meant to have.")
    contributions: dict[str, float] = Field(
        default_factory=dict, description="Factor on the end of life by each input, against a typical cell."
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Curve:
        lists = (self.cycle, self.cycle_lower, self.cycle_upper)
        if any(len(values) not in {0, len(self.state_of_health)} for values in lists):
            detail = {"given": f"{[len(values) for values in lists]} cycles", "accepted": "one per state of health"}
            raise PydanticCustomError("curve", "uneven curve", detail)
        return self


class LifetimeCurveOutput(Curve):
    """A curve, and how far it can be trusted."""

    end_of_life: EndOfLife = Field(description="At 80 % of the reference.")
    domain: LearnedFrom = Field(description="How far the cell is from those learned from.")
    longer: str | None = Field(default=None, description="What cycling the cell would bring.")
    meta: LifetimeMeta = Field(description="How far it can be trusted.")
    model: ModelUsed = Field(description="Which model answered.")

    @model_validator(mode="after")
    def _check_success(self) -> LifetimeCurveOutput:
        if self.meta.success and not self.cycle:
            detail = {"given": "success without a cycle", "accepted": "one per state of health, or success false"}
            raise PydanticCustomError("curve", "success without a curve", detail)
        return self


class ElectrolyteOfCell(WireModel):
    """What else is known of a cell."""

    electrolyte: Formulation = Field(description="Composition; the cells learned from do not vary it: it widens.")


class EndOfLifeInput(CellToAge):
    """A cell and how it is cycled; the electrolyte is where other methods of this quantity have it."""

    battery_chemistry: ElectrolyteOfCell | None = Field(default=None, description="Electrolyte, where it is known.")


class GeneratedRun(WireModel):
    """What all data of an answer share."""

    internal_reference: str = Field(description="The request's name.")
    formulation: Formulation | None = Field(default=None, description="Electrolyte, where one was given.")


class EndOfLifeOutput(WireModel):
    """The end of life of a cell that does not exist yet."""

    run_info: GeneratedRun = Field(description="What all data of this answer share.")
    degradationEOL: DegradationEOLOutput = Field(description="End of life.")  # noqa: N815 - the published name
    domain: LearnedFrom = Field(description="How far the cell is from those learned from.")
    curve: Curve | None = Field(default=None, description="On the way there; null: it was refused.")
    model: ModelUsed = Field(description="Which model answered.")
