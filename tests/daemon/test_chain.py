"""From an electrolyte to the end of life of cells, through the real daemon and the simulated laboratory."""

from __future__ import annotations

import json
import statistics

import pytest

from tests.daemon.conftest import PATIENCE, Laboratory

pytestmark = pytest.mark.daemon

CHEMISTRY = {"electrolyte": {"LiPF6": 0.0824, "EC": 0.3086, "EMC": 0.609}}
N_CELLS = 2
STATES = "from aiida_finales.broker.requests import open_states"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A laboratory that builds two cells at a time, in which people carry the samples."""
    with Laboratory(tmp_path_factory.mktemp("chain")) as laboratory:
        laboratory.create("--transport", "people", "--chain", f"batch_volume={N_CELLS}", "--chain", "number_cycles=60")
        laboratory.start()
        yield laboratory


def finales(lab, *command):
    return json.loads(lab.run("aiida-finales", *command, "--format", "json"))


def post_chain(lab):
    path = lab.folder / "request.json"
    parameters = {"battery_chemistry": CHEMISTRY, "cell_info": {}}
    path.write_text(json.dumps({"quantity": "degradationEOL", "parameters": {"degradation_workflow": parameters}}))
    return finales(lab, "request", "post", str(path))["pk"]


def wait_for_task(lab, n_done):
    """Return the task for people that comes after so many."""
    imports = "from aiida_finales.operations.request.people import find_tasks; " + STATES
    lab.wait_for_value(imports, "list(find_tasks(open_states()))")
    (task,) = finales(lab, "human", "list")
    assert task["what"].startswith("carry "), n_done
    return task


def wait_for_status(lab, pk, status):
    lab.wait_for_value("from aiida_finales.broker.state import read_state", f"read_state({pk})['status'] == {status!r}")
    return finales(lab, "request", "show", str(pk))


def ledger(lab):
    lines = (lab.laboratory / "inventory" / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def carry(lab, task, address):
    """Be the person: carry the samples in the (simulated) laboratory, then say so."""
    inventory = ("--inventory", str(lab.laboratory / "inventory"))
    for sample in task["samples"]:
        lab.run("finales-lab", "move", sample, address, *inventory)
    labels = [part for sample in task["samples"] for part in ("--sample", sample)]
    lab.run("aiida-finales", "human", "done", str(task["pk"]), *labels, "--who", "Ada")


@pytest.fixture(scope="module")
def chain(cells):
    """The facts of one chain, in which a device dies in the middle and people carry the samples."""
    inventory = ("--inventory", str(cells.laboratory / "inventory"))
    cells.run("finales-lab", "fault", "die_after_act", "--device", "autobass", *inventory)
    pk = post_chain(cells)
    vial = wait_for_task(cells, 0)
    with pytest.raises(RuntimeError, match="give what is written on each sample"):
        cells.run("aiida-finales", "human", "done", str(vial["pk"]))
    with pytest.raises(RuntimeError, match=r"another-vial was given, but vial-\w+ is to be carried"):
        cells.run("aiida-finales", "human", "done", str(vial["pk"]), "--sample", "another-vial")
    carry(cells, vial, "AutoBASS")
    waiting = wait_for_operator(cells)
    cells.run(
        *("aiida-finales", "request", "resolve", str(waiting["pk"]), "--operator"),
        *("--outcome", "not-done", "--reason", "the tray is empty: the cells were thrown away"),
    )
    task = wait_for_task(cells, 1)
    carry(cells, task, "Cycler")
    shown = wait_for_status(cells, pk, "resolved")
    return {"request": shown, "vial": vial["samples"][0], "cells": task["samples"], "stopped": waiting}


def wait_for_operator(lab):
    """Return the request that waits for an operator."""
    waiting = "[pk for pk, state in open_states().items() if state.get('needs_operator')]"
    return finales(lab, "request", "show", str(lab.wait_for_value(STATES, waiting)[0]))


def test_every_cell_has_an_end_of_life(cells, chain):
    result = finales(cells, "result", "show", chain["request"]["result"])
    predicted = result["data"]["degradationEOL"]
    assert len(predicted) == N_CELLS
    assert sorted(item["cell_info"]["uuid"] for item in predicted) == sorted(chain["cells"])
    assert result["simulated"]
    valid = [item["end_of_life"] for item in predicted if item["meta"]["success"]]
    assert result["value"] == pytest.approx(statistics.median(valid))
    assert all(len(item["capacity_trajectory"]) >= min(40, item["end_of_life"]) for item in predicted)


def test_a_driver_that_died_waited_for_an_operator_with_a_sentence(chain):
    assert "autobass" in chain["stopped"]["needs_operator"].lower()
    assert "settle" in chain["stopped"]["needs_operator"]


def test_status_shows_the_steps_by_their_names(cells, chain):
    process = chain["request"]["processes"][0].split(">")[0].removeprefix("<")
    tree = cells.run("verdi", "process", "status", process)
    steps = ("cycling_channel/service", "electrolyte/flow", "transport/transport_service")
    for name in (*steps, "cell_assembly/autobass_assembly", "capacity/cycling", "degradationEOL/degradation_model"):
        assert name in tree


def test_why_leads_from_the_end_of_life_to_the_stock_solutions(cells, chain):
    words = cells.run("aiida-finales", "why", chain["request"]["result"])
    for identity in (chain["vial"], *chain["cells"], "stock-LiPF6-in-EC-EMC"):
        assert identity in words


def test_people_and_places_are_remembered(cells, chain):
    shown = finales(cells, "sample", "show", chain["vial"])
    assert shown["location"] == "AutoBASS"
    assert any("Ada" in line and "-> AutoBASS" in line for line in shown["history"])
    at_cycler = {row["identity"] for row in finales(cells, "sample", "list", "--at", "Cycler")}
    assert at_cycler >= set(chain["cells"])


def test_the_cells_are_cycled_on_after_the_prediction(cells, chain):
    imports = "from aiida_finales.data.result import ResultData"
    n_capacities = "orm.QueryBuilder().append(ResultData, filters={'attributes.quantity': 'capacity'}).count()"
    cells.wait_for_value(imports, f"{n_capacities} >= {2 * N_CELLS}")
    rows = finales(cells, "result", "list", "--quantity", "capacity")
    shown = [finales(cells, "result", "show", row["uuid"])["data"] for row in rows]
    assert sorted(len(data["capacity_list"]) // 2 for data in shown) == [40] * N_CELLS + [60] * N_CELLS


def test_nothing_was_done_twice(cells, chain):
    keys = [(line["device"], line["key"]) for line in ledger(cells)]
    twice = {key for key in keys if keys.count(key) > 1 and key[0] != "autobass"}
    assert not twice
    assert chain["request"]["status"] == "resolved"


def test_an_invalid_vial_takes_its_results_with_it(cells, chain):
    cells.run("aiida-finales", "sample", "invalidate", chain["vial"], "--reason", "it was mislabelled", "--force")
    assert finales(cells, "result", "show", chain["request"]["result"])["doubtful"]
    for cell in chain["cells"]:
        assert finales(cells, "sample", "show", cell)["status"] == "invalid"
    stock = finales(cells, "sample", "show", "stock-LiPF6-in-EC-EMC")
    assert stock["status"] == "good"


@pytest.mark.slow
def test_a_refused_transport_ends_the_chain_and_gives_the_channels_back(cells, chain):
    pk = post_chain(cells)
    task = wait_for_task(cells, 0)
    cells.run("aiida-finales", "human", "refuse", str(task["pk"]), "--reason", "the vial fell")
    shown = wait_for_status(cells, pk, "retracted")
    assert "vial transport failed: " in shown["reason"]
    assert "the vial fell" in shown["reason"]

    def free():
        rows = finales(cells, "request", "list", "--quantity", "cycling_channel")
        return [row["status"] for row in rows].count("resolved") == 4

    assert cells.wait_until(free, PATIENCE)


@pytest.mark.slow
def test_the_doctor_gives_back_the_channels_of_a_chain_that_was_killed(cells, chain):
    pk = post_chain(cells)
    wait_for_task(cells, 0)
    cells.run("aiida-finales", "request", "retract", str(pk), "--reason", "not needed", "--force")

    def forgotten():
        document = json.loads(cells.run("aiida-finales", "doctor", "--format", "json", is_checked=False))
        return [check["words"] for check in document["checks"] if check["name"] == "channels"]

    assert cells.wait_until(lambda: len(forgotten()) == 1, PATIENCE)
    assert "belongs to a chain that was killed" in forgotten()[0]
    cells.cure()
    assert forgotten() == []

    def released():
        rows = finales(cells, "request", "list", "--quantity", "cycling_channel")
        return {row["status"] for row in rows} == {"resolved"}

    assert cells.wait_until(released, PATIENCE)
