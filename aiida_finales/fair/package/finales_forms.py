"""Requests, results, capabilities and tenants in the published form of FINALES, as its back-up has them."""

from __future__ import annotations

from uuid import UUID, uuid5

from aiida_finales.fair.package.archive import Archive, Node
from aiida_finales.schemas import Json
from aiida_finales.schemas.finales_form import capability_document, request_document, result_document

#: names of the files, as the published back-up of FINALES has them
FILES = ("requests.json", "results_for_requests.json", "capabilities.json", "tenants.json")
#: FINALES has a request for every result; that of an unsolicited one gets an identifier made of the result's
UNSOLICITED = UUID("5f1d1b0e-6c58-5a39-9d64-7f3e0a7f0c11")
NOBODY = str(UUID(int=0))


def finales_documents(archive: Archive) -> dict[str, list[Json]]:
    """Return the documents by the name of their file; what is withheld is not in them."""
    results = archive.of_type("result")
    requests = [request_info(node) for node in archive.of_type("request") if node.state]
    requests += [unsolicited_info(node) for node in results if not node.attributes["request_uuid"]]
    capabilities = latest(archive.of_type("capability"), "quantity", "method")
    documents = (
        sorted(requests, key=lambda item: (item["ctime"], item["uuid"])),
        [result_info(node) for node in results],
        [capability_document(node.attributes) for node in capabilities],
        [tenant_info(node) for node in latest(archive.of_type("tenant"), "tenant_uuid")],
    )
    return dict(zip(FILES, documents, strict=True))


def request_info(node: Node) -> Json:
    """Return a request: uuid, ctime, status, request."""
    return {
        "uuid": node.uuid,
        "ctime": node.time,
        "status": node.state.get("status", "pending"),
        "request": request_document(node.attributes),
    }


def unsolicited_info(node: Node) -> Json:
    """Return the request that FINALES has for a result that nobody asked for."""
    found = node.attributes
    method, requester = found["method"], found["tenant_uuid"] or NOBODY
    asked = {**found, "methods": [method], "parameters": {method: found["parameters"]}, "requester": requester}
    return {
        "uuid": request_of(node),
        "ctime": node.time,
        "status": "unsolicited",
        "request": request_document(asked),
    }


def result_info(node: Node) -> Json:
    """Return a result: uuid, ctime, status, result."""
    found = node.attributes
    known = {**found, "tenant_uuid": found["tenant_uuid"] or NOBODY, "request_uuid": request_of(node)}
    return {
        "uuid": node.uuid,
        "ctime": node.time,
        "status": node.state.get("status", "original"),
        "result": result_document(known),
    }


def request_of(result: Node) -> str:
    """Return the UUID of a result's request; of an unsolicited result one made of its own."""
    return str(result.attributes["request_uuid"] or uuid5(UNSOLICITED, result.uuid))


def tenant_info(node: Node) -> Json:
    """Return a tenant: tenant_uuid, name, limitations, contact_person, is_active."""
    offers = node.attributes["offers"]
    return {
        "tenant_uuid": node.attributes["tenant_uuid"],
        "name": node.attributes["name"],
        "limitations": [{key: offer.get(key, []) for key in ("quantity", "method", "limitations")} for offer in offers],
        "contact_person": node.attributes["contact"],
        "is_active": False,  # the campaign is over for whoever reads this: nobody waits for requests
    }


def latest(nodes: list[Node], *keys: str) -> list[Node]:
    """Return the latest version of each, sorted by the keys."""
    ordered = sorted(nodes, key=lambda node: node.attributes["version"])
    found = {tuple(node.attributes[key] for key in keys): node for node in ordered}
    return [found[key] for key in sorted(found)]
