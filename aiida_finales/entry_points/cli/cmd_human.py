"""``aiida-finales human``: what waits for people, and their answers."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_rows, say, say_done, say_rest

WHO = click.option("--who", help="Your name.  [default: your account]")


@click.group("human", cls=NounGroup)
def human() -> None:
    """See what waits for people - samples to carry, questions to answer - and answer it.

    \b
    Example:
      aiida-finales human list
      aiida-finales human done 1234 --sample vial-1f0c22aa
    """


@human.command("list")
@options.LIMIT(help="Show so many, those that wait longest.")
@options.FORMAT()
@options.with_profile
def list_(limit: int, fmt: str) -> None:
    """List what waits for people: what is to be done, with which samples, since when; what waits longest comes first.

    \b
    Example:
      aiida-finales human list
    """
    from aiida_finales.broker.requests import open_states
    from aiida_finales.operations.request.people import describe_tasks, find_tasks

    found = find_tasks(open_states())
    rows = describe_tasks(found, limit)
    print_rows(rows, fmt, ("pk", "what", "samples", "for", "status", "since", "requester"), "nothing waits for people")
    say_rest(len(rows), len(found), "task", "oldest")


@human.command("done")
@options.IDENTIFIER()
@click.option("--sample", "samples", multiple=True, help="What is written on the sample; once for each.")
@click.option("--at", "address", help="Where it is now, if not at the destination.")
@click.option("--detail", "details", multiple=True, help="Where exactly; may be given twice.")
@click.option("--answer", "file", type=options.EXISTING_FILE, help="JSON file with the answer, if it is no transport.")
@options.YES_REALLY()
@WHO
@options.with_profile
def done(  # noqa: PLR0913, PLR0917 - one argument per option
    identifier: str,
    samples: tuple[str, ...],
    address: str | None,
    details: tuple[str, ...],
    file: Path | None,
    is_sure: bool,
    who: str | None,
) -> None:
    """Say that a task is done: here, or somewhere else than was asked for.

    \b
    Example:
      aiida-finales human done 1234 --sample vial-1f0c22aa
      aiida-finales human done 1234 --sample vial-1f0c22aa --at AutoBASS --detail "tray 2"
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.operations.request import people
    from aiida_finales.operations.request.answering import post_answer
    from aiida_finales.operations.request.documents import read_answer, read_json
    from aiida_finales.operations.request.serving import who_am_i

    node = find_request(identifier)
    person = people.demand_task(node)
    if file is not None:
        answer = {**read_answer(read_json(file), node), "is_sure": is_sure}
        heard = post_answer(node, answer, tenant=person.name)
    elif node.quantity != "transport":
        raise click.UsageError(f"{node.quantity} is answered by a file: give --answer FILE.json")
    else:
        first, second = [*details, None, None][:2]
        place = {"address": address, "detail_1": first, "detail_2": second} if address else None
        heard = people.finish_transport(node, person, who or who_am_i(), samples=samples, location=place)
    say("its process goes on now" if heard else "its process goes on when the daemon runs")
    say_done(f"request <{node.pk}> is done")


@human.command("refuse")
@options.IDENTIFIER()
@options.REASON()
@WHO
@options.with_profile
def refuse(identifier: str, reason: str, who: str | None) -> None:
    """Say that a task will not be done, and why.

    \b
    Example:
      aiida-finales human refuse 1234 --reason "the vial is broken"
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.operations.request import people
    from aiida_finales.operations.request.serving import who_am_i

    node = find_request(identifier)
    words = people.refuse_task(node, people.demand_task(node), who or who_am_i(), reason)
    say_done(words)
