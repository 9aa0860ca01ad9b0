"""The tasks of the broker, read from its files."""

from __future__ import annotations

from aiida_finales.calculations import tasks


def test_tasks_are_read_and_not_touched(tmp_path, monkeypatch) -> None:
    """What is no task is passed over."""
    monkeypatch.setattr(tasks, "broker_folder", lambda: tmp_path)
    for name, text in (("pending/1_a.json", '{"body": {"args": {"pid": 7}}}'), ("processing/2_b.json", "{"),
                       ("processing/3_c.json", '{"body": {"args": {"pid": 9}}}')):  # fmt: skip
        path = tmp_path / "storage" / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert tasks.read_tasks() == {7, 9}
    assert len(list(tmp_path.rglob("*.json"))) == 3
