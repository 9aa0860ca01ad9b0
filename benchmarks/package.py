"""Time and memory to export and verify the package of a campaign with 1,000 results.

A campaign of five measurements by the simulated robot runs through the real daemon. Its last evaluation (suggestion,
request, all processes that served it, their files, the result, and the history of each) is then copied in the database
until there are as many results as wanted, with other values, times and contents of the text files. Each copied
suggestion goes on from the training set of the one before and learned from the result before it, as in a campaign that
suggests one at a time.

Processes are measured from outside: memory is that of the largest one.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

N_RESULTS, N_RESULTS_QUICK = 1_000, 100
N_REAL = 5
#: seconds after which the campaign is given up
GIVE_UP = 900.0
NAME = "copied"
CAMPAIGN = {
    "name": NAME, "quantity": "conductivity", "target": "two_electrode", "fixed": {"temperature": 301.15},
    "sources": {"two_electrode": {}}, "initial": 3, "stop": {"evaluations": N_REAL},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}  # fmt: skip
COLUMNS = ("id", "uuid", "node_type", "process_type", "label", "description", "ctime", "mtime", "attributes", "extras",
           "repository_metadata", "user_id", "dbcomputer_id")  # fmt: skip
Json = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within some minutes: 100 results")
    n_results = N_RESULTS_QUICK if parser.parse_args().quick else N_RESULTS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sandbox = Sandbox(folder)
        with sandbox:
            sandbox.create()
            sandbox.start(2)
            _run_campaign(sandbox, folder)
        os.environ["AIIDA_PATH"] = str(sandbox.folder)
        n_nodes = Copier().fill(n_results)
        _measure(f"{n_results}-results", n_nodes, sandbox, folder)


def _run_campaign(sandbox: Sandbox, folder: Path) -> None:
    """Start the campaign unless it is there, and wait for its end."""
    file = folder / "campaign.yaml"
    file.write_text(json.dumps(CAMPAIGN))
    if NAME not in sandbox.run("aiida-finales", "campaign", "list", "--format", "json"):
        sandbox.run("aiida-finales", "campaign", "start", str(file))

    def is_ended() -> bool:
        shown = json.loads(sandbox.run("aiida-finales", "campaign", "show", NAME, "--format", "json"))
        return bool(shown["state"] == "finished")

    if not sandbox.wait_until(is_ended, GIVE_UP, 3.0):
        message = f"the campaign of {N_REAL} evaluations did not end"
        raise RuntimeError(message)


class Copier:
    """Copies the last evaluation of the campaign in the database."""

    def __init__(self) -> None:
        from aiida import load_profile

        load_profile()
        from aiida.manage import get_manager

        from aiida_finales.data.campaign import CampaignGroup
        from aiida_finales.data.result import ResultData

        self.storage: Any = get_manager().get_profile_storage()
        self.group = CampaignGroup.find(NAME)
        self.results = sorted((node for node in self.group.nodes if isinstance(node, ResultData)), key=lambda x: x.pk)
        # what goes on with a store gives other UUIDs than what began it
        self.random = random.Random(len(self.results))
        self.value: float = self.results[-1].value
        self.uuids = [node.uuid for node in self.results]
        self.template = self._find_template()
        self.members = [node.pk for node in self.group.nodes if node.pk in self.template]
        self.links = self._find_links()
        self.logs = self._find_logs()

    def _find_template(self) -> dict[int, Json]:
        """Return the rows of the last evaluation by pk: what suggested, asked and served, and what these made."""
        from aiida import orm

        request = orm.load_node(self.results[-1].request_uuid)
        suggest = request.creator
        self.suggest: int = suggest.pk
        self.training: int = suggest.outputs.training.pk
        self.last_training = self.training
        called = [link.node for link in request.base.links.get_outgoing().all() if link.link_label == "request"]
        processes = [suggest, *(node for node in called if isinstance(node, orm.WorkChainNode))]
        for process in processes[1:]:
            processes += process.called_descendants
        found = {process.pk for process in processes}
        for process in processes:
            if isinstance(process, orm.CalculationNode):
                found |= {link.node.pk for link in process.base.links.get_outgoing().all()}
        query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": sorted(found)}}, project=list(COLUMNS))
        return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in query.all()}

    def _find_links(self) -> list[Json]:
        """Return the links of the last evaluation; what went on from it, and what it learned from, is left out."""
        from aiida import orm

        pks, found = sorted(self.template), {}
        for ends in ({"source": pks}, {"target": pks}):
            filters = {name: {"id": {"in": list_of_pks}} for name, list_of_pks in ends.items()}
            query = orm.QueryBuilder().append(orm.Node, filters=filters.get("source"), tag="source", project="id")
            query.append(orm.Node, filters=filters.get("target"), with_incoming="source", project="id",
                         edge_project=["type", "label"])  # fmt: skip
            for source, target, kind, label in query.all():
                if not label.startswith(("results__", "previous")):
                    found[source, target, label] = {
                        "input_id": source,
                        "output_id": target,
                        "type": kind,
                        "label": label,
                    }
        return list(found.values())

    def _find_logs(self) -> list[Json]:
        from aiida import orm

        columns = ["time", "loggername", "levelname", "dbnode_id", "message", "metadata"]
        query = orm.QueryBuilder().append(
            orm.Log, filters={"dbnode_id": {"in": sorted(self.template)}}, project=columns
        )
        return [dict(zip(columns, row, strict=True)) for row in query.all()]

    def fill(self, n_results: int) -> int:
        """Copy until there are so many results; return how many nodes there are."""
        from aiida import orm

        known, n_known = [node.pk for node in self.results], len(self.results)
        for number in range(n_known, n_results):
            known.append(self._copy(number, known, timedelta(seconds=60 * (number + 1 - n_known))))
        return int(orm.QueryBuilder().append(orm.Node).count())

    def _copy(self, number: int, known: list[int], later: timedelta) -> int:
        """Copy the evaluation once, as one that was so much later; return the pk of its result."""
        from aiida.orm.entities import EntityTypes

        names = {row["uuid"]: self._uuid() for row in self.template.values()}
        value = self.value * self.random.uniform(0.2, 1.0)
        order = sorted(self.template)
        rows = []
        for pk in order:
            row = {key: item for key, item in self.template[pk].items() if key != "id"}
            text = json.dumps([row["attributes"], row["extras"]]).replace(repr(self.value), repr(value))
            for before, after in names.items():
                text = text.replace(before, after)
            row["attributes"], row["extras"] = json.loads(text)
            if pk == self.training:
                self._tell_training(row["attributes"])
            row |= {"uuid": names[row["uuid"]], "ctime": row["ctime"] + later, "mtime": row["mtime"] + later,
                    "repository_metadata": self._copy_files(row["repository_metadata"], number)}  # fmt: skip
            rows.append(row)
        with self.storage.transaction():
            pks = dict(zip(order, self.storage.bulk_insert(EntityTypes.NODE, rows), strict=True))
            self.storage.bulk_insert(EntityTypes.LINK, self._copy_links(pks, known, number))
            logs = [{**row, "uuid": self._uuid(), "time": row["time"] + later, "dbnode_id": pks[row["dbnode_id"]]}
                    for row in self.logs]  # fmt: skip
            self.storage.bulk_insert(EntityTypes.LOG, logs)
            members = [pks[pk] for pk in self.members]
            self.storage.bulk_insert(
                EntityTypes.GROUP_NODE, [{"dbgroup_id": self.group.pk, "dbnode_id": pk} for pk in members]
            )
        self.uuids.append(names[self.results[-1].uuid])
        self.last_training = pks[self.training]
        return pks[self.results[-1].pk]

    def _tell_training(self, attributes: Json) -> None:
        """Let a copied set be what the one before it becomes with the result before."""
        from aiida_finales.data.training_set import digest_of

        rows = [{**row, "uuid": self.uuids[-1]} for row in attributes["rows"][-1:]]
        attributes |= {"rows": rows, "removed": [], "n_results": len(self.uuids), "digest": digest_of(self.uuids)}

    def _copy_links(self, pks: dict[int, int], known: list[int], number: int) -> list[Json]:
        links = []
        for link in self.links:
            is_called = link["type"].startswith("call_") and link["input_id"] not in pks
            links.append({
                **link, "input_id": pks.get(link["input_id"], link["input_id"]), "output_id": pks[link["output_id"]],
                "label": f"{link['label']}_{number}" if is_called else link["label"],
            })  # fmt: skip
        suggest = pks[self.suggest]
        inputs = {f"results__result_{known[-1]}": known[-1], "previous": self.last_training}
        links += [
            {"input_id": pk, "output_id": suggest, "type": "input_calc", "label": label} for label, pk in inputs.items()
        ]
        return links

    def _uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def _copy_files(self, tree: Json, number: int) -> Json:
        """Return the files of a node, those that are text with one more line."""
        if "k" in tree:
            content = self.storage.get_repository().get_object_content(tree["k"])
            if content[:4] in {b"\x93NUM", b"\x89HDF"} or not content:
                return tree
            stream = io.BytesIO(content + f"\n# {number}\n".encode())
            return {"k": self.storage.get_repository().put_object_from_filelike(stream)}
        return {"o": {name: self._copy_files(item, number) for name, item in tree.get("o", {}).items()}} if tree else {}


def _measure(case: str, n_nodes: int, sandbox: Sandbox, folder: Path) -> None:
    metadata = folder / "meta.yaml"
    metadata.write_text(sandbox.run("aiida-finales", "export", "metadata", NAME))
    export = ("export", "campaign", NAME, "--metadata", str(metadata), "--output", str(folder), "--scrub")
    verify = ("export", "verify", str(folder / NAME))
    print_row("package", case, "nodes", n_nodes, "1")
    for name, arguments in (("export", export), ("verify", verify)):
        program = (sys.executable, str(Path(__file__)), "--watch", "aiida-finales", *arguments)
        figures = json.loads(sandbox.run(*program, timeout=3600.0).splitlines()[-1])
        for figure, value in figures.items():
            print_row("package", case, f"{name}_{figure}", value, "MB" if figure == "memory_mb" else "s")
    size = sum(path.stat().st_size for path in (folder / NAME).rglob("*") if path.is_file())
    print_row("package", case, "package_mb", round(size / 1e6, 1), "MB")


def _watch(command: list[str]) -> None:
    """Run a command, and print what it took; in a program of its own, because the figures are of all children."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": round(used.ru_maxrss / 1024),
    }))  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        _watch(sys.argv[2:])
    else:
        main()
