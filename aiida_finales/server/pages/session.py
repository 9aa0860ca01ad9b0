"""Who looks at a page: a cookie with a short-lived token, and in every form a proof that it came from here."""

from __future__ import annotations

import hmac
import secrets

from fastapi import Depends, Request, Response

from aiida_finales.exceptions import FormError
from aiida_finales.server.context import UserDep
from aiida_finales.server.door import SESSION

#: the cookie of who is about to log in; the form of the login needs a proof, too
VISITOR = "finales_visitor"
#: the cookie of a browser in which somebody has logged in before, and s for which it is kept: who guesses has none
DEVICE, KNOWN_DEVICE = "finales_device", 180 * 86400
#: s that somebody stays logged in: a working day
LIFETIME = 8 * 3600
FIELD = "csrf"


ViewerDep = UserDep


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

    :raises FormError: when the proof is absent or wrong, or the browser says that another site sent it.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise FormError("this form was sent by another site: open the page here, and fill it here")
    given = str((await request.form()).get(FIELD, ""))
    if not request.cookies.get(cookie) or not hmac.compare_digest(given.encode(), proof_of(request, cookie).encode()):
        raise FormError("this form is too old, or did not come from here")


async def _demand_session_proof(request: Request, _: ViewerDep) -> None:
    # whose session has ended is sent to the login, and from there back to the form
    await demand_proof(request)


#: for every form of somebody who is logged in
ProofDep = Depends(_demand_session_proof)
