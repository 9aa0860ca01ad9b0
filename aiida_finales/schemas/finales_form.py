"""Requests, results and capabilities as FINALES 2 publishes them, key for key: by its end points and in its files.

The order of the keys matters: published clients read by position. What is given are the attributes that our nodes have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from aiida_finales.schemas import Json

#: name space of the requests that FINALES has for results that nobody asked for
UNSOLICITED = UUID("5f1d1b0e-6c58-5a39-9d64-7f3e0a7f0c11")
#: as which published clients ask and answer that are no tenant
NOBODY = str(UUID(int=0))


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
    """Return a result: data, quantity, method, parameters, tenant_uuid, request_uuid.

    :param found: attributes of the node, and its UUID as ``uuid``.
    """
    return {
        "data": _with_temperature(found["quantity"], found["data"]),
        "quantity": found["quantity"],
        "method": [found["method"]],
        "parameters": {found["method"]: found["parameters"]},
        "tenant_uuid": found["tenant_uuid"] or "",
        "request_uuid": request_of(found["request_uuid"], found["uuid"]),
    }


def request_of(request_uuid: str | None, result_uuid: str) -> str:
    """Return the UUID of a result's request; made of its own where nobody asked for it: readers want each once."""
    return str(request_uuid or uuid5(UNSOLICITED, result_uuid))


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
