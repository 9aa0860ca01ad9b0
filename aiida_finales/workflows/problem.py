"""From a campaign and the registered tenants to the optimiser's problem."""

from __future__ import annotations

from typing import Any

from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.optimisation.problem import OptimiserSettings, Problem, Source
from aiida_finales.schemas.campaign import CampaignFile
from aiida_finales.schemas.limitations import Offer, formulation_regions
from aiida_finales.schemas.names import canonical_capability
from aiida_finales.schemas.region import Region
from aiida_finales.schemas.words import count

#: widest extent (mole fraction) of a component that counts as absent from the design space
ABSENT = 1e-9
#: cost of an evaluation by a tenant that declares none
DEFAULT_COST = 1.0


def build_problem(campaign: CampaignFile) -> dict[str, Any]:
    """Return the input ``problem`` of a suggestion: what to optimise, where, and how a suggestion becomes a request.

    The design space of a source is the union of what its active tenants can do.

    :raises CampaignFileError: when nobody offers a source that is to be asked, or it has no composition to vary.
    """
    offers = {name: _find_offers(campaign, name) for name in campaign.sources}
    regions = {name: _regions(campaign, name, found) for name, found in offers.items()}
    target = str(campaign.target)
    components = _components(regions[target], target)
    whole = Region.from_box(dict.fromkeys(components, (0.0, 1.0)))
    sources = tuple(
        Source(name, tuple(regions[name]) or (whole,), section.cost or _declared_cost(offers[name]))
        for name, section in campaign.sources.items()
    )
    settings = {"n_initial": campaign.initial, "max_evaluations": campaign.stop.evaluations, **campaign.optimiser}
    settings |= {key: getattr(campaign.stop, key) for key in ("budget", "gain_tolerance", "gain_patience")}
    problem = Problem(components, sources, target, campaign.maximise, OptimiserSettings.from_dict(settings))
    return {
        "problem": problem.to_dict(),
        "transform": str(campaign.transform),
        "requests": {
            name: {
                "quantity": campaign.quantity,
                "method": canonical_capability(campaign.quantity, str(section.method))[1],
                "fixed": campaign.fixed,
            }
            for name, section in campaign.sources.items()
        },
        "tenants": {name: [tenant.uuid for tenant, _ in found] for name, found in offers.items()},
    }


def _find_offers(campaign: CampaignFile, name: str) -> list[tuple[TenantData, dict[str, Any]]]:
    quantity, method = canonical_capability(campaign.quantity, str(campaign.sources[name].method))
    found = [(tenant, tenant.find_offer(quantity, method)) for tenant in list_tenants()]
    offers = [(tenant, offer) for tenant, offer in found if offer is not None]
    if not offers and campaign.sources[name].ask:
        all_offers = [offer for tenant in list_tenants() for offer in tenant.offers]
        offered = sorted({f"{quantity}/{offer['method']}" for offer in all_offers if offer["quantity"] == quantity})
        others = f"offered are {', '.join(offered)}" if offered else f"nobody offers {quantity}"
        raise CampaignFileError(
            f"source {name!r} is to be asked, but no active tenant offers {quantity}/{method}; {others}: register a "
            "tenant, or set 'ask: false'"
        )
    return offers


def _declared_cost(offers: list[tuple[TenantData, dict[str, Any]]]) -> float:
    """Return what an evaluation costs; of several tenants the dearest counts: a budget holds whoever answers."""
    return float(max((offer.get("cost", DEFAULT_COST) for _, offer in offers), default=DEFAULT_COST))


def _regions(campaign: CampaignFile, name: str, offers: list[tuple[TenantData, dict[str, Any]]]) -> list[Region]:
    regions = [region for _, offer in offers for region in formulation_regions(Offer.from_dict(offer))]
    if offers and not regions and campaign.sources[name].ask:
        raise CampaignFileError(f"source {name!r} has no formulation to vary within the limitations of its tenants")
    return regions


def _components(regions: list[Region], target: str) -> tuple[str, ...]:
    """Return the chemicals that the target can use, salts first as people write them."""
    names: list[str] = []
    for region in regions:
        names += [
            name for name, upper in zip(region.names, region.upper, strict=True) if upper > ABSENT and name not in names
        ]
    if len(names) < 2:  # noqa: PLR2004 - one chemical alone has nothing to vary
        raise CampaignFileError(
            f"target {target!r} has {count(len(names), 'chemical')} to vary, but at least 2 are needed"
        )
    return tuple(names)
