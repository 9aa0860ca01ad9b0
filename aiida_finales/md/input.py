"""The input of ``finales-md``: one JSON document per cell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.schemas.command_line import read_json_file
from aiida_finales.schemas.defects import find_defects

SCHEMA = "finales-md/1"
#: by how much mole fractions may miss 1
FRACTION_TOLERANCE = 1e-3
#: largest number of formula units: beyond it an input is a mistake
MOST_MOLECULES = 100_000

#: of OpenMM, that GROMACS has as well
GROMACS_PLATFORMS = ("auto", "CPU")

Strict = ConfigDict(extra="forbid", frozen=True)
Model = TypeVar("Model", bound=BaseModel)
Duration = Annotated[float, Field(ge=0.0, le=1e6)]


class Component(BaseModel):
    """A chemical of the formulation; a salt is one component (``[Li+].F[P-](F)(F)(F)(F)F``), or two charged ones."""

    model_config = Strict

    smiles: str = Field(min_length=1)
    name: str | None = None
    mole_fraction: float = Field(gt=0.0, le=1.0)


class Protocol(BaseModel):
    """What is simulated, in this order: ``nvt``, ``npt``, ``settle`` and ``production``."""

    model_config = Strict

    #: fs; with bonds to hydrogen constrained, 2 fs conserve energy and 4 fs do not
    timestep_fs: float = Field(default=2.0, ge=0.1, le=2.0)
    #: ps at the packed density
    nvt_ps: Duration = 200.0
    #: ps at constant pressure; the density is the mean of the second half
    npt_ps: float = Field(default=200.0, ge=1.0, le=1e6)
    #: ps at the mean density, before frames are kept
    settle_ps: Duration = 10.0
    #: ps at the mean density, with frames
    production_ps: float = Field(default=2500.0, ge=0.1, le=1e7)
    #: ps between two frames of the ions, and between two lines of the log; no atom moves by half a box meanwhile
    frame_ps: float = Field(default=1.0, ge=0.01, le=10.0)
    #: 1/ps, of OpenMM's Langevin thermostat: a stronger one slows diffusion down. That of GROMACS relaxes the kinetic
    #: energy as quickly
    friction_per_ps: float = Field(default=0.1, gt=0.0, le=0.1)
    #: nm, of van der Waals and direct electrostatic forces
    cutoff_nm: float = Field(default=1.0, ge=0.5, le=2.0)
    #: fs between two pressure tensors in production, from which the viscosity follows; 0 keeps none. GROMACS only: that
    #: of OpenMM takes as long as a dozen time steps
    stress_fs: float = Field(default=10.0, ge=0.0, le=100.0)
    #: frames of all atoms, for pair distributions
    rdf_frames: int = Field(default=200, ge=1, le=10_000)

    @model_validator(mode="after")
    def _check_frames(self) -> Protocol:
        if self.production_ps < 2 * self.frame_ps:
            context = {"given": f"production_ps {self.production_ps:g}, frame_ps {self.frame_ps:g}"}
            raise PydanticCustomError("frames", "", context | {"accepted": "a production of at least two frames"})
        return self

    def steps(self, duration: float) -> int:
        """Return the number of time steps in a duration in ps."""
        return round(duration * 1000.0 / self.timestep_fs)

    @property
    def n_frames(self) -> int:
        """Number of frames of the ions."""
        return self.steps(self.production_ps) // self.frame_steps

    @property
    def rdf_interval(self) -> int:
        """Every how many frames of the ions there is one of all atoms."""
        return math.ceil(self.n_frames / self.rdf_frames)

    @property
    def frame_steps(self) -> int:
        """Number of time steps between two frames."""
        return max(1, self.steps(self.frame_ps))

    @property
    def stress_steps(self) -> int | None:
        """Number of time steps between two pressure tensors, whole parts of a frame; ``None`` where none are kept."""
        most = round(self.stress_fs / self.timestep_fs)
        fitting = (step for step in range(most, 0, -1) if self.frame_steps % step == 0)
        return next(fitting, 1) if self.stress_fs else None


class SimulationInput(BaseModel):
    """One cell: what is in it, at which state, and how it is simulated."""

    model_config = Strict

    #: ``schema`` in the document
    version: str = Field(default=SCHEMA, alias="schema")
    formulation: list[Component] = Field(min_length=1)
    temperature_K: float = Field(ge=150.0, le=800.0)  # noqa: N815 - the key says its unit
    pressure_bar: float = Field(default=1.0, ge=0.01, le=10_000.0)
    #: formula units: a salt counts once
    n_molecules: int = Field(default=222, ge=1, le=MOST_MOLECULES)
    #: number of the independent cell; packing, velocities and noise follow from it and the seed
    cell_index: int = Field(default=0, ge=0, le=100_000)
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    #: ``auto`` takes OpenMM where its CUDA works, else GROMACS where there is ``gmx``, else OpenMM
    engine: Literal["auto", "openmm", "gromacs"] = "auto"
    #: of OpenMM; GROMACS uses what it was built for, or the CPU only
    platform: Literal["auto", "CPU", "CUDA", "Reference"] = "auto"
    #: factor for the charges of ions; 1 without scaling
    ion_charge_scale: float = Field(default=0.8, ge=0.5, le=1.0)
    protocol: Protocol = Protocol()

    @field_validator("version")
    @classmethod
    def _check_version(cls, given: str) -> str:
        if given != SCHEMA:
            raise PydanticCustomError("word", "", {"given": given, "accepted": repr(SCHEMA)})
        return given

    @model_validator(mode="after")
    def _check_platform(self) -> SimulationInput:
        if self.engine == "gromacs" and self.platform not in GROMACS_PLATFORMS:
            context = {"given": f"engine gromacs, platform {self.platform}"}
            accepted = f"platform {' or '.join(GROMACS_PLATFORMS)} for GROMACS"
            raise PydanticCustomError("platform", "", context | {"accepted": accepted})
        return self

    @model_validator(mode="after")
    def _check_fractions(self) -> SimulationInput:
        demand_whole(self.formulation)
        return self


def demand_whole(formulation: list[Component]) -> list[Component]:
    """Check that mole fractions sum to 1, for a model with a formulation; return it.

    :raises PydanticCustomError: when they do not.
    """
    total = math.fsum(component.mole_fraction for component in formulation)
    if abs(total - 1.0) > FRACTION_TOLERANCE:
        context = {"given": f"mole fractions that sum to {total:.6g}", "accepted": "mole fractions that sum to 1"}
        raise PydanticCustomError("fractions", "", context)
    return formulation


def read_input(path: Path) -> SimulationInput:
    """Read an input file.

    :raises SimulationInputError: when it cannot be read or breaks the schema.
    """
    return check_input(read_json_file(path, SimulationInputError), str(path))


def check_input(document: Any, name: str = "input") -> SimulationInput:
    """Return a document as an input.

    :param name: stands before the message.
    :raises SimulationInputError: when it breaks the schema; names every path, what was given and what is accepted.
    """
    return check_document(SimulationInput, document, name)


def check_document(model: type[Model], document: Any, name: str) -> Model:
    """Return a document as what a model describes.

    :param name: stands before the message.
    :raises SimulationInputError: when it breaks the schema; names every path, what was given and what is accepted.
    """
    defects = find_defects(model, document)
    if defects:
        lines = (f"{item['path']}: {item['given']!r} was given, accepted is {item['accepted']}" for item in defects)
        raise SimulationInputError(f"{name}: {'; '.join(lines)}")
    return model.model_validate(document)
