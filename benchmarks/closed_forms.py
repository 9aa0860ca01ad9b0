"""How far the closed forms of the conductivity are from measurements of others.

Prints one JSON row per figure and nothing else on stdout; with ``--tables`` the tables of
``science/electrolyte/model_error.py`` as they follow from the data instead. Without CALiSol-23 (de Blasio et al.,
doi:10.1038/s41597-024-03575-8) beside the project there is nothing to print.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from rows import print_row

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.science.electrolyte.composition import fractions_from_molality
from aiida_finales.science.electrolyte.conductivity import (
    EMPIRICAL_MODEL,
    POLYNOMIAL,
    ClosedForm,
)
from aiida_finales.science.electrolyte.density import fractions_from_concentration
from aiida_finales.science.electrolyte.model_error import ErrorTable, MeasuredSolvent

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "conductivity" / "calisol23.csv.gz"
NAME = "closed_forms"
SOLVENTS = ("EC", "PC", "DMC", "EMC")
#: columns of the data that name no solvent
OTHERS = ("doi", "k", "T", "c", "salt", "c units", "solvent ratio type")
#: measurements that the Landesfeind curves were fitted to
OWN = "10.1149/2.0571912jes"
#: solvents with less EC by mass are far from those of the forms
LEAST_EC = 0.15


@dataclass(frozen=True)
class Point:
    """A measurement beside what a closed form says.

    :param place: salt content, temperature (K) and solvent, in the coordinates of the form's table.
    :param deviation: measured / model - 1.
    """

    doi: str
    place: tuple[float, ...]
    deviation: float


def read_points(form: ClosedForm) -> list[Point]:
    """Return the measurements of others in the domain of a form."""
    with gzip.open(DATA, "rt", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["salt"].strip() == "LiPF6"]
    return [point for row in rows if (point := _read_point(form, row)) is not None]


def _read_point(form: ClosedForm, row: Mapping[str, str]) -> Point | None:
    shares = {key: float(value) for key, value in row.items() if key not in OTHERS and float(value) > 0}
    is_own = form is EMPIRICAL_MODEL and row["doi"] == OWN
    if is_own or row["solvent ratio type"] == "v" or not set(shares) <= set(SOLVENTS):
        return None
    is_mole = row["solvent ratio type"] == "mol"
    masses = {get_chemical(key).inchikey: value * (get_chemical(key).molar_mass if is_mole else 1.0)
              for key, value in shares.items()}  # fmt: skip
    make = fractions_from_concentration if row["c units"] == "mol/l" else fractions_from_molality
    try:
        fractions = make(float(row["c"]), masses)
        value = form.value(fractions, float(row["T"]))
    except InputError:  # outside of the domain, or a mixture that no volume is known of
        return None
    return Point(row["doi"], form.place(fractions, float(row["T"])), 0.1 * float(row["k"]) / value - 1)


def derive(points: Sequence[Point], table: ErrorTable) -> ErrorTable:
    """Return a table with the edges of another, filled from measurements."""
    solvents = sorted({_solvent(point) for point in points})
    return replace(table, measured=tuple(_derive_solvent(points, table, solvent) for solvent in solvents))


def _solvent(point: Point) -> tuple[float, ...]:
    return tuple(round(value, 1) for value in point.place[2:])


def _derive_solvent(points: Sequence[Point], table: ErrorTable, solvent: tuple[float, ...]) -> MeasuredSolvent:
    mine = [point for point in points if _solvent(point) == solvent]
    salt, heat = ([point.place[axis] for point in mine] for axis in (0, 1))
    errors = tuple(
        tuple(_deviation(mine, rows, columns) for columns in pairwise(table.temperature_edges))
        for rows in pairwise(table.salt_edges)
    )
    return MeasuredSolvent(
        solvent, (round(min(salt), 2), round(max(salt), 2)), (round(min(heat), 1), round(max(heat), 1)), errors
    )


def _deviation(points: Sequence[Point], salt: tuple[float, float], heat: tuple[float, float]) -> float | None:
    """Return the root mean square in a region, every laboratory with the same weight; ``None`` without measurement."""
    inside = [item for item in points if salt[0] <= item.place[0] < salt[1] and heat[0] <= item.place[1] < heat[1]]
    laboratories = {item.doi for item in inside}
    squares = [np.mean([item.deviation**2 for item in inside if item.doi == doi]) for doi in laboratories]
    return round(float(np.sqrt(np.mean(squares))), 2) if squares else None


def laboratory_scatter(points: Sequence[Point]) -> float:
    """Return the root mean square of the mean deviations of the laboratories, where the form is at its best."""
    inside = [
        item for item in points
        if 0.6 <= item.place[0] <= 1.8 and 283 <= item.place[1] <= 308 and item.place[2] > 0.25
    ]  # fmt: skip
    groups = {(item.doi, item.place[3]) for item in inside}
    means = [np.mean([i.deviation for i in inside if (i.doi, i.place[3]) == group]) for group in groups]
    return float(np.sqrt(np.mean(np.square(means))))


def coverage(points: Sequence[Point], table_of: Callable[[Point], ErrorTable], n_sd: float) -> float:
    """Return the share of measurements within so many standard deviations of a form."""
    sizes = [abs(item.deviation) / table_of(item).relative_error(*item.place[:2], item.place[2:]) for item in points]
    return float(np.mean(np.array(sizes) <= n_sd))


def without_laboratory(points: Sequence[Point], table: ErrorTable) -> Callable[[Point], ErrorTable]:
    """Return the table that follows from all laboratories but that of a point."""
    tables = {doi: derive([item for item in points if item.doi != doi], table) for doi in {i.doi for i in points}}
    return lambda point: tables[point.doi]


def without_region(points: Sequence[Point], table: ErrorTable) -> Callable[[Point], ErrorTable]:
    """Return the table without the region that a point is in."""
    full = derive(points, table)

    def leave_out(point: Point) -> ErrorTable:
        row, column = (
            int(np.searchsorted(edges, value, side="right")) - 1
            for edges, value in zip((table.salt_edges, table.temperature_edges), point.place, strict=False)
        )
        return replace(full, measured=tuple(_without(item, point, (row, column)) for item in full.measured))

    return leave_out


def _without(item: MeasuredSolvent, point: Point, place: tuple[int, int]) -> MeasuredSolvent:
    if item.solvent != _solvent(point):
        return item
    rows = [list(row) for row in item.errors]
    rows[place[0]][place[1]] = None
    return replace(item, errors=tuple(tuple(row) for row in rows))


def judge(case: str, form: ClosedForm) -> None:
    """Print how often measurements are within the stated errors, with and without what the errors were derived from."""
    points = read_points(form)
    print_row(NAME, case, "n_measurements", len(points), "1")
    print_row(NAME, case, "laboratories", len({point.doi for point in points}), "1")
    deviations = [abs(point.deviation) for point in points]
    print_row(NAME, case, "median_deviation", round(100 * float(np.median(deviations)), 1), "%")
    ways = {
        "": lambda _: form.errors,
        "_left_out_laboratory": without_laboratory(points, form.errors),
        "_left_out_region": without_region(points, form.errors),
    }
    for way, table_of in ways.items():
        for n_sd in (1, 2):
            print_row(NAME, case, f"within_{n_sd}_sd{way}", round(coverage(points, table_of, n_sd), 3), "1")


def print_tables() -> None:
    """Print what ``science/electrolyte/model_error.py`` should hold."""
    for case, form in FORMS.items():
        points = read_points(form)
        for item in derive(points, form.errors).measured:
            print(f"{case}: {item}")
    print(f"LABORATORY = {laboratory_scatter(read_points(EMPIRICAL_MODEL)):.3f}")


FORMS = {"empirical-model": EMPIRICAL_MODEL, "polynomial": POLYNOMIAL}


def main() -> None:
    """Judge both forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="accepted as by the other benchmarks; it is quick anyway")
    parser.add_argument("--tables", action="store_true", help="print the tables that follow from the data")
    arguments = parser.parse_args()
    if not DATA.exists():
        print(f"needs {DATA}", file=sys.stderr)
    elif arguments.tables:
        print_tables()
    else:
        for case, form in FORMS.items():
            judge(case, form)


if __name__ == "__main__":
    main()
