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


def print_rows(
    rows: Sequence[Row], fmt: str, columns: Sequence[str], nothing: str, errors: Mapping[str, str] | None = None
) -> None:
    """Print a list.

    :param columns: keys of the rows that the table shows; JSON has all.
    :param nothing: what to say when the list is empty.
    :param errors: key of the uncertainty by the key of the value beside which it is shown.
    """
    if fmt == "json":
        print_json(list(rows))
    elif not rows:
        say(nothing)
    else:
        from tabulate import tabulate

        cells = zip(*(_column(rows, column, (errors or {}).get(column)) for column in columns), strict=True)
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


def say_rest(shown: int, total: int, noun: str, which: str = "latest") -> None:
    """Tell the person how many things there are besides those on a list.

    :param shown: how many the list has.
    :param total: how many there are of what is asked for.
    :param which: of them the list has.
    """
    if total > shown:
        say(f"these are the {which} {shown} of {count(total, noun)}: --limit N shows more")


def _words(value: Any) -> str:
    return " or ".join(value) if isinstance(value, (list, tuple)) else str(value)


def _column(rows: Sequence[Row], column: str, error: str | None) -> list[str]:
    """Return the cells of a column; numbers of one unit have the same number of decimals."""
    from aiida_finales.schemas.values import format_column

    words = [_cell(row.get(column)) for row in rows]
    floats = [index for index, row in enumerate(rows) if isinstance(row.get(column), float)]
    for unit in dict.fromkeys(rows[index].get("unit") for index in floats):
        chosen = [index for index in floats if rows[index].get("unit") == unit]
        spreads = [rows[index].get(error) if error else None for index in chosen]
        shown = format_column([rows[index][column] for index in chosen], spreads)
        for index, word in zip(chosen, shown, strict=True):
            words[index] = word
    return words


def print_record(record: Row, fmt: str, errors: Mapping[str, str] | None = None) -> None:
    """Print one thing: keys and values, lists below their key.

    :param errors: key of the uncertainty by the key of the value beside which it is shown, with the unit.
    """
    if fmt == "json":
        print_json(record)
        return
    record = _join_errors(record, errors or {})
    plain = {key: value for key, value in record.items() if not _is_block(value)}
    width = max((len(key) for key in plain), default=0) + 2
    for key, value in plain.items():
        click.echo(f"{key.replace('_', ' '):<{width}}{_cell(value)}")
    for key, value in record.items():
        if _is_block(value):
            click.echo(f"\n{key.replace('_', ' ')}")
            for line in value if isinstance(value, list) else _lines(value):
                click.echo(f"  {localise(line) if isinstance(line, str) else _inline(line)}")


def _join_errors(record: Row, errors: Mapping[str, str]) -> Row:
    from aiida_finales.schemas.values import format_value

    unit = str(record.get("unit") or "")
    joined = {key: format_value(record[key], record[error], unit) for key, error in errors.items() if key in record}
    hidden = {*errors.values(), *(["unit"] if joined else [])}
    return {key: joined.get(key, value) for key, value in record.items() if key not in hidden}


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
        from aiida_finales.schemas.values import format_number

        return format_number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return localise(str(value))
