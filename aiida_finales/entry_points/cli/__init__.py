"""The command line ``aiida-finales <noun> <verb>``, which is also ``verdi data finales <noun> <verb>``.

Nothing heavy is imported here or in the modules of the nouns, so that help and completion are quick.
"""

from __future__ import annotations

import os

import click

try:
    from aiida.cmdline.commands.cmd_data import verdi_data
except Exception as error:  # AiiDA reads its configuration when it is imported, and makes its folder
    _PLACE = os.environ.get("AIIDA_PATH", "~")
    _WORDS = f"Error: AiiDA's configuration in {_PLACE} cannot be used: {error}. Set AIIDA_PATH to a folder that can be"
    raise SystemExit(f"{_WORDS} written, or mend or remove .aiida/config.json in it") from error

from aiida.cmdline.params import options as core
from aiida.cmdline.params import types

from aiida_finales import __version__
from aiida_finales.entry_points.cli.group import FinalesGroup

HELP = """Ask for quantities and let whoever can provide them answer: robots, simulations, models, people.

\b
Begin with:
  verdi presto --use-zeromq          make an AiiDA profile (once)
  aiida-finales setup                register capabilities and the simulated laboratory (once)
  verdi daemon start 2               start the daemon
  aiida-finales doctor               is everything well?
  aiida-finales campaign start examples/ocond.yaml
  aiida-finales campaign watch ocond

\b
Exit status: 0 done, 1 refused or failed (the message says why), 2 wrong usage.
"""


@verdi_data.group(  # type: ignore[untyped-decorator]
    "finales", cls=FinalesGroup, help=HELP, short_help="Requests, tenants, campaigns (aiida-finales)."
)
def finales() -> None:
    """Hold the nouns under ``verdi data``."""


@click.group("aiida-finales", cls=FinalesGroup, help=HELP, context_settings={"help_option_names": ["--help", "-h"]})
@core.PROFILE(type=types.ProfileParamType(load_profile=True), expose_value=False)
@core.VERBOSITY()
@click.version_option(__version__, package_name="aiida-finales", message="aiida-finales %(version)s")
def main() -> None:
    """Hold the nouns as a program of its own."""
