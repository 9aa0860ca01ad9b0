"""What all pages have in common: the template, the headers, and how errors look."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.types import Message

from aiida_finales import __version__
from aiida_finales.exceptions import AccessError, FinalesError, FormError, LoginError, TooManyFailuresError
from aiida_finales.operations.laboratory.devices import age_words
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import local_text, localise, to_utc
from aiida_finales.schemas.values import format_number, format_value
from aiida_finales.schemas.words import count
from aiida_finales.server.access.users import User
from aiida_finales.server.door import CALLER
from aiida_finales.server.errors import STATUSES, explain_failure, find_storage_trouble
from aiida_finales.server.orm_thread import LOOK
from aiida_finales.server.pages.session import FIELD, proof_of

#: nothing from elsewhere, no script or style inside of a page, in nobody's frame; forms go here only
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HOME = "/pages"
LOGIN = "/pages/login"
NODE = re.compile(r"&lt;(\d+)&gt;")
#: a path of ours, and nothing that a browser could read as another site
OWN_PATH = re.compile(r"/pages(/[A-Za-z0-9_~%-][A-Za-z0-9_.~%-]*)*(\?[A-Za-z0-9_.~%=&/+-]*)?")

#: pages that lead everywhere else: path, words, and the roles that see them (nobody's: everybody)
NAVIGATION: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "Laboratory", ()),
    ("/tasks", "Tasks", ()),
    ("/campaigns", "Campaigns", ()),
    ("/requests", "Requests", ()),
    ("/results", "Results", ()),
    ("/samples", "Samples", ()),
    ("/administration", "Administration", ("admin",)),
)
#: which shape and colour a state has (pages.css); what is not named here is quiet
KINDS = {
    "good": ("resolved", "original", "good", "finished", "done", "ready", "yes", "on"),
    "busy": ("running", "reserved", "busy", "measuring", "works"),
    "wait": ("pending", "waiting", "created", "unsolicited", "planned", "idle"),
    "warn": ("amended", "paused", "late", "doubtful", "low", "away", "waited for"),
    "bad": (
        "failed",
        "deleted",
        "invalid",
        "excepted",
        "killed",
        "broken",
        "lost",
        "error",
        "no",
        "needs operator",
        "not heard from",
    ),
    "over": ("retracted", "stopped", "off", "ended"),
}
#: by status of an answer: its title, and what to do next
REFUSALS = {
    403: ("Not allowed", "Ask whoever runs this server for the role, or log in as somebody else."),
    405: ("No such form", "Go back in your browser, load the page again, and send its form from there."),
    404: ("Not found", "It may have been deleted, or it is not for you to see: look in the lists above."),
    409: ("Not possible now", "Something has changed meanwhile: load the page again and look."),
    413: ("Too long", "Send something shorter."),
    429: ("Too many attempts", "Wait as long as it says, then try again."),
    500: (
        "Something went wrong here",
        "Nothing that you did is the reason. Load the page again; if you sent a form, look first whether it was done. "
        "If it happens again, tell whoever runs this server what stands above.",
    ),
    503: (
        "No answer now",
        "Wait a moment, then load the page again. If that does not help, tell whoever runs this server.",
    ),
}
REFUSED = ("Refused", "What you typed is still in the form: correct it there, and send it again.")
#: of an address that means nothing
NO_ADDRESS = ("No such address", "Look at the address, or find what you look for in the lists above.")
#: of what was to be written where that is not possible
NO_ROOM = (
    "Nothing can be stored now",
    "What is there can still be read. Tell whoever runs this server; when that is mended, send it again: what you "
    "typed is in the form.",
)
#: of a form that was not looked at
STALE = (
    "This form was not taken",
    "Nothing was changed. Go back to the form: it is made anew, with what you typed. Look at it, and send it again.",
)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
#: under which key of the scope a page finds the form on it that was refused
REFUSED_FORM = "finales.refused"
#: keys of the scope that a router writes
ROUTED = ("router", "route", "endpoint", "path_params", "fastapi")


@dataclass(frozen=True)
class RefusedForm:
    """A form that was not taken, for the page on which it is.

    :param act: the last part of where it was sent.
    :param typed: what was typed, by name of the field.
    """

    act: str
    words: str
    typed: Mapping[str, str]

    def of(self, act: str, name: str, otherwise: object = "") -> object:
        """Return what was typed into a field of the form of an act, or what it shows at first."""
        return self.typed.get(name, "") if act == self.act else otherwise


NOT_REFUSED = RefusedForm("", "", {})


class PageRoute(APIRoute):
    """A route whose errors are pages, those included that nobody foresaw."""

    def get_route_handler(self) -> Handler:
        """Return what answers; whatever is refused or fails becomes a page that says so, and what to do next."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                response = await handle(request)
            except FinalesError as error:
                response = await _show_form_again(request, error) or _answer(request, error)
            except RequestValidationError as error:
                words = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
                response = refuse_page(request, 422, words)
            except HTTPException as error:
                response = refuse_page(request, error.status_code, str(error.detail))
            except Exception as error:
                told = NO_ROOM if find_storage_trouble(error) else None
                response = refuse_page(request, *explain_failure(error), told)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle_for_people


