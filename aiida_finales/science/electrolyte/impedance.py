"""The resistance of an electrolyte from an impedance spectrum, and its conductivity.

Between two blocking electrodes the impedance is that of a resistor, a constant phase element and the inductance of the
leads in series, ``Z = R + 1/(Q (jw)^n) + jwL``. The fit weights each point by its modulus.

Real cells are not quite this circuit, and what lies above the highest frequency is not seen. So the stated error is
more than what the scatter of the points makes of it: see :func:`_widen`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import FitError
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.kramers_kronig import KramersKronig, check_kramers_kronig

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

ComplexArray = npt.NDArray[np.complex128]

#: Fewer points cannot tell four parameters from noise.
MIN_POINTS = 8
#: Relative residual (root mean square, per point) above which the spectrum is not that of this circuit. Real spectra of
#: electrolytes stay below 1 %.
MAX_RESIDUAL = 0.10
#: Same, once n has run into the limit of its range: then the fit must be good to be believed.
MAX_RESIDUAL_AT_BOUND = 0.02
#: Range of the exponent n of the constant phase element: below 0.5 it would be diffusion, above 1 an inductance.
EXPONENT_RANGE = (0.5, 1.0)
#: The optimiser approaches a limit without touching it: so close counts as there.
AT_BOUND = 1e-6
#: ohm; beyond them an instrument reports its own limits (9.9e37 is the overflow of SCPI), not a cell.
MODULUS_RANGE = (1e-6, 1e12)
#: Blocking electrodes must be seen at the lowest frequency: their impedance must be at least this share of the modulus,
#: known within this relative standard error. Else a resistor, or a sensor at its limit, would pass for an electrolyte.
MIN_ELECTRODE_SHARE, MAX_ELECTRODE_ERROR = 1e-3, 0.2
#: Largest relative standard error of the resistance for a rating of 5, 4, 3 and 2; anything worse is rated 1.
RATING_LIMITS = ((5, 0.002), (4, 0.005), (3, 0.01), (2, 0.03))
#: Hz, relative error when this is the highest frequency, and its exponents below and above. Of 39 measured spectra of
#: electrolytes cut there the resistance was wrong by 3 % in the median and 8 % at most; by 8 % and 59 % when cut at
#: 1 kHz; by 0.5 % and 1.3 % up to 20 kHz. Arcs of contacts and interfaces that are cut off pass for the electrolyte:
#: nothing in what is left can tell them.
REACH, REACH_ERROR, REACH_EXPONENTS = 5e3, 0.045, (0.55, 3.0)
#: -Im/Re at the highest frequency that is still well resolved, and the relative error per unit below it and beyond.
RESOLVED, RESOLVED_SHARE, UNRESOLVED_SHARE = 0.5, 0.01, 0.1
#: The spectrum is also fitted without the frequencies above the highest over this, and below the lowest times this.
CUT = 3.0
#: Relative change of the resistance then that measured spectra show, and the shares of it below and beyond that remain
#: in the whole spectrum.
USUAL_CHANGE, USUAL_SHARE, UNUSUAL_SHARE = 0.05, 0.1, 1.0
#: What breaks the Kramers-Kronig relations (drift, a bubble) moves the resistance by up to this many times as much: a
#: drift by 10 % leaves 0.9 % in the residuals, and moves the fit by 3 %.
INCONSISTENT_SHARE = 3.0
#: In noise of this relative size, over the root of the number of points, an arc may hide that matters as much.
NOISE_SHARE, USUAL_NOISE = 2.0, 0.002
#: An arc counts where it raises the likelihood by more than its parameters do by chance (Bayesian information
#: criterion); a capacitance must do so by this factor (logarithm) more, and be this much more likely than every arc
#: that leaves this share of the resistance or more to the electrolyte: below both look alike.
CAPACITANCE_GAIN, SMALLEST_REST = 1.5, 0.5
#: Relative change of the resistance by an arc that counts in full, that measured spectra show at most, and the share of
#: what lies between. Two arcs that change it alike may be one of the electrodes, and one that hides 20 %: so an arc
#: costs the ratings 5 and 4, and those of measured spectra (2 to 5 %) get a 3 or a 2.
FULL_ARC, USUAL_ARC, ARC_SHARE = 0.0055, 0.05, 0.05
#: Parameters of the circuit with a capacitance; one with an arc has two more.
N_WITH_CAPACITANCE = 5
#: Exponents of an arc: of R and C in parallel, and of contacts with distributed time constants.
PURE_ARC, ANY_ARC = (0.999, 1.0), (0.6, 1.0)
#: Corner frequencies that are tried first, to first order: the highest over that of the spectrum, and their number.
TRIED_ARCS = (10.0, 12)
#: Corner frequencies of the arc from which it is fitted, relative to the highest frequency.
ARC_STARTS = (2.0, 0.2, 0.02)


@dataclass(frozen=True)
class ImpedanceFit:
    """A fitted spectrum.

    :param resistance: ohm.
    :param q: constant phase element, S s^n.
    :param n: its exponent, 0.5 to 1.
    :param inductance: H.
    :param relative_error: standard error of the resistance over the resistance, with what the spectrum leaves open.
    :param chi: root mean square of the residuals relative to the modulus, per point.
    :param capacitance: F, of cell and cables beside the electrolyte; 0 where the spectrum shows none.
    :param electrode_error: standard error of the electrodes' impedance at the lowest frequency over that impedance;
        infinite where that is too small a share of the modulus to be told from nothing.
    """

    resistance: float
    q: float
    n: float
    inductance: float
    relative_error: float
    chi: float
    electrode_error: float
    capacitance: float = 0.0

    @property
    def rating(self) -> int:
        """From 1 (poor) to 5 (good), by the relative standard error: see :data:`RATING_LIMITS`.

        It is 1 where the electrodes are not seen: then it is not known whether there is a cell at all.
        """
        return rate(self.relative_error) if self.electrode_error <= MAX_ELECTRODE_ERROR else 1


def rate(relative_error: float) -> int:
    """Return a rating from 1 (poor) to 5 (good) for a relative standard error (0.01 is 1 %)."""
    return next((stars for stars, limit in RATING_LIMITS if relative_error <= limit), 1)


def conductivity_from_resistance(resistance: float, cell_constant: float, contact_resistance: float = 0.0) -> float:
    """Return the conductivity in S/m.

    :param resistance: of cell and leads, ohm.
    :param cell_constant: of the measuring cell, 1/m.
    :param contact_resistance: of leads and contacts, ohm, from calibration.
    :raises FitError: when the cell constant or what remains of the resistance is not positive.
    """
    if not cell_constant > 0:
        raise FitError(f"the cell constant is {cell_constant} 1/m, accepted is a positive number")
    if not resistance > contact_resistance >= 0:
        raise FitError(
            f"the resistance of the cell, {resistance:.4g} ohm, must be larger than that of its contacts, "
            f"{contact_resistance:.4g} ohm: check the calibration"
        )
    return cell_constant / (resistance - contact_resistance)


def circuit_impedance(
    frequency: npt.ArrayLike, resistance: float, q: float, n: float, inductance: float
) -> ComplexArray:
    """Return the impedance in ohm of R, CPE and L in series.

    :param frequency: Hz.
    :param resistance: ohm.
    :param q: S s^n.
    :param n: exponent, 0.5 to 1.
    :param inductance: H.
    """
    jw = 2j * np.pi * np.asarray(frequency, dtype=float)
    return np.asarray(resistance + 1 / (q * jw**n) + jw * inductance)


def fit_resistance(frequency: npt.ArrayLike, impedance: npt.ArrayLike) -> ImpedanceFit:
    """Fit R, CPE and L in series to a spectrum.

    :param frequency: Hz, at least 8 positive values in any order.
    :param impedance: ohm, complex, same shape.
    :raises FitError: when the spectrum is not usable, the fit does not converge or the circuit does not describe it.
    """
    hertz, ohm = _check_spectrum(np.asarray(frequency, dtype=float), np.asarray(impedance, dtype=complex))
    fit = _fit(hertz, ohm)
    capacitance, arc = _look_for_more(fit, hertz, ohm)
    consistency = check_kramers_kronig(hertz, ohm)
    if capacitance:
        ohm = _without_capacitance(hertz, ohm, fit.inductance, capacitance)
        fit = replace(_fit(hertz, ohm), capacitance=capacitance)
    return replace(fit, relative_error=_widen(fit, hertz, ohm, arc, consistency))


def _fit(hertz: Array, ohm: ComplexArray) -> ImpedanceFit:
    """Return the circuit of least squares, with the error that follows from the scatter of the points."""
    from scipy.optimize import least_squares

    start, scale = _start(hertz, ohm)

    def residuals(p: Array) -> Array:
        model = circuit_impedance(hertz, p[0] * scale, float(np.exp(p[1])), p[2], p[3] * scale / hertz.max())
        difference = (model - ohm) / np.abs(ohm)
        return np.concatenate([difference.real, difference.imag])

    low, high = EXPONENT_RANGE
    answer = least_squares(
        residuals, start, x_scale=[1.0, 1.0, 0.1, 0.01], bounds=([1e-6, -60.0, low, 0.0], [1e6, 20.0, high, 1e4])
    )
    return _judge(answer, scale, hertz, ohm)


def _check_spectrum(frequency: Array, impedance: ComplexArray) -> tuple[Array, ComplexArray]:
    if frequency.shape != impedance.shape or frequency.ndim != 1:
        raise FitError(f"frequency {frequency.shape} and impedance {impedance.shape} must be lists of the same length")
    if len(frequency) < MIN_POINTS:
        raise FitError(f"the spectrum has {len(frequency)} points, accepted are {MIN_POINTS} or more")
    if not (np.isfinite(frequency).all() and np.isfinite(impedance).all()):
        raise FitError("the spectrum contains values that are not finite numbers: measure again or leave them out")
    if not (frequency > 0).all() or not (np.abs(impedance) > 0).all():
        raise FitError("frequencies and moduli of a spectrum must be positive")
    low, high = MODULUS_RANGE
    smallest, largest = float(np.abs(impedance).min()), float(np.abs(impedance).max())
    if smallest < low or largest > high:
        raise FitError(
            f"the moduli go from {smallest:.3g} to {largest:.3g} ohm, accepted are {low:g} to {high:g} ohm: the "
            "instrument was out of its range"
        )
    return frequency, impedance


def _start(frequency: Array, impedance: ComplexArray) -> tuple[Array, float]:
    """Return start values (R / scale, ln Q, n, L at the highest frequency / scale) and the scale in ohm.

    A wrong start for Q costs 10 % in R, so it is read off the lowest frequency, where the electrodes dominate.
    """
    lowest = int(frequency.argmin())
    reactance = max(abs(float(impedance[lowest].imag)), 1e-3 * float(abs(impedance[lowest])))
    exponent = 0.93
    q = 1.0 / (reactance * (2 * np.pi * float(frequency[lowest])) ** exponent)
    scale = max(float(impedance.real.min()), 1e-3 * float(np.abs(impedance).min()))
    return np.array([1.0, np.log(q), exponent, 0.001]), scale


def _judge(answer: OptimizeResult, scale: float, hertz: Array, ohm: ComplexArray) -> ImpedanceFit:
    """Turn the answer of the optimiser into a fit, or refuse it.

    :param scale: of the resistance, ohm, and with the highest frequency of the inductance.
    """
    if not answer.success:
        raise FitError(f"the fit of the impedance did not converge: {answer.message}")
    chi = float(np.sqrt(2 * answer.cost / len(hertz)))
    resistance, log_q, n, inductance = (float(value) for value in answer.x)
    at_bound = min(n - EXPONENT_RANGE[0], EXPONENT_RANGE[1] - n) < AT_BOUND
    limit = MAX_RESIDUAL_AT_BOUND if at_bound else MAX_RESIDUAL
    if chi > limit:
        raise FitError(
            f"resistor, constant phase element and inductance do not describe the spectrum: residual {chi:.1%}, n = "
            f"{n:.2f}; accepted is up to {limit:.0%}. Leave out frequencies at which the electrodes react"
        )
    covariance = _covariance(answer, len(hertz))
    error = _standard_error(answer, len(hertz)) / resistance
    return ImpedanceFit(
        resistance=resistance * scale,
        q=float(np.exp(log_q)),
        n=n,
        inductance=inductance * scale / float(hertz.max()),
        relative_error=error,
        chi=chi,
        electrode_error=_electrode_error(log_q, n, covariance, hertz, ohm),
    )


def _widen(fit: ImpedanceFit, hertz: Array, ohm: ComplexArray, arc: float, consistency: KramersKronig) -> float:
    """Return the relative error of the resistance, with what the circuit and the range of frequencies leave open.

    Seven parts are added as squares: the scatter of the points; how far the resistance moves when the spectrum is cut
    at either end; what remains of the electrodes at the highest frequency; what may hide above it; what may hide in
    the noise; what no circuit explains; and an arc, as of contacts.

    :param arc: relative change of the resistance by an arc; 0 without one.
    """
    top = int(hertz.argmax())
    reach = hertz[top] / REACH
    hidden = REACH_ERROR * reach ** -REACH_EXPONENTS[int(reach > 1)]
    phase = abs(float(ohm[top].imag)) / max(abs(float(ohm[top].real)), 1e-9 * float(abs(ohm[top])))
    unresolved = _bend(phase, RESOLVED, (RESOLVED_SHARE, UNRESOLVED_SHARE))
    parts = (hertz <= hertz.max() / CUT, hertz >= hertz.min() * CUT)
    moved = _bend(max(_moved(fit, hertz, ohm, part) for part in parts), USUAL_CHANGE, (USUAL_SHARE, UNUSUAL_SHARE))
    noise = max(NOISE_SHARE * consistency.rms / np.sqrt(len(hertz)) - USUAL_NOISE, 0.0)
    inconsistent = INCONSISTENT_SHARE * consistency.inconsistency
    unexplained = min(arc, FULL_ARC) + _bend(max(arc - FULL_ARC, 0.0), USUAL_ARC - FULL_ARC, (ARC_SHARE, 1.0))
    return float(np.linalg.norm([fit.relative_error, moved, unresolved, hidden, noise, inconsistent, unexplained]))


def _look_for_more(fit: ImpedanceFit, hertz: Array, ohm: ComplexArray) -> tuple[float, float]:
    """Return a capacitance beside the electrolyte (F), or by which share an arc changes the resistance; 0 for none.

    At frequencies below their corners both look alike, and only the arc makes the resistance wrong. So a capacitance is
    believed where the spectrum tells it from all arcs.
    """
    penalty = 0.5 * float(np.log(2 * len(hertz)))
    before = fit.chi**2 * len(hertz) / 2
    if _largest_gain(fit, hertz, ohm) <= penalty:
        return 0.0, 0.0
    beside = _fit_more(fit, hertz, ohm, [(float(np.log(0.1)),)], ([-12.0], [4.0]))
    if _gain(before, beside.cost, len(hertz)) > penalty + CAPACITANCE_GAIN:
        arc = _fit_arc(fit, hertz, ohm, ANY_ARC, SMALLEST_REST)
        if _gain(arc.cost, beside.cost, len(hertz)) > CAPACITANCE_GAIN:
            return float(np.exp(beside.x[4]) / (2 * np.pi * hertz.max() * fit.resistance)), 0.0
    arc = _fit_arc(fit, hertz, ohm, PURE_ARC)
    if _gain(before, arc.cost, len(hertz)) <= 2 * penalty:
        return 0.0, 0.0
    return 0.0, min(abs(float(arc.x[0]) - 1) + _standard_error(arc, len(hertz)), 1.0)


def _gain(before: float, after: float, n_points: int) -> float:
    """Return the logarithm of the ratio of likelihoods that a lower sum of squares stands for, with unknown noise."""
    smallest = np.finfo(float).tiny
    return n_points * float(np.log(max(before, smallest) / max(after, smallest)))


def _largest_gain(fit: ImpedanceFit, hertz: Array, ohm: ComplexArray) -> float:
    """Return how much likelier a small arc makes the spectrum, to first order: it spares most spectra the other fits.

    A capacitance beside the electrolyte is a small arc as well, with its corner far above the highest frequency.
    """
    jw = 2j * np.pi * hertz
    element = 1 / (fit.q * jw**fit.n)
    rest = [np.ones_like(ohm), element, element * np.log(jw), jw / float(np.abs(jw).max())]
    modulus = np.abs(ohm)
    difference = (ohm - circuit_impedance(hertz, fit.resistance, fit.q, fit.n, fit.inductance)) / modulus
    target = np.concatenate([difference.real, difference.imag])
    sums = []
    for corner in np.geomspace(TRIED_ARCS[0] * hertz.max(), hertz.min(), TRIED_ARCS[1]):
        columns = np.stack([*rest, 1 / (1 + 1j * hertz / corner)], axis=1) / modulus[:, None]
        real = np.concatenate([columns.real, columns.imag])
        real = real / np.linalg.norm(real, axis=0)
        left = target - real @ np.linalg.lstsq(real, target, rcond=None)[0]
        sums.append(float(left @ left))
    return _gain(float(target @ target), min(sums), len(hertz))


def _fit_arc(
    fit: ImpedanceFit, hertz: Array, ohm: ComplexArray, exponents: tuple[float, float], rest: float = 1e-6
) -> OptimizeResult:
    """Return the circuit of least squares with an arc more.

    :param exponents: between which that of the arc is sought.
    :param rest: smallest resistance beside the arc, over that of the fit without one.
    """
    starts = [(0.2, float(np.log(corner)), sum(exponents) / 2) for corner in ARC_STARTS]
    return _fit_more(fit, hertz, ohm, starts, ([0.0, -12.0, exponents[0]], [10.0, 4.0, exponents[1]]), rest)


def _fit_more(
    fit: ImpedanceFit,
    hertz: Array,
    ohm: ComplexArray,
    starts: Sequence[tuple[float, ...]],
    bounds: tuple[list[float], list[float]],
    rest: float = 1e-6,
) -> OptimizeResult:
    """Return the best circuit with an element more; its first parameter is R over that of the fit without.

    :param starts: of the element's parameters, see :func:`_circuit_with_more`.
    :param bounds: of the same.
    """
    from scipy.optimize import least_squares

    def residuals(p: Array) -> Array:
        difference = (_circuit_with_more(p, fit, hertz) - ohm) / np.abs(ohm)
        return np.concatenate([difference.real, difference.imag])

    low = [rest, -20.0, EXPONENT_RANGE[0], 0.0, *bounds[0]]
    high = [10.0, 20.0, EXPONENT_RANGE[1], 1e4, *bounds[1]]
    lead = fit.inductance * float(hertz.max()) / fit.resistance
    answers = [
        least_squares(
            residuals,
            np.clip([0.8, 0.0, fit.n, lead, *start], low, high),  # what is no cell may have any inductance
            x_scale=[1.0, 1.0, 0.1, 0.01, *([0.1, 1.0, 0.1] if len(start) > 1 else [1.0])],
            bounds=(low, high),
            max_nfev=60,
        )
        for start in starts
    ]
    return min(answers, key=lambda answer: float(answer.cost))


def _circuit_with_more(p: Array, fit: ImpedanceFit, hertz: Array) -> ComplexArray:
    """Return the impedance (ohm) of R, CPE and L, and a capacitance beside R and CPE or an arc in series.

    :param p: R over that of the fit; ln of Q over that of the fit; n; L times the highest frequency over R of the fit;
        for a capacitance the logarithm of its admittance at the highest frequency times R of the fit; for an arc its
        resistance over R of the fit, the logarithm of its corner over the highest frequency, and its exponent.
    """
    relative = 1j * hertz / float(hertz.max())
    cell = circuit_impedance(hertz, p[0] * fit.resistance, fit.q * float(np.exp(p[1])), p[2], 0.0)
    lead = 2 * np.pi * relative * p[3] * fit.resistance
    if len(p) == N_WITH_CAPACITANCE:
        return np.asarray(1 / (1 / cell + relative * np.exp(p[4]) / fit.resistance) + lead)
    return np.asarray(cell + p[4] * fit.resistance / (1 + (relative * np.exp(-p[5])) ** p[6]) + lead)


def _without_capacitance(hertz: Array, ohm: ComplexArray, inductance: float, capacitance: float) -> ComplexArray:
    """Return the impedance (ohm) of what lies beside a capacitance (F), with the leads (H) in series."""
    jw = 2j * np.pi * hertz
    return np.asarray(1 / (1 / (ohm - jw * inductance) - jw * capacitance) + jw * inductance)


def _bend(value: float, knee: float, shares: tuple[float, float]) -> float:
    """Return a share of a value, and another share of what is beyond the knee."""
    return shares[0] * min(value, knee) + shares[1] * max(value - knee, 0.0)


def _moved(fit: ImpedanceFit, hertz: Array, ohm: ComplexArray, part: npt.NDArray[np.bool_]) -> float:
    """Return the relative change of the resistance in a part of the spectrum, beyond its scatter there."""
    if part.sum() < MIN_POINTS:
        return 0.0
    try:
        other = _fit(hertz[part], ohm[part])
    except FitError:  # this part alone says nothing
        return 0.0
    change = other.resistance / fit.resistance - 1
    expected = other.relative_error * other.resistance / fit.resistance
    return float(np.sqrt(max(change**2 - expected**2, 0.0))) if np.isfinite(expected) else 0.0


def _covariance(answer: OptimizeResult, n_points: int) -> Array:
    """Return the covariance of the parameters of the optimiser; zero for those at their bounds."""
    n_parameters = len(answer.x)
    free = np.flatnonzero(answer.active_mask == 0)
    jacobian = answer.jac[:, free]
    covariance = np.zeros((n_parameters, n_parameters))
    covariance[np.ix_(free, free)] = (
        np.linalg.pinv(jacobian.T @ jacobian) * 2 * answer.cost / (2 * n_points - len(free))
    )
    return covariance


def _standard_error(answer: OptimizeResult, n_points: int) -> float:
    """Return the standard error of the first parameter; infinite where it lies at its bound."""
    return float(np.sqrt(_covariance(answer, n_points)[0, 0])) if answer.active_mask[0] == 0 else float("inf")


def _electrode_error(log_q: float, n: float, covariance: Array, hertz: Array, ohm: ComplexArray) -> float:
    """Return how well the electrodes are seen: the relative standard error of their impedance ``1/(Q w^n)``."""
    lowest = int(hertz.argmin())
    log_w = float(np.log(2 * np.pi * hertz[lowest]))
    if -(log_q + n * log_w) < np.log(MIN_ELECTRODE_SHARE * np.abs(ohm[lowest])):
        return float("inf")
    gradient = np.array([0.0, 1.0, log_w, 0.0])
    return float(np.sqrt(gradient @ covariance @ gradient))
