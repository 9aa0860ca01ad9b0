"""Models of the lifetime: train one from a file, find them, judge them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.broker.results import is_usable
from aiida_finales.broker.state import STATE
from aiida_finales.calculations.gather import AGED_CELL, gather_cells
from aiida_finales.calculations.lifetime import make_dataset_node, train_lifetime_model
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.lookup import find_node
from aiida_finales.data.nodes import OPENNESS, born
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.lab.files import cycling
from aiida_finales.lab.files.cycled_cell import find_features, set_apart
from aiida_finales.schemas.words import count
from aiida_finales.science.ageing.end_of_life import demand_likely
from aiida_finales.science.lifetime.data import (
    CAPACITIES_TASK,
    COIN_CELL_FEATURES,
    COIN_CELL_TASK,
    LifetimeDataset,
    make_twin_dataset,
    read_dataset,
)
from aiida_finales.science.lifetime.generator.cell import AgeingDataset
from aiida_finales.science.lifetime.generator.files import is_ageing
from aiida_finales.science.lifetime.generator.judge import compare_generators, evaluate_generator
from aiida_finales.science.lifetime.generator.records import find_record
from aiida_finales.science.lifetime.generator.table import read_ageing
from aiida_finales.science.lifetime.methods import Dataset
from aiida_finales.science.lifetime.model import CellRecord, EndOfLifeRule
from aiida_finales.science.lifetime.score import score

#: what was left out of all cells together: whole protocols
PROTOCOLS = "protocols, all cells"
#: methods of models that know cells of many designs
GENERATORS = ("lifetime_generator", "capacity_fade")


def read_cells(
    files: Sequence[Path], n_simulated: int | None, seed: int, measured: dict[str, Any] | None = None
) -> Dataset:
    """Return the cells of files, or simulated ones.

    Tables of cells with their electrodes and protocols, beside one of capacities or crossings, are cells of many
    designs.

    :param measured: of files of cyclers: ``n_formation``, and ``nominal_capacity`` (Ah) and ``persistence`` of the end
        of life, and ``is_sure``; see :func:`read_files`.
    :raises InputError: unless exactly one of both is asked for.
    """
    if files and n_simulated is None and is_ageing(files):
        return read_ageing(files, find_record)
    if files and n_simulated is None:
        return read_files(files, **measured or {})
    if n_simulated is not None and not files:
        return make_twin_dataset(n_simulated, seed)
    given = "both" if files else "neither"
    raise InputError(f"{given} of a file and --simulated were given, accepted is one of them")


def read_files(
    files: Sequence[Path],
    *,
    n_formation: int = 0,
    nominal_capacity: float | None = None,
    persistence: int | None = None,
    is_sure: bool = True,
) -> LifetimeDataset:
    """Return the cells of a dataset (.json, or the published ones), or of files of cyclers and tables of capacities.

    Of files of cyclers with too few cycles for the features, and of tables, only the capacities are learned from.

    :param nominal_capacity: Ah.
    :param is_sure: a nominal capacity far from what the cells gave is right.
    :raises InputError: when a file cannot be read, or the cells do not go together.
    """
    if len(files) == 1 and (files[0].suffix == ".json" or "capacity_per_cycle" in files[0].name):
        return read_dataset(files[0])
    found = [(path, cell) for path in files for cell in _read_file(path)]
    cells = [(path, set_apart(cell, n_formation)[1]) for path, cell in found]
    for path, cell in () if is_sure else cells:
        demand_likely(nominal_capacity, float(cell.discharged.max(initial=0.0)), cell.name or path.name)
    features = [_known_features(cell) for _, cell in cells]
    task = COIN_CELL_TASK if all(len(known) == len(COIN_CELL_FEATURES) for known in features) else CAPACITIES_TASK
    rule = EndOfLifeRule(reference=nominal_capacity, persistence=persistence or task.rule.persistence)
    task = replace(task, rule=rule, first_cycle=_find_first(cells))
    records = tuple(
        CellRecord(
            cell.name or path.name,
            cell.discharged,
            known if task.covariates else {},
            rule.find(cell.discharged, task.first_cycle),
        )
        for (path, cell), known in zip(cells, features, strict=True)
    )
    simulated = any(cell.is_simulated for _, cell in cells)
    return LifetimeDataset(records, task, f"{count(len(files), 'file')} of cyclers, {files[0].name} ...", simulated)


def _read_file(path: Path) -> list[cycling.CycledCell]:
    try:
        return cycling.read_cells(path.read_bytes(), path.name)
    except InputError as error:
        raise InputError(f"{path.name}: {error}".replace(f"{path.name}: {path.name}", path.name)) from error


def _known_features(cell: cycling.CycledCell) -> dict[str, float]:
    return {name: value for name, value in find_features(cell).values().items() if value is not None}


def _find_first(cells: Sequence[tuple[Path, cycling.CycledCell]]) -> int:
    """Return the number of the first cycle of all cells.

    :raises InputError: when they differ, or one has gaps.
    """
    first = cells[0][1].cycles[0]
    for path, cell in cells:
        if list(cell.cycles) != list(range(first, first + len(cell.cycles))):
            raise InputError(
                f"{cell.name or path.name} has the cycles {cell.cycles[0]} to {cell.cycles[-1]}, {len(cell.cycles)} of "
                f"them; accepted are all cycles without gaps from {first} on, as in the first cell"
            )
    return first


def find_imported() -> list[ResultData]:
    """Return the results of cells that were imported with what they are, and are neither deleted nor replaced."""
    filters = {"attributes.quantity": "capacity", "attributes.parameters": {"has_key": AGED_CELL}}
    query = orm.QueryBuilder().append(ResultData, filters=filters, project=["*", f"extras.{STATE}"], tag="result")
    return [result for result, state in query.order_by({"result": "id"}).all() if is_usable(state or {})]


def gather_imported() -> tuple[AgeingDataset, orm.SinglefileData]:
    """Return the cells that were imported with what they are, and the node that has them.

    :raises InputError: when there are none, or they do not go together.
    """
    results = find_imported()
    if not results:
        raise InputError(
            "no imported cell says what it is, accepted are those of 'aiida-finales import cycling FILES --cells TABLE'"
        )
    made, process = gather_cells.run_get_node(**{f"result_{result.pk:09d}": result for result in results})
    if not process.is_finished_ok:
        raise InputError(str(process.exit_message))
    node: Any = made  # the only output is the node itself
    return AgeingDataset.from_json(node.get_content("r")), node


def choose_cells(
    files: Sequence[Path], n_simulated: int | None, seed: int, measured: dict[str, Any], *, is_imported: bool
) -> tuple[Dataset, orm.SinglefileData | None]:
    """Return the cells to learn from, and the node that has them, where there is one.

    :param files: with what follows, see :func:`read_cells`.
    :param is_imported: those that were imported, instead.
    :raises InputError: as :func:`read_cells` and :func:`gather_imported`.
    """
    return gather_imported() if is_imported else (read_cells(files, n_simulated, seed, measured), None)


def train_model(
    cells: Dataset, settings: dict[str, Any], dataset: orm.SinglefileData | None = None
) -> LifetimeModelData:
    """Return a new model.

    :param dataset: the node that has the cells; ``None``: one is made.
    :raises InputError: when nothing can be learned from these cells.
    """
    dataset = dataset or make_dataset_node(cells).store()
    node, process = train_lifetime_model.run_get_node(dataset, orm.Dict(settings))
    is_closed = isinstance(cells, AgeingDataset) and not cells.is_open
    marked: tuple[Any, ...] = (dataset, node) if is_closed and node is not None else ()
    for item in marked:
        # the model holds numbers of each cell, and is withheld with them
        item.base.extras.set(OPENNESS, "restricted")
    if not process.is_finished_ok:
        raise InputError(str(process.exit_message))
    return node


def list_models() -> list[LifetimeModelData]:
    """Return all models, the latest last."""
    return sorted(orm.QueryBuilder().append(LifetimeModelData).all(flat=True), key=born)


def find_model(identifier: str) -> LifetimeModelData:
    """Return a model by pk or UUID.

    :raises UnknownNodeError: when there is none.
    """
    node = find_node(identifier, what="model", hint="'aiida-finales model list' shows them")
    if not isinstance(node, LifetimeModelData):
        raise UnknownNodeError(f"node {identifier} is a {type(node).__name__}, accepted is a model of the lifetime")
    return node


def evaluate_model(
    node: LifetimeModelData,
    files: Sequence[Path],
    group: str | None,
    n_formation: int = 0,
    tell: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the figures of each group of cells of files.

    :param tell: is told what the cells are, and what of them was left out.
    :raises InputError: when there is no such group, or cells the model was not made for.
    """
    model = node.load()
    if node.method in GENERATORS:
        return evaluate_generator(model, _read_others(files, tell).of_group(group))
    rule = model.task.rule
    found = read_files(files, n_formation=n_formation, nominal_capacity=rule.reference, persistence=rule.persistence)
    cells = found.of_group(group)
    if cells.task.first_cycle != model.task.first_cycle or cells.task.rule != model.task.rule:
        raise InputError(
            f"the cells of {files[0].name} begin with cycle {cells.task.first_cycle} and end by {cells.task.rule}, "
            f"but the model was trained for cycle {model.task.first_cycle} and {model.task.rule}"
        )
    rows = []
    for name in dict.fromkeys(cell.group for cell in cells.cells):
        figures = score(model, cells.of_group(name).cells)
        rows.append(
            {
                "group": name,
                "n_cells": figures.n_cells,
                "mape_percent": figures.mape,
                "rmse_cycles": figures.rmse,
                "coverage_1sd": figures.coverage,
                "coverage_2sd": figures.coverage_2sd,
                "curve_rmse_percent": figures.curve_rmse,
                "not_reached": figures.n_not_reached,
                "refused": figures.n_refused,
            }
        )
    return rows


