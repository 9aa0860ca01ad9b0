"""``aiida-finales import``: bring existing data in - tables, FINALES servers, packages."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn
from aiida_finales.schemas.words import be, count

if TYPE_CHECKING:
    from aiida_finales.operations.importing.measurement import ImportedFiles
    from aiida_finales.operations.importing.table import Imported


_DRY_RUN = click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be stored, and store nothing.")


@click.group("import", cls=NounGroup)
def import_() -> None:
    """Bring existing data in: tables, files of instruments, results of a FINALES server, packages of campaigns.

    \b
    Example:
      aiida-finales import results measurements.csv --map map.yaml
      aiida-finales import cycling cell_07.ndax
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
@_DRY_RUN
@options.FORMAT()
@options.with_profile
def results(
    file: Path,
    map_file: Path | None,
    tenant: str | None,
    fmt: str,
    is_dry: bool,
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

    way = Way(is_dry=is_dry, **{name: about.pop(name) for name in ("is_sure", "is_amending")})
    said = {name: value for name, value in about.items() if value is not None}
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
    if is_dry:
        say(f"would be stored: {count(len(imported.planned), 'result')}; here before: {imported.n_known}")
    else:
        _tell_imported(imported)
    rows = imported.planned if is_dry else [describe_result(node) for node in imported.results]
    columns = ("pk", "quantity", "method", "value", "unit", "rating", "formulation", "temperature_K")
    print_rows(rows, fmt, columns, "nothing was imported")


def _tell_imported(imported: Imported) -> None:
    n_known = imported.n_known
    if not imported.is_new:
        warn(f"this was imported before and is here, nothing is stored: {count(n_known, 'result')}")
    else:
        before = f"; rows that were here before: {n_known}" if n_known else ""
        say_done(f"stored: {count(imported.n_new, 'result')}{before}")
    if imported.n_differing:
        warn(
            "here with another reference, rating or tenant than you say now, which stays: "
            f"{count(imported.n_differing, 'row')}; --amend stores what you say now, as a replacement"
        )
    if imported.others:
        pks = " ".join(str(node.pk) for node in imported.others[:10])
        warn(
            f"of this very file, read in another way (map, unit), {count(len(imported.others), 'result')} "
            f"{be(len(imported.others))} still there: "
            f"'aiida-finales result delete' removes what was wrong: {pks}{' ...' if len(imported.others) > 10 else ''}"  # noqa: PLR2004 - shown above
        )


def _measured_options(function: Any) -> Any:
    """Add what both kinds of files of instruments accept."""
    adders = (
        click.argument("files", nargs=-1, type=options.EXISTING_FILE),
        click.option(
            "--formulation",
            help="The electrolyte in words, e.g. '1 M LiPF6 in EC:EMC 3:7 w/w', or LiPF6=0.08,EC=0.3,EMC=0.62.",
        ),
        click.option("--reference", help="Where the data come from, e.g. a DOI.  [default: the file's name]"),
        click.option("--licence", help="What may be done with the data, e.g. 'CC BY 4.0'."),
        click.option(
            "--restricted",
            "is_restricted",
            is_flag=True,
            help="They may not be passed on: no public package has them.",
        ),
        click.option(
            "--table", type=options.EXISTING_FILE, help="CSV with a row per file: its name, and what it is of."
        ),
        options.TENANT(required=False, help="Name or UUID of the tenant who measured."),
        click.option("--simulated", "is_simulated", is_flag=True, help="Nobody measured this: mark the results so."),
        _DRY_RUN,
        click.option(
            "--amend", "is_amending", is_flag=True, help="Replace what came of an earlier import of the same files."
        ),
        options.YES_REALLY(),
        options.FORMAT(),
        options.with_profile,
    )
    for add in reversed(adders):
        function = add(function)
    return function


@import_.command("spectra")
@click.option("--cell-constant", help="Of the measuring cell, with its unit, e.g. '1.02 1/cm'.")
@click.option("--temperature", help="Of the sample, with its unit, e.g. '25 degC'; else K.")
@click.option("--contact-resistance", type=options.FiniteRange(min=0), help="Of leads and contacts, ohm.  [default: 0]")
@click.option(
    "--min-frequency", type=options.FiniteRange(min=0), help="Leave out points below, Hz: where the electrodes react."
)
@click.option("--max-frequency", type=options.FiniteRange(min=0), help="Leave out points above, Hz.")
@options.METHOD(default="two_electrode", show_default=True, help="Under which the conductivities are stored.")
@_measured_options
def spectra(
    files: tuple[Path, ...], cell_constant: str | None, temperature: str | None, method: str, **others: Any
) -> None:
    """Store impedance spectra of blocking electrodes as conductivities, by the analysis and rating of the drivers.

    FILES are .mpt and .mpr (BioLogic), .DTA (Gamry), .z (ZPlot), or tables (.csv, .xlsx) with frequency, real and
    imaginary part and their units in the headings. Each spectrum of a file is a result; the file and the spectrum are
    kept. All files are looked at before anything is stored; a file is never stored twice.

    \b
    Example:
      aiida-finales import spectra cell_3.mpt --cell-constant '1.02 1/cm' --temperature '25 degC' \\
          --formulation LiPF6=0.08,EC=0.3,EMC=0.62
      aiida-finales import spectra --table files.csv
    """
    from aiida_finales.operations.importing.measurement import SPECTRA
    from aiida_finales.operations.importing.settings import CELL_CONSTANTS, read_quantity
    from aiida_finales.schemas.temperature import read_temperature

    settings: dict[str, Any] = {"method": method}
    if cell_constant is not None:
        settings["cell_constant_per_m"] = read_quantity(cell_constant, "--cell-constant", CELL_CONSTANTS)
    if temperature is not None:
        settings["temperature"] = read_temperature(temperature, "--temperature")
    numbers = (
        ("contact_resistance", "contact_resistance_ohm"),
        ("min_frequency", "min_frequency_Hz"),
        ("max_frequency", "max_frequency_Hz"),
    )
    settings |= {key: others[name] for name, key in numbers if others[name] is not None}
    _import_measured(SPECTRA, files, settings, others)


@import_.command("cycling")
@click.option("--cell", help="Name of the cell.  [default: as the file has it, or the file's name]")
@click.option("--protocol", help="Name of the protocol by which it was cycled.")
@click.option("--formation", "formation_cycles", type=click.IntRange(min=0), help="So many first cycles are formation.")
@click.option(
    "--nominal-capacity",
    help="Of which the end of life is a share, with its unit, e.g. '4.4 mAh'; else Ah.  [default: first cycle]",
)
@click.option("--threshold", type=options.FiniteRange(0, 1, min_open=True), help="That share.  [default: 0.8]")
@click.option("--persistence", type=options.COUNT, help="Cycles in a row that have to be below.  [default: 3]")
@click.option("--cells", "cell_table", type=options.EXISTING_FILE,
              help="Table of cell_id, positive, negative, format, nominal_capacity_Ah, charge_rate_C, ... (a row per "
              "cell): models of many designs learn from it.")  # fmt: skip
@options.METHOD(default="literature", show_default=True, help="Under which capacities and lives are stored.")
@_measured_options
def cycling(files: tuple[Path, ...], method: str, nominal_capacity: str | None, **others: Any) -> None:
    """Store the capacities of cells, by the analysis of the cycler's driver, and their lives where they ended.

    FILES are .ndax and .nda (Neware), .mpr and .mpt (BioLogic), Battery Data Format (.csv, .parquet), exports of Arbin
    and Maccor (.csv, .txt, .xlsx), .h5 of a cycler of ours, or a table with cycle and discharge_capacity_Ah (and
    cell_id). The file is kept. With --formulation an end of life is a result of its own, of degradationEOL.

    \b
    Example:
      aiida-finales import cycling cell_07.ndax --formation 3
      aiida-finales import cycling lives.csv --nominal-capacity 1.1 --persistence 1
      aiida-finales import cycling capacity.csv --cells cells.csv
    """
    from aiida_finales.operations.importing.measurement import CYCLING
    from aiida_finales.operations.importing.settings import CAPACITIES, read_quantity

    settings: dict[str, Any] = {"method": method}
    if nominal_capacity is not None:
        settings["nominal_capacity_Ah"] = read_quantity(nominal_capacity, "--nominal-capacity", CAPACITIES)
    settings |= {key: others[key] for key in ("cell", "protocol", "formation_cycles", "threshold", "persistence")}
    _import_measured(CYCLING, files, {key: value for key, value in settings.items() if value is not None}, others)


def _import_measured(kind: Any, files: tuple[Path, ...], settings: dict[str, Any], others: dict[str, Any]) -> None:
    from aiida_finales.operations.importing.measurement import Told, import_files
    from aiida_finales.operations.importing.settings import read_file_table, read_formulation
    from aiida_finales.schemas.chemicals.mixture import tell

    if bool(files) == bool(others["table"]):
        raise click.UsageError("name FILES, or a --table that names them")
    if others["formulation"] is not None:
        settings |= read_formulation(others["formulation"])
        say(tell(settings["given"]))
    if others["is_simulated"]:
        settings["simulated"] = True
    settings |= {key: others[key] for key in ("reference", "licence") if others[key] is not None}
    flags = {key: others[key] for key in ("is_sure", "is_amending", "is_dry", "is_restricted")}
    told = Told(settings, **flags, cell_table=others.get("cell_table"))
    rows = read_file_table(others["table"]) if others["table"] else {file: {} for file in files}
    if told.cell_table is not None:
        from aiida_finales.operations.importing.cells import add_cells

        rows = add_cells(rows, told.cell_table, settings.get("cell"))
    imported = import_files(kind, rows, told, others["tenant"])
    _tell_measured(imported, is_dry=told.is_dry)
    _print_measured(imported, others["fmt"], is_dry=told.is_dry)


def _tell_measured(imported: ImportedFiles, *, is_dry: bool) -> None:
    named = [(item.data["measurement"]["file"], item) for item in imported.measured]
    # the cells or spectra of a file share what is said of the file
    for words in dict.fromkeys(f"{name}: {note}" for name, item in named for note in item.notes):
        say(words)
    reasons = Counter(f"{name}: {item.data['reason']}" for name, item in named if item.data.get("reason"))
    for words, number in reasons.items():
        times = f" ({number} times)" if number > 1 else ""
        warn(f"{words}{times}. The file is kept, the rating is low")
    if is_dry:
        say(f"would be stored: {count(len(imported.measured), 'result')}; here before: {imported.n_known}")
    else:
        _tell_imported(imported)


def _print_measured(imported: ImportedFiles, fmt: str, *, is_dry: bool) -> None:
    from aiida_finales.operations.importing.measurement import describe_measured, describe_stored

    if is_dry:
        rows = [describe_measured(item) for item in imported.measured]
    else:
        rows = [describe_stored(node) for node in imported.results]
    columns = (
        "pk",
        "quantity",
        "file",
        "cell",
        "value",
        "unit",
        "cycles",
        "first_Ah",
        "last_Ah",
        "end_of_life",
        "rating",
    )
    shown = [column for column in columns if any(row.get(column) is not None for row in rows)]
    print_rows(rows, fmt, shown, "nothing was imported")


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
    if imported.unknown:
        say(
            f"{', '.join(imported.unknown)} {be(len(imported.unknown))} not known here, and shown by InChIKey: "
            "'aiida-finales chemical add' with the package's chemicals.json adds the names"
        )
    print_record(
        {"new_nodes": imported.n_new, "renewed_statuses": imported.n_renewed, "campaigns": imported.campaigns}, fmt
    )
