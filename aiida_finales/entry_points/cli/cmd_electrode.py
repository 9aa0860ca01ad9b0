"""``aiida-finales electrode``: what is known of electrodes, separators and cell formats, and how to add one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say_done, warn

if TYPE_CHECKING:
    from aiida_finales.schemas.cells import CellPart

_PARTS = ("electrodes", "separators", "cell_formats")
_PART = click.option(
    "--part", type=click.Choice(_PARTS), default="electrodes", show_default=True, help="What of a cell is meant."
)


@click.group("electrode", cls=NounGroup)
def electrode() -> None:
    """See which electrodes, separators and cell formats are known by name, and add others to this profile.

    \b
    Example:
      aiida-finales electrode list
    """


@electrode.command("list")
@_PART
@click.option("--polarity", type=click.Choice(["positive", "negative"]), help="Only electrodes that may be that.")
@click.option("--ion", help="Only electrodes that take up this ion: Li, Na, K, Mg.")
@options.FORMAT()
@options.with_profile
def list_(part: str, polarity: str | None, ion: str | None, fmt: str) -> None:
    """List what is known: of the library, of other packages, of this profile, of its tenants.

    \b
    Example:
      aiida-finales electrode list --ion Na --polarity positive
      aiida-finales electrode list --part separators
    """
    from aiida_finales.data.cells import ADDED_PARTS

    if part != "electrodes" and (polarity or ion):
        raise click.UsageError("--polarity and --ion are of electrodes")
    registry = ADDED_PARTS[part].catalogue.load()
    for words in registry.troubles:
        warn(words)
    records = [item for item in registry.records.values() if _is_asked(item, polarity, ion)]
    _print_parts(records, fmt)


def _is_asked(item: Any, polarity: str | None, ion: str | None) -> bool:
    return (polarity is None or item.polarity in (polarity, "both")) and (ion is None or ion in item.working_ions)


@electrode.command("show")
@options.NAME()
@_PART
@options.FORMAT()
@options.with_profile
def show(name: str, part: str, fmt: str) -> None:
    """Show what is known of an electrode, by name, synonym or formula: each number with unit, source and status.

    \b
    Example:
      aiida-finales electrode show NVPF
      aiida-finales electrode show "glass fibre" --part separators
    """
    from aiida_finales.data.cells import ADDED_PARTS

    found = ADDED_PARTS[part].catalogue.get(name, "electrode")
    about = found.to_dict()
    if part == "electrodes":
        about["potential_against"] = found.reference
    print_record(about, fmt)


@electrode.command("add")
@click.argument("file", type=options.EXISTING_FILE)
@options.FORMAT()
@options.with_profile
def add(file: Path, fmt: str) -> None:
    """Add electrodes, separators and cell formats to this profile; all programs know them within a second.

    FILE (JSON or YAML) has sections 'electrodes', 'separators', 'cell_formats', or is a record of an electrode, or a
    list of them. A number has value, source and status. Of what is known, a record adds or replaces what it says.

    \b
    Example:
      aiida-finales electrode add my_electrodes.yaml
    """
    from aiida_finales.data.cells import ADDED_PARTS, PROFILE, add_parts, check_parts
    from aiida_finales.operations.request.documents import read_json

    document = read_json(file)
    if isinstance(document, dict) and not set(document) & set(_PARTS):
        document = [document]
    parts = check_parts({"electrodes": document} if isinstance(document, list) else document, PROFILE)
    if not parts:
        raise click.UsageError(f"there is nothing in {file}: accepted are sections {', '.join(_PARTS)}")
    added = add_parts(parts)
    for item in added:
        say_done(f"{item.name} is known here ({item.record})")
    known = [ADDED_PARTS[item.NOUN].catalogue.get(item.name, "electrode") for item in added]
    _print_parts(known, fmt)


def _print_parts(records: list[CellPart], fmt: str) -> None:
    """Print rows; different kinds have different columns."""
    rows = [
        {
            "name": item.name,
            **{key: _tell(getattr(item, key)) for key in ("polarity", "working_ions", "design") if hasattr(item, key)},
            **{key: item.known.get(key) for key in item.NUMBERS},
            "record": item.record,
        }
        for item in records
    ]
    columns = tuple(dict.fromkeys(key for row in rows for key in row)) or ("name",)
    print_rows(rows, fmt, columns, "nothing like that is known")


def _tell(value: Any) -> Any:
    return "/".join(value) if isinstance(value, tuple) else value
