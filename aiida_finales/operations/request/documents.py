"""JSON documents from outside: requests, tenants, answers and samples in the published form, which is also ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aiida_finales.broker.samples import register_sample
from aiida_finales.data.cells import ADDED_PARTS, check_parts
from aiida_finales.data.chemicals import check_chemicals
from aiida_finales.data.request import RequestData
from aiida_finales.data.sample import SampleData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.catalogue import TENANT, Registry
from aiida_finales.schemas.chemicals import Chemical, find_chemical, find_contradiction
from aiida_finales.schemas.chemicals.mixture import is_mixture, read_mixture, tell
from aiida_finales.schemas.document import read_document
from aiida_finales.schemas.formulation import (
    find_formulation,
    formulation_path,
    fractions,
    make_formulation,
    place_formulation,
)
from aiida_finales.schemas.limitations.offer import Offer, find_idle_limits, formulation_regions, read_offers
from aiida_finales.schemas.limitations.spoken import Find, spell_out
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.structure import format_path, is_number
from aiida_finales.schemas.temperature import read_temperature
from aiida_finales.schemas.words import be
from aiida_finales.science.electrolyte.composition import describe
from aiida_finales.science.electrolyte.known_density import find_density

KEYS = ("identity", "kind", "location", "content", "simulated")
#: of an answer; the last are those of the published form, which say here what is known already
ANSWER_KEYS = ("method", "parameters", "data", "simulated", "quantity", "tenant_uuid", "request_uuid", "uuid", "ctime",
               "status", "cost")  # fmt: skip
#: settings of an offer that are read for tenants outside of this engine, too
_READ = {"pause_s", "patience_s", "lease_s", "silence_s"}


#: keys under which a formulation may be written shortly
FORMULATIONS = ("formulation", "electrolyte")


def read_json(path: Path) -> Any:
    """Return the document in a file: JSON, or YAML where its name ends so.

    :raises InputError: when it is none, with line and column.
    """
    return read_document(path, is_json=path.suffix.lower() not in (".yaml", ".yml"))


def read_pairs(option: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Return the values of an option that is given as ``NAME=VALUE``; a value is JSON where it can be, else a text.

    :raises InputError: when there is no name or no value.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not (name and sign and text):
            raise InputError(f"{option} {pair} was given, accepted is NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def read_number(text: str) -> float | str:
    """Return a number where a text is one, else the text."""
    try:
        return float(text)
    except ValueError:
        return text


def read_request(document: Any, requester: str = "", *, is_sure: bool = False) -> RequestData:
    """Return the request, not stored, that a document describes.

    :param document: ``quantity``, ``parameters`` per method, ``methods`` (default: all of them), ``tenant_uuid`` (who
        asks); the published list of requests wraps this in ``request``.
    :param is_sure: numbers that are not to be expected are right.
    :raises InputError: naming what is missing or not acceptable.
    """
    document = _demand_object(document, "a request")
    document = _demand_object(document.get("request", document), "a request")
    for key, accepted in (("quantity", "a name such as conductivity"), ("parameters", "an object per method")):
        if key not in document:
            raise InputError(f"the request has no {key!r}: accepted is {accepted}; given were {sorted(document)}")
    parameters, given = expand_formulations(document["parameters"])
    return RequestData(
        document["quantity"],
        parameters,
        requester=document.get("requester") or document.get("tenant_uuid") or requester,
        methods=document.get("methods"),
        given=given,
        is_sure=is_sure,
    )


def make_document(
    quantity: str, methods: Iterable[str], mixture: Mapping[str, Any] | str, others: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document of a request that asks the same of each method.

    :param mixture: however it is said.
    :param others: further parameters, e.g. ``temperature``.
    """
    placed = place_formulation(quantity, [], others)
    *around, last = formulation_path(quantity)
    inner = placed
    for key in around:
        inner = inner[key]
    inner[last] = mixture
    return {"quantity": quantity, "methods": list(methods), "parameters": dict.fromkeys(methods, placed)}


def expand_formulations(parameters: Any, *, is_free: bool = False) -> tuple[Any, dict[str, Any]]:
    """Return parameters with mixtures and temperatures, however they are said, in the form of storage.

    Beside them: what was given, by its place, where it was said otherwise than as fractions by name and K.

    :param is_free: its keys are anybody's own: texts but that of the formulation stay as they are.
    :raises InputError: when a mixture cannot be read, names an unknown chemical, or needs a density that nobody knows.
    """
    given: dict[str, Any] = {}
    return _expand(parameters, (), given, is_free=is_free), given


