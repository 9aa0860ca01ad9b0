"""Formulating an electrolyte."""

from __future__ import annotations

from pydantic import Field

from aiida_finales.schemas import units
from aiida_finales.schemas.common import Formulation, Location, MethodMeta, RunInfo, WireModel


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
