"""What each page costs the server when 100 campaigns and 100,000 results are stored.

A campaign of five measurements by the simulated robot runs through the real daemon. All of it is then copied in the
database a hundred times under other names; one goes on to 300 evaluations. Its last request, with the process that
served it, the result and all their histories, is copied until there are 100,000 results. Samples and tasks of people
are copied likewise.

Making the store takes long. With ``--folder`` it is kept, and of one whose making was cut off what is lacking is made:
of each kind as much as there is to be, results last. ``--as-is`` measures what is there by then.

The server runs in a process of its own, on SQLite; what is measured is its CPU time for one page, asked for by one
browser: the first look at a page, and the median of the later ones.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parent))

import httpx
import package
import psutil
import server
from rows import print_row

from aiida_finales.testing import PROFILE, Sandbox

N_CAMPAIGNS, N_CAMPAIGNS_QUICK = 100, 10
N_RESULTS, N_RESULTS_QUICK = 100_000, 1_000
#: samples, and tasks of people
N_SAMPLES, N_SAMPLES_QUICK = 10_000, 100
N_TASKS, N_TASKS_QUICK = 1_000, 50
#: evaluations of the largest campaign
N_EVALUATIONS, N_EVALUATIONS_QUICK = 300, 30
#: copies that one statement inserts
CHUNK = 1_000
REPEATS = 5
#: evaluations that come to the large campaign one by one
N_GROWN = 3
#: s for which the server is left alone before it is asked: what it does by itself is no page's
REST = 3.0
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: name of the person whose tasks are copied
TASKS = "carrier"
COMMANDS = (("campaign", "list"), ("result", "list"), ("request", "list"), ("human", "list"), ("sample", "list"))
Json = dict[str, Any]
#: changes the attributes and extras of a node (JSON), given the number of the copy
Change = Callable[[str, int], str]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within some minutes: a small store")
    parser.add_argument("--folder", type=Path, help="where to keep the store; what is lacking of one there is made")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--as-is", action="store_true", help="measure what is in the folder, and make nothing")
    how.add_argument("--only-make", action="store_true", help="make the store, and measure nothing")
    wished = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sandbox = Sandbox(wished.folder or Path(place))
        if not wished.as_is:
            make_store(sandbox, is_quick=wished.quick)
        if not wished.only_make:
            measure_pages(sandbox)


def make_store(sandbox: Sandbox, *, is_quick: bool) -> None:
    """Make what is lacking of the store; whatever is cut off, the next one goes on from there."""
    measured = sandbox.folder / "measured"
    if not measured.exists():
        with sandbox:
            sandbox.create()
            sandbox.start(2)
            package._run_campaign(sandbox, sandbox.folder)  # noqa: SLF001 - its neighbour
        measured.touch()
    program = (sys.executable, str(Path(__file__)), "--fill", str(int(is_quick)))
    subprocess.run(program, env=sandbox.environment, check=True, stdout=sys.stderr)


class Cloner:
    """Copies nodes with their links, histories and groups, any number of times.

    :param pks: of the nodes; what they are linked to besides stays the same.
    """

    def __init__(self, pks: Iterable[int]) -> None:
        from aiida import orm
        from aiida.manage import get_manager

        self.storage: Any = get_manager().get_profile_storage()
        self.pks = sorted(set(pks))  # what made a result may be what served its request, too
        query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": self.pks}}, project=list(package.COLUMNS))
        rows = [dict(zip(package.COLUMNS, row, strict=True)) for row in query.all()]
        self.rows = sorted(rows, key=lambda row: int(row["id"]))
        self.texts = [json.dumps([row["attributes"], row["extras"]]) for row in self.rows]
        self.links = self._find_links()
        self._new_links: list[Json] = []
        self._new_logs: list[Json] = []
        columns = ["time", "loggername", "levelname", "dbnode_id", "message", "metadata"]
        logs = orm.QueryBuilder().append(orm.Log, filters={"dbnode_id": {"in": self.pks}}, project=columns)
        self.logs = [dict(zip(columns, row, strict=True)) for row in logs.all()]

    def _find_links(self) -> list[Json]:
        """Return what links the nodes with each other, and what from elsewhere goes into processes among them."""
        from aiida import orm

        query = orm.QueryBuilder().append(orm.Node, tag="source", project="id")
        query.append(orm.Node, filters={"id": {"in": self.pks}}, with_incoming="source", project="id",
                     edge_project=["type", "label"])  # fmt: skip
        return [
            {"input_id": source, "output_id": target, "type": kind, "label": label}
            for source, target, kind, label in query.all()
            if source in self.pks or kind.startswith("input")
        ]

    def clone(self, number: int, change: Change = lambda text, _: text, group: int = 0) -> None:
        """Copy everything so many times, in one transaction.

        :param change: of the attributes and extras of a node (JSON), given the number of the copy.
        :param group: pk of the group that gets all.
        """
        from aiida.orm.entities import EntityTypes

        rows = [row for index in range(number) for row in self._copy_rows(change, index)]
        with self.storage.transaction():
            made, size = self.storage.bulk_insert(EntityTypes.NODE, rows), len(self.rows)
            for start in range(0, len(made), size):
                self._link(dict(zip(self.pks, made[start : start + size], strict=True)))
            self.storage.bulk_insert(EntityTypes.LINK, self._new_links)
            self.storage.bulk_insert(EntityTypes.LOG, self._new_logs)
            members = [{"dbgroup_id": group, "dbnode_id": pk} for pk in made if group]
            self.storage.bulk_insert(EntityTypes.GROUP_NODE, members)
        self._new_links, self._new_logs = [], []

    def _copy_rows(self, change: Change, index: int) -> Iterator[Json]:
        """Yield the rows of one copy, whose UUIDs are new everywhere."""
        names: dict[str, str] = {str(row["uuid"]): str(uuid4()) for row in self.rows}
        for row, text in zip(self.rows, self.texts, strict=True):
            attributes, extras = json.loads(
                change(UUID_TEXT.sub(lambda found: names.get(found[0], found[0]), text), index)
            )
            copied = {**row, "uuid": names[row["uuid"]], "attributes": attributes, "extras": extras}
            yield {key: value for key, value in copied.items() if key != "id"}

    def _link(self, pks: dict[int, int]) -> None:
        """Give one copy, whose pks are known, links and histories."""
        for link in self.links:
            ends = {"input_id": pks.get(link["input_id"], link["input_id"]), "output_id": pks[link["output_id"]]}
            self._new_links.append({**link, **ends})
        for log in self.logs:
            self._new_logs.append({**log, "uuid": str(uuid4()), "dbnode_id": pks[log["dbnode_id"]]})


def fill(*, is_quick: bool) -> None:
    """Fill the profile of this configuration with what is lacking."""
    copier = package.Copier()
    _copy_campaigns(copier, N_CAMPAIGNS_QUICK if is_quick else N_CAMPAIGNS)
    copier.fill(N_EVALUATIONS_QUICK if is_quick else N_EVALUATIONS)
    _copy_samples(N_SAMPLES_QUICK if is_quick else N_SAMPLES)
    _copy_tasks(N_TASKS_QUICK if is_quick else N_TASKS)
    _copy_results(copier, N_RESULTS_QUICK if is_quick else N_RESULTS)


def _copy_campaigns(copier: package.Copier, number: int) -> None:
    """Copy the campaign with all its processes: before it has grown."""
    from aiida import orm

    from aiida_finales.data.campaign import CampaignGroup, find_campaign_process

    # a group whose making was cut off has no members
    query = orm.QueryBuilder().append(CampaignGroup, tag="group", project="label")
    known = set(query.append(orm.WorkChainNode, with_group="group").all(flat=True))
    lacking = [name for index in range(1, number) if (name := f"{package.NAME}-{index}") not in known]
    if not lacking:
        return
    members = {node.pk for node in copier.group.nodes}
    process = find_campaign_process(copier.group)
    told = process.inputs.campaign.pk
    cloner = Cloner(members | {told} | {node.pk for node in process.called_descendants})
    for name in lacking:
        group = CampaignGroup.create_for(name)
        cloner.clone(1, lambda text, _, name=name: text.replace(f'"{package.NAME}"', f'"{name}"'), group.pk)  # type: ignore[misc]


def _copy_in_parts(cloner: Cloner, known: int, number: int, what: str, change: Change) -> None:
    """Copy until there are so many, each part in one transaction; say how far it is.

    :param known: how many there are.
    """
    while known < number:
        cloner.clone(size := min(CHUNK, number - known), change)
        known += size
        print(f"{known} of {number} {what}", flush=True)


def _copy_results(copier: package.Copier, number: int) -> None:
    """Copy the last request, the process that served it, and the result."""
    from aiida import orm

    from aiida_finales.data.result import ResultData

    result = copier.results[-1]
    request = orm.load_node(result.request_uuid)
    served = [link.node.pk for link in request.base.links.get_outgoing().all() if link.link_label == "request"]
    cloner = Cloner([request.pk, result.pk, result.creator.pk, *served])
    known, value = orm.QueryBuilder().append(ResultData).count(), repr(result.value)
    numbers = count(known)

    def change(text: str, _: int) -> str:
        return text.replace(value, repr(result.value * (0.2 + 0.8 * (next(numbers) * 0.618 % 1))))

    _copy_in_parts(cloner, known, number, "results", change)


def _copy_samples(number: int) -> None:
    from aiida import orm

    from aiida_finales.broker.samples import register_sample
    from aiida_finales.data.sample import SampleData

    sample = register_sample("stock-0", "stock", {"address": "shelf"})
    filters = {"attributes.identity": {"like": "stock-%"}}
    known = orm.QueryBuilder().append(SampleData, filters=filters).count()
    numbers = count(known)

    def change(text: str, _: int) -> str:
        return text.replace("stock-0", f"stock-{next(numbers)}")

    _copy_in_parts(Cloner([sample.pk]), known, number, "samples", change)


def _copy_tasks(number: int) -> None:
    """Let a person have much to carry."""
    from aiida import orm

    from aiida_finales.broker.registration import add_tenant
    from aiida_finales.broker.requests import post_request
    from aiida_finales.data.request import RequestData

    tasks = orm.QueryBuilder().append(RequestData, filters={"attributes.requester": TASKS}, tag="node", project="id")
    known = sorted(tasks.all(flat=True))
    if not known:
        add_tenant(TASKS, [{"quantity": "transport", "method": "transport_service", "limitations": {}}], kind="human")
        places = {"origin": {"address": "shelf"}, "destination": {"address": "ASAB"}, "samples": ["stock-0"]}
        known = [post_request(RequestData("transport", {"transport_service": places}, TASKS), TASKS).pk]
    _copy_in_parts(Cloner(known[:1]), len(known), number, "tasks", lambda text, _: text)


def measure_pages(sandbox: Sandbox) -> None:
    """Ask for each page in turn, and print what it cost the server; give the commands that list then."""
    roles = ("--role", "admin", "--role", "operator", "--role", "requester")
    sandbox.run("aiida-finales", "serve", "user", "add", "benchmark", *roles, "--password", server.PASSWORD)
    said = json.loads(sandbox.run(sys.executable, str(Path(__file__)), "--paths"))
    case, paths = f"{said['n_results']}-results", said["paths"]
    process = server.start(sandbox)
    try:
        watched, browser = psutil.Process(process.pid), _log_in()
        time.sleep(REST)
        for figure, path in paths.items():
            times = [_time_page(watched, browser, path) for _ in range(REPEATS + 1)]
            print_row("pages", case, f"{figure}_first_cpu_ms", round(times[0]), "ms")
            print_row("pages", case, f"{figure}_cpu_ms", round(statistics.median(times[1:])), "ms")
        grown = [_time_grown(sandbox, watched, browser, paths["campaign_large"]) for _ in range(N_GROWN)]
        print_row("pages", case, "campaign_large_grown_cpu_ms", round(statistics.median(grown)), "ms")
    finally:
        process.terminate()
        process.wait(timeout=30)
    measure_commands(sandbox, case)


def measure_commands(sandbox: Sandbox, case: str) -> None:
    """Give the commands that list, and print what each cost."""
    for noun, verb in COMMANDS:
        program = (sys.executable, str(Path(package.__file__)), "--watch", "aiida-finales", noun, verb)
        told = json.loads(sandbox.run(*program, timeout=600.0).splitlines()[-1])
        print_row("pages", case, f"{noun}_{verb}_cpu_seconds", told["cpu_seconds"], "s")


def _log_in() -> httpx.Client:
    browser = httpx.Client(base_url=f"http://127.0.0.1:{server.PORT}", timeout=300, follow_redirects=True)
    shown = browser.get("/pages/login").text
    proof = re.findall(r'name="(\w+)" value="([^"]*)"', shown)
    typed = dict(proof) | {"username": "benchmark", "password": server.PASSWORD}
    browser.post("/pages/login", data=typed).raise_for_status()
    return browser


def _time_page(watched: psutil.Process, browser: httpx.Client, path: str) -> float:
    began = sum(watched.cpu_times()[:2])
    browser.get(path).raise_for_status()
    return 1000 * (sum(watched.cpu_times()[:2]) - began)


def _time_grown(sandbox: Sandbox, watched: psutil.Process, browser: httpx.Client, path: str) -> float:
    """Return what the page of the large campaign costs after one more evaluation of it."""
    sandbox.run(sys.executable, str(Path(__file__)), "--grow")
    return _time_page(watched, browser, path)


def _print_paths() -> None:
    """Print the path of a page of each kind, by the name of its figure."""
    from aiida import load_profile, orm

    load_profile(PROFILE)
    from aiida_finales.data.request import RequestData
    from aiida_finales.data.result import ResultData
    from aiida_finales.data.tenant import find_tenant

    def last(kind: type[orm.Data]) -> str:
        query = orm.QueryBuilder().append(kind, tag="node", project="uuid").order_by({"node": {"id": "desc"}})
        return str(query.first(flat=True))

    name, n_results = f"{package.NAME}-1", orm.QueryBuilder().append(ResultData).count()
    paths = {
        "laboratory": "/pages", "tasks": "/pages/tasks", "campaigns": "/pages/campaigns",
        "campaigns_older": "/pages/campaigns?offset=40", "campaign_row": f"/pages/campaigns/{name}/row",
        "campaign": f"/pages/campaigns/{name}", "campaign_large": f"/pages/campaigns/{package.NAME}",
        "campaign_charts": f"/pages/campaigns/{package.NAME}/charts.json", "new_campaign": "/pages/new-campaign",
        "requests": "/pages/requests", "requests_pending": "/pages/requests?status=pending",
        "requests_retracted": "/pages/requests?status=retracted", "results": "/pages/results",
        "results_old": f"/pages/results?offset={n_results // 2}", "results_deleted": "/pages/results?status=deleted",
        "request": f"/pages/requests/{last(RequestData)}", "result": f"/pages/results/{last(ResultData)}",
        "samples": "/pages/samples", "sample": "/pages/samples/stock-0", "timeline": f"/pages/timeline/{name}",
        "tenant": f"/pages/tenants/{find_tenant(TASKS).tenant_uuid}", "administration": "/pages/administration",
    }  # fmt: skip
    print(json.dumps({"n_results": n_results, "paths": paths}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fill"]:
        fill(is_quick=bool(int(sys.argv[2])))
    elif sys.argv[1:2] == ["--grow"]:
        copier = package.Copier()
        copier.fill(len(copier.results) + 1)
    elif sys.argv[1:2] == ["--paths"]:
        _print_paths()
    else:
        main()
