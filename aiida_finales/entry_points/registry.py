"""The capabilities of this package, reached by name through the entry points ``aiida_finales.capabilities``."""

from __future__ import annotations

from functools import partial
from typing import Any

from aiida_finales.broker.capability import Capability
from aiida_finales.calculations.conductivity import MODEL_REMEDIES
from aiida_finales.calculations.conductivity import empirical_model as run_empirical_model
from aiida_finales.calculations.conductivity import polynomial_interpolation as run_polynomial_interpolation
from aiida_finales.calculations.driver import DRIVER_REMEDIES, prepare_driver
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.lab.asab import asab_limitations
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.science.conductivity import EMPIRICAL_MODEL_LIMITS, POLYNOMIAL_LIMITS
from aiida_finales.science.validity import Validity


def _schemas(quantity: str, method: str) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "method": method,
        "parameters_schema": parameters_json_schema(quantity, method),
        "result_schema": result_json_schema(quantity, method),
    }


def _prepare_two_electrode(
    request: RequestData, tenant: TenantData, settings: dict[str, Any], key: str
) -> tuple[Any, dict[str, Any]]:
    return prepare_driver("finales.two_electrode", request, tenant, settings, method="two_electrode", key=key)


def _prepare_function(
    function: Any, request: RequestData, tenant: TenantData, _settings: dict[str, Any], _key: str
) -> tuple[Any, dict[str, Any]]:
    return function, {"request": request, "tenant": tenant}


def _asab_offer() -> dict[str, Any]:
    limitations = asab_limitations()
    return {"constraints": limitations.pop("constraints"), "limitations": limitations}


def _model_offer(validity: Validity) -> dict[str, Any]:
    return {"limitations": validity.limitations(), "constraints": validity.constraints()}


two_electrode = Capability(
    **_schemas("conductivity", "two_electrode"),
    summary="mix an electrolyte from stock solutions and measure its impedance (driver finales-asab)",
    prepare=_prepare_two_electrode,
    default_offer=_asab_offer,
    remedies=DRIVER_REMEDIES,
)
empirical_model = Capability(
    **_schemas("conductivity", "empirical_model"),
    summary="closed form of Landesfeind and Gasteiger 2019 for LiPF6 in EC/EMC: cheap and biased",
    prepare=partial(_prepare_function, run_empirical_model),
    default_offer=partial(_model_offer, EMPIRICAL_MODEL_LIMITS),
    remedies=MODEL_REMEDIES,
)
polynomial_interpolation = Capability(
    **_schemas("conductivity", "polynomial_interpolation"),
    summary="cubic polynomial of Rahmanian et al. 2022 for LiPF6 in EC/PC/EMC",
    prepare=partial(_prepare_function, run_polynomial_interpolation),
    default_offer=partial(_model_offer, POLYNOMIAL_LIMITS),
    remedies=MODEL_REMEDIES,
)
literature = Capability(
    **_schemas("conductivity", "literature"),
    summary="published measurements, imported; nobody is asked for them",
)
