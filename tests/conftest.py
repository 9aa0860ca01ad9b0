"""Fixtures of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["aiida.tools.pytest_fixtures"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data that nobody here wrote; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the data folder {SHARED_DATA} is absent")
    return SHARED_DATA


@pytest.fixture
def capabilities(aiida_profile_clean):
    """A fresh profile in which the capabilities of this package are registered."""
    from aiida_finales.entry_points.installation import setup_capabilities

    return setup_capabilities()


@pytest.fixture
def laboratory(capabilities, tmp_path):
    """A fresh profile with the simulated robot and the models as tenants."""
    from aiida_finales.entry_points.installation import setup_laboratory

    return setup_laboratory(tmp_path)
