"""Follow a campaign until it ends: on standard error, or step by step for others who show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiida_finales.operations.campaign.memory import read_state
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.words import progress_words, troubled_lines
from aiida_finales.operations.request.serving import is_ended, refresh

if TYPE_CHECKING:
    from aiida_finales.entry_points.python import Campaign

#: s between two looks for a change; each takes some milliseconds
LOOK_INTERVAL = 2.0
#: part of a processor that reading may take in the long run, and s of a processor that it may take before that counts:
#: the workers need them
SHARE, CREDIT = 0.003, 0.5
BAR_WIDTH = 24


def follow_campaign(campaign: Campaign) -> Iterator[Overview]:
    """Yield what a campaign has found so far, after a change, until it has ended.

    One that is large, and changes all the time, is read less often than a small one.
    """
    process, known, spent, began = campaign.process, None, 0.0, time.monotonic()
    while True:
        has_ended, state = is_ended(process), read_state(campaign.group)
        is_due = spent <= CREDIT + SHARE * (time.monotonic() - began)
        if has_ended or (state != known and is_due):
            before, known = time.process_time(), state
            yield campaign.overview()
            spent += time.process_time() - before
        if has_ended:
            return
        refresh()
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
