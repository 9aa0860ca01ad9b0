"""Cells to learn lifetimes from: published ones, simulated ones, and a JSON form for both.

The published ones are those of K. A. Severson et al., Nature Energy 4 (2019) 383 (data.matr.io): lithium iron phosphate
against graphite, 1.1 Ah, end of life at 0.88 Ah. Two tables are read: the capacities per cycle
(``..._capacity_per_cycle.csv.gz``, with ``..._labels.csv`` beside it) and ``..._early_features.csv``.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import InputError, explain_os_error
from aiida_finales.schemas.table import COMMENT, Dialect, decode, read_table
from aiida_finales.schemas.workbook import Sheet, is_table, read_sheets, write_text
from aiida_finales.science.lifetime.model import CellRecord, EndOfLifeRule, Task

#: The published cells: what a prediction is made from was chosen by cross-validation within the split ``train``.
MATR_TASK = Task(
    rule=EndOfLifeRule(threshold=0.8, reference=1.1, persistence=1),
    window=100,
    inputs=("log10_var_dQ", "initial", "curvature"),
    covariates=("log10_var_dQ", "log10_min_dQ", "log10_mean_dQ"),
    first_cycle=2,
)
#: Coin cells of the laboratory: the features that its cycler reports.
COIN_CELL_FEATURES = ("delta_coulombic_efficiency", "voltage_gap_charge_discharge", "capacity_vector_variance")
COIN_CELL_TASK = Task(
    rule=EndOfLifeRule(threshold=0.8, reference=None, persistence=3),
    window=40,
    inputs=(*COIN_CELL_FEATURES, "final", "slope"),
    covariates=COIN_CELL_FEATURES,
)
#: Cells of which only the capacities are known.
CAPACITIES_TASK = replace(COIN_CELL_TASK, inputs=("fade", "final", "slope"), covariates=())
#: bytes of a table of cells, unpacked
LARGEST = 2 * 10**9
#: bytes at its begin that have the names of its columns
_BEGIN = 10**5
#: rows of a sheet that the header is among
_HEADER_WITHIN = 20
#: How many simulated cells make the default model of the simulated laboratory.
N_TWIN_CELLS = 120
#: mAh/cm², that of the cathode in the simulated assembly robot: Q(V), and what varies in it, grow with the size.
_TWIN_LOADING = 1.0
#: Cycles that simulated cells are given to end their life.
_TWIN_CYCLES = 300

_MATR_FEATURES = {
    "log10_var_dQ": "log10_var_dQ_100_10",
    "log10_min_dQ": "log10_abs_min_dQ",
    "log10_mean_dQ": "log10_abs_mean_dQ",
}


@dataclass(frozen=True)
class LifetimeDataset:
    """Cells and what is to be predicted of them.

    :param description: where the cells come from.
    :param simulated: whether nobody ever measured them.
    """

    cells: tuple[CellRecord, ...]
    task: Task
    description: str
    simulated: bool

    def of_group(self, group: str | None) -> LifetimeDataset:
        """Return the cells of one group; all when ``None``.

        :raises InputError: when there are none.
        """
        if group is None:
            return self
        cells = tuple(cell for cell in self.cells if cell.group == group)
        if not cells:
            groups = sorted({cell.group for cell in self.cells})
            raise InputError(f"group {group!r} was asked for, accepted are {', '.join(map(repr, groups))}")
        return replace(self, cells=cells)

    def to_json(self) -> str:
        """Return the dataset as a JSON document; equal datasets give equal text."""
        cells = [
            {**asdict(replace(cell, capacities=np.empty(0))), "capacities": cell.capacities.tolist()}
            for cell in self.cells
        ]
        document = {"task": asdict(self.task), "description": self.description, "simulated": self.simulated}
        return json.dumps({**document, "cells": cells}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LifetimeDataset:
        """Return the dataset that :meth:`to_json` wrote.

        :raises InputError: when the text is no dataset.
        """
        try:
            document = json.loads(text)
            cells = tuple(
                CellRecord(**{**cell, "capacities": np.asarray(cell["capacities"], dtype=np.float64)})
                for cell in document["cells"]
            )
            task = Task.from_dict(document["task"])
            return cls(cells, task, str(document["description"]), bool(document["simulated"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"this is no dataset of lifetimes ({type(error).__name__}: {error}), accepted is JSON with task, "
                "description, simulated and cells"
            ) from error


def read_dataset(path: Path) -> LifetimeDataset:
    """Return the cells of a file: our JSON, or the published capacities (``..._capacity_per_cycle.csv[.gz]``).

    :raises InputError: when the file is neither, or what belongs to it lacks.
    """
    if path.suffix == ".json":
        return LifetimeDataset.from_json(path.read_text())
    if "capacity_per_cycle" in path.name:
        return read_matr(path)
    raise InputError(
        f"{path.name} was given, accepted are a dataset (.json) or the published ..._capacity_per_cycle.csv[.gz]"
    )


def read_matr(capacities: Path, features: Path | None = None) -> LifetimeDataset:
    """Return the published cells, those of which the capacities and the features are known.

    :param capacities: ``..._capacity_per_cycle.csv[.gz]``; the file of labels lies beside it.
    :param features: ``..._early_features.csv``; default: the one in the same folder.
    :raises InputError: when a file lacks or a column of it, or cells cannot be told apart.
    """
    labels = read_rows(_beside(capacities, "*_labels.csv"))
    rows = read_rows(features or _beside(capacities, "*_early_features.csv"))
    curves = _read_curves(capacities)
    cells: list[CellRecord] = []
    for split in dict.fromkeys(_get(label, "split", capacities) for label in labels):
        of_split = [label for label in labels if label["split"] == split]
        found = _join(of_split, [row for row in rows if row.get("split") == split])
        cells += [_matr_cell(label, row, curves) for label, row in found]
    return LifetimeDataset(tuple(cells), MATR_TASK, "Severson et al. 2019, data.matr.io, LFP/graphite", simulated=False)


def _beside(path: Path, pattern: str) -> Path:
    found = sorted(path.parent.glob(pattern))
    if len(found) != 1:
        raise InputError(f"{len(found)} files {pattern} lie beside {path.name}, accepted is exactly one")
    return found[0]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table (.csv, or .csv.gz) by column, with points in the numbers.

    :raises InputError: when it cannot be read, is none, or can be read in two ways.
    """
    return _parse(path.name, lambda: decode(_read(path, LARGEST), path.name))


