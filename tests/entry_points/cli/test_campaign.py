"""A campaign over two models from start to picture; it runs once, in this process."""

from __future__ import annotations

import csv
import json
import re

import pytest
from aiida import orm

from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.exceptions import FitError
from aiida_finales.optimisation.suggestion import SAME_COMPOSITION
from tests.entry_points.conftest import CAMPAIGN, run_what_is_submitted

from .test_bad_input import hide_modules


@pytest.fixture(scope="module")
def campaign(lab, tmp_path_factory) -> str:
    """Name of a campaign that has ended."""
    from aiida_finales import Campaign

    file = tmp_path_factory.mktemp("campaign") / "models.yaml"
    file.write_text(json.dumps(CAMPAIGN))
    with pytest.MonkeyPatch.context() as patch:
        run_what_is_submitted(patch)
        started = Campaign.start(file)
    assert started.wait(timeout=1).process.is_finished_ok, started.process.exit_message
    return started.name


def test_list_and_show(campaign, run, run_json) -> None:
    """The list has the essentials; show has the recommendation and why it ended."""
    row = run_json("campaign", "list", "--limit", 1)[-1]
    assert row["name"] == campaign
    assert row["evaluations"] == "4 of 4"
    assert row["in_flight"] == 0
    shown = run_json("campaign", "show", campaign)
    assert row == {key: value for key, value in shown.items() if key != "under_way"}
    assert shown["best_value"] > 0.5
    assert shown["recommended_sd"] > 0
    assert "4 evaluations were made" in shown["stop_reason"]
    assert "no campaign 'other'; there are models" in run("campaign", "show", "other", exit_code=1).stderr


@pytest.mark.parametrize("name", ["../x", "EC/EMC", "a\tb", "", "x" * 300])
def test_a_name_that_is_no_file_name_is_refused(lab, run, tmp_path, count_nodes, name) -> None:
    """Neither the command line nor Python starts it, and nothing is stored; a good name replaces a bad one."""
    from aiida_finales.operations.campaign.start import plan_campaign

    file = tmp_path / "campaign.yaml"
    file.write_text(json.dumps({**CAMPAIGN, "name": name}))
    before = count_nodes()
    assert "name of a campaign is" in run("campaign", "start", file, exit_code=1).stderr
    file.write_text(json.dumps(CAMPAIGN))
    assert "name of a campaign is" in run("campaign", "start", file, "--name", name, exit_code=1).stderr
    assert count_nodes() == before
    assert plan_campaign({**CAMPAIGN, "name": name}, "good").campaign.name == "good"


def test_watch(campaign, run) -> None:
    """Watching a campaign that has ended says at once what it found."""
    watched = run("campaign", "watch", campaign)
    assert "4/4 evaluations, 0 in flight, best" in watched.stderr
    assert "recommended:" in watched.stdout
    assert "aiida-finales why" in watched.stdout


def test_python(campaign) -> None:
    """Results and the best of them are nodes."""
    from aiida_finales import Campaign

    found = Campaign(campaign)
    assert len(found.results()) == 4
    own = [node for node in found.results() if node.method == "empirical_model"]
    assert found.best().value == max(node.value for node in own)


def test_report(campaign, run, tmp_path) -> None:
    """The pictures of a campaign of four chemicals, a table on standard output and the same as CSV."""
    said = run("campaign", "report", campaign, "--output", tmp_path / "pictures")
    assert "recommended" in said.stdout
    assert said.stdout.count("empirical_model") >= 2
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {f"models-{kind}" for kind in ("results.csv", "molality.png", "progress.png")}
    for path in (tmp_path / "pictures").glob("*.png"):
        assert path.stat().st_size > 20_000
    rows = list(csv.DictReader((tmp_path / "pictures" / "models-results.csv").read_text().splitlines()))
    assert len(rows) == 5
    assert sum(float(rows[0][key]) for key in ("x_LiPF6", "x_EC", "x_EMC", "x_DMC")) == pytest.approx(1)


