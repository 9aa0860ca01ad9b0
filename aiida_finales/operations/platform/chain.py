"""What the workflow tenant can be asked for: as far as whoever does the steps of the chain can do them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.chain import SERVED, STEPS, fill_settings, find_steps
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.formulation import DEFAULT_PATH, formulation_path
from aiida_finales.schemas.limitations.finding import join_phrases
from aiida_finales.schemas.limitations.mixture import Component, Mixture
from aiida_finales.schemas.limitations.nodes import Choice, Node, Numbers, Range, Words
from aiida_finales.schemas.limitations.offer import Offer
from aiida_finales.schemas.limitations.parser import find_place
from aiida_finales.schemas.names import MOLE_FRACTION
from aiida_finales.schemas.structure import Path

#: identity of the workflow tenant over all profiles, so that exported records of different profiles agree
NAME, UUID = "degradation-workflow", "6f2b1c9e-5a0d-4f53-9d1e-0a5ab0000008"
#: where the parameters of each quantity have what the request of a capacity by workflow says: a prefix for a prefix
PLACES: dict[str, dict[Path, Path]] = {
    "electrolyte": {("electrolyte", "formulation"): ("battery_chemistry", "electrolyte"), ("volume",): ("volume",)},
    "cell_assembly": {("batch_volume",): ("batch_volume",), ("cell",): ()},
    "capacity": {(): ()},
    "degradationEOL": {("battery_chemistry",): ("battery_chemistry",)},
}

#: what is allowed, by the place in the request
Limits = dict[Path, Node]


class Way(NamedTuple):
    """What one way to do steps allows: limits, and linear constraints on the mixture in the request."""

    limits: Limits
    constraints: tuple[Json, ...] = ()


def register_workflow(settings: Json | None = None, max_concurrent: int = 4, name: str = NAME) -> TenantData:
    """Let the workflow tenant offer every step that active tenants can do together with those before it.

    :param settings: of the chain, where they differ from its defaults.
    :raises InputError: when a setting is unknown, or no step can be done.
    """
    fill_settings(settings or {})
    active = [tenant for tenant in list_tenants() if tenant.name != name]
    offers = [offer for tenant in active for offer in tenant.offers]
    served = [key for key in SERVED if not missing_steps(*key, offers)]
    if not served:
        lacking = join_phrases(missing_steps(*next(iter(SERVED)), offers))
        raise InputError(
            f"no step of the chain can be done: nobody offers {lacking}; see 'aiida-finales tenant list', and add "
            "tenants that do with 'aiida-finales tenant add'"
        )
    own = [
        {"quantity": key[0], "method": key[1], "cost": 1.0, **derive_offer(*key, offers)}
        | ({"settings": dict(settings)} if settings else {})
        for key in served
    ]
    identity = UUID if name == NAME else None
    return add_tenant(name, own, tenant_uuid=identity, kind="internal", max_concurrent=max_concurrent)


def follow_steps(changed: str) -> list[str]:
    """Let workflow tenants offer what follows from the tenants as they are now; return in words what is new.

    :param changed: name of the tenant that was added, changed or switched.
    """
    told = []
    for tenant in list_tenants():
        own = [offer for offer in tenant.offers if (offer["quantity"], offer["method"]) in SERVED]
        # what a tenant offers beside the chain, or does by its own driver, is its own business
        if tenant.name == changed or tenant.kind != "internal" or len(own) != len(tenant.offers):
            continue
        try:
            node = register_workflow(own[0].get("settings"), tenant.max_concurrent, tenant.name)
        except InputError as error:
            told.append(f"{tenant.name} still offers what it did, and cannot do it: {error}")
            continue
        if node.version != tenant.version:
            told.append(f"{node.name} is version {node.version} now: what it offers follows from who does its steps")
    return told


def missing_steps(quantity: str, method: str, offers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the capabilities that the chain needs to answer a request, and that nobody offers."""
    offered = {(offer["quantity"], offer["method"]) for offer in offers}
    needed = [(STEPS[name].quantity, STEPS[name].method) for name in find_steps(SERVED[quantity, method])]
    return [f"{key[0]}/{key[1]}" for key in dict.fromkeys(needed) if key not in offered]


def derive_offer(quantity: str, method: str, offers: Iterable[Mapping[str, Any]]) -> Json:
    """Return limitations and constraints of the chain: those of its steps, at their places in the request.

    Where several tenants do a step, what any of them can do is an alternative, with the constraints of that tenant.

    :param offers: of all who do a step.
    :raises InputError: when no request could pass all steps.
    """
    target = Offer(quantity, method, {})
    steps = dict.fromkeys((STEPS[name].quantity, STEPS[name].method) for name in find_steps(SERVED[quantity, method]))
    read = [Offer.from_dict(offer) for offer in offers if (offer["quantity"], offer["method"]) in steps]
    ways = [Way({})]
    for key in steps:
        own = [offer for offer in read if (offer.quantity, offer.method) == key and key[0] in PLACES]
        if not own:
            continue
        pairs = product(ways, (way for offer in own for way in _ways(offer, target)))
        ways = [way for first, second in pairs if (way := _join(first, second)) is not None]
        if not ways:
            raise InputError(f"no request for {quantity} passes all steps: {'/'.join(key)} allows nothing that they do")
    found: list[tuple[Json, tuple[Json, ...]]] = []
    for way in ways:
        pair = _as_document(way.limits), way.constraints
        found += [pair] if pair not in found else []
    documents = [document for document, _ in found]
    constraints = _gather([own for _, own in found])
    return {"limitations": documents[0] if len(documents) == 1 else documents, "constraints": constraints}