def read_tables(path: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each table of a file by its name: a workbook has one per sheet, another file is one.

    :raises InputError: as :func:`read_rows`; naming the sheet.
    """
    if not is_workbook(path):
        return {path.name: read_rows(path)}
    sheets = {f"{path.name}, sheet {title!r}": rows for title, rows in _read_sheets(path).items()}
    if not sheets:
        raise InputError(f"{path.name} has no sheet with a header of two names or more and a row below it")
    return {name: _parse(name, partial(write_text, rows), Dialect(delimiter="\t")) for name, rows in sheets.items()}


def _parse(name: str, read: Callable[[], str], dialect: Dialect | None = None) -> list[dict[str, str]]:
    try:
        table = read_table(read(), dialect)
        rows = table.change(lambda row: {key: table.plain(cell) for key, cell in row.items()})
    except InputError as error:
        raise InputError(f"{name} is no table that can be read: {error}") from error
    return [dict(row) for _, row in rows]


def is_workbook(path: Path) -> bool:
    """Return whether the name of a file says that it is an Excel workbook."""
    return path.suffix.lower() in (".xlsx", ".xlsm")


def _read_sheets(path: Path, n_rows: int | None = None) -> dict[str, Sheet]:
    sheets = read_sheets(_read(path, LARGEST), path.name, n_rows)
    return {title: rows for title, rows in sheets.items() if is_table(rows)}


def read_columns(path: Path) -> list[set[str]]:
    """Return the names in the header of each table of a file, without looking at the rest.

    :raises InputError: when it cannot be read.
    """
    if is_workbook(path):
        sheets = _read_sheets(path, _HEADER_WITHIN).values()
        headers = [next(row for row in rows if any(row)) for rows in sheets]
        return [{str(name).strip() for name in header if name is not None} for header in headers]
    begin = decode(_read(path, _BEGIN, is_cut=True).rpartition(b"\n")[0], path.name)
    lines = (line for line in begin.splitlines() if line.strip() and not line.startswith(COMMENT))
    return [{name.strip().strip('"') for name in re.split("[,;\t]", next(lines, ""))}]


def _read(path: Path, limit: int, *, is_cut: bool = False) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(limit + 1)  # a small file can unpack to any size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {explain_os_error(error, path)}") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is no table (.csv, or .csv.gz): {error}") from error
    if len(content) > limit and not is_cut:
        raise InputError(f"{path} is larger than {limit / 1e9:g} GB, which no table of cells is")
    return content


def _read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read_rows(path):
        point = (int(_get(row, "cycle", path)), float(_get(row, "discharge_capacity_Ah", path)))
        curves.setdefault(_get(row, "cell_id", path), []).append(point)
    return curves


def _get(row: Mapping[str, str], column: str, path: Path) -> str:
    if column not in row:
        raise InputError(f"{path.name} has the columns {', '.join(row)}, but {column} lacks")
    return row[column]


def _join(
    labels: Sequence[dict[str, str]], rows: Sequence[dict[str, str]]
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Yield each label with its row of features.

    Both tables have the cells of a split in the same order, but they number them differently, and one may lack cells:
    the life tells which.
    """
    remaining = iter(rows)
    for label in labels:
        life = float(label["published_cycle_life"])
        row = next((row for row in remaining if float(row["cycle_life"]) == life), None)
        if row is None:
            raise InputError(f"cell {label['cell_id']} with a life of {life:g} cycles has no features: other files?")
        yield label, row


def _matr_cell(
    label: Mapping[str, str], row: Mapping[str, str], curves: Mapping[str, list[tuple[int, float]]]
) -> CellRecord:
    points = sorted(curves.get(label["cell_id"], []))
    cycles = [cycle for cycle, _ in points]
    if cycles != list(range(MATR_TASK.first_cycle, MATR_TASK.first_cycle + len(cycles))) or not cycles:
        raise InputError(
            f"the cycles of {label['cell_id']} have gaps, accepted are all from {MATR_TASK.first_cycle} on"
        )
    return CellRecord(
        name=label["cell_id"],
        capacities=np.array([capacity for _, capacity in points]),
        features={name: float(row[column]) for name, column in _MATR_FEATURES.items()},
        end_of_life=int(float(label["published_cycle_life"])),
        group=label["split"],
    )


def read_protocols(dataset: LifetimeDataset, path: Path) -> LifetimeDataset:
    """Return the cells with their protocols, from a table with cell_id, protocol_id and published_life.

    A cell is found by its group, which is part of ``cell_id``, and its life: tables number cells differently. One that
    is not found, or more than once, is taken for the only one of its protocol.

    :raises InputError: when a column lacks, or no cell is found.
    """
    protocols: dict[tuple[str, float], set[str]] = {}
    for row in read_rows(path):
        life, name = _get(row, "published_life", path), _get(row, "protocol_id", path)
        for part in _get(row, "cell_id", path).split("-") if life else ():
            protocols.setdefault((part, float(life)), set()).add(name)
    cells = []
    for cell in dataset.cells:
        found = protocols.get((cell.group, float(cell.end_of_life or 0)), set())
        cells.append(replace(cell, protocol=next(iter(found)) if len(found) == 1 else ""))
    if not any(cell.protocol for cell in cells):
        raise InputError(f"{path.name} has none of the {len(cells)} cells, accepted is a table of their protocols")
    return replace(dataset, cells=tuple(cells))


def make_twin_dataset(n_cells: int, seed: int) -> LifetimeDataset:
    """Return simulated coin cells, of the size that the simulated laboratory assembles unless it is told otherwise.

    :raises InputError: when no cell is asked for.
    """
    from aiida_finales.science.ageing.twin import sample_cells

    if n_cells < 1:
        raise InputError(f"{n_cells} cells were asked for, accepted is 1 or more")
    cells = []
    for number, cell in enumerate(sample_cells(n_cells, seed, n_cycles=_TWIN_CYCLES, mass_loading=_TWIN_LOADING)):
        features = {name: getattr(cell.features, name) for name in COIN_CELL_FEATURES}
        known = {name: float(value) for name, value in features.items() if value is not None}
        if len(known) == len(features):
            cells.append(CellRecord(f"twin-{seed}-{number}", cell.capacities, known, cell.end_of_life))
    return LifetimeDataset(tuple(cells), COIN_CELL_TASK, describe_twin(n_cells, seed), simulated=True)


def describe_twin(n_cells: int, seed: int) -> str:
    """Return the description of simulated cells."""
    return f"{n_cells} simulated cells, seed {seed}"
