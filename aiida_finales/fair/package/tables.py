"""The numbers of a campaign as tables with the unit in the name of each column.

A package has them as CSV, made from its archive alone; :mod:`.entry_points.dataframes` makes them of a profile.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from aiida_finales.calculations.question import units_of
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
        tables[f"{quantity}.csv"] = [result_row(node) for node in mine]
        tables[f"{quantity}_values.csv"] = [row for node in mine for row in _values(node)]
    tables["suggestions.csv"] = [
        suggestion_row(node, _problem_of(node, archive)) for node in archive.of_type("suggestion")
    ]
    tables["front.csv"] = [row for node in archive.of_type("suggestion") for row in _front(node, archive)]
    tables["learned.csv"] = list(_learned(archive))
    tables["samples.csv"] = [sample_row(node) for node in archive.of_type("sample")]
    tables["history.csv"] = [_history(line) for line in archive.logs if line.logger == _STATUS]
    tables["nodes.csv"] = [_node(node) for node in archive.nodes]
    tables["links.csv"] = [asdict(link) for link in archive.links]
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


def result_row(node: Node) -> Row:
    """Return what a result tells."""
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


def suggestion_row(node: Node, problem: dict[str, Any]) -> Row:
    """Return what a suggestion proposed and expected there.

    :param problem: the optimiser's, which says what the coordinates of a point are.
    """
    document = node.attributes["document"]
    predicted, unit = document.get("predicted") or {}, document.get("unit") or "1"
    return {
        "suggestion": node.uuid,
        "created / UTC": node.time,
        "step": node.attributes["step"],
        "source": node.attributes["source_name"],
        **(
            _predictions(document)
            or {
                f"predicted mean / {unit}": predicted.get("mean"),
                f"predicted standard deviation / {unit}": predicted.get("sd"),
            }
        ),
        **(_place(document["x"], problem) if document.get("x") else {}),
        **(document.get("category") or {}),
    }


def _predictions(document: dict[str, Any]) -> Row:
    """Return what was expected of each of several objectives, if anything was; empty of one."""
    units, predictions, row = document.get("units") or {}, document.get("predictions") or {}, Row()
    for name, unit in units.items() if len(units) > 1 else ():
        told = predictions.get(name) or {}
        row |= {f"predicted mean of {name} / {unit or 1}": told.get("mean"),
                f"predicted standard deviation of {name} / {unit or 1}": told.get("sd")}  # fmt: skip
    return row


def _place(x: list[float], problem: dict[str, Any]) -> Row:
    """Return a point of the optimiser by the names of its coordinates; empty where these are not known."""
    if not problem:
        return {}
    shares, rest = x[: len(problem["components"])], x[len(problem["components"]) :]
    variables = {f"{item['name']} / {item['unit'] or 1}": value
                 for item, value in zip(problem.get("variables", ()), rest, strict=True)}  # fmt: skip
    return variables | _fractions(dict(zip(problem["components"], shares, strict=True)))


def _front(node: Node, archive: Archive) -> Iterator[Row]:
    """Yield the points of the front that a campaign with several objectives ended with, measured and predicted."""
    document = node.attributes["document"]
    if node.attributes["source_name"] or not document.get("front"):
        return  # the fronts on the way are in the suggestions
    problem, units = _problem_of(node, archive), document.get("units") or {}
    has_preferred = any(point.get("is_preferred") for point in document["front"]["measured"])
    for kind in ("measured", "predicted"):
        for point in document["front"][kind]:
            row: Row = {"suggestion": node.uuid, "front": kind}
            if has_preferred:
                row["preferred by the weights"] = bool(point.get("is_preferred"))
            for name, value in point["values"].items():
                told, unit = value if isinstance(value, dict) else {"mean": value}, units.get(name) or "1"
                row |= {f"{name} / {unit}": told["mean"], f"standard deviation of {name} / {unit}": told.get("sd")}
            place = {**_place(point["x"], problem), **(point.get("category") or {})}
            yield {**row, **place, "results": " ".join(point.get("uuids") or ())}


def _learned(archive: Archive) -> Iterator[Row]:
    """Yield what the models of campaigns were told in the end: of each result its objectives, and where it is."""
    told: dict[tuple[str, str], Row] = {}
    for node in archive.of_type("training_set"):
        asked = _asked(node, archive)
        units = units_of(asked) if asked else {}
        for row in node.attributes["rows"] if asked else ():
            values = row.get("values") or {}
            told[" ".join(units), row["uuid"]] = {
                "result": row["uuid"],
                "source": row["source"],
                **{f"{name} / {unit or 1}": values.get(name) for name, unit in units.items()},
                **_place(row["x"], asked["problem"]),
                **(row.get("category") or {}),
            }
        for uuid in node.attributes["removed"]:
            told.pop((" ".join(units), uuid), None)
    yield from told.values()


def _problem_of(node: Node, archive: Archive) -> dict[str, Any]:
    """Return the optimiser's problem that a suggestion answers; empty where it is withheld."""
    return dict(_asked(node, archive).get("problem") or {})


def _asked(node: Node, archive: Archive) -> dict[str, Any]:
    """Return the input ``problem`` of the calculation that made a suggestion or a training set; empty likewise."""
    creator = archive.creator_of(node)
    links = archive.incoming.get(creator.uuid, []) if creator else []
    asked = next((link.source for link in links if link.label == "problem"), "")
    found = archive.by_uuid[asked].attributes if asked else {}
    return dict(found) if found.get("problem") else {}


def sample_row(node: Node) -> Row:
    """Return what a sample is."""
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
