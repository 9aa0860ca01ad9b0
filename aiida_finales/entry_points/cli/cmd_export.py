"""``aiida-finales export``: take data out of the profile, for others."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn


@click.group("export", cls=NounGroup)
def export() -> None:
    """Take data out of the profile, in forms that others can read.

    \b
    Example:
      aiida-finales export graph ocond --output ocond.ttl
    """


@export.command("graph")
@click.argument("campaign", required=False)
@click.option("--all", "is_all", is_flag=True, help="The whole profile.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["turtle", "json-ld"]),
    default="turtle",
    show_default=True,
    help="Form of it.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: print it]")
@options.with_profile
def graph(campaign: str | None, is_all: bool, form: str, output: Path | None) -> None:
    """Write what the data mean and where they come from, in words of EMMO, PROV-O and schema.org.

    \b
    Example:
      aiida-finales export graph ocond --output ocond.ttl
      aiida-finales export graph --all --format json-ld --output profile.jsonld
    """
    if bool(campaign) == is_all:
        raise click.UsageError("give the name of a campaign, or --all")
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.fair.graph.document import serialise
    from aiida_finales.fair.graph.records import read_records
    from aiida_finales.fair.graph.selection import campaign_pks, profile_pks

    pks = campaign_pks(CampaignGroup.find(campaign)) if campaign else profile_pks()
    text = serialise(read_records(pks), form)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text)
    say_done(f"{output} is written")


@export.command("campaign")
@options.NAME()
@click.option(
    "--metadata", "metadata_file", type=options.EXISTING_FILE, required=True, help="What is said about the data (YAML)."
)
@options.OUTPUT(help="Folder in which the package is made.  [default: the present one]")
@click.option("--scrub", is_flag=True, help="Replace e-mail addresses, host names and absolute paths.")
@click.option("--accept-privacy", is_flag=True, help="Let e-mail addresses, host names and absolute paths leave.")
@click.option(
    "--confidential", multiple=True, metavar="IDENTIFIER", help="Tell only the existence of this node; repeatable."
)
@click.option("--picture", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Kind of picture.")
@options.FORMAT()
@options.with_profile
def campaign(  # noqa: PLR0913, PLR0917 - one argument per option
    name: str,
    metadata_file: Path,
    output: Path,
    scrub: bool,
    accept_privacy: bool,
    confidential: tuple[str, ...],
    picture: str,
    fmt: str,
) -> None:
    """Make a package of a campaign that can be cited: archive, tables, raw data, graph, RO-Crate, figures, data sheet.

    A campaign that goes on is exported as far as it has ended. Nothing is written while e-mail addresses, host names or
    absolute paths would leave: replace them with --scrub, or accept them. An export that was interrupted goes on where
    it was when the same command is given again.

    \b
    Example:
      aiida-finales export metadata ocond > meta.yaml
      aiida-finales export campaign ocond --metadata meta.yaml --output packages --scrub
    """
    from aiida_finales.fair.package.export import Wishes, export_campaign, find_uuids
    from aiida_finales.fair.package.metadata import read_metadata

    wishes = Wishes(scrub, accept_privacy, find_uuids(confidential), picture)
    about = read_metadata(metadata_file)
    if about.is_placeholder:
        warn(f"an author in {metadata_file} is still the one of the template: say who it was, and export again")
    package = export_campaign(name, about, output, wishes, say)
    for finding in package.findings:
        say(f"{'replaced' if scrub else 'left'}: {finding.kind} {finding.text}")
    say_done(f"package {package.folder} and {package.zip}")
    print_record({"folder": str(package.folder), "zip": str(package.zip), **package.counts}, fmt)


@export.command("metadata")
@click.argument("name", required=False, default="")
def metadata(name: str) -> None:
    """Print a file to fill in: what is said about a package (authors, licence, keywords, openness).

    \b
    Example:
      aiida-finales export metadata ocond > meta.yaml
    """
    from aiida_finales.fair.package.metadata import metadata_template

    click.echo(metadata_template(name), nl=False)


@export.command("verify")
@click.argument("package", type=options.EXISTING_PATH)
@options.FORMAT()
def verify(package: Path, fmt: str) -> None:
    """Find what is missing, changed or cut off in a package, a folder or a zip; needs no profile.

    Every number is compared with the archive in the package. Exit status 1 when something is wrong.

    \b
    Example:
      aiida-finales export verify packages/ocond.zip
    """
    from aiida_finales.fair.package.verify import verify_package

    defects = verify_package(package)
    print_rows([{"defect": words} for words in defects], fmt, ("defect",), f"{package} is whole")
    if defects:
        raise SystemExit(1)
