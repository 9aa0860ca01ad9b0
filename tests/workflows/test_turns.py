"""Whose turn it is: by the policy of the campaign, among the sources with room."""

from __future__ import annotations

from collections import Counter

import pytest

from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.turns import Standing, list_choices, next_source

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