def _gather(ways: list[tuple[Json, ...]]) -> list[Json]:
    """Return the constraints of all ways, each with the places of those in which it holds, unless it holds in all."""
    gathered: list[Json] = []
    for item in (item for own in ways for item in own):
        places = [place for place, own in enumerate(ways) if item in own]
        written = item if len(places) == len(ways) else {**item, "alternatives": places}
        gathered += [written] if written not in gathered else []
    return gathered


def _ways(offer: Offer, target: Offer) -> list[Way]:
    """Return what a step allows, each alternative at its places in the request."""
    ways = []
    for number, group in enumerate(offer.alternatives):
        limits = {place: node for path, node in group.limits if (place := _move(path, offer, target)) is not None}
        ways.append(Way(limits, _constraints(offer, target, number)))
    return ways


def _move(path: Path, offer: Offer, target: Offer) -> Path | None:
    """Return where the request has what a step has at a path; ``None`` where it does not say it."""
    order = next((new + path[len(old) :] for old, new in PLACES[offer.quantity].items() if _is_below(path, old)), None)
    if order is None:
        return None
    moved = [old + order[len(new) :] for old, new in PLACES[target.quantity].items() if _is_below(order, new)]
    known = [place for place in moved if place in target.places]
    # what stands beside the published form, as names of electrodes do, moves with what is around it
    return next(iter(known or (moved if path not in offer.places else [])), None)


def _is_below(path: Path, prefix: Path) -> bool:
    return path[: len(prefix)] == prefix


def _constraints(offer: Offer, target: Offer, number: int) -> tuple[Json, ...]:
    """Return the linear constraints of an alternative of a step, on the mixture in the request."""
    found = []
    for raw in offer.constraints:
        if number not in raw.get("alternatives", [number]):
            continue
        item = {key: value for key, value in raw.items() if key != "alternatives"}
        keys = tuple(item["path"].split("."))
        path = formulation_path(offer.quantity) if keys == DEFAULT_PATH else keys
        place = _move(find_place(offer.places, path), offer, target)
        if place is not None:
            found.append({**item, "path": _name(place, target)})
    return tuple(found)


def _name(place: Path, target: Offer) -> str:
    return "formulation" if place == formulation_path(target.quantity) else ".".join(place)


def _join(first: Way, second: Way) -> Way | None:
    """Return what both ways allow, or ``None`` where that is nothing."""
    one, other = first.limits, second.limits
    shared = {place: _intersect(one[place], other[place]) for place in one.keys() & other.keys()}
    if any(node is None for node in shared.values()):
        return None
    limits = {**one, **other, **{place: node for place, node in shared.items() if node is not None}}
    return Way(limits, (*first.constraints, *(item for item in second.constraints if item not in first.constraints)))


def _intersect(first: Node, second: Node) -> Node | None:
    pairs = product(*(node.alternatives if isinstance(node, Choice) else (node,) for node in (first, second)))
    found = [node for pair in pairs if (node := _meet(*pair)) is not None]
    return found[0] if len(found) == 1 else Choice(tuple(found)) if found else None


def _meet(first: Node, second: Node) -> Node | None:
    """Return what two limitations without alternatives allow, or ``None`` where that is nothing."""
    if isinstance(first, Numbers) and isinstance(second, Numbers):
        pairs = product(first.ranges, second.ranges)
        shared = [Range(max(a.low, b.low), min(a.high, b.high), a.step or b.step) for a, b in pairs]
        ranges = tuple(item for item in shared if item.low <= item.high)
        return Numbers(ranges) if ranges else None
    if isinstance(first, Words) and isinstance(second, Words):
        words = tuple(word for word in first.values if word in second.values)
        return Words(words) if words else None
    if isinstance(first, Mixture) and isinstance(second, Mixture):
        return _meet_mixtures(first, second)
    return first  # objects of their own: the step that they are of looks at them


def _meet_mixtures(first: Mixture, second: Mixture) -> Mixture | None:
    components = []
    for key in dict.fromkeys((*first.by_key, *second.by_key)):
        absent = Numbers((Range(0.0, 0.0),))
        amounts = [mixture.by_key[key].amounts if key in mixture.by_key else absent for mixture in (first, second)]
        shared = _meet(*amounts)
        if not isinstance(shared, Numbers):
            return None
        if max(item.high for item in shared.ranges) > 0:
            components.append(Component(key, (first.by_key.get(key) or second.by_key[key]).smiles, shared))
    return Mixture(tuple(components)) if components else None


def _as_document(way: Limits) -> Json:
    document: Json = {}
    for place, node in way.items():
        written = _write(node)
        if written:  # a group of fields inside of a list is not written: its step looks at it
            around = document
            for key in place[:-1]:
                around = around.setdefault(key, {})
            around[place[-1]] = written
    return document


def _write(node: Node) -> list[Any]:
    """Return a limitation in the published form."""
    if isinstance(node, Choice):
        return [item for part in node.alternatives for item in _write(part)]
    if isinstance(node, Numbers):
        return [_write_range(item) for item in node.ranges]
    if isinstance(node, Words):
        return list(node.values)
    return [[_write_component(item) for item in node.components]] if isinstance(node, Mixture) else []


def _write_range(item: Range) -> Json:
    ends = {"min": item.low, "max": item.high, "step": item.step}
    return {key: value for key, value in ends.items() if value is not None and math.isfinite(value)}


def _write_component(item: Component) -> Json:
    chemical = {"SMILES": item.smiles, "InChIKey": item.inchikey}
    return {"chemical": chemical, "fraction": _write(item.amounts), "fraction_type": [MOLE_FRACTION]}
