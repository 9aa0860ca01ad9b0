"""Models of the lifetime as nodes, and answers to requests for an end of life."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed

from aiida_finales.broker.registration import add_capability, add_tenant, check_settings
from aiida_finales.calculations.lifetime import (
    LEAST_CYCLES,
    NOT_TRAINABLE,
    SIMULATED_ONLY,
    _missing_inputs,
    check_offered_model,
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
from aiida_finales.exceptions import ImplausibleError, InputError
from aiida_finales.schemas.export import parameters_json_schema, result_json_schema
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.science.lifetime.checks import demand_features
from aiida_finales.science.lifetime.data import MATR_TASK, LifetimeDataset, make_twin_dataset
from aiida_finales.science.lifetime.model import CellRecord, LifetimePrediction, predict

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


@pytest.fixture
def ask_of(tenant):
    """Return a function that asks a model through the operation and returns the answer and its meta."""

    def post(model, discharges, features):
        parameters = {
            "battery_chemistry": {"electrolyte": FORMULATION},
            "input_cycles": alternate(discharges),
            "cell_info": {},
            **features,
        }
        request = RequestData(QUANTITY, {METHOD: parameters}, "tester").store()
        result = predict_end_of_life(request=request, tenant=tenant, model=model)
        body = (result["result"] if isinstance(result, dict) else result).data["degradationEOL"]
        return body, body["meta"]

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
            ({"method": "oracle"}, "accepted are gp, lstm, generator, fade"),
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
        assert body["meta"].get("method") == "observed", body["meta"]
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


@pytest.mark.parametrize(
    ("name", "slip", "words"),
    [
        ("capacity_vector_variance", np.exp, "the number itself: give its natural logarithm"),
        ("capacity_vector_variance", lambda right: right / np.log(10), "a decadic logarithm"),
        ("capacity_vector_variance", lambda right: right + 2 * np.log(1e3), "mAh instead of Ah"),
    ],
)
def test_feature_in_a_wrong_unit(ask, cell, name, slip, words) -> None:
    """It is refused, the slip is named, and the default model says what it learned from."""
    result, _ = ask(alternate(cell.capacities[:40]), {**cell.features, name: float(slip(cell.features[name]))})
    meta = result.data["degradationEOL"]["meta"]
    assert (result.is_successful, result.rating) == (False, 1)
    assert f"{name} is " in meta["reason"]
    assert words in meta["reason"]
    assert "simulated cells only" in meta["reason"]


def test_a_feature_that_looks_like_mV_is_refused_at_the_door(ask, cell) -> None:
    """No request is stored for it."""
    features = {**cell.features, "voltage_gap_charge_discharge": 1e3 * cell.features["voltage_gap_charge_discharge"]}
    with pytest.raises(ImplausibleError, match=r"voltage_gap_charge_discharge: .* looks like mV"):
        ask(alternate(cell.capacities[:40]), features)


def test_default_model_refuses_cells_unlike_the_simulated(ask, cell) -> None:
    """A cell of 1.1 Ah that hardly fades is no coin cell of the simulation."""
    result, _ = ask(alternate(np.linspace(1.07, 1.06, 60)), cell.features)
    reason = result.data["degradationEOL"]["meta"]["reason"]
    assert not result.is_successful
    assert "the capacity at the begin is 1.07 Ah" in reason
    assert "simulated cells only" in reason


@pytest.mark.parametrize("value", ["-4.2", [1.0], True, {}, float("nan"), float("inf")])
def test_feature_that_is_no_number(value) -> None:
    """Parameters that the schema does not know may be anything."""
    with pytest.raises(InputError, match="accepted is a finite number"):
        demand_features({"log10_var_dQ": value}, ["log10_var_dQ"])


def test_not_reached_is_no_success(ask, model, monkeypatch, cell) -> None:
    loaded = replace(model.load(), horizon=45)
    monkeypatch.setattr(LifetimeModelData, "load", lambda _self: loaded)
    result, _ = ask(alternate(cell.capacities[:40]), cell.features)
    body = result.data["degradationEOL"]
    assert (body["end_of_life_reached"], body["end_of_life_uncertainty"]) == (False, 0.0)
    assert (result.is_successful, result.rating) == (False, 1)
    assert "not reached within the 45 cycles" in body["meta"]["reason"]


def make_published_like(n_cells=30):
    """Return simulated cells in the form of the published ones: from cycle 2 on, with a feature of the voltage."""
    cells = []
    for number in range(n_cells):
        generator = np.random.default_rng(number)
        variance = generator.uniform(-5, -3)
        life = 700 * 10 ** (-0.3 * (variance + 4) + 0.02 * generator.standard_normal())
        k = np.arange(2, round(1.2 * life))
        capacities = 1.07 * (1 - 0.1776 * (k / life) ** 3) * (1 + 1e-4 * generator.standard_normal(len(k)))
        features = {"log10_var_dQ": variance, "log10_min_dQ": variance / 3, "log10_mean_dQ": variance / 3}
        life_found = MATR_TASK.rule.find(capacities, 2)
        cells.append(CellRecord(f"c{number}", capacities, features, life_found, protocol=f"p{number // 2}"))
    return LifetimeDataset(tuple(cells), MATR_TASK, "like published", simulated=True)


@pytest.fixture(scope="module")
def published_like(profile):
    return train_lifetime_model(make_dataset_node(make_published_like()), orm.Dict({"method": "gp"}))


class TestModelOfPublishedCells:
    """A model that begins with cycle 2 and needs what the capability does not declare."""

    @pytest.mark.parametrize("n_cycles", [100, 99])
    def test_is_asked_through_the_platform(self, ask_of, published_like, n_cycles) -> None:
        cell = make_published_like(31).cells[-1]
        body, meta = ask_of(published_like, [1.0, *cell.capacities[: n_cycles - 1]], cell.features)
        assert meta["success"], meta
        assert body["end_of_life"] == pytest.approx(cell.end_of_life, rel=0.2)
        # cycle 1 of the request is not what the model calls its first
        assert body["capacity_trajectory"][:2] == pytest.approx([1000.0, 1e3 * cell.capacities[0]], rel=1e-5)
        assert len(body["capacity_trajectory"]) == body["end_of_life"]

    def test_lacking_feature_is_named(self, ask_of, published_like) -> None:
        cell = make_published_like(31).cells[-1]
        _, meta = ask_of(published_like, [1.0, *cell.capacities[:99]], {})
        assert not meta["success"]
        assert "also needs log10_var_dQ" in meta["reason"]

    def test_tenant_is_told_what_requests_must_give(self, published_like, model) -> None:
        remarks = check_settings([{"quantity": QUANTITY, "method": METHOD, "settings": {"model": published_like.uuid}}])
        assert "does not ask for log10_var_dQ: each request must give it" in remarks[0]
        assert check_offered_model({"model": model.uuid}) == [SIMULATED_ONLY]

    def test_input_that_requests_use_for_something_else(self, profile) -> None:
        with pytest.raises(InputError, match="input_cycles, which requests"):
            _missing_inputs(["input_cycles"])

    def test_model_that_is_none(self, profile) -> None:
        with pytest.raises(InputError, match="accepted is a model of the lifetime"):
            check_offered_model({"model": orm.Int(1).store().uuid})
        with pytest.raises(InputError, match="is not here"):
            check_offered_model({"model": "11111111-1111-4111-8111-111111111111"})


def test_model_that_tells_no_more_than_a_constant_is_not_offered(profile) -> None:
    """Features that say nothing: the model is trained, marked, and refused as an offer."""
    data = make_published_like()
    generator = np.random.default_rng(5)
    cells = tuple(replace(c, features={n: float(generator.uniform(-5, -3)) for n in c.features}) for c in data.cells)
    task = replace(MATR_TASK, inputs=("log10_var_dQ", "initial"))
    node = train_lifetime_model(make_dataset_node(replace(data, cells=cells, task=task)), orm.Dict({"method": "gp"}))
    assert not node.is_skilled
    offer = {"quantity": QUANTITY, "method": METHOD, "limitations": {}, "settings": {"model": node.uuid}}
    with pytest.raises(InputError, match="is not offered: on protocols left out its error is"):
        add_tenant("guesser", [offer], kind="internal")


RATINGS = [(100, 0.0, 5), (100, 5.0, 5), (100, 9.0, 4), (100, 15.0, 3), (100, 30.0, 2), (100, 90.0, 1), (None, None, 1)]


@pytest.mark.parametrize(("end_of_life", "sd", "rating"), RATINGS)
def test_rating(end_of_life, sd, rating) -> None:
    assert rate(LifetimePrediction(end_of_life, sd, [], [], "gp", reached=end_of_life is not None)) == rating
