"""Clean the series of a file, store what was changed, and show it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_finales.calculations.clean import clean_cycling
from aiida_finales.data.nodes import pk_of
from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.schemas import Json


@dataclass(frozen=True)
class CleanedFile:
    """What became of a file.

    :param pk: of the process.
    :param rows: one per cell.
    :param files: that were written.
    :param notes: which cells were left out and why, and what cycles lack of others, in words.
    """

    pk: int
    rows: list[Json]
    files: list[Path]
    notes: list[str]


def clean_file(path: Path, settings: Json, folder: Path) -> CleanedFile:
    """Clean the series of a file.

    :param settings: of :func:`aiida_finales.calculations.clean.clean_cycling`.
    :param folder: for the table and the pictures.
    :raises InputError: when a series cannot be cleaned.
    """
    file = orm.SinglefileData(io.BytesIO(path.read_bytes()), filename=path.name)
    found, process = clean_cycling.run_get_node(file, orm.Dict(settings))
    if not process.is_finished_ok:
        raise InputError(str(process.exit_message))
    outputs: dict[str, Any] = dict(found or {})
    told = outputs["changes"].get_dict()
    changes = told["cells"]
    notes = [f"left out: {words}" for words in told["left_out"].values()]
    notes += [f"cell {name}: {words}" for name, item in changes.items() for words in item["notes"]]
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{path.name.partition('.')[0]}_cleaned.csv"
    table.write_text(outputs["table"].get_content())
    pictures = [_draw(name, item, folder) for name, item in changes.items()]
    rows = [
        {"cell": name, **{key: value for key, value in item.items() if key != "picture"},
         "cycle_at_80": item["crossings"].get("80")}
        for name, item in changes.items()
    ]  # fmt: skip
    return CleanedFile(pk_of(process), rows, [table, *pictures], notes)


def _draw(name: str, item: Json, folder: Path) -> Path:
    """Draw a series as given and as cleaned, with what was replaced.

    :raises MissingExtraError: when matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plot", "a picture of what was changed") from error
    points: dict[str, Any] = item["picture"]
    odd = [number for number, is_odd in enumerate(points["is_outlier"]) if is_odd]
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(points["cycles"], points["measured"], ".", color="#56B4E9", markersize=3, label="as given")
    axes.plot(points["cycles"], points["smoothed"], color="#0072B2", label="smoothed")
    axes.plot([points["cycles"][place] for place in odd], [points["measured"][place] for place in odd], "x",
              color="#D55E00", label=f"outliers ({item['n_outliers']})")  # fmt: skip
    axes.axhline(
        0.8 * item["reference_Ah"], color="black", linewidth=0.8, linestyle="--", label="80 % of the reference"
    )
    axes.set(xlabel="cycle", ylabel="discharge capacity / Ah", title=name, ylim=(0, None))
    axes.legend(frameon=False)
    target = folder / f"{_plain(name)}_cleaned.png"
    figure.savefig(target, dpi=120)
    return target


def _plain(name: str) -> str:
    """Return a name that no path can be made of."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)
