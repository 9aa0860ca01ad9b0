"""What stands on a command line: files of JSON, and numbers."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import FinalesError, InputError, explain_os_error


def read_json_file(path: Path, refusal: type[FinalesError] = InputError) -> Any:
    """Return the document in a file.

    :param refusal: what is raised when the file cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal(explain_os_error(error, path)) from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"{path} cannot be read as JSON: {error}") from error


def seconds(text: str) -> float:
    """Return a number of seconds.

    :raises ArgumentTypeError: when it is none above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} was given, accepted is a number of seconds above 0")
    return number
