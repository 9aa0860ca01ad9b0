"""CPU seconds to read a profile into a graph of meanings, and to answer each named question, at 10,000 results.

The nodes are made of real ones, of which each kind is built once, and written to the database in bulk: reading does
not see the difference. Half of the results are measurements, half come from a model at the same formulations; besides
there are 200 cells with an end of life, and 20 suggestions that learned from 200 results each. One thread does it all,
so that CPU seconds are those of a machine that does nothing else. A server has a program of its own ask a copy on disk;
CPU seconds of that are from its start to its end.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

N_RESULTS, N_RESULTS_QUICK = 10_000, 1_000
N_CELLS, N_SUGGESTIONS, N_LEARNED = 200, 20, 200
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
Json = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    n_results = N_RESULTS_QUICK if parser.parse_args().quick else N_RESULTS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIIDA_PATH"] = folder
        _make_profile(Path(folder))
        names = Filler(n_results).fill()
        _measure(f"{n_results}-results", names)


def _make_profile(folder: Path) -> None:
    from aiida import load_profile
    from aiida.manage.configuration import create_profile, get_config, reset_config

    reset_config()
    config = get_config(create=True)
    create_profile(
        config, name="semantics", email="benchmark@localhost", storage_backend="core.sqlite_dos",
        storage_config={"filepath": str(folder / "storage")},
    )  # fmt: skip
    config.store()
    load_profile("semantics")


class Filler:
    """Writes nodes in bulk."""

    def __init__(self, n_results: int) -> None:
        from aiida.orm import User

        self.n_results = n_results
        self.random = random.Random(1)
        self.user = User.collection.get_default().pk
        self.templates: dict[str, Json] = {}
        self.nodes: list[Json] = []
        self.links: list[Json] = []

    def fill(self) -> dict[str, str]:
        """Write everything; return the names that questions need."""
        from aiida_finales.broker.registration import add_tenant
        from aiida_finales.operations.platform.installation import setup_capabilities

        setup_capabilities()
        keys = [("two_electrode", "conductivity"), ("empirical_model", "conductivity"), ("cycling", "capacity"),
                ("degradation_model", "degradationEOL")]  # fmt: skip
        offers = [{"quantity": quantity, "method": method, "limitations": {}} for method, quantity in keys]
        self.tenant = add_tenant("bench", offers)
        samples = [self.add(self.sample(f"{kind}-1", kind)) for kind in ("stock", "vial")]
        self.make(samples[0], samples[1])
        results = [self.add_result(number) for number in range(self.n_results)]
        cells = [self.add_cell(number, samples[1]) for number in range(N_CELLS)]
        suggestion = [self.add_suggestion(step, results) for step in range(N_SUGGESTIONS)][-1]
        self.write()
        return {"vial": "vial-1", "cell": cells[-1]["attributes"]["identity"], "tenant": "bench",
                "suggestion": suggestion["uuid"], "request": results[0]["attributes"]["request_uuid"]}  # fmt: skip

    def add_result(self, number: int) -> Json:
        """Add a request, the processes that serve it, and its result."""
        from aiida_finales.schemas.chemicals import get_chemical

        method = ("two_electrode", "empirical_model")[number % 2]
        draw = random.Random(number // 2)
        salt, ec = draw.uniform(0.02, 0.12), draw.uniform(0.1, 0.5)
        shares = {"LiPF6": salt, "EC": ec, "EMC": 1 - salt - ec}
        parameters = {"formulation": _formulation(shares), "temperature": draw.choice([288.15, 298.15, 308.15])}
        value = self.random.uniform(0.1, 1.0)
        body = {"values": [value, value * 1.01], "temperature": parameters["temperature"],
                "meta": {"success": number % 50 != 7, "rating": 4}}  # fmt: skip
        data = {"run_info": {"formulation": parameters["formulation"], "internal_reference": ""}, "conductivity": body}
        request = self.add_request("conductivity", method, parameters)
        changes = {
            "data": data, "parameters": parameters, "request_uuid": request["uuid"], "value": value,
            "temperature": parameters["temperature"], "success": body["meta"]["success"],
            "fractions": {get_chemical(name).inchikey: share for name, share in shares.items()},
        }  # fmt: skip
        is_bad = number % 100 == 3
        state = {"serial": 1, "status": "deleted", "reason": "a bubble"} if is_bad else {"status": "original"}
        result = self.add_like(self.make_result("conductivity", method, data, parameters), changes, state)
        self.serve(request, result)
        return result

    def make_result(self, quantity: str, method: str, data: Json, parameters: Json, **others: Any) -> Json:
        """Return a result made by its class, once for each method: that takes milliseconds."""
        from aiida_finales.data.capability import find_capability
        from aiida_finales.data.result import ResultData

        if method not in self.templates:
            capability = find_capability(quantity, method)
            node = ResultData(capability, data, parameters, tenant_uuid=self.tenant.tenant_uuid, **others)
            self.templates[method] = self.row(node)
        return self.templates[method]

    def add_like(self, template: Json, changes: Json, state: Json) -> Json:
        """Add a node that differs from another in some attributes."""
        attributes = {**template["attributes"], **changes}
        return self.add({**template, "uuid": self.uuid(), "attributes": attributes, "extras": {"finales": state}})

    def add_request(self, quantity: str, method: str, parameters: Json) -> Json:
        """Add a request that was served."""
        from aiida_finales.data.request import RequestData

        key = f"request for {method}"
        if key not in self.templates:
            self.templates[key] = self.row(RequestData(quantity, {method: parameters}, "benchmark"))
        candidate = {"tenant": self.tenant.tenant_uuid, "node": self.tenant.uuid, "method": method, "kind": "external",
                     "slots": 1}  # fmt: skip
        state = {"serial": 2, "status": "resolved", "node": self.tenant.uuid, "attempt": 1, "candidates": [candidate]}
        return self.add_like(self.templates[key], {"parameters": {method: parameters}}, state)

    def add_cell(self, number: int, vial: Json) -> Json:
        """Add a cell and when it is at its end of life."""
        cell = self.add(self.sample(f"cell-{number}", "cell"))
        self.make(vial, cell)
        formulation = cell["attributes"]["content"]["cell"]["battery_chemistry"]["electrolyte"]
        identity = {"uuid": f"cell-{number}"}
        body = {"end_of_life": 100 + number, "end_of_life_uncertainty": 9.0, "capacity_trajectory": [],
                "capacity_trajectory_uncertainty": [], "meta": {"success": True, "rating": 4},
                "cell_info": identity}  # fmt: skip
        data = {"run_info": {"formulation": formulation, "internal_reference": "x"}, "degradationEOL": body}
        parameters = {"battery_chemistry": {"electrolyte": formulation}, "cell_info": identity}
        request = self.add_request("degradationEOL", "degradation_model", parameters)
        changes = {"data": data, "parameters": parameters, "request_uuid": request["uuid"],
                   "fractions": cell["attributes"]["fractions"]}  # fmt: skip
        template = self.make_result("degradationEOL", "degradation_model", data, parameters, simulated=True)
        self.serve(request, self.add_like(template, changes, {"status": "original"}))
        return cell

    def add_suggestion(self, step: int, results: list[Json]) -> Json:
        """Add a suggestion that learned from results."""
        from aiida_finales.data.suggestion import SuggestionData

        document = {"source": "bench", "step": step, "reason": "best of candidates", "acquisition": 0.1,
                    "predicted": {"mean": 0.9, "sd": 0.1}, "unit": "S/m"}  # fmt: skip
        suggestion = self.add(self.row(SuggestionData(document, {})))
        process = self.add(self.process("process.calculation.calculation.CalculationNode.", "SuggestCalculation"))
        for number, result in enumerate(self.random.sample(results, min(N_LEARNED, len(results)))):
            self.link(result, process, "input_calc", f"results__{number}")
        self.link(process, suggestion, "create", "suggestion")
        return suggestion

    def sample(self, identity: str, kind: str) -> Json:
        """Return a sample of a fixed or, for cells, a drawn formulation."""
        from aiida_finales.data.sample import SampleData
        from aiida_finales.schemas.formulation import make_formulation

        salt = self.random.uniform(0.03, 0.12)
        formulation = make_formulation({"LiPF6": salt, "EC": 0.3, "EMC": 0.7 - salt})
        cell = {"battery_chemistry": {"electrolyte": formulation}, "electrolyte_volume": 35.0}
        content = {"cell": cell} if kind == "cell" else {"formulation": formulation}
        return self.row(SampleData(identity, kind, location={"address": "rack"}, content=content))

    def make(self, source: Json, target: Json) -> None:
        """Add the calculation that made a sample of another."""
        process = self.add(self.process("process.calculation.calculation.CalculationNode.", "AnswerCalculation"))
        self.link(source, process, "input_calc", "samples__source")
        self.link(process, target, "create", "samples__made")

    def serve(self, request: Json, result: Json) -> None:
        """Add the processes between a request and its result."""
        chain = self.add(self.process("process.workflow.workchain.WorkChainNode.", "ServeRequestWorkChain"))
        answer = self.add(self.process("process.calculation.calculation.CalculationNode.", "AnswerCalculation"))
        for source, target, kind, label in (
            (request, chain, "input_work", "request"), (request, answer, "input_calc", "request"),
            (chain, answer, "call_calc", "answer_1"), (answer, result, "create", "result"),
            (chain, result, "return", "result"),
        ):  # fmt: skip
            self.link(source, target, kind, label)

    def process(self, node_type: str, label: str) -> Json:
        """Return a process that has ended."""
        attributes = {"process_label": label, "process_state": "finished", "exit_status": 0, "sealed": True,
                      "version": {"core": "2.9.4", "plugin": "0.1.0"}}  # fmt: skip
        return {"uuid": self.uuid(), "node_type": node_type, "process_type": "aiida.workflows:finales.serve",
                "attributes": attributes, "extras": {}}  # fmt: skip

    def row(self, node: Any) -> Json:
        """Return what the database holds of a node that is not stored."""
        return {"uuid": self.uuid(), "node_type": node.node_type, "process_type": None,
                "attributes": node.base.attributes.all, "extras": node.base.extras.all}  # fmt: skip

    def uuid(self) -> str:
        """Return a UUID that is the same in every run."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def add(self, row: Json) -> Json:
        """Keep a node; ``node`` is its place."""
        row = {**row, "node": len(self.nodes), "label": "", "description": "", "ctime": MOMENT, "mtime": MOMENT,
               "repository_metadata": {}, "user_id": self.user, "dbcomputer_id": None}  # fmt: skip
        self.nodes.append(row)
        return row

    def link(self, source: Json, target: Json, kind: str, label: str) -> None:
        """Keep a link."""
        self.links.append({"input_id": source["node"], "output_id": target["node"], "type": kind, "label": label})

    def write(self) -> None:
        """Write all to the database."""
        from aiida.manage import get_manager
        from aiida.orm.entities import EntityTypes

        storage = get_manager().get_profile_storage()
        rows = [{key: value for key, value in row.items() if key != "node"} for row in self.nodes]
        with storage.transaction():
            pks = storage.bulk_insert(EntityTypes.NODE, rows)
            links = [{**link, "input_id": pks[link["input_id"]], "output_id": pks[link["output_id"]]}
                     for link in self.links]  # fmt: skip
            storage.bulk_insert(EntityTypes.LINK, links)


