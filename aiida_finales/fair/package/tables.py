"""The numbers of a campaign as CSV tables with the unit in each header, made from its archive alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from aiida_finales.fair.package.archive import Archive, LogLine, Node
from aiida_finales.schemas.chemicals import chemical_label, molality_or_none
from aiida_finales.schemas.values import read_values, unit_of

Row = dict[str, Any]
Tables = dict[str, list[Row]]

FOLDER = "tables"
#: name of the status log of the broker
_STATUS = "aiida_finales.status"


def make_tables(archive: Archive) -> Tables:
    """Return the rows of each table by the name of its file, without folder; what is withheld is not in them."""
    results = archive.of_type("result")
    tables: Tables = {"requests.csv": [_request(node) for node in archive.of_type("request")]}
    for quantity in sorted({str(node.attributes["quantity"]) for node in results}):
        mine = [node for node in results if node.attributes["quantity"] == quantity]
        tables[f"{quantity}.csv"] = [_result(node) for node in mine]
        tables[f"{quantity}_values.csv"] = [row for node in mine for row in _values(node)]
    tables["suggestions.csv"] = [_suggestion(node) for node in archive.of_type("suggestion")]
    tables["front.csv"] = [row for node in archive.of_type("suggestion") for row in _front(node, archive)]
    tables["samples.csv"] = [_sample(node) for node in archive.of_type("sample")]
    tables["history.csv"] = [_history(line) for line in archive.logs if line.logger == _STATUS]
    tables["nodes.csv"] = [_node(node) for node in archive.nodes]
    tables["links.csv"] = [vars(link) for link in archive.links]
    return {name: rows for name, rows in tables.items() if rows}


def write_table(rows: Iterable[Row]) -> str:
    """Return rows as CSV; columns in the order of their first appearance, missing values are empty."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def _fractions(fractions: dict[str, float]) -> Row:
    """Return mole fractions by the name of the chemical, sorted so that tables have the same columns."""
    named = {f"x({chemical_label(key)}) / mol/mol": share for key, share in fractions.items()}
    return dict(sorted(named.items()))


def _request(node: Node) -> Row:
    asked, state = node.attributes, node.state
    return {
        "request": node.uuid,
        "created / UTC": node.time,
        "status": state.get("status", "not posted"),
        "quantity": asked["quantity"],
        "methods": " ".join(asked["methods"]),
        "requester": asked["requester"],
        "parent": asked.get("parent"),
        "result": state.get("result"),
        "temperature / K": asked.get("temperature"),
        **_fractions(asked.get("fractions") or {}),
    }


def _result(node: Node) -> Row:
    found, quantity = node.attributes, str(node.attributes["quantity"])
    unit = unit_of(quantity) or "1"
    fractions = found.get("fractions") or {}
    return {
        "result": node.uuid,
        "created / UTC": node.time,
        "status": node.state.get("status", "original"),
        "doubtful": "finales_doubtful" in node.extras,
        "request": found["request_uuid"],
        "method": found["method"],
        "tenant": found["tenant_uuid"],
        "simulated": bool(found.get("simulated")),
        "success": bool(found["success"]),
        "valid": bool(found["valid"]),
        "rating": found["rating"],
        f"{quantity} / {unit}": found["value"],
        f"standard deviation / {unit}": found.get("spread"),
        "number of values": found.get("n_values"),
        "temperature / K": found.get("temperature"),
        "molality / mol/kg": molality_or_none(fractions),
        **_fractions(fractions),
    }


def _values(node: Node) -> Iterator[Row]:
    quantity = str(node.attributes["quantity"])
    unit = unit_of(quantity) or "1"
    for number, value in enumerate(read_values(quantity, node.attributes["data"]), start=1):
        yield {
            "result": node.uuid,
            "number": number,
            f"{quantity} / {unit}": value.value,
            f"uncertainty / {unit}": value.uncertainty,
            "valid": value.is_valid,
            "reached": value.is_reached,
            "rating": value.rating,
        }


def _suggestion(node: Node) -> Row:
    document = node.attributes["document"]
    predicted, unit = document.get("predicted") or {}, document.get("unit") or "1"
    row: Row = {
        "suggestion": node.uuid,
        "created / UTC": node.time,
        "step": node.attributes["step"],
        "source": node.attributes["source_name"],
        f"predicted mean / {unit}": predicted.get("mean"),
        f"predicted standard deviation / {unit}": predicted.get("sd"),
    }
    return {**row, "x": " ".join(repr(share) for share in document["x"])} if document.get("x") else row


def _front(node: Node, archive: Archive) -> Iterator[Row]:
    """Yield the points of the front that a campaign with several objectives ended with, measured and predicted."""
    document = node.attributes["document"]
    if node.attributes["source_name"] or not document.get("front"):
        return  # the fronts on the way are in the suggestions
    problem, units = _problem_of(node, archive), document.get("units") or {}
    for kind in ("measured", "predicted"):
        for point in document["front"][kind]:
            row: Row = {"suggestion": node.uuid, "front": kind}
            for name, value in point["values"].items():
                told, unit = value if isinstance(value, dict) else {"mean": value}, units.get(name) or "1"
                row |= {f"{name} / {unit}": told["mean"], f"standard deviation of {name} / {unit}": told.get("sd")}
            shares, rest = point["x"][: len(problem["components"])], point["x"][len(problem["components"]) :]
            row |= {f"{item['name']} / {item['unit'] or 1}": value
                    for item, value in zip(problem.get("variables", ()), rest, strict=True)}  # fmt: skip
            row |= _fractions(dict(zip(problem["components"], shares, strict=True)))
            yield {**row, "results": " ".join(point.get("uuids") or ())}


def _problem_of(node: Node, archive: Archive) -> dict[str, Any]:
    """Return the optimiser's problem that a suggestion answers."""
    creators = [link.source for link in archive.incoming[node.uuid] if link.kind == "create"]
    links = (link for uuid in creators for link in archive.incoming[uuid] if link.label == "problem")
    problem: dict[str, Any] = archive.by_uuid[next(links).source].attributes["problem"]
    return problem


def _sample(node: Node) -> Row:
    kept, state = node.attributes, node.state
    return {
        "sample": node.uuid,
        "created / UTC": node.time,
        "identity": kept.get("identity"),
        "kind": kept.get("kind"),
        "status": state.get("status"),
        "simulated": bool(kept.get("simulated")),
        **_fractions(kept.get("fractions") or {}),
    }


def _history(line: LogLine) -> Row:
    keys = {"who": "who", "from": "from", "to": "to", "why": "why"}
    return {"node": line.node, "time / UTC": line.time, **{key: line.metadata.get(name) for key, name in keys.items()}}


def _node(node: Node) -> Row:
    kind = node.process_type or node.node_type
    label = node.attributes.get("process_label") or node.label
    end = node.attributes.get("exit_status")
    return {
        "node": node.uuid,
        "created / UTC": node.time,
        "kind": kind,
        "label": label,
        "exit status": end,
        "withheld": node.is_withheld,
    }
