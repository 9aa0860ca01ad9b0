"""``aiida-finales result``: what was found; post, amend, delete."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import none_of, print_record, print_rows, say, say_done, say_rest, warn


@click.group("result", cls=NounGroup)
def result() -> None:
    """Look at what was found; post answers, amend and delete.

    \b
    Example:
      aiida-finales result list --quantity conductivity
    """


@result.command("list")
@options.QUANTITY()
@options.METHOD()
@options.LIMIT()
@options.FORMAT()
@options.with_profile
def list_(quantity: str | None, method: str | None, limit: int, fmt: str) -> None:
    """List results, the latest last.

    \b
    Example:
      aiida-finales result list --method two_electrode --limit 10
    """
    from aiida_finales.broker.listing import Selection, count_result_rows, list_result_rows
    from aiida_finales.operations.request.records import count_nodes, describe_results

    wanted = Selection(quantity=quantity, method=method, limit=limit, newest_first=True)
    rows = describe_results(list_result_rows(wanted)[::-1])
    what = ("pk", "status", "doubtful", "quantity", "method", "value", "unit", "rating")
    told = tuple(name for name in ("told", "forces") if any(name in row for row in rows))
    columns = (*what, *told, "formulation", "molality", "simulated")
    nothing = "no result: post a request, or import a file with 'aiida-finales import results'"
    if not rows:
        nothing = none_of(count_nodes("result"), "result", {"quantity": quantity, "method": method}, nothing)
    print_rows(rows, fmt, columns, nothing, {"value": "uncertainty"})
    if len(rows) == limit:
        say_rest(len(rows), count_result_rows(wanted), "result")


@result.command("show")
@options.IDENTIFIER()
@options.FORMAT()
@options.with_profile
def show(identifier: str, fmt: str) -> None:
    """Show a result with its data; 'aiida-finales why' tells where it comes from.

    \b
    Example:
      aiida-finales result show 1240
    """
    from aiida_finales.broker.results import find_result
    from aiida_finales.operations.request.records import detail_result

    print_record(detail_result(find_result(identifier)), fmt, {"value": "uncertainty"})


@result.command("post")
@click.argument("request")
@options.FILE()
@options.TENANT(required=False)
@options.OPERATOR()
@click.option("--reason", help="Why an operator answers.")
@options.YES_REALLY()
@options.with_profile
def post(request: str, file: Path, tenant: str | None, is_operator: bool, reason: str | None, is_sure: bool) -> None:
    """Answer a request for a tenant outside of the engine, or as operator.

    The file has 'data', 'parameters' (those really used) and 'method'; the published form is accepted, too.

    \b
    Example:
      aiida-finales result post 1234 answer.json --tenant ASAB_tenant
      aiida-finales result post 1234 answer.json --operator --reason "read from the device's screen"
    """
    from aiida_finales.broker.requests import find_request
    from aiida_finales.broker.state import append_history, read_state
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.data.result import find_slip
    from aiida_finales.operations.request.answering import name_holder, post_answer
    from aiida_finales.operations.request.documents import read_answer, read_json

    if is_operator and not reason:
        raise click.UsageError("an operator answers for a reason: give --reason")
    node = find_request(request)
    answer = {**read_answer(read_json(file), node), "is_sure": is_sure}
    if not is_sure and (words := find_slip(node.quantity, answer["data"], answer["parameters"])):
        warn(f"{words}. It counts as it is; should it be wrong, amend it")
    was_heard = post_answer(node, answer, tenant=tenant, is_operator=is_operator)
    if reason:
        status = str(read_state(pk_of(node)).get("status"))
        who = name_holder(tenant, is_operator=is_operator)
        append_history(pk_of(node), who=who, before=status, after=status, why=reason)
    say("its process makes the result now" if was_heard else "its process makes the result when the daemon runs")
    say_done(f"request <{node.pk}> is answered")


@result.command("delete")
@options.IDENTIFIER()
@options.REASON()
@options.FORCE()
@options.with_profile
def delete(identifier: str, reason: str, force: bool) -> None:
    """Declare that a result must not be used; it stays, what was derived from it is marked doubtful.

    \b
    Example:
      aiida-finales result delete 1240 --reason "the cell had a bubble"
    """
    from aiida_finales.broker.results import delete_result, find_result
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.operations.request.serving import who_am_i
    from aiida_finales.schemas.values import format_value, unit_of

    node = find_result(identifier)
    words = format_value(node.value, node.uncertainty, unit_of(node.quantity))
    if not force:
        click.confirm(f"Declare result <{node.pk}> ({node.quantity} {words}) deleted?", abort=True, err=True)
    delete_result(pk_of(node), who_am_i(), reason)
    say_done(f"result <{node.pk}> is deleted: optimisers no longer learn from it")


@result.command("amend")
@options.IDENTIFIER()
@options.REASON()
@click.option("--replacement", help="The result that counts from now on.")
@options.with_profile
def amend(identifier: str, reason: str, replacement: str | None) -> None:
    """Declare that a result was corrected; with a replacement, that one counts from now on.

    \b
    Example:
      aiida-finales result amend 1240 --reason "cell constant was wrong" --replacement 1302
    """
    from aiida_finales.broker.results import amend_result, find_result
    from aiida_finales.data.nodes import pk_of
    from aiida_finales.operations.request.serving import who_am_i

    node = find_result(identifier)
    other = find_result(replacement) if replacement else None
    amend_result(pk_of(node), who_am_i(), reason, other)
    say_done(f"result <{node.pk}> is amended" + (f", <{other.pk}> counts instead" if other else ""))
