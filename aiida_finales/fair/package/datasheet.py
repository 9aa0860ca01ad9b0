"""The pages of a package for people: what it is, who made it, how it is to be cited, what is wrong with it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from aiida_finales import __version__
from aiida_finales.fair.package.archive import Archive, Node
from aiida_finales.fair.package.metadata import Metadata
from aiida_finales.schemas.words import be, count

#: what each file and folder is, in the order in which one meets them
CONTENTS = {
    "README.md": "where to begin",
    "DATASHEET.md": "what, who, when, how; counts, what is simulated, known flaws",
    "CITATION.cff": "how to cite",
    "metadata.json": "what is said about the package, for machines",
    "tables": "the numbers, as CSV with the unit in each header",
    "spectra": "measured impedance spectra, as CSV",
    "timeseries": "cycling data in the Battery Data Format, as CSV",
    "raw": "files as devices wrote them (HDF5, CSV)",
    "plots": "figures",
    "campaign.json": "what the campaign was told to do",
    "requests.json": "requests, in the form of FINALES",
    "results_for_requests.json": "results, in the form of FINALES",
    "capabilities.json": "what could be asked, with the JSON schemas, in the form of FINALES",
    "tenants.json": "who could answer, in the form of FINALES",
    "chemicals.json": "chemicals that the library of aiida-finales does not have, for `aiida-finales chemical add`",
    "graph.jsonld": "meaning and provenance as linked data (JSON-LD)",
    "context.json": "the terms that graph.jsonld uses",
    "campaign.aiida": "everything, as an AiiDA archive",
    "ro-crate-metadata.json": "the content as an RO-Crate",
    "checksums.sha256": "SHA-256 of every file",
}
SIMULATED = "simulated data"
#: counts that the data sheet lists
_TOLD = ("requests", "results", "processes", "nodes", "links", "withheld")


def count_things(archive: Archive) -> dict[str, Any]:
    """Return how much of what there is, for the data sheet and for machines."""
    results = archive.of_type("result")
    requests, processes = archive.of_type("request"), archive.processes()
    return {
        "nodes": len(archive.nodes),
        "links": len(archive.links),
        "withheld": sum(node.is_withheld for node in archive.nodes),
        "requests": len(requests),
        "results": len(results),
        "results_by_source": _count(f"{node.attributes['quantity']}/{node.attributes['method']}" for node in results),
        "results_simulated": sum(bool(node.attributes.get("simulated")) for node in results),
        "results_failed": sum(not node.attributes["success"] for node in results),
        "results_invalid": sum(not node.attributes["valid"] for node in results),
        "results_by_status": _count(node.state.get("status", "original") for node in results),
        "requests_by_status": _count(node.state.get("status", "not posted") for node in requests),
        "processes": len(processes),
        "processes_failed": sum(has_failed(node) for node in processes),
        "first": min((node.time for node in [*requests, *results]), default=None),
        "last": max((node.time for node in [*requests, *results]), default=None),
    }


def has_failed(process: Node) -> bool:
    """Return whether a process ended otherwise than it should."""
    attributes = process.attributes
    return attributes.get("process_state") != "finished" or attributes.get("exit_status") not in (0, None)


def write_readme(name: str, metadata: Metadata, counts: dict[str, Any], present: set[str]) -> str:
    """Return the first page.

    :param present: top-level names in the package.
    """
    rows = "\n".join(f"| `{path}` | {words} |" for path, words in CONTENTS.items() if path in present)
    note = f"\n**{_simulated_words(counts)}**\n" if counts["results_simulated"] else ""
    return f"""# {metadata.title}

{metadata.description.strip()}
{note}
{_openness_words(metadata)}
Licence: {metadata.licence_name} ({metadata.licence}), {metadata.licence_address}

| file | |
|---|---|
{rows}

Begin with the tables: each row has the UUID of its node, which is the same in `graph.jsonld` (as `urn:uuid:...`), in
`ro-crate-metadata.json`, in the FINALES files and in the archive. To ask where a number comes from:

    pip install aiida-finales
    verdi presto
    aiida-finales import archive campaign.aiida
    aiida-finales campaign show {name}
    aiida-finales why <UUID of a result>

To check that nothing is missing or changed: `aiida-finales export verify .`, or `sha256sum --check checksums.sha256`.
"""


def write_datasheet(name: str, metadata: Metadata, archive: Archive, counts: dict[str, Any], *, is_open: bool) -> str:
    """Return what one must know before using the data.

    :param is_open: whether the campaign went on when the package was made.
    """
    people = "\n".join(f"- {_person_words(author)}" for author in metadata.authors)
    flaws = [*_seen_flaws(counts, is_open=is_open), *metadata.known_flaws] or ["None is known."]
    references = [f"{item.citation} {item.doi or item.url}" for item in metadata.references] or ["none"]
    funding = [" ".join(filter(None, (item.funder, item.number, item.title))) for item in metadata.funding] or ["none"]
    flaw_lines = "\n".join(f"- {words}" for words in flaws)
    return f"""# Data sheet: {metadata.title}

## What

Campaign `{name}`: {_campaign_words(archive)}

{_table(counts["results_by_source"], "source", "results")}

{_table({key: counts[key] for key in _TOLD}, "what", "number")}

## Who

{people}

Funding: {"; ".join(funding)}

Tenants: {", ".join(sorted({str(node.attributes["name"]) for node in archive.of_type("tenant")})) or "none"}

## When

From {counts["first"] or "-"} to {counts["last"] or "-"} (UTC). Published {metadata.date_published}, version
{metadata.version}.

## How

