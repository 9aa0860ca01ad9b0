"""Ionic conductivity of LiPF6 in carbonates: published models, and the truth of the simulated laboratory.

Functions of physical variables (concentration, mass ratios, molality) are vectorised and unchecked; the two closed
forms of mole fractions, :data:`EMPIRICAL_MODEL` and :data:`POLYNOMIAL`, are what the platform calls: they refuse what
lies outside :data:`EMPIRICAL_MODEL_LIMITS` and :data:`POLYNOMIAL_LIMITS`, and say how far measurements may be away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical, molality
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import DMC, EC, EMC, LIPF6, PC, Fractions, describe, mass
from aiida_finales.science.electrolyte.density import MOLAR_VOLUMES, SURFACE_LIMITS, salt_concentration
from aiida_finales.science.electrolyte.model_error import EMPIRICAL_MODEL_ERRORS, POLYNOMIAL_ERRORS, ErrorTable
from aiida_finales.science.electrolyte.validity import Ratio, Validity

# Rahmanian et al., Batteries & Supercaps 5 (2022) e202200228, doi:10.1002/batt.202200228: conductivity in mS/cm as a
# cubic in x1 = m(PC)/(m(EC)+m(PC)) and x2 = m(LiPF6)/(m(EC)+m(PC)), with (EC+PC):EMC fixed at 3:7, all by mass; one
# set of coefficients per temperature.
#: K, one per row of COEFFICIENTS
TEMPERATURES = np.arange(243.0, 334.0, 10.0)

#: mS/cm; columns: 1, x1, x2, x1^2, x1 x2, x2^2, x1^3, x1^2 x2, x1 x2^2, x2^3
COEFFICIENTS = np.array(
    [
        [1.0, -0.3, 5.6, 0.9, -2.3, -9.7, -0.6, 1.4, 0.6, 4.0],  # 243 K
        [1.2, -0.3, 8.9, 0.9, -3.2, -13.6, -0.7, 1.9, 0.8, 5.1],  # 253 K
        [1.4, 1.0, 12.1, 0.1, -3.9, -17.1, -0.3, 2.4, 0.9, 6.1],  # 263 K
        [1.5, 0.4, 15.9, -0.1, -4.9, -21.2, -0.4, 3.3, 0.9, 7.3],  # 273 K
        [1.5, 1.2, 20.4, -0.9, -5.9, -26.1, -0.4, 4.2, 0.7, 8.8],  # 283 K
        [1.6, 1.7, 25.0, -1.4, -6.8, -31.0, -0.3, 5.1, 0.5, 10.5],  # 293 K
        [1.6, 2.7, 29.7, -3.2, -6.9, -35.8, 0.4, 5.6, 0.0, 12.2],  # 303 K
        [1.6, 3.0, 35.1, -3.2, -7.3, -41.9, 1.0, 6.2, -0.6, 14.6],  # 313 K
        [1.6, 3.2, 41.3, -3.2, -7.6, -49.5, 0.0, 6.4, -0.7, 17.6],  # 323 K
        [1.6, 3.0, 47.4, -2.5, -6.9, -57.2, -0.7, 6.6, -1.8, 21.1],  # 333 K
    ]
)


_MASS = {key: get_chemical(key).molar_mass for key in (LIPF6, EC, EMC, PC, DMC)}

#: p1 to p6 of Landesfeind and Gasteiger 2019, by solvent (ratios by weight)
LANDESFEIND_PARAMETERS = {
    "EC:EMC 3:7": (0.521, 228.0, -1.06, 0.353, -0.00359, 0.00148),
    "EC:DMC 1:1": (0.798, 228.0, -1.22, 0.509, -0.004, 0.00379),
    "EMC:FEC 19:1": (0.0251, 175.0, 1.23, 0.205, -0.0881, 0.00283),
}

#: K at which the benchmark surface is fitted (28 °C)
BENCHMARK_TEMPERATURE = 301.15


def landesfeind_gasteiger(
    concentration: npt.ArrayLike, temperature: npt.ArrayLike, solvent: str = "EC:EMC 3:7"
) -> Array:
    """Return the conductivity in S/m of LiPF6 in one of three solvents.

    J. Landesfeind and H. A. Gasteiger, J. Electrochem. Soc. 166 (2019) A3079, doi:10.1149/2.0571912jes.

    :param concentration: mol/L, measured from 0.1 to 3.
    :param temperature: K, measured from 263.15 to 323.15.
    :param solvent: a key of :data:`LANDESFEIND_PARAMETERS`.
    :raises InputError: when the solvent is not one of them.
    """
    if solvent not in LANDESFEIND_PARAMETERS:
        raise InputError(f"solvent {solvent!r} was given, accepted are {', '.join(LANDESFEIND_PARAMETERS)}")
    p1, p2, p3, p4, p5, p6 = LANDESFEIND_PARAMETERS[solvent]
    c, kelvin = np.asarray(concentration, dtype=float), np.asarray(temperature, dtype=float)
    boltzmann = np.exp(1000.0 / kelvin)
    polynomial = 1 + p3 * np.sqrt(c) + p4 * (1 + p5 * boltzmann) * c
    milli_per_cm = p1 * (1 + (kelvin - p2)) * c * polynomial / (1 + c**4 * p6 * boltzmann)
    return np.asarray(0.1 * milli_per_cm)


def rahmanian_polynomial(pc_ratio: npt.ArrayLike, salt_ratio: npt.ArrayLike, temperature: npt.ArrayLike) -> Array:
    """Return the conductivity in S/m of LiPF6 in EC/PC/EMC with (EC+PC):EMC = 3:7 by mass.

    Rahmanian et al., Batteries & Supercaps 5 (2022) e202200228, doi:10.1002/batt.202200228; linear between the
    tabulated temperatures. It does not vanish without salt: below a salt ratio of 0.15 it is not to be trusted.

    :param pc_ratio: m(PC) / (m(EC) + m(PC)), from 0 to 1.
    :param salt_ratio: m(LiPF6) / (m(EC) + m(PC)), all by mass.
    :param temperature: K, from 243 to 333.
    """
    x1, x2, kelvin = np.broadcast_arrays(
        np.asarray(pc_ratio, dtype=float), np.asarray(salt_ratio, dtype=float), np.asarray(temperature, dtype=float)
    )
    terms = np.stack([np.ones_like(x1), x1, x2, x1**2, x1 * x2, x2**2, x1**3, x1**2 * x2, x1 * x2**2, x2**3])
    step = TEMPERATURES[1] - TEMPERATURES[0]
    position = np.clip((kelvin - TEMPERATURES[0]) / step, 0, len(TEMPERATURES) - 1)
    index = np.minimum(position.astype(int), len(TEMPERATURES) - 2)
    share = (position - index)[..., None]
    coefficients = (1 - share) * COEFFICIENTS[index] + share * COEFFICIENTS[index + 1]
    return np.asarray(0.1 * np.einsum("i...,...i->...", terms, coefficients))


def benchmark_surface(salt_molality: npt.ArrayLike, ec_fraction: npt.ArrayLike) -> Array:
    """Return the conductivity in S/m at 301.15 K that the simulated laboratory takes for the truth.

    LiPF6 in EC:EMC in the functional form of Casteel and Amis (1972), fitted for this project to Landesfeind and
    Gasteiger (2019, doi:10.1149/2.0571912jes) and to points of the Advanced Electrolyte Model published by Dave et al.
    (2022), rms 0.016 S/m. Its maximum is 1.004 S/m at 0.91 mol/kg and an EC fraction of 0.47.

    :param salt_molality: mol/kg of solvent, fitted from 0.1 to 2.2; goes to 0 without salt.
    :param ec_fraction: mole fraction of EC in the solvent, fitted from 0.05 to 0.56.
    """
    m = np.maximum(np.asarray(salt_molality, dtype=float), 1e-9)
    w = np.asarray(ec_fraction, dtype=float)
    highest = 6.193 + 16.441 * w - 17.554 * w**2  # mS/cm
    best = 1.8715 - 3.7295 * w + 3.5956 * w**2  # mol/kg
    a = 0.9074 - 0.2987 * w
    # beyond the fitted range b would turn positive and the conductivity of concentrated solutions explode
    b = np.minimum(-0.3719 + 0.5874 * w, -0.03)
    return np.asarray(0.1 * highest * (m / best) ** a * np.exp(b * (m - best) ** 2 - a * (m - best) / best))


def benchmark_conductivity(fractions: Fractions, temperature: float = BENCHMARK_TEMPERATURE) -> float:
    """Return the conductivity in S/m that the simulated laboratory takes for the truth.

    Away from 301.15 K the surface is scaled by the Landesfeind curve for EC:EMC 3:7 at the same salt concentration.
    With DMC it is scaled by a factor that was fitted to 197 points of the Advanced Electrolyte Model published by Dave
    et al. (2022), rms 0.043 S/m.

    :param fractions: mole fractions of LiPF6, EC, EMC and DMC by InChIKey.
    :param temperature: K, from 263.15 to 323.15.
    :raises InputError: when there is no solvent, or a chemical that the surface does not know.
    """
    SURFACE_LIMITS.demand_components(fractions)
    solvent = sum(fractions.get(key, 0.0) for key in (EC, EMC, DMC))
    if solvent <= 0:
        raise InputError(f"{describe(fractions)} has no solvent, but the conductivity surface needs one")
    salt, linear = molality(fractions), mass(fractions, (EMC, DMC))
    at_reference = float(benchmark_surface(salt, fractions.get(EC, 0.0) / solvent))
    share = mass(fractions, (DMC,)) / linear if linear > 0 else 0.0
    at_reference *= 1 + share * (0.0303 + 0.1543 * min(salt, 2.0) + 0.1554 * share)
    concentration = max(salt_concentration(fractions), 1e-6)  # the limit of the ratio without salt, not 0/0
    there, here = landesfeind_gasteiger(concentration, [BENCHMARK_TEMPERATURE, temperature])
    return at_reference * float(here / there)


def _mass_sum(*keys: str) -> dict[str, float]:
    return {key: _MASS[key] for key in keys}


#: The Landesfeind curves were measured for EC:EMC 3:7 and EC:DMC 1:1 only. Asked of another share of EC the model
#: answers with the same curves at the same salt concentration; :data:`EMPIRICAL_MODEL_ERRORS` says how far that is off.
#: Further out it is refused. Good for a cheap source that is known to be biased, no more.
EMPIRICAL_MODEL_LIMITS = Validity(
    "the empirical model",
    (LIPF6, EC, EMC, DMC),
    (263.15, 323.15),
    (
        Ratio(
            "the salt concentration",
            " mol/L",
            {LIPF6: 1000.0},
            {key: MOLAR_VOLUMES[key] for key in (LIPF6, EC, EMC, DMC)},
            0.1,
            3.0,
        ),
        Ratio("the mass share of EC in the solvent", "", _mass_sum(EC), _mass_sum(EC, EMC, DMC), 0.2, 0.5),
    ),
)

#: 3:7 by mass means an EMC share of 0.70; 0.05 on either side is let through, because mixtures are dosed by volume and
#: an equality could never be met; the model ignores the difference. Salt ratio: where it was compared with measurements
#: of others (doi:10.1149/1.1403730, doi:10.1149/2.0981803jes: median deviation 5 %, but up to 50 % below 263 K).
POLYNOMIAL_LIMITS = Validity(
    "the polynomial",
    (LIPF6, EC, PC, EMC),
    (243.0, 333.0),
    (
        Ratio("the mass share of EMC in the solvent", "", _mass_sum(EMC), _mass_sum(EC, PC, EMC), 0.65, 0.75),
        Ratio("the mass ratio LiPF6/(EC+PC)", "", _mass_sum(LIPF6), _mass_sum(EC, PC), 0.15, 1.0),
    ),
)


@dataclass(frozen=True)
class ClosedForm:
    """A published formula as a function of mole fractions, with its domain and its error.

    :param place: from mole fractions and K to salt content, temperature (K) and the coordinates of the solvent.
    :param curve: from these to S/m.
    """

    limits: Validity
    place: Callable[[Fractions, float], tuple[float, ...]]
    curve: Callable[..., Array]
    errors: ErrorTable

    def value(self, fractions: Fractions, temperature: float) -> float:
        """Return the conductivity in S/m.

        :param fractions: mole fractions by InChIKey.
        :param temperature: K.
        :raises InputError: outside the limits.
        """
        self.limits.check(fractions, temperature)
        return float(self.curve(*self.place(fractions, temperature)))

    def relative_error(self, fractions: Fractions, temperature: float) -> float:
        """Return the standard deviation of measurements from the value, as a share of the value.

        :raises InputError: outside the limits.
        """
        self.limits.check(fractions, temperature)
        salt, kelvin, *solvent = self.place(fractions, temperature)
        return self.errors.relative_error(salt, kelvin, solvent)


def landesfeind_blend(
    concentration: npt.ArrayLike, temperature: npt.ArrayLike, _ec_share: npt.ArrayLike, dmc_share: npt.ArrayLike
) -> Array:
    """Return the conductivity in S/m of LiPF6 in EC/EMC/DMC: the Landesfeind curves of EC:EMC and EC:DMC, mixed.

    Linear in the share of DMC: points of the Advanced Electrolyte Model published by Dave et al. (2022) are convex in
    it, by 4 % in the middle at most. The share of EC is ignored, see :data:`EMPIRICAL_MODEL_LIMITS`.

    :param concentration: mol/L.
    :param temperature: K.
    :param dmc_share: m(DMC) / (m(DMC) + m(EMC)), from 0 to 1.
    """
    share = np.asarray(dmc_share, dtype=float)
    emc, dmc = (landesfeind_gasteiger(concentration, temperature, name) for name in ("EC:EMC 3:7", "EC:DMC 1:1"))
    return np.asarray((1 - share) * emc + share * dmc)


def _place_empirical(fractions: Fractions, temperature: float) -> tuple[float, ...]:
    linear = mass(fractions, (EMC, DMC))
    ec = mass(fractions, (EC,))
    return salt_concentration(fractions), temperature, ec / (ec + linear), mass(fractions, (DMC,)) / linear


def _place_polynomial(fractions: Fractions, temperature: float) -> tuple[float, ...]:
    cyclic = mass(fractions, (EC, PC))
    return mass(fractions, (LIPF6,)) / cyclic, temperature, mass(fractions, (PC,)) / cyclic


def _polynomial(salt_ratio: float, temperature: float, pc_ratio: float) -> Array:
    return rahmanian_polynomial(pc_ratio, salt_ratio, temperature)


#: Landesfeind and Gasteiger 2019 for LiPF6 in EC/EMC/DMC
EMPIRICAL_MODEL = ClosedForm(EMPIRICAL_MODEL_LIMITS, _place_empirical, landesfeind_blend, EMPIRICAL_MODEL_ERRORS)
#: Rahmanian et al. 2022 for LiPF6 in EC/PC/EMC
POLYNOMIAL = ClosedForm(POLYNOMIAL_LIMITS, _place_polynomial, _polynomial, POLYNOMIAL_ERRORS)
