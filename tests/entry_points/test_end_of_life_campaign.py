"""A campaign for the end of life, from warm start to report; cells are invented by a tenant of the tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from aiida import orm
from aiida.engine import calcfunction

from aiida_finales.broker.capability import Capability, load_capabilities
from aiida_finales.broker.registration import add_capability, add_tenant, switch_tenant
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData, list_tenants
from aiida_finales.schemas.chemicals import molality
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.schemas.formulation import fractions, make_formulation

from .conftest import CAMPAIGN, run_what_is_submitted

EXAMPLES = Path(__file__).parents[2] / "examples" / "multitask"
KEY = ("degradationEOL", "degradation_workflow")
#: mole fractions, as the published limitations of the workflow
LIMITS = {"LiPF6": (0.0, 0.153), "EC": (0.0, 0.542), "EMC": (0.4, 1.0)}
N_CELLS = 8
#: every third formulation goes wrong
BAD = 3
EVALUATIONS = 4
CONDUCTIVITY = {**CAMPAIGN, "sources": {"empirical_model": {}}, "initial": 2, "stop": {"evaluations": 2}}

# two campaigns in this process, half a minute
pytestmark = pytest.mark.slow


def live(salt_molality: float) -> float:
    """Return the median number of cycles; most at 1.07 mol/kg."""
    return float(180 * np.exp(-(((salt_molality - 1.07) / 0.6) ** 2)) + 1)


@calcfunction
def cycle(request: RequestData, tenant: TenantData) -> ResultData:
    """Return eight invented cells, two of them invalid; of every third request all are, with wrong numbers."""
    parameters = request.parameters[KEY[1]]
    filters = {"attributes.quantity": KEY[0], "id": {"<=": request.pk}}
    is_bad = orm.QueryBuilder().append(RequestData, filters=filters).count() % BAD == 0
    rng = np.random.default_rng(request.pk)
    lives = live(molality(fractions(parameters))) * rng.lognormal(0, 0.2, N_CELLS)
    cells = [
        {
            "end_of_life": 900 if is_bad else int(np.ceil(value)),
            "end_of_life_uncertainty": 5.0,
            "capacity_trajectory": [],
            "capacity_trajectory_uncertainty": [],
            "meta": {"success": not is_bad and number > 1, "rating": 1 if is_bad else 4},
            "cell_info": {"cell_name": f"cell {number}"},
        }
        for number, value in enumerate(lives)
    ]
    formulation = parameters["battery_chemistry"]["electrolyte"]
    data = {"run_info": {"formulation": formulation, "internal_reference": "x"}, "degradationEOL": cells}
    capability = orm.load_node(request.capabilities[KEY[1]])
    return {
        "result": ResultData(
            capability, data, parameters, tenant_uuid=tenant.tenant_uuid, request_uuid=request.uuid, simulated=True,
            strict=True,
        )
    }  # fmt: skip


def limit() -> list:
    """Return the limitation of the electrolyte in the published form."""
    parts = make_formulation({"LiPF6": 0.1, "EC": 0.3, "EMC": 0.6})
    bounds = [[{"min": low, "max": high}] for low, high in LIMITS.values()]
    return [
        [{**part, "fraction": bound, "fraction_type": ["molPerMol"]} for part, bound in zip(parts, bounds, strict=True)]
    ]


@pytest.fixture(scope="module")
def patched() -> pytest.MonkeyPatch:
    """Let this process provide ends of life, and run what is submitted."""
    with pytest.MonkeyPatch.context() as patch:
        run_what_is_submitted(patch)
        capability = Capability(
            *KEY,
            summary="invented cells",
            parameters_schema=parameters_json_schema(*KEY),
            result_schema=result_json_schema(*KEY),
            prepare=lambda request, tenant, _settings, _key: (cycle, {"request": request, "tenant": tenant}),
        )
        patch.setitem(load_capabilities(), KEY, capability)
        yield patch


@pytest.fixture(scope="module")
def campaigns(lab, patched, tmp_path_factory) -> tuple[str, str]:
    """Names of a campaign for conductivity and one for the end of life; both have ended."""
    from aiida_finales import Campaign

    for tenant in list_tenants():
        if tenant.find_offer(*KEY) is not None:
            switch_tenant(tenant.tenant_uuid, is_active=False)
    add_capability(*KEY, parameters_json_schema(*KEY), result_json_schema(*KEY))
    limitations = {"battery_chemistry": {"electrolyte": limit()}}
    offer = {"quantity": KEY[0], "method": KEY[1], "limitations": limitations, "cost": 100.0}
    add_tenant("invented cells", [offer], kind="internal", max_concurrent=2)
    folder = tmp_path_factory.mktemp("campaign")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    document = yaml.safe_load((EXAMPLES / "oeol.yaml").read_text())
    document |= {"stop": {"evaluations": EVALUATIONS}, "optimiser": CAMPAIGN["optimiser"]}
    (folder / "oeol.yaml").write_text(json.dumps(document))
    names = Campaign.start(CONDUCTIVITY).name, Campaign.start(folder / "oeol.yaml").name
    for name in names:
        process = Campaign(name).process
        assert process.is_finished_ok, process.exit_message
    return names


def test_the_formulation_is_asked_for_at_its_place(campaigns) -> None:
    """Electrolyte, electrodes and the cell that nobody knows yet stand where the schema has them."""
    from aiida_finales import Campaign

    requests = [node for node in Campaign("oeol").group.nodes if isinstance(node, RequestData)]
    assert len(requests) == EVALUATIONS
    for request in requests:
        parameters = request.parameters[KEY[1]]
        assert set(parameters) == {"battery_chemistry", "cell_info"}
        assert parameters["battery_chemistry"]["cathode"]["mass_loading"] == 1.0
        assert request.base.attributes.get("fractions") == fractions(parameters["battery_chemistry"]["electrolyte"])


def test_it_starts_from_what_was_known(campaigns) -> None:
    """The unsolicited results are those of the table, and honest about being simulated."""
    from aiida_finales import Campaign

    known = [item for item in Campaign("oeol").overview().evaluations if item.is_known]
    assert [item.value for item in known] == [30.0, 45.5, 40.0, 29.5]
    assert all(item.is_used and item.is_simulated and len(item.values) == N_CELLS for item in known)


def test_everything_is_said_in_cycles(campaigns, run, run_json) -> None:
    """The model is one of the logarithm; no number of it is shown."""
    from aiida_finales import Campaign
    from aiida_finales.operations.campaign.words import table_rows

    shown = run_json("campaign", "show", "oeol")
    assert shown["unit"] == "cycles"
    assert 20 < shown["recommended_mean"] < 1000
    best = run("why", shown["best_result"]).stdout
    assert "cycles, rating 4 of 5" in best
    asked = [row for row in table_rows(Campaign("oeol").overview()) if row.get("expected") and row.get("uuid")]
    assert len(asked) == EVALUATIONS
    assert all(item["expected"] > 5 for item in asked)
    told = run("why", asked[0]["uuid"]).stdout
    assert "cycles, by a model of the logarithm" in told
    messages = [log.message for log in orm.Log.collection.get_logs_for(orm.load_node(shown["pk"]))]
    assert any("expects" in message and message.rstrip(")").endswith("cycles") for message in messages)
    assert any("recommends" in message and message.endswith("cycles") for message in messages)


def test_bad_results_are_left_out_and_never_the_best(campaigns, run_json) -> None:
    """A result whose cells are all invalid teaches nothing."""
    from aiida_finales import Campaign

    overview = Campaign("oeol").overview()
    bad = [item for item in overview.evaluations if item.n_valid == 0]
    assert bad
    assert {item.against for item in bad} == {"not successful"}
    assert overview.best.value < 400


def test_replay(campaigns, run_json) -> None:
    """Every suggestion comes out again."""
    rows = run_json("campaign", "replay", "oeol")
    assert len(rows) == EVALUATIONS + 1
    assert all(row["is_same"] for row in rows)


def test_report_of_both(campaigns, run_json, tmp_path) -> None:
    """One picture more than for each alone, and the counts by source."""
    printed = run_json("campaign", "report", *campaigns, "--output", tmp_path, "--picture", "svg")
    assert Path(printed["files"][-1]).name == "models-oeol-molality.svg"
    assert {Path(name).suffix for name in printed["files"]} == {".csv", ".svg"}
    assert all(Path(name).stat().st_size > 300 for name in printed["files"])
    counts = {(row["campaign"], row["source"]): row for row in printed["counts"]}
    assert list(counts) == [("models", "empirical_model"), ("oeol", "degradation_workflow")]
    row = counts["oeol", "degradation_workflow"]
    assert (row["results"], row["valid"], row["invalid"], row["known_before"]) == (8, 7, 1, 4)
    # four formulations that were known, three good ones with two failed cells each, a bad one
    assert (row["values"], row["valid_values"]) == (8 * N_CELLS, 4 * N_CELLS + 3 * (N_CELLS - 2))
    assert row["reasons"] == {"not successful": 1}


def test_the_table(campaigns) -> None:
    """It has the cells that are valid, and says why a result does not count."""
    from aiida_finales import Campaign
    from aiida_finales.operations.campaign.words import print_table

    lines = print_table(Campaign("oeol").overview()).splitlines()
    assert lines[0].startswith("degradationEOL in cycles")
    assert {"n valid", "spread"} <= {word.strip() for word in lines[1].split("  ")}
    assert sum("does not count: not successful" in line for line in lines) == 1


def test_the_picture_of_both(campaigns) -> None:
    """Two panels; every valid cell is a point, every formulation a bar; simulated data are named."""
    from aiida_finales import Campaign
    from aiida_finales.operations.campaign.molality import draw_together

    overviews = [Campaign(name).overview() for name in campaigns]
    figure = draw_together(overviews)
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("conductivity / S m$^{-1}$", "end of life / cycles")
    assert left.get_xlabel() == right.get_xlabel() == "molality of the salt / mol kg$^{-1}$ of solvent"
    used = [item for item in overviews[1].evaluations if item.is_used]
    sizes = [len(line.get_xdata()) for line in right.lines]
    assert sum(item.n_valid for item in used) in sizes
    assert len(used) in sizes
    assert "simulated data" in [text.get_text() for text in figure.texts]