def new_router() -> APIRouter:
    """Return a router of pages; they are no part of the documented interface."""
    return APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


def render(request: Request, template: str, user: User | None = None, code: int = 200, **content: Any) -> Response:
    """Return a page.

    :param user: who looks at it.
    :param code: status of the reply.
    """
    place = str(request.url.path).rstrip("/") or HOME
    navigation = [item[:2] for item in NAVIGATION if user and (not item[2] or user.has_role(*item[2]))]
    shared: Json = {"user": user, "place": place, "csrf_name": FIELD, "csrf": proof_of(request), "home": HOME}
    shared |= {"navigation": navigation, "refused": request.scope.get(REFUSED_FORM, NOT_REFUSED)}
    text = _environment().get_template(template).render({**shared, **content})
    return Response(text, code, media_type="text/html; charset=utf-8")


def go_to(path: str) -> Response:
    """Send the browser to another page after a form."""
    return RedirectResponse(path, 303)


def own_path(given: str) -> str:
    """Return where to go after the login; never to another site."""
    return given if OWN_PATH.fullmatch(given) and not given.startswith(LOGIN) else HOME


def _answer(request: Request, error: FinalesError) -> Response:
    if isinstance(error, LoginError):
        return _send_to_login(request)
    response = refuse_page(request, _status_of(error), str(error), STALE if isinstance(error, FormError) else None)
    if isinstance(error, TooManyFailuresError):
        response.headers["Retry-After"] = str(int(error.seconds) + 1)
    return response


def _status_of(error: FinalesError) -> int:
    return next((number for kind, number in STATUSES if isinstance(error, kind)), 500)


async def _show_form_again(request: Request, error: FinalesError) -> Response | None:
    """Return the page as it is now on which a form is that was refused, with the reason and what was typed.

    :returns: ``None`` where it was no form, who sent it may not do this, or the page cannot be shown.
    """
    caller = request.scope.get(CALLER)
    if request.method != "POST" or isinstance(error, AccessError) or not isinstance(caller, User):
        return None
    path, _, act = request.url.path.rpartition("/")
    typed = {key: text for key, text in (await request.form()).items() if isinstance(text, str) and key != FIELD}
    form = RefusedForm(act, str(error), typed)
    # what is shown is narrowed to what may be seen, as the door does where something is only read
    token = LOOK.set(partial(request.app.state.context.reading.find_hidden, caller))
    try:
        for place in (request.url.path, path):
            response = await _open_page(request, place, form)
            if response.status_code == HTTPStatus.OK:
                response.status_code = _status_of(error)
                return response
    finally:
        LOOK.reset(token)
    return None


