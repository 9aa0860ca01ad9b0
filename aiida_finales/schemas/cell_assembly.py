"""Assembling cells."""

from __future__ import annotations

from pydantic import Field

from aiida_finales.schemas import units
from aiida_finales.schemas.common import Cell, CellInfo, MethodMeta, WireModel


class AssemblyInput(WireModel):
    """The cell that is wanted and how many of it."""

    cell: Cell = Field(description="What each cell is made of.")
    cell_info: CellInfo = Field(description="Identity of the cells; above all where the electrolyte comes from.")
    batch_volume: units.BatchVolume | None = Field(default=None, description="Number of equal cells, 1 to 64.")


class AssemblyOutput(WireModel):
    """One assembled cell."""

    cell_info: CellInfo = Field(description="Identity of the cell.")
    cell: Cell = Field(description="What the cell is made of.")
    manufacturing_img: str = Field(description="Path of the photographs of the assembly.")
    meta: MethodMeta = Field(description="How far the cell can be trusted.")
    temperature: units.Temperature | None = Field(default=None, description="Temperature during the assembly.")
    sealing_time: str | None = Field(default=None, description="When the cell was sealed.")


class AutoBASSOutput(WireModel):
    """One batch of cells."""

    batch_output: list[AssemblyOutput] = Field(description="The cells.")
    batch_id: str = Field(description="Identifier of the batch.")
