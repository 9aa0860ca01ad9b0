"""``aiida-finales import``: bring existing data in - tables, FINALES servers, packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn
from aiida_finales.schemas.words import be, count


@click.group("import", cls=NounGroup)
def import_() -> None:
    """Bring existing data in: tables of measurements, results of a FINALES server, packages of campaigns.

    \b
    Example:
      aiida-finales import results measurements.csv --map map.yaml
      aiida-finales import finales session.db
      aiida-finales import archive packages/ocond.zip
    """


@import_.command("results")
@options.FILE()
@click.option(
    "--map", "map_file", type=options.EXISTING_FILE, help="Which column is what (YAML), and what they are of."
)
@options.QUANTITY(help="Without a map: the quantity of the values, e.g. conductivity.")
@options.METHOD(help="Without a map: the method under which they are stored.  [default: literature]")
@click.option("--reference", help="Without a map: where the data come from, e.g. a DOI.")
@click.option(
    "--rating", type=click.IntRange(1, 5), help="Without a map: quality of all rows, 5 is best.  [default: 3]"
)
@options.TENANT(required=False, help="Name or UUID of the tenant who measured.")
@options.FORMAT()
@options.with_profile
def results(file: Path, map_file: Path | None, tenant: str | None, fmt: str, **about: Any) -> None:
    """Store existing data, one unsolicited result per row of a CSV file; the same is never stored twice.

    A table with our columns needs no map: temperature_K, x_<chemical> (mole fraction) and the value, e.g.
    conductivity_S_per_m. For others a map says which column is what, in which unit, and what the values are of. Lines
    that begin with # are comments. All rows are looked at before anything is stored.

    \b
    Example:
      aiida-finales import results examples/data/calisol23_lipf6_ec_emc_20.csv --quantity conductivity
      aiida-finales import results measurements.csv --map map.yaml
    """
    from aiida_finales.operations.importing import import_file, import_mapped, read_map
    from aiida_finales.operations.records import describe_result

    said = {name: value for name, value in about.items() if value is not None}
    if map_file is not None:
        if said:
            raise click.UsageError(f"--{', --'.join(said)} is for a table without map: say it in {map_file}")
        imported = import_mapped(file, read_map(map_file), tenant, say)
    elif "quantity" in said:
        imported = import_file(file, tenant=tenant, say=say, **said)
    else:
        raise click.UsageError("say what the values are of: --quantity, or --map for a table with other columns")
    if imported.is_new:
        say_done(f"stored: {count(len(imported.results), 'result')}")
    else:
        warn(f"this file was imported before: its {count(len(imported.results), 'result')} follow, nothing is stored")
    rows = [describe_result(node) for node in imported.results]
    columns = ("pk", "quantity", "method", "value", "unit", "rating", "formulation", "temperature_K")
    print_rows(rows, fmt, columns, "nothing was imported")


@import_.command("finales")
@click.argument("dump", type=options.EXISTING_PATH)
@click.option("--skip-unknown", is_flag=True, help="Leave out results of capabilities that are not registered here.")
@options.FORMAT()
@options.with_profile
def finales(dump: Path, skip_unknown: bool, fmt: str) -> None:
    """Store the results of a FINALES 2 server with identity, status and history; none is stored twice.

    DUMP is its database (SQLite), JSON as its end points answer, or a folder with results_for_requests.json and
    requests.json. Data that break their schema are kept and marked as not valid.

    \b
    Example:
      aiida-finales import finales session.db
    """
    from aiida_finales.operations.importing_finales import import_dump
    from aiida_finales.operations.records import describe_result

    imported = import_dump(dump, skip_unknown=skip_unknown)
    for name, number in imported.unknown.items():
        warn(f"left out: {count(number, 'result')} of {name}, which is not registered")
    if imported.n_known:
        say(f"here before: {count(imported.n_known, 'result')}")
    if imported.n_unanswered:
        say(f"left out: {count(imported.n_unanswered, 'request')} without result")
    say_done(f"stored: {count(len(imported.results), 'result')}")
    rows = [{**describe_result(node), "valid": node.base.attributes.get("valid")} for node in imported.results]
    columns = ("pk", "status", "quantity", "method", "value", "unit", "valid", "formulation")
    print_rows(rows, fmt, columns, "nothing is new")


@import_.command("archive")
@click.argument("package", type=options.EXISTING_PATH)
@click.option("--force", is_flag=True, help="Also when something in the package is missing or was changed.")
@options.FORMAT()
@options.with_profile
def archive(package: Path, force: bool, fmt: str) -> None:
    """Bring a package of a campaign in: its folder, its zip, or the AiiDA archive alone.

    A package is verified first. Tenants that come with it are not asked for anything here.

    \b
    Example:
      aiida-finales import archive packages/ocond.zip
      aiida-finales campaign show ocond
    """
    from aiida_finales.fair.receive import receive_package

    imported = receive_package(package, is_forced=force)
    say_done(f"{count(imported.n_new, 'node')} {be(imported.n_new)} new")
    print_record(
        {"new_nodes": imported.n_new, "renewed_statuses": imported.n_renewed, "campaigns": imported.campaigns}, fmt
    )
