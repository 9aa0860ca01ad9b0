"""Requests and results: lists, and everything about one of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from aiida import orm
from fastapi import Query, Request, Response

from aiida_finales.broker.listing import Selection, find_answered, list_request_rows, list_result_rows
from aiida_finales.broker.state import Entry, read_history, read_state
from aiida_finales.broker.status import RequestStatus, ResultStatus
from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData, find_samples, identities_used
from aiida_finales.data.tenant import name_tenants
from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.operations.engine.profile import keep_what_is_read
from aiida_finales.operations.origin.graph import make_graph
from aiida_finales.operations.origin.raw import (
    chart_lifetime,
    find_figures,
    is_simulated,
    read_tables,
    write_csv,
    write_hdf5,
)
from aiida_finales.operations.origin.story import trace
from aiida_finales.operations.origin.words import tell
from aiida_finales.operations.potential.learning import chart_forces
from aiida_finales.operations.request.documents import tell_given
from aiida_finales.operations.request.records import (
    describe_children,
    describe_request,
    describe_requests,
    describe_result,
    describe_results,
    detail_request,
    detail_result,
)
from aiida_finales.schemas import Json
from aiida_finales.schemas.chart import documents
from aiida_finales.schemas.chemicals import molality_or_none
from aiida_finales.schemas.moment import local_text
from aiida_finales.science.electrolyte.composition import describe
from aiida_finales.server.access.users import User
from aiida_finales.server.context import ContextDep
from aiida_finales.server.finales.requests import load_request
from aiida_finales.server.pages.acts import WORDS, acts_of_request, acts_of_result
from aiida_finales.server.pages.drawing import draw_graph
from aiida_finales.server.pages.page import go_to, new_router, render
from aiida_finales.server.pages.session import ViewerDep
from aiida_finales.server.pages.tables import flatten
from aiida_finales.server.v1.requests import load_result

router = new_router()

Offset = Annotated[int, Query(ge=0, le=2**40)]
Word = Annotated[str, Query(max_length=200)]

#: rows of a list on one page
MOST = 40
#: files of the numbers behind a result
FORMATS = {"csv": "text/csv; charset=utf-8", "h5": "application/x-hdf5"}
#: a UUID that stands by itself: within a key, as drivers are given one, it is a part of what people copy
UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])")
#: parts of the story that have a place of their own on the page
OWN_PLACE = ("History of the result", "History of the request")


@router.get("/requests")
async def show_requests(
    request: Request, context: ContextDep, user: ViewerDep, status: Word = "", offset: Offset = 0
) -> Response:
    """List requests, the latest first."""
    statuses = [item.value for item in RequestStatus if item != RequestStatus.UNSOLICITED]
    rows = await context.orm.call(lambda: describe_requests(list_request_rows(_select(status, offset))))
    return render(request, "requests.html", user, rows=rows, status=status, statuses=statuses, offset=offset, most=MOST)


@router.get("/results")
async def show_results(
    request: Request, context: ContextDep, user: ViewerDep, status: Word = "", offset: Offset = 0
) -> Response:
    """List results, the latest first."""
    statuses = [item.value for item in ResultStatus]
    rows = await context.orm.call(lambda: describe_results(list_result_rows(_select(status, offset))))
    return render(request, "results.html", user, rows=rows, status=status, statuses=statuses, offset=offset, most=MOST)


@router.get("/requests/{uuid}")
async def show_request(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show a request: what is asked for, who can serve it, who holds it, what came of it."""
    if uuid.isdecimal():
        return go_to(f"/pages/nodes/{uuid}")
    return render(request, "request.html", user, words=WORDS, **await context.orm.call(_find_request, uuid, user))


