"""Where a result comes from as a graph that can be walked: campaign, suggestion, request, result, sample, bottle."""

from __future__ import annotations

from aiida_finales.schemas import Json
from aiida_finales.schemas.values import format_value

#: boxes of one column; more are counted
MOST = 6


def make_graph(story: Json) -> Json:
    """Return ``boxes`` and ``edges`` of a story as :func:`~aiida_finales.operations.origin.story.trace` tells it.

    Boxes have ``column`` (from the left: what came first), ``title``, ``words`` and ``kind`` with ``key``, by which a
    page finds its place; edges are pairs of indices of boxes, from what came first.
    """
    drawing = _Drawing()
    result, request, suggestion = story["result"], story["request"], story["suggestion"]
    value = format_value(result["value"], result["uncertainty"], result["unit"])
    column = 3 if request else 0
    own = drawing.add(column + 1, "result", result["uuid"], f"result <{result['pk']}>", value)
    before: list[int] = []
    if story["campaigns"]:
        before = [drawing.add(0, "campaign", name, "campaign", name) for name in story["campaigns"][:MOST]]
    if suggestion:
        words = f"step {suggestion['step']}: {suggestion['formulation']}"
        index = drawing.add(1, "node", suggestion["pk"], f"suggestion <{suggestion['pk']}>", words)
        drawing.join(before, index)
        before = [index]
    if request:
        asked = drawing.add(2, "request", request["uuid"], f"request <{request['pk']}>", request["formulation"])
        drawing.join(before, asked)
        before = [asked]
    if tenant := _name_tenant(story):
        index = drawing.add(column, "tenant", "", "answered by", tenant)
        drawing.join(before, index)
        before = [index]
    drawing.join(before, own)
    _add_origins(drawing, own, column + 1, story["origins"])
    return drawing.pack()


def _name_tenant(story: Json) -> str:
    tenant, process = story["tenant"] or {}, story["provided_by"] or {}
    name = tenant.get("name") or tenant.get("tenant_uuid") or ""
    return str(name or process.get("process") or "")


def _add_origins(drawing: _Drawing, own: int, column: int, lines: list[Json]) -> None:
    """Add what it was measured on, and what that was made of: to the right, because it is looked at from the result."""
    path, shown = [own], dict[int, int]()
    for line in lines:
        del path[line["depth"] :]
        place = column + line["depth"]
        shown[place] = shown.get(place, 0) + 1
        if shown[place] > MOST or len(path) < line["depth"]:
            continue
        title, _, words = str(line["words"]).partition(" of ")
        index = drawing.add(place, "node", line["pk"], title.partition("  <")[0], words or "")
        drawing.join([path[-1]], index)
        path.append(index)


class _Drawing:
    """Collects boxes and edges; the same thing is one box."""

    def __init__(self) -> None:
        self._boxes: list[Json] = []
        self._known: dict[tuple[str, object], int] = {}
        self._edges: list[tuple[int, int]] = []

    def add(self, column: int, kind: str, key: object, title: str, words: str) -> int:
        """Add a box and return its index."""
        name = (kind, key)
        if name not in self._known or key == "":
            self._known[name] = len(self._boxes)
            self._boxes.append({"column": column, "kind": kind, "key": key, "title": title, "words": words})
        return self._known[name]

    def join(self, first: list[int], second: int) -> None:
        """Draw lines to a box."""
        self._edges += [(index, second) for index in first]

    def pack(self) -> Json:
        """Return the graph without empty columns, each box with its row."""
        columns = sorted({box["column"] for box in self._boxes})
        rows = dict.fromkeys(columns, 0)
        for box in self._boxes:
            box["row"] = rows[box["column"]]
            rows[box["column"]] += 1
            box["column"] = columns.index(box["column"])
        return {"boxes": self._boxes, "edges": self._edges}
