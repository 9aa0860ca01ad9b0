"""The input of ``finales-mlp``: one JSON document for all steps of one mixture."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import Component, Protocol, SimulationInput, check_document, demand_whole
from aiida_finales.md.input import check_input as check_simulation
from aiida_finales.md.species import Library, Species, read_species
from aiida_finales.schemas import Json
from aiida_finales.schemas.command_line import read_json_file

SCHEMA = "finales-mlp/1"
#: members below which a committee says nothing about itself
FEWEST_MEMBERS = 3

#: below which there is nothing to analyse
FEWEST_FRAMES = 2

#: in names of what is no density functional
TIGHT_BINDING = ("xtb", "tblite", "dftb", "tight")

#: keys of the reference that not all methods read, and by which they are read
READ_BY = {
    "command": ("CP2K",),
    "calculator": ("ase",),
    "options": ("CP2K", "ase"),
    "path": ("teacher",),
    "name": ("CP2K", "ase"),
}

Strict = ConfigDict(extra="forbid", frozen=True)


def is_tight_binding(title: str) -> bool:
    """Return whether the name of a method says that it is tight binding."""
    return any(word in title.casefold() for word in TIGHT_BINDING)


class SampleSettings(BaseModel):
    """Frames from classical cells: simulated by ``finales-md``, then let go without constraints."""

    model_config = Strict

    #: independent cells
    n_cells: int = Field(default=3, ge=1, le=1000)
    #: frames of each
    n_frames: int = Field(default=20, ge=1, le=10_000)
    #: ps between two frames
    spacing_ps: float = Field(default=1.0, ge=0.01, le=100.0)
    #: ps of each stage of ``finales-md`` before its frames
    nvt_ps: float = Field(default=20.0, ge=0.0, le=1e5)
    npt_ps: float = Field(default=50.0, ge=1.0, le=1e5)
    #: fs that each frame goes on with flexible bonds, which ``finales-md`` holds at their length
    flexible_fs: float = Field(default=200.0, ge=10.0, le=1e5)


class ReferenceSettings(BaseModel):
    """What is learned: energies and forces by which method."""

    model_config = Strict

    #: by tblite, periodic; ``CP2K``: density functional theory; ``ase``: any calculator of ASE by name; ``teacher``: a
    #: potential of this program
    method: Literal["GFN1-xTB", "GFN2-xTB", "CP2K", "ase", "teacher"] = "GFN1-xTB"
    #: of ``CP2K``: the command, for example ``srun cp2k.psmp``
    command: str | None = Field(default=None, min_length=1)
    #: of ``ase``: module and class, for example ``ase.calculators.cp2k.CP2K``
    calculator: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")
    #: of ``ase``: what the calculator is made with; of ``CP2K``: ``functional``, ``basis``, ``cutoff_Ry``, ``accuracy``
    options: Json = {}
    #: of ``teacher``: the folder of the potential
    path: str | None = None
    #: of ``ase`` and ``CP2K``: what results call the method, for example ``PBE-D3 by CP2K``
    name: str | None = Field(default=None, min_length=1)
    #: dynamics by the method itself; the published one is 20 ps at 0.5 fs
    ps: float = Field(default=2.0, gt=0.0, le=1e5)
    #: ps that belong to the start and are left out of tests
    dropped_ps: float = Field(default=1.0, ge=0.0, le=1e5)
    #: ps between two frames that are kept
    frame_ps: float = Field(default=0.01, ge=0.001, le=10.0)

    @property
    def title(self) -> str:
        """What results call the method: no name hides that it is tight binding, and no calculator what it is set to."""
        if self.calculator is None:
            return self.name or self.method
        options = ", ".join(f"{key}={json.dumps(value)}" for key, value in sorted(self.options.items()))
        made = f"{self.calculator}({options})" if options else self.calculator
        if self.name is None or (is_tight_binding(made) and not is_tight_binding(self.name)):
            return f"{self.name} by {made}" if self.name else made
        return self.name

    @property
    def n_frames(self) -> int:
        """Number of frames after those that are dropped."""
        return round((self.ps - self.dropped_ps) / self.frame_ps)

    @model_validator(mode="after")
    def _check_method(self) -> ReferenceSettings:
        needed = {"ase": "calculator", "teacher": "path", "CP2K": "command"}.get(self.method)
        unread = [key for key, methods in READ_BY.items() if getattr(self, key) and self.method not in methods]
        if unread:  # an option that changes nothing would be taken for one that does
            words = "; ".join(f"{name} is of {' and '.join(READ_BY[name])}" for name in unread)
            context = {"given": f"method {self.method} with {', '.join(unread)}"}
            raise PydanticCustomError("method", "", context | {"accepted": f"none of these: {words}"})
        if needed is not None and getattr(self, needed) is None:
            context = {"given": f"method {self.method} without {needed}"}
            raise PydanticCustomError("method", "", context | {"accepted": f"method {self.method} with {needed}"})
        return self

    @model_validator(mode="after")
    def _check_length(self) -> ReferenceSettings:
        if self.ps <= self.dropped_ps:  # known before the hours that it takes
            context = {"given": f"ps {self.ps:g}, dropped_ps {self.dropped_ps:g}"}
            raise PydanticCustomError("length", "", context | {"accepted": "ps above dropped_ps: what is left is kept"})
        if self.n_frames < 1:
            context = {"given": f"ps {self.ps:g}, dropped_ps {self.dropped_ps:g}, frame_ps {self.frame_ps:g}"}
            raise PydanticCustomError("length", "", context | {"accepted": "at least one frame after dropped_ps"})
        return self

    @field_validator("command")
    @classmethod
    def _check_command(cls, given: str | None) -> str | None:
        try:
            words = shlex.split(given or "no")
        except ValueError as error:
            raise PydanticCustomError("command", "", {"given": given, "accepted": f"a command ({error})"}) from error
        if not words:
            raise PydanticCustomError("command", "", {"given": given, "accepted": "a command"})
        return given


class ModelSettings(BaseModel):
    """The network, and what it adds to."""

    model_config = Strict

    architecture: Literal["painn", "tensornet", "nequip", "mace"] = "painn"
    #: ``classical``: the difference to the force field of ``finales-md`` is learned; ``none``: all of it
    baseline: Literal["classical", "none"] = "classical"
    members: int = Field(default=3, ge=FEWEST_MEMBERS, le=20)
    #: nm
    cutoff_nm: float = Field(default=0.4, ge=0.2, le=1.0)
    channels: int = Field(default=32, ge=4, le=512)
    layers: int = Field(default=2, ge=1, le=6)


class TrainSettings(BaseModel):
    """How a member is trained: steps, not seconds, so that it is the same on every computer."""

    model_config = Strict

    steps: int = Field(default=4000, ge=1, le=10_000_000)
    learning_rate: float = Field(default=3e-3, gt=0.0, le=0.1)
    #: eV per atom; an error of the energy that weighs as much as a typical force, at the end
    energy_scale: float = Field(default=0.005, gt=0.0, le=1.0)
    batch: int = Field(default=1, ge=1, le=1024)


class DynamicsSettings(BaseModel):
    """Dynamics of flexible molecules at constant volume."""

    model_config = Strict

    ps: float = Field(default=5.0, gt=0.0, le=1e6)
    timestep_fs: float = Field(default=0.5, ge=0.1, le=1.0)
    #: 1/ps, of the Langevin thermostat; 0 conserves energy, and its drift is told
    friction_per_ps: float = Field(default=10.0, ge=0.0, le=1000.0)
    #: ps between two frames
    frame_ps: float = Field(default=0.01, ge=0.001, le=10.0)
    #: eV/angstrom, calibrated; dynamics stop where an atom's spread is larger. ``null``: the potential's own level
    stop_spread: float | None = Field(default=None, gt=0.0)


class ExploreSettings(DynamicsSettings):
    """Dynamics that are labelled again."""

    @model_validator(mode="after")
    def _check_frames(self) -> ExploreSettings:
        if self.ps < self.frame_ps:
            context = {"given": f"ps {self.ps:g}, frame_ps {self.frame_ps:g}"}
            raise PydanticCustomError("frames", "", context | {"accepted": "at least one frame"})
        return self


class RunSettings(DynamicsSettings):
    """Production: as long as it is trusted."""

    ps: float = Field(default=50.0, ge=0.1, le=1e6)
    friction_per_ps: float = Field(default=0.1, ge=0.0, le=1000.0)
    frame_ps: float = Field(default=0.1, ge=0.01, le=10.0)
    #: ps at constant pressure before: the density is the mean of the second half; 0 keeps the volume of the start
    npt_ps: float = Field(default=0.0, ge=0.0, le=1e6)
    pressure_bar: float = Field(default=1.0, ge=0.01, le=10_000.0)
    #: frames that the reference method labels at the end: the true error of what production visited
    n_checked: int = Field(default=5, ge=0, le=10_000)

    @property
    def n_frames(self) -> int:
        """Number of frames of the production."""
        return round(self.ps / self.frame_ps)

    @model_validator(mode="after")
    def _check_frames(self) -> RunSettings:
        for name, least in (("ps", self.ps), ("npt_ps", self.npt_ps or self.ps)):
            if least < FEWEST_FRAMES * self.frame_ps:
                context = {"given": f"{name} {least:g}, frame_ps {self.frame_ps:g}"}
                raise PydanticCustomError("frames", "", context | {"accepted": "at least two frames"})
        return self


class SelectSettings(BaseModel):
    """Which visited frames are worth a label."""

    model_config = Strict

    n: int = Field(default=20, ge=1, le=100_000)
    #: eV/angstrom, calibrated; ``null``: the potential's own levels
    low: float | None = Field(default=None, ge=0.0)
    high: float | None = Field(default=None, gt=0.0)
    #: angstrom, root of the mean square; frames that are nearer to one that is chosen, or known, are left out
    distance: float = Field(default=0.1, ge=0.0, le=10.0)

    @model_validator(mode="after")
    def _check_levels(self) -> SelectSettings:
        if self.low is not None and self.high is not None and self.low > self.high:
            context = {"given": f"low {self.low:g}, high {self.high:g}", "accepted": "low up to high"}
            raise PydanticCustomError("levels", "", context)
        return self


class PotentialInput(BaseModel):
    """A mixture at a temperature, and all settings of the steps."""

    model_config = Strict

    #: ``schema`` in the document
    version: str = Field(default=SCHEMA, alias="schema")
    formulation: list[Component] = Field(min_length=1)
    temperature_K: float = Field(ge=150.0, le=800.0)  # noqa: N815 - the key says its unit
    #: formula units in a cell: a salt counts once; 9 of EC/EMC 3:5 and a salt are 113 atoms
    n_molecules: int = Field(default=9, ge=1, le=10_000)
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    ion_charge_scale: float = Field(default=0.8, ge=0.5, le=1.0)
    #: force fields of species beside those of the package, as files of ``finales-md species`` have them
    species: list[Species] = []
    #: nm, of the classical force field: of the cells, and of the baseline
    cutoff_nm: float = Field(default=0.5, ge=0.5, le=2.0)
    #: where networks are computed; ``auto`` takes a GPU where there is one
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sample: SampleSettings = SampleSettings()
    reference: ReferenceSettings = ReferenceSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    explore: ExploreSettings = ExploreSettings()
    select: SelectSettings = SelectSettings()
    run: RunSettings = RunSettings()

    @field_validator("formulation")
    @classmethod
    def _check_fractions(cls, given: list[Component]) -> list[Component]:
        return demand_whole(given)

    @field_validator("version")
    @classmethod
    def _check_version(cls, given: str) -> str:
        if given != SCHEMA:
            raise PydanticCustomError("word", "", {"given": given, "accepted": repr(SCHEMA)})
        return given

    def library(self) -> Library:
        """Return the species that can be simulated.

        :raises ForceFieldError: when the terms of a species do not fit its SMILES.
        """
        return Library(species=self.species)

    def simulation(self, cell: int = 0) -> SimulationInput:
        """Return a cell as ``finales-md`` simulates it.

        :raises SimulationInputError: when it refuses the mixture.
        """
        sample = self.sample
        protocol = Protocol(
            nvt_ps=sample.nvt_ps,
            npt_ps=sample.npt_ps,
            timestep_fs=1.0,
            production_ps=max(2, sample.n_frames) * sample.spacing_ps,
            frame_ps=sample.spacing_ps if sample.spacing_ps <= 1.0 else 1.0,
            cutoff_nm=self.cutoff_nm,
            rdf_frames=sample.n_frames,
        )
        document = {
            "schema": "finales-md/1",
            "formulation": [item.model_dump(mode="json") for item in self.formulation],
            "temperature_K": self.temperature_K,
            "n_molecules": self.n_molecules,
            "cell_index": cell,
            "seed": self.seed,
            "engine": "openmm",
            "platform": "CPU",
            "ion_charge_scale": self.ion_charge_scale,
            "protocol": protocol.model_dump(mode="json"),
        }
        return check_simulation(document)


def read_input(path: Path, species: Sequence[Path] = ()) -> PotentialInput:
    """Read an input file.

    :param species: files of further species, which become a part of the input: it is all that a step needs to know.
    :raises SimulationInputError: when it cannot be read or breaks the schema.
    :raises ForceFieldError: when a file of species cannot be read.
    """
    given = check_input(read_json_file(path, SimulationInputError), str(path))
    return with_species(given, [item for file in species for item in read_species(file)])


def with_species(given: PotentialInput, species: Sequence[Species]) -> PotentialInput:
    """Return an input that knows further species; its own count before these."""
    known = {item.smiles: item for item in (*species, *given.species)}
    return given.model_copy(update={"species": list(known.values())}) if species else given


def check_input(document: Any, name: str = "input") -> PotentialInput:
    """Return a document as an input.

    :param name: stands before the message.
    :raises SimulationInputError: when it breaks the schema; names every path, what was given and what is accepted.
    """
    return check_document(PotentialInput, document, name)
