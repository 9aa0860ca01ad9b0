"""What is stored in this profile as data frames of pandas: results, suggestions and samples.

The columns are those of the tables of a package, each with its unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.data.sample import SampleData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import CampaignFileError, MissingExtraError
from aiida_finales.fair.package.archive import Node, to_iso
from aiida_finales.fair.package.tables import Row, result_row, sample_row, suggestion_row
from aiida_finales.operations.campaign.memory import recall_overview
from aiida_finales.operations.campaign.naming import variable_units
from aiida_finales.operations.engine.profile import demand_profile

if TYPE_CHECKING:
    from pandas import DataFrame

#: what is read of each node, in the order of :class:`.archive.Node`
_COLUMNS = ["uuid", "node_type", "label", "ctime", "mtime", "attributes", "extras"]


@dataclass(frozen=True)
class Tables:
    """What is stored, one row a node, the oldest first; the index is the UUID."""

    results: DataFrame
    suggestions: DataFrame
    samples: DataFrame

    def __repr__(self) -> str:
        return ", ".join(f"{len(table)} {name}" for name, table in vars(self).items())


def from_aiida(campaign: str | None = None) -> Tables:
    """Return results, suggestions and samples of a campaign, or of the whole profile.

    >>> from_aiida("ocond").results["conductivity / S/m"].max()  # doctest: +SKIP

    Numbers are in the units of storage, which the names of the columns say; times are UTC.

    :param campaign: its name.
    :raises UnknownNodeError: when there is none of that name, naming those that exist.
    :raises MissingExtraError: when pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise MissingExtraError("notebook", "from_aiida")
    demand_profile()
    group = None if campaign is None else CampaignGroup.find(campaign)
    problems = _read_problems(group)
    suggestions = [suggestion_row(node, problems.get(node.uuid, {})) for node in _read(SuggestionData, group)]
    samples = _read(SampleData, only=None if group is None else _find_samples(group))
    counted = {} if group is None else _read_counted(group)
    results = [{**result_row(node), **counted.get(node.uuid, {})} for node in _read(ResultData, group)]
    return Tables(
        results=_frame("result", results),
        suggestions=_frame("suggestion", suggestions),
        samples=_frame("sample", map(sample_row, samples)),
    )


def _frame(index: str, rows: Iterable[Row]) -> DataFrame:
    import pandas as pd

    table = pd.DataFrame(list(rows))
    if table.empty:
        return table
    table["created / UTC"] = pd.to_datetime(table["created / UTC"])
    for column in (name for name in table if " / " in name and table[name].isna().all()):
        table[column] = pd.to_numeric(table[column])  # nothing is known yet: still a column of numbers
    return table.set_index(index)


def _read_counted(group: CampaignGroup) -> dict[str, Row]:
    """Return what a campaign reads in each of its results beside the value: objectives, variables, options; by UUID."""
    try:
        overview = recall_overview(group)
    except CampaignFileError:  # it has not started
        return {}
    units = {**variable_units(overview), **(overview.units if len(overview.units) > 1 else {})}
    told = ((item, {**item.variables, **item.numbers}) for item in overview.evaluations)
    return {
        item.uuid: {**{f"{key} / {units[key] or 1}": numbers[key] for key in units if key in numbers}, **item.options}
        for item, numbers in told
    }


def _read(kind: type[orm.Data], group: CampaignGroup | None = None, only: set[int] | None = None) -> Iterable[Node]:
    """Yield the nodes of a kind, the oldest first."""
    query = orm.QueryBuilder()
    if group is not None:
        query.append(CampaignGroup, filters={"id": group.pk}, tag="group")
    filters = None if only is None else {"id": {"in": list(only)}}
    if only == set():
        return
    query.append(kind, filters=filters, project=_COLUMNS, tag="node", **({"with_group": "group"} if group else {}))
    query.order_by({"node": [{"ctime": "asc"}, {"id": "asc"}]})
    for uuid, node_type, label, born, changed, attributes, extras in query.iterall():
        begun, touched = (to_iso(moment.strftime("%Y-%m-%d %H:%M:%S.%f")) for moment in (born, changed))
        yield Node(uuid, node_type, "", label, begun, touched, attributes, extras, {})


def _read_problems(group: CampaignGroup | None) -> dict[str, dict[str, Any]]:
    """Return what the coordinates of each suggestion are, by its UUID."""
    query = orm.QueryBuilder()
    if group is not None:
        query.append(CampaignGroup, filters={"id": group.pk}, tag="group")
    within = {"with_group": "group"} if group else {}
    query.append(SuggestionData, project="uuid", tag="suggestion", **within)
    query.append(orm.CalculationNode, with_outgoing="suggestion", tag="calculation")
    names = ["attributes.problem.components", "attributes.problem.variables"]
    query.append(orm.Dict, with_outgoing="calculation", edge_filters={"label": "problem"}, project=names)
    return {uuid: {"components": kinds, "variables": variables or []}
            for uuid, kinds, variables in query.iterall() if kinds}  # fmt: skip


def _find_samples(group: CampaignGroup) -> set[int]:
    """Return the samples that were made and measured for the results of a campaign, down to the stock solutions."""
    results = orm.QueryBuilder().append(CampaignGroup, filters={"id": group.pk}, tag="group")
    results.append(ResultData, with_group="group", tag="result")
    results.append(orm.CalculationNode, with_outgoing="result", project="id")
    calculations, samples = set(results.all(flat=True)), set[int]()
    while calculations:
        found = set[int]()
        for side in ("with_incoming", "with_outgoing"):
            query = orm.QueryBuilder().append(
                orm.CalculationNode, filters={"id": {"in": list(calculations)}}, tag="calculation"
            )
            found |= set(query.append(SampleData, project="id", **{side: "calculation"}).all(flat=True))
        fresh, samples = found - samples, samples | found
        query = orm.QueryBuilder().append(SampleData, filters={"id": {"in": list(fresh)}}, tag="sample")
        query.append(orm.CalculationNode, with_outgoing="sample", project="id")
        calculations = set(query.all(flat=True)) if fresh else set()
    return samples
