"""``aiida-finales import``: bring existing data in - tables, FINALES servers, packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn
from aiida_finales.schemas.words import be, count

if TYPE_CHECKING:
    from aiida_finales.operations.importing.table import Imported


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
@click.option("--delimiter", help="Without a map: the sign between cells.  [default: as the header shows]")
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    help="Without a map: the sign before fractions.  [default: as is clear]",
)
@click.option("--encoding", help="Without a map: e.g. cp1252.  [default: UTF-8, or what the first bytes say]")
@options.TENANT(required=False, help="Name or UUID of the tenant who measured.")
@options.YES_REALLY()
@click.option(
    "--amend",
    "is_amending",
    is_flag=True,
    help="Store rows anew that are here with another reference, rating or tenant; the new ones replace them.",
)
@options.FORMAT()
@options.with_profile
def results(
    file: Path,
    map_file: Path | None,
    tenant: str | None,
    fmt: str,
    is_sure: bool,
    is_amending: bool,
    **about: Any,
) -> None:
    """Store existing data, one unsolicited result per row of a CSV file; a row is never stored twice.

    A table with our columns needs no map: temperature_K, x_<chemical> (mole fraction) and the value, e.g.
    conductivity_S_per_m. For others a map says which column is what, in which unit, and what the values are of. Lines
    that begin with # are comments. All rows are looked at before anything is stored. Of a file that has grown, what is
    new is stored.

    \b
    Example:
      aiida-finales import results examples/data/calisol23_lipf6_ec_emc_20.csv --quantity conductivity
      aiida-finales import results measurements.csv --map map.yaml
    """
    from aiida_finales.operations.importing.table import Way, import_file, import_mapped, read_map
    from aiida_finales.operations.request.records import describe_result
    from aiida_finales.schemas.table import Dialect

    said = {name: value for name, value in about.items() if value is not None}
    way = Way(is_sure=is_sure, is_amending=is_amending)
    if map_file is not None:
        if said:
            raise click.UsageError(f"--{', --'.join(said)} is for a table without map: say it in {map_file}")
        imported = import_mapped(file, read_map(map_file), tenant, say, way)
    elif "quantity" in said:
        written = {name: said.pop(name) for name in ("delimiter", "decimal") if name in said}
        way = replace(way, dialect=Dialect(**written), encoding=said.pop("encoding", None))
        imported = import_file(file, tenant=tenant, say=say, way=way, **said)
    else:
        raise click.UsageError("say what the values are of: --quantity, or --map for a table with other columns")
    _tell_imported(imported)
    rows = [describe_result(node) for node in imported.results]
    columns = ("pk", "quantity", "method", "value", "unit", "rating", "formulation", "temperature_K")
    print_rows(rows, fmt, columns, "nothing was imported")


def _tell_imported(imported: Imported) -> None:
    n_known = imported.n_known
    if not imported.is_new:
        warn(f"this file was imported before: its {count(n_known, 'result')} follow, nothing is stored")
    else:
        before = f"; rows that were here before: {n_known}" if n_known else ""
        say_done(f"stored: {count(imported.n_new, 'result')}{before}")
    if imported.n_differing:
        warn(
            f"{imported.n_differing} rows are here with another reference, rating or tenant than you say now, and keep "
            "it: --amend stores them anew, as replacements"
        )
    if imported.others:
        pks = " ".join(str(node.pk) for node in imported.others[:10])
        warn(
            f"{len(imported.others)} results of this very file, read in another way (map, unit), are still there: "
            f"'aiida-finales result delete' removes what was wrong: {pks}{' ...' if len(imported.others) > 10 else ''}"  # noqa: PLR2004 - shown above
        )


@import_.command("finales")
@click.argument("dump", type=options.EXISTING_PATH)
@click.option("--skip-unknown", is_flag=True, help="Leave out results of capabilities that are not registered here.")
@click.option(
    "--timezone",
    help="Of the server, e.g. Europe/Berlin, for its local times.  [default: what its UTC times show, or that of here]",
)
@options.FORMAT()
@options.with_profile
def finales(dump: Path, skip_unknown: bool, timezone: str | None, fmt: str) -> None:
    """Store the results of a FINALES 2 server with identity, status and history; none is stored twice.

    DUMP is its database (SQLite), JSON as its end points answer, or a folder with results_for_requests.json and
    requests.json. Data that break their schema are kept and marked as not valid.

    \b
    Example:
      aiida-finales import finales session.db
    """
    from aiida_finales.operations.importing.finales import import_dump
    from aiida_finales.operations.request.records import describe_result

    imported = import_dump(dump, skip_unknown=skip_unknown, timezone=timezone)
    for zone in imported.zones:
        say(f"local times of the server are read as {zone}")
    for name, number in imported.unknown.items():
        warn(f"left out: {count(number, 'result')} of {name}, which is not registered")
    if imported.n_known:
        say(f"here before: {count(imported.n_known, 'result')}")
    if imported.n_renewed:
        say(f"of them amended or deleted on the server meanwhile, and now here: {imported.n_renewed}")
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
    from aiida_finales.fair.package.receive import receive_package

    imported = receive_package(package, is_forced=force)
    say_done(f"{count(imported.n_new, 'node')} {be(imported.n_new)} new")
    print_record(
        {"new_nodes": imported.n_new, "renewed_statuses": imported.n_renewed, "campaigns": imported.campaigns}, fmt
    )