def _expand(value: Any, place: tuple[int | str, ...], given: dict[str, Any], *, is_free: bool = False) -> Any:
    """Return what stands at a place in the form of storage.

    :param is_free: in a document with keys of anybody's own, only the formulation is taken for one.
    """
    key = str(place[-1]) if place else ""
    is_text = isinstance(value, str)
    if key in (FORMULATIONS[:1] if is_free and is_text else FORMULATIONS) and is_mixture(value):
        mixed = read_mixture(value, find_density)
        if isinstance(value, Mapping) and all(map(is_number, value.values())):
            return make_formulation(value)  # what is asked for stays as it was written
        given[format_path(place)] = mixed.to_dict()
        return make_formulation(mixed.fractions)
    if key == "temperature" and is_text and not is_free:
        given[format_path(place)] = {"given": value}
        return read_temperature(value, format_path(place))
    if isinstance(value, Mapping):
        return {name: _expand(item, (*place, name), given, is_free=is_free) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*place, index), given, is_free=is_free) for index, item in enumerate(value)]
    return value


def tell_given(given: Mapping[str, Any], parameters: Any) -> list[str]:
    """Return a sentence for each mixture and temperature that was said in other words than it is stored.

    :param given: as :func:`expand_formulations` returns it.
    """
    lines = []
    for place, about in given.items():
        stored = parameters
        for step in re.findall(r"[^.\[\]]+", place):
            stored = stored[int(step) if isinstance(stored, list) else step]
        is_liquid = isinstance(stored, list)
        words = describe(fractions(stored), 5) if is_liquid else f"{stored:g} K"
        lines.append(f"{place}: {words} ({tell(about)})")
    return lines


def read_tenant(document: Any) -> dict[str, Any]:
    """Return the arguments of :func:`aiida_finales.broker.registration.add_tenant`.

    :raises InputError: when there is no name or nothing is offered.
    :raises SchemaError: when limitations cannot be understood.
    """
    document = _demand_object(document, "a tenant")
    if not document.get("name"):
        raise InputError(f"the tenant has no 'name'; given were {sorted(document)}")
    find = _finder(check_chemicals(document.get("chemicals") or [], f"{TENANT}{document['name']}"))
    parts = {section: document[section] for section in ADDED_PARTS if document.get(section) is not None}
    check_parts(parts, f"{TENANT}{document['name']}")
    offers = document.get("offers")
    if offers is None:
        published = spell_out(document.get("limitations") or [], find)
        offers = [offer.to_dict() for offer in read_offers(published)]
    if not isinstance(offers, list) or not offers:
        raise InputError("the tenant offers nothing: accepted is a list 'offers' (or 'limitations', as published)")
    offers = spell_out([_demand_object(offer, "an offer") for offer in offers], find)
    fields = {"name": document["name"], "offers": offers, **({"cell_parts": parts} if parts else {})}
    for key in ("tenant_uuid", "kind", "max_concurrent", "chemicals"):
        if document.get(key) is not None:
            fields[key] = document[key]
    return {**fields, "contact": _name_person(document.get("contact") or document.get("contact_person") or "")}


def _finder(own: list[Chemical]) -> Find:
    """Return what finds a chemical by a word, among those of the document first."""
    registry: Registry[Chemical] = Registry()
    for chemical in own:
        registry.add(chemical)
    return lambda word: registry.find(word) or find_chemical(word)


def replace_limitations(offers: list[dict[str, Any]], document: Any) -> list[dict[str, Any]]:
    """Return offers with the limitations and constraints of a document; cost and settings are kept.

    :raises InputError: when the document is neither an offer, nor offers, nor a tenant.
    :raises SchemaError: when limitations cannot be understood.
    """
    if isinstance(document, Mapping) and "offers" in document:
        document = document["offers"]
    document = spell_out(document)
    new = {canonical_capability(item.quantity, item.method): item.to_dict() for item in read_offers(document)}
    known = [(offer["quantity"], offer["method"]) for offer in offers]
    kept = []
    for offer, key in zip(offers, known, strict=True):
        if key in new:
            rest = {name: value for name, value in offer.items() if name not in ("limitations", "constraints")}
            kept.append({**rest, **new[key]})
        else:
            kept.append(offer)
    return kept + [offer for key, offer in new.items() if key not in known]


