"""Real jobs of the real driver on a local computer."""

from __future__ import annotations

import json
import shutil

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.calculations.driver import DRIVER_REMEDIES, DriverCalculation, prepare_driver
from aiida_finales.operations.platform.installation import COMPUTER


@pytest.fixture
def dose(laboratory, make_request, tmp_path):
    """Return a function that runs the driver for a key; and where its device keeps its traces."""
    orm.load_computer(COMPUTER).set_minimum_job_poll_interval(0.0)
    tenant = laboratory[0]
    settings = tenant.find_offer("conductivity", "two_electrode")["settings"]
    request = make_request(temperature=301.15).store()

    def run(key, **driver):
        process, inputs = prepare_driver(
            "finales.two_electrode",
            request,
            tenant,
            {**settings, "driver": driver},
            method="two_electrode",
            key=key,
        )
        return run_get_node(process, **inputs)

    def doses():
        path = tmp_path / "asab" / "doses.jsonl"
        return [json.loads(line)["key"] for line in path.read_text().splitlines()] if path.exists() else []

    run.doses = doses
    run.request = request
    return run


def test_the_same_key_doses_once_and_answers_twice(dose):
    first, node = dose("key-1")
    assert node.exit_status == 0, node.exit_message
    assert dose.doses() == ["key-1"]
    again, repeated = dose("key-1")
    assert repeated.exit_status == 0
    assert dose.doses() == ["key-1"]
    assert again["result"].value == first["result"].value
    assert first["result"].request_uuid == dose.request.uuid
    assert first["result"].creator.pk == node.pk
    assert "spectrum" in node.outputs
    assert "already" in node.outputs.stderr.get_content() or "already" in repeated.outputs.stderr.get_content()


def test_a_driver_that_dies_leaves_no_output_and_then_needs_an_operator(dose):
    node = dose("key-2", fault="die_after_dose")[1]
    assert (node.exit_status, DRIVER_REMEDIES[node.exit_status]) == (350, "same-key")
    again = dose("key-2", fault="die_after_dose")[1]
    assert (again.exit_status, DRIVER_REMEDIES[again.exit_status]) == (405, "operator")
    assert dose.doses() == ["key-2"]


def test_a_key_that_is_handed_over_again_to_a_computer_that_lost_everything_needs_an_operator(dose, tmp_path):
    assert dose("key-4")[1].exit_status == 0
    doses = (tmp_path / "asab" / "doses.jsonl").read_text()
    for name in ("asab", "asab.begun"):
        shutil.rmtree(tmp_path / name)
    again = dose("key-4")[1]
    assert (again.exit_status, DRIVER_REMEDIES[again.exit_status]) == (406, "operator")
    assert "the key was handed over at" in again.exit_message
    assert dose.doses() == [], doses
    assert dose("key-5")[1].exit_status == 0, "what is handed over for the first time cannot have been done"


def test_a_device_that_is_away_may_be_tried_again(dose):
    outputs, node = dose("key-3", fault="device_unavailable")
    assert (node.exit_status, DRIVER_REMEDIES[node.exit_status]) == (403, "later")
    assert "result" not in outputs
    assert dose.doses() == []


def test_exit_codes_have_remedies_or_are_given_up():
    own = {code.status: label for label, code in DriverCalculation.exit_codes.items() if code.status >= 350}
    given_up = {label for status, label in own.items() if status not in DRIVER_REMEDIES}
    # wrong input stays wrong, and so do data that cannot be evaluated
    assert given_up >= {"ERROR_DRIVER_INPUT", "ERROR_UNUSABLE_DATA"}
    assert not given_up & {"ERROR_NO_OUTPUT", "ERROR_DRIVER_UNAVAILABLE", "ERROR_NEEDS_OPERATOR"}
