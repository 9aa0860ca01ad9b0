"""Every capability the platform knows the shape of; whether parameters are acceptable, and a result as promised.

A package that adds a capability puts its :class:`CapabilitySchema` into :data:`SCHEMAS`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from aiida_finales.exceptions import SchemaError, UnknownCapabilityError
from aiida_finales.schemas.cells.naming import spell_parts
from aiida_finales.schemas.defects import Defect, check_json_schema, find_defects
from aiida_finales.schemas.names import canonical_capability, canonical_fraction_type, rename_keys
from aiida_finales.schemas.quantities import cycling, degradation, electrolyte, lifetime, liquid
from aiida_finales.schemas.quantities import electrolyte as cell_assembly
from aiida_finales.schemas.quantities import electrolyte as transport
from aiida_finales.schemas.quantities.common import WireModel

__all__ = [
    "SCHEMAS",
    "CapabilitySchema",
    "Verdict",
    "canonical_capability",
    "check_json_schema",
    "get_schema",
    "judge_result",
    "validate_parameters",
]


@dataclass(frozen=True)
class CapabilitySchema:
    """What a request for a capability and its result look like."""

    quantity: str
    method: str
    parameters: type[BaseModel]
    result: type[BaseModel]

    @property
    def key_aliases(self) -> dict[str, str]:
        """Accepted spelling of a key of the parameters: the published one."""
        return self.parameters.KEY_ALIASES if issubclass(self.parameters, WireModel) else {}


@dataclass(frozen=True)
class Verdict:
    """Whether a result is as its capability promises.

    :param errors: one ``{path, given, accepted}`` per defect; paths of the parameters begin with ``parameters``.
    """

    valid: bool
    errors: list[Defect] = field(default_factory=list)


_ALL = (
    CapabilitySchema("conductivity", "two_electrode", liquid.ConductivityInput, liquid.TwoElectrodeOutput),
    CapabilitySchema(
        "conductivity", "molecular_dynamics", liquid.ConductivityInput, liquid.ConductivitySimulationOutput
    ),
    CapabilitySchema(
        "conductivity", "polynomial_interpolation", liquid.ConductivityInput, liquid.PolynomialInterpolationOutput
    ),
    CapabilitySchema("conductivity", "empirical_model", liquid.ConductivityInput, liquid.EmpiricalModelOutput),
    CapabilitySchema("conductivity", "literature", liquid.ConductivityInput, liquid.LiteratureOutput),
    CapabilitySchema("density", "molecular_dynamics", liquid.DensityInput, liquid.DensitySimulationOutput),
    CapabilitySchema(
        "viscosity", "molecular_dynamics", liquid.SimulatedViscosityInput, liquid.ViscositySimulationOutput
    ),
    CapabilitySchema(
        "self_diffusion_coefficient",
        "molecular_dynamics",
        liquid.SelfDiffusionInput,
        liquid.SelfDiffusionSimulationOutput,
    ),
    CapabilitySchema(
        "transference_number", "molecular_dynamics", liquid.TransferenceInput, liquid.TransferenceSimulationOutput
    ),
    CapabilitySchema(
        "coordination_number", "molecular_dynamics", liquid.CoordinationInput, liquid.CoordinationSimulationOutput
    ),
    CapabilitySchema(
        "heat_capacity", "molecular_dynamics", liquid.HeatCapacityInput, liquid.HeatCapacitySimulationOutput
    ),
    *(
        CapabilitySchema(quantity, "machine_learned_dynamics", parameters, result)
        for quantity, parameters, result in (
            ("conductivity", liquid.ConductivityInput, liquid.ConductivitySimulationOutput),
            ("density", liquid.DensityInput, liquid.DensitySimulationOutput),
            ("self_diffusion_coefficient", liquid.SelfDiffusionInput, liquid.SelfDiffusionSimulationOutput),
            ("coordination_number", liquid.CoordinationInput, liquid.CoordinationSimulationOutput),
            ("radial_density_function", liquid.RDFInput, liquid.RDFOutput),
        )
    ),
    CapabilitySchema(
        "coordination_number",
        "ab_initio_molecular_dynamics",
        liquid.CoordinationInput,
        liquid.CoordinationSimulationOutput,
    ),
    CapabilitySchema("radial_density_function", "ab_initio_molecular_dynamics", liquid.RDFInput, liquid.RDFOutput),
    CapabilitySchema("density", "vibrating_tube_densimetry", liquid.DensityInput, liquid.VibratingTubeDensimetryOutput),
    CapabilitySchema("viscosity", "rolling_ball_viscometry", liquid.ViscosityInput, liquid.RollingBallViscometryOutput),
    CapabilitySchema("density", "literature", liquid.DensityInput, liquid.DensityLiteratureOutput),
    CapabilitySchema("viscosity", "literature", liquid.ViscosityInput, liquid.ViscosityLiteratureOutput),
    CapabilitySchema("radial_density_function", "molacular_dynamics", liquid.RDFInput, liquid.RDFOutput),
    CapabilitySchema("electrolyte", "flow", electrolyte.FlowInput, electrolyte.FlowOutput),
    CapabilitySchema("electrolyte", "workflow", electrolyte.FlowInput, electrolyte.FlowOutput),
    CapabilitySchema("cell_assembly", "autobass_assembly", cell_assembly.AssemblyInput, cell_assembly.AutoBASSOutput),
    CapabilitySchema("cell_assembly", "workflow", cell_assembly.AssemblyWorkflowInput, cell_assembly.AutoBASSOutput),
    CapabilitySchema("transport", "transport_service", transport.TransportInput, transport.TransportOutput),
    CapabilitySchema("cycling_channel", "service", cycling.CyclingChannelInput, cycling.CyclingChannelOutput),
    CapabilitySchema("capacity", "cycling", cycling.CapacityCyclingInput, cycling.CapacityCyclingOutput),
    CapabilitySchema("capacity", "workflow", cycling.CapacityWorkflowInput, cycling.CapacityWorkflowOutput),
    CapabilitySchema("capacity", "literature", cycling.CapacityLiteratureInput, cycling.CapacityLiteratureOutput),
    CapabilitySchema(
        "degradationEOL", "degradation_model", degradation.DegradationEOLInput, degradation.DegradationModelOutput
    ),
    CapabilitySchema(
        "degradationEOL", "degradation_workflow", degradation.DegradationEOLInput, degradation.DegradationWorkflowOutput
    ),
    CapabilitySchema(
        "degradationEOL", "literature", degradation.DegradationEOLInput, degradation.DegradationModelOutput
    ),
    CapabilitySchema("degradationEOL", "lifetime_generator", lifetime.EndOfLifeInput, lifetime.EndOfLifeOutput),
    CapabilitySchema("lifetimeCurve", "lifetime_generator", lifetime.LifetimeCurveInput, lifetime.LifetimeCurveOutput),
    CapabilitySchema("lifetimeCurve", "capacity_fade", lifetime.CapacityFadeInput, lifetime.LifetimeCurveOutput),
)

SCHEMAS: dict[tuple[str, str], CapabilitySchema] = {(item.quantity, item.method): item for item in _ALL}


def get_schema(quantity: str, method: str) -> CapabilitySchema:
    """Return the schema of a capability, by its published names or a known alias.

    :raises UnknownCapabilityError: naming what was given, what exists, and the nearest name.
    """
    schema = SCHEMAS.get(canonical_capability(quantity, method))
    if schema is None:
        raise UnknownCapabilityError(_unknown_message(quantity, method))
    return schema


def _unknown_message(quantity: str, method: str) -> str:
    given = f"{quantity}/{method}"
    names = [f"{known[0]}/{known[1]}" for known in SCHEMAS]
    of_quantity = [known[1] for known in SCHEMAS if known[0] == canonical_capability(quantity, method)[0]]
    exists = f"{quantity} is known by {', '.join(of_quantity)}" if of_quantity else f"known are {', '.join(names)}"
    # another quantity than the one that is wanted is of no use, however alike the words are
    close = get_close_matches(method, of_quantity, n=1, cutoff=0.5)
    near = [f"{quantity}/{close[0]}"] if close else [] if of_quantity else get_close_matches(given, names, 1, 0.7)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"no capability {given}: {exists}{hint}"


def validate_parameters(quantity: str, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with published keys and words, and otherwise as given: order and unknown keys are kept.

    Parts of cells that stand there by name are spelt out: :mod:`aiida_finales.schemas.cells.naming`.

    :raises SchemaError: with path, given and accepted for every defect.
    :raises UnknownCapabilityError: when there is no such capability.
    """
    schema = get_schema(quantity, method)
    parameters, defects = spell_parts(parameters)
    told = {defect["path"] for defect in defects}
    defects += [item for item in find_defects(schema.parameters, parameters) if not _is_below(str(item["path"]), told)]
    if defects:
        subject = f"parameters of {schema.quantity}/{schema.method}"
        raise SchemaError(subject, defects)
    answer: dict[str, Any] = rename_keys(_with_canonical_words(copy.deepcopy(parameters)), schema.key_aliases)
    return answer


def _is_below(path: str, places: set[str]) -> bool:
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for place in places)


def _with_canonical_words(document: Any) -> Any:
    if isinstance(document, list):
        return [_with_canonical_words(item) for item in document]
    if not isinstance(document, dict):
        return document
    answer = {key: _with_canonical_words(value) for key, value in document.items()}
    word = answer.get("fraction_type")
    if isinstance(word, str):
        answer["fraction_type"] = canonical_fraction_type(word) or word
    return answer


def judge_result(quantity: str, method: str, data: Any, parameters: Any = None) -> Verdict:
    """Return whether a result is as its capability promises; a bad result is a verdict, never an exception.

    :param data: what the provider measured, computed or did.
    :param parameters: the parameters really used; ``None`` leaves them out of the judgement.
    :raises UnknownCapabilityError: when there is no such capability.
    """
    schema = get_schema(quantity, method)
    errors = find_defects(schema.result, data)
    if parameters is not None:
        for defect in find_defects(schema.parameters, parameters):
            path = str(defect["path"]).removeprefix("$")
            errors.append({**defect, "path": f"parameters.{path}" if path else "parameters"})
    return Verdict(valid=not errors, errors=errors)
