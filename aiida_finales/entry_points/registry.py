"""The capabilities of this package, reached by name through the entry points ``aiida_finales.capabilities``."""

from __future__ import annotations

from functools import partial
from typing import Any

from aiida import orm

from aiida_finales.broker.capability import Capability, load_capabilities
from aiida_finales.broker.samples import follow_transport
from aiida_finales.calculations.chain import STEPS
from aiida_finales.calculations.conductivity import MODEL_REMEDIES
from aiida_finales.calculations.conductivity import empirical_model as run_empirical_model
from aiida_finales.calculations.conductivity import polynomial_interpolation as run_polynomial_interpolation
from aiida_finales.calculations.driver import DRIVER_REMEDIES, prepare_driver
from aiida_finales.calculations.learned_dynamics import AB_INITIO, LEARNED, check_offered_dynamics
from aiida_finales.calculations.simulation import simulation_limitations
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.lab.simulated.autobass import AutoBass
from aiida_finales.lab.simulated.laboratory import robot_offer
from aiida_finales.operations.platform.chain import derive_offer
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.science.electrolyte.conductivity import EMPIRICAL_MODEL_LIMITS, POLYNOMIAL_LIMITS
from aiida_finales.science.electrolyte.validity import Validity
from aiida_finales.workflows.degradation import CHAIN_REMEDIES, prepare_chain
from aiida_finales.workflows.learned_dynamics import prepare_learned_dynamics
from aiida_finales.workflows.molecular_dynamics import SIMULATION_REMEDIES, prepare_simulation

#: file with the raw data that the driver of a cycler leaves beside its output
CYCLING_FILE = "cycling.h5"
_PUBLISHED = "published measurements, imported; nobody is asked for them"


def _schemas(quantity: str, method: str) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "method": method,
        "parameters_schema": parameters_json_schema(quantity, method),
        "result_schema": result_json_schema(quantity, method),
    }


def _prepare_model(
    request: RequestData, tenant: TenantData, settings: dict[str, Any], _key: str
) -> tuple[Any, dict[str, Any]]:
    from aiida_finales.calculations.lifetime import predict_end_of_life

    evidence = {f"result_{number}": orm.load_node(uuid) for number, uuid in enumerate(request.made_from)}
    inputs = {"request": request, "tenant": tenant, "model": orm.load_node(settings["model"])}
    return predict_end_of_life, {**inputs, **evidence}


def _check_model(settings: dict[str, Any]) -> list[str]:
    from aiida_finales.calculations.lifetime import check_offered_model

    return check_offered_model(settings)


def _prepare_generator(
    function: str, request: RequestData, tenant: TenantData, settings: dict[str, Any], _key: str
) -> tuple[Any, dict[str, Any]]:
    from aiida_finales.calculations import lifetime_curve

    nodes: dict[str, Any] = {key: orm.load_node(settings[key]) for key in ("model", "fade_model") if key in settings}
    evidence = {f"result_{number}": orm.load_node(uuid) for number, uuid in enumerate(request.made_from)}
    return getattr(lifetime_curve, function), {"request": request, "tenant": tenant, **nodes, **evidence}


def _check_generator(method: str, settings: dict[str, Any]) -> list[str]:
    from aiida_finales.calculations.lifetime_curve import check_offered_generator

    return check_offered_generator(method, settings)


def _generator(quantity: str, method: str, function: str, summary: str) -> Capability:
    return Capability(
        **_schemas(quantity, method),
        summary=summary,
        prepare=partial(_prepare_generator, function),
        default_offer=_anything,
        check_settings=partial(_check_generator, method),
    )


def _prepare_function(
    function: Any, request: RequestData, tenant: TenantData, _settings: dict[str, Any], _key: str
) -> tuple[Any, dict[str, Any]]:
    return function, {"request": request, "tenant": tenant}


def _simulation(quantity: str, method: str, summary: str) -> Capability:
    return Capability(
        **_schemas(quantity, method),
        summary=f"{summary} by molecular dynamics of several cells (program finales-md, on any computer)",
        prepare=partial(prepare_simulation, method),
        default_offer=lambda: {"limitations": simulation_limitations()},
        remedies=SIMULATION_REMEDIES,
    )


