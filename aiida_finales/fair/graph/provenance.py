"""Who and what was at work, in PROV-O: processes, software, tenants, people and campaigns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiida_finales.fair.graph.people import Person
from aiida_finales.fair.graph.records import NodeRecord, Records
from aiida_finales.schemas import Json

_INPUTS = ("input_calc", "input_work")
_CALLS = ("call_calc", "call_work")
_ENDED = ("finished", "excepted", "killed")
#: class of EMMO by AiiDA's type of node; a calculation on a computer or a device says in its result what it was
_CLASSES = {"process.workflow.": "Workflow", "process.calculation.calcfunction.": "Computation"}
#: what is said of an offer; its settings may hold paths and addresses of devices
_PUBLIC = ("quantity", "method", "limitations", "constraints")
#: packages whose versions processes record
_PACKAGES = {"core": "aiida-core", "plugin": "aiida-finales"}


def describe_process(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield what a process used and was called by; what it created says so itself."""
    read = node.fields
    software = list(_software(read))
    inputs = records.incoming(node.uuid, *_INPUTS)
    tenants = {agent_of(item.fields["tenant_uuid"]) for item, label in inputs if label == "tenant"}
    classes = [term for start, term in _CLASSES.items() if read["node_type"].startswith(start)]
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["prov:Activity", *classes],
            "name": read["process_label"] or read["node_type"],
            "startedAtTime": node.created,
            "endedAtTime": read["mtime"].isoformat() if read["process_state"] in _ENDED else None,
            "processState": read["process_state"],
            "exitStatus": read["exit_status"],
            "exitMessage": read["exit_message"],
            "used": iris(item for item, _ in inputs),
            "returned": iris(item for item, _ in records.outgoing(node.uuid, "return")),
            "wasInformedBy": iris(item for item, _ in records.incoming(node.uuid, *_CALLS)),
            "wasAssociatedWith": sorted(tenants | {item["@id"] for item in software}),
        }
    )
    yield from software


def describe_tenant(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield one version of a tenant, with its limitations."""
    read = node.fields
    older = [item for item in records.of_kind("tenant") if _is_version(item, read["tenant_uuid"], read["version"] - 1)]
    offers = [{key: offer.get(key) for key in _PUBLIC} for offer in read["offers"]]
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:TenantVersion", "prov:Entity", "prov:Plan"],
            "name": f"{read['name']}, version {read['version']}",
            "version": read["version"],
            "versionOf": agent_of(read["tenant_uuid"]),
            "wasRevisionOf": iris(older),
            "dateCreated": node.created,
            "offers": json.dumps(offers, sort_keys=True, ensure_ascii=False),
        }
    )


def describe_agents(records: Records) -> Iterator[Json]:
    """Yield the tenants over all their versions, by what the latest one says; of some only the UUID is known."""
    known = sorted(records.of_kind("tenant"), key=lambda node: node.fields["version"])
    latest = {node.fields["tenant_uuid"]: node.fields for node in known}
    named = {node.fields["tenant_uuid"] for node in records.of_kind("result")} - {""}
    for uuid in sorted(named | set(latest)):
        read = latest.get(uuid, {})
        # the contact may be an address of e-mail: it stays in the database
        superiors = [person.iri for person in records.people if read.get("contact") in (person.name, person.orcid)]
        about = {"name": read.get("name"), "tenantKind": read.get("kind"), "actedOnBehalfOf": superiors}
        yield without_nothing({"@id": agent_of(uuid), "@type": ["finales:Tenant", "prov:Agent"], **about})


def describe_capability(node: NodeRecord, _records: Records) -> Iterator[Json]:
    """Yield one version of a capability."""
    read = node.fields
    names = {"quantity": read["quantity"], "method": read["method"], "version": read["version"]}
    yield {"@id": node.iri, "@type": ["finales:Capability", "prov:Entity"], **names, "dateCreated": node.created}


def describe_model(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield a trained model."""
    data = (node.fields["training"] or {}).get("data") or {}
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:TrainedModel", "prov:Entity"],
            "name": f"model of the end of life ({node.fields['method']})",
            "description": data.get("description"),
            "isSimulated": bool(node.fields["simulated"]),
            "dateCreated": node.created,
            "wasGeneratedBy": created_by(node, records),
        }
    )


def describe_potential(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield a machine-learned potential: whose forces it learned, and how wrong it is on held-out frames."""
    error = (node.fields["validation"] or {}).get("forces_meV_A")
    told = "" if error is None else f"; forces are {error:.0f} meV/Å wrong on held-out frames"
    yield without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:TrainedModel", "prov:Entity"],
            "name": "machine-learned interatomic potential",
            "description": f"learned from {node.fields['n_frames']} frames, labels by {node.fields['statement']}{told}",
            "isSimulated": True,
            "dateCreated": node.created,
            "wasGeneratedBy": created_by(node, records),
        }
    )


def describe_campaigns(records: Records) -> Iterator[Json]:
    """Yield the campaigns and the people behind them."""
    creators = [person.iri for person in records.people]
    for campaign in records.campaigns:
        yield without_nothing(
            {
                "@id": f"urn:uuid:{campaign.uuid}",
                "@type": ["finales:Campaign", "prov:Collection", "prov:Entity", "schema:Dataset"],
                "name": campaign.name,
                "creator": creators,
                "wasAttributedTo": creators,
                "hadMember": [f"urn:uuid:{uuid}" for uuid in campaign.members],
            }
        )
    for person in records.people:
        yield from _describe_person(person)


def _describe_person(person: Person) -> Iterator[Json]:
    yield without_nothing(
        {
            "@id": person.iri,
            "@type": ["schema:Person", "prov:Person", "prov:Agent"],
            "name": person.name,
            "givenName": person.given_name,
            "familyName": person.family_name,
            "identifier": f"https://orcid.org/{person.orcid}" if person.orcid else None,
            "affiliation": person.organisation_iri,
        }
    )
    if person.organisation:
        kinds = ["schema:Organization", "prov:Organization", "prov:Agent"]
        yield {"@id": person.organisation_iri, "@type": kinds, "name": person.organisation}


def _software(read: Json) -> Iterator[Json]:
    """Yield the packages whose versions a process recorded."""
    is_ours = "finales" in str(read["process_type"])
    for key, version in sorted((read["version"] or {}).items()):
        name = _PACKAGES.get(key)
        if name and version and (is_ours or key == "core"):
            kinds = ["schema:SoftwareApplication", "prov:SoftwareAgent", "prov:Agent"]
            iri = f"urn:aiida-finales:software:{name}:{version}"
            yield {"@id": iri, "@type": kinds, "name": name, "softwareVersion": str(version)}


def agent_of(tenant_uuid: str) -> str:
    """Return the address of a tenant over all its versions."""
    return f"urn:uuid:{tenant_uuid}"


def created_by(node: NodeRecord, records: Records) -> str | None:
    """Return the address of the process that created a node."""
    creator = records.creator(node.uuid)
    return creator.iri if creator else None


def iris(nodes: Any) -> list[str]:
    """Return the addresses of nodes, each once."""
    return sorted({node.iri for node in nodes})


def without_nothing(document: Json) -> Json:
    """Return a description without what is not known."""
    return {key: value for key, value in document.items() if value is not None and value not in ("", [])}


def _is_version(node: NodeRecord, tenant_uuid: str, version: int) -> bool:
    return bool(node.fields["tenant_uuid"] == tenant_uuid and node.fields["version"] == version)