def _formulation(shares: dict[str, float]) -> list[Json]:
    """Return a formulation in the published form."""
    from aiida_finales.schemas.formulation import make_formulation

    return make_formulation(shares)


def _measure(case: str, names: dict[str, str]) -> None:
    from aiida_finales.fair.graph.document import describe_records
    from aiida_finales.fair.graph.records import read_records
    from aiida_finales.fair.graph.selection import profile_pks
    from aiida_finales.fair.graph.triples import load_store, make_graph
    from aiida_finales.fair.query.ask import ask, list_questions
    from aiida_finales.fair.query.library import as_rdflib
    from aiida_finales.fair.query.store import STORE

    times = [time.process_time()]
    records = read_records(profile_pks())
    times.append(time.process_time())
    descriptions = describe_records(records)
    times.append(time.process_time())
    graph = make_graph(descriptions)
    times.append(time.process_time())
    for figure, start, end in zip(("read_s", "describe_s", "triples_s"), times[:-1], times[1:], strict=True):
        print_row("semantics", case, figure, round(end - start, 3), "s")
    print_row("semantics", case, "load_s", round(times[-1] - times[0], 3), "s")
    print_row("semantics", case, "triples", len(graph), "1")
    wrapped = as_rdflib(graph)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print_row("semantics", case, "memory_mb", round(memory), "MB")
    with tempfile.TemporaryDirectory() as folder:
        load_store(descriptions, Path(folder) / STORE)
        # as in a process that only asks: the collector would visit all this again while an answer is made
        del records, descriptions
        gc.collect()
        gc.freeze()
        for question in list_questions():
            text = question.fill({item.name: names[item.name] for item in question.parameters if item.name in names})
            began = time.process_time()
            n_rows = len(ask(graph, text).rows)
            print_row("semantics", case, f"{question.name}_s", round(time.process_time() - began, 3), "s")
            began = time.process_time()
            n_rdflib = len(list(wrapped.query(text)))
            print_row("semantics", case, f"{question.name}_rdflib_s", round(time.process_time() - began, 3), "s")
            if n_rdflib != n_rows:
                raise SystemExit(f"{question.name}: {n_rdflib} rows by rdflib, but {n_rows} without")
            print_row("semantics", case, f"{question.name}_disk_s", round(_ask_disk(Path(folder), text), 3), "s")
            print_row("semantics", case, f"{question.name}_rows", n_rows, "1")


def _ask_disk(folder: Path, text: str) -> float:
    """Return the CPU seconds of the program that answers a server's question."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "aiida_finales.fair.query.store", "ask", str(folder), "json"]
    subprocess.run(program, input=text.encode(), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
