"""Campaigns as they are stored, also in an imported archive: many are read by as many statements as one.

Nothing but their groups is needed, and no node is loaded but their processes: what is wanted of the others are columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from aiida import orm
from aiida.manage import get_manager

from aiida_finales.broker.listing import CHUNK
from aiida_finales.broker.requests import OPEN
from aiida_finales.broker.results import DOUBTFUL
from aiida_finales.broker.sight import is_hidden
from aiida_finales.broker.state import STATE, State
from aiida_finales.data.campaign import (
    NOTES,
    CampaignGroup,
    CampaignProcess,
    explain_no_process,
    read_campaign_processes,
)
from aiida_finales.data.capability import Schemas, read_result_schemas
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import Facts, ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import follow
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign.evaluation import (
    Evaluation,
    Expected,
    Predicted,
    Spaces,
    Told,
    read_evaluations,
    read_expected,
    unite,
)
from aiida_finales.operations.campaign.overview import FAILED, Overview, read_front
from aiida_finales.operations.campaign.troubles import list_troubles, name_providers, read_tenants, tell_doubt
from aiida_finales.operations.engine.profile import keep_what_is_read, open_session
from aiida_finales.schemas import Json
from aiida_finales.schemas.campaign import CampaignFile, parse_campaign
from aiida_finales.workflows.training import find_numbers

#: with CROSS JOIN SQLite begins with the members of the groups; primary keys alone are in any order after an import.
#: AiiDA's query builder would look at each part of each document, which took most of the time of all that is here
_MEMBERS = """
SELECT m.dbgroup_id, n.id, {columns} FROM db_dbgroup_dbnodes AS m CROSS JOIN db_dbnode AS n
WHERE m.dbgroup_id IN :pks AND n.id = m.dbnode_id AND n.node_type = :type ORDER BY n.ctime, n.id
"""
#: not the plain types of links: SQLite would begin with all of one
_MAKERS = """
SELECT m.dbgroup_id, n.id, {columns}
FROM db_dbgroup_dbnodes AS m CROSS JOIN db_dbnode AS n CROSS JOIN db_dblink AS l
WHERE m.dbgroup_id IN :pks AND n.id = m.dbnode_id AND n.node_type = :type
AND l.output_id = n.id AND (l.type || '') = 'create'
"""
_INPUTS = """
SELECT l.output_id, n.id, {columns} FROM db_dblink AS l CROSS JOIN db_dbnode AS n
WHERE l.output_id IN :pks AND (l.type || '') LIKE 'input_%' AND l.label LIKE :label AND n.id = l.input_id
"""
_NODES = "SELECT n.id, n.id, {columns} FROM db_dbnode AS n WHERE n.id IN :pks"


@dataclass(frozen=True)
class Proposed:
    """A stored suggestion.

    :param source: that is to be asked; empty of a last word, which is a recommendation only.
    :param doubt: why it rests on what does not count any more.
    :param recommendation: what it recommended then, as the optimiser's document has it, as all that follows.
    """

    pk: int
    source: str
    doubt: str | None
    recommendation: Json | None
    predicted: Json | None
    front: Json | None
    predictions: Json | None


class Shelf:
    """What is stored of some campaigns, by the pk of the group; each kind of it by one statement.

    :param processes: by pk of the group.
    """

    def __init__(self, processes: Mapping[int, CampaignProcess]) -> None:
        self.processes = processes
        self._groups = list(processes)
        self._pks = [process.pk for process in processes.values()]
        columns = ["id", "label", f"extras.{NOTES}"]
        query = orm.QueryBuilder().append(CampaignGroup, filters={"id": {"in": self._groups}}, project=columns)
        self.named = {group: (str(label), dict(notes or {})) for group, label, notes in query.all()}
        told = _ask(_INPUTS, ("attributes",), pks=self._pks, label="campaign")
        self.files = {process: attributes for process, _, attributes in told}
        self.known: defaultdict[int, set[str]] = defaultdict(set)
        for process, _, uuid in _ask(_INPUTS, ("uuid",), pks=self._pks, label="known__%"):
            self.known[process].add(str(uuid))
        self.reasons = self._read_reasons()
        self.results = self._read_results()
        self.open_states = self._read_open_states()
        self.suggestions = self._read_suggestions()
        self.made = {pk: calculation for _, pk, _, calculation in self._makers(SuggestionData)}
        self.problem_of = read_problems(self.made)
        self.spaces = read_spaces(self.problem_of)
        self.problems = self._read_problems()
        self.tenants = read_tenants(self.problems.values())
        self.predicted = self._read_predicted()

    def _members(self, kind: type[orm.Data], *columns: str) -> Iterator[Any]:
        """Yield the group, pk and these columns of the members of a kind, the oldest member first."""
        return _ask(_MEMBERS, columns, pks=self._groups, type=kind.class_node_type)

    def _makers(self, kind: type[orm.Data]) -> Iterator[Any]:
        """Yield the group, pk, UUID, and the pk of the calculation that made it, of members of a kind."""
        return _ask(_MAKERS, ("uuid", "l.input_id"), pks=self._groups, type=kind.class_node_type)

    def _read_results(self) -> dict[int, list[tuple[int, str, Json]]]:
        """Return pk, UUID and extras of the results of each campaign: what may be new of each."""
        found: defaultdict[int, list[tuple[int, str, Json]]] = defaultdict(list)
        for group, pk, uuid, extras in self._members(ResultData, "uuid", "extras"):
            found[group].append((pk, str(uuid), extras))
        return found

    def _read_suggestions(self) -> dict[int, list[Proposed]]:
        keys = ("recommendation", "predicted", "front", "predictions")
        found: defaultdict[int, list[Proposed]] = defaultdict(list)
        for group, pk, said, extras in self._members(SuggestionData, "attributes", "extras"):
            told = map(said["document"].get, keys)
            found[group].append(Proposed(pk, said["source_name"], extras.get(DOUBTFUL), *told))
        return found

    def _read_open_states(self) -> dict[int, dict[int, State]]:
        found: defaultdict[int, dict[int, State]] = defaultdict(dict)
        for group, pk, extras in sorted(self._members(RequestData, "extras"), key=lambda row: int(row[1])):
            state = extras.get(STATE) or {}
            if state.get("status") in OPEN:
                found[group][pk] = state
        return found

    def _read_predicted(self) -> dict[int, dict[str, Predicted]]:
        """Return what the suggestion that led to a request predicted, by its UUID."""
        maker = {calculation: pk for pk, calculation in self.made.items()}
        told = {item.pk: item for items in self.suggestions.values() for item in items}
        found: defaultdict[int, dict[str, Predicted]] = defaultdict(dict)
        for group, _, uuid, calculation in self._makers(RequestData):
            if maker.get(calculation) in told:  # others write while this reads
                by = told[maker[calculation]]
                found[group][str(uuid)] = Predicted(by.pk, by.predicted, by.predictions or {})
        return found

    def _read_problems(self) -> dict[int, tuple[Json, Json]]:
        """Return what the optimiser was told for the first and the latest suggestion of each campaign that has one."""
        ends = {
            group: [self.problem_of.get(items[end].pk) for end in (0, -1)] for group, items in self.suggestions.items()
        }
        pks = list({pk for pair in ends.values() for pk in pair if pk is not None})
        query = orm.QueryBuilder().append(orm.Dict, filters={"id": {"in": pks}}, project=["id", "attributes"])
        found = dict(query.all()) if pks else {}
        return {group: (found.get(first, {}), found.get(last, {})) for group, (first, last) in ends.items()}

    def _read_reasons(self) -> dict[int, str]:
        """Return why processes that ended as they should have ended, by their pk."""
        ended = [process.pk for process in self.processes.values() if process.is_ok]
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": {"in": ended}}, tag="process", project="id")
        query.append(orm.Log, with_node="process", filters={"message": {"like": "%ended after%"}}, tag="log",
                     project="message")  # fmt: skip
        rows = query.order_by({"log": {"id": "asc"}}).all() if ended else []
        return {pk: message.rpartition("]: ")[2] for pk, message in rows}


def _ask(text: str, columns: Sequence[str], *, pks: Iterable[int], **given: str) -> Iterator[Any]:
    """Yield what a statement finds that may be seen: whose it is, pk, and these columns of nodes or, ``l.``, of links.

    :param pks: of those whose it is.
    """
    types = get_manager().get_profile_storage().nodes.ENTITY_CLASS.MODEL_CLASS.__table__.c  # type: ignore[attr-defined]
    names = [(name if "." in name else f"n.{name}") for name in columns]
    typed = [sa.column(name, types[name].type) if name in types else sa.column(name[2:]) for name in columns]
    statement = sa.text(text.format(columns=", ".join(names))).bindparams(sa.bindparam("pks", expanding=True))
    asked = statement.columns(sa.column("whose"), sa.column("id"), *typed)
    rows = open_session().execute(asked, {"pks": list(pks), **given}).all()
    yield from (row for row in rows if not is_hidden(row[1]))


def read_overview(group: CampaignGroup) -> Overview:
    """Return what a campaign has found so far.

    :raises CampaignFileError: when its process has not started, or what it was told cannot be read.
    """
    return demand_overview(group, read_overviews([int(group.pk or 0)]))


def demand_overview(group: CampaignGroup, found: Mapping[int, Overview | CampaignFileError]) -> Overview:
    """Return that of one campaign among those that were read.

    :raises CampaignFileError: when it could not be read.
    """
    overview = found.get(int(group.pk or 0), CampaignFileError(explain_no_process(group.label)))
    if isinstance(overview, CampaignFileError):
        raise overview
    return overview


@keep_what_is_read()
def read_overviews(
    groups: Iterable[int], before: Mapping[int, Overview] | None = None
) -> dict[int, Overview | CampaignFileError]:
    """Return what campaigns have found so far, or why that cannot be read, by the pk of their group.

    One whose process has not started is left out. Takes as many statements for a hundred as for one.

    :param before: what was read of some of them once: results that are judged there as they would be now are not read.
    """
    processes = read_campaign_processes(groups)
    if not processes:
        return {}
    shelf, schemas = Shelf(processes), read_result_schemas()
    found: dict[int, Overview | CampaignFileError] = {}
    files: dict[int, CampaignFile] = {}
    for group, process in processes.items():
        if group not in shelf.named:  # deleted since
            continue
        try:
            files[group] = parse_campaign(shelf.files.get(process.pk) or {}, is_stored=True)
        except CampaignFileError as error:
            found[group] = error
    bases = {group: _find_basis(shelf, group, file, schemas) for group, file in files.items()}
    old = {group: overview for group, overview in (before or {}).items() if overview.basis == bases.get(group)}
    judged = {group: _find_judged(shelf, group, overview) for group, overview in old.items()}
    facts = _read_facts([
        row for group in files for row in shelf.results.get(group, ()) if row[1] not in judged.get(group, {})
    ])  # fmt: skip
    evaluations: dict[int, tuple[Evaluation, ...]] = {}
    for group, file in files.items():
        kept, rows = judged.get(group, {}), shelf.results.get(group, ())
        # what was deleted since is neither
        results = [Told(pk, uuid, facts.get(pk), kept.get(uuid)) for pk, uuid, _ in rows if pk in facts or uuid in kept]
        known, predicted = shelf.known[shelf.processes[group].pk], shelf.predicted.get(group, {})
        evaluations[group] = read_evaluations(results, known, file, _spaces_of(shelf, group), predicted, schemas)
    shelf.tenants |= name_providers(item.tenant for items in evaluations.values() for item in items if item.against)
    learned = _count_learned(shelf, evaluations, old)
    return found | {
        group: replace(_make(shelf, group, file, evaluations[group], learned), basis=bases[group])
        for group, file in files.items()
    }


def _find_basis(shelf: Shelf, group: int, campaign: CampaignFile, schemas: Schemas) -> tuple[Any, ...]:
    """Return what results of a campaign are judged by, besides what is said of each."""
    wanted = {name: find_numbers(campaign, name, schemas) for name in campaign.sources}
    return campaign, unite(_spaces_of(shelf, group)), wanted, frozenset(shelf.known[shelf.processes[group].pk])


def _find_judged(shelf: Shelf, group: int, before: Overview) -> dict[str, Evaluation]:
    """Return the evaluations of before whose results are as they were, by UUID."""
    judged = {item.uuid: item for item in before.evaluations}
    rows = shelf.results.get(group, ())
    return {uuid: judged[uuid] for _, uuid, extras in rows if uuid in judged and judged[uuid].extras == extras}


def _read_facts(rows: Sequence[tuple[int, str, Json]]) -> dict[int, Facts]:
    """Return what results say by pk, given pk, UUID and extras."""
    extras, found = {pk: said for pk, _, said in rows}, dict[int, Facts]()
    for start in range(0, len(rows), CHUNK):
        pks = [pk for pk, *_ in rows[start : start + CHUNK]]
        for _, pk, attributes, ctime in _ask(_NODES, ("attributes", "ctime"), pks=pks):
            found[pk] = Facts.from_stored(attributes, extras[pk], ctime)
    return found


def _spaces_of(shelf: Shelf, group: int) -> Spaces:
    return {by.pk: shelf.spaces[by.pk] for by in shelf.suggestions.get(group, ()) if by.pk in shelf.spaces}


def _make(
    shelf: Shelf,
    group: int,
    campaign: CampaignFile,
    evaluations: tuple[Evaluation, ...],
    learned: Mapping[int, int],
) -> Overview:
    process, (name, notes) = shelf.processes[group], shelf.named[group]
    suggestions, spaces = shelf.suggestions.get(group, []), _spaces_of(shelf, group)
    first, document = shelf.problems.get(group, ({}, {}))
    problem, open_states = document.get("problem"), shelf.open_states.get(group, {})
    is_one = len(campaign.optimised) == 1
    forecasts = list(_forecasts(suggestions, learned, spaces, campaign)) if is_one else []
    is_recommended = bool(suggestions) and not suggestions[-1].source
    doubt = [tell_doubt(name)] if is_recommended and suggestions[-1].doubt else []
    troubles = list_troubles((first, document), shelf.tenants, notes, campaign, evaluations, open_states)
    return Overview(
        name=name,
        campaign=campaign,
        pk=process.pk,
        state=FAILED if process.has_failed else process.state,
        is_ended=process.is_ended,
        is_ok=process.is_ok,
        stop_reason=_stop_reason(process, shelf.reasons),
        unit=next(iter(campaign.optimised.values())).unit,
        components=unite(spaces),
        evaluations=evaluations,
        open_states=open_states,
        spent=notes.get("spent"),
        left_out=dict(notes.get("left_out", {})),
        troubles=(*doubt, *troubles),
        forecasts=tuple(forecasts),
        recommendation=forecasts[-1][1] if is_recommended and forecasts else None,
        problem=problem,
        units={key: goal.unit for key, goal in campaign.goals.items()},
        front=None
        if is_one or problem is None
        else read_front(
            [(learned.get(item.pk, 0), item.front) for item in suggestions if item.front],
            problem,
            {item.uuid for item in evaluations if not item.is_used},
        ),
        proposed=next((item.pk for item in reversed(suggestions) if item.source), None),
        is_doubtful=bool(doubt),
        learned={item.pk: learned[item.pk] for item in suggestions if item.pk in learned},
    )


def read_problems(made: Mapping[int, int]) -> dict[int, int]:
    """Return the pk of what the optimiser was told for each suggestion, by the pk of that; many share one.

    :param made: pk of the calculation by pk of the suggestion.
    """
    found = {calculation: pk for calculation, pk, _ in _ask(_INPUTS, ("l.label",), pks=made.values(), label="problem")}
    return {pk: found[calculation] for pk, calculation in made.items() if calculation in found}


def read_spaces(problem_of: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
    """Return the components (InChIKey) of the space that each suggestion was made in, by its pk."""
    columns, filters = ["id", "attributes.problem.components"], {"id": {"in": list(set(problem_of.values()))}}
    query = orm.QueryBuilder().append(orm.Dict, filters=filters, project=columns)
    components = dict(query.all()) if problem_of else {}
    return {pk: tuple(components[problem] or ()) for pk, problem in problem_of.items()}


def _stop_reason(process: CampaignProcess, reasons: Mapping[int, str]) -> str:
    """Return why a campaign ended, or was asked to end; empty while it goes on."""
    if not process.is_ended:
        return f"asked to stop: {process.asked_to_stop}" if process.asked_to_stop else ""
    return reasons.get(process.pk, "") if process.is_ok else process.exit_message or process.state


def _forecasts(
    suggestions: Iterable[Proposed], learned: Mapping[int, int], spaces: Spaces, campaign: CampaignFile
) -> Iterator[tuple[int, Expected]]:
    for item in suggestions:
        recommended = (item.recommendation or {}).get("sources", {}).get(campaign.target)
        if recommended:
            expected = read_expected(recommended, spaces.get(item.pk, ()), tuple(campaign.variables))
            yield learned.get(item.pk, 0), expected


def _count_learned(
    shelf: Shelf, evaluations: Mapping[int, tuple[Evaluation, ...]], before: Mapping[int, Overview]
) -> dict[int, int]:
    """Return the number of the latest result that each suggestion learned from, by its pk.

    :param before: what was read of campaigns once: as long as results have the numbers of then, that stays.
    """
    learned: dict[int, int] = {}
    for group, overview in before.items():
        then = [item.uuid for item in overview.evaluations]
        if then == [item.uuid for item in evaluations[group][: len(then)]]:
            learned |= overview.learned
    numbers: dict[int, dict[int, int]] = {}
    for group, items in evaluations.items():
        by_pk = {item.pk: item.number for item in items}
        new = (item.pk for item in shelf.suggestions.get(group, ()) if item.pk not in learned)
        numbers |= {shelf.made[pk]: by_pk for pk in new if pk in shelf.made}
    latest = {
        calculation: max((numbers[calculation].get(pk, 0) for pk in members), default=0)
        for calculation, members in follow(list(numbers))
        if calculation in numbers
    }
    return learned | {pk: latest[calculation] for pk, calculation in shelf.made.items() if calculation in latest}
