"""A device folder, orders for it, and a driver that runs as a process of its own."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aiida_finales.lab.asab import Asab
from aiida_finales.lab.driver import run_driver
from aiida_finales.schemas.chemicals import get_chemical

ROOT = Path(__file__).parents[2]


def make_order(fractions: dict[str, float] | None = None, temperature: float | None = 301.15, **settings: Any) -> Any:
    fractions = fractions or {"LiPF6": 0.08, "EC": 0.4, "EMC": 0.52}
    formulation = [
        {
            "chemical": {"SMILES": get_chemical(name).smiles, "InChIKey": get_chemical(name).inchikey},
            "fraction": fraction,
            "fraction_type": "molPerMol",
        }
        for name, fraction in fractions.items()
    ]
    return {
        "quantity": "conductivity",
        "method": "two_electrode",
        "parameters": {"formulation": formulation, "temperature": temperature},
        "settings": settings,
    }


class Bench:
    """The simulated robot on a desk: start its driver, look at its traces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "device"

    def arguments(self, key: str, order: Any, *more: str, output: str = "out.json") -> list[str]:
        path = self.folder / f"in-{abs(hash(json.dumps(order)))}.json"
        path.write_text(json.dumps(order))
        paths = ["--input", str(path), "--output", str(self.folder / output), "--journal", str(self.journal)]
        return ["--key", key, *paths, *more]

    def start(self, key: str, order: Any, *more: str, output: str = "out.json") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "aiida_finales.lab.asab", *self.arguments(key, order, *more, output=output)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def run(self, key: str, order: Any, *more: str, output: str = "out.json") -> tuple[int, str]:
        """Run the driver as a process; return exit status and log."""
        process = self.start(key, order, *more, output=output)
        log = process.communicate(timeout=60)[1]
        return process.returncode, log

    def call(self, key: str, order: Any, *more: str, output: str = "out.json") -> int:
        """Run the driver within this process, which is a hundred times as fast."""
        return run_driver(Asab(), self.arguments(key, order, *more, output=output))

    def settle(self, key: str, outcome: str, *more: str) -> int:
        options = ["--settle", outcome, "--reason", "looked at the bottles", "--journal", str(self.journal), *more]
        return run_driver(Asab(), ["--key", key, *options])

    def output(self, name: str = "out.json") -> Any:
        return json.loads((self.folder / name).read_text())

    def doses(self) -> Counter[str]:
        path = self.journal / "doses.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(json.loads(line)["key"] for line in lines)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def order() -> Any:
    return copy.deepcopy(make_order())


@pytest.fixture(name="make_order")
def make_order_fixture() -> Any:
    return make_order
