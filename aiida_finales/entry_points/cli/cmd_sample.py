"""``aiida-finales sample``: stock solutions, vials and cells; where they are and where they come from."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import none_of, print_json, print_record, print_rows, say, say_done, say_rest
from aiida_finales.schemas.words import be, count

KINDS = ("stock", "vial", "cell")


@click.group("sample", cls=NounGroup)
def sample() -> None:
    """Find stock solutions, vials of electrolyte and cells: where they are, of what they were made, what came of them.

    A sample is named by what is written on it, by its pk or its UUID.

    \b
    Example:
      aiida-finales sample list --kind cell
      aiida-finales sample trace vial-1f0c22aa
    """


@sample.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only these.")
@click.option("--status", type=click.Choice(["good", "invalid"]), help="Only these.")
@click.option("--at", "address", help="Only those that are at this address now.")
@options.LIMIT()
@options.FORMAT()
@options.with_profile
def list_(kind: str | None, status: str | None, address: str | None, limit: int, fmt: str) -> None:
    """List samples, the latest last.

    \b
    Example:
      aiida-finales sample list --at Cycler
    """
    from aiida_finales.broker.samples import SampleSelection
    from aiida_finales.operations.origin.genealogy import describe_samples
    from aiida_finales.operations.request.records import count_nodes

    selection = SampleSelection(kind, status, address)
    rows = describe_samples(selection, limit, newest_first=True)[::-1]
    columns = ("pk", "identity", "kind", "status", "location", "formulation", "simulated", "made")
    nothing = "no sample: register one with 'aiida-finales sample add'"
    if not rows:
        wanted = {"kind": kind, "status": status, "address": address}
        nothing = none_of(count_nodes("sample"), "sample", wanted, nothing)
    print_rows(rows, fmt, columns, nothing)
    if len(rows) == limit:
        say_rest(len(rows), selection.ask("id").count(), "sample")


@sample.command("show")
@options.IDENTIFIER()
@options.FORMAT()
@options.with_profile
def show(identifier: str, fmt: str) -> None:
    """Show a sample: content, location, what it was made of, what it was used for, its history.

    \b
    Example:
      aiida-finales sample show cell-1f0c22aa-03
    """
    from aiida_finales.data.sample import find_sample
    from aiida_finales.operations.origin.genealogy import detail_sample

    print_record(detail_sample(find_sample(identifier)), fmt)


@sample.command("trace")
@options.IDENTIFIER()
@options.FORMAT()
@options.with_profile
def trace(identifier: str, fmt: str) -> None:
    """Show where a sample comes from and everything that came of it.

    \b
    Example:
      aiida-finales sample trace vial-1f0c22aa
    """
    from aiida_finales.data.sample import find_sample
    from aiida_finales.operations.origin.genealogy import detail_sample, tell_tree, trace_back, trace_forward

    node = find_sample(identifier)
    back, forward = trace_back(node), trace_forward(node)
    if fmt == "json":
        print_json({"sample": detail_sample(node), "made_of": back, "made_from_it": forward})
        return
    click.echo(f"{node.kind} {node.identity}  <{node.pk}>")
    for title, lines in (("was made of", back), ("was used for", forward)):
        click.echo(f"\n{title}")
        for line in tell_tree(lines) or ["nothing that is known"]:
            click.echo(f"  {line}")


@sample.command("add")
@options.FILE()
@options.with_profile
def add(file: Path) -> None:
    """Register samples that no calculation made, from a JSON file: one object or a list.

    \b
    Each has: identity, kind (stock, vial, cell), location {"address": ...}, and content, e.g.
      {"identity": "stock-7", "kind": "stock", "location": {"address": "ASAB"},
       "content": {"formulation": {"LiPF6": 0.12, "EC": 0.48, "EMC": 0.40}}}

    Example:
      aiida-finales sample add stocks.json
    """
    from aiida_finales.operations.request.documents import read_json, register_all

    for node in register_all(read_json(file)):
        say(f"{node.kind} {node.identity}  <{node.pk}>")
    say_done("registered")


@sample.command("move")
@click.argument("identifiers", nargs=-1, required=True)
@click.option("--to", "address", required=True, help="Where they are now.")
@click.option("--detail", "details", multiple=True, help="More precisely; may be given twice.")
@options.REASON(default="carried by hand", required=False, show_default=True)
@options.with_profile
def move(identifiers: tuple[str, ...], address: str, details: tuple[str, ...], reason: str) -> None:
    """Record that samples were carried somewhere.

    \b
    Example:
      aiida-finales sample move vial-1f0c22aa --to AutoBASS --detail "tray 2"
    """
    from aiida_finales.broker.samples import move_samples, say_place
    from aiida_finales.data.sample import find_sample
    from aiida_finales.operations.request.serving import who_am_i

    first, second = [*details, None, None][:2]
    place = {"address": address, "detail_1": first, "detail_2": second}
    identities = [find_sample(identifier).identity for identifier in identifiers]
    move_samples(identities, place, who_am_i(), reason)
    say_done(f"{count(len(identities), 'sample')} {be(len(identities))} at {say_place(place)}")


@sample.command("invalidate")
@options.IDENTIFIER()
@options.REASON()
@options.FORCE()
@options.with_profile
def invalidate(identifier: str, reason: str, force: bool) -> None:
    """Declare that a sample must not be trusted, nor what was made of it or measured on it; nothing is removed.

    Samples made of it become invalid, results measured on them deleted, and what was computed from these doubtful:
    optimisers stop learning from all of it.

    \b
    Example:
      aiida-finales sample invalidate stock-EC-2 --reason "the bottle was open over night"
    """
    from aiida_finales.broker.samples import invalidate_sample
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.data.sample import SampleData, find_sample
    from aiida_finales.operations.origin.genealogy import trace_forward
    from aiida_finales.operations.request.serving import who_am_i

    node = find_sample(identifier)
    if not force:
        came = count(len(trace_forward(node)), "sample or result", "samples and results")
        question = f"Declare {node.kind} {node.identity} invalid, with {came} that came of it?"
        click.confirm(question, abort=True, err=True)
    concerned = invalidate_sample(pk_of(node), who_am_i(), reason)
    n_samples = sum(isinstance(item, SampleData) for item in concerned)
    say_done(
        f"{count(n_samples, 'sample')} {be(n_samples)} invalid, {len(concerned) - n_samples} results and suggestions "
        "are not to be used"
    )
