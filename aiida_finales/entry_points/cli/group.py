"""The group of commands: nouns are loaded when they are asked for, and what is raised on purpose becomes a message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

import click
from aiida.cmdline.groups import VerdiCommandGroup

from aiida_finales.entry_points.cli.output import print_error
from aiida_finales.exceptions import FinalesError, explain_os_error

#: noun and what it is about; each lives in ``cmd_<noun>.py``
NOUNS = (
    "setup",
    "doctor",
    "laboratory",
    "chemical",
    "electrode",
    "capability",
    "tenant",
    "request",
    "result",
    "sample",
    "human",
    "serve",
    "cycling",
    "model",
    "potential",
    "campaign",
    "why",
    "import",
    "query",
    "export",
    "archive",
)


#: exit status of what is refused or failed
REFUSED = 1


@contextmanager
def speaking() -> Iterator[None]:
    """Say what was wrong instead of showing where in the code; a bug is shown as one."""
    try:
        yield
    except FinalesError as error:
        _refuse(str(error))
    except click.NoSuchOption as error:
        if not error.option_name[1:2].isdigit():
            raise
        told = f"{error.option_name} ... begins with a minus and is read as an option, of which there is none"
        cure = "leave the minus out, or put -- before a value that has one"
        raise click.UsageError(f"{told}: {cure}", error.ctx) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever reads the output has enough of it: click ends quietly
        _refuse(explain_os_error(error))
    except UnicodeError as error:
        _refuse(f"what was given is not all UTF-8: {error}")
    except MemoryError:
        _refuse("it needs more memory than this computer has free: give it less at once")
    except Exception as error:
        words = _explain_engine(error)
        if words is None:
            raise
        _refuse(words)


def _refuse(words: str) -> NoReturn:
    print_error(words)
    raise SystemExit(REFUSED)


def _explain_engine(error: Exception) -> str | None:
    """Return in words what the disk, AiiDA or the database refuses; ``None`` when it is none of them."""
    from aiida.common.exceptions import AiidaException, ConfigurationError
    from sqlalchemy.exc import SQLAlchemyError

    from aiida_finales.operations.engine.profile import explain_database_error

    if isinstance(error.__cause__, OSError):  # as of a log in a folder that is read-only
        return explain_os_error(error.__cause__)
    if isinstance(error, ConfigurationError):
        return f"the AiiDA configuration cannot be used: {error}"
    if isinstance(error, AiidaException):
        return f"AiiDA refuses: {error}"
    return explain_database_error(error) if isinstance(error, SQLAlchemyError) else None


class NounGroup(VerdiCommandGroup):
    """The verbs of a noun."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a verb; AiiDA's groups cannot read an empty one."""
        return super().get_command(ctx, cmd_name or "''")


class FinalesGroup(NounGroup):
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
        kwargs.setdefault("cls", NounGroup)
        return super().group(*args, **kwargs)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line; a program of its own looks up the profile here already."""
        from aiida_finales.operations.engine.profile import demand_config

        with speaking():
            if parent is None and not extra.get("resilient_parsing"):
                demand_config()
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with speaking():
            return super().invoke(ctx)
