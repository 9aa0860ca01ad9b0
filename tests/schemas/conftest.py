"""The published schemas and examples, where they are, and formulations for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aiida_finales.schemas.formulation import make_formulation

FINALES = Path(__file__).parents[3] / "shared" / "data" / "finales"


@pytest.fixture
def read():
    """Return a function that reads a published file, or skips the test where there is none."""

    def _read(name: str) -> Any:
        path = FINALES / name
        if not path.exists():
            pytest.skip(f"needs {path}")
        return json.loads(path.read_text(encoding="utf-8"))

    return _read


@pytest.fixture
def electrolyte() -> list[dict[str, Any]]:
    """An electrolyte that every published tenant can make."""
    return make_formulation({"EC": 0.4, "LiPF6": 0.1, "EMC": 0.5})
