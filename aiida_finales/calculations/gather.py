"""Cells to learn from, gathered from what was imported of cyclers' files."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_finales.calculations.lifetime_curve import read_cell
from aiida_finales.data.nodes import OPENNESS
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import FinalesError, InputError
from aiida_finales.schemas.access import Openness
from aiida_finales.schemas.words import count
from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset, leave_out_twins
from aiida_finales.science.lifetime.generator.series import read_series

#: exit status when nothing can be learned from the results
NOT_GATHERED = 422
#: parameter of a result that says what the cell is and how it is cycled
AGED_CELL = "aged_cell"


@calcfunction
def gather_cells(**results: ResultData) -> Any:
    """Return the cells of results as a dataset; series are cleaned as ``aiida-finales cycling clean`` does.

    Cells that never fell by a per cent are left out, and its description says how many.

    :param results: of ``capacity`` with :data:`AGED_CELL` among their parameters.
    """
    try:
        dataset = gather([results[key] for key in sorted(results)])
    except FinalesError as error:
        return ExitCode(NOT_GATHERED, str(error))
    node = orm.SinglefileData.from_string(dataset.to_json(), filename="cells.json")
    node.label = dataset.description
    return node


def gather(results: list[ResultData]) -> AgeingDataset:
    """Return the cells of results.

    :raises InputError: when two are of one cell, or none of them fell by a per cent.
    """
    pks: dict[str, int | None] = {}
    cells = []
    for result in results:
        cell = _read(result)
        if cell.name in pks:
            raise InputError(
                f"results {pks[cell.name]} and {result.pk} are both of the cell {cell.name}, accepted is one of each: "
                "a cell must not be on both sides where a model is judged. Delete one ('aiida-finales result delete')"
            )
        pks[cell.name] = result.pk
        cells.append(cell)
    fell = [cell for cell in cells if cell.crossings]
    usable, twice = leave_out_twins(fell)
    if not usable:
        raise InputError(f"none of {count(len(cells), 'imported cell')} fell to 99 % of its reference or below")
    sets = ", ".join(dict.fromkeys(cell.dataset for cell in usable if cell.dataset))
    left_out = f"; left out as they never fell: {len(cells) - len(fell)}" if len(fell) < len(cells) else ""
    simulated = any(result.base.attributes.get("simulated", False) for result in results)
    words = (
        f"{count(len(usable), 'imported cell')}{f', {sets}' if sets else ''}{left_out}{f'; {twice}' if twice else ''}"
    )
    return AgeingDataset(tuple(usable), words, simulated)


def _read(result: ResultData) -> AgeingCell:
    data, told = result.data, result.parameters[AGED_CELL]
    about, name = data.get("measurement", {}), data["cell_info"]["cell_name"]
    design = read_cell(told)
    cell = AgeingCell(
        name,
        design,
        {},
        result.parameters.get("cycling_protocol") or design.protocol,
        told.get("laboratory") or "",
        about.get("dataset", ""),
        licence=about.get("licence", ""),
        source=about.get("reference", ""),
        is_open=result.base.extras.get(OPENNESS, Openness.PUBLIC) == Openness.PUBLIC,
    )
    try:
        return read_series(data["cycles"], data["discharge_capacities"], cell)
    except InputError as error:
        raise InputError(f"cell {name} of result {result.pk}: {error}") from error
