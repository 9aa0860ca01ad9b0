"""Properties of a liquid electrolyte: ionic conductivity, density, viscosity, radial distribution functions.

They are in one file because one run often gives several of them: a simulation the first, second and fourth, a
densimeter with viscometer the second and third.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from aiida_finales.schemas import units
from aiida_finales.schemas.quantities.common import Formulation, Measurement, RunInfo, WireModel


class ConductivityInput(WireModel):
    """The electrolyte and its temperature; without one the provider chooses it."""

    formulation: Formulation = Field(description="Composition of the electrolyte.")
    temperature: units.Temperature | None = Field(default=None, description="Temperature of the sample.")


class DensityInput(ConductivityInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class ViscosityInput(ConductivityInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class RDFInput(WireModel):
    """The electrolyte, its temperature and a first guess of its density."""

    formulation: Formulation = Field(
        description="Composition of the electrolyte.", json_schema_extra={"unit": "dimensionless"}
    )
    temperature: units.Temperature = Field(description="Temperature of the simulation.")
    estimated_density: units.Density | None = Field(default=None, description="First guess of the density.")


class ConductivityOutput(Measurement):
    """Ionic conductivities."""

    values: units.Conductivities = Field(description="One value per repetition.")


class DensityOutput(Measurement):
    """Densities."""

    values: units.Densities = Field(description="One value per repetition.")


class ViscosityOutput(Measurement):
    """Dynamic viscosities."""

    values: units.Viscosities = Field(description="One value per repetition.")


class RDFOutput(WireModel):
    """Radial distribution functions: local over mean particle density, by distance."""

    radius: units.Radii = Field(description="Distances, common to all pairs.")
    pair_title: list[str] = Field(description="Name of each pair of atoms.")
    RDF: list[list[float]] = Field(description="One function per pair, one number per distance.")
    cell_volume: units.CellVolume = Field(description="Volume of the simulated box.")
    cell_formula: str = Field(description="Number of atoms of each element in the box, e.g. Li16 P16 F96.")


class TwoElectrodeOutput(WireModel):
    """An impedance measurement between two electrodes."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    conductivity: ConductivityOutput = Field(description="Ionic conductivity.")


class PolynomialInterpolationOutput(TwoElectrodeOutput):
    """A polynomial fitted to measured conductivities."""


class EmpiricalModelOutput(TwoElectrodeOutput):
    """A published empirical model."""


class LiteratureOutput(TwoElectrodeOutput):
    """Published measurements."""


class ConductivitySimulationOutput(WireModel):
    """A molecular dynamics simulation asked for the conductivity, with what it gives besides."""

    model_config = ConfigDict(title="MolecularDynamicsOutput")

    run_info: RunInfo = Field(description="What all data of this run share.")
    conductivity: ConductivityOutput = Field(description="Ionic conductivity.")
    density: DensityOutput | None = Field(default=None, description="Density of the simulated liquid.")
    RDF: RDFOutput | None = Field(default=None, description="Radial distribution functions.")
    number_molecules_per_component: dict[str, units.Count] | None = Field(
        default=None, description="Number of simulated molecules of each chemical."
    )


class DensitySimulationOutput(WireModel):
    """A molecular dynamics simulation asked for the density, with what it gives besides."""

    model_config = ConfigDict(title="MolecularDynamicsOutput")

    run_info: RunInfo = Field(description="What all data of this run share.")
    density: DensityOutput = Field(description="Density of the simulated liquid.")
    conductivity: ConductivityOutput | None = Field(default=None, description="Ionic conductivity.")
    RDF: RDFOutput | None = Field(default=None, description="Radial distribution functions.")
    number_molecules_per_component: dict[str, units.Count] | None = Field(
        default=None, description="Number of simulated molecules of each chemical."
    )


class VibratingTubeDensimetryOutput(WireModel):
    """A densimeter, with the viscosity where it has a viscometer beside."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    density: DensityOutput = Field(description="Density.")
    viscosity: ViscosityOutput | None = Field(default=None, description="Viscosity measured beside.")


class RollingBallViscometryOutput(WireModel):
    """A rolling ball viscometer."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    viscosity: ViscosityOutput = Field(description="Dynamic viscosity.")


class DensityLiteratureOutput(VibratingTubeDensimetryOutput):
    """Published measurements."""

    model_config = ConfigDict(title="LiteratureOutput")


class ViscosityLiteratureOutput(RollingBallViscometryOutput):
    """Published measurements."""

    model_config = ConfigDict(title="LiteratureOutput")
