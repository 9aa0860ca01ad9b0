"""The report of campaigns: the figures and the table of each, and one figure of several together."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_finales.exceptions import MissingExtraError, StatusError
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.words import table_rows
from aiida_finales.schemas.names import file_stem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: what figures can be written as
PICTURES = ("png", "svg")
#: dots per inch of a PNG: sharp in print at the width of a column
RESOLUTION = 200
#: characters of a file name that names several campaigns; file systems take 255 bytes
LONGEST_STEM = 120


def write_report(overview: Overview, folder: Path, picture: str = "png") -> list[Path]:
    """Write the figures and the table (CSV) of a campaign; return the files.

    With those of the best predicted life, and of the potentials whose dynamics it asked.

    :param picture: one of :data:`PICTURES`.
    :raises MissingExtraError: when matplotlib is not installed.
    :raises StatusError: when there is no result yet.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("plot", "campaign report")
    if not any(item.value is not None for item in overview.evaluations):
        raise StatusError(f"campaign {overview.name!r} has no result yet: there is nothing to draw")
    from aiida_finales.operations.campaign.figures import draw_figures
    from aiida_finales.operations.campaign.lifetime_pictures import draw_lifetime
    from aiida_finales.operations.campaign.potential_pictures import draw_potentials

    folder.mkdir(parents=True, exist_ok=True)
    stem = file_stem(overview.name)
    paths = [folder / f"{stem}-results.csv"]
    write_table(overview, paths[0])
    figures = {**draw_figures(overview), **draw_lifetime(overview), **draw_potentials(overview)}
    for kind, figure in figures.items():
        paths.append(folder / f"{stem}-{file_stem(kind)}.{picture}")
        figure.savefig(paths[-1], dpi=RESOLUTION)
    return paths


def write_reports(overviews: Sequence[Overview], folder: Path, picture: str = "png") -> list[Path]:
    """Write the report of each campaign and, of several, one figure of all; return the files.

    :raises MissingExtraError: when matplotlib is not installed.
    :raises StatusError: when one of them has no result yet.
    """
    paths = [path for overview in overviews for path in write_report(overview, folder, picture)]
    if len(overviews) > 1:
        from aiida_finales.operations.campaign.molality import draw_together, varies

        overviews = [overview for overview in overviews if varies(overview)]
    if len(overviews) > 1:
        names = "-".join(file_stem(overview.name) for overview in overviews)[:LONGEST_STEM]
        paths.append(folder / f"{names}-molality.{picture}")
        draw_together(overviews).savefig(paths[-1], dpi=RESOLUTION)
    return paths


def write_table(overview: Overview, path: Path) -> None:
    """Write one line per result, and the recommendation, as CSV."""
    rows = table_rows(overview)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, keys)
        writer.writeheader()
        writer.writerows(rows)


def write_figure(draw: Callable[[], Figure], name: str, kind: str, folder: Path, picture: str = "png") -> Path:
    """Write one figure of a campaign; return the file.

    :raises MissingExtraError: when matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("plot", f"the figure of {kind}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_stem(name)}-{kind}.{picture}"
    draw().savefig(path, dpi=RESOLUTION)
    return path
