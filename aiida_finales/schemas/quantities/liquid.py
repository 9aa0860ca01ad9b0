"""Properties of a liquid electrolyte: conductivity, density, viscosity, diffusion, coordination, heat capacity.

They are in one file because one run often gives several of them: a simulation all, a densimeter with viscometer density
and viscosity.
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


class SimulationInput(ConductivityInput):
    """The electrolyte and its temperature, and which of several simulations of it."""

    replicate: units.PositiveCount | None = Field(
        default=None, description="Number of an independent simulation of the same electrolyte; 1 when not given."
    )


class SelfDiffusionInput(SimulationInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class TransferenceInput(SimulationInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class CoordinationInput(SimulationInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class HeatCapacityInput(SimulationInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class SimulatedViscosityInput(SimulationInput):
    """The electrolyte and its temperature; without one the provider chooses it."""


class ConductivityOutput(Measurement):
    """Ionic conductivities."""

    values: units.Conductivities = Field(description="One value per repetition.")


class DensityOutput(Measurement):
    """Densities."""

    values: units.Densities = Field(description="One value per repetition.")


class ViscosityOutput(Measurement):
    """Dynamic viscosities."""

    values: units.Viscosities = Field(description="One value per repetition.")


class Mean(WireModel):
    """A mean over independent cells, in the unit of the quantity."""

    mean: float = Field(description="Mean over the cells.")
    standard_error: float | None = Field(default=None, description="Of the mean; none of one cell.")
    half_width: float | None = Field(default=None, description="Of the 95 % interval of the mean (Student's t).")
    n: units.PositiveCount = Field(description="Number of cells.")


class SimulatedMeasurement(Measurement):
    """One value per independent cell; what is not known well enough has no values, and a reason."""

    reason: str | None = Field(default=None, description="Why there is no success, and what would help.")
    how: str | None = Field(default=None, description="How the values follow from the simulation, and their limits.")


class SelfDiffusionOutput(SimulatedMeasurement):
    """Self-diffusion coefficients: those of one species as values, all in ``by_species``."""

    values: units.Diffusivities = Field(description="Of the species ``of``, one value per cell.")
    of: str | None = Field(default=None, description="Name of the species: the first cation.")
    by_species: dict[str, Mean] | None = Field(default=None, description="Of every species, m²/s.")


class TransferenceOutput(SimulatedMeasurement):
    """Transference numbers: that of one cation as values, all in ``by_species``."""

    values: units.Numbers = Field(description="Of the cation ``of``, one value per cell.")
    of: str | None = Field(default=None, description="Name of the first cation.")
    by_species: dict[str, Mean] | None = Field(default=None, description="Of every ion; they add up to 1.")


class CoordinationOutput(SimulatedMeasurement):
    """Coordination numbers: molecules in the first shell of a cation, in all, and by partner in ``by_partner``."""

    values: units.Numbers = Field(description="Molecules around the cation ``of``, one value per cell.")
    of: str | None = Field(default=None, description="Name of the first cation.")
    by_partner: dict[str, Mean] | None = Field(
        default=None, description="By cation, nearest donor atom and its molecule, e.g. Li-O(EC); of all cations."
    )
    cutoff_angstrom: dict[str, float] | None = Field(
        default=None, description="End of the first shell by cation: the first minimum, mean over cells."
    )


class HeatCapacityOutput(SimulatedMeasurement):
    """Specific heat capacities at constant pressure, and at constant volume beside."""

    values: units.HeatCapacities = Field(description="At constant pressure, one value per cell.")
    values_uncertainty: list[float] | None = Field(default=None, description="Standard error of each value.")
    isobaric: Mean | None = Field(default=None, description="At constant pressure, J/(kg K).")
    isochoric: Mean | None = Field(default=None, description="At constant volume, J/(kg K).")


class SimulatedViscosityOutput(SimulatedMeasurement):
    """Dynamic viscosities from the fluctuations of the pressure tensor."""

    values: units.Viscosities = Field(description="One value per cell.")
    mean: float | None = Field(default=None, description="Mean over the cells, mPa s, also where it is no success.")
    standard_error: float | None = Field(default=None, description="Of the mean, mPa s.")
    integral_ps: float | None = Field(default=None, description="Time at which the integral is read.")


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


class SimulationOutput(WireModel):
    """What a molecular dynamics simulation gives, whatever it is asked for."""

    run_info: RunInfo = Field(description="What all data of this run share.")
    conductivity: ConductivityOutput | None = Field(default=None, description="Ionic conductivity.")
    density: DensityOutput | None = Field(default=None, description="Density of the simulated liquid.")
    viscosity: SimulatedViscosityOutput | None = Field(default=None, description="Dynamic viscosity.")
    self_diffusion_coefficient: SelfDiffusionOutput | None = Field(default=None, description="Self-diffusion.")
    transference_number: TransferenceOutput | None = Field(default=None, description="Transference numbers.")
    coordination_number: CoordinationOutput | None = Field(default=None, description="Neighbours of the cations.")
    heat_capacity: HeatCapacityOutput | None = Field(default=None, description="Specific heat capacity.")
    RDF: RDFOutput | None = Field(default=None, description="Radial distribution functions.")
    number_molecules_per_component: dict[str, units.Count] | None = Field(
        default=None, description="Number of simulated molecules of each chemical."
    )


class SelfDiffusionSimulationOutput(SimulationOutput):
    """A molecular dynamics simulation asked for self-diffusion coefficients, with what it gives besides."""

    self_diffusion_coefficient: SelfDiffusionOutput = Field(description="Self-diffusion coefficients.")


class TransferenceSimulationOutput(SimulationOutput):
    """A molecular dynamics simulation asked for transference numbers, with what it gives besides."""

    transference_number: TransferenceOutput = Field(description="Transference numbers.")


class CoordinationSimulationOutput(SimulationOutput):
    """A molecular dynamics simulation asked for coordination numbers, with what it gives besides."""

    coordination_number: CoordinationOutput = Field(description="Coordination numbers.")


class HeatCapacitySimulationOutput(SimulationOutput):
    """A molecular dynamics simulation asked for the heat capacity, with what it gives besides."""

    heat_capacity: HeatCapacityOutput = Field(description="Specific heat capacity.")


class ViscositySimulationOutput(SimulationOutput):
    """A molecular dynamics simulation asked for the viscosity, with what it gives besides."""

    viscosity: SimulatedViscosityOutput = Field(description="Dynamic viscosity.")


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
