"""Samples: where they are, what they were made of, and what was made of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from aiida_finales.broker.samples import SampleSelection, parents_of
from aiida_finales.broker.state import read_history
from aiida_finales.broker.status import SampleStatus
from aiida_finales.data.nodes import pk_of
from aiida_finales.data.sample import KINDS, find_sample
from aiida_finales.operations.engine.profile import keep_what_is_read
from aiida_finales.operations.origin.genealogy import describe_samples, detail_sample, trace_back, trace_forward
from aiida_finales.schemas import Json
from aiida_finales.schemas.quantities.common import SampleContent
from aiida_finales.schemas.structure import model_schema
from aiida_finales.server.context import ContextDep
from aiida_finales.server.pages.page import new_router, render
from aiida_finales.server.pages.records import name_people
from aiida_finales.server.pages.session import ViewerDep
from aiida_finales.server.pages.tables import flatten

router = new_router()

#: rows of the list on one page
MOST = 40


class Where(BaseModel):
    """Which samples are listed; ``at`` is an address."""

    kind: str = Field("", max_length=200)
    status: str = Field("", max_length=200)
    at: str = Field("", max_length=200)
    offset: int = Field(0, ge=0, le=2**40)


@router.get("/samples")
async def show_samples(
    request: Request, context: ContextDep, user: ViewerDep, where: Annotated[Where, Query()]
) -> Response:
    """List samples, those of a kind, a status or a place, the latest first."""
    chosen, offset = where.model_dump(exclude={"offset"}), where.offset

    wanted = SampleSelection(where.kind or None, where.status or None, where.at or None)
    content: Json = {"chosen": chosen, "kinds": KINDS, "statuses": [item.value for item in SampleStatus]}
    rows = await context.orm.call(lambda: describe_samples(wanted, MOST, offset, newest_first=True))
    return render(request, "samples.html", user, rows=rows, offset=offset, most=MOST, **content)


@router.get("/samples/{identity:path}")
async def show_sample(request: Request, identity: str, context: ContextDep, user: ViewerDep) -> Response:
    """Show a sample with its genealogy, its place and its history."""
    return render(request, "sample.html", user, **await context.orm.call(_find, identity))


@keep_what_is_read()
def _find(identity: str) -> Json:
    node = find_sample(identity)
    origins, consequences = trace_back(node), trace_forward(node)
    return {
        "sample": detail_sample(node),
        "parents": [parent.identity for parent in parents_of(node)],
        "origins": grow_tree(origins),
        "consequences": grow_tree(consequences),
        "n_origins": len(origins),
        "n_consequences": len(consequences),
        "history": name_people(read_history(pk_of(node))),
        "content": flatten(node.content, model_schema(SampleContent)),
    }


def grow_tree(lines: list[Json]) -> list[Json]:
    """Return lines with a depth as a tree: each with those that belong to it."""
    top: list[Json] = []
    path: list[list[Json]] = [top]
    for line in lines:
        branch: Json = {"words": line["words"], "simulated": line["simulated"], "branches": []}
        del path[line["depth"] :]
        path[-1].append(branch)
        path.append(branch["branches"])
    return top
