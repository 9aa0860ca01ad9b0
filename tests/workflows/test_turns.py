"""Whose turn it is: by the policy of the campaign, among the sources with room."""

from __future__ import annotations

from collections import Counter

import pytest

from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.turns import Standing, list_choices, next_source, tell_end

SOURCES = {"robot": {}, "simulation": {}, "model": {}}


def make_campaign(**change):
    return parse_campaign({"name": "x", "quantity": "conductivity", "sources": SOURCES, **change})


def make_standing(**change):
    return Standing({"robot": 3, "simulation": 2, "model": 4}, {}, dict.fromkeys(SOURCES, 1.0), **change)


@pytest.mark.parametrize(
    ("policy", "turn", "choices"),
    [
        ("turns", "simulation", []),
        ("information", "simulation", ["simulation", "robot", "model"]),
        ("target", "robot", []),
    ],
)
def test_the_policy_says_who_is_asked(policy, turn, choices):
    campaign, standing = make_campaign(policy=policy), make_standing()
    assert (next_source(campaign, standing), list_choices(campaign, standing)) == (turn, choices)


def test_only_sources_with_room_are_chosen_from():
    campaign = make_campaign(policy="information")
    assert list_choices(campaign, make_standing(serving=Counter(simulation=1))) == ["robot", "model"]
    assert list_choices(campaign, make_standing(away={"model": "nobody offers it"})) == ["simulation", "robot"]
    busy = make_standing(serving=Counter(simulation=1, robot=1))
    assert (next_source(campaign, busy), list_choices(campaign, busy)) == ("model", [])


def test_a_target_that_may_not_be_asked_leaves_the_others():
    campaign = make_campaign(policy="target", sources={**SOURCES, "robot": {"ask": False}})
    assert next_source(campaign, make_standing()) == "simulation"
    assert next_source(make_campaign(policy="target"), make_standing(serving=Counter(robot=1))) is None


def test_the_end_of_targets_that_are_asked_together_names_what_is_left_over():
    """Two evaluations of twelve are left, and each point takes three."""
    names = ("density", "viscosity", "conductivity")
    objectives = {name: {"direction": "minimise", "sources": {f"by_{name}": {}}} for name in names}
    campaign = parse_campaign({"name": "x", "objectives": objectives, "stop": {"evaluations": 12}})
    answered = dict(zip(campaign.targets, (4, 3, 3), strict=True))
    standing = Standing(dict.fromkeys(answered, 5), answered, dict.fromkeys(answered, 1.0))
    assert next_source(campaign, standing) is None
    words = "2 of 12 evaluations left, and a point takes one of each of by_density, by_viscosity, by_conductivity"
    assert tell_end(campaign, standing) == words