def _learned(quantity: str, method: str, summary: str) -> Capability:
    how = "a machine-learned potential" if method == LEARNED else "its reference method itself"
    return Capability(
        **_schemas(quantity, method),
        summary=f"{summary} by the dynamics of {how} (program finales-mlp, on any computer)",
        prepare=partial(prepare_learned_dynamics, method),
        default_offer=_anything,
        check_settings=partial(check_offered_dynamics, method),
        remedies=SIMULATION_REMEDIES,
    )


def _chain(quantity: str, method: str, summary: str) -> Capability:
    return Capability(
        **_schemas(quantity, method),
        summary=f"{summary}: a chain of requests to everybody",
        prepare=prepare_chain,
        default_offer=partial(_offer_chain, quantity, method),
        remedies=CHAIN_REMEDIES,
    )


def _offer_chain(quantity: str, method: str) -> dict[str, Any]:
    """Return what can be asked for where each step is done as its capability offers by default."""
    capabilities = load_capabilities()
    steps = {(step.quantity, step.method) for step in STEPS.values()}
    defaults = {key: capabilities[key].default_offer for key in steps}
    offers = [{"quantity": key[0], "method": key[1], **make()} for key, make in defaults.items() if make]
    return derive_offer(quantity, method, offers)


def _anything() -> dict[str, Any]:
    return {"limitations": {}}


def _model_offer(validity: Validity) -> dict[str, Any]:
    return {"limitations": validity.limitations(), "constraints": validity.constraints()}


