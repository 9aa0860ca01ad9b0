"""Models of the lifetime as nodes, and answers to requests for an end of life."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed

from aiida_finales.broker.registration import add_capability, add_tenant
from aiida_finales.calculations.lifetime import (
    LEAST_CYCLES,
    NOT_TRAINABLE,
    find_twin_model,
    make_dataset_node,
    predict_end_of_life,
    rate,
    train_lifetime_model,
    train_on_twin,
)
from aiida_finales.data.capability import find_capability
from aiida_finales.data.lifetime_model import LifetimeModelData
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.science.lifetime import LifetimePrediction, predict
from aiida_finales.science.lifetime_data import make_twin_dataset

QUANTITY, METHOD = "degradationEOL", "degradation_model"
FORMULATION = make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})


@pytest.fixture(scope="module")
def twin():
    return make_twin_dataset(48, 1)


@pytest.fixture(scope="module")
def profile(registered):
    add_capability(QUANTITY, METHOD, parameters_json_schema(QUANTITY, METHOD), result_json_schema(QUANTITY, METHOD))
    return registered


@pytest.fixture(scope="module")
def model(profile):
    return train_on_twin(48, 1)


@pytest.fixture(scope="module")
def tenant(profile):
    return add_tenant("predictor", [{"quantity": QUANTITY, "method": METHOD, "limitations": {}}], kind="internal")


@pytest.fixture(scope="module")
def cell(twin):
    """A simulated cell that lives on after the window."""
    return next(cell for cell in make_twin_dataset(40, 7).cells if cell.end_of_life > 50)


@pytest.fixture
def ask(model, tenant):
    """Return a function that posts a request for an end of life and returns the answer and its process."""

    def post(input_cycles, features=None, *, chemistry=None, **evidence):
        parameters = {
            "battery_chemistry": {"electrolyte": FORMULATION, **(chemistry or {})},
            "input_cycles": input_cycles,
            "cell_info": {"cell_name": "cell 7"},
            **(features or {}),
        }
        request = RequestData(QUANTITY, {METHOD: parameters}, "tester").store()
        outputs, node = predict_end_of_life.run_get_node(request=request, tenant=tenant, model=model, **evidence)
        assert node.is_finished_ok, node.exit_message
        # `result` alone is what the outputs of one name become
        return outputs["result"] if isinstance(outputs, dict) else outputs, node

    return post


def alternate(discharges):
    """Return charge and discharge capacities in turn."""
    return [float(value) for pair in zip(1.001 * np.asarray(discharges), discharges, strict=True) for value in pair]


class TestModel:
    def test_node_says_where_it_comes_from(self, model, twin) -> None:
        assert isinstance(model, LifetimeModelData)
        assert model.is_stored
        assert (model.method, model.is_simulated) == ("gp", True)
        assert model.end_of_life_rule == {"threshold": 0.8, "reference_Ah": None, "persistence": 3}
        data = model.training["data"]
        dataset = orm.load_node(data["uuid"])
        assert data["sha256"] == hashlib.sha256(dataset.get_content("rb")).hexdigest()
        assert data["sha256"] == hashlib.sha256(twin.to_json().encode()).hexdigest()
        assert data["n_cells"] == len(twin.cells)
        assert model.training["seed"] == 0
        assert set(model.training["versions"]) == {"aiida_finales", "python", "numpy", "scipy"}
        assert model.training["hardware"]["processor"]
        assert 0 < model.validation["mape"] < 15
        assert model.creator.inputs.dataset.uuid == dataset.uuid

    def test_is_found_again(self, model) -> None:
        assert find_twin_model(48, 1).uuid == model.uuid
        assert find_twin_model(47, 1) is None

    def test_loaded_from_the_database_it_predicts_the_same(self, model, cell) -> None:
        asked = cell.capacities[:40], cell.features
        assert predict(orm.load_node(model.pk).load(), *asked) == predict(model.load(), *asked)

    def test_is_immutable(self, model) -> None:
        with pytest.raises(ModificationNotAllowed):
            model.base.attributes.set("method", "other")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"method": "oracle"}, "accepted are gp and lstm"),
            ({"group": "test9"}, "'test9' was asked for"),
            ({"depth": 3}, "accepted for gp"),
        ],
    )
    def test_settings_that_make_no_sense(self, profile, twin, settings, words) -> None:
        _, node = train_lifetime_model.run_get_node(make_dataset_node(twin), orm.Dict(settings))
        assert node.exit_status == NOT_TRAINABLE == 420
        assert words in node.exit_message

    def test_file_of_something_else(self, profile) -> None:
        file = orm.SinglefileData.from_string("a,b\n", filename="a.csv")
        _, node = train_lifetime_model.run_get_node(file, orm.Dict({}))
        assert node.exit_status == NOT_TRAINABLE
        assert "no dataset of lifetimes" in node.exit_message


class TestPrediction:
    def test_answer(self, ask, cell, model) -> None:
        result, node = ask(alternate(cell.capacities[:40]), cell.features)
        body = result.data["degradationEOL"]
        expected = predict(model.load(), cell.capacities[:40], cell.features)
        assert body["end_of_life"] == expected.end_of_life
        assert body["end_of_life_uncertainty"] == pytest.approx(expected.sd, rel=1e-6)
        assert body["end_of_life"] == pytest.approx(cell.end_of_life, rel=0.25)
        assert body["end_of_life_reached"] is True
        assert body["capacity_trajectory"] == pytest.approx([1e3 * value for value in expected.trajectory])
        assert len(body["capacity_trajectory_uncertainty"]) == len(body["capacity_trajectory"]) == expected.end_of_life
        definition = {"threshold": 0.8, "reference": pytest.approx(cell.capacities[0]), "persistence": 3}
        assert body["end_of_life_definition"] == definition
        assert body["meta"]["success"] is True
        assert body["meta"]["method"] == "gp"
        assert body["cell_info"] == {"cell_name": "cell 7"}
        assert result.base.attributes.get("valid")
        assert result.base.attributes.get("simulated")
        assert result.creator.pk == node.pk
        assert node.inputs.model.uuid == model.uuid

    def test_end_of_life_within_the_data(self, ask, cell) -> None:
        """Features are not needed then."""
        result, _ = ask(alternate(cell.capacities[: cell.end_of_life + 5]))
        body = result.data["degradationEOL"]
        assert (body["end_of_life"], body["end_of_life_uncertainty"]) == (cell.end_of_life, 0.0)
        assert body["meta"]["rating"] == 5

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "has 0 cycles"),
            ([], "has 0 cycles"),
            (alternate(np.full(39, 3e-3)), f"has 39 cycles, accepted are {LEAST_CYCLES}"),
            (alternate(np.tile([3e-3, 2e-3], 20)), "from one cycle to the next"),
            (alternate(np.linspace(2e-3, 3e-3, 40)), "the capacity grows"),
            (alternate(np.full(40, -3e-3)), "accepted are numbers above 0"),
            (alternate(np.linspace(3e-3, 2.8e-3, 40)), "also needs delta_coulombic_efficiency"),
        ],
        ids=["none", "empty", "few", "mixed", "growing", "negative", "no-features"],
    )
    def test_what_cannot_be_predicted_is_answered(self, ask, given, words) -> None:
        result, _ = ask(given)
        meta = result.data["degradationEOL"]["meta"]
        assert (result.is_successful, result.rating) == (False, 1)
        assert words in meta["reason"]
        assert result.base.attributes.get("valid")

    def test_wrong_unit(self, ask, cell) -> None:
        """Published requests give mAh where Ah is asked for."""
        chemistry = {"cathode": {"material": FORMULATION, "mass_loading": 2.0, "size": 1.54}}
        result, _ = ask(alternate(1e3 * cell.capacities[:40]), cell.features, chemistry=chemistry)
        assert not result.is_successful
        assert "look like mAh" in result.data["degradationEOL"]["meta"]["reason"]

    def test_published_request(self, ask, shared_data) -> None:
        """Its 250 real cycles are in mAh; in Ah its end of life is within the data, by the rule of the laboratory."""
        file = shared_data / "finales" / "examples" / "requests" / "degradationEOL" / "degradation_model.json"
        given = json.loads(file.read_text())["parameters"]["degradation_model"]
        chemistry = {"cathode": given["battery_chemistry"]["cathode"]}
        refused, _ = ask(given["input_cycles"], chemistry=chemistry)
        assert "look like mAh" in refused.data["degradationEOL"]["meta"]["reason"]
        answered, _ = ask([value / 1000 for value in given["input_cycles"]], chemistry=chemistry)
        body = answered.data["degradationEOL"]
        assert body["meta"]["method"] == "observed"
        assert body["end_of_life"] == 15
        assert body["capacity_trajectory"][0] == pytest.approx(given["input_cycles"][1])

    def test_evidence_is_in_the_provenance(self, ask, cell, make_data) -> None:
        capability = find_capability("conductivity", "two_electrode")
        evidence = ResultData(capability, make_data(), {"formulation": FORMULATION}).store()
        result, node = ask(alternate(cell.capacities[:40]), cell.features, result_0=evidence)
        assert node.inputs.result_0.uuid == evidence.uuid
        _, node = ask(alternate(cell.capacities[:40]), cell.features, evidence={"cell_1": evidence})
        assert evidence.uuid in {link.node.uuid for link in node.base.links.get_incoming().all()}
        assert result.is_successful


RATINGS = [(100, 0.0, 5), (100, 5.0, 5), (100, 9.0, 4), (100, 15.0, 3), (100, 30.0, 2), (100, 90.0, 1), (None, 1.0, 2)]


@pytest.mark.parametrize(("end_of_life", "sd", "rating"), RATINGS)
def test_rating(end_of_life, sd, rating) -> None:
    assert rate(LifetimePrediction(end_of_life, sd, [], [], "gp", reached=end_of_life is not None)) == rating
