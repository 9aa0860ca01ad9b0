"""JSON has UTC with ``Z``, people read local time with its offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from aiida_finales.schemas.moment import local_text, localise, utc_text

KOLKATA = datetime(2026, 11, 29, 0, 8, 27, tzinfo=timezone(timedelta(hours=5, minutes=30)))


@pytest.fixture(params=[("Asia/Kolkata", "2026-11-29 00:08:27+05:30"), ("UTC", "2026-11-28 18:38:27+00:00"),
                        ("America/St_Johns", "2026-11-28 15:08:27-03:30")], ids=lambda given: given[0])  # fmt: skip
def here(request, monkeypatch):
    """Somewhere on earth, and the moment of these tests there."""
    monkeypatch.setenv("TZ", request.param[0])
    time.tzset()
    yield request.param[1]
    monkeypatch.undo()
    time.tzset()


FORMS = [KOLKATA, KOLKATA.astimezone(UTC), datetime(2026, 11, 28, 18, 38, 27, 5), "2026-11-28T18:38:27Z",
         "2026-11-28 18:38:27.123456", "2026-11-28T18:38:27.123+00:00"]  # fmt: skip


@pytest.mark.parametrize("moment", FORMS, ids=str)
def test_one_moment(moment, here) -> None:
    assert utc_text(moment) == "2026-11-28T18:38:27Z"
    assert local_text(moment) == here


def test_in_a_text(here) -> None:
    text = "held by bench since {}, not by 2026-11-28T18:38:27 or 2026-13-28T18:38:27Z"
    for moment in ("2026-11-28T18:38:27Z", "2026-11-28T18:38:27.123+00:00"):
        assert localise(text.format(moment)) == text.format(here)
