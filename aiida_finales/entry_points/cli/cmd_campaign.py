"""``aiida-finales campaign``: optimise over several sources; check, start, watch, steer, report, stop, replay."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_json, print_record, print_rows, say, say_done, say_rest, warn

#: of a campaign as a row: key of the uncertainty by the key of the value
WITH_ERRORS = {"best_value": "best_uncertainty", "recommended_mean": "recommended_sd"}


@click.group("campaign", cls=NounGroup)
def campaign() -> None:
    """Optimise over several sources at once, from a campaign file.

    \b
    Example:
      aiida-finales campaign check examples/ocond.yaml
      aiida-finales campaign start examples/ocond.yaml
      aiida-finales campaign watch ocond
      aiida-finales campaign report ocond --output pictures
    """


@campaign.command("check")
@options.FILE()
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def check(file: Path, is_sure: bool, fmt: str) -> None:
    """Show what a campaign file would look for: space, tenants, costs, time; nothing is stored.

    The space is what the tenants of each source offer now, narrowed by the file ('within'). Everything that would
    prevent a start is told.

    \b
    Example:
      aiida-finales campaign check examples/ocond.yaml
    """
    from aiida_finales.operations.campaign.prospect import describe_plan, plan_lines
    from aiida_finales.operations.campaign.start import is_taken, plan_campaign

    plan = plan_campaign(file, may_exist=True, is_sure=is_sure)
    described = describe_plan(plan)
    if fmt == "json":
        print_json(described)
    else:
        click.echo("\n".join(plan_lines(described)))
    if is_taken(plan.campaign.name):
        warn(f"a campaign {plan.campaign.name!r} exists already: start this one with --name")


@campaign.command("access")
@options.NAME()
@click.option("--openness", type=click.Choice(["public", "restricted", "confidential"]), help="Who may read it.")
@click.option("--reader", "readers", multiple=True, help="Account of the server that may; names all; may be repeated.")
@click.option("--embargo", metavar="DATE", help="First day on which 'public' is public, e.g. 2027-01-31; 'none': no.")
@options.FORMAT()
@options.with_profile
def access(name: str, openness: str | None, readers: tuple[str, ...], embargo: str | None, fmt: str) -> None:
    """Show or change who may read a campaign over HTTP, and in which packages it may leave; a change counts at once.

    public: all accounts of the server. restricted: the readers that are named; no public package has it.
    confidential: the readers that are named; it leaves in no package that is public or restricted.

    \b
    Example:
      aiida-finales campaign access ocond
      aiida-finales campaign access ocond --openness restricted --reader alice --reader bob
      aiida-finales campaign access ocond --openness public --embargo 2027-01-31
    """
    from aiida_finales.data.campaign import CampaignGroup
    from aiida_finales.schemas.access import change_access

    group = CampaignGroup.find(name)
    changed = change_access(group.access, openness, readers, embargo)
    if changed != group.access:
        group.set_access(changed)
        say_done(f"campaign {name!r} is {changed.openness_on()} from now on")
    print_record({**changed.model_dump(mode="json"), "today": changed.openness_on().value}, fmt)


@campaign.command("start")
@options.FILE()
@click.option("--name", help="Instead of the name in the file.")
@options.YES_REALLY()
@options.WAIT(help="Watch until it has ended.")
@options.FORMAT()
@options.with_profile
def start(file: Path, name: str | None, is_sure: bool, wait: bool, fmt: str) -> None:
    """Start a campaign in the daemon; everything that can be wrong is found before anything is stored.

    \b
    Example:
      aiida-finales campaign start examples/ocond.yaml --name ocond-2 --wait
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.words import describe_overview, warnings_at_start

    started = Campaign.start(file, name, is_sure=is_sure)
    say_done(f"campaign {started.name!r} is started, process <{started.process.pk}>")
    overview = started.overview()
    for words in warnings_at_start(overview):
        warn(words)
    if wait:
        _watch(started.name, fmt)
        return
    say(f"next: 'aiida-finales campaign watch {shlex.quote(started.name)}'")
    print_record(describe_overview(overview), fmt, WITH_ERRORS)


@campaign.command("list")
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


@campaign.command("show")
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
    from aiida_finales.operations.campaign.words import describe_overview, open_lines

    overview = Campaign(name).overview()
    print_record({**describe_overview(overview), "under_way": open_lines(overview)}, fmt, WITH_ERRORS)


@campaign.command("watch")
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
    _watch(name, fmt)


@campaign.command("report")
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
    from aiida_finales.operations.campaign.report import write_reports
    from aiida_finales.operations.campaign.words import (
        count_rows,
        describe_overview,
        front_lines,
        print_table,
        table_rows,
    )

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


@campaign.command("suggest")
@options.NAME()
@click.option("--source", help="Of which source.  [default: the one whose turn it is]")
@options.FORMAT()
@options.with_profile
def suggest(name: str, source: str | None, fmt: str) -> None:
    """Show what a campaign would ask for next, and why; nothing is stored and nobody is asked.

    \b
    Example:
      aiida-finales campaign suggest ocond
    """
    from aiida_finales.operations.campaign.prospect import preview_suggestion, suggestion_lines

    found = preview_suggestion(name, source)
    if fmt == "json":
        print_json(found)
    else:
        click.echo("\n".join(suggestion_lines(found)))


