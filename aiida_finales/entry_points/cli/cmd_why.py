"""``aiida-finales why``: where a result comes from, in words."""

from __future__ import annotations

import click
from aiida.cmdline.groups.verdi import VerdiCommand

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import print_json


@click.command("why", cls=VerdiCommand)
@click.argument("result")
@options.FORMAT()
@options.with_profile
def why(result: str, fmt: str) -> None:
    """Tell where a result comes from: who asked, what suggested it, who answered how, and the raw data.

    It needs no daemon, and works on an imported archive.

    \b
    Example:
      aiida-finales why 1240
      aiida-finales why 3f2a9c11 --format json
    """
    from aiida_finales.broker.results import find_result
    from aiida_finales.operations.origin.story import trace
    from aiida_finales.operations.origin.words import tell

    story = trace(find_result(result))
    if fmt == "json":
        print_json(story)
    else:
        click.echo("\n".join(tell(story)))