def tell_unknown(offers: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each chemical of offers that nobody described: campaigns cannot ask for it."""
    regions = [region for offer in map(Offer.from_dict, offers) for region in formulation_regions(offer)]
    spelt = {key for offer in offers for key in _spelt(offer)}
    names = dict.fromkeys(name for region in regions for name in region.names)
    return [
        f"chemical {name} is not known here, and its SMILES is not given: campaigns leave out what is offered of it. "
        "Describe it in a section 'chemicals' of the file (name, SMILES), or with 'aiida-finales chemical add'"
        for name in names
        if name not in spelt and find_chemical(name) is None
    ]


def tell_idle(offers: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each limitation of offers that is about no parameter, and so limits nothing."""
    lines = []
    for offer in map(Offer.from_dict, offers):
        accepted = ", ".join(sorted({str(place[0]) for place in offer.places}))
        lines += [
            f"the limitation {name} of {offer.quantity}/{offer.method} is about no parameter, so it limits nothing: "
            f"parameters are {accepted}"
            for name in find_idle_limits(offer)
        ]
    return lines


def tell_unused(kind: str, offers: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each setting of an offer that nobody reads, as the tenant answers by itself.

    :param kind: of the tenant.
    """
    if kind == "internal":
        return []
    found = {f"{offer['quantity']}/{offer['method']}": sorted(set(offer.get("settings") or {}) - _READ)
             for offer in offers}  # fmt: skip
    return [
        f"{', '.join(names)} in the settings of {offer} {be(len(names))} read for no tenant that is {kind}: it answers "
        "by itself. Where this platform shall answer for it, say --kind internal"
        for offer, names in found.items()
        if names
    ]


def _spelt(document: Any) -> Iterator[str]:
    """Yield the InChIKeys that stand beside a SMILES."""
    parts = document.values() if isinstance(document, Mapping) else document if isinstance(document, list) else ()
    if isinstance(document, Mapping) and document.get("SMILES") and isinstance(document.get("InChIKey"), str):
        yield document["InChIKey"]
    for part in parts:
        yield from _spelt(part)


def read_answer(document: Any, request: RequestData) -> dict[str, Any]:
    """Return ``method``, ``data``, ``parameters`` and ``simulated`` of an answer to a request.

    :param document: ours, or the published form, where ``method`` is a list and ``parameters`` are per method.
    :raises InputError: naming what is missing.
    """
    document = _demand_object(document, "an answer")
    document = _demand_object(document.get("result", document), "an answer")
    if unknown := sorted(set(document) - set(ANSWER_KEYS)):
        raise InputError(
            f"an answer has no {', '.join(unknown)}: {_hint(unknown)}accepted are {', '.join(ANSWER_KEYS)}"
        )
    method = document.get("method") or request.methods[0]
    method = method[0] if isinstance(method, list) and method else method
    method = canonical_capability(request.quantity, str(method))[1]
    if "data" not in document:
        raise InputError(f"the answer has no 'data'; given were {sorted(document)}")
    parameters = document.get("parameters") or request.parameters.get(method, {})
    parameters = parameters.get(method, parameters) if isinstance(parameters, Mapping) else parameters
    answer = {"method": method, "data": _expand_run(document["data"]), "parameters": expand_formulations(parameters)[0]}
    return {**answer, "simulated": bool(document.get("simulated", False))}


def _hint(unknown: Iterable[str]) -> str:
    near = [found for word in unknown for found in get_close_matches(word, ANSWER_KEYS[:4], n=1)]
    return f"did you mean {', '.join(near)}? " if near else "what a measurement tells is in 'data'; "


def _expand_run(data: Any) -> Any:
    """Return data of a result in whose information on the run a mixture may be said in other words."""
    if not isinstance(data, Mapping) or not isinstance(data.get("run_info"), Mapping):
        return data
    run, given = expand_formulations(data["run_info"], is_free=True)
    return {**data, "run_info": {**run, "given": given} if given else run}


def _demand_object(document: Any, what: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InputError(f"{what} is {type(document).__name__}, but accepted is a JSON object")
    return document


def _name_person(contact: Any) -> str:
    if isinstance(contact, Mapping):
        return " ".join(str(value) for value in contact.values() if value)
    return str(contact)


def register_all(document: Any) -> list[SampleData]:
    """Register the samples of a document; all are looked at before the first is stored.

    :raises InputError: naming the entry and the key.
    """
    entries = document if isinstance(document, list) else [document]
    checked = [_check(f"[{number}]", entry) for number, entry in enumerate(entries)]
    for entry in checked:
        SampleData(**entry)
    return [register_sample(**entry) for entry in checked]


def _check(path: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {entry!r} was given, accepted is an object with {', '.join(KEYS)}")
    unknown, lacking = sorted(set(entry) - set(KEYS)), [key for key in KEYS[:3] if key not in entry]
    if unknown or lacking:
        raise InputError(f"{path}: unknown {unknown}, lacking {lacking}; accepted are {', '.join(KEYS)}")
    content = entry.get("content") or {}
    if not isinstance(content, dict):
        raise InputError(f"{path}.content: {content!r} was given, accepted is an object")
    content, given = expand_formulations(content, is_free=True)
    content |= {"given": given} if given else {}
    for component in find_formulation(content) or []:
        names = component["chemical"]
        contradiction = find_contradiction(str(names.get("SMILES", "")), str(names.get("InChIKey", "")))
        if contradiction is not None:
            raise InputError(f"{path}: {names} is not one chemical: {contradiction}")
    return {**entry, "content": content, "simulated": bool(entry.get("simulated", False))}
