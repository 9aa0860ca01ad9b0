"""Requests, results and capabilities as FINALES 2 publishes them, key for key: by its end points and in its files.

The order of the keys matters: published clients read by position. What is given are the attributes that our nodes have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_finales.schemas import Json


def request_document(asked: Mapping[str, Any]) -> Json:
    """Return a request: quantity, methods, parameters, tenant_uuid."""
    return {
        "quantity": asked["quantity"],
        "methods": asked["methods"],
        # a database may keep the keys of an object in an order of its own
        "parameters": {method: asked["parameters"][method] for method in asked["methods"]},
        "tenant_uuid": asked["requester"],
    }


def result_document(found: Mapping[str, Any]) -> Json:
    """Return a result: data, quantity, method, parameters, tenant_uuid, request_uuid."""
    return {
        "data": _with_temperature(found["quantity"], found["data"]),
        "quantity": found["quantity"],
        "method": [found["method"]],
        "parameters": {found["method"]: found["parameters"]},
        "tenant_uuid": found["tenant_uuid"] or "",
        "request_uuid": found["request_uuid"] or "",
    }


def capability_document(known: Mapping[str, Any]) -> Json:
    """Return a capability: quantity, method and the two JSON schemas."""
    return {
        "quantity": known["quantity"],
        "method": known["method"],
        "json_schema_specifications": known["parameters_schema"],
        "json_schema_result_output": known["result_schema"],
    }


def _with_temperature(quantity: str, data: Json) -> Json:
    """Return a result's data with the temperature that may be left out, but without which F2Opt stops."""
    body = data.get(quantity)
    if not isinstance(body, dict) or "values" not in body or "temperature" in body:
        return data
    return {**data, quantity: {**body, "temperature": None}}