two_electrode = Capability(
    **_schemas("conductivity", "two_electrode"),
    summary="mix an electrolyte from stock solutions and measure its impedance (driver finales-asab)",
    prepare=partial(prepare_driver, "finales.two_electrode", method="two_electrode"),
    default_offer=partial(robot_offer, "conductivity"),
    remedies=DRIVER_REMEDIES,
)
empirical_model = Capability(
    **_schemas("conductivity", "empirical_model"),
    summary="closed form of Landesfeind and Gasteiger 2019 for LiPF6 in EC/EMC/DMC: cheap and biased",
    prepare=partial(_prepare_function, run_empirical_model),
    default_offer=partial(_model_offer, EMPIRICAL_MODEL_LIMITS),
    remedies=MODEL_REMEDIES,
    is_instant=True,
)
polynomial_interpolation = Capability(
    **_schemas("conductivity", "polynomial_interpolation"),
    summary="cubic polynomial of Rahmanian et al. 2022 for LiPF6 in EC/PC/EMC",
    prepare=partial(_prepare_function, run_polynomial_interpolation),
    default_offer=partial(_model_offer, POLYNOMIAL_LIMITS),
    remedies=MODEL_REMEDIES,
    is_instant=True,
)
literature = Capability(
    **_schemas("conductivity", "literature"),
    summary=_PUBLISHED,
)
capacity_literature = Capability(
    **_schemas("capacity", "literature"),
    summary="capacities of cells that were cycled elsewhere, imported; nobody is asked for them",
)
life_literature = Capability(
    **_schemas("degradationEOL", "literature"),
    summary="lives of cells that ended elsewhere, imported; nobody is asked for them",
)
densimetry = Capability(
    **_schemas("density", "vibrating_tube_densimetry"),
    summary="mix an electrolyte and measure its density, and the viscosity beside (driver finales-asab)",
    prepare=partial(prepare_driver, "finales.density", method="vibrating_tube_densimetry"),
    default_offer=partial(robot_offer, "density"),
    remedies=DRIVER_REMEDIES,
)
viscometry = Capability(
    **_schemas("viscosity", "rolling_ball_viscometry"),
    summary="mix an electrolyte, or take the sample of its density, and measure its viscosity (driver finales-asab)",
    prepare=partial(prepare_driver, "finales.viscosity", method="rolling_ball_viscometry"),
    default_offer=partial(robot_offer, "viscosity"),
    remedies=DRIVER_REMEDIES,
)
density_literature = Capability(**_schemas("density", "literature"), summary=_PUBLISHED)
viscosity_literature = Capability(**_schemas("viscosity", "literature"), summary=_PUBLISHED)
electrolyte_flow = Capability(
    **_schemas("electrolyte", "flow"),
    summary="mix an electrolyte from stock solutions to a vial (driver finales-asab)",
    prepare=partial(prepare_driver, "finales.electrolyte", method="flow"),
    default_offer=partial(robot_offer, "electrolyte"),
    remedies=DRIVER_REMEDIES,
)
transport_service = Capability(
    **_schemas("transport", "transport_service"),
    summary="carry samples from one place to another (a person, or driver finales-operator)",
    prepare=partial(prepare_driver, "finales.transport", method="transport_service"),
    default_offer=_anything,
    remedies=DRIVER_REMEDIES,
    after=follow_transport,
)
autobass_assembly = Capability(
    **_schemas("cell_assembly", "autobass_assembly"),
    summary="assemble a batch of equal coin cells (driver finales-autobass)",
    prepare=partial(prepare_driver, "finales.cell_assembly", method="autobass_assembly"),
    default_offer=lambda: {"limitations": AutoBass().limitations()},
    remedies=DRIVER_REMEDIES,
)
cycling_channel = Capability(
    **_schemas("cycling_channel", "service"),
    summary="reserve channels of a battery cycler, or give them back (driver finales-cycler)",
    prepare=partial(prepare_driver, "finales.cycling_channel", method="service"),
    default_offer=_anything,
    remedies=DRIVER_REMEDIES,
)
cycling = Capability(
    **_schemas("capacity", "cycling"),
    summary="cycle a cell; capacities and features of the early cycles (driver finales-cycler)",
    prepare=partial(prepare_driver, "finales.cycling", method="cycling", outputs=(CYCLING_FILE,)),
    default_offer=_anything,
    remedies=DRIVER_REMEDIES,
)
degradation_model = Capability(
    **_schemas("degradationEOL", "degradation_model"),
    summary="predict the end of life of a cell from its early cycles (a trained model)",
    prepare=_prepare_model,
    default_offer=_anything,
    check_settings=_check_model,
)
electrolyte_workflow = _chain("electrolyte", "workflow", "mix an electrolyte to a vial")
assembly_workflow = _chain("cell_assembly", "workflow", "mix an electrolyte, carry it and build cells with it")
capacity_workflow = _chain("capacity", "workflow", "mix, build cells and cycle them")
degradation_workflow = _chain(
    "degradationEOL", "degradation_workflow", "mix, build cells, cycle them and predict their end of life"
)
lifetime_generator = _generator(
    "lifetimeCurve",
    "lifetime_generator",
    "predict_lifetime_curve",
    "cycles at which a cell falls to shares of its capacity, before its first cycle: from electrodes, format, protocol",
)
capacity_fade = _generator(
    "lifetimeCurve",
    "capacity_fade",
    "predict_lifetime_curve",
    "cycles at which a cell falls to shares of its capacity, from 30 to 100 first cycles",
)
life_generator = _generator(
    "degradationEOL",
    "lifetime_generator",
    "generate_end_of_life",
    "end of life before the first cycle, for campaigns over electrodes, formats and protocols",
)
# the last name is misspelt as it was published: clients look for it letter by letter
conductivity_simulation = _simulation("conductivity", "molecular_dynamics", "ionic conductivity and transport")
density_simulation = _simulation("density", "molecular_dynamics", "density")
diffusion_simulation = _simulation("self_diffusion_coefficient", "molecular_dynamics", "self-diffusion of each species")
transference_simulation = _simulation("transference_number", "molecular_dynamics", "transference numbers of the ions")
coordination_simulation = _simulation("coordination_number", "molecular_dynamics", "neighbours of the cations")
heat_capacity_simulation = _simulation("heat_capacity", "molecular_dynamics", "classical heat capacity")
viscosity_simulation = _simulation("viscosity", "molecular_dynamics", "viscosity (engine gromacs)")
structure_simulation = _simulation("radial_density_function", "molacular_dynamics", "structure around the cations")
learned_conductivity = _learned("conductivity", LEARNED, "ionic conductivity and transport")
learned_density = _learned("density", LEARNED, "density")
learned_diffusion = _learned("self_diffusion_coefficient", LEARNED, "self-diffusion of each species")
learned_coordination = _learned("coordination_number", LEARNED, "neighbours of the cations")
learned_structure = _learned("radial_density_function", LEARNED, "structure around the cations")
ab_initio_coordination = _learned("coordination_number", AB_INITIO, "neighbours of the cations")
ab_initio_structure = _learned("radial_density_function", AB_INITIO, "structure around the cations")
