"""Questions by meaning: SPARQL 1.1 over HTTP, questions that have a name, and the whole graph."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

from aiida_finales.exceptions import FinalesError, InputError, UnknownNodeError
from aiida_finales.fair.query import store as graph_store
from aiida_finales.fair.query.ask import Question, find_question, list_questions
from aiida_finales.operations.engine.profile import loaded_profile, open_session
from aiida_finales.schemas import Json
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep, UserDep
from aiida_finales.server.orm_thread import OrmThread

#: forms of an answer by media type, the usual one first
ANSWERS = {
    "application/sparql-results+json": "json",
    "application/json": "json",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/sparql-results+xml": "xml",
}
GRAPHS = {"text/turtle": graph_store.TURTLE, "application/ld+json": graph_store.LINKED}
FORM, QUERY = "application/x-www-form-urlencoded", "application/sparql-query"
#: characters of a question
LONGEST = 100_000
#: s that making the graph may take; 10,000 results take one minute on two busy cores
MAKE_TIMEOUT = 1800.0
#: s that a question may take
ASK_TIMEOUT = 30.0
#: how many times longer the graph stays than it took to make
PATIENCE = 10.0
#: questions at the same time; the others wait
MOST_AT_ONCE = 2
#: graphs that are kept, one for all users who may read the same
MOST_GRAPHS = 8
_PROGRAM = (sys.executable, "-m", "aiida_finales.fair.query.store")
#: what changes with any change of nodes, extras, statuses and campaigns
_STATE = """
SELECT (SELECT max(id) FROM db_dbnode), (SELECT count(*) FROM db_dbnode), (SELECT max(mtime) FROM db_dbnode),
       (SELECT max(id) FROM db_dblog), (SELECT count(*) FROM db_dbgroup_dbnodes)
"""


@dataclass(frozen=True)
class Graph:
    """A graph on disk.

    :param state: of the profile before it was read.
    :param moment: at which it was read.
    """

    folder: Path
    state: tuple[Any, ...]
    moment: datetime


class GraphKeeper:
    """Keeps the graph of what some users may read, in a folder that nobody else may read and that ends with the keeper.

    It is a copy, made and asked by programs that end, while others are served. It is made when somebody asks for the
    first time, and again when the profile has changed, but at most so often that making it takes a tenth of the time;
    who cannot wait asks for a fresh one.

    :param closed: pks of the campaigns that are not in it.
    :param asking: limits the questions to all graphs.
    :param building: lets one of all graphs be made at a time.
    """

    def __init__(
        self, orm_thread: OrmThread, closed: frozenset[int], asking: asyncio.Semaphore, building: asyncio.Lock
    ) -> None:
        self._orm = orm_thread
        self._closed = closed
        self._building = building
        self._home = Path(tempfile.mkdtemp(prefix="finales-graph-"))
        #: removes the graph; done by itself when nobody uses the keeper any more
        self.close = weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        self._making = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._asking = asking
        self._askers: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._graph: Graph | None = None
        self._n_made = 0
        self._due = 0.0

    async def get(self, *, is_fresh: bool = False) -> Graph:
        """Return the graph.

        :param is_fresh: it has everything that is in the profile now.
        """
        if self._graph is not None and not is_fresh and (self._making.locked() or time.monotonic() < self._due):
            return self._graph
        async with self._making:
            if self._graph is None or is_fresh or time.monotonic() >= self._due:
                self._graph = await self._renew(self._graph)
            return self._graph

    async def ask(self, graph: Graph, text: str, form: str, who: str) -> bytes:
        """Return the answer to a question; one user asks one after the other.

        :param form: a key of :data:`aiida_finales.fair.query.ask.ANSWER_FORMS`.
        :raises InputError: when it cannot be understood, takes too long, or too much memory.
        """
        async with self._askers[who], self._asking:
            status, answer, said = await _run(ASK_TIMEOUT, "ask", str(graph.folder), form, given=text.encode())
        if status is None or status < 0:
            raise InputError(
                f"the question takes more than {ASK_TIMEOUT:.0f} s or {graph_store.MOST_MEMORY >> 30} GiB of memory: "
                "ask for less, or write the graph to a file (GET /v1/graph) and ask it there"
            )
        if status:
            raise InputError(said)
        return answer

    async def write_turtle(self, graph: Graph) -> Path:
        """Return the file of the graph in Turtle."""
        path = graph.folder / graph_store.TURTLE
        async with self._writing:
            if not path.exists():
                await _demand(MAKE_TIMEOUT, "turtle", str(graph.folder))
        return path

    async def _renew(self, present: Graph | None) -> Graph:
        state, profile = await self._orm.call(_read_state)
        if present is not None and state == present.state:
            return present
        async with self._building:
            return await self._make(profile, state)

    async def _make(self, profile: str, state: tuple[Any, ...]) -> Graph:
        began, moment = time.monotonic(), datetime.now(UTC)
        folder = self._home / str(self._n_made)
        self._n_made += 1
        folder.mkdir()
        try:
            await _demand(MAKE_TIMEOUT, "make", profile, str(folder), json.dumps(sorted(self._closed)))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._due = time.monotonic() + PATIENCE * (time.monotonic() - began)
        # the one before may still be sent to somebody
        shutil.rmtree(self._home / str(self._n_made - 3), ignore_errors=True)
        return Graph(folder, state, moment)


def _read_state() -> tuple[tuple[Any, ...], str]:
    """Return what changes with every change of the profile, and its name."""
    row = open_session().execute(sa.text(_STATE)).one()
    return tuple(row), loaded_profile().name


async def _demand(timeout: float, *arguments: str) -> None:
    status, _, said = await _run(timeout, *arguments)
    if status != 0:
        raise FinalesError(f"the graph cannot be made: {said or f'it took more than {timeout:.0f} s, or was killed'}")


async def _run(timeout: float, *arguments: str, given: bytes = b"") -> tuple[int | None, bytes, str]:
    """Run the program; return its exit status, ``None`` when it took too long, what it wrote, and its last words."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*_PROGRAM, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        answer, said = await asyncio.wait_for(program.communicate(given), timeout)
    except TimeoutError:
        return None, b"", ""
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    words = said.decode(errors="replace").strip().splitlines()
    return program.returncode, answer, words[-1] if words else ""


