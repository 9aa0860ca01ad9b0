"""What people see of a learning: errors against labels, and the dynamics of each round with the true error beside.

Temperature and energy alone prove nothing: no figure here shows them without what the reference says of such frames.
The same figures are made of the folders of ``finales-mlp`` and of nodes of AiiDA.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import QUIET, Axis, Chart, Mark, Series, line_of
from aiida_finales.science.array import Array

#: whose structure is shown, in the order of their colours
KINDS = ("classical", "reference itself", "potential")
#: points of one line, and of a cloud: more cannot be told apart
MOST_POINTS = 400
#: radial distributions that are drawn
MOST_PAIRS = 3
#: of the log: the column that a figure shows, and the title of its axis
COURSES = {
    "temperature": ("temperature_K", "temperature / K"),
    "energy": ("potential_eV", "energy since the start / eV"),
}
LABELS, ERROR = "labelled frames", "error of forces / meV/Å"


@dataclass(frozen=True)
class Walked:
    """Dynamics by a potential.

    :param ps: how long they were trusted.
    :param ended_by: why they ended.
    :param log: columns by name, as ``log.csv`` has them; empty where it is not kept.
    """

    name: str
    ps: float
    ended_by: str
    log: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """A training, the dynamics by what it trained, and what the reference says of the frames that they visited.

    :param n_frames: labelled ones that were learned from.
    :param held_out: errors on held-out frames.
    :param visited: errors on visited ones; ``None`` where they were not labelled again.
    :param pairs: calibrated spread and true error of every atom of visited frames, eV/angstrom, n x 2.
    """

    number: int
    n_frames: int
    held_out: Json
    visited: Json | None = None
    walked: tuple[Walked, ...] = ()
    pairs: Array | None = None

    @property
    def words(self) -> str:
        """The round with its true error."""
        error = "not known" if self.visited is None else f"{self.visited['forces_meV_A']:.0f} meV/Å"
        return f"round {self.number}, true error {error}"


@dataclass(frozen=True)
class Structure:
    """What is around the cations, by whose dynamics.

    :param kind: one of :data:`KINDS`.
    :param neighbours: number by partner.
    :param pairs: title, distances (angstrom) and radial distribution of each pair.
    """

    kind: str
    neighbours: dict[str, float]
    pairs: tuple[tuple[str, Array, Array], ...] = ()


@dataclass(frozen=True)
class Learning:
    """All that is known of how a potential came to be, and of what it finds.

    :param statement: whose energies and forces were learned.
    """

    statement: str
    rounds: tuple[Round, ...] = ()
    structures: tuple[Structure, ...] = ()


def name_neighbours(coordination: Json) -> dict[str, float]:
    """Return the neighbours of the cations by partner, of what the analysis of ``finales-md`` found."""
    return {
        f"{cation}, {partner}": float(number["number"])
        for cation, shell in coordination.items()
        for partner, number in shell["molecules"].items()
    }


def chart_learning(learning: Learning) -> list[Chart]:
    """Return the figures that a learning has: none of what is not known."""
    note = f"Simulated; errors against {learning.statement}."
    rounds = learning.rounds
    charts = [_curve(rounds, note), _elements(rounds, note)] if rounds else []
    if any(walked.log for item in rounds for walked in item.walked):
        charts += [
            _course(rounds, "temperature", note),
            _course(rounds, "energy", note),
        ]
    if any(item.walked for item in rounds):
        charts.append(_trusted(rounds, note))
    last = next((item for item in reversed(rounds) if item.pairs is not None and len(item.pairs)), None)
    if last is not None and last.pairs is not None:
        charts.append(_doubt(last, last.pairs, note))
    if any(item.neighbours for item in learning.structures):
        charts.append(_neighbours(learning.structures, note))
    return charts + _distributions(learning.structures, note)


def _curve(rounds: Sequence[Round], note: str) -> Chart:
    told = [item for item in rounds if item.visited is not None]
    lines: dict[str, list[tuple[int, Json | None]]] = {
        "held-out frames": [(item.n_frames, item.held_out) for item in rounds],
        "visited frames, labelled again": [(item.n_frames, item.visited) for item in told],
    }
    series = [
        part
        for place, (name, points) in enumerate(lines.items())
        for part in _joined(name, [(n, errors["forces_meV_A"]) for n, errors in points if errors], place)
    ]
    beneath = [(item.n_frames, (item.visited or {}).get("classical_forces_meV_A")) for item in told]
    known = [(n, float(error)) for n, error in beneath if error is not None]
    series += _joined("classical force field, visited frames", known, QUIET)
    words = "Error of the forces against the number of labels, on held-out frames and on those that dynamics visited."
    title = "Learning curve"
    return Chart("learning", title, words, Axis(LABELS, 0.0, is_whole=True), Axis(ERROR, 0.0), tuple(series), note=note)


def _joined(name: str, points: Sequence[tuple[float, float]], place: int, *, is_open: bool = False) -> list[Series]:
    """Return points with a line between them: a single one must be seen as well."""
    if not points:
        return []
    marks = line_of(*zip(*points, strict=True))
    line = Series("", "line", marks, place, is_dashed=is_open)
    return [Series(name, "points", marks, place, is_open=is_open), line]


def _elements(rounds: Sequence[Round], note: str) -> Chart:
    names = sorted({name for item in rounds for name in item.held_out.get("forces_by_element_meV_A", {})})
    series: list[Series] = []
    for place, name in enumerate(names):
        for is_open, words in ((True, "held-out"), (False, "visited")):
            found = [(item.n_frames, item.held_out if is_open else item.visited) for item in rounds]
            known = [(n, errors["forces_by_element_meV_A"].get(name)) for n, errors in found if errors]
            points = [(n, float(error)) for n, error in known if error is not None]
            series += _joined(f"{name}, {words}", points, place, is_open=is_open)
    words = "Error of the forces on the atoms of each element against the number of labels."
    axes = Axis(LABELS, 0.0, is_whole=True), Axis(ERROR, 0.0)
    return Chart("elements", "Learning curve by element", words, *axes, tuple(series), note=note)


def _course(rounds: Sequence[Round], name: str, note: str) -> Chart:
    """Return a column of the logs over time: each round by its colour, and named with its true error."""
    column, axis = COURSES[name]
    title = f"{name.capitalize()} of the learned dynamics"
    series = []
    for item in rounds:
        label = item.words
        for walked in item.walked:
            if column not in walked.log or not len(walked.log[column]):
                continue
            values = walked.log[column]
            shifted = values - values[0] if column == "potential_eV" else values
            marks = _thin(line_of(walked.log["time_ps"].tolist(), shifted.tolist()))
            series.append(Series(label, "line", marks, item.number))
            label = ""
    words = f"{title} over time, by round, each with the true error of the frames that it visited."
    return Chart(f"{name}-by-round", title, words, Axis("time / ps", 0.0), Axis(axis), tuple(series), note=note)


def _trusted(rounds: Sequence[Round], note: str) -> Chart:
    series = [
        Series(
            item.words,
            "points",
            tuple(
                Mark(float(item.number), walked.ps, title=walked.name, lines=(("ended by", walked.ended_by),))
                for walked in item.walked
            ),
            item.number,
        )
        for item in rounds
        if item.walked
    ]
    words = "How long each of the dynamics of a round was trusted."
    axes = Axis("round", is_whole=True), Axis("trusted / ps", 0.0)
    return Chart("trusted", "Time trusted", words, *axes, tuple(series), note=note)


def _doubt(last: Round, pairs: Array, note: str) -> Chart:
    """Return the true error against the spread of atoms: where it is above the line, the doubt was too small."""
    cloud = pairs[:: max(1, -(-len(pairs) // MOST_POINTS))]
    end = float(pairs.max())
    series = (
        Series(f"atoms of visited frames, {last.words}", "points", line_of(cloud[:, 0].tolist(), cloud[:, 1].tolist())),
        Series("as large as the doubt", "line", line_of((0.0, end), (0.0, end)), QUIET, is_dashed=True),
    )
    words = "True error of the force on atoms of visited frames against the calibrated spread of the committee."
    axes = Axis("spread, calibrated / eV/Å", 0.0), Axis("true error / eV/Å", 0.0)
    return Chart("doubt", "Error against doubt", words, *axes, series, note=note)


def _neighbours(structures: Sequence[Structure], note: str) -> Chart:
    names = list(dict.fromkeys(name for item in structures for name in sorted(item.neighbours)))
    series = [
        Series(
            item.kind,
            "points",
            tuple(
                Mark(float(index), item.neighbours[name], title=name)
                for index, name in enumerate(names)
                if name in item.neighbours
            ),
            KINDS.index(item.kind),
            is_big=True,
        )
        for item in structures
        if item.neighbours
    ]
    words = "Mean number of neighbours of the cations by partner, by whose dynamics."
    # cation and molecule, and the donor below: side by side they would not fit
    labels = tuple(re.sub(r"^(\S+ \S+) ", r"\1\n", name) for name in names)
    axes = Axis("", labels=labels), Axis("neighbours", 0.0)
    return Chart("neighbours", "Neighbours of the cations", words, *axes, tuple(series), note=note)


def _distributions(structures: Sequence[Structure], note: str) -> list[Chart]:
    """Return the radial distributions with the highest peaks, of all who have them beside each other."""
    found: dict[str, list[Series]] = {}
    peaks: dict[str, float] = {}
    for item in structures:
        for title, radius, g in item.pairs:
            marks = _thin(line_of(radius.tolist(), g.tolist()))
            found.setdefault(title, []).append(Series(item.kind, "line", marks, KINDS.index(item.kind)))
            peaks[title] = max(peaks.get(title, 0.0), float(g.max()))
    # what is never near a cation has no distribution to look at
    highest = sorted((title for title in found if peaks[title] > 0), key=lambda title: -peaks[title])[:MOST_PAIRS]
    axes = Axis("r / Å", 0.0), Axis("g(r)", 0.0)
    return [
        Chart(f"distribution-{number}", title, f"Radial distribution of {title}, by whose dynamics.", *axes,
              tuple(found[title]), note=note)
        for number, title in enumerate(highest, start=1)
    ]  # fmt: skip


def _thin(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    return tuple(marks[:: max(1, -(-len(marks) // MOST_POINTS))])


def read_columns(text: str) -> dict[str, Array]:
    """Return the columns of a log by name.

    :param text: CSV with a line of names; lines that are not whole are left out.
    """
    names, *rows = [line.split(",") for line in text.splitlines()] or [[]]
    table = np.array([row for row in rows if len(row) == len(names)], dtype=float).reshape(-1, len(names))
    return {name: table[:, index] for index, name in enumerate(names)}


def read_pairs(text: str) -> Array:
    """Return spread and true error of atoms, eV/angstrom, n x 2, of a file of ``finales-mlp evaluate``."""
    found: Array = np.stack(list(read_columns(text).values()), axis=1)
    return found
