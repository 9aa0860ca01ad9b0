"""Impedance spectra of instruments' files, in Hz and ohm, with the imaginary part of a capacitor negative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.lab.files.kinds import SPECTRA, open_file
from aiida_finales.lab.files.recording import Recording
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.impedance import MIN_POINTS

ComplexArray = npt.NDArray[np.complex128]

#: names of columns, as :attr:`~.recording.Header.name` has them; those preferred first
_FREQUENCY = ("frequency", "freq", "f", "frequenz")
_REAL = ("rez", "realz", "zreal", "zre", "real", "re", "z1", "z1a", "zr", "realimpedance", "realpart",
         "realteil")  # fmt: skip
_IMAGINARY = ("imz", "imagz", "zimag", "zim", "imaginary", "imag", "im", "z2", "z2b", "zi", "imaginaryimpedance",
              "imaginarypart", "imaginaerteil")  # fmt: skip
_MODULUS = ("|z|", "zmod", "modulus", "magnitude", "impedancemagnitude", "impedance", "impedanz", "betrag")
_PHASE = ("phase", "phasez", "zphz", "phaseangle", "theta", "impedancephase", "phasenwinkel")
#: columns that number the spectra of a file
_NUMBERS = ("spectrum", "cyclenumber", "zcycle", "sweep", "loop", "run")
#: kinds that state the sign of the imaginary part, by definition or in each header; of others the data decide
_SIGNED = ("BioLogic", "Gamry", "ZPlot")
#: relative difference of frequencies that are the same one
_SAME = 0.01


@dataclass(frozen=True)
class Spectrum:
    """An impedance spectrum.

    :param frequency: Hz, as measured.
    :param impedance: ohm.
    :param number: of the spectrum in its file, from 1.
    :param source: what is kept of its origin: kind of the file, reader, instrument.
    :param notes: what was left out, assumed or turned, for people.
    """

    frequency: Array
    impedance: ComplexArray
    number: int
    source: Json
    notes: tuple[str, ...] = ()

    def within(self, low: float | None, high: float | None) -> Spectrum:
        """Return the part between two frequencies in Hz, ends included."""
        part = (self.frequency >= (low or 0.0)) & (self.frequency <= (high or np.inf))
        return replace(self, frequency=self.frequency[part], impedance=self.impedance[part])


def read_spectra(content: bytes, name: str) -> list[Spectrum]:
    """Return the spectra of a file of BioLogic, Gamry or ZPlot, or of a table, in the order in which they stand there.

    :raises InputError: when it is none of them, is damaged, or has no spectrum.
    :raises MissingExtraError: when a library is not installed.
    """
    found = [item for recording in open_file(content, name, SPECTRA) for item in _read(recording)]
    if not found:
        raise InputError(f"{name} has no row with a frequency and an impedance")
    return [replace(item, number=number) for number, item in enumerate(found, start=1)]


def _read(recording: Recording) -> Iterator[Spectrum]:
    frequency = recording.numbers(*recording.demand("the frequency", _FREQUENCY, "Hz"))
    real, imaginary = _read_impedance(recording)
    known = np.isfinite(frequency) & np.isfinite(real) & np.isfinite(imaginary) & (frequency > 0)
    notes = recording.notes
    if not known.all():
        rows = ", ".join(str(row + 1) for row in np.flatnonzero(~known)[:5])
        notes = (*notes, f"rows without numbers were left out: {int((~known).sum())} (row {rows}, from 1)")
    notes += _name_assumed(recording)
    source = {"kind": recording.kind, "reader": recording.reader, "instrument": recording.instrument}
    for part in _split(recording, frequency, known):
        spectrum = Spectrum(frequency[part], real[part] + 1j * imaginary[part], 1, source, notes)
        yield spectrum if recording.kind.startswith(_SIGNED) else _turn(spectrum)


def _read_impedance(recording: Recording) -> tuple[Array, Array]:
    """Return real and imaginary part in ohm; of modulus and phase where there are only these."""
    modulus, phase = recording.find(_MODULUS, "ohm"), recording.find(_PHASE, "deg")
    if recording.find(_REAL, "ohm") is None and modulus is not None and phase is not None:
        length, radians = recording.numbers(*modulus), np.radians(recording.numbers(*phase))
        return length * np.cos(radians), length * np.sin(radians)
    real = recording.numbers(*recording.demand("the real part", _REAL, "ohm"))
    return real, recording.numbers(*recording.demand("the imaginary part", _IMAGINARY, "ohm"))


def _name_assumed(recording: Recording) -> tuple[str, ...]:
    """Return what is said of columns whose headings have no unit."""
    wanted = ((_FREQUENCY, "Hz"), (_REAL, "ohm"), (_IMAGINARY, "ohm"), (_MODULUS, "ohm"), (_PHASE, "deg"))
    found = [(recording.find(names, unit), unit) for names, unit in wanted]
    bare = [f"{item[0]!r} as {unit}" for item, unit in found if item is not None and not item[1].unit]
    return (f"headings without units: took {', '.join(bare)}",) if bare else ()


def _split(recording: Recording, frequency: Array, known: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of each spectrum: as a column numbers them, and from each return to the first frequency on."""
    rows = np.flatnonzero(known)
    numbers = [recording.numbers(name, header) for name, header in recording.find_all(_NUMBERS, "1")]
    changes = [np.flatnonzero(np.diff(column[rows]) != 0) + 1 for column in numbers if np.isfinite(column[rows]).all()]
    for part in np.split(rows, np.unique(np.concatenate([np.array([], dtype=int), *changes]))):
        yield from (sweep for sweep in np.split(part, _find_returns(frequency[part])) if len(sweep))


def _find_returns(frequency: Array) -> npt.NDArray[np.intp]:
    """Return where a sweep begins anew: at its first frequency, after a spectrum's worth of points."""
    starts: list[int] = [0]
    for row in np.flatnonzero(np.abs(frequency / frequency[:1] - 1) < _SAME) if len(frequency) else ():
        if row - starts[-1] >= MIN_POINTS:
            starts.append(int(row))
    return np.array(starts[1:], dtype=np.intp)


def _turn(spectrum: Spectrum) -> Spectrum:
    """Return a spectrum whose imaginary part is negative where electrodes store charge: at the lowest frequencies."""
    order = np.argsort(spectrum.frequency)
    lowest = spectrum.impedance[order][: max(3, len(order) // 3)]
    if np.median(lowest.imag) <= 0:
        return spectrum
    note = "the imaginary part is positive at the lowest frequencies: taken as -Im(Z), and turned"
    return replace(spectrum, impedance=spectrum.impedance.conj(), notes=(*spectrum.notes, note))


def spectrum_output(spectrum: Spectrum, about: Json, name: str) -> Json:
    """Return what a driver would have written that measured this spectrum.

    :param about: ``cell_constant_per_m``, ``temperature`` (K), ``formulation``; may have ``contact_resistance_ohm``,
        ``min_frequency_Hz``, ``max_frequency_Hz`` and ``reference``.
    :param name: of the file.
    """
    part = spectrum.within(about.get("min_frequency_Hz"), about.get("max_frequency_Hz"))
    return {
        "key": about.get("reference") or f"{name}#{spectrum.number}",
        "formulation": about["formulation"],
        "temperature": about["temperature"],
        "cell_constant_per_m": about["cell_constant_per_m"],
        "contact_resistance_ohm": about.get("contact_resistance_ohm", 0.0),
        "spectrum": {
            "frequency_Hz": part.frequency.tolist(),
            "real_ohm": part.impedance.real.tolist(),
            "imaginary_ohm": part.impedance.imag.tolist(),
        },
    }
