"""``aiida-finales setup``: make the loaded profile ready."""

from __future__ import annotations

from pathlib import Path

import click
from aiida.cmdline.groups.verdi import VerdiCommand

from aiida_finales.entry_points.cli import options
from aiida_finales.entry_points.cli.output import say, say_done


@click.command("setup", cls=VerdiCommand)
@options.FOLDER(help="Where devices and jobs keep their files.  [default: beside the profile's storage]")
@click.option("--robots", type=click.IntRange(min=1), default=1, show_default=True, help="Samples at the same time.")
@click.option(
    "--robot-delay", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Seconds that a sample takes."
)
@click.option(
    "--noise",
    type=click.FloatRange(min=0, max=1),
    default=0.02,
    show_default=True,
    help="Relative standard deviation between two samples.",
)
@options.with_profile
def setup(folder: Path | None, robots: int, robot_delay: float, noise: float) -> None:
    """Make the profile ready: settings, capabilities, and the simulated laboratory as tenants.

    It can be repeated: what is there already is left alone, what was given anew replaces the old version.

    \b
    Example:
      verdi presto --use-zeromq
      aiida-finales setup --robots 2 --robot-delay 5
      verdi daemon start 2
    """
    from aiida_finales.entry_points.installation import (
        choose_folder,
        configure_daemon,
        setup_capabilities,
        setup_laboratory,
        use_write_ahead_log,
    )

    if use_write_ahead_log():
        say("SQLite keeps a write-ahead log: readers and a writer work side by side")
    for name, value in configure_daemon().items():
        say(f"option {name} is now {value}")
    capabilities = setup_capabilities()
    say("capabilities: " + ", ".join(f"{item.quantity}/{item.method}" for item in capabilities))
    place = (folder or choose_folder()).resolve()
    settings = {"noise": noise, "delay_s": robot_delay}
    tenants = setup_laboratory(place, n_robots=robots, driver_settings=settings)
    say("tenants: " + ", ".join(f"{tenant.name} (version {tenant.version})" for tenant in tenants))
    say(f"devices and jobs keep their files in {place}")
    say_done("next: 'verdi daemon start 2' (or 'verdi daemon restart'), then 'aiida-finales doctor'")
