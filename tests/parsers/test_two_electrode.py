"""What becomes of the outputs of the conductivity robot's driver; the files are real, see regenerate.py beside them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.plugins import ParserFactory

from aiida_finales.lab.driver.evaluation import read_output
from aiida_finales.lab.simulated.asab import CELL_CONSTANT
from aiida_finales.schemas.formulation import fractions
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity

CASES = Path(__file__).parents[1] / "fixtures" / "two_electrode"


@pytest.fixture
def parse(registered, make_request, add_offer, tmp_path):
    """Return a function that parses the files of a case through a real node: outputs and exit status."""
    tenant = add_offer("robot")
    computer = orm.Computer.collection.get_or_create(
        label="lab", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )[1].store()

    def _parse(case, *, without=()):
        folder = tmp_path / case
        shutil.copytree(CASES / case, folder)
        for name in without:
            (folder / name).unlink()
        node = orm.CalcJobNode(computer=computer, process_type="aiida.calculations:finales.driver")
        node.set_option("resources", {"num_machines": 1})
        node.set_option("output_filename", "stdout")
        inputs = {"request": make_request().store(), "tenant": tenant, "outputs": orm.List(["output.json"]).store()}
        for label, item in inputs.items():
            node.base.links.add_incoming(item, LinkType.INPUT_CALC, label)
        node.store()
        retrieved = orm.FolderData()
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        parser = ParserFactory("finales.two_electrode")
        outputs, calculation = parser.parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(folder)
        )
        return outputs or {}, calculation

    return _parse


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def test_good_output(parse, data_regression):
    outputs, calculation = parse("good")
    assert calculation.exit_status == 0
    attributes = rounded(outputs["result"].base.attributes.all)
    assert attributes.pop("tenant_uuid")
    assert attributes.pop("request_uuid")
    assert attributes.pop("capability")
    assert attributes["valid"]
    data_regression.check(attributes)


def test_good_output_is_true_and_raw_data_are_kept(parse):
    outputs, _ = parse("good")
    raw = json.loads((CASES / "good" / "output.json").read_text())
    truth = benchmark_conductivity(fractions(raw["formulation"]), raw["temperature"])
    assert outputs["result"].value == pytest.approx(truth, rel=0.08)  # 2 % noise between samples
    assert outputs["spectrum"].get_array("frequency").tolist() == raw["spectrum"]["frequency_Hz"]
    assert outputs["spectrum"].get_array("impedance").imag.tolist() == raw["spectrum"]["imaginary_ohm"]
    impedance = outputs["result"].data["impedance"]
    resistance = impedance["resistance_ohm"] - impedance["contact_resistance_ohm"]
    assert outputs["result"].value == pytest.approx(CELL_CONSTANT / resistance)
    assert outputs["result"].base.attributes.get("simulated") is True
    assert outputs["result"].fractions == pytest.approx(fractions(raw["formulation"]))


def test_a_noisy_spectrum_is_rated_lower(parse):
    assert parse("noisy")[0]["result"].rating < parse("good")[0]["result"].rating


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("bad_input", 401, "the driver refuses the input: .*settings.unknown"),
        ("out_of_reach", 402, "the device cannot do this: .*out of reach .*nearest is"),
        ("unavailable", 403, "the device is not available: .*does not answer"),
        ("fault", 404, "the device failed: .*nothing was dosed"),
        ("needs_operator", 405, "an operator must look at the device: .*--settle done"),
        ("journal_lost", 406, "an operator must look, the journal has gaps: .*was deleted, or is an old copy"),
        ("died", 350, "no complete output"),
        ("cut", 350, "no complete output"),
        ("without_end", 350, "no complete output"),
        ("flat", 420, "cannot be evaluated"),
        ("settled", 420, "cannot be evaluated: the device acted, but its result is lost; settled by Ada: the vial"),
    ],
)
def test_exit_code(parse, case, status, words):
    outputs, calculation = parse(case)
    assert calculation.exit_status == status
    assert "result" not in outputs
    assert re.search(words, calculation.exit_message)


def test_success_without_output_file_is_none(parse):
    outputs, calculation = parse("good", without=["output.json"])
    assert calculation.exit_status == 350
    assert "result" not in outputs


@pytest.mark.parametrize("missing", ["status", "stdout"])
def test_a_job_that_was_cut_off_is_no_success(parse, missing):
    outputs, calculation = parse("good", without=[missing])
    assert calculation.exit_status in range(300, 400)
    assert "result" not in outputs


@pytest.mark.parametrize("text", ["", "[]", "null", '{"end": "something else"}', '{"success": true}', "\x00"])
def test_only_the_end_marker_makes_an_output(tmp_path, text):
    path = tmp_path / "output.json"
    path.write_text(text)
    assert read_output(path) is None
    assert read_output(tmp_path / "absent.json") is None
