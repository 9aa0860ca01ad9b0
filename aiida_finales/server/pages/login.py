"""Log in and out."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Form, Request, Response

from aiida_finales.exceptions import LoginError
from aiida_finales.server.context import ContextDep
from aiida_finales.server.door import SESSION
from aiida_finales.server.errors import explain_failure
from aiida_finales.server.pages.page import LOGIN, go_to, new_router, own_path, refuse_page, render
from aiida_finales.server.pages.session import (
    DEVICE,
    KNOWN_DEVICE,
    LIFETIME,
    VISITOR,
    ProofDep,
    demand_proof,
    make_proof,
    new_visitor,
    set_cookie,
)

router = new_router()

#: where that cannot be written down: what is so nevertheless
LOGGED_OUT = (
    "You are logged out",
    "In this browser, and for as long as the server runs. When it is started again, a copy of this session would count "
    "until it expires: an admin ends all sessions of a user for good.",
)
#: a text of a form; longer ones are refused
Text = Annotated[str, Form(max_length=1000)]


@router.get("/login")
async def show_login(request: Request, next: str = "") -> Response:  # noqa: A002 - the name in the address
    """Show the form."""
    return _show_form(request, own_path(next))


@router.post("/login")
async def log_in(
    request: Request,
    context: ContextDep,
    username: Text = "",
    password: Text = "",
    next: Text = "",  # noqa: A002 - the name in the form
) -> Response:
    """Log in, and go on to where one wanted to go."""
    await demand_proof(request, VISITOR)
    address = request.client.host if request.client else "?"
    try:
        token = await context.gate.admit(username, password, address, request.cookies.get(DEVICE, ""))
    except LoginError:
        return _show_form(request, own_path(next), username, "Name or password is wrong.")
    response = go_to(own_path(next))
    user = context.gate.identify(token)
    set_cookie(request, response, SESSION, context.gate.issue(user, LIFETIME), LIFETIME)
    set_cookie(request, response, DEVICE, context.gate.issue_proof(user), KNOWN_DEVICE)
    response.delete_cookie(VISITOR, path="/pages")
    return response


@router.post("/logout", dependencies=[ProofDep])
async def log_out(request: Request, context: ContextDep) -> Response:
    """Forget who it was, here and in copies of the cookie; other sessions of this person go on."""
    response = go_to(LOGIN)
    try:
        await asyncio.to_thread(context.gate.revoke, request.cookies[SESSION])
    except LoginError:
        pass  # it has expired, or was revoked already
    except OSError as error:
        status, words = explain_failure(error)
        response = refuse_page(request, status, words, LOGGED_OUT)
    set_cookie(request, response, SESSION, "", 0)
    return response


def _show_form(request: Request, path: str, name: str = "", error: str = "") -> Response:
    visitor = request.cookies.get(VISITOR) or new_visitor()
    response = render(
        request, "login.html", code=401 if error else 200, next=path, name=name, error=error, csrf=make_proof(visitor)
    )
    set_cookie(request, response, VISITOR, visitor)
    return response
