"""A campaign in a notebook: as data frames, as HTML, and in a cell that moves."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from aiida import orm
from sqlalchemy.exc import OperationalError

from aiida_finales import Campaign, from_aiida
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.entry_points import dataframes
from aiida_finales.exceptions import MissingExtraError, UnknownNodeError
from aiida_finales.fair.package.archive import Node
from aiida_finales.fair.package.tables import suggestion_row
from tests.entry_points.cli.test_bad_input import hide_modules
from tests.entry_points.conftest import CAMPAIGN, run_what_is_submitted
from tests.operations.campaign.test_front import make_overview


@pytest.fixture(scope="module")
def campaign(lab, tmp_path_factory) -> Campaign:
    """A campaign that has ended: one evaluation by the simulated robot, three by models."""
    file = tmp_path_factory.mktemp("campaign") / "models.yaml"
    file.write_text(json.dumps(CAMPAIGN))
    with pytest.MonkeyPatch.context() as patch:
        run_what_is_submitted(patch)
        started = Campaign.start(file)
    assert started.process.is_finished_ok, started.process.exit_message
    return started


def test_results_are_a_data_frame_with_units(campaign) -> None:
    """Each number is that of its node; the unit is in the name of the column."""
    table = from_aiida(campaign.name).results
    assert len(table) == len(campaign.results()) == CAMPAIGN["stop"]["evaluations"]
    for uuid, row in table.iterrows():
        node: Any = orm.load_node(str(uuid))
        assert row["conductivity / S/m"] == node.value
        assert row["temperature / K"] == CAMPAIGN["fixed"]["temperature"]
        assert row.filter(like=" / mol/mol").sum() == pytest.approx(1.0)
    assert table["created / UTC"].is_monotonic_increasing


def test_suggestions_are_a_data_frame_with_what_was_expected(campaign) -> None:
    """The point that was proposed stands by component; the last one has no source: it recommends."""
    table = campaign.tables().suggestions
    assert set(table["source"]) >= {"empirical_model"}
    assert table["step"].is_monotonic_increasing
    told = table.dropna(subset=["x(EC) / mol/mol"])
    assert len(told)
    assert told.filter(like=" / mol/mol").sum(axis=1).to_numpy() == pytest.approx(1)


def test_several_objectives_and_options_have_columns_of_their_own(campaign, monkeypatch) -> None:
    """What one answer tells of another objective, and which option was tried, stand beside the value."""
    uuid = campaign.results()[0].uuid
    item = replace(make_overview("density", "viscosity").evaluations[0], uuid=uuid, options={"cathode": "LFP"})
    item = replace(item, numbers={"density": 1.2, "viscosity": 3.4})
    overview = replace(make_overview("density", "viscosity"), evaluations=(item,))
    monkeypatch.setattr(dataframes, "recall_overview", lambda _: overview)
    row = from_aiida(campaign.name).results.loc[uuid]
    assert row[["density / g/cm³", "viscosity / mPa·s", "cathode"]].tolist() == [1.2, 3.4, "LFP"]


def test_what_was_expected_of_each_objective_is_told() -> None:
    """With the unit of each; and a column that knows nothing yet is one of numbers."""
    told = {"density": {"mean": 1.2, "sd": 0.1}, "viscosity": {"mean": 3.0, "sd": 0.5}}
    document = {"predictions": told, "units": {"density": "g/cm³", "viscosity": "mPa·s"}, "predicted": told["density"]}
    attributes = {"document": document, "step": 1, "source_name": "a"}
    moment = "2026-01-01T00:00:00+00:00"
    row = suggestion_row(Node("u", "", "", "", moment, moment, attributes, {}, {}), {})
    assert row["predicted mean of viscosity / mPa·s"] == 3.0
    assert row["predicted standard deviation of density / g/cm³"] == 0.1
    assert "predicted mean / 1" not in row
    # of the first points nothing is expected yet: no other columns than those of the later ones
    first = {**attributes, "document": {"units": document["units"], "unit": "g/cm³"}}
    unknown = suggestion_row(Node("v", "", "", "", moment, moment, first, {}, {}), {})
    assert set(unknown) == set(row)
    assert unknown["predicted mean of density / g/cm³"] is None
    empty = dataframes._frame("result", [{"result": "u", "created / UTC": moment, "value / 1": None}])
    assert empty["value / 1"].dtype == float


def test_all_that_is_stored_is_read_without_a_name(campaign) -> None:
    """Without a campaign the stock solutions of the laboratory are there; this campaign touched none of them."""
    every = from_aiida()
    assert set(campaign.tables().results.index) <= set(every.results.index)
    assert set(every.samples["kind"]) == {"stock"}
    assert every.samples["simulated"].all()
    assert campaign.tables().samples.empty


def test_an_unknown_campaign_is_named(campaign) -> None:
    """The error says which there are."""
    with pytest.raises(UnknownNodeError, match="there are models"):
        from_aiida("other")


def test_without_pandas_the_extra_is_named(campaign, monkeypatch) -> None:
    """The message says what to install."""
    hide_modules(monkeypatch, dataframes, "pandas")
    with pytest.raises(MissingExtraError, match="notebook"):
        from_aiida()


def test_a_campaign_shows_itself_in_html(campaign) -> None:
    """Progress, reason of the end, and each result; what people wrote cannot become markup."""
    page = campaign._repr_html_()
    assert 'max="4" value="4"' in page
    assert "4 evaluations were made" in page
    assert page.count("<tr>") == 1 + 4 + 1  # header, results, recommendation
    assert "value / S/m" in page
    assert "&lt;" in page, "the pk of the best result in brackets is escaped"


def test_watching_moves_one_cell(campaign, capsys, monkeypatch) -> None:
    """A campaign that has ended is shown once, and the watching ends."""
    from IPython import display

    shown: list[Any] = []
    monkeypatch.setattr(display, "display", lambda page, **_: shown.append(page.data))
    campaign.watch()
    assert len(shown) == 1
    assert "4 evaluations were made" in shown[0]


def test_a_cell_shows_words_and_figures(campaign, monkeypatch) -> None:
    """Each result is a point of the figure, with what it is under the mouse, unless it does not count."""
    from IPython import display

    shown: list[Any] = []
    monkeypatch.setattr(display, "display", lambda item, **_: shown.append(item))
    campaign._ipython_display_()
    page, figure = shown
    assert "4 evaluations were made" in page.data
    drawn = [value for trace in figure.data if trace.mode == "markers" for value in trace.y]
    assert sorted(drawn) == sorted(item.value for item in campaign.overview().evaluations if item.is_used)
    best = campaign.best()
    told = [text for trace in figure.data if trace.mode == "markers" for text in trace.text]
    assert any(f"result {best.pk}" in text for text in told)


def test_the_panel_checks_starts_explains_and_exports(campaign, lab, monkeypatch, tmp_path) -> None:
    """By buttons alone; what is refused is said, and nothing is stored then."""
    from aiida_finales.entry_points.panel import Panel

    run_what_is_submitted(monkeypatch)
    panel = Panel(tmp_path)
    assert panel.chosen.value == campaign.name
    assert "4 evaluations were made" in panel.page.value
    panel.file.value = json.dumps({**CAMPAIGN, "name": "by-button", "stop": {"evaluations": 2}, "initial": 2})
    panel.buttons["check"].click()
    assert "empirical_model" in panel.said.value
    assert "by-button" not in panel.chosen.options
    panel.buttons["start"].click()
    assert panel.chosen.value == "by-button", panel.said.value
    assert "2 evaluations were made" in panel.page.value
    panel.buttons["start"].click()
    assert "exists already" in panel.said.value
    panel.buttons["stop"].click()
    assert "has ended already" in panel.said.value
    panel.buttons["export"].click()
    about = tmp_path / "by-button.yaml"
    assert f"say in {about}" in panel.said.value
    lines = about.read_text().replace("Carberry", "Curie").splitlines()
    about.write_text("\n".join(line for line in lines if "orcid" not in line))
    panel.buttons["export"].click()
    assert (tmp_path / "by-button.zip").exists(), panel.said.value


@pytest.mark.parametrize(
    ("text", "words"), [("name: [", "is no YAML"), ("one line", "accepted are lines with key and value")]
)
def test_the_panel_refuses_what_is_no_campaign_file(campaign, text, words) -> None:
    """The message says what was given."""
    from aiida_finales.entry_points.panel import Panel

    panel = Panel()
    panel.file.value = text
    panel.buttons["check"].click()
    assert words in panel.said.value


def test_the_panel_says_what_hinders_it_and_goes_on(campaign, tmp_path, monkeypatch) -> None:
    """A folder that cannot be made, a database that is full, a campaign that is deleted: nothing fails in silence."""
    from aiida_finales.entry_points import panel as module

    (tmp_path / "file").write_text("")
    panel = module.Panel(tmp_path / "file")
    panel.chosen.value = campaign.name
    panel.buttons["export"].click()
    assert f"{tmp_path / 'file'}" in panel.said.value
    assert "exists already" in panel.said.value
    name = "started elsewhere"
    group = CampaignGroup(name).store()
    known = panel._look(None)
    assert name in panel.chosen.options
    assert panel.chosen.value == campaign.name
    with monkeypatch.context() as patch:
        full = OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))
        patch.setattr(module, "read_state", lambda _: (_ for _ in ()).throw(full))
        assert panel._look(known) == known
    assert "no space is left on its disk" in panel.said.value
    panel.chosen.value = name
    CampaignGroup.collection.delete(group.pk)
    panel._look(known)
    assert name not in panel.chosen.options
    assert panel.chosen.value in panel.chosen.options
    panel.folder = None
    panel.buttons["export"].click()  # its log has the traceback
    assert "a defect of the program" in panel.said.value
