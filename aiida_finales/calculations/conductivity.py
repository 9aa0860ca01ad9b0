"""Conductivity from published closed forms: cheap and biased sources, computed in place."""

from __future__ import annotations

from typing import Any

from aiida.engine import ExitCode, calcfunction

from aiida_finales.data.capability import read_capability
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.formulation import fractions
from aiida_finales.science.electrolyte.conductivity import EMPIRICAL_MODEL, POLYNOMIAL, ClosedForm
from aiida_finales.science.electrolyte.model_error import rate

#: exit status of a model that is asked outside of its validity range
OUT_OF_RANGE = 402
#: K, where a request names no temperature: that of the published campaign
DEFAULT_TEMPERATURE = 301.15


@calcfunction
def empirical_model(request: RequestData, tenant: TenantData) -> Any:
    """Return the conductivity (S/m) of LiPF6 in EC/EMC/DMC by Landesfeind and Gasteiger, doi:10.1149/2.0571912jes."""
    return _evaluate("empirical_model", EMPIRICAL_MODEL, request, tenant)


@calcfunction
def polynomial_interpolation(request: RequestData, tenant: TenantData) -> Any:
    """Return the conductivity (S/m) of LiPF6 in EC/PC/EMC by Rahmanian et al., doi:10.1002/batt.202200228."""
    return _evaluate("polynomial_interpolation", POLYNOMIAL, request, tenant)


def _evaluate(
    method: str, model: ClosedForm, request: RequestData, tenant: TenantData
) -> dict[str, ResultData] | ExitCode:
    parameters = request.parameters[method]
    temperature = parameters.get("temperature") or DEFAULT_TEMPERATURE
    try:
        value = model.value(fractions(parameters), temperature)
        error = model.relative_error(fractions(parameters), temperature)
    except InputError as refusal:
        return ExitCode(OUT_OF_RANGE, str(refusal))
    data = {
        "run_info": {"formulation": parameters["formulation"], "internal_reference": request.uuid},
        "conductivity": {
            "values": [value],
            "values_uncertainty": [error * value],
            "temperature": temperature,
            "meta": {"success": True, "rating": rate(error)},
        },
    }
    used = {**parameters, "temperature": temperature}
    capability = read_capability(request.capabilities[method])
    result = ResultData(capability, data, used, tenant_uuid=tenant.tenant_uuid, request_uuid=request.uuid, strict=True)
    return {"result": result}


#: what to do by exit status: another tenant may have a wider range
MODEL_REMEDIES = {OUT_OF_RANGE: "retry"}
