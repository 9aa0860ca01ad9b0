"""The files of a package: those that are made of its archive alone, and how they are written."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiida_finales.fair.graph.people import Person
from aiida_finales.fair.graph.terms import load_context
from aiida_finales.fair.package import checksums, crate, datasheet, tables
from aiida_finales.fair.package.archive import REPOSITORY, Archive, Node
from aiida_finales.fair.package.graph import make_graph
from aiida_finales.fair.package.privacy import as_text
from aiida_finales.fair.package.rewrite import write_entry
from aiida_finales.schemas import Json
from aiida_finales.schemas.finales_form import (
    NOBODY,
    capability_document,
    request_document,
    request_of,
    result_document,
)

ARCHIVE, GRAPH, CONTEXT, PLOTS = "campaign.aiida", "graph.jsonld", "context.json", "plots"
METADATA, README, DATASHEET, CITATION = "metadata.json", "README.md", "DATASHEET.md", "CITATION.cff"


def derived_files(archive: Archive, people: Sequence[Person]) -> dict[str, str]:
    """Return what is made of the archive alone, by path: tables, FINALES files, graph, the campaign's file."""
    files = {f"{tables.FOLDER}/{name}": tables.write_table(rows) for name, rows in tables.make_tables(archive).items()}
    files |= {name: to_json(document) for name, document in finales_documents(archive).items()}
    files[CONTEXT] = to_json({"@context": load_context()})
    files[GRAPH] = to_json(make_graph(archive, people, CONTEXT))
    document = datasheet.campaign_document(archive)
    if document is not None:
        files[crate.WORKFLOW] = to_json(document)
    return files


def write_file(folder: Path, path: str, text: str) -> None:
    """Write a text below a folder."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def to_json(document: Any) -> str:
    """Return a document as readable JSON; keys stay in their order, which published clients rely on."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_zip(folder: Path, target: Path) -> None:
    """Write a folder as a zip that depends on its content alone."""
    with zipfile.ZipFile(target, "w") as bundle:
        for path in checksums.list_paths(folder):
            write_entry(bundle, f"{folder.name}/{path}", (folder / path).read_bytes())


def all_texts(folder: Path, archive: Archive) -> Iterator[tuple[str, str]]:
    """Yield place and text of everything in a package that is text, inside the archive, too."""
    for path in checksums.list_paths(folder):
        text = as_text((folder / path).read_bytes())
        if text is not None:
            yield path, text
    for node in archive.nodes:
        yield f"{ARCHIVE}: node {node.uuid}", json.dumps([node.attributes, node.extras, node.label])
    for line in archive.logs:
        yield f"{ARCHIVE}: log of node {line.node}", f"{line.message} {json.dumps(line.metadata)}"
    with zipfile.ZipFile(archive.path) as bundle:
        for key in sorted({key for node in archive.nodes for key in node.files.values()}):
            text = as_text(bundle.read(f"{REPOSITORY}{key}"))
            if text is not None:
                yield f"{ARCHIVE}: file {key}", text


#: names of the files, as the published back-up of FINALES has them
FILES = ("requests.json", "results_for_requests.json", "capabilities.json", "tenants.json")


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
        "uuid": _request_of(node),
        "ctime": node.time,
        "status": "unsolicited",
        "request": request_document(asked),
    }


def result_info(node: Node) -> Json:
    """Return a result: uuid, ctime, status, result."""
    found = node.attributes
    known = {**found, "tenant_uuid": found["tenant_uuid"] or NOBODY, "uuid": node.uuid}
    return {
        "uuid": node.uuid,
        "ctime": node.time,
        "status": node.state.get("status", "original"),
        "result": result_document(known),
    }


def _request_of(result: Node) -> str:
    return request_of(result.attributes["request_uuid"], result.uuid)


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
