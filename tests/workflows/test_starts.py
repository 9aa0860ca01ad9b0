"""Where the dynamics of a round start."""

from __future__ import annotations

from aiida_finales.workflows.potential import choose_starts


def test_starts_are_apart_and_others_in_each_round():
    rounds = [choose_starts(40, 3, number) for number in range(4)]
    assert rounds[0] == [0, 13, 26]
    assert all(len(set(starts)) == 3 for starts in rounds)
    assert not set(rounds[0]) & set(rounds[1])


def test_of_few_frames_each_is_taken_once():
    assert choose_starts(2, 3, 0) == [0, 1]