def _media(*kinds: str) -> dict[int | str, Json]:
    return {200: {"content": {kind: {"schema": {"type": "string"}} for kind in kinds}}}


_BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {
            QUERY: {"schema": {"type": "string"}},
            FORM: {"schema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}},
        },
    }
}


class Keepers:
    """The graphs of one server: users who may read the same share one; of many the latest are kept."""

    def __init__(self, orm_thread: OrmThread) -> None:
        self._orm = orm_thread
        self._asking, self._building = asyncio.Semaphore(MOST_AT_ONCE), asyncio.Lock()
        self._keepers: OrderedDict[frozenset[int], GraphKeeper] = OrderedDict()

    def get(self, closed: frozenset[int]) -> GraphKeeper:
        """Return the graph without the campaigns that are closed to somebody."""
        if closed not in self._keepers:
            self._keepers[closed] = GraphKeeper(self._orm, closed, self._asking, self._building)
        self._keepers.move_to_end(closed)
        if len(self._keepers) > MOST_GRAPHS:
            # not closed: somebody may be waiting for it
            self._keepers.popitem(last=False)
        return self._keepers[closed]

    def close(self) -> None:
        """Remove the graphs."""
        for keeper in self._keepers.values():
            keeper.close()


async def get_keeper(request: Request, context: ContextDep, user: UserDep) -> GraphKeeper:
    """Return what keeps the graph of what a user may read, as long as the call lasts; made when one asks."""
    state = request.app.state
    if not hasattr(state, "graph_keepers"):
        state.graph_keepers = Keepers(context.orm)
    keepers: Keepers = state.graph_keepers
    keeper = keepers.get(await context.orm.call(context.reading.find_closed, user))
    request.state.keeper = keeper  # until a file of it was sent
    return keeper


@asynccontextmanager
async def _close(app: FastAPI) -> AsyncIterator[None]:
    yield
    if hasattr(app.state, "graph_keepers"):
        app.state.graph_keepers.close()
        del app.state.graph_keepers


KeeperDep = Annotated[GraphKeeper, Depends(get_keeper)]
router = APIRouter(prefix="/v1", tags=["questions by meaning"], lifespan=_close)


@router.get("/query", response_class=Response, responses=_media(*ANSWERS))
async def ask_by_get(
    request: Request,
    keeper: KeeperDep,
    user: UserDep,
    query: Annotated[str | None, Query(description="a SELECT or ASK question in SPARQL")] = None,
) -> Response:
    """Answer a question in SPARQL (SPARQL 1.1 Protocol, query operation by GET)."""
    return await _answer(request, keeper, user, _read_question(request.query_params.multi_items()))


