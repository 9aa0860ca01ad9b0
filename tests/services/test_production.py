"""One request, end to end, on PostgreSQL and RabbitMQ, while things break."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.services


@pytest.mark.timeout(600)
def test_one_answer_is_one_result_through_a_killed_worker_and_a_restarted_broker(production):
    found = production.python(HERE / "answer_through_trouble.py", str(HERE.parent / "services.sh"))
    assert found["n_workers"] == 2
    assert found["ended"], repr(found)
    assert found["exit_status"] == 0
    assert len(found["results"]) == 1
    assert found["state"]["status"] == "resolved"
    assert found["state"]["result"] == found["results"][0]
    assert found["history"].count("resolved") == 1