Every number was made by a process of an AiiDA provenance graph ({_versions(archive)}; package written by aiida-finales
{__version__}). `tables/links.csv` has all links, `campaign.aiida` all inputs and outputs. Mole fractions are of the
whole solution.

References: {"; ".join(references)}

## Simulated

{_simulated_words(counts)}

## Known flaws

{flaw_lines}

## Openness

{_openness_words(metadata)}
Nodes of which only the existence is told: {counts["withheld"]}.
{_learned_words(archive)}"""


def _learned_words(archive: Archive) -> str:
    """Return whose cells the models of lifetimes in a package learned from: their licences ask that this is named."""
    found = [node.attributes.get("training", {}).get("data", {}) for node in archive.of_type("lifetime_model")]
    told = sorted({words for data in found for words in data.get("licences", ())})
    lines = "".join(f"- {words}\n" for words in told)
    return f"\nModels of lifetimes learned from cells of others:\n\n{lines}" if told else ""


def write_citation(metadata: Metadata) -> str:
    """Return a CITATION.cff (Citation File Format 1.2.0)."""
    document: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": metadata.title,
        "abstract": metadata.description.strip(),
        "version": metadata.version,
        "date-released": metadata.date_published.isoformat(),
        "license": metadata.licence,
        "keywords": metadata.keywords,
        "authors": [_citation_author(author) for author in metadata.people],
    }
    if metadata.references:
        document["references"] = [
            {"type": "article", "title": item.citation, "authors": [{"name": "see title"}]}
            | ({"doi": item.doi} if item.doi else {"url": item.url})
            for item in metadata.references
        ]
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text


def _citation_author(person: Any) -> dict[str, str]:
    entry = {"family-names": person.family_name, "given-names": person.given_name}
    if person.orcid:
        entry["orcid"] = f"https://orcid.org/{person.orcid}"
    return {**entry, "affiliation": person.organisation} if person.organisation else entry


def _count(words: Any) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _table(rows: dict[str, int], left: str, right: str) -> str:
    lines = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"| {left} | {right} |\n|---|---|\n{lines}"


def _person_words(author: Any) -> str:
    where = "; ".join(
        f"{item.name}" + (f" (https://ror.org/{item.ror})" if item.ror else "") for item in author.affiliations
    )
    orcid = f", https://orcid.org/{author.person().orcid}" if author.orcid else ""
    return f"{author.given_name} {author.family_name}{orcid}" + (f", {where}" if where else "")


def _campaign_words(archive: Archive) -> str:
    document = campaign_document(archive)
    if document is None:
        return "its process had not ended when the package was made."
    sources = ", ".join(document.get("sources") or {})
    wanted = document.get("objectives")
    if wanted:
        goals = ", ".join(f"{name} ({item.get('direction') or 'within limits'})" for name, item in wanted.items())
        return f"several objectives, {goals}, from the sources {sources}; all settings are in `campaign.json`."
    goal = "highest" if document.get("maximise", True) else "lowest"
    return f"the {goal} {document.get('quantity')}, from the sources {sources}; all settings are in `campaign.json`."


def campaign_process(archive: Archive) -> Node | None:
    """Return the process of the campaign, where it has ended; of one that was continued the latest."""
    found = (node for node in archive.processes() if node.process_type == "aiida.workflows:finales.campaign")
    return max(found, key=lambda node: node.time, default=None)


def campaign_document(archive: Archive) -> dict[str, Any] | None:
    """Return what the campaign was told to do, where its process has ended."""
    process = campaign_process(archive)
    links = archive.incoming.get(process.uuid, []) if process else []
    found = (archive.by_uuid[link.source] for link in links if link.label == "campaign")
    node = next(found, None)
    return None if node is None or node.is_withheld else node.attributes


def _versions(archive: Archive) -> str:
    found = [node.attributes.get("version") or {} for node in archive.processes()]
    words = {f"{name} {item[key]}" for item in found for key, name in _PROGRAMS.items() if key in item}
    return ", ".join(sorted(words)) or "versions unknown"


_PROGRAMS = {"core": "aiida-core", "plugin": "aiida-finales"}


def _simulated_words(counts: dict[str, Any]) -> str:
    number, total = counts["results_simulated"], counts["results"]
    if not number:
        return "No result is marked as simulated by its provider."
    return (
        f"{number} of {count(total, 'result')} {be(number)} {SIMULATED}: they come from a simulated laboratory, "
        "not from a measurement (column `simulated` of the tables)."
    )


def _seen_flaws(counts: dict[str, Any], *, is_open: bool) -> list[str]:
    n_failed, n_invalid, n_ended = (counts[name] for name in ("results_failed", "results_invalid", "processes_failed"))
    found = {
        f"Results that say that the method failed (column `success`): {n_failed}.": n_failed,
        f"Results that break the schema of their capability (column `valid`): {n_invalid}.": n_invalid,
        f"Processes that failed (column `exit status` of `tables/nodes.csv`): {n_ended}.": n_ended,
        "The campaign went on when this snapshot was made: what had not ended is not in it.": is_open,
    }
    for status in ("amended", "deleted"):
        number = counts["results_by_status"].get(status, 0)
        what = f"{count(number, 'result')} {be(number, past=True)} {status} afterwards"
        found[f"{what} (column `status`, reasons in `tables/history.csv`)."] = number
    return [words for words, is_so in found.items() if is_so]


def _openness_words(metadata: Metadata) -> str:
    words = f"Openness: {metadata.openness}."
    if metadata.embargo_until:
        words += f" Not to be made public before {metadata.embargo_until}."
    if metadata.openness != "public":
        words += " This package must not be made public."
    return words
