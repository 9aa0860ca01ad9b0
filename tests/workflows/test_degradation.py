"""The chain as far as somebody asks, with real drivers in this interpreter; the whole of it needs a daemon."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.data.request import RequestData
from aiida_finales.operations.platform.chain import register_workflow
from aiida_finales.operations.platform.installation import COMPUTER
from aiida_finales.operations.platform.laboratory import setup_laboratory
from aiida_finales.schemas.formulation import find_fractions, make_formulation
from aiida_finales.workflows.serve import ServeRequestWorkChain

CHEMISTRY = {"electrolyte": make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})}


@pytest.fixture(scope="module")
def folder(registered, tmp_path_factory):
    """A laboratory that mixes, with the workflow tenant."""
    folder = tmp_path_factory.mktemp("laboratory")
    setup_laboratory(folder, has_cells=False)
    orm.load_computer(COMPUTER).set_minimum_job_poll_interval(0.0)
    register_workflow()
    return folder


@pytest.fixture(scope="module")
def cells(folder):
    """The same laboratory, which builds and cycles cells as well."""
    setup_laboratory(folder)
    return folder


def serve(quantity, parameters):
    request = RequestData(quantity, {"workflow": parameters}, "tester").store()
    outputs, node = run_get_node(ServeRequestWorkChain, request=request)
    assert node.is_finished_ok, node.exit_message
    return request, outputs["result"]


def asked(request):
    """Return how often each quantity was asked for on behalf of a request."""
    filters = {"attributes.parent": request.uuid}
    query = orm.QueryBuilder().append(RequestData, filters=filters, project="attributes.quantity")
    return Counter(query.all(flat=True))


def acts(folder):
    """Return what devices did: one entry per device and key."""
    lines = (folder / "inventory" / "ledger.jsonl").read_text().splitlines()
    return {(line["device"], line["key"]) for line in map(json.loads, lines) if line.get("device")}


@pytest.mark.usefixtures("folder")
def test_an_electrolyte_is_one_step():
    request, result = serve("electrolyte", {"electrolyte": {"formulation": CHEMISTRY["electrolyte"]}, "volume": 1.0})
    assert asked(request) == {"electrolyte": 1}
    assert (result.quantity, result.method, result.request_uuid) == ("electrolyte", "workflow", request.uuid)
    assert result.keeps_schema
    assert result.is_successful
    assert result.data["electrolyte"]["volume"] == pytest.approx(1.0, rel=0.01)
    assert result.fractions == find_fractions(result.parameters)  # as it was made, not as it was asked for
    assert result.base.attributes.get("simulated")


@pytest.mark.slow
def test_cells_without_a_cycler(cells):
    cell = {"battery_chemistry": CHEMISTRY, "electrolyte_volume": 50.0}
    request, result = serve("cell_assembly", {"cell": cell, "batch_volume": 2})
    assert asked(request) == {"electrolyte": 1, "transport": 1, "cell_assembly": 1}
    assert result.keeps_schema
    assert len(result.data["batch_output"]) == 2
    assert result.parameters["cell"]["electrolyte_volume"] == 50.0


@pytest.mark.slow
def test_capacities_without_a_prediction(cells):
    before = acts(cells)
    said = {"battery_chemistry": CHEMISTRY, "batch_volume": 2, "number_cycles": 12, "c_rate_discharge": 0.5}
    request, result = serve("capacity", said)
    wanted = {"cycling_channel": 2, "electrolyte": 1, "transport": 2, "cell_assembly": 1, "capacity": 2}
    assert asked(request) == wanted  # the channels are reserved and given back
    assert result.keeps_schema
    assert len(result.data["cells"]) == 2
    assert len(result.data["capacity_list"]) == 24
    assert result.data["capacity_list"] in [cell["capacity_list"] for cell in result.data["cells"]]
    assert result.parameters["c_rate_discharge"] == 0.5
    assert result.parameters["battery_chemistry"]["cathode"]["mass_loading"] == 1.0
    made = Counter(device for device, _ in acts(cells) - before)
    assert made == {"asab": 1, "operator": 2, "autobass": 1, "cycler": 2}
