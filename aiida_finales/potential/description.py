"""What is known of a trained potential: ``potential.json``, as ``finales-mlp train`` writes it beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator
from pydantic_core import PydanticCustomError

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import check_document
from aiida_finales.schemas import Json
from aiida_finales.schemas.command_line import read_json_file

DESCRIPTION, SCHEMA = "potential.json", "finales-mlp-potential/1"
#: what members have in common
COMMON = ("network", "elements", "shifts", "scale", "baseline", "reference", "frames", "data_sha256", "domain")

More = ConfigDict(extra="allow")


class _Part(BaseModel):
    model_config = More

    smiles: str
    mole_fraction: FiniteFloat


class _State(BaseModel):
    model_config = More

    temperature_K: tuple[FiniteFloat, FiniteFloat]  # noqa: N815 - the unit
    density_g_cm3: tuple[FiniteFloat, FiniteFloat]


class _Domain(_State):
    formulation: list[_Part] = Field(min_length=1)
    others: list[list[_Part]] = []
    states: list[_State] = []


class _Baseline(BaseModel):
    model_config = More

    kind: Literal["classical", "none"]
    species_sha256: dict[str, str] = {}


class _Member(BaseModel):
    model_config = More

    file: str
    sha256: str

    @field_validator("file")
    @classmethod
    def _check_file(cls, given: str) -> str:
        if not given or Path(given).name != given:
            context = {"given": given, "accepted": "the name of a file beside it, as member_0.pt"}
            raise PydanticCustomError("file", "", context)
        return given


class _Errors(BaseModel):
    model_config = More

    forces_meV_A: FiniteFloat = Field(ge=0)  # noqa: N815 - the unit
    forces_by_element_meV_A: dict[str, FiniteFloat] = {}  # noqa: N815
    #: of one frame there is none
    energy_without_offset_meV_atom: FiniteFloat | None  # noqa: N815


class _Trust(BaseModel):
    low: FiniteFloat
    high: FiniteFloat


class _Description(BaseModel):
    model_config = More

    network: Json
    elements: list[str]
    shifts: dict[str, FiniteFloat]
    scale: FiniteFloat
    baseline: _Baseline
    reference: str
    statement: str
    frames: list[str]
    n_frames: int
    data_sha256: str
    domain: _Domain
    members: list[_Member] = Field(min_length=1)
    validation: _Errors
    calibration: FiniteFloat
    trust: _Trust
    versions: Json


def read_description(folder: Path) -> dict[str, Any]:
    """Return what is known of a potential.

    :raises SimulationInputError: when there is none, or it is not as it was written.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise SimulationInputError(f"{folder} holds no potential, as 'finales-mlp train' writes one: {path} is missing")
    found = read_json_file(path, SimulationInputError)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise SimulationInputError(f"{path} is no potential; accepted is {SCHEMA}")
    try:
        check_document(_Description, found, str(path))
    except SimulationInputError as error:
        words = "it was not written to its end, or changed: train again, or take the one that was trained"
        raise SimulationInputError(f"{error}; {words}") from error
    return found
