"""A sample: a physical thing with identity, location and genealogy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_finales.data.active import IMPORTED, MADE_HERE
from aiida_finales.data.lookup import find_node
from aiida_finales.data.nodes import Stored
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.names import canonical_capability

STATE = "finales"
#: stock solution -> electrolyte vial -> coin cell
KINDS = ("stock", "vial", "cell")


class SampleData(orm.Data):
    """What a sample is; immutable. Where it is, and whether it can be trusted, is its state (``broker/samples.py``).

    Its genealogy is the provenance graph: the calculation that made it has the samples it was made of as inputs.

    :param identity: what is written on it, unique in a laboratory.
    :param kind: one of :data:`KINDS`.
    :param location: where it was when it was made or registered: ``address``, ``detail_1``, ``detail_2``.
    :param content: what it is made of, as far as it is known (JSON); ``formulation`` in the published form.
    :param made_of: identities of the samples that really went into it; empty where all inputs did.
    :param simulated: whether it exists in a simulated laboratory only.
    :raises InputError: when identity, kind or location cannot be accepted.
    """

    identity = Stored(str, "What is written on it.")
    kind = Stored(str, "Stock solution, vial of electrolyte, or cell.")
    content = Stored(dict, "What it is made of, as far as it is known.")
    fractions = Stored(dict, "Mole fractions of its electrolyte by InChIKey.")
    made_of = Stored(list, "Identities of the samples that really went into it; empty: all inputs of what made it.")

    def __init__(
        self,
        identity: str,
        kind: str,
        *,
        location: Json,
        content: Json | None = None,
        made_of: Iterable[str] = (),
        simulated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(identity, str) or not identity.strip():
            raise InputError(f"identity of a sample is {identity!r}, but accepted is the text that is written on it")
        if kind not in KINDS:
            raise InputError(f"kind of sample is {kind!r}, but accepted are {', '.join(KINDS)}")
        content = content or {}
        self.base.attributes.set_many(
            {
                "identity": identity.strip(),
                "kind": kind,
                "content": content,
                "fractions": find_fractions(content),
                "made_of": sorted(made_of),
                "simulated": simulated,
            }
        )
        self.base.extras.set(STATE, {"serial": 0, "status": "good", "location": check_location(location)})

    def _validate(self) -> bool:
        super()._validate()
        if not self.base.attributes.get("identity", None):
            raise ValidationError("a sample is made by SampleData(identity, kind, location=...)")
        return True


def check_location(location: Any) -> Json:
    """Return a location in the published form.

    :raises InputError: when it has no address.
    """
    if isinstance(location, str):
        location = {"address": location}
    if not isinstance(location, dict) or not isinstance(location.get("address"), str) or not location["address"]:
        raise InputError(f"location is {location!r}, but accepted are a text address, detail_1 and detail_2")
    return {key: location.get(key) for key in ("address", "detail_1", "detail_2")}


def find_sample(identifier: str) -> SampleData:
    """Return a sample by what is written on it, its pk or its UUID; the latest, should one have been made again.

    :raises UnknownNodeError: when there is no such sample.
    """
    found = find_samples([identifier])
    if found:
        return found[identifier]
    node: SampleData = find_node(identifier, SampleData, "sample", "see 'aiida-finales sample list'")
    return node


def find_samples(identities: Iterable[str], *, only_here: bool = False) -> dict[str, SampleData]:
    """Return the samples that are known of these identities; one that came with an archive only for want of an own.

    :param only_here: without those that came with an archive.
    """
    wanted = list(identities)
    if not wanted:
        return {}
    filters = {"attributes.identity": {"in": wanted}, **(MADE_HERE if only_here else {})}
    query = orm.QueryBuilder().append(
        SampleData, subclassing=False, filters=filters, project=["*", "id", f"extras.{IMPORTED}"]
    )
    rows = sorted(query.all(), key=lambda row: (row[2] is None, row[1]))
    return {node.identity: node for node, _, _ in rows}


def identities_used(quantity: str, parameters: dict[str, Json]) -> list[str]:
    """Return the identities of the samples that a request is about, from its parameters per method."""
    used: list[str] = []
    for method, given in parameters.items():
        used += _USED.get(canonical_capability(quantity, method), _nothing_used)(given)
    return list(dict.fromkeys(used))


def samples_made(result: Any) -> dict[str, SampleData]:
    """Return the samples that a result says were made, not stored, by a label for the link.

    Read from the published form of results, so that it does not matter whether a driver here, a client elsewhere or a
    person made them.

    :param result: a :class:`~aiida_finales.data.result.ResultData`.
    """
    make = _MADE.get((result.quantity, result.method)) if result.keeps_schema else None
    simulated = bool(result.base.attributes.get("simulated"))
    return make(result.data, simulated) if make else {}


def _nothing_used(_given: Json) -> list[str]:
    return []


def _vial_used(given: Json) -> list[str]:
    info = (given.get("cell_info") or {}).get("electrolyte_info") or {}
    return [info["uuid"]] if info.get("uuid") else []


def _cell_used(given: Json) -> list[str]:
    uuid = (given.get("cell_info") or {}).get("uuid")
    return [uuid] if uuid else []


def _carried(given: Json) -> list[str]:
    return [str(identity) for identity in given.get("samples") or []]


def _vial_made(data: Json, simulated: bool) -> dict[str, SampleData]:
    electrolyte, info = data["electrolyte"], data["run_info"].get("formulation_info") or {}
    if not electrolyte["meta"]["success"]:
        return {}
    identity = info.get("uuid") or info.get("name") or data["run_info"]["internal_reference"]
    content = {"formulation": electrolyte["formulation"], "volume_mL": electrolyte["volume"]}
    vial = SampleData(
        identity,
        "vial",
        location=electrolyte["location"],
        content=content,
        made_of=data.get("made_of", ()),
        simulated=simulated,
    )
    return {"vial": vial}


def _cells_made(data: Json, simulated: bool) -> dict[str, SampleData]:
    made = {}
    for number, item in enumerate(data["batch_output"], start=1):
        info = item["cell_info"]
        made[f"cell_{number:02d}"] = SampleData(
            info.get("uuid") or info.get("cell_name") or f"{data['batch_id']}-{number}",
            "cell",
            location=info.get("cell_location") or {"address": "unknown"},
            content={"cell": item["cell"], "meta": item["meta"], "batch": data["batch_id"]},
            simulated=simulated,
        )
    return made


_USED = {
    ("cell_assembly", "autobass_assembly"): _vial_used,
    ("capacity", "cycling"): _cell_used,
    ("degradationEOL", "degradation_model"): _cell_used,
    ("transport", "transport_service"): _carried,
}
_MADE = {("electrolyte", "flow"): _vial_made, ("cell_assembly", "autobass_assembly"): _cells_made}
