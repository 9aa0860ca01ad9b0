"""``aiida-finales setup``: make the loaded profile ready."""

from __future__ import annotations

from pathlib import Path

import click
from aiida.cmdline.groups.verdi import VerdiCommand

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import say, say_done


@click.command("setup", cls=VerdiCommand)
@options.FOLDER(help="Where devices and jobs keep their files.  [default: beside the profile's storage]")
@click.option(
    "--laboratory",
    metavar="FILE.yaml",
    help="Stock solutions, and what is offered of them; 'default': those of FINALES.  [default: as at the last setup]",
)
@click.option(
    "--robots", type=click.IntRange(min=1, max=1000), default=1, show_default=True, help="Samples at the same time."
)
@click.option(
    "--robot-delay",
    type=options.FiniteRange(min=0, max=1e6),
    default=0.0,
    show_default=True,
    help="Seconds that a sample takes.",
)
@click.option(
    "--noise",
    type=options.FiniteRange(min=0, max=1),
    default=0.02,
    show_default=True,
    help="Relative standard deviation between two samples.",
)
@click.option("--cells/--no-cells", "has_cells", default=True, help="With everything from vial to end of life.")
@click.option(
    "--transport",
    type=click.Choice(["simulated", "people"]),
    default="simulated",
    show_default=True,
    help="Who carries samples: a simulated person, or those who look at 'aiida-finales human list'.",
)
@click.option("--chain", "chain", multiple=True, metavar="NAME=VALUE", help="Setting of the chain; repeatable.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=PROBABILITY", help="Let devices fail; repeatable.")
@click.option(
    "--limit",
    type=options.SECONDS,
    default=600.0,
    show_default=True,
    help="Seconds after which somebody must look at a device that does not come back.",
)
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Of what is left to chance.")
@options.with_profile
def setup(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: Path | None,
    laboratory: str | None,
    robots: int,
    robot_delay: float,
    noise: float,
    has_cells: bool,
    transport: str,
    chain: tuple[str, ...],
    faults: tuple[str, ...],
    limit: float,
    seed: int,
) -> None:
    """Make the profile ready: settings, capabilities, and the simulated laboratory as tenants.

    It can be repeated: what is there already is left alone, what was given anew replaces the old version. The faults
    are those that 'finales-lab fault' lists.

    \b
    Example:
      verdi presto --use-zeromq
      aiida-finales setup --robots 2 --robot-delay 5
      aiida-finales setup --fault bad_result=0.37 --seed 7
      aiida-finales setup --laboratory my_laboratory.yaml
      aiida-finales setup --transport people --chain batch_volume=4
      verdi daemon start 2
    """
    from aiida_finales.broker.queue import make_indexes
    from aiida_finales.operations.platform.installation import (
        choose_folder,
        configure_daemon,
        setup_capabilities,
        use_write_ahead_log,
    )
    from aiida_finales.operations.platform.laboratory import find_file, setup_laboratory
    from aiida_finales.operations.platform.places import check_places
    from aiida_finales.operations.request.documents import read_pairs

    place = (folder or choose_folder()).resolve()
    check_places(place)
    if use_write_ahead_log():
        say("SQLite keeps a write-ahead log: readers and a writer work side by side")
    make_indexes()
    for name, value in configure_daemon().items():
        say(f"option {name} is now {value}")
    capabilities = setup_capabilities()
    say("capabilities: " + ", ".join(f"{item.quantity}/{item.method}" for item in capabilities))
    settings = {"noise": noise, "delay_s": robot_delay}
    tenants = setup_laboratory(
        place,
        n_robots=robots,
        driver_settings=settings,
        has_cells=has_cells,
        transport=transport,
        chain=read_pairs("--chain", chain),
        faults=read_pairs("--fault", faults),
        limit=limit,
        seed=seed,
        file=None if laboratory is None else find_file(laboratory),
    )
    say("tenants: " + ", ".join(f"{tenant.name} (version {tenant.version})" for tenant in tenants))
    say(f"devices and jobs keep their files in {place}")
    say_done("next: 'verdi daemon start 2' (or 'verdi daemon restart'), then 'aiida-finales doctor'")
