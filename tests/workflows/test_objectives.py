"""A campaign with several objectives: one point, one request per method, answers that come at different times."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import retract_request
from aiida_finales.broker.reservation import answer_request
from aiida_finales.calculations import waiting
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.training_set import count_results
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.words import describe_overview, print_table, table_rows, tell_front
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.campaign import CampaignWorkChain
from tests.workflows.test_campaign import QUICK, limit, play

RANGES = {"LiPF6": (0.02, 0.15), "EC": (0.1, 0.6), "EMC": (0.2, 0.8)}
METHODS = {"density": "vibrating_tube_densimetry", "viscosity": "rolling_ball_viscometry"}
DEMONSTRATION = {
    "name": "thin",
    "fixed": {"temperature": 298.15},
    "objectives": {
        "density": {"direction": "maximise", "reference": 1.0, "sources": {METHODS["density"]: {}}},
        "viscosity": {
            "direction": "minimise",
            "transform": "log",
            "reference": 10,
            "sources": {METHODS["viscosity"]: {}},
        },
    },
    "initial": 9,
    "stop": {"evaluations": 4},
    "optimiser": QUICK,
}


def offer(quantity: str, **changes) -> dict:
    return {**limit(**RANGES), "quantity": quantity, "method": METHODS[quantity], **changes}


@pytest.fixture(autouse=True)
def _bench(desk, monkeypatch):
    monkeypatch.setattr(waiting, "WATCH_INTERVAL", 0.1)
    for group in orm.QueryBuilder().append(CampaignGroup).all(flat=True):
        CampaignGroup.collection.delete(group.pk)
    add_tenant("densimeter", [offer("density")])
    add_tenant("viscometer", [offer("viscosity")])


def run(document: dict) -> orm.WorkChainNode:
    return run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()))[1]


def answer(request, **others):
    """Measure exactly what was asked for: density falls and viscosity rises with the third component."""
    asked = request.parameters[request.methods[0]]
    share = asked["formulation"][-1]["fraction"]
    truth = {"density": 1.3 - 0.2 * share, "viscosity": 4.0 - 3.0 * share}
    body = {"temperature": asked["temperature"], "meta": {"success": True, "rating": 4}}
    data = {key: {**body, "values": [truth[key]]} for key in (request.quantity, *others)}
    data["run_info"] = {"formulation": asked["formulation"], "internal_reference": "x"}
    answer_request(request.pk, "robot", {"method": request.methods[0], "data": data, "parameters": asked})


def points_by_quantity(name: str) -> dict[str, list]:
    found: dict[str, list] = {}
    for request in sorted(CampaignGroup.find(name).nodes, key=lambda node: node.pk):
        if isinstance(request, RequestData):
            found.setdefault(request.quantity, []).append(request.base.attributes.get("fractions"))
    return found


def test_a_point_is_asked_of_each_target_and_each_answer_counts_once():
    play(*[answer] * 4)
    node = run({**DEMONSTRATION, "initial": 2})
    assert node.exit_status == 0, node.exit_message
    asked = points_by_quantity("thin")
    assert len(asked["density"]) == 2
    assert asked["density"] == asked["viscosity"]
    overview = read_overview(CampaignGroup.find("thin"))
    assert (overview.n_done, overview.spent, overview.best) == (4, 4.0, None)
    assert len(overview.front.predicted) > 2
    assert overview.front.reference == {"density": 1.0, "viscosity": pytest.approx(10)}
    assert all(set(point.sd) == {"density", "viscosity"} for point in overview.front.predicted)
    row = describe_overview(overview)
    assert (row["quantity"], row["evaluations"], row["unit"]) == ("density, viscosity", "4 of 4", None)
    assert tell_front(row)["best_value"] == f"front of {len(row['front_measured'])}"
    densities = [item for item in overview.evaluations if item.source == METHODS["density"]]
    assert [sorted(item.numbers) for item in densities] == [["density"]] * 2
    assert "density in g/cm³, viscosity in mPa·s at 298.15 K" in print_table(overview)
    assert sum("density" in row for row in table_rows(overview)) == 2


@pytest.mark.slow
def test_an_answer_that_never_comes_stops_neither_the_others_nor_the_campaign():
    """The viscometer gives up one of its requests: that point has a density only, and another one is asked for."""

    def give_up(request):
        if request.quantity == "viscosity":
            retract_request(request.pk, "operator", "the capillary is blocked")
        else:
            answer(request)

    play(give_up, give_up, *[answer] * 4)
    node = run({**DEMONSTRATION, "stop": {"evaluations": 5, "failures": 2}})
    assert node.exit_status == 0, node.exit_message
    asked = points_by_quantity("thin")
    assert len(asked["density"]) == len(asked["viscosity"])
    overview = read_overview(CampaignGroup.find("thin"))
    assert len(overview.evaluations) == len({item.uuid for item in overview.evaluations})
    assert {item.source for item in overview.evaluations} == set(METHODS.values())


@pytest.mark.slow
def test_a_quick_target_does_not_run_away_from_a_slow_one():
    """The densities come at once, the first viscosity only after three densities were answered."""
    slow = []

    def hurry(request):
        if request.quantity == "viscosity" and not slow:
            slow.append(request)
        else:
            answer(request)

    def catch_up(request):
        answer(request)
        answer(slow[0])

    play(hurry, hurry, hurry, catch_up, *[answer] * 2)
    node = run({**DEMONSTRATION, "stop": {"evaluations": 6}})
    assert node.exit_status == 0, node.exit_message
    asked = points_by_quantity("thin")
    assert {len(points) for points in asked.values()} == {3}
    assert sorted(map(str, asked["density"])) == sorted(map(str, asked["viscosity"]))


@pytest.mark.slow
def test_a_method_that_tells_both_teaches_both():
    """One result counts once and gives two numbers."""
    document = {**DEMONSTRATION, "objectives": {**DEMONSTRATION["objectives"]}, "stop": {"evaluations": 3}}
    document["objectives"]["viscosity"] = {
        "direction": "minimise", "reference": 10, "target": METHODS["density"]
    }  # fmt: skip
    play(*[lambda request: answer(request, viscosity=True)] * 3)
    node = run(document)
    assert node.exit_status == 0, node.exit_message
    overview = read_overview(CampaignGroup.find("thin"))
    assert overview.n_done == 3
    assert all(set(item.numbers) == {"density", "viscosity"} for item in overview.evaluations)
    last = max((child for child in node.called if "suggestion" in child.outputs), key=lambda child: child.pk)
    assert count_results(last) == 3


@pytest.mark.slow
def test_the_temperature_varies_and_is_asked_for():
    """One objective: the composition and the temperature of each request are new, and both are told."""
    objectives = {"density": {"direction": "maximise", "sources": {METHODS["density"]: {}}}}
    document = {**DEMONSTRATION, "objectives": objectives, "fixed": {}, "variables": {"temperature": {"min": 290}}}
    play(*[answer] * 3)
    node = run({**document, "initial": 2, "stop": {"evaluations": 3}})
    assert node.exit_status == 0, node.exit_message
    group = CampaignGroup.find("thin")
    asked = [
        node.parameters[METHODS["density"]]["temperature"] for node in group.nodes if isinstance(node, RequestData)
    ]
    assert len(set(asked)) == 3
    assert all(290 <= temperature <= 333 for temperature in asked)
    row = table_rows(read_overview(group))[0]
    assert row["temperature"] in asked


@pytest.mark.slow
def test_a_category_is_chosen_and_told():
    """Each request has the parameters of one option, and the table says which."""
    objectives = {"density": {"direction": "maximise", "sources": {METHODS["density"]: {}}}}
    options = {"cold": {"temperature": 290.0}, "warm": {"temperature": 320.0}}
    document = {**DEMONSTRATION, "objectives": objectives, "fixed": {}, "categories": {"room": {"options": options}}}
    play(*[answer] * 3)
    node = run({**document, "initial": 2, "stop": {"evaluations": 3}})
    assert node.exit_status == 0, node.exit_message
    overview = read_overview(CampaignGroup.find("thin"))
    rooms = [row["room"] for row in table_rows(overview) if "room" in row]
    assert len(rooms) == 3
    assert set(rooms) <= set(options)
    assert all(item.temperature == options[item.options["room"]]["temperature"] for item in overview.evaluations)
