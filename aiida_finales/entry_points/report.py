"""The report of a campaign: three figures and a table."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

from aiida_finales.entry_points.campaign_words import table_rows
from aiida_finales.entry_points.overview import Overview
from aiida_finales.exceptions import MissingExtraError, StatusError


def write_report(overview: Overview, folder: Path) -> list[Path]:
    """Write the figures (PNG) and the table (CSV) of a campaign; return the files.

    :raises MissingExtraError: when matplotlib is not installed.
    :raises StatusError: when there is no result yet.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("plot", "campaign report")
    if not any(item.value is not None for item in overview.evaluations):
        raise StatusError(f"campaign {overview.name!r} has no result yet: there is nothing to draw")
    from aiida_finales.entry_points.figures import draw_figures

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{overview.name}-results.csv"]
    write_table(overview, paths[0])
    for kind, figure in draw_figures(overview).items():
        paths.append(folder / f"{overview.name}-{kind}.png")
        figure.savefig(paths[-1], dpi=200)
    return paths


def write_table(overview: Overview, path: Path) -> None:
    """Write one line per result, and the recommendation, as CSV."""
    rows = table_rows(overview)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, keys)
        writer.writeheader()
        writer.writerows(rows)
