"""Results that nobody asked for, posted or imported: created by a calculation, so that provenance has their origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import Process, ProcessSpec, calcfunction
from aiida.manage import get_manager
from aiida.orm.entities import EntityTypes

from aiida_finales.data.capability import CapabilityData, CapabilityVersion, find_capability
from aiida_finales.data.result import ResultData, set_uuid
from aiida_finales.exceptions import FinalesError, InputError, SchemaError, StatusError
from aiida_finales.schemas.finales_dump import Published, ServerClock, read_dump
from aiida_finales.schemas.formulation import find_fractions
from aiida_finales.schemas.plausibility import find_poor_conductor, salt_share
from aiida_finales.schemas.result_table import DEFAULT_RATING, RowResult, read_row, read_rows
from aiida_finales.schemas.table import Dialect, Row
from aiida_finales.schemas.table_map import map_rows, parse_map
from aiida_finales.science.electrolyte.known_density import find_density

#: attribute of a result: what the server said about it
PUBLISHED = "published"


#: of the link from the import to a result; the number of its row follows
_LABEL = "result_"
#: defects that a message names; the rest is counted
_SHOWN = 5


class UnsolicitedCalculation(Process):
    """Creates a result of what a client posted; the document, with who posted it, is its input."""

    _node_class = orm.CalculationNode

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input("capability", valid_type=CapabilityData, help="what was provided")
        spec.input("posted", valid_type=orm.Dict, help="data, parameters, tenant, poster, and the result's UUID")
        spec.output("result", valid_type=ResultData, help="what was posted")

    async def run(self) -> None:
        """Make the result."""
        posted = self.inputs.posted.get_dict()
        result = ResultData(
            self.inputs.capability,
            posted["data"],
            posted["parameters"],
            tenant_uuid=posted["tenant"],
            simulated=bool(posted.get("simulated", False)),
        )
        set_uuid(result, posted["uuid"])
        self.out("result", result)


def store_unsolicited(capability: CapabilityData, posted: dict[str, Any]) -> ResultData:
    """Run the calculation in this interpreter, whichever thread it is, and return the result.

    :raises StatusError: when it failed, naming the process.
    """
    # AiiDA's `run` handles signals, which only the main thread may; a runner without broker asks for no daemon
    runner = get_manager().create_runner(communicator=None, with_persistence=False)
    process = UnsolicitedCalculation(inputs={"capability": capability, "posted": orm.Dict(posted)}, runner=runner)
    process.execute()
    node = process.node
    if not node.is_finished_ok:
        raise StatusError(f"the result was not stored: process <{node.pk}> ended as {node.process_state}")
    return node.outputs.result


def create_results(results: Mapping[str, ResultData]) -> dict[str, ResultData]:
    """Store new results, all at once, as outputs of the calculation function that runs.

    To be called by a calculation function on what it returns. The engine would store its outputs one by one, and
    search the graph above each for a cycle: most of the time of an import, though what is new can close no cycle. It
    leaves alone what is its output already.

    :param results: not stored, by the label of their link.
    :returns: the stored nodes by the same labels.
    :raises RuntimeError: outside of a process.
    """
    process: Any = Process.current()
    if process is None:
        raise RuntimeError("results are created by a calculation function while it runs")
    storage: Any = get_manager().get_profile_storage()
    author = storage.default_user.pk
    uuids = {result.uuid: label for label, result in results.items()}
    storage.bulk_insert(EntityTypes.NODE, [_make_row(result, author) for result in results.values()])
    query = orm.QueryBuilder().append(ResultData, filters={"uuid": {"in": list(uuids)}}, project="*")
    stored: dict[str, Any] = {uuids[node.uuid]: node for node in query.all(flat=True)}
    links = [
        {"input_id": process.node.pk, "output_id": stored[label].pk, "type": LinkType.CREATE.value, "label": label}
        for label in results
    ]
    storage.bulk_insert(EntityTypes.LINK, links)
    return {label: stored[label] for label in results}


def _make_row(result: ResultData, author: int) -> dict[str, Any]:
    """Return what the database holds of a result; it has no files."""
    return {
        "uuid": result.uuid,
        "node_type": result.node_type,
        "process_type": None,
        "label": result.label,
        "description": result.description,
        "ctime": result.ctime,
        "mtime": result.mtime,
        "attributes": result.base.attributes.all,
        "extras": result.base.extras.all,
        "repository_metadata": {},
        "user_id": author,
        "dbcomputer_id": None,
    }


@calcfunction
def import_results(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return one result per row of a CSV file.

    :param file: in UTF-8, with columns ``temperature_K`` (not for cells), ``x_<chemical>`` (mole fraction) or another
        form of the mixture, and the value, or several separated by semicolons; ``simulated`` is yes or no; lines that
        begin with ``#`` are comments.
    :param settings: ``quantity``, ``method``, ``tenant`` (who measured), ``rating`` (1-5), ``reference``, ``map``
        where the table has other columns, or ``dialect`` (``delimiter``, ``decimal``), ``is_sure`` where numbers that
        are not to be expected are right, and ``rows``: numbers of the first row to read and of the first one not to.
    """
    return _read(file, settings.get_dict())