@router.post("/query", response_class=Response, responses=_media(*ANSWERS), openapi_extra=_BODY)
async def ask_by_post(request: Request, keeper: KeeperDep, user: UserDep) -> Response:
    """Answer a question in SPARQL (SPARQL 1.1 Protocol, query operation by POST)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = (await request.body()).decode(errors="replace")
    if kind == FORM:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=100)
        text = _read_question([(key, value) for key, values in fields.items() for value in values])
    elif kind == QUERY:
        text = _read_question([*request.query_params.multi_items(), ("query", body)])
    else:
        raise HTTPException(415, f"the content type is {kind!r}, but accepted are {QUERY} and {FORM}")
    return await _answer(request, keeper, user, text)


@router.get("/questions")
async def get_questions(_: UserDep) -> list[Json]:
    """Return the questions that have a name, with what each leaves open."""
    return [_describe(question) for question in list_questions()]


@router.get("/questions/{name}", response_class=Response, responses=_media(*ANSWERS))
async def ask_by_name(name: str, request: Request, keeper: KeeperDep, user: UserDep) -> Response:
    """Answer a question that has a name; what it leaves open is given in the query, e.g. ``?minimum=0.9``."""
    try:
        question = find_question(name)
    except InputError as error:
        raise UnknownNodeError(str(error)) from error
    return await _answer(request, keeper, user, question.fill(dict(request.query_params)))


@router.get("/graph", response_class=FileResponse, responses=_media(*GRAPHS))
async def get_graph(request: Request, keeper: KeeperDep, _: UserDep) -> FileResponse:
    """Return everything that one may read and that is not confidential as Turtle or JSON-LD."""
    kind = choose_form(request.headers.get("accept", ""), list(GRAPHS))
    graph = await keeper.get(is_fresh=_is_fresh(request))
    path = await keeper.write_turtle(graph) if GRAPHS[kind] == graph_store.TURTLE else graph.folder / GRAPHS[kind]
    return FileResponse(path, media_type=kind, headers=_headers(graph))


def _read_question(fields: list[tuple[str, str]]) -> str:
    """Return the one question among the fields of a call.

    :raises InputError: when there is none or several, it is too long, or something is asked for that is not done here.
    """
    given = dict(fields)
    if "update" in given:
        raise InputError("updates are not accepted: the graph is made of the database, which changes by requests")
    refused = sorted(key for key in given if key.endswith("graph-uri"))
    if refused:
        raise InputError(f"{refused[0]} is not accepted: there is one graph, that of the profile")
    texts = [value for key, value in fields if key == "query"]
    if len(texts) != 1 or not texts[0].strip():
        raise InputError(f"{len(texts)} questions were given in 'query', but accepted is one that is not empty")
    if len(texts[0]) > LONGEST:
        raise InputError(f"the question has {len(texts[0])} characters, but accepted are {LONGEST}")
    return texts[0]


async def _answer(request: Request, keeper: GraphKeeper, user: User, text: str) -> Response:
    kind = choose_form(request.headers.get("accept", ""), list(ANSWERS))
    graph = await keeper.get(is_fresh=_is_fresh(request))
    answer = await keeper.ask(graph, text, ANSWERS[kind], user.name)
    return Response(answer, media_type=kind, headers=_headers(graph))


def _is_fresh(request: Request) -> bool:
    """Return whether the client asks for an answer that is not one of before (RFC 9111, 5.2.1.4)."""
    return "no-cache" in request.headers.get("cache-control", "").lower()


def _headers(graph: Graph) -> dict[str, str]:
    return {"Last-Modified": format_datetime(graph.moment, usegmt=True), "Vary": "Accept, Authorization"}


def _describe(question: Question) -> Json:
    parameters = [
        {"name": item.name, "kind": item.kind, "default": item.default, "meaning": item.words}
        for item in question.parameters
    ]
    return {"name": question.name, "question": question.title, "parameters": parameters}


def choose_form(accept: str, offered: Sequence[str]) -> str:
    """Return the media type that suits a client best; the first offered one when it has no preference.

    :raises HTTPException: 406 when none suits it.
    """
    wishes = [_read(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    best = max(offered, key=lambda kind: _quality(kind, wishes))
    if _quality(best, wishes) <= 0.0:
        raise HTTPException(406, f"the header Accept is {accept!r}, but offered are {', '.join(offered)}")
    return best


def _read(part: str) -> tuple[str, float]:
    kind, *parameters = [word.strip().lower() for word in part.split(";")]
    for word in parameters:
        if word.startswith("q="):
            try:
                return kind, float(word[2:])
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _quality(kind: str, wishes: list[tuple[str, float]]) -> float:
    """Return how much a media type is wanted: the most specific wish that it meets says so."""
    family = f"{kind.partition('/')[0]}/*"
    for pattern in (kind, family, "*/*"):
        for wished, quality in wishes:
            if wished == pattern:
                return quality
    return 0.0
