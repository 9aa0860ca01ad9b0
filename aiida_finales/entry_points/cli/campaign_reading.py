"""What campaigns tell: list, show, watch, report, explain, replay; they change nothing."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import print_json, print_record, print_rows, say, say_rest

#: of a campaign as a row: key of the uncertainty by the key of the value
WITH_ERRORS = {"best_value": "best_uncertainty", "recommended_mean": "recommended_sd"}


@click.command("list")
@options.LIMIT(help="Show so many: those that failed, then the latest.")
@options.FORMAT()
@options.with_profile
def list_(limit: int, fmt: str) -> None:
    """List the campaigns: those that failed first, with the cure, then the others, the latest last.

    \b
    Example:
      aiida-finales campaign list
    """
    from aiida_finales.operations.campaign.listing import describe_campaigns, list_rows
    from aiida_finales.operations.campaign.overview import list_vanished
    from aiida_finales.operations.campaign.words import describe_vanished, tell_front

    shown = sorted(describe_campaigns(limit), key=lambda row: not row["cure"])
    rows = [*shown, *map(describe_vanished, list_vanished())]
    columns = ("name", "state", "evaluations", "in_flight", "best_value", "unit", "best_formulation", "temperature",
               "stop_reason")  # fmt: skip
    if fmt == "table":
        rows = [
            {**row, "state": click.style(row["state"], fg="red") if row.get("cure") else row["state"]}
            for row in map(tell_front, rows)
        ]
    nothing = "no campaign: start one with 'aiida-finales campaign start examples/ocond.yaml'"
    print_rows(rows, fmt, columns, nothing, WITH_ERRORS)
    if len(shown) == limit:
        say_rest(limit, len(list_rows()), "campaign")
    for row in rows:
        if row["cure"]:
            say(f"campaign {row['name']!r} failed: {row['cure']}")


@click.command("show")
@options.NAME()
@options.FORMAT()
@options.with_profile
def show(name: str, fmt: str) -> None:
    """Show a campaign: what runs, the best so far, what is under way, why it stopped.

    \b
    Example:
      aiida-finales campaign show ocond
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.words import describe_overview, open_lines, say_overview

    overview = Campaign(name).overview()
    described = (say_overview if fmt == "table" else describe_overview)(overview)
    print_record({**described, "under_way": open_lines(overview)}, fmt, WITH_ERRORS)


@click.command("watch")
@options.NAME()
@options.FORMAT()
@options.with_profile
def watch(name: str, fmt: str) -> None:
    """Follow a campaign until it ends; progress goes to standard error, what was found to standard output.

    What it waits for, leaves out, or misses is told as it happens. Exit status 1 when the campaign failed.

    \b
    Example:
      aiida-finales campaign watch ocond
    """
    watch_to_end(name, fmt)


@click.command("report")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.OUTPUT(help="Folder for pictures and tables.  [default: the present one]")
@click.option("--picture", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Kind of picture.")
@options.FORMAT()
@options.with_profile
def report(names: tuple[str, ...], output: Path, picture: str, fmt: str) -> None:
    """Draw campaigns and print their tables: values against molality, the composition triangle, the progress.

    Of several campaigns one more picture shows all against molality, one panel per quantity. How many results of each
    source are valid, and why others are not, is counted.

    \b
    Example:
      aiida-finales campaign report ocond --output pictures
      aiida-finales campaign report ocond oeol --picture svg
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.front import front_lines
    from aiida_finales.operations.campaign.report import write_reports
    from aiida_finales.operations.campaign.words import count_rows, describe_overview, print_table, table_rows

    overviews = [Campaign(name).overview() for name in dict.fromkeys(names)]
    paths = write_reports(overviews, output, picture)
    counts = count_rows(overviews)
    if fmt == "json":
        campaigns = [{**describe_overview(item), "results": table_rows(item)} for item in overviews]
        print_json({"campaigns": campaigns, "counts": counts, "files": [str(path) for path in paths]})
    else:
        for overview in overviews:
            click.echo("\n".join([print_table(overview), *front_lines(overview), ""]))
            for words in overview.troubles:
                say(f"{overview.name}: {words}")
        columns = ("campaign", "source", "results", "valid", "invalid", "values", "valid_values", "reasons")
        print_rows(counts, fmt, columns, "no source")
    for path in paths:
        say(f"written: {path}")


@click.command("explain")
@options.NAME()
@options.OUTPUT(help="Folder for the picture.  [default: none is drawn]", default=None)
@click.option("--picture", type=click.Choice(["png", "svg"]), default="png", show_default=True, help="Kind of picture.")
@options.FORMAT()
@options.with_profile
def explain(name: str, output: Path | None, picture: str, fmt: str) -> None:
    """Explain what the model of a campaign has learned: effects, how sure it is, what speaks against it.

    The effect of each chemical and variable on each objective is what the target gives on average when it is there,
    with the 95 % interval. How sure the model is comes from predicting each result from all others.

    \b
    Example:
      aiida-finales campaign explain ocond --output pictures
    """
    from aiida_finales.operations.campaign.explain import draw_effects, explain_campaign, explanation_lines
    from aiida_finales.operations.campaign.report import write_figure

    found = explain_campaign(name)
    if fmt == "json":
        print_json(found)
    else:
        click.echo("\n".join(explanation_lines(found)))
    if output is not None:
        say(f"written: {write_figure(lambda: draw_effects(found), name, 'effects', output, picture)}")


@click.command("replay")
@options.NAME()
@options.FORMAT()
@options.with_profile
def replay(name: str, fmt: str) -> None:
    """Compute every suggestion again from its recorded inputs and compare; stores nothing.

    The same means: within 0.001 in every mole fraction, as far as another processor may lead. Exit status 1 when
    one differs by more; it is said in what.

    \b
    Example:
      aiida-finales campaign replay ocond
    """
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.operations.campaign import replay as replaying

    suggestions = replaying.list_suggestions(CampaignGroup.find(name))
    rows = []
    for number, item in enumerate(replaying.replay(suggestions), start=1):
        words = "same" if item.is_same else f"DIFFERS: {item.what}"
        say(f"{number}/{len(suggestions)} step {item.step} {item.source}: {words}")
        rows.append({**vars(item), "is_same": item.is_same})
    print_rows(rows, fmt, ("step", "source", "difference", "is_same", "uuid"), "the campaign has no suggestion yet")
    if not all(row["is_same"] for row in rows):
        raise SystemExit(1)


def watch_to_end(name: str, fmt: str) -> None:
    """Follow a campaign until it ends, and print what it found; exit status 1 when it failed."""
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.entry_points.watching import watch_campaign
    from aiida_finales.operations.campaign.words import describe_overview, final_words

    overview = watch_campaign(Campaign(name))
    if fmt == "json":
        print_json(describe_overview(overview))
    else:
        click.echo("\n".join(final_words(overview)))
    if not overview.is_ok:
        raise SystemExit(1)


COMMANDS = (list_, show, watch, report, explain, replay)
