"""What a loop of active learning can be told."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.workflows.learning_settings import SETTINGS, check_settings


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
    ],
)
def test_what_a_loop_could_not_work_with_is_refused(aiida_profile, given, words):
    message = check_settings(orm.Dict(given), None)
    assert message is not None
    assert words in message


@pytest.mark.parametrize("given", [{}, SETTINGS, {"budget_cpu_s": 3600, "goal_forces_meV_A": 60, "least_gain": 0}])
def test_what_it_can_work_with_is_not(aiida_profile, given):
    assert check_settings(orm.Dict(given), None) is None
