"""One name per capability: the published one, misspelt or not, because old clients match it letter by letter."""

from __future__ import annotations

from aiida_finales.exceptions import InputError

_QUANTITIES = {
    "radial_distribution_function": "radial_density_function",
    "RDF": "radial_density_function",
    "degradation_EOL": "degradationEOL",
    "end_of_life": "degradationEOL",
}

_METHODS = {
    "polinomial_interpolation": "polynomial_interpolation",
    "twoElectrodeMeasuringCell": "two_electrode",
    "molecularDynamicsSimulation": "molecular_dynamics",
    "molacular_dynamics": "molecular_dynamics",
}

# words that mean something else for another quantity
_METHODS_OF = {
    ("radial_density_function", "molecular_dynamics"): "molacular_dynamics",
    ("transport", "service"): "transport_service",
    ("cycling_channel", "cycling_channel_service"): "service",
    ("degradationEOL", "degradationModel"): "degradation_model",
    ("degradationEOL", "degradationWorkflow"): "degradation_workflow",
}


def canonical_capability(quantity: str, method: str) -> tuple[str, str]:
    """Return the published names of a capability; names that are no known alias are returned as they are.

    :raises InputError: when one is no name: documents of others have anything in its place.
    """
    for what, name in (("quantity", quantity), ("method", method)):
        if not isinstance(name, str):
            raise InputError(f"{what} is {name!r}, but accepted is a name, such as conductivity or two_electrode")
    quantity = _QUANTITIES.get(quantity, quantity)
    method = _METHODS.get(method, method)
    return quantity, _METHODS_OF.get((quantity, method), method)