def _read_others(files: Sequence[Path], tell: Callable[[str], None] | None) -> AgeingDataset:
    found = read_ageing(files, find_record)
    if tell is not None:
        tell(found.description)
    return found


def compare_models(
    nodes: Sequence[LifetimeModelData],
    files: Sequence[Path],
    group: str | None,
    tell: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the figures of models on the same cells; ``model`` of each row is the pk.

    Models of many designs are compared on cells that none of them has learned from.

    :param files: of cells; none: those that all have learned from, each as predicted without it.
    :param tell: is told what the cells of files are, and what of them was left out.
    :raises InputError: when fewer than two are given, they read different files, or no cell is left.
    """
    if len({node.uuid for node in nodes}) < 2:  # noqa: PLR2004 - said in the message
        raise InputError(f"{len(nodes)} model was given, accepted are two or more different ones")
    kinds = {node.method in GENERATORS for node in nodes}
    if len(kinds) > 1:
        given = ", ".join(f"{node.pk} by {node.method}" for node in nodes)
        raise InputError(f"models {given} were given; accepted are those of many designs, or those of one, not both")
    if not files:
        return _compare_left_out(nodes)
    if kinds == {True}:
        cells = _read_others(files, tell).of_group(group)
        return compare_generators({str(node.pk): node.load() for node in nodes}, cells)
    return [{"model": str(node.pk), **row} for node in nodes for row in evaluate_model(node, files, group)]


def _compare_left_out(nodes: Sequence[LifetimeModelData]) -> list[dict[str, Any]]:
    """Return the figures of models on the cells that all have learned from, each predicted without its like.

    :raises InputError: when they did not learn from the same cells.
    """
    # of other cells each is right in its own way: where their numbers differ, none is said to be best
    learned = {(node.training["data"]["sha256"], node.training["data"]["group"]) for node in nodes}
    if len(learned) > 1:
        given = "; ".join(f"{node.pk}: {node.training['data']['description']}" for node in nodes)
        raise InputError(
            f"models of different cells were given ({given}); accepted are those of the same, or --cells with cells "
            "that none of them knows"
        )
    told = {node.pk: {PROTOCOLS: node.validation, **node.base.attributes.get("errors", {})} for node in nodes}
    rows = []
    for name in (name for name in told[nodes[0].pk] if all(name in found for found in told.values())):
        least = min(found[name].get("mape", math.inf) for found in told.values())
        are_same = len({found[name].get("n_cells", 0) for found in told.values()}) == 1
        for node in nodes:
            figures = told[node.pk][name]
            rows.append(
                {
                    "model": str(node.pk),
                    "learns_by": ", ".join(
                        next(iter(node.base.attributes.get("learners", {}).values()), [node.method])
                    ),
                    "left_out": name,
                    "n_cells": int(figures.get("n_cells", 0)),
                    "mape_percent": figures.get("mape"),
                    "median_percent": figures.get("median"),
                    "mape_at_80_percent": figures.get("mape_at_80"),
                    "is_best": are_same and figures.get("mape") == least,
                }
            )
    return rows
