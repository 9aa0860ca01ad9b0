"""What is raised on purpose, as HTTP: always JSON with ``detail``, never with what the client had sent."""

from __future__ import annotations

import errno
import json
import logging
import secrets
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from starlette.exceptions import HTTPException

from aiida_finales.exceptions import (
    AccessError,
    DaemonError,
    FinalesError,
    InputError,
    LimitationError,
    LoginError,
    SchemaError,
    StatusError,
    TooManyFailuresError,
    UnknownNodeError,
)

#: below which refusals are pages
PAGES = "/pages"
LOGGER = logging.getLogger("aiida_finales.server")

#: status by class, the first that fits
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (LoginError, 401),
    (TooManyFailuresError, 429),
    (AccessError, 403),
    (UnknownNodeError, 404),
    (StatusError, 409),
    (DaemonError, 503),
    (InputError, 400),
)
#: what is raised when a database is away, or was
DATABASE = (DBAPIError, InvalidRequestError)
#: what stands in the way when nothing can be written, by the number of the system's error and by words of databases
_FULL, _READ_ONLY = "no space is left on a disk of the server", "a disk of the server is read-only"
_FAULT = "a disk of the server has a fault, or no space left"
_IN_THE_WAY: dict[int | str, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EIO: _FAULT,
    "is full": _FULL,
    "no space left": _FULL,
    "readonly": _READ_ONLY,
    "read-only": _READ_ONLY,
    "disk i/o": _FAULT,
}
#: status of an answer while something that is needed does not answer
AWAY = 503


def add_error_handlers(app: FastAPI, show: Callable[[Request, int, str], Response]) -> None:
    """Let the application answer errors in this way.

    :param show: makes a page of a refusal, given the call, status and words.
    """

    async def answer_http(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(PAGES) and isinstance(error, HTTPException):
            return show(request, error.status_code, f"{request.url.path}: {error.detail}")
        return await _answer_http(request, error)

    app.add_exception_handler(FinalesError, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_malformed)
    app.add_exception_handler(HTTPException, answer_http)
    for kind in (*DATABASE, Exception):
        app.add_exception_handler(kind, _answer_failure)


def refuse(status: int, detail: Any, headers: dict[str, str] | None = None, **others: Any) -> Response:
    """Return an error; in ASCII, so that no text can break it."""
    content = json.dumps({"detail": detail, **others}, default=str)
    return Response(content, status, headers=headers, media_type="application/json")


async def _answer_refusal(_: Request, error: Exception) -> Response:
    status = next((number for kind, number in STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, LoginError):
        return refuse(status, str(error), {"WWW-Authenticate": "Bearer"})
    if isinstance(error, TooManyFailuresError):
        return refuse(status, str(error), {"Retry-After": str(int(error.seconds) + 1)})
    if isinstance(error, LimitationError):
        return refuse(status, str(error), nearest=error.nearest)
    if isinstance(error, SchemaError):
        return refuse(status, [{**item, "msg": _say(item)} for item in error.errors], message=str(error)[:2000])
    return refuse(status, str(error))


def _say(defect: dict[str, Any]) -> str:
    return f"{defect['path']}: {defect['given']!r} was given, accepted is {defect['accepted']}"


async def _answer_malformed(_: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return refuse(422, [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in found])


async def _answer_http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    return refuse(status, detail, dict(getattr(error, "headers", None) or {}))


async def _answer_failure(_: Request, error: Exception) -> Response:
    status, words = explain_failure(error)
    return refuse(status, words, {"Retry-After": "5"} if status == AWAY else None)


def explain_failure(error: Exception) -> tuple[int, str]:
    """Write an error that nobody foresaw into the log; return the status of the answer, and what is said of it.

    Nothing of the error itself is said, which may hold what is nobody's business, but where it stands in the log.
    """
    number = secrets.token_hex(4)
    trouble = find_storage_trouble(error)
    if trouble:
        LOGGER.error("%s: nothing can be stored: %s", number, trouble, exc_info=error)
        return AWAY, f"nothing can be stored now: {trouble}; the server's log says more under {number}"
    if isinstance(error, DATABASE):
        LOGGER.error("%s: the database did not answer as it should", number, exc_info=error)
        return AWAY, f"the database does not answer: try again in a moment; the server's log says more under {number}"
    LOGGER.error("%s: a call failed for a reason nobody foresaw", number, exc_info=error)
    return 500, f"the server has a defect here; its log says more under {number}"


def find_storage_trouble(error: BaseException) -> str:
    """Return why nothing can be written, as on a full disk; empty where the error says nothing of that."""
    if isinstance(error, OSError):
        return _IN_THE_WAY.get(error.errno or 0, "")
    said = str(getattr(error, "orig", "")).lower() if isinstance(error, DATABASE) else ""
    return next((words for mark, words in _IN_THE_WAY.items() if isinstance(mark, str) and mark in said), "")
