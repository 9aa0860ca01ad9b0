"""End of life of a cell: predicted from its early cycles, or by making, cycling and then predicting it."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.schemas import units
from aiida_finales.schemas.quantities.common import BatteryChemistry, CellInfo, MethodMeta, RunInfo, WireModel


class DegradationEOLInput(WireModel):
    """The cell and, where they are known, features of its early cycles."""

    battery_chemistry: BatteryChemistry = Field(description="Electrolyte and electrodes.")
    input_cycles: list[float] | None = Field(default=None, description="Capacities of the early cycles.")
    average_charging_rate: units.CRate | None = Field(default=None, description="Mean charging rate.")
    maximum_charging_rate: units.CRate | None = Field(default=None, description="Highest charging rate.")
    minimum_charging_rate: units.CRate | None = Field(default=None, description="Lowest charging rate.")
    delta_coulombic_efficiency: float | None = Field(
        default=None, description="Coulombic efficiency at the end of the window minus that of cycle 10."
    )
    voltage_gap_charge_discharge: units.Voltage | None = Field(
        default=None, description="Gap between charge and discharge voltage, end of the window minus cycle 10."
    )
    capacity_vector_variance: float | None = Field(
        default=None, description="Variance of Q(V) at the end of the window minus Q(V) of cycle 10 (logarithm)."
    )
    cell_info: CellInfo = Field(description="Identity of the cell; empty when it does not exist yet.")


class DegradationEOLOutput(WireModel):
    """The end of life of one cell."""

    end_of_life: units.Count = Field(description="Cycle number at the end of life.")
    end_of_life_uncertainty: float = Field(ge=0, description="Uncertainty of the end of life, cycles.")
    capacity_trajectory: units.CapacityTrajectory = Field(description="Capacities of the coming cycles.")
    capacity_trajectory_uncertainty: units.CapacityTrajectory = Field(description="Uncertainty of each of them.")
    meta: MethodMeta = Field(description="How far the prediction can be trusted.")
    cell_info: CellInfo = Field(description="Identity of the cell.")

    @model_validator(mode="after")
    def _check_lengths(self) -> DegradationEOLOutput:
        values, errors = len(self.capacity_trajectory), len(self.capacity_trajectory_uncertainty)
        if values != errors:
            detail = {
                "given": f"{values} capacities and {errors} uncertainties",
                "accepted": "one uncertainty per capacity of the trajectory",
            }
            raise PydanticCustomError("trajectory", "uneven trajectory", detail)
        return self


class DegradationModelOutput(WireModel):
    """The prediction for one cell."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    degradationEOL: DegradationEOLOutput = Field(description="End of life.")  # noqa: N815 - the published name


class DegradationWorkflowOutput(WireModel):
    """The predictions for all cells of a batch."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    degradationEOL: list[DegradationEOLOutput] = Field(description="End of life of each cell.")  # noqa: N815
