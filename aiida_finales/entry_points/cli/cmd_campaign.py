"""``aiida-finales campaign``: optimise over several sources; check, start and steer, beside what campaigns tell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.campaign_reading import COMMANDS, WITH_ERRORS, watch_to_end
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_json, print_record, print_rows, say, say_done, warn


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
    from aiida_finales.operations.campaign.plan import describe_plan, plan_lines
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
    from aiida_finales.operations.campaign.words import describe_overview, say_overview, warnings_at_start

    started = Campaign.start(file, name, is_sure=is_sure)
    say_done(f"campaign {started.name!r} is started, process <{started.process.pk}>")
    overview = started.overview()
    for words in warnings_at_start(overview):
        warn(words)
    if wait:
        watch_to_end(started.name, fmt)
        return
    say(f"next: 'aiida-finales campaign watch {shlex.quote(started.name)}'")
    print_record((say_overview if fmt == "table" else describe_overview)(overview), fmt, WITH_ERRORS)


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
    from aiida_finales.operations.campaign.naming import name_units
    from aiida_finales.operations.campaign.words import describe_overview

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
    from aiida_finales.operations.campaign.words import describe_overview, say_overview

    changes = {
        **({"stop.evaluations": evaluations} if evaluations else {}),
        **({"stop.budget": budget} if budget else {}),
    }
    found = Campaign(name)
    found.go_on({**changes, **dict(map(_read_setting, settings))})
    say_done(f"campaign {name!r} goes on, process <{found.process.pk}>")
    if wait:
        watch_to_end(name, fmt)
        return
    say(f"next: 'aiida-finales campaign watch {shlex.quote(name)}'")
    described = (say_overview if fmt == "table" else describe_overview)(found.overview())
    print_record(described, fmt, WITH_ERRORS)


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


for command in COMMANDS:
    campaign.add_command(command)
