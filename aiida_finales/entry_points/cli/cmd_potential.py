"""``aiida-finales potential``: machine-learned potentials, and what is known of them."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.group import NounGroup
from aiida_finales.entry_points.cli.output import print_record, print_rows, say_done

COLUMNS = ("pk", "mixture", "labels", "n_frames", "rounds", "held_out_meV_A", "visited_meV_A")


@click.group("potential", cls=NounGroup)
def potential() -> None:
    """See the potentials that were learned, or came as folders: how wrong they are, and how far they are trusted.

    They are made by 'finales-mlp', or by the work chain finales.active_learning; 'tenant add-potential' offers one.

    \b
    Example:
      aiida-finales potential list
    """


@potential.command("list")
@options.FORMAT()
@options.with_profile
def list_(fmt: str) -> None:
    """List the potentials, the latest last, with their errors on held-out and on visited frames.

    \b
    Example:
      aiida-finales potential list --format json
    """
    from aiida_finales.operations.potential.records import describe_potential, list_potentials

    rows = [describe_potential(node) for node in list_potentials()]
    print_rows(rows, fmt, COLUMNS, "no potential is here: run 'finales-mlp', then 'aiida-finales tenant add-potential'")


@potential.command("show")
@options.IDENTIFIER()
@click.option("--figures", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for pictures: learning curve, dynamics of each round, time trusted, error against doubt, "
              "and structure beside the classical and the reference's own.")  # fmt: skip
@click.option("--picture", type=click.Choice(("png", "svg")), default="png", show_default=True,
              help="Format of the pictures.")  # fmt: skip
@options.FORMAT()
@options.with_profile
def show(identifier: str, figures: Path | None, picture: str, fmt: str) -> None:
    """Show a potential: what it learned, round by round, how wrong it was where it went, and what it finds.

    Beside its neighbours of the cations stand those of classical dynamics and of the reference itself, where results
    of the same liquid tell them.

    \b
    Example:
      aiida-finales potential show 1240
      aiida-finales potential show 1240 --figures pictures
    """
    from aiida_finales.operations.potential.records import describe_learning, describe_potential, find_potential

    node = find_potential(identifier)
    if figures is not None:
        from aiida_finales.operations.campaign.potential_pictures import draw_potential

        for file in draw_potential(node, figures, picture):
            say_done(f"{file} is written")
    details = {"network": node.base.attributes.get("network"), "held_out": node.validation}
    print_record({**describe_potential(node), **details, **describe_learning(node)}, fmt)
