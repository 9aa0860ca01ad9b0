"""What was skipped is said at the end of a run, and CI does not overlook it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = """
import pytest

@pytest.mark.skipif(True, reason="gmx is not on the PATH: the engine gromacs was not tried")
def test_gromacs(): ...

def test_data():
    pytest.skip("the data folder /nowhere is absent")

def test_package():
    pytest.importorskip("no_such_package_of_python")

def test_that_runs(): ...
"""


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"CI": ""}, 0),
        ({"CI": "true"}, 1),
        pytest.param({"CI": "true", "FINALES_CI_WITHOUT": "gromacs packages"}, 0, marks=pytest.mark.slow),
    ],
    ids=["at home", "in CI", "in CI without them"],
)
def test_skips_are_told_and_fail_in_ci(tmp_path, variables, status):
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(SKIPPED)
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path), "FINALES_CI_WITHOUT": "", **variables}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=100)
    assert done.returncode == status, done.stdout
    assert "!    1 GROMACS: PATH=$PATH:$(tests/programs.sh install)" in done.stdout
    assert "!    1 packages of Python: make install" in done.stdout
    assert "     1 published data beside the checkout" in done.stdout
