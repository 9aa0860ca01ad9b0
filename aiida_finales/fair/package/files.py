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
from aiida_finales.fair.package.archive import REPOSITORY, Archive
from aiida_finales.fair.package.finales_forms import finales_documents
from aiida_finales.fair.package.graph import make_graph
from aiida_finales.fair.package.privacy import as_text
from aiida_finales.fair.package.rewrite import write_entry

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
