"""Follow a campaign until it ends: on standard error, or step by step for others who show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.words import progress_words, troubled_lines
from aiida_finales.operations.request.serving import is_ended, refresh

if TYPE_CHECKING:
    from aiida_finales.entry_points.python import Campaign

#: s between two looks; each costs a few queries that the workers could use
LOOK_INTERVAL = 2.0
BAR_WIDTH = 24


def follow_campaign(campaign: Campaign) -> Iterator[Overview]:
    """Yield what a campaign has found so far, again and again until it has ended."""
    process = campaign.process
    while True:
        has_ended = is_ended(process)
        refresh()
        yield campaign.overview()
        if has_ended:
            return
        time.sleep(LOOK_INTERVAL)


def watch_campaign(campaign: Campaign) -> Overview:
    """Show progress until a campaign has ended; return what it found."""
    shown = None
    told: set[str] = set()
    for overview in follow_campaign(campaign):
        for words in (*overview.troubles, *troubled_lines(overview)):
            if words not in told:
                _tell(words)
                told.add(words)
        line = progress_words(overview)
        if line != shown:
            _show(line, overview)
            shown = line
    _end_line()
    return overview


def _tell(words: str) -> None:
    """Write what must not be overlooked on a line of its own."""
    sys.stderr.write(("\r\033[K" if sys.stderr.isatty() else "") + f"note: {words}\n")
    sys.stderr.flush()


def _show(line: str, overview: Overview) -> None:
    """Write the progress: in place on a terminal, as a line elsewhere."""
    if not sys.stderr.isatty():
        sys.stderr.write(line + "\n")
    else:
        sys.stderr.write(f"\r\033[K{_bar(overview)} {line}")
    sys.stderr.flush()


def _bar(overview: Overview) -> str:
    if not overview.n_limit:
        return ""
    filled = min(BAR_WIDTH, round(BAR_WIDTH * overview.n_done / overview.n_limit))
    return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]"


def _end_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\n")
