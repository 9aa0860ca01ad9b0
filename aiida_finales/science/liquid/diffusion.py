"""Ionic transport in one simulated cell: from the paths of its ions to diffusion coefficients and conductivities.

Two conductivities are given. That of Nernst and Einstein adds up the ions as if they moved independently; it is precise
and, where ions move in pairs, too high. That of Einstein follows the charge as a whole; it is right and noisy. Their
ratio is the Haven ratio. Both use the *formal* charges of the ions (+1, -1, +2), squared, also where a force field
scales them down: the scaling stands for the polarisation that the force field lacks, not for the charge that moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.constants import Boltzmann, elementary_charge

from aiida_finales.exceptions import InputError
from aiida_finales.science.array import Array
from aiida_finales.science.liquid.mean_squared_displacement import (
    FIT_WINDOW,
    fit_line,
    squared_displacements,
    window_of,
)

#: nm2/ps in m2/s, and nm3 in m3
NM2_PER_PS, NM3 = 1e-6, 1e-27
#: exponent of an ion's displacement below which (caged) and above which (ballistic) a cell is not diffusive
MIN_EXPONENT, MAX_EXPONENT = 0.9, 1.4
#: part of the squared displacement over the whole run that all ions may have in common. n ions that move independently
#: have 1/n of it in common, 3/n once in a hundred runs; a drifting box has nearly all of it.
MAX_COMMON, COMMON_OF_FEW = 0.5, 4.0


@dataclass(frozen=True)
class IonTransport:
    """The ions of one species in one cell.

    :param charge: formal charge, in elementary charges.
    :param n_ions: how many there are.
    :param diffusion: self-diffusion coefficient, m2/s.
    :param exponent: of the mean squared displacement against lag, 1 when diffusive; ``None`` where an ion stands still.
    :param transference: share of the Nernst-Einstein conductivity, 0 to 1.
    """

    species: str
    charge: int
    n_ions: int
    diffusion: float
    exponent: float | None
    transference: float

    @property
    def is_diffusive(self) -> bool:
        """Whether the displacement grows as that of diffusion does."""
        return self.exponent is not None and MIN_EXPONENT <= self.exponent <= MAX_EXPONENT


@dataclass(frozen=True)
class CellTransport:
    """Ionic transport in one cell.

    :param ions: one entry per species.
    :param conductivity_nernst_einstein: S/m, of formal charges; ions as if independent.
    :param conductivity_einstein: S/m, of formal charges; collective. It can come out at or below 0 in a short run.
    :param common_motion: part of the squared displacement over the whole run that all ions have in common, 0 to 1.
    :param temperature: K.
    :param volume: nm3.
    :param length: ps, of the trajectory.
    :param fit_window: first and last lag of the fit as parts of the longest lag.
    """

    ions: tuple[IonTransport, ...]
    conductivity_nernst_einstein: float
    conductivity_einstein: float
    common_motion: float
    temperature: float
    volume: float
    length: float
    fit_window: tuple[float, float] = FIT_WINDOW

    @property
    def haven_ratio(self) -> float | None:
        """Nernst-Einstein over Einstein conductivity; above 1 where ions of opposite charge move together."""
        if self.conductivity_einstein <= 0:
            return None
        return self.conductivity_nernst_einstein / self.conductivity_einstein

    @property
    def is_diffusive(self) -> bool:
        """Whether every species is."""
        return all(ion.is_diffusive for ion in self.ions)

    @property
    def is_drifting(self) -> bool:
        """Whether the ions move as one, as they do when the box as a whole drifts."""
        n_ions = sum(ion.n_ions for ion in self.ions)
        return self.common_motion > max(MAX_COMMON, COMMON_OF_FEW / n_ions)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is wrong with the cell, in words; none where it can be used as it is."""
        slow = [ion for ion in self.ions if not ion.is_diffusive]
        words = [f"{ion.species} is not diffusive (exponent {_digits(ion.exponent)})" for ion in slow]
        drift = f"{self.common_motion:.0%} of the motion of the ions is drift of the cell"
        return (*words, drift) if self.is_drifting else tuple(words)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON, with what follows from it."""
        from dataclasses import asdict

        return {
            **asdict(self),
            "ions": [asdict(ion) for ion in self.ions],
            "fit_window": list(self.fit_window),
            "haven_ratio": self.haven_ratio,
            "flags": list(self.flags),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> CellTransport:
        """Return the cell that :meth:`to_dict` wrote.

        :raises KeyError: when a number is missing.
        """
        own = {name: document[name] for name in cls.__dataclass_fields__}
        ions = tuple(IonTransport(**ion) for ion in own.pop("ions"))
        return cls(ions=ions, **{**own, "fit_window": tuple(own["fit_window"])})


@dataclass(frozen=True)
class Diffusion:
    """The molecules of one species in one cell.

    :param diffusion: self-diffusion coefficient, m2/s.
    :param exponent: of the mean squared displacement against lag, 1 when diffusive; ``None`` where nothing moves.
    """

    species: str
    n_molecules: int
    diffusion: float
    exponent: float | None


def find_diffusion(
    positions_nm: npt.ArrayLike,
    time_ps: npt.ArrayLike,
    species: Sequence[str],
    fit_window: tuple[float, float] = FIT_WINDOW,
) -> list[Diffusion]:
    """Return the self-diffusion of every species in one cell, of molecules without charge as well.

    :param positions_nm: as those of :func:`analyse_cell`.
    :raises InputError: when shapes disagree, a number is not finite, or there are too few frames.
    """
    paths, time = np.asarray(positions_nm, dtype=np.float64), np.asarray(time_ps, dtype=np.float64)
    _check(paths, time, species, [0] * len(species), 1.0, 1.0)
    return _diffuse(paths, time, species, window_of(time, fit_window))


def _diffuse(paths: Array, time: Array, species: Sequence[str], window: slice) -> list[Diffusion]:
    found = []
    for name in dict.fromkeys(species):
        mine = np.array([other == name for other in species])
        line = fit_line(squared_displacements(paths[:, mine]), time, window)
        found.append(Diffusion(name, int(mine.sum()), line.slope / 6 * NM2_PER_PS, line.exponent))
    return found


def analyse_cell(  # noqa: PLR0913, PLR0917 - what a trajectory is made of
    positions_nm: npt.ArrayLike,
    time_ps: npt.ArrayLike,
    species: Sequence[str],
    charges: Sequence[int],
    volume_nm3: float,
    temperature_K: float,  # noqa: N803 - the kelvin is written so
    fit_window: tuple[float, float] = FIT_WINDOW,
) -> CellTransport:
    """Return the ionic transport in one cell.

    :param positions_nm: unwrapped centres of the ions, ``n_frames x n_ions x 3``, without the motion of the cell's
        centre of mass.
    :param time_ps: of each frame, even steps.
    :param species: name of each ion's species.
    :param charges: formal charge of each ion, in elementary charges.
    :param volume_nm3: of the cell.
    :param temperature_K: mean of the run.
    :param fit_window: first and last lag of the line through the displacements, as parts of the longest lag.
    :raises InputError: when shapes disagree, a number is not finite, or there are too few frames.
    """
    paths, time = np.asarray(positions_nm, dtype=np.float64), np.asarray(time_ps, dtype=np.float64)
    _check(paths, time, species, charges, volume_nm3, temperature_K)
    window = window_of(time, fit_window)
    factor = elementary_charge**2 / (volume_nm3 * NM3 * Boltzmann * temperature_K)  # S s / m3
    formal = np.asarray(charges)
    weights, found = [], []
    for moved in _diffuse(paths, time, species, window):
        charge = int(formal[list(species).index(moved.species)])
        found.append((moved.species, charge, moved.n_molecules, moved.diffusion, moved.exponent))
        weights.append(moved.n_molecules * charge**2 * moved.diffusion)
    total = float(sum(weights))
    ions = tuple(
        IonTransport(*ion, transference=float(weight / total) if total else 0.0)
        for ion, weight in zip(found, weights, strict=True)
    )
    dipole = (formal[None, :, None] * paths).sum(axis=1, keepdims=True)
    collective = fit_line(squared_displacements(dipole), time, window).slope / 6 * NM2_PER_PS
    return CellTransport(
        ions=ions,
        conductivity_nernst_einstein=factor * total,
        conductivity_einstein=factor * collective,
        common_motion=_common_motion(paths),
        temperature=float(temperature_K),
        volume=float(volume_nm3),
        length=float(time[-1] - time[0]),
        fit_window=fit_window,
    )


def _common_motion(paths: Array) -> float:
    """Return the part of the squared displacement over the whole run that all ions have in common."""
    moved = paths[-1] - paths[0]
    single = float((moved**2).sum(axis=1).mean())
    return float((moved.mean(axis=0) ** 2).sum()) / single if single else 0.0


def _check(
    paths: Array, time: Array, species: Sequence[str], charges: Sequence[int], volume: float, temperature: float
) -> None:
    shape = (len(time), len(species), 3)
    if paths.shape != shape or not len(species) or len(charges) != len(species):
        raise InputError(
            f"positions have the shape {paths.shape}, with {len(time)} times, {len(species)} species and "
            f"{len(charges)} charges: accepted is {shape} (frames, ions, 3), at least one ion, one charge per ion"
        )
    if not np.isfinite(paths).all() or not np.isfinite(time).all():
        raise InputError("positions or times are not finite: the simulation went wrong before it was analysed")
    if not (volume > 0 and temperature > 0):
        raise InputError(f"volume is {volume} nm3 and temperature {temperature} K, but accepted are numbers above 0")
    for name in set(species):
        given = {charge for other, charge in zip(species, charges, strict=True) if other == name}
        if len(given) > 1:
            raise InputError(
                f"ions of species {name} have the charges {sorted(given)}, but accepted is one per species"
            )


def _digits(value: float | None) -> str:
    return "none: it does not move" if value is None else f"{value:.2f}"