def _read(file: orm.SinglefileData, settings: dict[str, Any]) -> dict[str, ResultData]:
    rows = _read_rows(file.get_content("r"), settings)
    first, end = settings.get("rows") or (1, len(rows) + 1)
    capability = find_capability(settings["quantity"], settings["method"]).content
    results = {}
    for number, row in rows[first - 1 : end - 1]:
        read = _read_row(row, number, settings, capability)
        results[f"{_LABEL}{number:05d}"] = ResultData(
            capability,
            read.data,
            read.parameters,
            tenant_uuid=settings.get("tenant", ""),
            simulated=read.is_simulated,
            strict=True,
            is_sure=bool(settings.get("is_sure")),
        )
    return create_results(results)


def row_of(label: str) -> int:
    """Return the number of the row that a result was made of.

    :param label: of the link from the import to the result.
    """
    return int(label.removeprefix(_LABEL))


def check_rows(text: str, settings: dict[str, Any]) -> dict[int, RowResult]:
    """Return what each row says by its number, before anything is stored.

    :param settings: as those of :func:`import_results`.
    :raises InputError: naming each row that cannot be used and why.
    """
    rows = _read_rows(text, settings)
    capability = find_capability(settings["quantity"], settings["method"]).content
    found, defects = {}, []
    for number, row in rows:
        try:
            found[number] = _read_row(row, number, settings, capability)
            capability.judge_result(found[number].data, found[number].parameters, strict=True)
        except FinalesError as error:
            defects.append(f"row {number}: {error}")
    if defects:
        raise InputError(f"{len(defects)} of {len(rows)} rows cannot be used, nothing was stored: {_shorten(defects)}")
    return found


def demand_plausible(found: Mapping[int, RowResult], settings: dict[str, Any]) -> None:
    """Refuse rows with numbers that no electrolyte or cell is expected to have.

    :raises InputError: naming each of them, and the unit that it looks like.
    """
    capability = find_capability(settings["quantity"], settings["method"]).content
    defects = []
    for number, read in found.items():
        errors = capability.find_implausible(read.data, read.parameters)
        defects += [f"row {number}: {SchemaError('', errors)}".replace(": : ", ": ")] if errors else []
    if not defects and capability.quantity == "conductivity" and _look_poor(list(found.values())):
        defects.append(
            "all conductivities look like S/cm: 0.01 S/m is 0.1 mS/cm, of a solution with salt, and not cold"
        )
    if defects:
        raise InputError(
            f"{len(defects)} of {len(found)} rows have numbers that are not plausible, nothing was stored: "
            f"{_shorten(defects)}. Give the right unit (a map says it for a column); should they be right, say so with "
            "--yes-really"
        )


def _look_poor(rows: list[RowResult]) -> bool:
    """Return whether all conductivities of a table look like S/cm; the coldest and most dilute row decides."""
    bodies = [row.data["conductivity"] for row in rows]
    values = [value for body in bodies for value in body["values"]]
    temperature = min((body["temperature"] for body in bodies), default=None)
    salts = [salt_share(find_fractions(row.data)) for row in rows]
    return find_poor_conductor(values, temperature, min(salts, default=0.0))


def _shorten(defects: list[str]) -> str:
    more = len(defects) - _SHOWN
    return "; ".join(defects[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _read_rows(text: str, settings: dict[str, Any]) -> list[tuple[int, Row]]:
    """Return the rows of a table with our columns, or with those of the map."""
    if settings.get("map") is not None:
        return map_rows(text, parse_map(settings["map"]))
    return read_rows(text, settings["quantity"], Dialect(**settings.get("dialect") or {}))


def _read_row(row: Row, number: int, settings: dict[str, Any], capability: CapabilityVersion) -> RowResult:
    body = capability.result_schema["properties"][capability.quantity]
    return read_row(
        row,
        number,
        capability.quantity,
        is_one_cell=body.get("type") != "array",
        reference=settings.get("reference", ""),
        rating=settings.get("rating", DEFAULT_RATING),
        density_of=find_density,
    )


@calcfunction
def import_finales(file: orm.SinglefileData, settings: orm.Dict) -> Any:
    """Return the results in a dump, valid or not, with the identity that they had.

    :param file: SQLite database or JSON.
    :param settings: ``uuids`` of the results to take, and ``timezone`` of the server where somebody said it.
    """
    chosen = settings.get_dict()
    wanted, clock = set(chosen["uuids"]), ServerClock(chosen.get("timezone"))
    results = [item for item in read_dump(file.get_content("rb"), file.filename, clock).results if item.uuid in wanted]
    return create_results({f"result_{number:05d}": make_result(item) for number, item in enumerate(results, start=1)})


def make_result(published: Published) -> ResultData:
    """Return a result, not stored; data that break the schema are kept as not valid.

    :raises UnknownCapabilityError: when nobody here knows its quantity and method.
    """
    result = ResultData(
        find_capability(published.quantity, published.method),
        published.data,
        published.parameters,
        tenant_uuid=published.tenant_uuid,
        simulated=published.data.get("simulated") is True,
    )
    said = {key: getattr(published, key) for key in ("uuid", "time", "status", "request")}
    result.base.attributes.set(PUBLISHED, said)
    set_uuid(result, published.uuid)
    return result
