"""What grows with what is stored: CPU time of everyday questions with few and many open requests, results and tenants.

The stores are copies of one request, result and tenant, inserted by AiiDA's bulk insert into a throw-away profile. What
is asked runs in this process, on SQLite, so that its CPU time is all of it. ``exponent`` is the slope of the logarithm
of the time over that of the number: 0 does not grow, 1 grows as the store does.

The campaign of ``1000-evaluations`` is that of ``package.py``, with its export.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

SIZES, SIZES_QUICK = (10, 100, 1_000, 10_000), (10, 1_000)
RESULTS, RESULTS_QUICK = (100, 1_000, 10_000, 100_000), (100, 1_000)
TENANTS, TENANTS_QUICK = (10, 100, 1_000), (10, 100)
EVALUATIONS = 1_000
REPEATS = 7
#: entries of a list where it is limited
LIMIT = 100
SHARES = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
PARTS = ("open", "results", "tenants")
Json = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within some minutes: small stores, no campaign")
    parser.add_argument("--only", choices=(*PARTS, "campaign"), help="one part alone")
    wished = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sandbox = Sandbox(Path(place) / "stores")
        with sandbox:
            sandbox.create("--no-cells")
            os.environ["AIIDA_PATH"] = str(sandbox.folder)
            for name in PARTS:
                if wished.only in (None, name):
                    program = (sys.executable, str(Path(__file__)), "--part", name, str(int(wished.quick)))
                    sys.stdout.write(sandbox.run(*program, timeout=3600.0))
                    sys.stdout.flush()
        if wished.only == "campaign" or (wished.only is None and not wished.quick):
            _measure_campaign(Path(place) / "campaign")


class Stores:
    """Fills the profile; every number is that of all of a kind."""

    def __init__(self) -> None:
        from aiida import load_profile

        load_profile("sandbox")
        from aiida.manage import get_manager

        from aiida_finales.broker.queue import make_indexes
        from aiida_finales.broker.registration import add_tenant
        from aiida_finales.data.active import ACTIVE
        from aiida_finales.data.tenant import list_tenants

        self.storage: Any = get_manager().get_profile_storage()
        make_indexes()
        for tenant in list_tenants():
            tenant.base.extras.set(ACTIVE, False)
        offer: Json = {"quantity": "conductivity", "limitations": {}}
        add_tenant("outside", [{**offer, "method": "two_electrode"}], kind="external", max_concurrent=10**6)
        add_tenant("person", [{**offer, "method": "literature"}], kind="human", max_concurrent=10**6)
        add_tenant("busy", [{**offer, "method": "empirical_model"}], kind="internal", max_concurrent=1)
        add_tenant("free", [{**offer, "method": "polynomial_interpolation"}], kind="internal", max_concurrent=10**6)

    def post(self, method: str) -> Any:
        """Post one request and return it."""
        from aiida_finales.broker.requests import post_request
        from aiida_finales.data.request import RequestData
        from aiida_finales.schemas.formulation import make_formulation

        parameters = {"formulation": make_formulation(SHARES), "temperature": 298.15}
        return post_request(RequestData("conductivity", {method: parameters}, "benchmark"), "benchmark")

    def copy(self, node: Any, number: int, change: Callable[[Json, int], None] = lambda _row, _number: None) -> None:
        """Insert copies of a node."""
        from aiida import orm
        from aiida.orm.entities import EntityTypes

        columns = ("node_type", "label", "description", "ctime", "mtime", "attributes", "extras", "user_id")
        query = orm.QueryBuilder().append(orm.Node, filters={"id": node.pk}, project=list(columns))
        text = json.dumps(dict(zip(columns, query.one(), strict=True)), default=lambda moment: moment.isoformat())
        template = dict(zip(columns, query.one(), strict=True))
        rows = []
        for count in range(number):
            row = {**template, **{key: json.loads(text)[key] for key in ("attributes", "extras")}}
            row |= {"uuid": str(uuid.uuid4()), "process_type": None, "repository_metadata": {}, "dbcomputer_id": None}
            change(row, count)
            rows.append(row)
        with self.storage.transaction():
            self.storage.bulk_insert(EntityTypes.NODE, rows)


def _median_ms(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.process_time()
        function()
        times.append(1000 * (time.process_time() - began))
    return round(statistics.median(times[1:]), 3)


def _report(case: str, sizes: tuple[int, ...], found: dict[str, list[float]]) -> None:
    """Print what was measured at each size, and how it grows over the largest step."""
    for figure, values in found.items():
        for size, value in zip(sizes, values, strict=True):
            print_row("scale", f"{size}-{case}", f"{figure}_cpu_ms", value, "ms")
        steps = [
            math.log(max(after, 1e-3) / max(before, 1e-3)) / math.log(large / small)
            for (before, after), (small, large) in zip(pairwise(values), pairwise(sizes), strict=True)
        ]
        print_row("scale", case, f"{figure}_exponent", round(steps[-1], 2), "1")


class Turns:
    """What people do with open requests, each time with one of its own.

    :param made: requests by how far they are.
    """

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.made: dict[str, list[Any]] = {"inside": [], "outside": [], "held": []}

    def post(self) -> None:
        """Ask for what this engine provides."""
        self.made["inside"].append(self.stores.post("polynomial_interpolation"))

    def reserve(self) -> None:
        """Reserve it for a process of this engine."""
        from aiida_finales.broker.reservation import reserve_for_process

        assert reserve_for_process(self.made["inside"].pop(0).pk, str(uuid.uuid4())) is not None

    def post_outside(self) -> None:
        """Ask for what a program outside provides."""
        self.made["outside"].append(self.stores.post("two_electrode"))

    def reserve_outside(self) -> None:
        """Reserve it for that program."""
        from aiida_finales.broker.requests import read_candidates
        from aiida_finales.broker.reservation import reserve_request
        from aiida_finales.broker.state import read_state

        request = self.made["outside"].pop(0)
        (candidate,) = read_candidates(read_state(request.pk))
        reserve_request(request.pk, "benchmark", candidate)
        self.made["held"].append(request)

    def answer(self) -> None:
        """Answer it."""
        from aiida_finales.broker.reservation import answer_request

        request = self.made["held"].pop(0)
        given = {"method": "two_electrode", "data": {}, "parameters": request.parameters["two_electrode"]}
        answer_request(request.pk, "benchmark", given)


def _measure_open(is_quick: bool) -> None:
    """Half of what is open waits for a busy tenant of this engine, half for people or programs outside."""
    from aiida_finales.broker.reservation import reserve_for_process
    from aiida_finales.operations.diagnosis.check import shorten
    from aiida_finales.operations.diagnosis.requests import check_requests

    stores, sizes = Stores(), SIZES_QUICK if is_quick else SIZES
    busy, *templates = [
        stores.post(method) for method in ("empirical_model", "two_electrode", "empirical_model", "literature")
    ]
    assert reserve_for_process(stores.post("empirical_model").pk, str(uuid.uuid4())) is None
    assert reserve_for_process(busy.pk, str(uuid.uuid4())) is not None
    n_open, found = 5, dict[str, list[float]]()
    for size in sizes:
        more = max(0, size - n_open) // len(templates)
        for template in templates:
            stores.copy(template, more)
        n_open += len(templates) * more
        for figure, value in _time_open(Turns(stores)):
            found.setdefault(figure, []).append(value)
        n_open += 2 * (REPEATS + 1)
    _report("open", sizes, found)
    for figure in ("reserve", "post", "answer", "reserve_outside"):
        print_row("scale", f"{sizes[-1]}-open", f"{figure}_ratio", round(found[figure][-1] / found[figure][0], 2), "1")
    print_row("scale", f"{sizes[-1]}-open", "doctor_checks_shown", len(shorten(check_requests())), "1")


def _time_open(turns: Turns) -> Iterator[tuple[str, float]]:
    """Return the CPU time (ms) of each turn and each list."""
    from aiida_finales.broker.listing import Selection, list_request_rows
    from aiida_finales.broker.requests import open_states
    from aiida_finales.operations.diagnosis.requests import check_requests
    from aiida_finales.operations.request.people import describe_tasks, find_tasks

    figures: dict[str, Callable[[], Any]] = {
        "post": turns.post,
        "reserve": turns.reserve,
        "post_outside": turns.post_outside,
        "reserve_outside": turns.reserve_outside,
        "answer": turns.answer,
        f"list_{LIMIT}": lambda: list_request_rows(Selection(statuses=("pending",), limit=LIMIT)),
        "list_all": lambda: list_request_rows(Selection(statuses=("pending",))),
    }
    for figure, function in figures.items():
        yield figure, _median_ms(function)
    slow: dict[str, Callable[[], Any]] = {
        "human_list": lambda: describe_tasks(find_tasks(open_states())),
        "doctor": check_requests,
    }
    for figure, function in slow.items():
        yield figure, _median_ms(function, 1)


def _measure_results(is_quick: bool) -> None:
    from aiida_finales.broker.listing import Selection, list_result_rows
    from aiida_finales.broker.results import list_results
    from aiida_finales.calculations.unsolicited import store_unsolicited
    from aiida_finales.data.capability import find_capability
    from aiida_finales.operations.request.records import count_nodes
    from aiida_finales.schemas.formulation import make_formulation

    stores, sizes = Stores(), RESULTS_QUICK if is_quick else RESULTS
    formulation = make_formulation(SHARES)
    body = {"values": [1.0], "temperature": 298.15, "meta": {"success": True, "rating": 4}}
    posted = {"data": {"conductivity": body, "run_info": {"formulation": formulation, "internal_reference": "x"}},
              "parameters": {"formulation": formulation, "temperature": 298.15}, "tenant": "",
              "uuid": str(uuid.uuid4())}  # fmt: skip
    template = store_unsolicited(find_capability("conductivity", "two_electrode"), posted)
    n_stored, found = 1, dict[str, list[float]]()
    for size in sizes:
        stores.copy(template, size - n_stored)
        n_stored = size
        figures: dict[str, Callable[[], Any]] = {
            f"rows_{LIMIT}": lambda: list_result_rows(Selection(limit=LIMIT, newest_first=True)),
            f"list_{LIMIT}": lambda: list_results(limit=LIMIT),
            "count": lambda: count_nodes("result"),
        }
        for figure, function in figures.items():
            found.setdefault(figure, []).append(_median_ms(function, 3))
    _report("results", sizes, found)


def _measure_tenants(is_quick: bool) -> None:
    from aiida_finales.broker.matching import match_any
    from aiida_finales.data.tenant import find_tenant, name_tenants
    from aiida_finales.schemas.formulation import make_formulation

    stores, sizes = Stores(), TENANTS_QUICK if is_quick else TENANTS
    parameters = {"formulation": make_formulation(SHARES), "temperature": 298.15}
    template = find_tenant("outside")

    def rename(row: Json, number: int) -> None:
        row["attributes"] |= {"tenant_uuid": row["uuid"], "name": f"copy {row['uuid']} {number}"}

    n_stored, found = 4, dict[str, list[float]]()
    for size in sizes:
        stores.copy(template, size - n_stored, rename)
        n_stored = size
        figures: dict[str, Callable[[], Any]] = {
            "match_all": lambda: match_any("conductivity", {"two_electrode": parameters}),
            "match_one": lambda: match_any("conductivity", {"empirical_model": parameters}),
            "names": name_tenants,
        }
        for figure, function in figures.items():
            found.setdefault(figure, []).append(_median_ms(function, 3))
    _report("tenants", sizes, found)


def _measure_campaign(folder: Path) -> None:
    """Copy evaluations of a real campaign; the last part is its export."""
    import package

    folder.mkdir()
    sandbox = Sandbox(folder)
    with sandbox:
        sandbox.create()
        sandbox.start(2)
        package._run_campaign(sandbox, folder)  # noqa: SLF001 - its neighbour
    os.environ["AIIDA_PATH"] = str(sandbox.folder)
    copier = package.Copier()
    case, n_nodes = f"{EVALUATIONS}-evaluations", copier.fill(EVALUATIONS)
    from aiida import orm

    from aiida_finales.data.training_set import read_members
    from aiida_finales.operations.campaign.reading import read_overview
    from aiida_finales.operations.campaign.replay import list_suggestions

    last = list_suggestions(copier.group)[-1].creator
    links = orm.QueryBuilder().append(orm.CalculationNode, filters={"process_type": {"like": "%suggest"}}, tag="made")
    n_links = links.append(orm.Data, with_outgoing="made").count()
    print_row("scale", case, "links_per_evaluation", round(n_links / EVALUATIONS, 2), "1")
    print_row("scale", case, "training_set_cpu_ms", _median_ms(lambda: read_members(last), 3), "ms")
    print_row("scale", case, "overview_cpu_ms", _median_ms(lambda: read_overview(copier.group), 1), "ms")
    said = io.StringIO()
    with redirect_stdout(said):
        package._measure(case, n_nodes, sandbox, folder)  # noqa: SLF001
    figures = {row["figure"]: row for row in map(json.loads, said.getvalue().splitlines())}
    for figure, told in (("export_seconds", "export_seconds"), ("export_memory_mb", "export_mb"),
                         ("export_cpu_seconds", "export_cpu_seconds"), ("package_mb", "package_mb"),
                         ("verify_cpu_seconds", "verify_cpu_seconds")):  # fmt: skip
        print_row("scale", case, told, figures[figure]["value"], figures[figure]["unit"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        chosen = {"open": _measure_open, "results": _measure_results, "tenants": _measure_tenants}
        chosen[sys.argv[2]](bool(int(sys.argv[3])))
    else:
        main()
