"""``aiida-finales tenant``: who offers what, within which limitations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say, say_done, warn


@click.group("tenant", cls=NounGroup)
def tenant() -> None:
    """Who offers capabilities: robots, simulations, models, people; each within limitations.

    \b
    Example:
      aiida-finales tenant list
    """


@tenant.command("list")
@options.ALL()
@options.FORMAT()
@options.with_profile
def list_(is_all: bool, fmt: str) -> None:
    """List the tenants and how many requests each holds now.

    \b
    Example:
      aiida-finales tenant list --all
    """
    from aiida_finales.broker.requests import open_states
    from aiida_finales.data.tenant import list_tenants

    held = [state.get("tenant") for state in open_states().values()]
    rows = [_describe(node, held.count(node.tenant_uuid)) for node in list_tenants(only_active=not is_all)]
    columns = ("name", "kind", "offers", "holds", "version", "is_active", "tenant_uuid")
    nothing = "no tenant: run 'aiida-finales setup' or 'aiida-finales tenant add'"
    if not rows and list_tenants(only_active=False):
        nothing = "no tenant is active: 'tenant list --all' shows the others, 'tenant activate' returns one"
    print_rows(rows, fmt, columns, nothing)


@tenant.command("show")
@options.NAME()
@options.FORMAT()
@options.with_profile
def show(name: str, fmt: str) -> None:
    """Show one tenant with its limitations.

    \b
    Example:
      aiida-finales tenant show asab-simulated
    """
    from aiida_finales.broker.requests import open_states
    from aiida_finales.data.tenant import find_tenant

    node = find_tenant(name)
    held = [state.get("tenant") for state in open_states().values()]
    record = _describe(node, held.count(node.tenant_uuid))
    record |= {"max_concurrent": node.max_concurrent, "contact": node.contact, "uuid_of_version": node.uuid}
    print_record({**record, "offers": node.offers if fmt == "json" else _offer_lines(node)}, fmt)


@tenant.command("add")
@options.FILE()
@click.option("--uuid", "tenant_uuid", help="Identity of the tenant; default: that of the file, or a new one.")
@click.option(
    "--kind", type=click.Choice(["external", "human", "internal"]), help="Default: that of the file, or external."
)
@options.YES_REALLY()
@options.FORMAT()
@options.with_profile
def add(file: Path, tenant_uuid: str | None, kind: str | None, is_sure: bool, fmt: str) -> None:
    """Register a tenant from a JSON or YAML file, or replace it: that makes a new version.

    Accepted are the published form (name, limitations, contact_person, tenant_uuid) and ours (name, offers, kind,
    max_concurrent, contact, tenant_uuid). Sections 'chemicals', 'electrodes', 'separators',
    'cell_formats' describe what is not known here yet.

    \b
    Example:
      aiida-finales tenant add asab.json --kind external
    """
    from aiida_finales.broker.registration import add_tenant, check_settings
    from aiida_finales.operations.platform.laboratory import tell_twins
    from aiida_finales.operations.request.documents import (
        read_json,
        read_tenant,
        tell_idle,
        tell_unknown,
        tell_unused,
    )

    fields = read_tenant(read_json(file))
    if tenant_uuid is not None:
        fields["tenant_uuid"] = tenant_uuid
    if kind is not None:
        fields["kind"] = kind
    node = add_tenant(**fields, is_sure=is_sure)
    say_done(f"tenant {node.name} version {node.version} is active")
    for words in tell_twins(node.name):
        warn(words)
    for words in (*tell_unknown(node.offers), *tell_idle(node.offers), *tell_unused(node.kind, node.offers)):
        warn(words)
    _follow(node.name)
    for remark in dict.fromkeys(check_settings(node.offers)):
        say(f"note: {remark}")
    print_record(_describe(node, 0), fmt)


@tenant.command("add-simulation")
@click.argument("computer")
@click.option("--program", help="Path of finales-md there.  [default: that of this environment, or its bare name]")
@click.option("--protocol", help="fast, moderate or published.  [default: moderate]")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Setting that differs; repeatable.")
@click.option("--slots", type=options.COUNT, default=1, show_default=True, help="Liquids at the same time.")
@click.option(
    "--cost",
    type=options.FiniteRange(min=0, max=1e6, min_open=True),
    default=20.0,
    show_default=True,
    help="Of a result.",
)
@options.FORMAT()
@options.with_profile
def add_simulation(  # noqa: PLR0913, PLR0917 - one argument per option
    computer: str,
    program: str | None,
    protocol: str | None,
    overrides: tuple[str, ...],
    slots: int,
    cost: float,
    fmt: str,
) -> None:
    """Offer molecular dynamics on a computer that AiiDA knows; a second call replaces the first.

    \b
    Example:
      aiida-finales tenant add-simulation cluster --program /opt/venv/bin/finales-md --protocol published
    """
    from aiida_finales.operations.platform.simulation import setup_simulation
    from aiida_finales.operations.request.documents import read_pairs

    node = setup_simulation(
        computer,
        program=program,
        protocol=protocol,
        overrides=read_pairs("--set", overrides),
        max_concurrent=slots,
        cost=cost,
    )
    say_done(f"tenant {node.name} version {node.version} is active")
    print_record(_describe(node, 0), fmt)


@tenant.command("add-potential")
@click.argument("computer")
@click.option("--input", "given", type=options.EXISTING_FILE, required=True, help="Input of finales-mlp.")
@click.option("--start", required=True, multiple=True, metavar="FRAMES",
              help="To start from: a file in extended XYZ, or PK or UUID of a StructureData or TrajectoryData; "
              "of such nodes repeatable.")  # fmt: skip
@click.option("--species", type=options.EXISTING_FILE, multiple=True,
              help="Further species, as for finales-mlp; repeatable.")  # fmt: skip
@click.option("--potential", help="Folder of finales-mlp, or PK or UUID.  [default: the reference method itself]")
@click.option("--program", help="Path of finales-mlp there.  [default: that of this environment, or its bare name]")
@click.option("--protocol", help="fast, moderate or published.  [default: that of the method]")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Setting that differs; repeatable.")
@click.option(
    "--cost",
    type=options.FiniteRange(min=0, max=1e6, min_open=True),
    default=50.0,
    show_default=True,
    help="Of a result.",
)
@options.FORMAT()
@options.with_profile
def add_potential(  # noqa: PLR0913, PLR0917 - one argument per option
    computer: str,
    given: Path,
    start: tuple[str, ...],
    species: tuple[Path, ...],
    potential: str | None,
    program: str | None,
    protocol: str | None,
    overrides: tuple[str, ...],
    cost: float,
    fmt: str,
) -> None:
    """Offer dynamics by a potential, for the mixture and near the temperature that it learned.

    Without --potential the reference method itself is offered, for structure and coordination. A second call for the
    same mixture replaces the first.

    \b
    Example:
      aiida-finales tenant add-potential cluster --input potential.json --potential potential_3 --start held_out.xyz
    """
    from aiida_finales.operations.platform.learned_dynamics import (
        Dynamics,
        open_frames,
        setup_learned_dynamics,
        tell_unseen,
    )
    from aiida_finales.operations.request.documents import read_pairs

    with open_frames(start) as frames:
        node = setup_learned_dynamics(
            computer,
            Dynamics(given, frames, potential, species),
            program=program,
            protocol=protocol,
            overrides=read_pairs("--set", overrides),
            cost=cost,
        )
    say_done(f"tenant {node.name} version {node.version} is active")
    for words in tell_unseen():
        warn(words)
    print_record(_describe(node, 0), fmt)


@tenant.command("add-workflow")
@click.option("--chain", "settings", multiple=True, metavar="NAME=VALUE", help="Setting that differs; repeatable.")
@click.option("--slots", type=options.COUNT, default=4, show_default=True, help="Requests at the same time.")
@click.option("--name", default="degradation-workflow", show_default=True, help="Name of the tenant.")
@options.FORMAT()
@options.with_profile
def add_workflow(settings: tuple[str, ...], slots: int, name: str, fmt: str) -> None:
    """Offer what the active tenants can do together: an electrolyte, cells, capacities, an end of life.

    It offers each of these for which all steps are offered, within what those who do the steps can do. A second call
    replaces the first; when the other tenants change, what it offers follows by itself.

    \b
    Example:
      aiida-finales tenant add-workflow --chain batch_volume=4
    """
    from aiida_finales.operations.platform.chain import register_workflow
    from aiida_finales.operations.request.documents import read_pairs

    node = register_workflow(read_pairs("--chain", settings), slots, name)
    say_done(f"tenant {node.name} version {node.version} is active")
    print_record(_describe(node, 0), fmt)


@tenant.command("deactivate")
@options.NAME()
@options.with_profile
def deactivate(name: str) -> None:
    """Give a tenant no new requests; what it holds goes on.

    \b
    Example:
      aiida-finales tenant deactivate asab-simulated
    """
    from aiida_finales.broker.registration import switch_tenant

    node = switch_tenant(name, is_active=False)
    say_done(f"tenant {node.name} gets no new requests")
    _follow(node.name)


@tenant.command("activate")
@options.NAME()
@options.with_profile
def activate(name: str) -> None:
    """Give a deactivated tenant requests again.

    \b
    Example:
      aiida-finales tenant activate asab-simulated
    """
    from aiida_finales.broker.registration import switch_tenant
    from aiida_finales.operations.platform.laboratory import tell_twins

    node = switch_tenant(name, is_active=True)
    say_done(f"tenant {node.name} gets requests again")
    for words in tell_twins(node.name):
        warn(words)
    _follow(node.name)


@tenant.command("limitations")
@options.NAME()
@options.FILE()
@options.YES_REALLY()
@options.with_profile
def limitations(name: str, file: Path, is_sure: bool) -> None:
    """Replace the limitations of a tenant by those of a file; what is pending is checked again.

    The file holds one offer, a list of offers, or a tenant; offers that it does not name stay as they are.

    \b
    Example:
      aiida-finales tenant limitations asab-simulated narrower.json
    """
    from aiida_finales.broker.registration import add_tenant
    from aiida_finales.data.tenant import find_tenant
    from aiida_finales.operations.request.documents import read_json, replace_limitations, tell_idle

    current = find_tenant(name)
    node = add_tenant(
        current.name,
        replace_limitations(current.offers, read_json(file)),
        tenant_uuid=current.tenant_uuid,
        kind=current.kind,
        max_concurrent=current.max_concurrent,
        contact=current.contact,
        is_sure=is_sure,
    )
    change = "unchanged" if node.version == current.version else f"now version {node.version}"
    say_done(f"limitations of {node.name}: {change}")
    for words in tell_idle(node.offers):
        warn(words)
    _follow(node.name)


def _follow(name: str) -> None:
    """Let workflow tenants follow a change of a tenant, and say so."""
    from aiida_finales.operations.platform.chain import follow_steps

    for words in follow_steps(name):
        say(words)


def _describe(node: Any, n_held: int) -> dict[str, Any]:
    return {
        "name": node.name,
        "kind": node.kind,
        "offers": [f"{offer['quantity']}/{offer['method']}" for offer in node.offers],
        "holds": f"{n_held} of {node.max_concurrent}",
        "version": node.version,
        "is_active": node.is_active,
        "tenant_uuid": node.tenant_uuid,
    }


def _offer_lines(node: Any) -> list[str]:
    """Return what is allowed, in words."""
    import math

    from aiida_finales.exceptions import InputError
    from aiida_finales.schemas.chemicals import chemical_label
    from aiida_finales.schemas.limitations.offer import Offer, allowed_values, formulation_regions

    lines = []
    for document in node.offers:
        offer = Offer.from_dict(document)
        lines.append(f"{offer.quantity} by {offer.method}, cost {document.get('cost', 1)}")
        try:
            ranges = [pair for pair in allowed_values(offer, "temperature") if all(map(math.isfinite, pair))]
        except InputError:
            ranges = []
        lines += [f"  temperature {low:g} to {high:g} K" for low, high in ranges]
        for number, region in enumerate(formulation_regions(offer), start=1):
            bounds = zip(region.names, region.lower, region.upper, strict=True)
            words = ", ".join(f"{chemical_label(name)} {low:.4g} to {high:.4g}" for name, low, high in bounds)
            lines.append(f"  formulation {number}: {words} mol/mol, {len(region.bound)} linear constraints")
    return lines
