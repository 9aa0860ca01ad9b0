"""A driver is started once per act: what it reads its input with is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("device", ["asab", "autobass", "cycler", "operator"])
def test_a_driver_does_without_pydantic(device):
    program = f"import sys, aiida_finales.lab.simulated.{device}; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
