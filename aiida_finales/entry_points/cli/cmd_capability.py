"""``aiida-finales capability``: what can be asked for."""

from __future__ import annotations

from typing import Any

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_json, print_record, print_rows, say_done


@click.group("capability", cls=NounGroup)
def capability() -> None:
    """See what can be asked for: a quantity by a method, with the schemas of parameters and result.

    \b
    Example:
      aiida-finales capability list
    """


@capability.command("list")
@options.ALL()
@options.FORMAT()
@options.with_profile
def list_(is_all: bool, fmt: str) -> None:
    """List the capabilities and who offers them now.

    \b
    Example:
      aiida-finales capability list --format json
    """
    from aiida_finales.data.capability import list_capabilities

    rows = [_describe(node) for node in list_capabilities(only_active=not is_all)]
    columns = ("quantity", "method", "version", "is_active", "tenants")
    nothing = "no capability is registered: run 'aiida-finales setup'"
    if not rows and list_capabilities(only_active=False):
        nothing = "no capability is active: 'capability list --all' shows the others, 'setup' activates ours"
    print_rows(rows, fmt, columns, nothing)


@capability.command("show")
@click.argument("quantity")
@click.argument("method")
@options.FORMAT()
@options.with_profile
def show(quantity: str, method: str, fmt: str) -> None:
    """Show one capability: who offers it, and its parameters with units.

    \b
    Example:
      aiida-finales capability show conductivity two_electrode
    """
    from aiida_finales.data.capability import find_capability

    node = find_capability(quantity, method)
    fields = node.parameters_schema.get("properties", {})
    required = node.parameters_schema.get("required", [])
    parameters = {
        name: f"{'required' if name in required else 'optional'}: {_words(field)}" for name, field in fields.items()
    }
    print_record({**_describe(node), "uuid": node.uuid, "parameters": parameters}, fmt)


@capability.command("deactivate")
@click.argument("quantity")
@click.argument("method")
@options.FORCE()
@options.with_profile
def deactivate(quantity: str, method: str, force: bool) -> None:
    """Let no new request use a capability; what runs goes on.

    'aiida-finales setup' activates it again.

    \b
    Example:
      aiida-finales capability deactivate conductivity empirical_model
    """
    from aiida_finales.broker.registration import deactivate_capability

    if not force:
        click.confirm(f"Refuse new requests for {quantity} by {method}?", abort=True, err=True)
    node = deactivate_capability(quantity, method)
    say_done(f"{node.quantity}/{node.method} version {node.version} is no longer active")


@capability.command("export")
@click.argument("quantity")
@click.argument("method")
@click.option(
    "--what",
    type=click.Choice(["parameters", "result", "template"]),
    default="parameters",
    show_default=True,
    help="JSON Schema of the parameters or of the result, or the skeleton of a request.",
)
@options.with_profile
def export(quantity: str, method: str, what: str) -> None:
    """Print a JSON Schema, or the skeleton of a request, as the published platform serves them.

    \b
    Example:
      aiida-finales capability export conductivity two_electrode --what template
    """
    from aiida_finales.data.capability import find_capability
    from aiida_finales.schemas.export import request_template

    node = find_capability(quantity, method)
    if what == "result":
        print_json(node.result_schema)
    elif what == "parameters":
        print_json(node.parameters_schema)
    else:
        skeleton = request_template(node.parameters_schema)
        document = {"quantity": node.quantity, "methods": [node.method], "parameters": {node.method: skeleton}}
        print_json({**document, "tenant_uuid": "UUID of whoever asks"})


def _describe(node: Any) -> dict[str, Any]:
    from aiida_finales.data.tenant import list_tenants

    tenants = [tenant.name for tenant in list_tenants() if tenant.find_offer(node.quantity, node.method)]
    row = {"quantity": node.quantity, "method": node.method, "version": node.version}
    return {**row, "is_active": node.is_active, "tenants": tenants}


def _words(field: dict[str, Any]) -> str:
    """Return type, unit and description of a field of a JSON Schema."""
    kinds = [field.get("type")] + [part.get("type") for part in field.get("anyOf", [])]
    kind = " or ".join(str(item) for item in kinds if item and item != "null") or "object"
    unit = f" in {field['unit']}" if field.get("unit") else ""
    text = f"; {field['description']}" if field.get("description") else ""
    return f"{kind}{unit}{text}"