def test_explain(campaign, run, run_json, tmp_path) -> None:
    """Effects, how sure the model is, what speaks against it; in words, in one figure, and as JSON."""
    said = run("campaign", "explain", campaign, "--output", tmp_path)
    assert "conductivity / S/m" in said.stdout
    words = r"  LiPF6 \(mole fraction\): [\d.]+ at [\d.]+, [\d.]+ at [\d.]+ \(on average over the rest\)"
    assert re.search(words, said.stdout)
    assert "how sure: each of 4 results predicted from the others is missed by" in said.stdout
    assert (tmp_path / "models-effects.png").stat().st_size > 20_000
    found = run_json("campaign", "explain", campaign)["objectives"]["conductivity"]
    assert {effect["name"] for effect in found["effects"]} == {"LiPF6", "EC", "EMC", "DMC"}
    assert all(
        level["low"] < level["mean"] < level["high"] for effect in found["effects"] for level in effect["levels"]
    )


def test_figures_tell_what_is_simulated(campaign) -> None:
    """A figure says so when its data are simulated, and names axes and units."""
    from dataclasses import replace

    from aiida_finales import Campaign
    from aiida_finales.operations.campaign.figures import draw_figures

    overview = Campaign(campaign).overview()
    figure = draw_figures(overview)["molality"]
    assert "simulated data" not in [text.get_text() for text in figure.texts]
    assert figure.axes[0].get_ylabel() == "conductivity / S m$^{-1}$"
    simulated = tuple(replace(item, is_simulated=True) for item in overview.evaluations)
    for figure in draw_figures(replace(overview, evaluations=simulated)).values():
        assert "simulated data" in [text.get_text() for text in figure.texts]


def test_report_without_matplotlib(campaign, run, monkeypatch) -> None:
    """Without matplotlib the extra is named."""
    from aiida_finales.operations.campaign import report

    hide_modules(monkeypatch, report, "matplotlib")
    refused = run("campaign", "report", campaign, exit_code=1).stderr
    assert "campaign report needs the extra 'plot': pip install 'aiida-finales[plot]'" in refused


def test_replay(campaign, run_json) -> None:
    """Every suggestion comes out again."""
    rows = run_json("campaign", "replay", campaign)
    assert len(rows) == 5
    assert all(row["is_same"] and row["difference"] <= SAME_COMPOSITION and not row["what"] for row in rows)


def change_answers(monkeypatch, step: float, **changes) -> None:
    """Let every answer move so much from LiPF6 to the last component, which is EMC or DMC."""
    from aiida_finales.operations.campaign import replay
    from aiida_finales.optimisation.__main__ import answer

    def answer_otherwise(question):
        document = {**answer(question), **changes}
        place = document if document.get("x") else document["recommendation"]["overall"]
        first, *middle, last = place["x"]
        place["x"] = [first - step, *middle, last + step]
        return document

    monkeypatch.setattr(replay, "answer", answer_otherwise)


def test_replay_finds_a_difference(campaign, run, monkeypatch) -> None:
    """A suggestion that does not come out again ends with exit status 1; it is said in what it differs."""
    change_answers(monkeypatch, 0.002, environment={"versions": {"numpy": "1.0"}})
    said = run("campaign", "replay", campaign, exit_code=1).stderr
    assert re.search(r"DIFFERS: LiPF6 0\.\d{4} then and 0\.\d{4} now, (EMC|DMC) 0\.\d{4} then and", said)
    assert "numpy was 2." in said
    assert "is 1.0)" in said


def test_replay_overlooks_last_digits(campaign, run, monkeypatch) -> None:
    """Another processor may round to the next step; the help says how much is overlooked."""
    change_answers(monkeypatch, 0.0005)
    assert "DIFFERS" not in run("campaign", "replay", campaign).stderr
    assert f"{SAME_COMPOSITION:.3f} in every mole fraction" in run("campaign", "replay", "--help").stdout


