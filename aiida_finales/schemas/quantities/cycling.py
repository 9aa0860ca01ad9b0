"""Reserving channels of a battery cycler and cycling a cell."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.schemas import units
from aiida_finales.schemas.names import CYCLING_KEYS
from aiida_finales.schemas.quantities.common import BatteryChemistry, Cell, CellInfo, Location, MethodMeta, WireModel
from aiida_finales.schemas.quantities.lifetime import AgedCell


class CyclingChannelInput(WireModel):
    """How many channels, and for what."""

    number_required_channels: units.PositiveCount = Field(description="Number of channels to reserve.")
    cycling_protocol: str | None = Field(default=None, description="Name of the protocol.")
    number_cycles: units.PositiveCount | None = Field(default=None, description="Number of cycles planned.")


class CyclingChannelOutput(WireModel):
    """Whether the channels are reserved."""

    KEY_ALIASES: ClassVar[dict[str, str]] = {"reservation_number": "reservation_id"}

    success: bool = Field(description="False when too few channels are free.")
    reservation_id: str | None = Field(default=None, description="To be given as reservation_number when cycling.")


class CyclingSettings(WireModel):
    """Voltages, rates and currents of a protocol; what is not said is the provider's to choose."""

    KEY_ALIASES: ClassVar[dict[str, str]] = CYCLING_KEYS

    I_max: units.Current | None = Field(default=None, description="Highest current.")
    V_max: units.Voltage | None = Field(default=None, description="Highest voltage during formation.")
    V_min: units.Voltage | None = Field(default=None, description="Lowest voltage during formation.")
    capacity: units.Capacity | None = Field(default=None, description="Capacity that C-rates refer to.")
    c_rate_charge_formation: units.CRate | None = Field(default=None, description="Charging rate, formation.")
    c_rate_discharge_formation: units.CRate | None = Field(default=None, description="Discharging rate, formation.")
    CV_I_cutoff_formation: units.Current | None = Field(
        default=None, description="Current that ends the constant-voltage step, formation."
    )
    repetions_formation_cycle: units.Count | None = Field(default=None, description="Number of formation cycles.")
    cycling_V_max: units.Voltage | None = Field(  # noqa: N815 - the published name
        default=None, description="Highest voltage during cycling."
    )
    cycling_V_min: units.Voltage | None = Field(  # noqa: N815 - the published name
        default=None, description="Lowest voltage during cycling."
    )
    c_rate_charge: units.CRate | None = Field(default=None, description="Charging rate, cycling.")
    c_rate_discharge: units.CRate | None = Field(default=None, description="Discharging rate, cycling.")
    CV_I_cutoff: units.Current | None = Field(
        default=None, description="Current that ends the constant-voltage step, cycling."
    )

    @model_validator(mode="after")
    def _check_windows(self) -> CyclingSettings:
        for low, high in (("V_min", "V_max"), ("cycling_V_min", "cycling_V_max")):
            lower, upper = getattr(self, low), getattr(self, high)
            if lower is not None and upper is not None and lower >= upper:
                detail = {"given": f"{low} {lower:g} V, {high} {upper:g} V", "accepted": f"{low} below {high}"}
                raise PydanticCustomError("voltage_window", "empty voltage window", detail)
        return self


class _CellToCycle(WireModel):
    cycling_protocol: str = Field(description="Name of the protocol.")
    number_cycles: units.PositiveCount = Field(description="Number of cycles after formation.")
    cell_info: CellInfo = Field(description="Identity of the cell.")
    location: Location = Field(description="Where the cycler is.")
    reservation_number: str = Field(description="What the reservation of channels returned as reservation_id.")


class CapacityCyclingInput(CyclingSettings, _CellToCycle):
    """The cell, the protocol and its settings."""


class CapacityWorkflowInput(CyclingSettings, Cell):
    """The cells that are to be made and cycled; what is not said is the provider's to choose."""

    batch_volume: units.BatchVolume | None = Field(default=None, description="Number of equal cells, 1 to 64.")
    cycling_protocol: str | None = Field(default=None, description="Name of the protocol.")
    number_cycles: units.PositiveCount | None = Field(default=None, description="Number of cycles after formation.")


class CapacityCyclingOutput(WireModel):
    """Capacities over the cycles, and features of the early ones."""

    capacity_list: units.Capacities = Field(description="Capacities of charge and discharge in turn.")
    channel_list: list[units.Integer] = Field(description="Channels that were used.")
    cell_info: CellInfo = Field(description="Identity of the cell.")
    delta_coulombic_efficiency: float | None = Field(
        default=None, description="Coulombic efficiency at the end of the window minus that of cycle 10."
    )
    voltage_gap_charge_discharge: units.Voltage | None = Field(
        default=None, description="Gap between charge and discharge voltage, end of the window minus cycle 10."
    )
    capacity_vector_variance: float | None = Field(
        default=None, description="Variance of Q(V) at the end of the window minus Q(V) of cycle 10 (logarithm)."
    )


class CapacityWorkflowOutput(CapacityCyclingOutput):
    """Capacities of the cell in the middle of a batch, by its last capacity, and of each cell."""

    cells: list[CapacityCyclingOutput] | None = Field(default=None, description="Each cell that was cycled.")


class CapacityLiteratureInput(WireModel):
    """The cell, and how it was cycled, as far as it is known."""

    cell_info: CellInfo = Field(description="Identity of the cell.")
    battery_chemistry: BatteryChemistry | None = Field(default=None, description="Electrolyte and electrodes.")
    cycling_protocol: str | None = Field(default=None, description="Name of the protocol.")
    number_cycles: units.PositiveCount | None = Field(default=None, description="Number of cycles after formation.")
    aged_cell: AgedCell | None = Field(
        default=None, description="The cell in the words of lifetimeCurve: models of many designs learn from it."
    )


class CapacityLiteratureOutput(WireModel):
    """Measured capacities over the cycles, as they were recorded elsewhere."""

    cell_info: CellInfo = Field(description="Identity of the cell.")
    meta: MethodMeta = Field(description="How far the values can be trusted.")
    cycles: list[units.Integer] = Field(description="Numbers of the cycles that have a discharge.")
    discharge_capacities: units.Capacities = Field(description="Discharge capacity of each of them.")
    capacity_list: units.Capacities = Field(
        description="Capacities of charge and discharge in turn; empty where those of the charge are not known."
    )
    channel_list: list[units.Integer] = Field(default_factory=list, description="Channels that were used.")
    delta_coulombic_efficiency: float | None = Field(
        default=None, description="Coulombic efficiency at the end of the window minus that of cycle 10."
    )
    voltage_gap_charge_discharge: units.Voltage | None = Field(
        default=None, description="Gap between charge and discharge voltage, end of the window minus cycle 10."
    )
    capacity_vector_variance: float | None = Field(
        default=None, description="Variance of Q(V) at the end of the window minus Q(V) of cycle 10 (logarithm)."
    )
    end_of_life: units.Count | None = Field(
        default=None, description="Cycle from which the capacity stays below the limit; null: it never does."
    )