@campaign.command("add")
@options.NAME()
@click.option(
    "--point",
    "points",
    multiple=True,
    required=True,
    metavar="'NAME=NUMBER ...'",
    help="Mole fractions by chemical, or a mixture in words, then variables; several times for several points.",
)
@click.option("--source", help="Of which source to ask.  [default: the target]")
@click.option("--reason", default="", help="Why, in a sentence.")
@options.with_profile
def add(name: str, points: tuple[str, ...], source: str | None, reason: str) -> None:
    """Put points of your own into the queue of a campaign: they are asked next, before what the model suggests.

    They count as the others do: towards evaluations and budget, and the model learns from them.

    \b
    Example:
      aiida-finales campaign add ocond --point 'LiPF6=0.08 EC=0.30 EMC=0.62' --reason "the standard"
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.steer import read_campaign, read_point

    found = Campaign(name)
    _, told = read_campaign(found.group)
    for numbers in [read_point(words, told.categories) for words in points]:
        for request in found.add(numbers, reason, source=source):
            say_done(f"request <{request.pk}> is in the queue of campaign {name!r}")
    if found.process.is_terminated:
        say(f"the campaign has ended: 'aiida-finales campaign continue {shlex.quote(name)}' asks for it")


@campaign.command("choose")
@options.NAME()
@click.option("--point", type=options.COUNT, help="Number of a point of the front.  [default: list them]")
@click.option("--measured", "is_measured", is_flag=True, help="Of the measured front instead of the predicted one.")
@options.FORMAT()
@options.with_profile
def choose(name: str, point: int | None, is_measured: bool, fmt: str) -> None:
    """Choose a point of the front of several objectives: its formulation, and what it is expected to give.

    Without a number the points are listed, in the order of the first objective.

    \b
    Example:
      aiida-finales campaign choose demonstration --point 3 --format json
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.front import choose_point, explain_no_front
    from aiida_finales.operations.campaign.words import describe_overview, name_units

    overview = Campaign(name).overview()
    if point is not None:
        chosen = choose_point(overview, point, is_measured=is_measured)
        print_record(name_units(chosen, overview) if fmt == "table" else chosen, fmt)
        return
    kind = "measured" if is_measured else "predicted"
    rows = describe_overview(overview).get(f"front_{kind}", [])
    if fmt == "table":
        rows = [name_units(row, overview) for row in rows]
    print_rows(rows, fmt, list(rows[0]) if rows else (), explain_no_front(overview, kind))


@campaign.command("explain")
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


@campaign.command("continue")
@options.NAME()
@click.option("--evaluations", type=options.COUNT, help="Results after which it ends, those before included.")
@click.option("--budget", type=options.FiniteRange(min=0, min_open=True), help="Costs after which it ends, likewise.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another key of the campaign file, such as sources.two_electrode.evaluations=30.",
)
@options.WAIT(help="Watch until it has ended.")
@options.FORMAT()
@options.with_profile
def continue_(
    name: str, evaluations: int | None, budget: float | None, settings: tuple[str, ...], wait: bool, fmt: str
) -> None:
    """Go on with a campaign that has finished, was stopped or has failed.

    It is a new process of the same campaign: what was measured counts, and so does what it cost; requests that are
    still under way are waited for and not made again. What is optimised cannot change; ends and limits can.

    \b
    Example:
      aiida-finales campaign continue ocond --evaluations 40 --set sources.two_electrode.evaluations=25
    """
    from aiida_finales.entry_points.python import Campaign
    from aiida_finales.operations.campaign.words import describe_overview

    changes = {
        **({"stop.evaluations": evaluations} if evaluations else {}),
        **({"stop.budget": budget} if budget else {}),
    }
    found = Campaign(name)
    found.go_on({**changes, **dict(map(_read_setting, settings))})
    say_done(f"campaign {name!r} goes on, process <{found.process.pk}>")
    if wait:
        _watch(name, fmt)
        return
    say(f"next: 'aiida-finales campaign watch {shlex.quote(name)}'")
    described = describe_overview(found.overview())
    brief = {key: value for key, value in described.items() if not key.startswith("front_")}
    print_record(brief if fmt == "table" else described, fmt, WITH_ERRORS)


@campaign.command("stop")
@options.NAME()
@options.REASON()
@click.option("--now", "is_now", is_flag=True, help="Retract also what tenants are working on.")
@options.FORCE()
@options.with_profile
def stop(name: str, reason: str, is_now: bool, force: bool) -> None:
    """Let a campaign ask for nothing more; it ends with its recommendation once the last answer is there.

    \b
    Example:
      aiida-finales campaign stop ocond --reason "good enough"
    """
    from aiida_finales.entry_points.python import Campaign

    found = Campaign(name)
    if not force:
        click.confirm(f"Stop campaign {name!r}? Only 'campaign continue' goes on then.", abort=True, err=True)
    for line in found.stop(reason, now=is_now):
        say(line)
    say_done(f"campaign {name!r} asks for nothing more")


@campaign.command("replay")
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


def _read_setting(words: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``; the value is read as in a campaign file."""
    import yaml

    from aiida_finales.exceptions import explain_syntax_error

    key, found, value = words.partition("=")
    try:
        number = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise click.BadParameter(
            f"{words!r}: {value!r} is no value of a campaign file: {explain_syntax_error(error)}"
        ) from error
    if not found or not key:
        raise click.BadParameter(f"{words!r} is no KEY=VALUE, such as stop.evaluations=40")
    return key, number


def _watch(name: str, fmt: str) -> None:
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
