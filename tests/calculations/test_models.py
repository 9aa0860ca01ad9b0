"""The closed forms as calculation functions."""

from __future__ import annotations

import pytest

from aiida_finales.calculations.conductivity import (
    DEFAULT_TEMPERATURE,
    OUT_OF_RANGE,
    empirical_model,
    polynomial_interpolation,
)
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.formulation import fractions
from aiida_finales.science.electrolyte.conductivity import EMPIRICAL_MODEL, POLYNOMIAL
from aiida_finales.science.electrolyte.model_error import rate

MODELS = {
    "empirical_model": (empirical_model, EMPIRICAL_MODEL),
    "polynomial_interpolation": (polynomial_interpolation, POLYNOMIAL),
}


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


def test_value_is_that_of_the_science(registered, make_request, add_offer, model):
    function, science = MODELS[model]
    tenant = add_offer("model", model, kind="internal")
    request = make_request(model, temperature=298.15).store()
    result, node = function.run_get_node(request=request, tenant=tenant)
    assert isinstance(result, ResultData)
    assert node.is_finished_ok
    parameters = request.parameters[model]
    asked = fractions(parameters), 298.15
    assert result.value == pytest.approx(science.value(*asked), rel=1e-12)
    assert result.values[0].uncertainty == pytest.approx(science.value(*asked) * science.relative_error(*asked))
    assert (result.request_uuid, result.tenant_uuid) == (request.uuid, tenant.tenant_uuid)
    assert result.parameters == parameters
    assert result.base.attributes.get("valid")
    assert result.rating == rate(science.relative_error(*asked))
    assert result.creator.pk == node.pk


def test_without_temperature_that_of_the_published_campaign_is_used(registered, make_request, add_offer, model):
    tenant = add_offer("model", model, kind="internal")
    result = MODELS[model][0](request=make_request(model, temperature=None).store(), tenant=tenant)
    assert result.parameters["temperature"] == DEFAULT_TEMPERATURE
    assert result.base.attributes.get("temperature") == DEFAULT_TEMPERATURE


@pytest.mark.parametrize("change", [{"temperature": 500.0}, {"shares": {"LiPF6": 0.6, "EC": 0.2, "EMC": 0.2}}])
def test_outside_of_its_range_a_model_refuses(registered, make_request, add_offer, model, change):
    tenant = add_offer("model", model, kind="internal")
    request = make_request(model, **change).store()
    outputs, node = MODELS[model][0].run_get_node(request=request, tenant=tenant)
    assert outputs == {}
    assert node.exit_status == OUT_OF_RANGE == 402
    assert "accepts" in node.exit_message or "accepted" in node.exit_message


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("model", "shares", "temperature", "rating"),
    [
        ("empirical_model", {"LiPF6": 0.12, "EC": 0.38, "EMC": 0.5}, 298.15, 4),
        ("empirical_model", {"LiPF6": 0.08, "EC": 0.45, "DMC": 0.47}, 298.15, 3),
        ("empirical_model", {"LiPF6": 0.12, "EC": 0.3, "DMC": 0.58}, 298.15, 2),
        ("polynomial_interpolation", {"LiPF6": 0.13, "EC": 0.28, "EMC": 0.59}, 298.15, 4),
        ("polynomial_interpolation", {"LiPF6": 0.13, "EC": 0.28, "EMC": 0.59}, 243.15, 1),
    ],
)
def test_rating_and_uncertainty_are_those_of_the_region(make_request, add_offer, model, shares, temperature, rating):
    tenant = add_offer("model", model, kind="internal", limitations={})
    request = make_request(model, shares=shares, temperature=temperature).store()
    result = MODELS[model][0](request=request, tenant=tenant)
    assert result.rating == rating
    assert 0.05 < result.uncertainty / result.value < 0.5
    assert result.data["conductivity"]["values_uncertainty"] == [result.uncertainty]
