"""The group of commands: nouns are loaded when they are asked for, and what is raised on purpose becomes a message."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import Any

import click
from aiida.cmdline.groups import VerdiCommandGroup
from aiida.cmdline.utils import echo
from aiida.common.exceptions import ConfigurationError

from aiida_finales.exceptions import FinalesError

#: noun and what it is about; each lives in ``cmd_<noun>.py``
NOUNS = (
    "setup",
    "doctor",
    "capability",
    "tenant",
    "request",
    "result",
    "sample",
    "human",
    "serve",
    "model",
    "campaign",
    "why",
    "import",
    "query",
    "export",
    "archive",
)


class FinalesGroup(VerdiCommandGroup):
    """Loads a noun only when it is needed; errors of this package end with a message and exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns in the order in which one meets them."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a noun; an unknown one is answered with the nearest."""
        if cmd_name in NOUNS:
            module = import_module(f"{__package__}.cmd_{cmd_name}")
            # a noun may be a word of Python
            name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
            command: click.Command = getattr(module, name)
            return self.add_verbosity_option(command)
        return super().get_command(ctx, cmd_name)

    def group(self, *args: Any, **kwargs: Any) -> Any:
        """Let groups below this one be plain ones: their commands are named, not loaded."""
        kwargs.setdefault("cls", VerdiCommandGroup)
        return super().group(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say what was wrong instead of showing where in the code."""
        try:
            return super().invoke(ctx)
        except FinalesError as error:
            echo.echo_critical(str(error))
        except ConfigurationError as error:
            echo.echo_critical(f"the AiiDA configuration cannot be used: {error}")
