"""The pieces that requests and results of several quantities share: formulations, locations, cells, run information.

Class and field names are those of the published schemas: they are what clients see.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from aiida_finales.schemas import units
from aiida_finales.schemas.chemicals import SUM_TOLERANCE, find_contradiction
from aiida_finales.schemas.names import rename_keys


class WireModel(BaseModel):
    """A JSON object of a request or a result.

    Strict, because the text "True" is not a truth value; open, because unknown keys are accepted and kept.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=())

    #: Accepted spelling of a key: the published one.
    KEY_ALIASES: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename_keys(cls, given: Any) -> Any:
        return rename_keys(given, cls.KEY_ALIASES)


class Chemical(WireModel):
    """A chemical; it is identified by its InChIKey."""

    SMILES: units.NonEmptyText = Field(description="Structure of the chemical as SMILES.")
    InChIKey: units.NonEmptyText = Field(description="Hashed standard InChI; identifies the chemical.")

    @model_validator(mode="after")
    def _compare_names(self) -> Chemical:
        contradiction = find_contradiction(self.SMILES, self.InChIKey)
        if contradiction is not None:
            detail = {"given": f"{self.SMILES} with {self.InChIKey}", "accepted": f"one chemical: {contradiction}"}
            raise PydanticCustomError("chemical_names", "SMILES and InChIKey contradict", detail)
        return self


class FormulationComponent(WireModel):
    """A chemical and its share of the mixture."""

    chemical: Chemical = Field(description="The chemical.")
    fraction: units.Fraction = Field(description="Share of the chemical in the whole mixture, 0 to 1.")
    fraction_type: units.FractionType = Field(description="Kind of the fraction; mole fractions only.")


def _check_formulation(components: list[FormulationComponent]) -> list[FormulationComponent]:
    keys = [component.chemical.InChIKey for component in components]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        detail = {"given": ", ".join(twice) + " more than once", "accepted": "each chemical once: add up its fractions"}
        raise PydanticCustomError("formulation_chemicals", "chemical given twice", detail)
    total = sum(component.fraction for component in components)
    if abs(total - 1.0) > SUM_TOLERANCE:
        accepted = f"fractions of the whole mixture, which sum to 1 within {SUM_TOLERANCE:g}"
        detail = {"given": f"a sum of {total:.6g}", "accepted": accepted}
        raise PydanticCustomError("formulation_sum", "fractions do not sum to 1", detail)
    return components


Formulation = Annotated[list[FormulationComponent], AfterValidator(_check_formulation)]


class Location(WireModel):
    """Where a sample or a device is."""

    address: str = Field(description="Postal address or name of the site.")
    detail_1: str | None = Field(default=None, description="Room, device or cabinet.")
    detail_2: str | None = Field(default=None, description="Place inside it: bench, shelf, vial, channel.")


class FormulationInfo(WireModel):
    """Where a formulation comes from."""

    name: str | None = Field(default=None, description="Name for people.")
    uuid: str | None = Field(default=None, description="Identifier within this run.")
    preparation_date: str | None = Field(default=None, description="Day of preparation or manufacture.")
    batch: str | None = Field(default=None, description="Batch number.")
    location: Location | None = Field(default=None, description="Where the formulation is now.")


class ChemicalInfo(WireModel):
    """Where a chemical comes from and the constants used to convert its amounts."""

    name: str | None = Field(default=None, description="Name for people.")
    molar_mass: units.MolarMassPair | None = Field(default=None, description="Molar mass and its uncertainty.")
    density: units.DensityPair | None = Field(default=None, description="Density and its uncertainty.")
    batch: str | None = Field(default=None, description="Batch number.")
    manufacturer: str | None = Field(default=None, description="Who made it.")
    manufacturing_date: str | None = Field(default=None, description="Day of manufacture.")


class RunInfo(WireModel):
    """What all data of one run share: the mixture really used and the provider's own reference."""

    formulation: Formulation = Field(description="Composition of the sample as it really was.")
    internal_reference: str = Field(description="The provider's name for this run or sample.")
    formulation_info: FormulationInfo | None = Field(default=None, description="Where the formulation comes from.")
    chemicals_info: dict[str, ChemicalInfo] | None = Field(
        default=None, description="Where each chemical comes from, by InChIKey."
    )


class MethodMeta(WireModel):
    """How far a value can be trusted."""

    success: bool = Field(description="Whether the method ended as it should.")
    rating: units.Rating = Field(description="Trust of the provider in the value, 1 (lowest) to 5 (best).")


class Electrode(WireModel):
    """An electrode of a cell."""

    material: Formulation = Field(description="Composition of the active material.")
    mass_loading: units.MassLoading | None = Field(default=None, description="Capacity per area.")
    size: units.Area | None = Field(default=None, description="Area of the disc.")


class BatteryChemistry(WireModel):
    """Electrolyte and electrodes of a cell."""

    electrolyte: Formulation = Field(description="Composition of the electrolyte.")
    anode: Electrode | None = Field(default=None, description="Negative electrode.")
    cathode: Electrode | None = Field(default=None, description="Positive electrode.")


class Separator(WireModel):
    """The separator of a cell."""

    material: str = Field(description="Product name.")
    size: units.Area | None = Field(default=None, description="Area of the disc.")


class Cell(WireModel):
    """What one cell is made of."""

    battery_chemistry: BatteryChemistry = Field(description="Electrolyte and electrodes.")
    separator: Separator | None = Field(default=None, description="Separator.")
    electrolyte_volume: units.ElectrolyteVolume | None = Field(default=None, description="Electrolyte per cell.")


class SampleContent(WireModel):
    """What a sample is made of, as far as it is known."""

    formulation: Formulation | None = Field(default=None, description="Composition of a liquid.")
    volume_mL: units.Volume | None = Field(default=None, description="How much was made.")  # noqa: N815 - as it is stored
    cell: Cell | None = Field(default=None, description="What a cell is made of.")
    meta: MethodMeta | None = Field(default=None, description="What its maker says of it.")
    batch: str | None = Field(default=None, description="With which others it was made.")


class CellInfo(WireModel):
    """Identity and whereabouts of one cell."""

    cell_name: str | None = Field(default=None, description="Name for people.")
    uuid: str | None = Field(default=None, description="Identifier within this run.")
    assembly_date: str | None = Field(default=None, description="Day of assembly.")
    batch: str | None = Field(default=None, description="Batch number.")
    anode_info: FormulationInfo | None = Field(default=None, description="Where the negative electrode comes from.")
    cathode_info: FormulationInfo | None = Field(default=None, description="Where the positive electrode comes from.")
    electrolyte_info: FormulationInfo | None = Field(default=None, description="Where the electrolyte comes from.")
    cell_location: Location | None = Field(default=None, description="Where the cell is now.")


class Measurement(WireModel):
    """Repeated values of one quantity; the subclass gives ``values`` their unit."""

    values: list[float]
    meta: MethodMeta = Field(description="How far the values can be trusted.")
    temperature: units.Temperature | None = Field(default=None, description="Temperature during the measurement.")

    @model_validator(mode="after")
    def _demand_a_value(self) -> Measurement:
        if self.meta.success and not self.values:
            detail = {"given": "success without any value", "accepted": "at least one value, or success false"}
            raise PydanticCustomError("no_value", "success without any value", detail)
        return self
