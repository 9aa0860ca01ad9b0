"""What commands print: results to standard output, messages to standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from aiida.cmdline.utils import echo

from aiida_finales.schemas.moment import localise
from aiida_finales.schemas.words import count

Row = Mapping[str, Any]


def say(message: str) -> None:
    """Tell the person what happens; not a result."""
    echo.echo_report(localise(message), err=True)


def say_done(message: str) -> None:
    """Tell the person that it worked."""
    echo.echo_success(localise(message), err=True)


def warn(message: str) -> None:
    """Tell the person what may surprise."""
    echo.echo_warning(localise(message), err=True)


def print_error(message: str) -> None:
    """Tell the person what was wrong, whatever the verbosity."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {localise(message)}", err=True)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, default=str, ensure_ascii=False))


def print_rows(rows: Sequence[Row], fmt: str, columns: Sequence[str], nothing: str) -> None:
    """Print a list.

    :param columns: keys of the rows that the table shows; JSON has all.
    :param nothing: what to say when the list is empty.
    """
    if fmt == "json":
        print_json(list(rows))
    elif not rows:
        say(nothing)
    else:
        from tabulate import tabulate

        cells = [[_cell(row.get(column)) for column in columns] for row in rows]
        click.echo(tabulate(cells, headers=[column.replace("_", " ") for column in columns], disable_numparse=True))


def none_of(total: int, noun: str, wanted: Mapping[str, Any], otherwise: str) -> str:
    """Return what to say of an empty list.

    :param total: how many there are, whatever is asked for.
    :param wanted: what was asked for, by its name.
    :param otherwise: what to say when there is none at all.
    """
    words = " and ".join(f"{name} {_words(value)}" for name, value in wanted.items() if value)
    if not total or not words:
        return otherwise
    return f"the only {noun} here has not {words}" if total == 1 else f"none of the {count(total, noun)} has {words}"


def _words(value: Any) -> str:
    return " or ".join(value) if isinstance(value, (list, tuple)) else str(value)


def print_record(record: Row, fmt: str) -> None:
    """Print one thing: keys and values, lists below their key."""
    if fmt == "json":
        print_json(record)
        return
    plain = {key: value for key, value in record.items() if not _is_block(value)}
    width = max((len(key) for key in plain), default=0) + 2
    for key, value in plain.items():
        click.echo(f"{key.replace('_', ' '):<{width}}{_cell(value)}")
    for key, value in record.items():
        if _is_block(value):
            click.echo(f"\n{key.replace('_', ' ')}")
            for line in value if isinstance(value, list) else _lines(value):
                click.echo(f"  {localise(line) if isinstance(line, str) else _inline(line)}")


def _is_block(value: Any) -> bool:
    return bool(value) and isinstance(value, (list, dict))


def _lines(value: Mapping[str, Any]) -> list[str]:
    return json.dumps(value, indent=2, default=str, ensure_ascii=False).splitlines()


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    return _cell(value)


def _cell(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return localise(str(value))
