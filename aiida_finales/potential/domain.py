"""Where a potential holds: temperatures and densities near those that it learned from."""

from __future__ import annotations

from typing import Any

#: K, and part of the density: so far from what was learned from a potential is at home
TEMPERATURE_MARGIN, DENSITY_MARGIN = 20.0, 0.05


def mixtures_of(domain: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the formulations that were learned, that of the input first."""
    return [domain["formulation"], *domain.get("others", ())]


def temperatures_of(domain: dict[str, Any]) -> tuple[float, float]:
    """Return the least and the largest temperature, K."""
    low, high = domain["temperature_K"]
    return low - TEMPERATURE_MARGIN, high + TEMPERATURE_MARGIN


def densities_of(domain: dict[str, Any]) -> tuple[float, float]:
    """Return the least and the largest density, g/cm³."""
    low, high = domain["density_g_cm3"]
    return low * (1 - DENSITY_MARGIN), high * (1 + DENSITY_MARGIN)
