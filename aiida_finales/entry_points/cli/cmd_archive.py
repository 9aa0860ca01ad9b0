"""``aiida-finales archive``: deposit packages for the world, back up the profile for oneself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn
from aiida_finales.schemas.words import count

if TYPE_CHECKING:
    from aiida_finales.fair.deposit.archives import Entry
    from aiida_finales.fair.deposit.deposit import Depositor

PACKAGE = click.argument("package", type=options.FOLDER_TYPE)


@click.group("archive", cls=NounGroup)
def archive() -> None:
    """Deposit packages in public archives, and back up the profile.

    \b
    Example:
      aiida-finales archive deposit ocond-package --archive zenodo-sandbox
      aiida-finales archive backup --to /backups/finales
    """


@archive.command("deposit")
@PACKAGE
@click.option(
    "--archive",
    "name",
    required=True,
    help="materials-cloud, big-map, zenodo, zenodo-sandbox, or the address of another InvenioRDM archive.",
)
@click.option("--new-version-of", metavar="RECORD", default="", help="Record of which it is the next version.")
@click.option("--publish", "is_published", is_flag=True, help="Publish it, too; asks before. It cannot be undone.")
@click.option("--community", metavar="SLUG", default="", help="Community that reviews what is published.")
@options.FORCE()
@options.FORMAT()
def deposit(  # noqa: PLR0913, PLR0917 - one argument per option
    package: Path, name: str, new_version_of: str, is_published: bool, community: str, force: bool, fmt: str
) -> None:
    """Make a draft of a package in an archive, with all files; a second run continues where the first ended.

    The token is read from AIIDA_FINALES_<ARCHIVE>_TOKEN, e.g. AIIDA_FINALES_ZENODO_TOKEN, or from the keyring. Nothing
    is published without --publish.

    \b
    Example:
      aiida-finales archive deposit ocond-package --archive zenodo-sandbox
      aiida-finales archive deposit ocond-package --archive zenodo-sandbox --publish
      aiida-finales archive deposit ocond-package --archive zenodo --new-version-of 1234567
    """
    from aiida_finales.fair.deposit.archives import DRAFT, find_archive, find_token
    from aiida_finales.fair.deposit.deposit import Depositor, check_community
    from aiida_finales.fair.deposit.invenio import Invenio

    target = find_archive(name)
    if is_published:
        check_community(target, community, new_version_of)
    with Invenio(target, find_token(target), say=say) as client:
        depositor = Depositor(package, client, say)
        entry = depositor.deposit(new_version_of)
        for defect in depositor.defects:
            warn(f"{target.title} says: {defect}")
        if is_published and entry.status == DRAFT:
            _show_what_is_published(depositor, entry, community)
            if not force:
                click.confirm("Publish it? It cannot be undone.", abort=True, err=True)
            entry = depositor.publish(community)
    say_done(f"record {entry.record} is {entry.status}: {entry.address or target.url}")
    if entry.status == DRAFT:
        say("look at it there; publish it there, or here with --publish")
    print_record(_describe(entry), fmt)


@archive.command("status")
@PACKAGE
@click.option("--ask", "is_asked", is_flag=True, help="Ask the archives what became of it; needs the tokens.")
@options.FORMAT()
def status(package: Path, is_asked: bool, fmt: str) -> None:
    """Show where a package is deposited, and how far.

    \b
    Example:
      aiida-finales archive status ocond-package --ask
    """
    from aiida_finales.fair.deposit.archives import State

    state = State(package)
    if is_asked:
        for entry in state.read():
            _ask(package, entry.archive)
    rows = [_describe(entry) for entry in state.read()]
    columns = ("archive", "record", "status", "files", "linked", "doi", "address", "updated")
    print_rows(rows, fmt, columns, f"{package} is not deposited anywhere")


@archive.command("backup")
@click.option("--to", "place", type=options.FOLDER_TYPE, required=True, help="Folder of the back-ups.")
@click.option("--keep", type=options.COUNT, help="Remove all but the latest so many afterwards.  [default: all]")
@options.FORMAT()
@options.with_profile
def backup(place: Path, keep: int | None, fmt: str) -> None:
    """Back up the profile's database and files, and check that the copy is whole; the daemon may run on.

    What has not changed since the last back-up takes no further space.

    \b
    Example:
      aiida-finales archive backup --to /backups/finales --keep 14
    """
    from aiida_finales.operations.backup.backup import make_backup

    made = make_backup(place, keep, say)
    say_done(f"{count(made.n_nodes, 'node')} and {count(made.n_objects, 'file')} are in {made.folder}; it was checked")
    print_record(asdict(made), fmt)


@archive.command("schedule")
@click.option(
    "--every",
    type=click.Choice(["hourly", "daily", "weekly", "monthly"]),
    default="daily",
    show_default=True,
    help="How often.",
)
@click.option("--to", "place", type=options.FOLDER_TYPE, required=True, help="Folder of the back-ups.")
@click.option("--keep", type=options.COUNT, default=14, show_default=True, help="How many to keep.")
@options.FORMAT()
@options.with_profile
def schedule(every: str, place: Path, keep: int, fmt: str) -> None:
    """Print what makes a computer back up the profile again and again: systemd units, or a line for cron.

    Nothing is installed: the printed text says where it goes.

    \b
    Example:
      aiida-finales archive schedule --every daily --to /backups/finales
    """
    from aiida_finales.operations.backup.schedule import make_schedule

    made = make_schedule(every, place.resolve(), keep)
    if fmt == "json":
        print_record(asdict(made), fmt)
    else:
        click.echo(made.as_text())


def _show_what_is_published(depositor: Depositor, entry: Entry, community: str) -> None:
    description = depositor.description
    say(f"to be published at {depositor.archive.title}" + (f", after review by {community}" if community else ""))
    if description.document.get("snapshot"):
        warn("the package is a snapshot: its campaign had not ended")
    say(f"  title    {description.title}")
    say(f"  authors  {'; '.join(description.names())}")
    say(f"  licence  {description.licence}")
    opens = f", public from {description.embargo}" if description.embargo else ""
    say(f"  files    {description.openness if not opens else 'closed'}{opens}: {', '.join(sorted(entry.files))}")
    say(f"  draft    {entry.address}")


def _ask(package: Path, url: str) -> None:
    from aiida_finales.fair.deposit.archives import find_archive, find_token
    from aiida_finales.fair.deposit.deposit import Depositor
    from aiida_finales.fair.deposit.invenio import Invenio

    target = find_archive(url)
    with Invenio(target, find_token(target), say=say) as client:
        Depositor(package, client, say).ask()


def _describe(entry: Entry) -> dict[str, Any]:
    return {
        "archive": entry.archive,
        "record": entry.record,
        "status": entry.status,
        "new_version_of": entry.new_version_of,
        "files": len(entry.files),
        "linked": len(entry.linked),
        "doi": entry.doi,
        "address": entry.address,
        "updated": entry.updated,
    }
