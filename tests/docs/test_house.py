"""What CONTRIBUTING says of the structure holds."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def house():
    pytest.importorskip("grimp")
    return runpy.run_path(str(ROOT / "docs" / "house.py"))


def test_no_modules_import_each_other(house):
    assert house["find_circle"]() == []


def test_a_circle_is_found(house, monkeypatch):
    import grimp

    graph = grimp.build_graph("aiida_finales", exclude_type_checking_imports=True)
    graph.add_import(importer="aiida_finales.exceptions", imported="aiida_finales.data.request")
    monkeypatch.setattr(grimp, "build_graph", lambda *args, **kwargs: graph)
    assert "aiida_finales.exceptions" in house["find_circle"]()


def test_the_map_of_rooms_is_what_the_rooms_say(house):
    assert house["read_map"]() == house["draw_map"](), "call 'make house'"
