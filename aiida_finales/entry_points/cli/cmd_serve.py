"""``aiida-finales serve``: the HTTP server, and who may use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_rows, say, say_done, warn

if TYPE_CHECKING:
    from aiida_finales.server.access.users import UserStore

ROLES = ("requester", "tenant", "operator", "archiver", "admin")


F = TypeVar("F", bound=Callable[..., Any])


def with_address(function: F) -> F:
    """Add the options of the server to a command."""
    for option in (
        click.option(
            "--lease",
            type=click.FloatRange(min=1),
            help="Seconds until a reservation without a sign of life is offered again.  [default: never]",
        ),
        click.option("--strict", multiple=True, help="Refuse invalid results of this capability: quantity.method."),
        click.option(
            "--proxy",
            "proxies",
            multiple=True,
            help="Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto count; may be given again.",
        ),
        click.option("--open", "is_open", is_flag=True, help="Let other machines reach it; put a TLS proxy in front."),
        click.option("--port", default=13371, show_default=True, type=click.IntRange(1, 65535), help="Port."),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    ):
        function = option(function)
    return function


@click.group("serve", cls=NounGroup, invoke_without_command=True)
@with_address
@click.pass_context
def serve(context: click.Context, **options_: Any) -> None:
    """Serve requests and results over HTTP, as the published platform does, and more below /v1.

    Without a command below it starts the server.

    \b
    Example:
      aiida-finales serve user add alice --role requester
      aiida-finales serve start
    """
    if context.invoked_subcommand is None:
        _start(**options_)


@serve.command("start")
@with_address
def start(**options_: Any) -> None:
    """Start the server; it ends with Ctrl-C.

    The daemon need not run: what is posted is stored, and served when the daemon starts.

    \b
    Example:
      aiida-finales serve start --port 13371
    """
    _start(**options_)


@click.group("user", cls=NounGroup)
def user() -> None:
    """Who may use the server, in which role, and for which tenants.

    \b
    Example:
      aiida-finales serve user list
    """


serve.add_command(user)


@user.command("add")
@options.NAME()
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="May be given again.")
@click.option("--tenant", "tenants", multiple=True, help="Name or UUID of a tenant for which the user acts.")
@click.option("--password", help="Asked for when it is not given, which is safer: others see command lines.")
@options.with_profile
def add(name: str, roles: tuple[str, ...], tenants: tuple[str, ...], password: str | None) -> None:
    """Let somebody use the server; an existing user gets another password, roles and tenants.

    requester: posts requests. tenant: reserves and answers, for its tenants. operator: acts on what others hold.
    archiver: may copy everything. admin: all of it.

    \b
    Example:
      aiida-finales serve user add robin --role tenant --tenant ASAB_tenant
    """
    from aiida_finales.data.tenant import find_tenant

    acted_for = [find_tenant(tenant) for tenant in tenants]
    if password is None:
        password = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    _store().add(name, password, roles, [node.tenant_uuid for node in acted_for])
    say_done(f"user {name} may log in as {', '.join(roles)}")
    if "tenant" in roles and not acted_for:
        warn(f"{name} acts for no tenant: it reserves and answers nothing until one is named with --tenant")
    for capability, names in _find_shared(acted_for).items():
        warn(
            f"{' and '.join(names)} offer {capability} under one account: the server takes them for one, and gives "
            "both the same request. Give each a user of its own"
        )


def _find_shared(tenants: list[Any]) -> dict[str, list[str]]:
    """Return which capabilities several tenants offer, and their names."""
    names: dict[str, list[str]] = {}
    for node in {node.tenant_uuid: node for node in tenants}.values():
        for offer in node.offers:
            names.setdefault(f"{offer['quantity']}/{offer['method']}", []).append(node.name)
    return {capability: found for capability, found in names.items() if len(found) > 1}


@user.command("list")
@options.FORMAT()
@options.with_profile
def list_(fmt: str) -> None:
    """List who may use the server.

    \b
    Example:
      aiida-finales serve user list --format json
    """
    from aiida_finales.data.tenant import list_tenants

    names = {tenant.tenant_uuid: tenant.name for tenant in list_tenants(only_active=False)}
    rows: list[dict[str, Any]] = [
        {
            "name": item.name,
            "roles": list(item.roles),
            "tenants": [names.get(uuid, uuid) for uuid in item.tenants],
            "may_log_in": item.is_active,
        }
        for item in _store().all().values()
    ]
    print_rows(rows, fmt, ("name", "roles", "tenants", "may_log_in"), "no user: 'aiida-finales serve user add NAME'")


@user.command("revoke")
@options.NAME()
@click.option("--tokens-only", is_flag=True, help="Refuse the tokens of before; the user may log in again.")
@options.with_profile
def revoke(name: str, tokens_only: bool) -> None:
    """Refuse all tokens of a user, and further logins; a running server does so at once.

    \b
    Example:
      aiida-finales serve user revoke robin
    """
    _store().revoke(name, may_return=tokens_only)
    say_done(f"the tokens of {name} are refused" + ("" if tokens_only else f", and {name} may not log in any more"))


def _store() -> UserStore:
    from aiida_finales.operations.engine.profile import loaded_profile
    from aiida_finales.server.access.users import UserStore
    from aiida_finales.server.settings import default_folder

    return UserStore(default_folder(loaded_profile().name))


def _start(*, is_open: bool, strict: tuple[str, ...], **chosen: Any) -> None:
    from aiida.manage import get_manager

    from aiida_finales.operations.engine.profile import demand_profile, loaded_profile
    from aiida_finales.server.app import run_server
    from aiida_finales.server.settings import ServerSettings, default_folder

    demand_profile()
    profile = loaded_profile().name
    folder = default_folder(profile)
    # the storage belongs to the thread that opens it, and that is the server's
    get_manager().reset_profile()
    settings = ServerSettings(folder, profile, strict=frozenset(strict), **chosen)
    say(f"users and signing key are in {folder}")
    run_server(settings, is_open=is_open)
