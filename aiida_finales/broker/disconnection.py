"""What a worker does whose database went away: it ends, and the daemon starts another one.

AiiDA keeps one session per worker, in which a transaction is nearly always open. When PostgreSQL is restarted (an
update of the system does it), each use of that session fails from then on: the worker lives, holds its processes, and
moves none of them, for ever. A worker that ends instead loses nothing: it is as if it was killed, the next one goes on
from the checkpoints, and is started again until the database is back.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

#: the last words of the command line of a daemon's worker
WORKER = ["daemon", "worker"]
#: as of a program that may be tried again (``EX_TEMPFAIL`` of sysexits.h)
EXIT_STATUS = 75


def end_when_disconnected() -> None:
    """Let this program end when its connection to the database is lost, where it is a worker of the daemon."""
    if sys.argv[-2:] == WORKER and not event.contains(Engine, "handle_error", _end):
        event.listen(Engine, "handle_error", _end)


def _end(context: ExceptionContext) -> None:
    if context.is_disconnect:
        end_worker(f"the database is gone ({str(context.original_exception).strip()})")


def end_worker(reason: str) -> None:
    """End this program at once, as if it was killed, and say why; the daemon starts another one.

    Not by the logger, which writes to the database as well; and nothing is tidied up, with a session that may be lost.
    """
    with suppress(OSError):  # nobody reads it any more where the supervisor was killed
        sys.stderr.write(f"{reason}: this worker ends, and another one begins\n")
        sys.stderr.flush()
    os._exit(EXIT_STATUS)
