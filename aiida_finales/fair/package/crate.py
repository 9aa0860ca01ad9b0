"""The content of a package as an RO-Crate: files, people, and the processes of the provenance graph.

Profiles: RO-Crate 1.1, Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5) and, where the campaign has ended,
Workflow and Provenance Run Crate 0.5, with the file of the campaign as the workflow.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_finales.fair.package.archive import TYPES, Archive, Node
from aiida_finales.fair.package.checksums import FILE as CHECKSUMS
from aiida_finales.fair.package.checksums import digest, list_paths
from aiida_finales.fair.package.datasheet import CONTENTS, campaign_process, has_failed
from aiida_finales.fair.package.metadata import Metadata
from aiida_finales.schemas import Json
from aiida_finales.schemas.values import unit_of

FILE = "ro-crate-metadata.json"
WORKFLOW = "campaign.json"
PROFILES = {
    "Process Run Crate": "https://w3id.org/ro/wfrun/process/0.5",
    "Workflow Run Crate": "https://w3id.org/ro/wfrun/workflow/0.5",
    "Provenance Run Crate": "https://w3id.org/ro/wfrun/provenance/0.5",
    "Workflow RO-Crate": "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}
ENGINE = "https://www.aiida.net"
_LANGUAGE = "#campaign-file"
_MEDIA_TYPES = {
    ".aiida": "application/zip",
    ".jsonld": "application/ld+json",
    ".cff": "application/yaml",
    ".h5": "application/x-hdf5",
    ".md": "text/markdown",
    ".sha256": "text/plain",
}
_STATUS = "http://schema.org/{}ActionStatus"


@dataclass(frozen=True)
class Contents:
    """What a crate is about.

    :param owners: UUID of the node whose content a file is, by path.
    """

    folder: Path
    name: str
    metadata: Metadata
    archive: Archive
    owners: Mapping[str, str]


def write_crate(contents: Contents) -> None:
    """Describe every file of a package and every process that its archive has."""
    text = json.dumps(make_crate(contents), indent=1, ensure_ascii=False)
    (contents.folder / FILE).write_text(text + "\n", encoding="utf-8")


def make_crate(contents: Contents) -> Json:
    """Return the description of a package as it is on disk."""
    return _Crate(contents).build()


def crate_files(document: Json) -> dict[str, Json]:
    """Return the files that a crate describes, by path."""
    return {
        item["@id"]: item
        for item in document["@graph"]
        if "File" in _types(item) and not str(item["@id"]).startswith(("http:", "https:", "urn:"))
    }


def _types(item: Json) -> list[str]:
    kinds = item.get("@type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


class _Crate:
    """Collects the entities."""

    def __init__(self, contents: Contents) -> None:
        from rocrate.rocrate import ROCrate

        self.contents, self.archive, self.metadata = contents, contents.archive, contents.metadata
        self.crate = ROCrate(version="1.1")
        self.process = campaign_process(self.archive)
        self.paths: dict[str, list[str]] = {}
        for path, uuid in contents.owners.items():
            self.paths.setdefault(uuid, []).append(path)
        self.described: set[str] = set()

    def build(self) -> Json:
        """Return the document."""
        self._describe_root()
        self._describe_files()
        actions = [self._describe_action(node) for node in self.archive.processes() if node.process_type]
        self.crate.root_dataset["mentions"] = [{"@id": iri} for iri in actions]
        if self._has_workflow:
            self._describe_workflow()
            self._describe_steps()
        document: Json = self.crate.metadata.generate()
        return document

    @property
    def _has_workflow(self) -> bool:
        return self.process is not None and (self.contents.folder / WORKFLOW).exists()

    def _add(self, iri: str, kind: str | list[str], **properties: Any) -> Json:
        """Add an entity, once."""
        from rocrate.model.contextentity import ContextEntity

        if iri not in self.described:
            self.described.add(iri)
            kept = {key: value for key, value in properties.items() if value not in (None, "", [])}
            self.crate.add(ContextEntity(self.crate, iri, properties={"@type": kind, **kept}))
        return {"@id": iri}

    def _describe_root(self) -> None:
        root, metadata = self.crate.root_dataset, self.metadata
        root["name"], root["description"] = metadata.title, metadata.description.strip()
        root["datePublished"], root["version"] = metadata.date_published.isoformat(), metadata.version
        root["license"] = self._add(metadata.licence_address, "CreativeWork", name=metadata.licence_name)
        root["keywords"] = [*metadata.keywords, *(["simulated data"] if self._is_simulated() else [])]
        root["author"] = [self._add_person(person) for person in metadata.people]
        root["citation"] = [self._add_reference(item) for item in metadata.references]
        root["funder"] = [
            self._add(f"#grant-{number}", "Grant", name=" ".join(filter(None, (item.title, item.number, item.funder))))
            for number, item in enumerate(metadata.funding, start=1)
        ]
        root["conditionsOfAccess"] = metadata.openness.value
        names = list(PROFILES) if self._has_workflow else list(PROFILES)[:1]
        root["conformsTo"] = [
            self._add(PROFILES[name], "CreativeWork", name=name, version=PROFILES[name].rsplit("/", 1)[-1])
            for name in names
        ]

    def _is_simulated(self) -> bool:
        return any(node.attributes.get("simulated") for node in self.archive.of_type("result"))

    def _add_person(self, person: Any) -> Json:
        where = None
        if person.organisation:
            where = self._add(person.organisation_iri, "Organization", name=person.organisation)
        names = {"givenName": person.given_name, "familyName": person.family_name}
        return self._add(person.iri, "Person", name=person.name, **names, affiliation=where)

    def _add_reference(self, item: Any) -> Json:
        iri = f"https://doi.org/{item.doi}" if item.doi else item.url
        return self._add(iri, "ScholarlyArticle", name=item.citation)

    def _describe_files(self) -> None:
        folder = self.contents.folder
        for path in list_paths(folder):
            if path in (FILE, CHECKSUMS):
                continue
            self._add_file(path, {"sha256": digest(folder / path)})
        # its own checksum is in nobody's hands: it lists the one of this description
        self._add_file(CHECKSUMS, {})

    def _add_file(self, path: str, more: Json) -> None:
        folder = self.contents.folder
        words = CONTENTS.get(path) or CONTENTS.get(path.split("/", maxsplit=1)[0], "")
        suffix = Path(path).suffix
        properties: Json = {
            "name": path,
            "description": words,
            "encodingFormat": _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream",
            **({"contentSize": str((folder / path).stat().st_size)} if more else {}),
            **more,
        }
        owner = self.contents.owners.get(path)
        if owner:
            properties["identifier"] = f"urn:uuid:{owner}"
        if path == WORKFLOW and self._has_workflow:
            properties["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        self.crate.add_file(None, path, properties=properties)
        self.described.add(path)

    def _describe_action(self, node: Node) -> str:
        """Describe a process as something that was done."""
        iri = f"urn:uuid:{node.uuid}"
        links = self.archive
        used = [link.source for link in links.incoming.get(node.uuid, []) if link.kind.startswith("input")]
        made = [link.target for link in links.outgoing.get(node.uuid, []) if link.kind in ("create", "return")]
        failed = has_failed(node)
        is_campaign = self._has_workflow and node is self.process
        self._add(
            iri,
            "CreateAction",
            name=node.attributes.get("process_label") or node.process_type,
            description=f"process {node.process_type} of AiiDA",
            instrument={"@id": WORKFLOW} if is_campaign else self._add_tool(node),
            agent=self._add_person(self.metadata.people[0]),
            startTime=f"{node.time}+00:00",
            endTime=f"{self._end_of(node)}+00:00",
            object=self._entities(used),
            result=self._entities(made),
            actionStatus=_STATUS.format("Failed" if failed else "Completed"),
            error=str(node.attributes.get("exit_message") or node.attributes.get("process_state")) if failed else None,
        )
        return iri

    def _end_of(self, node: Node) -> str:
        """Return when a process ended: when the last thing that it made or logged was there."""
        made = [self.archive.by_uuid[link.target].time for link in self.archive.outgoing.get(node.uuid, [])]
        return max([node.time, *made])

    def _add_tool(self, node: Node) -> Json:
        versions = node.attributes.get("version") or {}
        version = versions.get("plugin") or versions.get("core") or "unknown"
        iri = _tool_iri(node.process_type)
        return self._add(iri, "SoftwareApplication", name=node.process_type, softwareVersion=version)

    def _entities(self, uuids: Iterable[str]) -> list[Json]:
        """Return what was used or made: files where the package has them, values, else a note that it is there."""
        found: dict[str, Json] = {}
        for uuid in sorted(set(uuids)):
            paths = self.paths.get(uuid)
            node = self.archive.by_uuid[uuid]
            for item in [{"@id": path} for path in paths] if paths else [self._add_data(node)]:
                found[item["@id"]] = item
        return list(found.values())

    def _add_data(self, node: Node) -> Json:
        iri, told = f"urn:uuid:{node.uuid}", node.attributes
        if iri in self.described:
            return {"@id": iri}
        if node.node_type != TYPES["result"] or told.get("value") is None:
            kind = "withheld" if node.is_withheld else node.node_type.strip(".").rsplit(".", 1)[-1]
            return self._add(iri, "CreativeWork", name=node.label or kind, additionalType=kind, dateCreated=node.time)
        quantity = str(told["quantity"])
        return self._add(
            iri,
            "PropertyValue",
            name=quantity,
            value=told["value"],
            unitText=unit_of(quantity) or "1",
            measurementTechnique=told["method"],
            description="simulated data" if told.get("simulated") else None,
        )

    def _describe_workflow(self) -> None:
        """Describe the campaign's file as the workflow."""
        workflow = self.crate.dereference(WORKFLOW)
        language = self._add(_LANGUAGE, "ComputerLanguage", name="aiida-finales campaign file", version="1")
        workflow["name"] = f"campaign {self.contents.name}"
        workflow["programmingLanguage"] = language
        workflow["version"] = self.metadata.version
        workflow["license"] = {"@id": self.metadata.licence_address}
        tools = sorted({_tool_iri(node.process_type) for node in self._tool_runs()})
        workflow["hasPart"] = [{"@id": tool} for tool in tools]
        steps = [
            self._add(f"{WORKFLOW}#{tool}", "HowToStep", name=tool, position=str(number), workExample={"@id": tool})
            for number, tool in enumerate(tools, start=1)
        ]
        workflow["step"] = steps
        self.crate.root_dataset["mainEntity"] = {"@id": WORKFLOW}

    def _describe_steps(self) -> None:
        """Describe which step each run of a tool was, and what ran them."""
        controls = [
            self._add(
                f"#control-{node.uuid}",
                "ControlAction",
                name=f"run of {node.process_type}",
                instrument={"@id": f"{WORKFLOW}#{_tool_iri(node.process_type)}"},
                object={"@id": f"urn:uuid:{node.uuid}"},
            )
            for node in self._tool_runs()
        ]
        versions = (self.process.attributes.get("version") or {}) if self.process else {}
        engine = self._add(ENGINE, "SoftwareApplication", name="AiiDA", softwareVersion=versions.get("core", "unknown"))
        self._add(
            "#engine-run",
            "OrganizeAction",
            name="run of the campaign by AiiDA",
            instrument=engine,
            object=controls,
            result={"@id": f"urn:uuid:{self.process.uuid}"} if self.process else None,
        )

    def _tool_runs(self) -> list[Node]:
        return [node for node in self.archive.processes() if node is not self.process and node.process_type]


def _tool_iri(process_type: str) -> str:
    """Return the address of a program: AiiDA's name of the process."""
    return f"urn:aiida:{process_type}"
