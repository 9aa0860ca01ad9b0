"""Formulating an electrolyte, assembling cells with it, and carrying samples between the two."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from aiida_finales.schemas import units
from aiida_finales.schemas.quantities.common import (
    Cell,
    CellInfo,
    Formulation,
    Location,
    MethodMeta,
    RunInfo,
    WireModel,
)


class ElectrolyteInput(WireModel):
    """The electrolyte that is wanted."""

    formulation: Formulation = Field(description="Composition of the electrolyte.")


class FlowInput(WireModel):
    """What to formulate and how much of it."""

    electrolyte: ElectrolyteInput = Field(description="The electrolyte that is wanted.")
    volume: units.Volume = Field(description="Volume that is wanted.")


class ElectrolyteOutput(WireModel):
    """The electrolyte that was made."""

    formulation: Formulation = Field(description="Composition as it really is.")
    volume: units.Volume = Field(description="Volume that was made.")
    location: Location = Field(description="Where it can be picked up.")
    meta: MethodMeta = Field(description="How far the formulation can be trusted.")


class FlowOutput(WireModel):
    """Result of a formulation by pumps."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    electrolyte: ElectrolyteOutput = Field(description="The electrolyte that was made.")


class AssemblyInput(WireModel):
    """The cell that is wanted and how many of it."""

    cell: Cell = Field(description="What each cell is made of.")
    cell_info: CellInfo = Field(description="Identity of the cells; above all where the electrolyte comes from.")
    batch_volume: units.BatchVolume | None = Field(default=None, description="Number of equal cells, 1 to 64.")


class AssemblyWorkflowInput(AssemblyInput):
    """The cell that is wanted, before there is an electrolyte for it."""

    cell_info: CellInfo | None = Field(default=None, description="Not known yet: the cells are to be made.")  # type: ignore[assignment]


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


def _demand_address(place: Location) -> Location:
    if not place.address:
        detail = {"given": "an empty address", "accepted": "the name of a device or a site"}
        raise PydanticCustomError("no_address", "no address", detail)
    return place


#: where somebody is sent to
_Stop = Annotated[Location, AfterValidator(_demand_address)]


class TransportInput(WireModel):
    """From where to where."""

    origin: _Stop = Field(description="Where to pick the sample up.")
    destination: _Stop = Field(description="Where the sample is needed.")


class TransportOutput(WireModel):
    """Where the sample came to rest."""

    success: bool = Field(description="Whether the sample was carried.")
    actual_new_location: Location = Field(description="Where the sample is now.")
    executant: str = Field(description="Person or device that carried it.")
