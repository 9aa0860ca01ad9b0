"""The platform from Python: ask for a quantity, run a campaign, take the graph of what the data mean.

``from aiida_finales import request, Campaign, graph``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_finales.data.campaign import CampaignGroup, find_campaign_process
from aiida_finales.data.nodes import state_of
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import StatusError
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.start import plan_campaign, start_campaign, stop_campaign
from aiida_finales.operations.campaign.steer import add_point, continue_campaign
from aiida_finales.operations.engine.profile import demand_profile
from aiida_finales.operations.request.documents import expand_formulations
from aiida_finales.operations.request.serving import refresh, submit_request, wait_for, who_am_i

if TYPE_CHECKING:
    import rdflib
    from plotly.graph_objects import Figure

    from aiida_finales.entry_points.dataframes import Tables


def request(
    quantity: str,
    parameters: dict[str, Any] | None = None,
    *,
    wait: bool = True,
    timeout: float | None = None,
    **methods: dict[str, Any],
) -> ResultData | RequestData:
    """Ask for a quantity; whoever can provide it answers.

    >>> request("conductivity", two_electrode={
    ...     "formulation": {"LiPF6": 0.08, "EC": 0.45, "EMC": 0.47}, "temperature": 301.15})  # doctest: +SKIP

    :param parameters: parameters per method, instead of one keyword argument per method.
    :param wait: return the result; otherwise the request, which then has a process of its own.
    :param timeout: s to wait; the request goes on afterwards.
    :param methods: the acceptable methods with their parameters, the preferred one first. A formulation may be a
        dictionary of mole fractions by name, or a text as ``1 M LiPF6 in EC:EMC 3:7 w/w``; a temperature ``28 °C``.
    :raises InputError: when what is asked is not acceptable or nobody can serve it; nothing was stored.
    :raises DaemonError: when there is no daemon that can be relied on; nothing was stored.
    :raises StatusError: when there is no result, or none in time.
    """
    demand_profile()
    asked_for, given = expand_formulations({**(parameters or {}), **methods})
    asked = RequestData(quantity, asked_for, requester=who_am_i(), given=given)
    process = submit_request(asked)
    if not wait:
        return asked
    wait_for(process, timeout)
    return take_result(process)


def take_result(process: orm.WorkChainNode) -> ResultData:
    """Return the result of the process of a request.

    :raises StatusError: when there is none, with the reason.
    """
    if not process.is_finished_ok:
        reason = process.exit_message or f"process <{process.pk}> {state_of(process)}"
        raise StatusError(f"there is no result: {reason}")
    result: ResultData = process.outputs.result
    return result


class Campaign:
    """A campaign that was started, by its name.

    :raises UnknownNodeError: when there is none of that name, naming those that exist.
    """

    def __init__(self, name: str) -> None:
        demand_profile()
        self.group = CampaignGroup.find(name)

    @classmethod
    def start(
        cls, campaign: str | Path | dict[str, Any], name: str | None = None, *, is_sure: bool = False
    ) -> Campaign:
        """Start a campaign in the daemon.

        :param campaign: a campaign file, or its content.
        :param is_sure: numbers that are not to be expected are right.
        :raises InputError: when it cannot be started as it is; nothing was stored.
        :raises MissingExtraError: when an optional dependency is absent.
        :raises DaemonError: when there is no daemon that can be relied on.
        """
        demand_profile()
        plan = plan_campaign(campaign, name, is_sure=is_sure)
        start_campaign(plan)
        return cls(plan.campaign.name)

    @property
    def name(self) -> str:
        """The name, also that of the group of its nodes."""
        return str(self.group.label)

    @property
    def process(self) -> orm.WorkChainNode:
        """The process of the campaign."""
        return find_campaign_process(self.group)

    def wait(self, timeout: float | None = None) -> Campaign:
        """Wait for the end.

        :param timeout: s; ``None`` waits for ever.
        :raises StatusError: when it has not ended by then.
        """
        wait_for(self.process, timeout)
        return self

    def overview(self) -> Overview:
        """Return what is known by now."""
        return read_overview(self.group)

    def results(self) -> list[ResultData]:
        """Return the results of this campaign, oldest first, without those it started with."""
        return [_load_result(item.uuid) for item in self.overview().evaluations if not item.is_known]

    def best(self) -> ResultData | None:
        """Return the best result of the target that counts, or ``None``."""
        found = self.overview().best
        return None if found is None else _load_result(found.uuid)

    def tables(self) -> Tables:
        """Return results, suggestions and samples as data frames; see :func:`.dataframes.from_aiida`."""
        from aiida_finales.entry_points.dataframes import from_aiida

        return from_aiida(self.name)

    def watch(self) -> None:
        """Show progress in the present cell of a notebook until the end; an interrupt ends the watching alone."""
        from aiida_finales.entry_points.notebook import watch

        watch(self)

    def figures(self) -> dict[str, Figure]:
        """Return interactive figures by name; see :func:`.notebook.draw_figures`.

        :raises MissingExtraError: when plotly is not installed.
        """
        from aiida_finales.entry_points.notebook import draw_figures

        return draw_figures(self.overview())

    def _ipython_display_(self) -> None:
        """Show this campaign in a notebook."""
        from aiida_finales.entry_points.notebook import show

        refresh()
        show(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of this campaign."""
        from aiida_finales.entry_points.notebook import show_campaign

        refresh()
        return show_campaign(self.overview())

    def stop(self, reason: str, *, now: bool = False) -> list[str]:
        """Let the campaign ask for nothing more; see :func:`.starting.stop_campaign`."""
        return stop_campaign(self.name, reason, who_am_i(), is_now=now)

    def add(self, point: dict[str, Any], why: str = "", *, source: str | None = None) -> list[RequestData]:
        """Put a point of one's own into the queue; it is asked next.

        :param point: mole fraction by chemical, and the value of each variable by its name.
        :param source: of which to ask; default: the target, of several objectives all targets.
        :raises InputError: when the campaign or its tenants cannot ask for that; nothing was stored.
        """
        return add_point(self.name, point, who_am_i(), why, source)

    def suggest(self, source: str | None = None) -> dict[str, Any]:
        """Return what would be asked for next and why; nothing is stored and nobody is asked.

        :raises StatusError: when nothing would be asked.
        """
        from aiida_finales.operations.campaign.prospect import preview_suggestion

        return preview_suggestion(self.name, source)

    def explain(self) -> dict[str, Any]:
        """Return what the model has learned; see :func:`.explain.explain_campaign`."""
        from aiida_finales.operations.campaign.explain import explain_campaign

        return explain_campaign(self.name)

    def go_on(self, changes: dict[str, Any] | None = None) -> Campaign:
        """Go on with a campaign that has ended; see :func:`.steer.continue_campaign`.

        :param changes: by dotted key, such as ``{"stop.evaluations": 40}``.
        """
        continue_campaign(self.name, changes or {})
        return self

    def report(self, folder: str | Path) -> list[Path]:
        """Write the figures and the table; return the files.

        :raises MissingExtraError: when matplotlib is not installed.
        :raises StatusError: when there is no result yet.
        """
        from aiida_finales.operations.campaign.report import write_report

        return write_report(self.overview(), Path(folder))


def graph(campaign: str | Campaign | None = None) -> rdflib.Graph:
    """Return what the data of a campaign, or of the whole profile, mean; a copy in memory of what is known by now.

    >>> for row in graph("ocond").query("SELECT ?x WHERE { ?x a term:IonicConductivity }"):  # doctest: +SKIP
    ...     print(row.x)

    :param campaign: a campaign or its name.
    :raises UnknownNodeError: when there is none of that name, naming those that exist.
    :raises MissingExtraError: when the extra ``fair`` is not installed.
    """
    from aiida_finales.fair.query.ask import load_graph
    from aiida_finales.fair.query.library import as_rdflib

    demand_profile()
    chosen = Campaign(campaign) if isinstance(campaign, str) else campaign
    return as_rdflib(load_graph(chosen.group if chosen else None))


def _load_result(uuid: str) -> ResultData:
    result: ResultData = orm.load_node(uuid)  # type: ignore[assignment]
    return result
