"""Models of the lifetime: train one from a file, find them, judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.calculations.lifetime import make_dataset_node, train_lifetime_model
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.lookup import find_node
from aiida_finales.data.nodes import born
from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.science.lifetime.data import LifetimeDataset, make_twin_dataset, read_dataset
from aiida_finales.science.lifetime.score import score


def read_cells(file: Path | None, n_simulated: int | None, seed: int) -> LifetimeDataset:
    """Return the cells of a file, or simulated ones.

    :raises InputError: unless exactly one of both is asked for.
    """
    if file is not None and n_simulated is None:
        return read_dataset(file)
    if n_simulated is not None and file is None:
        return make_twin_dataset(n_simulated, seed)
    given = "neither" if file is None else "both"
    raise InputError(f"{given} of a file and --simulated were given, accepted is one of them")


def train_model(cells: LifetimeDataset, settings: dict[str, Any]) -> LifetimeModelData:
    """Return a new model.

    :raises InputError: when nothing can be learned from these cells.
    """
    node, process = train_lifetime_model.run_get_node(make_dataset_node(cells).store(), orm.Dict(settings))
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


def evaluate_model(node: LifetimeModelData, file: Path, group: str | None) -> list[dict[str, Any]]:
    """Return the figures of each group of cells of a file.

    :raises InputError: when the file has no such group, or cells the model was not made for.
    """
    cells = read_dataset(file).of_group(group)
    model = node.load()
    if cells.task.first_cycle != model.task.first_cycle or cells.task.rule != model.task.rule:
        raise InputError(
            f"the cells of {file.name} begin with cycle {cells.task.first_cycle} and end by {cells.task.rule}, but the "
            f"model was trained for cycle {model.task.first_cycle} and {model.task.rule}"
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