def test_replay_says_that_there_is_no_answer_any_more(campaign, run, monkeypatch) -> None:
    from aiida_finales.operations.campaign import replay

    def refuse(question):
        raise FitError("no hyperparameters explain 3 values")

    monkeypatch.setattr(replay, "answer", refuse)
    said = run("campaign", "replay", campaign, exit_code=1).stderr
    assert "DIFFERS: there is no answer now: no hyperparameters explain 3 values" in said


def test_stop_too_late(campaign, run) -> None:
    """What has ended cannot be stopped."""
    refused = run("campaign", "stop", campaign, "--reason", "late", "--force", exit_code=1).stderr
    assert "has ended already (finished)" in refused


def test_stop(lab, run, posted) -> None:
    """Stopping writes the reason to the process and retracts what nobody has begun."""
    from aiida_finales.broker.state import read_state
    from aiida_finales.data.campaign import STOP, CampaignGroup

    process = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    process.set_process_state("waiting")
    group = CampaignGroup.create_for("endless")
    group.add_nodes([process.store(), posted])
    assert "no process was serving it" in run("campaign", "stop", "endless", "--reason", "enough", "--force").stderr
    assert process.base.extras.get(STOP) == "enough"
    assert read_state(posted.pk)["reason"] == "campaign stopped: enough"
    process.set_process_state("killed")
    CampaignGroup.collection.delete(group.pk)


def test_why(campaign, run, run_json) -> None:
    """The story of a result goes from the campaign over the suggestion to the process."""
    shown = run_json("campaign", "show", campaign)
    told = run("why", shown["best_result"]).stdout
    for words in ("campaign 'models'", "Suggestion", "could be served by: empirical-model by empirical_model",
                  "under version 1 of its limitations", "empirical_model <", "not simulated"):  # fmt: skip
        assert words in told
    story = run_json("why", shown["best_result"])
    assert story["request"]["status"] == "resolved"
    assert story["tenant"]["name"] == "empirical-model"
    assert story["suggestion"]["source"] == "empirical_model"


def test_why_says_what_is_doubtful(campaign, run, run_json) -> None:
    """A suggestion that learned from a deleted result is named doubtful."""
    from aiida_finales import Campaign

    results = Campaign(campaign).results()
    run("result", "delete", results[0].pk, "--reason", "wrong bottle", "--force")
    assert "DOUBTFUL" in run("why", results[-1].pk).stdout
    assert run_json("why", results[0].pk)["result"]["reason"] == "wrong bottle"
    assert orm.QueryBuilder().append(SuggestionData).count() == 5


def test_why_in_another_profile(campaign, run, run_json, tmp_path, aiida_profile) -> None:
    """The same story is told from an archive in an empty profile (this test empties the module's profile)."""
    from aiida.tools.archive import create_archive, import_archive

    from aiida_finales.data.campaign import CampaignGroup

    best = run_json("campaign", "show", campaign)["best_result"]
    uuid = orm.load_node(best).uuid
    before = run_json("why", uuid)
    create_archive([CampaignGroup.find(campaign)], filename=tmp_path / "campaign.aiida", return_backward=True,
                   create_backward=True, call_calc_backward=True, call_work_backward=True)  # fmt: skip
    aiida_profile.reset_storage()
    import_archive(tmp_path / "campaign.aiida")
    after = run_json("why", uuid)
    assert without_pks(after) == without_pks(before)
    assert "3 of 4" in run("campaign", "list").stdout  # one was deleted


def without_pks(document):
    """Return a document without what differs between profiles."""
    if isinstance(document, dict):
        return {key: without_pks(value) for key, value in document.items() if key not in ("pk", "ended", "seconds")}
    return [without_pks(item) for item in document] if isinstance(document, list) else document
