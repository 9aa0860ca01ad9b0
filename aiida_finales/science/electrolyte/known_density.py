"""The density of a mixture, and where it is from: fitted to measurements, or of the volumes of its chemicals."""

from __future__ import annotations

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import Chemical, get_chemical
from aiida_finales.science.electrolyte import density as fitted
from aiida_finales.science.electrolyte.composition import Fractions, mass

FITTED = "fitted to measured stock solutions of LiPF6 in carbonates (aiida_finales.science.electrolyte.density)"


def find_density(fractions: Fractions) -> tuple[float, str]:
    """Return g/cm3 near room temperature, and its source.

    :param fractions: mole fractions by InChIKey.
    :raises InputError: naming the chemicals of whose volume nothing is known.
    """
    # the first is the better fit, and what stock solutions are made with; the second knows PC
    for model in (fitted.benchmark_density, fitted.density):
        try:
            return model(fractions), FITTED
        except InputError:
            continue
    return _mix_volumes(fractions)


def _mix_volumes(fractions: Fractions) -> tuple[float, str]:
    present = [(get_chemical(key), share) for key, share in fractions.items() if share]
    volumes = {chemical: _volume(chemical) for chemical, _ in present}
    unknown = [chemical.name for chemical, volume in volumes.items() if volume is None]
    if unknown:
        raise InputError(
            f"mol/L needs the density of the solution, and nothing is known of the volume of {', '.join(unknown)} in "
            "it: give the density (', 1.21 g/cm3' behind the mixture, or the key 'density'), say mol/kg, or tell the "
            "molar_volume of the chemical with 'aiida-finales chemical add'"
        )
    volume = sum(share * (volumes[chemical] or 0.0) for chemical, share in present)
    records = ", ".join(f"{chemical.name} ({chemical.record})" for chemical, _ in present)
    return mass(fractions) / volume, f"ideal mixing of the volumes of {records}"


def _volume(chemical: Chemical) -> float | None:
    """Return the molar volume in cm3/mol, where it is known."""
    if chemical.molar_volume is not None:
        return chemical.molar_volume.value
    return None if chemical.density is None else chemical.molar_mass / chemical.density.value
