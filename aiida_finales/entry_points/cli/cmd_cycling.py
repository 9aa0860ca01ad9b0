"""``aiida-finales cycling``: what cyclers measured, made fit to learn from."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_rows, say_done, warn


@click.group("cycling", cls=NounGroup)
def cycling() -> None:
    """Make series of capacities fit to learn from.

    \b
    Example:
      aiida-finales cycling clean cell_07.csv
    """


@cycling.command("clean")
@options.FILE()
@click.option("--cell", help="Only this cell of the file.")
@click.option("--limit", type=options.FiniteRange(min=0, min_open=True), default=4.0, show_default=True,
              help="Robust standard deviations from the running median that make an outlier.")  # fmt: skip
@click.option("--window", type=options.COUNT,
              help="Points that are smoothed over, an odd number.  [default: a fortieth, 7 to 31]")  # fmt: skip
@click.option("--reference", type=options.FiniteRange(min=0, min_open=True),
              help="Capacity in Ah that shares are of.  [default: the largest of the first tenth]")  # fmt: skip
@click.option("--formation", type=click.IntRange(min=0),
              help="So many first cycles are formation; the others count from 1.  [default: none, and refused if they "
              "look like it]")  # fmt: skip
@options.OUTPUT()
@options.FORMAT()
@options.with_profile
def clean(  # noqa: PLR0913, PLR0917 - one argument per option
    file: Path,
    cell: str | None,
    limit: float,
    window: int | None,
    reference: float | None,
    formation: int | None,
    output: Path,
    fmt: str,
) -> None:
    """Replace outliers, smooth, find the reference capacity and the cycle of each per cent; show what changed.

    FILE is that of a cycler, as 'import cycling' reads it, or a table of capacities. The table of the cleaned series
    and a picture per cell go to the folder of --output; the node of the process keeps table, points and changes.

    \b
    Example:
      aiida-finales cycling clean capacities.csv --cell NASA-B0045 --output cleaned
    """
    from aiida_finales.operations.platform.cleaning import clean_file

    said = {"cell": cell, "limit": limit, "window": window, "reference": reference, "formation": formation}
    cleaned = clean_file(file, {key: value for key, value in said.items() if value is not None}, output)
    for words in cleaned.notes:
        warn(words)
    say_done(f"process {cleaned.pk}; written: {', '.join(path.name for path in cleaned.files)}")
    columns = ("cell", "n_points", "n_outliers", "median_change_percent", "reference_Ah", "last_share", "cycle_at_80")
    print_rows(cleaned.rows, fmt, columns, "no cells")