async def _open_page(request: Request, path: str, form: RefusedForm) -> Response:
    """Return what a page answers to whoever sent a form."""
    head, parts = dict[str, Any](), list[bytes]()

    async def keep(message: Message) -> None:
        head.update(message)
        parts.append(message.get("body", b""))

    # without what the router has found for the form
    scope = {key: value for key, value in request.scope.items() if key not in ROUTED}
    scope |= {"method": "GET", "path": path, "raw_path": quote(path).encode(), REFUSED_FORM: form}
    await request.app.router(scope, request.receive, keep)
    response = Response(b"".join(parts), head["status"])
    response.raw_headers = head["headers"]
    return response


def refuse_page(request: Request, status: int, words: str, told: tuple[str, str] | None = None) -> Response:
    """Return a page that says why there is no other one, and what to do next.

    :param told: title, and what to do; those of the status when ``None``.
    """
    caller = request.scope.get(CALLER)
    title, cure = told or REFUSALS.get(status, REFUSED if request.method == "POST" else NO_ADDRESS)
    user = caller if isinstance(caller, User) else None
    form = address_here(request) if request.method == "POST" else ""
    response = render(request, "error.html", user, status, title=title, words=words, cure=cure, form=form)
    response.headers.update(HEADERS)
    return response


def address_here(request: Request) -> str:
    """Return path and query of a call; that of a form leads to the page on which the form is."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _send_to_login(request: Request) -> Response:
    """Send somebody to the login, and from there to the page that was asked for, or on which a part or form is."""
    is_part = bool(request.headers.get("HX-Request"))
    shown = urlsplit(request.headers.get("HX-Current-URL", ""))
    wanted = urlunsplit(("", "", shown.path, shown.query, "")) if is_part else address_here(request)
    login = f"{LOGIN}?next={quote(own_path(wanted), safe='')}"
    return Response(status_code=401, headers={"HX-Redirect": login}) if is_part else go_to(login)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aiida_finales.server.pages"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "link_nodes": link_nodes,
        "number": say_number,
        "counted": count,
        "moment": say_moment,
        "measured": format_value,
        "kind_of_state": kind_of_state,
        "age": age_words,
        "clock": say_clock,
        "percent": say_percent,
        "address_of": address_of,
    }
    environment.globals["static"] = static_address
    return environment


def link_nodes(words: object) -> Markup:
    """Return words in which each ``<pk>`` leads to the page of that node; everything else is escaped."""
    return Markup(NODE.sub(rf'<a href="{HOME}/nodes/\1">&lt;\1&gt;</a>', str(escape(localise(str(words))))))  # noqa: S704 - escaped


def say_clock(moment: datetime | str, beside: datetime | str, *, is_exact: bool = False) -> str:
    """Return the time of day of a moment, with its date where that is another than that of a moment beside it.

    :param is_exact: with seconds.
    """
    local, other = to_utc(moment).astimezone(), to_utc(beside).astimezone()
    clock = "%H:%M:%S" if is_exact else "%H:%M"
    return local.strftime(clock if local.date() == other.date() else f"%d %b {clock}")


def say_percent(share: float) -> str:
    """Return a share of a width as SVG has it."""
    return f"{100 * share:.2f}%"


def address_of(chosen: Mapping[str, str]) -> str:
    """Return what was chosen as the end of an address: ``&name=value`` for each that has a value."""
    return "".join(f"&{quote(name)}={quote(value, safe='')}" for name, value in chosen.items() if value)


def static_address(name: str) -> str:
    """Return where a file of the pages is; another version of the package has another address, so none is stale."""
    return f"{HOME}/static/{name}?v={__version__}"


def kind_of_state(words: object) -> str:
    """Return which shape and colour a state has: a name of :data:`KINDS`, or ``plain``."""
    return next((kind for kind, states in KINDS.items() if str(words).lower() in states), "plain")


def say_number(value: object) -> str:
    """Return a number with the digits that mean something, or a dash where there is none."""
    if value is None or value == "":
        return "-"
    return format_number(value) if isinstance(value, float) else str(value)


def say_moment(value: datetime | str | None) -> str:
    """Return a moment in the time of the server, with its offset."""
    return local_text(value) if value else "-"
