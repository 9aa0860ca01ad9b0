"""Where a potential holds: temperatures and densities near those that it learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

#: K, and part of the density: so far from what was learned from a potential is at home
TEMPERATURE_MARGIN, DENSITY_MARGIN = 20.0, 0.05
#: of a mole fraction: a potential holds for the mixtures that it learned from
MIXTURE_MARGIN = 0.005


def mixtures_of(domain: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the formulations that were learned, that of the input first."""
    return [domain["formulation"], *domain.get("others", ())]


def narrow(
    domain: dict[str, Any], formulation: Sequence[dict[str, Any]], name: Callable[[str], str]
) -> dict[str, Any] | None:
    """Return the domain of one of the mixtures that were learned, or ``None`` where it is none of them.

    :param formulation: ``smiles`` and ``mole_fraction`` of its parts.
    :param name: gives what all SMILES of one chemical have in common.
    """
    asked, *learned = (
        {name(part["smiles"]): float(part["mole_fraction"]) for part in parts}
        for parts in (formulation, *mixtures_of(domain))
    )
    for number, shares in enumerate(learned):
        if shares.keys() == asked.keys() and all(abs(asked[key] - shares[key]) <= MIXTURE_MARGIN for key in asked):
            return domain | (domain["states"][number] if "states" in domain else {})
    return None


def temperatures_of(domain: dict[str, Any]) -> tuple[float, float]:
    """Return the least and the largest temperature, K; of several mixtures that of all."""
    low, high = domain["temperature_K"]
    return low - TEMPERATURE_MARGIN, high + TEMPERATURE_MARGIN


def densities_of(domain: dict[str, Any]) -> tuple[float, float]:
    """Return the least and the largest density, g/cm³; of several mixtures that of all."""
    low, high = domain["density_g_cm3"]
    return low * (1 - DENSITY_MARGIN), high * (1 + DENSITY_MARGIN)
