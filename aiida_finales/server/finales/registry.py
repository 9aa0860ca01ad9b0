"""What can be asked for, and of whom, in the published form; everything here runs in the thread of AiiDA.

The published form of limitations knows ranges only. Where the compositions that a tenant can make are less than that,
because it mixes them of stock solutions, boxes are published of which every point can be made: a client that draws from
them is never refused. The limitations themselves stay exact, for our own optimiser and for the check of requests.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any

from aiida_finales.data.capability import CapabilityData, list_capabilities
from aiida_finales.data.tenant import list_tenants
from aiida_finales.optimisation.inner_box import Box, fill_with_boxes
from aiida_finales.schemas import Json
from aiida_finales.schemas.export import request_template
from aiida_finales.schemas.finales_form import capability_document
from aiida_finales.schemas.limitations.mixture import Mixture
from aiida_finales.schemas.limitations.nodes import Choice, Group
from aiida_finales.schemas.limitations.offer import Offer
from aiida_finales.schemas.limitations.parser import find_leaf, flatten_alternatives
from aiida_finales.schemas.names import MOLE_FRACTION
from aiida_finales.science.electrolyte.composition import ABSENT


def describe_capabilities(*, only_available: bool) -> list[Json]:
    """Return the capabilities with their schemas.

    :param only_available: only those that an active tenant offers, quantity and method.
    """
    return [capability_document(node.base.attributes.all) for node in find_capabilities(only_available=only_available)]


def find_capabilities(*, only_available: bool) -> list[CapabilityData]:
    """Return the capabilities, those of an active tenant only or all active ones."""
    offered = {(offer["quantity"], offer["method"]) for tenant in list_tenants() for offer in tenant.offers}
    return [node for node in list_capabilities() if not only_available or (node.quantity, node.method) in offered]


def make_templates(quantity: str | None, method: str | None, *, only_available: bool) -> Json:
    """Return the skeletons of parameters and result by ``quantity-method``."""
    return {
        f"{node.quantity}-{node.method}": {
            "input_template": request_template(node.parameters_schema),
            "output_template": request_template(node.result_schema),
        }
        for node in find_capabilities(only_available=only_available)
        if quantity in (None, node.quantity) and method in (None, node.method)
    }


def describe_limitations(*, only_available: bool) -> list[Json]:
    """Return what the tenants can do, all tenants of a capability together: any one of the entries must fit."""
    together: dict[tuple[str, str], list[Any]] = {}
    for tenant in list_tenants(only_active=only_available):
        for offer in tenant.offers:
            limitations = publish_limitations(offer)
            entries = limitations if isinstance(limitations, list) else [limitations]
            if entries or not offer.get("constraints"):  # without an entry it would mean that there is no limitation
                together.setdefault((offer["quantity"], offer["method"]), []).extend(entries)
    return [{"quantity": key[0], "method": key[1], "limitations": entries} for key, entries in together.items()]


def describe_tenants() -> list[Json]:
    """Return all tenants, also those that are not active."""
    return [
        {
            "tenant_uuid": tenant.tenant_uuid,
            "name": tenant.name,
            "limitations": [
                {"quantity": offer["quantity"], "method": offer["method"], "limitations": publish_limitations(offer)}
                for offer in tenant.offers
            ],
            "contact_person": tenant.contact,
            "is_active": tenant.is_active,
        }
        for tenant in list_tenants(only_active=False)
    ]


def publish_limitations(offer: Json) -> Any:
    """Return the limitations of an offer in the published form; every point between them is feasible."""
    if not offer.get("constraints"):
        return offer.get("limitations") or {}
    wanted = {key: offer.get(key) for key in ("quantity", "method", "limitations", "constraints")}
    return copy.deepcopy(_publish_restricted(json.dumps(wanted)))


@lru_cache(maxsize=200)
def _publish_restricted(document: str) -> Any:
    """Return the same for an offer with constraints, as JSON; kept, because the boxes of one take a second."""
    offer = Offer.from_dict(json.loads(document))
    entries = [entry for entry, _ in flatten_alternatives(offer.limitations, "")] or [{}]
    pairs = zip(entries, offer.alternatives, strict=True)
    published = [_publish_group(entry, group, offer) for entry, group in pairs]
    possible = [entry for entry in published if entry is not None]
    return possible[0] if len(possible) == 1 and not isinstance(offer.limitations, list) else possible


def _publish_group(entry: Json, group: Group, offer: Offer) -> Json | None:
    """Return one alternative of the limitations with boxes for its formulations; ``None``: nothing is possible."""
    answer = copy.deepcopy(entry)
    for place, node in group.limits:
        parts = node.alternatives if isinstance(node, Choice) else (node,)
        mixtures = [part for part in parts if isinstance(part, Mixture)]
        if not any(mixture.constraints for mixture in mixtures):
            continue
        found = [
            _write_box(mixture, region.names, box)
            for mixture in mixtures
            for region in mixture.regions
            for box in fill_with_boxes(region)
        ]
        if not found:
            return None
        *around, last = find_leaf(entry, offer.places, offer.aliases, place) or place
        inner = answer
        for key in around:
            inner = inner.setdefault(key, {})
        inner[last] = found
    return answer


def _write_box(mixture: Mixture, names: tuple[str, ...], box: Box) -> list[Json]:
    """Return the components of one box; those that are absent in all of it are left out."""
    return [
        {
            "chemical": {"SMILES": mixture.by_key[name].smiles, "InChIKey": name},
            "fraction": [{"min": float(low), "max": float(high)}],
            "fraction_type": [MOLE_FRACTION],
        }
        for name, low, high in zip(names, *box, strict=True)
        if high > ABSENT
    ]
