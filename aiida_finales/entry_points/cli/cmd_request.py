"""``aiida-finales request``: ask for a quantity, and see what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import none_of, print_json, print_record, print_rows, say, say_done, say_rest

STATUSES = ("pending", "reserved", "resolved", "retracted")


@click.group("request", cls=NounGroup)
def request() -> None:
    """Ask for a quantity, by any of several methods; see who can serve it and what becomes of it.

    A request is a JSON or YAML file in the published form; a formulation may be written as mole fractions by name, or
    as "1 M LiPF6 in EC:EMC 3:7 w/w", a temperature as "28 °C":

    \b
      {"quantity": "conductivity", "methods": ["two_electrode"],
       "parameters": {"two_electrode": {
          "formulation": {"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47}, "temperature": 301.15}}}
    """


@request.command("check")
@options.FILE()
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def check(file: Path, is_sure: bool, fmt: str) -> None:
    """Say who could serve a request, or why nobody can and what is nearest; stores nothing.

    Exit status 1 when nobody can.

    \b
    Example:
      aiida-finales request check request.json
    """
    from aiida_finales.broker.matching import match
    from aiida_finales.operations.request.documents import read_json, read_request, tell_given
    from aiida_finales.operations.request.matching import describe_matching, explain_matching

    node = read_request(read_json(file), is_sure=is_sure)
    for words in tell_given(node.given, node.parameters):
        say(words)
    matching = match(node.quantity, node.parameters)
    if fmt == "json":
        print_json(describe_matching(matching))
    else:
        click.echo("\n".join(explain_matching(node.quantity, matching)))
    if not matching.is_feasible:
        raise SystemExit(1)


@request.command("post")
@options.FILE()
@options.WAIT(help="Wait for the result and print it.")
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def post(file: Path, wait: bool, is_sure: bool, fmt: str) -> None:
    """Post a request; the daemon serves it.

    \b
    Example:
      aiida-finales request post request.json --wait
    """
    from aiida_finales.operations.request.documents import read_json

    _post(read_json(file), wait, is_sure, fmt)


@request.command("new")
@click.argument("quantity")
@click.argument("mixture")
@click.option("--method", "methods", multiple=True, required=True, help="Acceptable method; repeatable, best first.")
@click.option("--temperature", help="With its unit, as 28 °C; a number is in K.")
@click.option("--density", type=options.FiniteRange(min=0, min_open=True), help="g/cm3 of the solution, for mol/L.")
@click.option("--set", "others", multiple=True, metavar="NAME=VALUE", help="Another parameter; repeatable.")
@options.WAIT(help="Wait for the result and print it.")
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def new(  # noqa: PLR0913, PLR0917 - one argument per option
    quantity: str,
    mixture: str,
    methods: tuple[str, ...],
    temperature: str | None,
    density: float | None,
    others: tuple[str, ...],
    wait: bool,
    is_sure: bool,
    fmt: str,
) -> None:
    """Post a request without a file: QUANTITY of a MIXTURE, said as people say it.

    What was said is kept beside the mole fractions that are stored, and so is the density that mol/L needed.

    \b
    Example:
      aiida-finales request new conductivity "1 M LiPF6 in EC:EMC 3:7 w/w" --method two_electrode --temperature "28 °C"
    """
    from aiida_finales.operations.request.documents import make_document, read_number, read_pairs

    more = read_pairs("--set", others)
    if temperature is not None:
        more["temperature"] = read_number(temperature)
    said = mixture if density is None else {"mixture": mixture, "density": density}
    _post(make_document(quantity, methods, said, more), wait, is_sure, fmt)


def _post(document: Any, wait: bool, is_sure: bool, fmt: str) -> None:
    from aiida_finales.entry_points.python import take_result
    from aiida_finales.operations.request.documents import read_request, tell_given
    from aiida_finales.operations.request.records import describe_request, describe_result
    from aiida_finales.operations.request.serving import submit_request, wait_for, who_am_i

    node = read_request(document, requester=who_am_i(), is_sure=is_sure)
    for words in tell_given(node.given, node.parameters):
        say(words)
    process = submit_request(node)
    say_done(f"request <{node.pk}> is posted, served by process <{process.pk}>")
    if not wait:
        print_record(describe_request(node), fmt)
        return
    wait_for(process)
    print_record(describe_result(take_result(process)), fmt)


@request.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only this status; may be given repeatedly.")
@options.QUANTITY()
@options.LIMIT()
@options.FORMAT()
@options.with_profile
def list_(status: tuple[str, ...], quantity: str | None, limit: int, fmt: str) -> None:
    """List requests, the latest last.

    \b
    Example:
      aiida-finales request list --status pending --status reserved
    """
    from aiida_finales.broker.listing import Selection, count_request_rows, list_request_rows
    from aiida_finales.operations.request.records import count_nodes, describe_requests

    wanted = Selection(status or None, quantity, limit=limit, newest_first=True)
    rows = describe_requests(list_request_rows(wanted)[::-1])
    columns = ["pk", "status", "quantity", "methods", "formulation", "temperature_K", "requester", "holder", "since"]
    if any(row["not_heard_from_since"] for row in rows):
        columns.append("not_heard_from_since")
    nothing = "no request: post one with 'aiida-finales request post FILE.json'"
    if not rows:
        nothing = none_of(count_nodes("request"), "request", {"status": status, "quantity": quantity}, nothing)
    print_rows(rows, fmt, columns, nothing)
    if len(rows) == limit:
        say_rest(len(rows), count_request_rows(wanted), "request")


@request.command("show")
@options.IDENTIFIER()
@options.FORMAT()
@options.with_profile
def show(identifier: str, fmt: str) -> None:
    """Show a request: status, who can serve it, its processes, its history, its result.

    \b
    Example:
      aiida-finales request show 1234
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.operations.request.records import detail_request

    print_record(detail_request(find_request(identifier)), fmt)


@request.command("reserve")
@options.IDENTIFIER()
@options.TENANT()
@click.option(
    "--lease",
    type=options.SECONDS,
    help="Seconds until it is offered again.  [default: the setting lease_s of the tenant, or never]",
)
@options.with_profile
def reserve(identifier: str, tenant: str, lease: float | None) -> None:
    """Hold a request for a tenant outside of the engine; again: renew the lease.

    \b
    Example:
      aiida-finales request reserve 1234 --tenant ASAB_tenant --lease 7200
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.broker.reservation import find_lease, reserve_request
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.data.tenant import find_tenant
    from aiida_finales.operations.request.answering import demand_candidate

    node, holder = find_request(identifier), find_tenant(tenant)
    candidate = demand_candidate(node, holder)
    chosen = find_lease(pk_of(node), candidate) if lease is None else lease
    held = reserve_request(pk_of(node), holder.name, candidate, lease=chosen)
    until = "until it is answered or released" if chosen is None else f"for {chosen:g} s"
    say_done(f"request <{node.pk}> is held by {held.holder} {until} (attempt {held.attempt}, {held.method})")


@request.command("release")
@options.IDENTIFIER()
@options.TENANT(required=False)
@options.OPERATOR()
@options.REASON()
@options.with_profile
def release(identifier: str, tenant: str | None, is_operator: bool, reason: str) -> None:
    """Give a request back; it is offered again.

    \b
    Example:
      aiida-finales request release 1234 --tenant ASAB_tenant --reason "out of EC"
      aiida-finales request release 1234 --operator --reason "looked: nothing was dosed"
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.broker.reservation import release_request
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.operations.request.answering import name_holder
    from aiida_finales.operations.request.serving import wake

    node = find_request(identifier)
    release_request(pk_of(node), name_holder(tenant, is_operator=is_operator), reason, is_operator=is_operator)
    wake(node)
    say_done(f"request <{node.pk}> is pending again")


@request.command("resolve")
@options.IDENTIFIER()
@click.option(
    "--outcome",
    type=click.Choice(["done", "not-done"]),
    required=True,
    help="Did the device act? done: it never acts again for this request; not-done: it may.",
)
@options.OPERATOR(required=True, is_flag=True)
@options.REASON(help="How you know, in a sentence; it stays in the history.")
@click.option("--result", "file", type=options.EXISTING_FILE, help="With done: JSON file with what the device found.")
@options.with_profile
def resolve(identifier: str, outcome: str, is_operator: bool, reason: str, file: Path | None) -> None:
    """Settle, after a look at the device, whether it acted; the request then goes on.

    For requests that wait for an operator: 'aiida-finales request show' says why.

    \b
    Example:
      aiida-finales request resolve 1234 --operator --outcome not-done --reason "the vial is empty"
      aiida-finales request resolve 1234 --operator --outcome done --reason "read from its screen" --result found.json
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.operations.request import answering as settling
    from aiida_finales.operations.request import serving

    node = find_request(identifier)
    say(settling.settle(node, serving.who_am_i(), outcome, reason, file))
    say_done(f"request <{node.pk}> goes on")


@request.command("retract")
@options.IDENTIFIER()
@options.REASON()
@options.FORCE()
@options.with_profile
def retract(identifier: str, reason: str, force: bool) -> None:
    """Take a request back; what serves it is stopped, down to the device.

    \b
    Example:
      aiida-finales request retract 1234 --reason "typed the wrong temperature"
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.operations.request import serving

    node = find_request(identifier)
    if not force:
        click.confirm(f"Retract request <{node.pk}>? This cannot be undone.", abort=True, err=True)
    words = serving.retract(node, serving.who_am_i(), reason)
    say(words)
    say_done(f"request <{node.pk}> is retracted")
