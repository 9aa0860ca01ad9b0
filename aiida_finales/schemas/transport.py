"""Carrying a sample from one place to another."""

from __future__ import annotations

from pydantic import Field

from aiida_finales.schemas.common import Location, WireModel


class TransportInput(WireModel):
    """From where to where."""

    origin: Location = Field(description="Where to pick the sample up.")
    destination: Location = Field(description="Where the sample is needed.")


class TransportOutput(WireModel):
    """Where the sample came to rest."""

    success: bool = Field(description="Whether the sample was carried.")
    actual_new_location: Location = Field(description="Where the sample is now.")
    executant: str = Field(description="Person or device that carried it.")
