"""Campaigns by buttons in a notebook: check, start, watch, explain, stop, export. The page of the AiiDAlab app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from aiida import orm
from sqlalchemy.exc import SQLAlchemyError

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.entry_points.notebook import show_campaign
from aiida_finales.entry_points.python import Campaign
from aiida_finales.entry_points.watching import LOOK_INTERVAL
from aiida_finales.exceptions import FinalesError, InputError, explain_os_error
from aiida_finales.operations.campaign.explain import explain_campaign, explanation_lines
from aiida_finales.operations.campaign.memory import read_state
from aiida_finales.operations.campaign.plan import describe_plan, plan_lines
from aiida_finales.operations.campaign.start import plan_campaign
from aiida_finales.operations.engine.profile import demand_profile, explain_database_error
from aiida_finales.operations.request.serving import refresh
from aiida_finales.schemas import Json
from aiida_finales.schemas.document import demand_keys, parse_document

EXAMPLE = """\
name: ocond
quantity: conductivity
target: two_electrode
fixed: {temperature: 301.15}   # K
sources:
  two_electrode: {}
initial: 5
stop: {evaluations: 12}
"""
#: what people can do something about
FORESEEN = (FinalesError, OSError, SQLAlchemyError)
_WIDE = widgets.Layout(width="100%", height="14em")


class Panel(widgets.VBox):  # type: ignore[misc]
    """A campaign file to write and start, and a campaign to watch, explain, stop and export.

    :param folder: where exports go.
    """

    def __init__(self, folder: str | Path = "exports") -> None:
        demand_profile()
        self.folder = Path(folder)
        self.file = widgets.Textarea(EXAMPLE, layout=_WIDE, description="campaign file")
        self.chosen = widgets.Dropdown(options=_list_campaigns(), description="campaign")
        self.page = widgets.HTML()
        self.said = widgets.HTML()
        starters = [self._button("check", self._check), self._button("start", self._start)]
        others = [self._button(name, act) for name, act in
                  {"explain": self._explain, "stop": self._stop, "export": self._export}.items()]  # fmt: skip
        self.chosen.observe(lambda _: self._run(self._show), names="value")
        rows = [self.file, widgets.HBox(starters), widgets.HBox([self.chosen, *others]), self.said, self.page]
        super().__init__(rows)
        self._run(self._show)
        self._following = _in_background(self._follow)

    @property
    def buttons(self) -> dict[str, widgets.Button]:
        """The buttons by what they do."""
        rows = [row for row in self.children if isinstance(row, widgets.HBox)]
        return {item.description: item for row in rows for item in row.children if isinstance(item, widgets.Button)}

    def _button(self, name: str, act: Callable[[], Iterable[str]]) -> widgets.Button:
        button = widgets.Button(description=name)
        button.on_click(lambda _: self._run(act))
        return button

    def _run(self, act: Callable[[], Iterable[str]]) -> None:
        """Do something and say what came of it; what was refused or failed is said as well: nobody reads the log."""
        self.said.value = _lines(["..."])
        try:
            self.said.value = _lines(act())
        except Exception as error:
            self.said.value = _warn(error)
            if not isinstance(error, FORESEEN):
                raise

    def _check(self) -> Iterable[str]:
        return plan_lines(describe_plan(plan_campaign(self._read_file())))

    def _start(self) -> Iterable[str]:
        name = Campaign.start(self._read_file()).name
        self._list(name)
        return [f"campaign {name} started; it goes on in the daemon when this page is closed"]

    def _show(self) -> Iterable[str]:
        self.page.value = ""
        if self.chosen.value:
            refresh()
            self.page.value = show_campaign(self._demand_campaign().overview())
        return []

    def _explain(self) -> Iterable[str]:
        return explanation_lines(explain_campaign(self._demand_campaign().name))

    def _stop(self) -> Iterable[str]:
        lines = self._demand_campaign().stop("stopped from the notebook")
        return [*lines, "it ends with its recommendation"]

    def _export(self) -> Iterable[str]:
        """Write a package; who made it must be said first, in a file that is written for that."""
        from aiida_finales.fair.package.export import Wishes, export_campaign
        from aiida_finales.fair.package.metadata import metadata_template, read_metadata

        name = self._demand_campaign().name
        about = self.folder / f"{name}.yaml"
        if not about.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            about.write_text(metadata_template(name), encoding="utf-8")
        metadata = read_metadata(about)
        if metadata.is_placeholder:
            return [f"say in {about} who made this, then export again"]
        package = export_campaign(name, metadata, self.folder, Wishes(scrub=True))
        return [f"package {package.folder} and {package.zip}"]

    def _read_file(self) -> Json:
        document = parse_document(self.file.value, "the campaign file")
        return demand_keys(document, "the campaign file", "quantity: conductivity")

    def _demand_campaign(self) -> Campaign:
        if not self.chosen.value:
            raise InputError("there is no campaign yet: start one")
        return Campaign(self.chosen.value)

    def _list(self, wanted: str | None) -> None:
        """Offer the campaigns that there are now, and choose one of them, or the latest."""
        names = _list_campaigns()
        if names != list(self.chosen.options):
            self.chosen.options = names
        if wanted in names:
            self.chosen.value = wanted

    async def _follow(self) -> None:
        """Show the chosen campaign whenever it has changed; it ends with the kernel."""
        known: Any = None
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            known = self._look(known)

    def _look(self, known: Any) -> Any:
        """Show the chosen campaign unless it is as it was, and return how it is; what hinders that is said."""
        try:
            refresh()
            self._list(self.chosen.value)
            state = read_state(Campaign(self.chosen.value).group) if self.chosen.value else None
            if state != known:
                self._show()
        except FORESEEN as error:
            self.said.value = _warn(error)
            return known
        return state


def _list_campaigns() -> list[str]:
    """Return the names of all campaigns, the latest first."""
    query = orm.QueryBuilder().append(CampaignGroup, project="label", tag="group")
    return list(query.order_by({"group": {"id": "desc"}}).all(flat=True))


def _warn(error: Exception) -> str:
    """Return why something was not done."""
    words = str(error)
    if isinstance(error, SQLAlchemyError):
        words = explain_database_error(error)
    elif isinstance(error, OSError):
        words = explain_os_error(error)
    elif not isinstance(error, FinalesError):
        words = f"this is a defect of the program, please tell its developers: {type(error).__name__}: {error}"
    return f'<div role="alert">&#9888; {escape(words)}</div>'


def _lines(lines: Iterable[str]) -> str:
    return "".join(f'<div style="white-space: pre-wrap">{escape(line)}</div>' for line in lines)


def _in_background(follow: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
    """Start what goes on between the cells; outside a notebook there is no loop, and nothing moves."""
    try:
        return asyncio.get_running_loop().create_task(follow())
    except RuntimeError:
        return None