@router.get("/results/{uuid}")
async def show_result(request: Request, uuid: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show a result: numbers with units, and where they come from."""
    if uuid.isdecimal():
        return go_to(f"/pages/nodes/{uuid}")
    try:
        found = await context.orm.call(_find_result, uuid, user)
    except UnknownNodeError:
        # whoever answered was told the number of the result that the process of the request makes
        promised = await context.orm.call(find_answered, uuid)
        if not promised:
            raise
        return go_to(f"/pages/requests/{promised[0][0].uuid}")
    graph = draw_graph(found.pop("graph"))
    return render(request, "result.html", user, words=WORDS, graph=graph, **found)


@router.get("/results/{uuid}/raw/{name}")
async def get_raw(uuid: str, name: str, context: ContextDep, _: ViewerDep) -> Response:
    """Return the numbers behind a result as a file: a table as CSV, or all of them as HDF5."""
    stem, kind = name.rpartition(".")[::2]
    if kind == "csv":
        content: str | bytes = await context.orm.call(lambda: write_csv(load_result(uuid), stem))
    elif kind == "h5":
        content = await context.orm.call(lambda: write_hdf5(load_result(uuid)))
    else:
        raise UnknownNodeError(f"no file {name!r}: accepted is a name that ends with .csv or .h5")
    headers = {"Content-Disposition": f'attachment; filename="{uuid[:8]}-{quote(stem)}.{kind}"'}
    return Response(content, media_type=FORMATS[kind], headers=headers)


@router.get("/nodes/{pk}")
async def show_node(request: Request, pk: int, context: ContextDep, user: ViewerDep) -> Response:
    """Go to the page of a node, or say how to see it where it has none."""
    path, words = await context.orm.call(_find_node, pk)
    return go_to(path) if path else render(request, "node.html", user, pk=pk, words=words)


def _select(status: str, offset: int) -> Selection:
    return Selection((status,) if status else None, limit=MOST, offset=offset, newest_first=True)


@keep_what_is_read()
def _find_request(uuid: str, user: User) -> Json:
    node = load_request(uuid)
    state = read_state(pk_of(node))
    identities = identities_used(node.quantity, node.parameters)
    return {
        "item": detail_request(node),
        "answer": state.get("answer"),
        "acts": acts_of_request(state, user),
        "mixture": say_mixture(dict(node.base.attributes.get("fractions") or {})),
        "said": tell_given(node.given, node.parameters) if node.given else [],
        "parameters": {
            method: flatten(given, _schema(node.capabilities.get(method), "parameters_schema"))
            for method, given in node.parameters.items()
        },
        "parent": describe_request(load_request(node.parent)) if node.parent else None,
        "children": describe_children(node),
        "results": [describe_result(found) for found in _results_of(node)],
        "samples": [(identity, identity in find_samples([identity])) for identity in identities],
        "history": name_people(read_history(pk_of(node))),
    }


@keep_what_is_read()
def _find_result(uuid: str, user: User) -> Json:
    node = load_result(uuid)
    capability = node.base.attributes.get("capability", None)
    story, tables = trace(node), read_tables(node)
    figures = find_figures(tables, is_simulated=is_simulated(node)) + chart_lifetime(node) + chart_forces(node)
    return {
        "item": detail_result(node),
        "parameters": flatten(node.parameters, _schema(capability, "parameters_schema")),
        "data": flatten(node.data, _schema(capability, "result_schema")),
        "paragraphs": [part for part in _paragraphs(tell(story)) if part[0] not in OWN_PLACE],
        "campaigns": story["campaigns"],
        "asked": (story["request"] or {}).get("pk"),
        "tenant": (story["tenant"] or {}).get("name"),
        "acts": acts_of_result(node, read_state(pk_of(node)), user),
        "mixture": say_mixture(node.fractions),
        "tables": tables,
        "figures": json.dumps(documents(figures, "")) if figures else "",
        "graph": make_graph(story),
        "history": name_people(read_history(pk_of(node))),
    }


def say_mixture(fractions: dict[str, float]) -> str:
    """Return a mixture in one line: mole fractions, and the molality of its salt where it has a solvent."""
    if not fractions:
        return ""
    molality = molality_or_none(fractions, None)
    return describe(fractions) + (f" (mole fractions); {molality:.3g} mol salt per kg of solvent" if molality else "")


def name_people(entries: list[Entry]) -> list[Entry]:
    """Return a history with names in place of UUIDs: of tenants; of processes, results and requests their numbers."""
    said = {word for entry in entries for word in UUID.findall(f"{entry.who} {entry.why}")}
    query = orm.QueryBuilder().append(orm.Node, filters={"uuid": {"in": sorted(said)}}, project=["uuid", "id"])
    numbers = {uuid: f"<{pk}>" for uuid, pk in query.all()} if said else {}
    names = name_tenants() | numbers
    return [replace(entry, who=_name(entry.who, names), why=_name_all(entry.why, names)) for entry in entries]


def _name(who: str, names: dict[str, str]) -> str:
    kind, _, rest = who.partition(":")
    if kind == "process":
        return f"process {names.get(rest, rest[:8])}"
    return (
        {"user": rest, "operator": f"{rest} (operator)"}.get(kind, names.get(who, who)) if rest else names.get(who, who)
    )


def _name_all(text: str, names: dict[str, str]) -> str:
    return UUID.sub(lambda found: names.get(found[0], found[0]), text)


def _results_of(request: RequestData) -> list[ResultData]:
    pks = [row.pk for row in list_result_rows(Selection(request_uuid=request.uuid))]
    query = orm.QueryBuilder().append(ResultData, filters={"id": {"in": pks}}, tag="result")
    return list(query.order_by({"result": {"id": "asc"}}).all(flat=True)) if pks else []


def _schema(capability: str | None, name: str) -> Json:
    """Return a schema of the version that something was checked against; empty where it is not in this profile."""
    query = orm.QueryBuilder().append(CapabilityData, filters={"uuid": capability or ""}, project=f"attributes.{name}")
    found = query.first(flat=True)
    return dict(found) if found else {}


def _paragraphs(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Return a story as titles with their lines."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line and not line.startswith(" "):
            found.append((line, []))
        elif line:
            found[-1][1].append(line[2:])
    return found


def _find_node(pk: int) -> tuple[str | None, str]:
    node = orm.QueryBuilder().append(orm.Node, filters={"id": pk}).first(flat=True)
    if node is None:
        raise UnknownNodeError(f"no node <{pk}> in this profile")
    for kind, path in ((RequestData, "requests"), (ResultData, "results"), (SampleData, "samples")):
        if isinstance(node, kind):
            return f"/pages/{path}/{node.uuid}", ""
    state = f", {node.process_state.value}" if isinstance(node, orm.ProcessNode) and node.process_state else ""
    label = node.process_label if isinstance(node, orm.ProcessNode) else type(node).__name__
    return None, f"{label}{state}, made {local_text(node.ctime)}"
