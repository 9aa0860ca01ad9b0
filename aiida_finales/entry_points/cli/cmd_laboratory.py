"""``aiida-finales laboratory``: who does what for whom, at the command line as on the first page of the server."""

from __future__ import annotations

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_json, print_rows


@click.group("laboratory", cls=NounGroup)
def laboratory() -> None:
    """See what goes on: what each tenant does now, for whom, since when, until about when, and what waits.

    \b
    Example:
      aiida-finales laboratory show
    """


@laboratory.command("show")
@options.FORMAT()
@options.with_profile
def show(fmt: str) -> None:
    """Show what each tenant does now; those that need somebody come first.

    As JSON also what the drivers here tell of bottles and channels, and where the samples are.

    \b
    Example:
      aiida-finales laboratory show
      aiida-finales laboratory show --format json
    """
    from aiida_finales.broker.holding import Book
    from aiida_finales.broker.requests import open_states
    from aiida_finales.operations.laboratory.devices import read_laboratory, tell_work
    from aiida_finales.operations.laboratory.things import ask, list_places, list_probes

    found = read_laboratory(Book(), open_states())
    if fmt == "json":
        print_json({**found, "drivers": [ask(probe) for probe in list_probes()], "places": list_places()})
        return
    rows = [{**row, "does": "; ".join(map(tell_work, row["work"])) or row["away"]} for row in found["tenants"]]
    columns = ("name", "state", "does", "n_waiting", "n_done", "n_failed")
    print_rows(rows, fmt, columns, "no tenant: 'aiida-finales setup' or 'aiida-finales tenant add FILE.json'")
