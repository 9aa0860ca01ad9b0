"""The words of the graph: names as they stand in documents, the addresses they mean, and which term fits what.

The context is our own: complete, so that nothing is fetched, and pinned, so that a name means the same in ten years.
Its terms are those of EMMO and its domain ontologies for electrochemistry, batteries and chemical substances (CC BY
4.0, https://github.com/emmo-repo), of PROV-O (https://www.w3.org/TR/prov-o/) and of schema.org. What none of them has
is in our own vocabulary, ``vocabulary.ttl``, under a URN, because it has no address that could be looked up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiida_finales.schemas import Json

HERE = Path(__file__).parent
CONTEXT_FILE, SHAPES_FILE, VOCABULARY_FILE = (HERE / name for name in ("context.json", "shapes.ttl", "vocabulary.ttl"))
FINALES = "urn:aiida-finales:term:"


@dataclass(frozen=True)
class Quantity:
    """What a quantity is in EMMO.

    :param term: its class.
    :param unit: the unit in which it is stored.
    """

    term: str
    unit: str


#: by the name of the quantity in results; others are described without a class of EMMO
QUANTITIES = {
    "conductivity": Quantity("IonicConductivity", "SiemensPerMetre"),
    "density": Quantity("Density", "GramPerCubicCentiMetre"),
    "viscosity": Quantity("DynamicViscosity", "MilliPascalSecond"),
    "self_diffusion_coefficient": Quantity("DiffusionCoefficient", "SquareMetrePerSecond"),
    "transference_number": Quantity("IonTransportNumber", "UnitOne"),
    "coordination_number": Quantity("CoordinationNumber", "UnitOne"),
    "heat_capacity": Quantity("SpecificHeatCapacity", "JoulePerKilogramKelvin"),
    "degradationEOL": Quantity("CycleLife", "UnitOne"),
}


@dataclass(frozen=True)
class Method:
    """How values are found, in EMMO.

    :param activity: classes of the activity.
    :param kind: class that its quantities have besides their own; empty where a sample is made.
    :param is_physical: whether something is done to a sample: then a simulated laboratory only imitates it.
    """

    activity: tuple[str, ...]
    kind: str = ""
    is_physical: bool = False


_CYCLING = ("BatteryCycling", "ConstantCurrentConstantVoltageCycling")
#: what dynamics by a potential tell, and those by its reference method
_LEARNED = {
    "machine_learned_dynamics": (
        *("conductivity", "density", "self_diffusion_coefficient", "coordination_number", "radial_density_function"),
    ),
    "ab_initio_molecular_dynamics": ("coordination_number", "radial_density_function"),
}
#: by quantity and method. Molecular dynamics has no class of its own: its name stays in ``measurementTechnique``.
METHODS = {
    ("conductivity", "two_electrode"): Method(
        ("ElectrochemicalImpedanceSpectroscopy", "Measurement"), "MeasuredProperty", is_physical=True
    ),
    ("conductivity", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("conductivity", "empirical_model"): Method(("Computation",), "ModelledProperty"),
    ("conductivity", "polynomial_interpolation"): Method(("Computation",), "ModelledProperty"),
    ("conductivity", "literature"): Method((), "ConventionalProperty"),
    ("density", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("viscosity", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("self_diffusion_coefficient", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("transference_number", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("coordination_number", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    ("heat_capacity", "molecular_dynamics"): Method(("PhysicsBasedSimulation",), "ModelledProperty"),
    **{
        (quantity, method): Method(("PhysicsBasedSimulation",), "ModelledProperty")
        for method, quantities in _LEARNED.items()
        for quantity in quantities
    },
    ("density", "vibrating_tube_densimetry"): Method(("Measurement",), "MeasuredProperty", is_physical=True),
    ("density", "literature"): Method((), "ConventionalProperty"),
    ("viscosity", "rolling_ball_viscometry"): Method(("Measurement",), "MeasuredProperty", is_physical=True),
    ("viscosity", "literature"): Method((), "ConventionalProperty"),
    ("electrolyte", "flow"): Method(("Mixing",), is_physical=True),
    ("electrolyte", "workflow"): Method(("Workflow",)),
    ("cell_assembly", "workflow"): Method(("Workflow",)),
    ("capacity", "workflow"): Method(("Workflow",), "MeasuredProperty"),
    ("cell_assembly", "autobass_assembly"): Method(("ElectrochemicalDeviceAssembly",), is_physical=True),
    ("capacity", "cycling"): Method(_CYCLING, "MeasuredProperty", is_physical=True),
    ("capacity", "literature"): Method((), "ConventionalProperty"),
    ("degradationEOL", "literature"): Method((), "ConventionalProperty"),
    ("degradationEOL", "degradation_model"): Method(("Estimation",), "ModelledProperty"),
    ("degradationEOL", "lifetime_generator"): Method(("Estimation",), "ModelledProperty"),
    ("lifetimeCurve", "lifetime_generator"): Method(("Estimation",), "ModelledProperty"),
    ("lifetimeCurve", "capacity_fade"): Method(("Estimation",), "ModelledProperty"),
    ("degradationEOL", "degradation_workflow"): Method(("Workflow",), "ModelledProperty"),
}

#: class of a chemical by its InChIKey
CHEMICALS = {
    "AXPLOJNSKRXQPA-UHFFFAOYSA-N": "LithiumHexafluorophosphate",
    "KMTRUDSVKNLOMY-UHFFFAOYSA-N": "EthyleneCarbonate",
    "JBTWLSYIZRCDFO-UHFFFAOYSA-N": "EthylMethylCarbonate",
    "IEJIGPNLZYLLBP-UHFFFAOYSA-N": "DimethylCarbonate",
    "RUOJZAUFBMNUDX-UHFFFAOYSA-N": "PropyleneCarbonate",
    "OIFBSDVPJOWBCH-UHFFFAOYSA-N": "DiethylCarbonate",
    "SBLRHMKNNHXPHG-UHFFFAOYSA-N": "FluoroethyleneCarbonate",
}


@cache
def _read_context() -> Json:
    context: Json = json.loads(CONTEXT_FILE.read_text())["@context"]
    return context


def load_context() -> Json:
    """Return the context: what each name means."""
    return dict(_read_context())


@cache
def expand(name: str) -> str:
    """Return the address that a name means; what is an address already stays as it is.

    :raises KeyError: when the context does not know the name.
    """
    context = _read_context()
    if name in context:
        term = context[name]
        address = str(term["@id"] if isinstance(term, dict) else term)
        return address if address in {name, ""} else expand(address)
    prefix, colon, rest = name.partition(":")
    if not colon:
        raise KeyError(name)
    return f"{context[prefix]}{rest}" if prefix in context and not rest.startswith("//") else name


def find_method(quantity: str, method: str) -> Method:
    """Return how a method is described; one that a package adds has no class of EMMO."""
    return METHODS.get((quantity, method), Method(()))
