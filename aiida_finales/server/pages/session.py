"""Who looks at a page: a cookie with a short-lived token, and in every form a proof that it came from here."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated

from fastapi import Depends, Request, Response

from aiida_finales.exceptions import AccessError, LoginError
from aiida_finales.server.access.users import User
from aiida_finales.server.context import get_context

#: the cookie of who is logged in
SESSION = "finales_session"
#: the cookie of who is about to log in; the form of the login needs a proof, too
VISITOR = "finales_visitor"
#: s that somebody stays logged in: a working day
LIFETIME = 8 * 3600
FIELD = "csrf"


def get_viewer(request: Request) -> User:
    """Return who looks at a page, by the cookie.

    :raises LoginError: when nobody is logged in, or not any more.
    """
    token = request.cookies.get(SESSION)
    if not token:
        raise LoginError("you are not logged in")
    return get_context(request).gate.identify(token)


ViewerDep = Annotated[User, Depends(get_viewer)]


def set_cookie(request: Request, response: Response, name: str, value: str, lifetime: int | None = None) -> None:
    """Give a cookie that no script can read and that no other site can make a browser send.

    :param lifetime: s; until the browser is closed when ``None``.
    """
    response.set_cookie(
        name,
        value,
        max_age=lifetime,
        path="/pages",
        httponly=True,
        samesite="strict",
        # behind a proxy that speaks TLS; a browser would not send it to a plain http://127.0.0.1
        secure=request.url.scheme == "https",
    )


def new_visitor() -> str:
    """Return what the cookie of somebody who is not logged in holds."""
    return secrets.token_urlsafe(24)


def proof_of(request: Request, cookie: str = SESSION) -> str:
    """Return the proof for forms: other sites know neither the cookie nor what follows from it."""
    return make_proof(request.cookies.get(cookie, ""))


def make_proof(secret: str) -> str:
    """Return the proof that belongs to the value of a cookie."""
    return hmac.digest(secret.encode(), b"form of the pages", "sha256").hex()


async def demand_proof(request: Request, cookie: str = SESSION) -> None:
    """Refuse a form that did not come from a page of ours.

    :raises AccessError: when the proof is absent or wrong.
    """
    given = str((await request.form()).get(FIELD, ""))
    if not request.cookies.get(cookie) or not hmac.compare_digest(given.encode(), proof_of(request, cookie).encode()):
        raise AccessError("this form is too old, or did not come from here: go back, load the page again, and repeat")


async def _demand_session_proof(request: Request) -> None:
    await demand_proof(request)


#: for every form of somebody who is logged in
ProofDep = Depends(_demand_session_proof)
