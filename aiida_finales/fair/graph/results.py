"""Results: the values found, of which liquid or cell, how, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean, stdev
from urllib.parse import quote

from aiida_finales.fair.graph.provenance import agent_of, created_by, iris, without_nothing
from aiida_finales.fair.graph.quantity import join, make_mixture, make_quantity, make_uncertainty
from aiida_finales.fair.graph.records import NodeRecord, Records
from aiida_finales.fair.graph.terms import QUANTITIES, Method, find_method
from aiida_finales.schemas import Json
from aiida_finales.schemas.structure import is_number
from aiida_finales.schemas.values import PER_CELL, Value, first_body, read_values, stated_uncertainty

#: quantities of cells rather than of liquids
_OF_CELLS = ("capacity", "degradationEOL", "cell_assembly")
#: services that make samples
_MAKING = ("electrolyte", "cell_assembly")


def describe_result(node: NodeRecord, records: Records) -> Iterator[Json]:
    """Yield a result, the activity that found it, its quantities, and the electrolyte as it was then."""
    read = node.fields
    method = find_method(read["quantity"], read["method"])
    kind = kind_of(method, is_simulated=read["simulated"])
    outcomes = [*_values(node, kind), *_lives(node, kind, records), *describe_capacities(node, kind)]
    settings = [*_temperature(node, kind), *_thresholds(node), *describe_settings(node)]
    electrolyte = list(_electrolyte(node, [*outcomes, *settings], records))
    yield _result(node, records, outcomes)
    yield _activity(node, method, records, outcomes=outcomes, settings=settings)
    yield from outcomes
    yield from settings
    yield from electrolyte


def kind_of(method: Method, *, is_simulated: bool) -> str:
    """Return what kind of property values are: what a simulated device shows comes from a model."""
    return "ModelledProperty" if is_simulated and method.kind == "MeasuredProperty" else method.kind


def used_samples(node: NodeRecord, records: Records) -> list[NodeRecord]:
    """Return the samples that really went into what a calculation made."""
    creator = records.creator(node.uuid)
    if creator is None or (node.kind == "result" and node.fields["quantity"] == "transport"):
        return []
    made_of = node.fields["made_of"] if node.kind == "sample" else node.fields["data"].get("made_of")
    given = [item for item, _ in records.incoming(creator.uuid, "input_calc", "input_work") if item.kind == "sample"]
    return [item for item in given if not made_of or item.fields["identity"] in made_of]


def _result(node: NodeRecord, records: Records, outcomes: list[Json]) -> Json:
    read, state = node.fields, node.state
    creator = records.creator(node.uuid)
    inputs = records.incoming(creator.uuid, "input_calc", "input_work") if creator else []
    computed_from = [item for item, _ in inputs if item.kind in ("result", "model")]
    tenant = read.get("tenant_uuid")
    return without_nothing(
        {
            "@id": node.iri,
            "@type": ["finales:Result", "prov:Entity", "schema:Dataset"],
            "name": f"{read['quantity']} by {read['method']}",
            "quantity": read["quantity"],
            "method": read["method"],
            "dateCreated": node.created,
            "isSuccessful": bool(read["success"]),
            "isValid": bool(read["valid"]),
            "isSimulated": bool(read["simulated"]),
            "rating": read["rating"],
            "failureReason": None if read["success"] else _reason(read),
            "status": state.get("status") or "original",
            "statusReason": state.get("reason"),
            "doubtfulBecause": node.doubtful,
            "replacedBy": _address(state.get("replacement"), records),
            "answers": _address(read.get("request_uuid"), records),
            "capability": _address(read.get("capability"), records),
            "wasAttributedTo": agent_of(tenant) if tenant else None,
            "wasGeneratedBy": created_by(node, records),
            "wasDerivedFrom": iris([*used_samples(node, records), *computed_from]),
            "variableMeasured": [item["@id"] for item in outcomes],
        }
    )


def _activity(
    node: NodeRecord, method: Method, records: Records, *, outcomes: list[Json], settings: list[Json]
) -> Json:
    """Return how the values were found; of a simulated device it says what it imitates."""
    read = node.fields
    is_imitation = read["simulated"] and method.is_physical
    of_cells = read["quantity"] in _OF_CELLS
    cells = [item for item in used_samples(node, records) if item.fields["kind"] == "cell"]
    return without_nothing(
        {
            "@id": join(node.iri, "activity"),
            "@type": ["finales:Determination", *(["Simulation"] if is_imitation else method.activity)],
            "imitates": list(method.activity) if is_imitation else None,
            "measurementTechnique": read["method"],
            "isSimulated": bool(read["simulated"]),
            "recordedBy": created_by(node, records),
            "reportedIn": node.iri,
            "hasInput": _inputs(node, records),
            "hasTestObject": iris(cells) if of_cells else None,
            "hasProperty": [item["@id"] for item in settings],
            "hasOutput": [*(item["@id"] for item in outcomes), *iris(_made(node, records))],
        }
    )


def _inputs(node: NodeRecord, records: Records) -> list[str]:
    """Return what went in: the electrolyte that was looked at, or the samples that something was made of."""
    if node.fields["quantity"] in _MAKING:
        return iris(used_samples(node, records))
    if node.fields["fractions"] and node.fields["quantity"] not in _OF_CELLS:
        return [join(node.iri, "electrolyte")]
    return []


def _values(node: NodeRecord, kind: str) -> Iterator[Json]:
    """Yield the mean of the values of each quantity of the electrolyte that the data have.

    A quantity beside the result's own with numbers that are not to be expected is left out: that the result is valid
    says nothing about it.
    """
    read = node.fields
    doubted = {path.partition(".")[0] for path in read.get("implausible_beside") or ()}
    for name, known in QUANTITIES.items():
        values = () if name in PER_CELL or name in doubted else read_values(name, read["data"])
        numbers = [item.value for item in values if item.value is not None]
        if not numbers:
            continue
        stated = stated_uncertainty(values)
        spread = stdev(numbers) if len(numbers) > 1 else None
        words = "as its provider states it" if stated else f"standard deviation of {len(numbers)} repetitions"
        uncertainty = make_uncertainty(stated or spread, known.unit, words)
        body = first_body(read["data"].get(name))
        title = f"{name} of {body['of']}" if body.get("of") else None
        about = {"reportedIn": node.iri, "hasMetrologicalUncertainty": uncertainty, "name": title}
        yield make_quantity(join(node.iri, name), (known.term, kind), fmean(numbers), known.unit, **about)
        yield from _parts(node, name, kind, body)


def _parts(node: NodeRecord, name: str, kind: str, body: Json) -> Iterator[Json]:
    """Yield the means that a quantity has for each species of a liquid, or for each pair of them."""
    known = QUANTITIES[name]
    parts = {**(body.get("by_species") or {}), **(body.get("by_partner") or {})}
    for part, found in parts.items():
        if part == body.get("of") or not (isinstance(found, dict) and is_number(found.get("mean"))):
            continue
        error = found.get("standard_error")
        about = {
            "reportedIn": node.iri,
            "hasMetrologicalUncertainty": make_uncertainty(error, known.unit, "standard error of the mean over cells"),
            "name": f"{name} of {part}",
        }
        iri = join(node.iri, f"{name}-{quote(part, safe='')}")
        yield make_quantity(iri, (known.term, kind), found["mean"], known.unit, **about)


def _temperature(node: NodeRecord, kind: str) -> Iterator[Json]:
    """Yield the temperature of the electrolyte: measured with the values, or taken from what was asked."""
    read = node.fields
    if read["temperature"] is None or read["quantity"] in PER_CELL or read["quantity"] not in QUANTITIES:
        return
    is_reported = is_number(first_body(read["data"].get(read["quantity"])).get("temperature"))
    terms = ("ThermodynamicTemperature", kind if is_reported else "ConventionalProperty")
    name = "temperature of the electrolyte while this was found"
    yield make_quantity(join(node.iri, "temperature"), terms, read["temperature"], "Kelvin", name=name)


def _lives(node: NodeRecord, kind: str, records: Records) -> Iterator[Json]:
    """Yield the end of life of each cell that has one, and what the result says of several: their median."""
    known, read = QUANTITIES["degradationEOL"], node.fields
    lives = []
    for number, cell, found in _cells(node):
        stated = make_uncertainty(found.uncertainty or None, known.unit, "as its provider states it")
        about: Json = {
            "hasMetrologicalUncertainty": stated,
            "isLowerBound": None if found.is_reached else True,
            "belongsTo": records.samples.get(str((cell.get("cell_info") or {}).get("uuid"))),
        }
        lives.append(join(node.iri, f"cycle-life-{number}"))
        yield make_quantity(lives[-1], (known.term, kind), found.value or 0.0, known.unit, reportedIn=node.iri, **about)
    if len(lives) > 1 and is_number(read.get("value")):
        words = f"standard deviation of {len(lives)} cells"
        about = {
            "name": f"median of {len(lives)} cells",
            "wasDerivedFrom": lives,
            "hasMetrologicalUncertainty": make_uncertainty(read.get("spread"), known.unit, words),
        }
        # it is of no cell, so that who asks for cells does not get it
        yield make_quantity(join(node.iri, read["quantity"]), (known.term, kind), read["value"], known.unit, **about)


def _thresholds(node: NodeRecord) -> Iterator[Json]:
    """Yield the capacity that is taken for the end of life of each cell."""
    name, terms = "part of the reference capacity left at the end of life", ("EndOfLifeCapacityThreshold",)
    for number, cell, _ in _cells(node):
        threshold = (cell.get("end_of_life_definition") or {}).get("threshold")
        if is_number(threshold):
            iri = join(node.iri, f"threshold-{number}")
            yield make_quantity(iri, (*terms, "ConventionalProperty"), threshold, "UnitOne", name=name)


def _cells(node: NodeRecord) -> Iterator[tuple[int, Json, Value]]:
    """Yield number, data and end of life (cycles) of each cell that has one."""
    quantity, data = node.fields["quantity"], node.fields["data"]
    if quantity != "degradationEOL":
        return
    body = data.get(quantity)
    cells = [cell for cell in (body if isinstance(body, list) else [body]) if isinstance(cell, dict)]
    for number, (cell, found) in enumerate(zip(cells, read_values(quantity, data), strict=True), start=1):
        if found.is_valid:
            yield number, cell, found


def _electrolyte(node: NodeRecord, quantities: list[Json], records: Records) -> Iterator[Json]:
    """Yield the electrolyte as it was at that time, a view of the vial where there is one, and its molality."""
    fractions = node.fields["fractions"]
    if not fractions:
        return
    iri = join(node.iri, "electrolyte")
    parts, molalities = make_mixture(iri, fractions)
    own = [] if node.fields["quantity"] in _OF_CELLS else [item["@id"] for item in quantities]
    concerned = [*used_samples(node, records), *_made(node, records)]
    vials = [item for item in concerned if item.fields["kind"] == "vial"]
    yield without_nothing(
        {
            "@id": iri,
            "@type": ["ElectrolyteSolution", "prov:Entity"],
            **parts,
            "isSimulated": bool(node.fields["simulated"]),
            "reportedIn": node.iri,
            "specializationOf": iris(vials),
            "hasProperty": [*parts.get("hasProperty", ()), *own],
        }
    )
    yield from molalities


def _made(node: NodeRecord, records: Records) -> list[NodeRecord]:
    """Return the samples that were made together with a result that says so."""
    creator = records.creator(node.uuid)
    if creator is None or node.fields["quantity"] not in _MAKING:
        return []
    return [item for item, _ in records.outgoing(creator.uuid, "create") if item.kind == "sample"]


def _reason(read: Json) -> str:
    """Return why a result is no success, in the words of its provider."""
    data = read["data"]
    body = first_body(data.get(read["quantity"]))
    places = (data, body, data.get("meta"), body.get("meta"))
    given = [place["reason"] for place in places if isinstance(place, dict) and place.get("reason")]
    return str(given[0]) if given else "its provider says that it did not succeed"


def _address(uuid: str | None, records: Records) -> str | None:
    return records.nodes[uuid].iri if uuid in records.nodes else None


QUANTITY = "capacity"
#: key of the parameters, class, unit and words
_SETTINGS = (
    ("cycling_V_max", "UpperVoltageLimit", "Volt", "voltage at which charging ends"),
    ("cycling_V_min", "LowerVoltageLimit", "Volt", "voltage at which discharging ends"),
    ("c_rate_charge", "CRate", "ReciprocalHour", "rate of charging"),
    ("c_rate_discharge", "CRate", "ReciprocalHour", "rate of discharging"),
    ("V_max", "UpperVoltageLimit", "Volt", "voltage at which charging ends, formation"),
    ("V_min", "LowerVoltageLimit", "Volt", "voltage at which discharging ends, formation"),
    ("c_rate_charge_formation", "CRate", "ReciprocalHour", "rate of charging, formation"),
    ("c_rate_discharge_formation", "CRate", "ReciprocalHour", "rate of discharging, formation"),
    ("number_cycles", "NumberOfIterations", "UnitOne", "cycles after formation"),
)
#: place in the list of capacities (charge and discharge in turn), class and words
_OUTCOMES = (
    ("first-charge", 0, "ChargingCapacity", "charge of the first cycle"),
    ("first-discharge", 1, "DischargingCapacity", "discharge of the first cycle"),
    ("last-discharge", -1, "DischargingCapacity", "discharge of the last cycle"),
)


def describe_settings(node: NodeRecord) -> Iterator[Json]:
    """Yield how a cell was cycled."""
    given = node.fields["parameters"] if node.fields["quantity"] == QUANTITY else {}
    for key, term, unit, words in _SETTINGS:
        if is_number(given.get(key)):
            iri = join(node.iri, key.replace("_", "-"))
            yield make_quantity(iri, (term, "ConventionalProperty"), given[key], unit, name=words)


def describe_capacities(node: NodeRecord, kind: str) -> Iterator[Json]:
    """Yield the first and the last capacities of a cell (Ah); the others stay with the result.

    :param kind: what kind of property they are.
    """
    found = node.fields["data"].get("capacity_list") if node.fields["quantity"] == QUANTITY else None
    if not isinstance(found, list) or not found or len(found) % 2 or not all(map(is_number, found)):
        return
    for key, place, term, words in _OUTCOMES:
        iri = join(node.iri, key)
        yield make_quantity(iri, (term, kind), found[place], "AmpereHour", name=words, reportedIn=node.iri)
