"""What a loop of active learning can be told."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.workflows.learning_settings import SETTINGS, check_budget, check_curve, check_settings, fill_learning


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_parallel": 0}, "max_parallel: 0 was given"),  # it would look for room for ever
        ({"n_chunks": 0}, "n_chunks: 0 was given"),
        ({"n_starts": -1}, "n_starts: -1 was given"),
        ({"max_rounds": 0}, "max_rounds: 0 was given"),
        ({"attempts": 2.5}, "attempts: 2.5 was given"),
        ({"budget_cpu_s": "1h"}, "budget_cpu_s: '1h' was given"),
        ({"goal_forces_meV_A": None}, "goal_forces_meV_A: None was given"),
        ({"least_gain": 1}, "least_gain: 1 was given"),
        ({"round": 3}, "round"),
        ({"options": {"queue": "gpu"}}, "Unexpected ports {'queue': 'gpu'}"),
        ({"options": {"max_wallclock_seconds": "1h"}}, "options.max_wallclock_seconds"),
    ],
)
def test_what_a_loop_could_not_work_with_is_refused(aiida_profile, given, words):
    message = check_settings(orm.Dict(given), None)
    assert message is not None
    assert words in message


@pytest.mark.parametrize(
    "given", [{}, SETTINGS, {"budget_cpu_s": 3600, "least_gain": 0}, {"options": {"queue_name": "gpu"}}]
)
def test_what_it_can_work_with_is_not(aiida_profile, given):
    assert check_settings(orm.Dict(given), None) is None


def test_an_option_stands_beside_those_that_nobody_gave():
    found = fill_learning({"options": {"queue_name": "gpu"}, "max_rounds": 2})
    assert found["options"] == SETTINGS["options"] | {"queue_name": "gpu"}
    assert found["max_rounds"] == 2


ROUND = {"n_frames": 20, "held_out": {"forces_meV_A": 90.0}, "relabelled": {"forces_meV_A": 120.0}, "cpu_s": 50.0}


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([1], "curve, round 0"),
        ([ROUND, ROUND | {"relabelled": None}], "curve, round 1: relabelled: None was given"),
        ([ROUND | {"held_out": {}}], "curve, round 0: held_out.forces_meV_A: None was given"),
    ],
)
def test_what_no_learning_left_is_no_curve(aiida_profile, points, words):
    said = check_curve(orm.List(points), None)
    assert said.startswith(words)
    assert said.endswith("accepted is the output 'curve' of a learning that has ended")


@pytest.mark.parametrize(("budget", "is_used_up"), [(100, True), (100.5, False), (None, False)])
def test_a_budget_that_earlier_rounds_used_up_is_told_before_anything_runs(aiida_profile, budget, is_used_up):
    curve = orm.List([ROUND, ROUND])
    assert check_curve(curve, None) is None
    said = check_budget({"settings": orm.Dict({"budget_cpu_s": budget}), "curve": curve})
    assert (said is not None and "the rounds of the curve took 100 CPU seconds" in said) == is_used_up
