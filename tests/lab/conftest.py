"""A device folder, orders for it, and a driver that runs as a process of its own."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings

from aiida_finales.exceptions import DeviceInputError, DeviceLimitationError
from aiida_finales.lab.driver.command import run_driver
from aiida_finales.lab.simulated.asab import Asab
from aiida_finales.lab.simulated.autobass import AutoBass
from aiida_finales.lab.simulated.device import run_simulated
from aiida_finales.lab.simulated.inventory import create_laboratory
from aiida_finales.lab.simulated.operator import Operator
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.defects import find_defects
from aiida_finales.schemas.registry import get_schema
from tests.lab.documents import almost_right, single_changes

ROOT = Path(__file__).parents[2]
#: documents with several changes that a reader and its schema are compared with, beside all with one change
N_DOCUMENTS = int(os.environ.get("N_DOCUMENTS", "200"))


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
        command = [
            sys.executable,
            "-m",
            "aiida_finales.lab.simulated.asab",
            *self.arguments(key, order, *more, output=output),
        ]
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


def make_flow(volume: float = 4.2, fractions: dict[str, float] | None = None, **settings: Any) -> Any:
    parameters = {"electrolyte": {"formulation": make_order(fractions)["parameters"]["formulation"]}, "volume": volume}
    return {"quantity": "electrolyte", "method": "flow", "parameters": parameters, "settings": settings}


def make_assembly(vial: str, batch_volume: int | None = 8, cell: Any = None, **settings: Any) -> Any:
    chemistry = {"electrolyte": make_order()["parameters"]["formulation"]}
    parameters = {
        "cell": {"battery_chemistry": chemistry} | (cell or {}),
        "cell_info": {"electrolyte_info": {"name": vial, "uuid": vial}},
        "batch_volume": batch_volume,
    }
    target = {"quantity": "cell_assembly", "method": "autobass_assembly"}
    return target | {"parameters": parameters, "settings": settings}


def make_errand(origin: str, destination: str, samples: list[str] | None = None, **settings: Any) -> Any:
    parameters = {"origin": {"address": origin}, "destination": {"address": destination}, "samples": samples}
    target = {"quantity": "transport", "method": "transport_service"}
    return target | {"parameters": parameters, "settings": settings}


class Laboratory:
    """Three drivers over one inventory, each with a journal of its own."""

    devices: ClassVar = {"asab": Asab, "autobass": AutoBass, "operator": Operator}
    make_flow = staticmethod(make_flow)
    make_assembly = staticmethod(make_assembly)
    make_errand = staticmethod(make_errand)
    make_order = staticmethod(make_order)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = create_laboratory(folder / "laboratory")

    def arguments(self, device: str, key: str, order: Any, *more: str, journal: str | None = None) -> list[str]:
        order = order | {"settings": {"inventory": str(self.inventory.folder)} | order["settings"]}
        path = self.folder / f"in-{device}-{key}.json"
        path.write_text(json.dumps(order))
        files = ["--input", str(path), "--output", str(self.folder / f"{key}.json")]
        return ["--key", key, *files, "--journal", str(self.folder / (journal or device)), *more]

    def start(self, device: str, key: str, order: Any, journal: str | None = None) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            f"aiida_finales.lab.simulated.{device}",
            *self.arguments(device, key, order, journal=journal),
        ]
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)

    def run(self, device: str, key: str, order: Any) -> tuple[int, str]:
        """Run a driver as a process; return exit status and log."""
        process = self.start(device, key, order)
        log = process.communicate(timeout=60)[1]
        return process.returncode, log

    def call(self, device: str, key: str, order: Any, *more: str) -> int:
        """Run a driver within this process."""
        return run_simulated(self.devices[device](), self.arguments(device, key, order, *more))

    def fork(self, device: str, key: str, order: Any) -> int:
        """Run a driver in a copy of this process, which may die of it, and is quicker than a new one."""
        arguments = self.arguments(device, key, order)
        pid = os.fork()
        if pid == 0:
            os._exit(run_simulated(self.devices[device](), arguments))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def settle(self, device: str, key: str, outcome: str) -> int:
        options = ["--settle", outcome, "--reason", "looked", "--journal", str(self.folder / device)]
        return run_driver(self.devices[device](), ["--key", key, *options])

    def output(self, key: str) -> Any:
        return json.loads((self.folder / f"{key}.json").read_text())

    def acts(self, device: str | None = None) -> Counter[str]:
        return Counter(line["key"] for line in self.inventory.read_ledger() if device in (None, line["device"]))

    def fill_vial(self, key: str = "flow", **options: Any) -> str:
        """Fill a vial at the robot and return its identity."""
        assert self.call("asab", key, make_flow(**options)) == 0
        return str(self.output(key)["sample"])

    def bring_vial(self, key: str = "flow", **options: Any) -> str:
        """Fill a vial, carry it to the assembly robot, and return its identity."""
        vial = self.fill_vial(key, **options)
        assert self.call("operator", f"bring-{key}", make_errand("ASAB", "AutoBASS", [vial])) == 0
        return vial


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def order() -> Any:
    return copy.deepcopy(make_order())


@pytest.fixture(name="make_order")
def make_order_fixture() -> Any:
    return make_order


@pytest.fixture
def demand_same_reading():
    """Return a function that demands that a device's reader takes exactly the parameters that the schema accepts."""

    def demand(quantity: str, method: str, right: Any, read: Callable[[Any], Any], **device_settings: Any) -> None:
        def compare(parameters: Any) -> None:
            order = {"quantity": quantity, "method": method, "settings": device_settings, "parameters": parameters}
            is_right = not find_defects(get_schema(quantity, method).parameters, parameters)
            assert is_right is _is_read(read, copy.deepcopy(order)), (is_right, parameters)

        @settings(max_examples=N_DOCUMENTS, deadline=None, derandomize=True, database=None)
        @given(almost_right(right))
        def check(parameters: Any) -> None:
            compare(parameters)

        assert _is_read(
            read, {"quantity": quantity, "method": method, "settings": device_settings, "parameters": right}
        )
        for parameters in single_changes(right):
            compare(parameters)
        check()

    return demand


def _is_read(read: Callable[[Any], Any], order: Any) -> bool:
    """Return whether an order is understood, whether or not the device can do it."""
    try:
        read(order)
    except DeviceLimitationError:
        return True
    except DeviceInputError:
        return False
    return True
