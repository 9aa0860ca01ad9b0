"""Every option and argument of the command line, once; and the decorator that loads the profile."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from aiida.cmdline.params import options as core
from aiida.cmdline.params.options.overridable import OverridableOption

from aiida_finales.operations.engine.profile import demand_profile

F = TypeVar("F", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """A number within bounds; "not a number" and infinity, which compare with nothing, are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


class GivenPath(click.Path):
    """A file or a folder that is there; a device may never end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = super().convert(value, param, ctx)
        if Path(path).is_char_device() or Path(path).is_block_device():
            self.fail(f"{value} is a device; accepted is a file", param, ctx)
        return path


class FolderPath(click.Path):
    """A folder, there or not; a link that leads back to itself is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = super().convert(value, param, ctx)
        try:
            Path(path).resolve()
        except (RuntimeError, OSError) as error:
            self.fail(f"{value} cannot be used: {error}", param, ctx)
        return path


#: how many of something somebody can mean
COUNT = click.IntRange(min=1, max=100_000)
#: what random numbers begin with
SEED = click.IntRange(min=0, max=2**32 - 1)
#: s; up to three years
SECONDS = FiniteRange(min=1, max=1e8)

EXISTING_FILE = GivenPath(exists=True, dir_okay=False, readable=True, path_type=Path)
EXISTING_PATH = GivenPath(exists=True, readable=True, path_type=Path)
FOLDER_TYPE = FolderPath(file_okay=False, path_type=Path)

FORMAT = OverridableOption(
    "--format",
    "fmt",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print: for people, or as one JSON document.",
)
FORCE = core.FORCE
LIMIT = core.LIMIT.clone(type=COUNT, default=50, show_default=True, help="Show the latest so many.")
REASON = OverridableOption("--reason", required=True, help="Why, in a sentence; it stays in the history.")
ALL = OverridableOption("--all", "is_all", is_flag=True, help="Also those that are not active.")
QUANTITY = OverridableOption("--quantity", help="Only this quantity, e.g. conductivity.")
METHOD = OverridableOption("--method", help="Only this method, e.g. two_electrode.")
TENANT = OverridableOption("--tenant", required=True, help="Name or UUID of the tenant.")
OPERATOR = OverridableOption(
    "--operator", "is_operator", is_flag=True, help="Act as operator, on what others hold; demands a reason."
)
YES_REALLY = OverridableOption(
    "--yes-really", "is_sure", is_flag=True, help="Numbers that no electrolyte or cell is expected to have are right."
)
WAIT = OverridableOption("--wait", is_flag=True, help="Wait until it has ended.")
OUTPUT = OverridableOption("--output", type=FOLDER_TYPE, default=Path(), help="Folder for the files.")
FOLDER = OverridableOption("--folder", type=FOLDER_TYPE, help="Where devices and jobs keep their files.")

FILE = functools.partial(click.argument, "file", type=EXISTING_FILE)
IDENTIFIER = functools.partial(click.argument, "identifier")
NAME = functools.partial(click.argument, "name")


def with_profile(function: F) -> F:
    """Load the profile before a command runs, and keep what AiiDA logs away from standard output.

    :raises InputError: when there is no profile.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        demand_profile()
        _send_logs_to_stderr()
        return function(*args, **kwargs)

    return wrapper


def _send_logs_to_stderr() -> None:
    """Let AiiDA's handler of the command line write to standard error: standard output is for results."""
    import logging

    from aiida.cmdline.utils.log import CliHandler

    for handler in logging.getLogger("aiida").handlers + logging.getLogger("verdi").handlers:
        if isinstance(handler, CliHandler):
            handler.addFilter(_mark_as_message)


def _mark_as_message(record: Any) -> bool:
    record.err = True
    return True
