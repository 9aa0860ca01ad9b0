"""Answers to requests for a curve, before the first cycle and from the first cycles, and for campaigns."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm

from aiida_finales.broker.registration import add_tenant
from aiida_finales.calculations.lifetime_curve import (
    NO_ELECTROLYTE,
    _tell_longer,
    check_offered_generator,
    generate_end_of_life,
    predict_lifetime_curve,
)
from aiida_finales.data.nodes import OPENNESS
from aiida_finales.data.request import RequestData
from aiida_finales.exceptions import CampaignFileError, InputError, SchemaError
from aiida_finales.operations.campaign.lifetime_pictures import draw_model, show_answer, show_model
from aiida_finales.operations.origin.raw import chart_lifetime
from aiida_finales.operations.platform.lifetime_models import train_model
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.problem import build_problem
from aiida_finales.workflows.space import find_space

pytest.importorskip("sklearn")
_SPEC = importlib.util.spec_from_file_location(
    "made_up", Path(__file__).parents[1] / "science" / "lifetime" / "generator" / "made_up.py"
)
made_up = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_up)

CURVE, LIFE = "lifetimeCurve", "degradationEOL"
GENERATOR, FADE = "lifetime_generator", "capacity_fade"
PARAMETERS = {
    "positive_electrode": {"material": "LFP"},
    "negative_electrode": {"material": "graphite"},
    "cell_design": {"format": "cylindrical", "nominal_capacity": 1.1},
    "protocol": {
        "charging": [{"rate": 2.0, "until_soc": 0.8}, {"rate": 1.0}],
        "discharging": [{"rate": 1.0}],
        "voltage_minimum": 2.0,
        "voltage_maximum": 3.6,
    },
    "temperature": 298.15,
    "state_of_health": [0.95, 0.9, 0.85, 0.8],
    "laboratory": "laboratory LFP",
}
EARLY = {"cycle": list(range(1, 101)), "capacity": [1.1 - 1.1 * 20 / 1060 * k / 97 for k in range(100)]}


@pytest.fixture(scope="module")
def generator(registered):
    settings = {"method": "generator", "n_folds": 2, "n_trees": 20, "learners": ["boosting", "process"]}
    return train_model(made_up.make(), settings)


@pytest.fixture(scope="module")
def fade(registered):
    return train_model(made_up.make(), {"method": "fade", "n_folds": 2, "windows": [100]})


@pytest.fixture(scope="module")
def tenant(registered):
    offers = [{"quantity": quantity, "method": method, "limitations": {}}
              for quantity, method in ((CURVE, GENERATOR), (CURVE, FADE), (LIFE, GENERATOR))]  # fmt: skip
    return add_tenant("ageing", offers, kind="internal")


@pytest.fixture
def ask(tenant):
    def post(model, parameters, quantity=CURVE, method=GENERATOR, **evidence):
        request = RequestData(quantity, {method: parameters}, "tester").store()
        function = predict_lifetime_curve if quantity == CURVE else generate_end_of_life
        outputs, node = function.run_get_node(request=request, tenant=tenant, model=model, **evidence)
        assert node.is_finished_ok, node.exit_message
        return outputs["result"] if isinstance(outputs, dict) else outputs

    return post


class TestCurve:
    def test_says_regime_interval_and_model(self, ask, generator) -> None:
        result = ask(generator, PARAMETERS)
        data = result.data
        assert result.keeps_schema
        assert data["meta"]["success"]
        assert data["domain"]["regime"] == "known_protocol"
        assert data["model"]["uuid"] == generator.uuid
        assert data["model"]["split"] == "single cells left out"
        assert data["model"]["errors"]["n_cells"] > 0
        assert data["end_of_life"]["cycle"] == data["cycle"][-1]
        assert data["cycle"] == sorted(data["cycle"])
        assert data["end_of_life"]["reference"] == "largest of the first tenth"
        assert result.base.attributes.get("simulated") is True

    def test_tells_what_first_cycles_would_bring(self, ask, generator, fade) -> None:
        parameters = {**PARAMETERS, "cell_design": {"format": "pouch", "nominal_capacity": 5.0}}
        data = ask(generator, parameters, fade_model=fade).data
        assert data["domain"]["regime"] == "new_cell"
        assert data["longer"] is None or data["longer"].startswith("cycle this cell 100 times")
        assert data["meta"]["rating"] <= 2

    def test_says_that_first_cycles_would_bring_nothing(self) -> None:
        """Nothing was said, as where nobody had measured it."""
        found = SimpleNamespace(lower=np.array([50.0]), upper=np.array([200.0]), place=SimpleNamespace(regime="x"))

        def tell(**factors):
            readers = [SimpleNamespace(window=int(name[1:]), bounds=lambda *_, f=f: (-math.log(f), math.log(f)))
                       for name, f in factors.items()]  # fmt: skip
            return _tell_longer(found, SimpleNamespace(load=lambda: SimpleNamespace(readers=readers)), 30, "kind")

        told = tell(_100=2.2, _60=2.1, _30=1.1)
        assert told.startswith("cycling this cell would not narrow the interval (80 %)")
        assert "divided by 2.00: from the first cycles (60, 100) it would be 2.10 at best" in told
        assert tell(_100=1.5, _60=2.1).startswith("cycle this cell on to cycle 100 and ask capacity_fade")
        assert tell(_30=1.1) is None  # so many were read

    def test_unknown_material_is_refused_with_what_lacks(self, ask, generator) -> None:
        data = ask(generator, {**PARAMETERS, "positive_electrode": {"material": "unobtainium"}}).data
        assert not data["meta"]["success"]
        assert data["cycle"] == []
        assert "practical_capacity, mean_potential must be known" in data["meta"]["reason"]

    def test_other_ion_is_refused(self, ask, generator) -> None:
        told = {"practical_capacity": 110.0, "mean_potential": 3.4}
        asked = {"material": "unheard-of", "working_ion": "Na", "properties": told}
        data = ask(generator, {**PARAMETERS, "positive_electrode": asked}).data
        assert not data["meta"]["success"]
        assert "takes up Na" in data["meta"]["reason"]

    def test_properties_told_by_hand_give_the_widest_regime(self, ask, generator) -> None:
        told = {"theoretical_capacity": 274.0, "practical_capacity": 145.0, "mean_potential": 3.8}
        data = ask(
            generator,
            {**PARAMETERS, "positive_electrode": {"material": "mine", "working_ion": "Li", "properties": told}},
        ).data
        assert data["domain"]["regime"] == "new_chemistry"
        assert data["meta"]["rating"] == 1

    def test_electrolyte_widens(self, ask, generator) -> None:
        electrolyte = make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})
        plain, mixed = ask(generator, PARAMETERS).data, ask(generator, {**PARAMETERS, "electrolyte": electrolyte}).data
        assert NO_ELECTROLYTE in mixed["meta"]["reason"]
        assert (
            mixed["cycle_upper"][-1] / mixed["cycle_lower"][-1] >= plain["cycle_upper"][-1] / plain["cycle_lower"][-1]
        )

    def test_first_cycles(self, ask, fade) -> None:
        data = ask(fade, {**PARAMETERS, "early_cycles": EARLY}, method=FADE).data
        assert data["meta"]["success"], data["meta"]
        assert data["model"]["split"] == "protocols left out"

    def test_first_cycles_bound_the_answer(self, ask, fade) -> None:
        """All of a series was given, and the end of life that it shows was predicted to be elsewhere."""
        cycles = list(range(1, 1001))
        early = {"cycle": cycles, "capacity": [1.1 * (1 - 0.25 * (cycle / 1000)) for cycle in cycles]}
        data = ask(fade, {**PARAMETERS, "early_cycles": early}, method=FADE).data
        assert data["cycle"] == pytest.approx([200, 400, 600, 800], rel=0.1)
        assert data["cycle_lower"] == data["cycle_upper"]
        assert "seen in the first cycles, not predicted: 95 %, 90 %, 85 %, 80 %" in data["meta"]["reason"]

    def test_first_cycles_that_are_not_read_are_said(self, ask, generator) -> None:
        data = ask(generator, {**PARAMETERS, "early_cycles": EARLY}).data
        assert data["meta"]["reason"].endswith("the first cycles are not read: ask capacity_fade")

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"temperature": -3.0}, "temperature"),
            ({"state_of_health": [0.3]}, "state_of_health"),
            ({"protocol": {"charging": [], "discharging": [{"rate": 1.0}]}}, "charging"),
            ({"cell_design": {"format": "sphere", "nominal_capacity": 1.0}}, "format"),
        ],
    )
    def test_bad_parameters_never_become_a_request(self, tenant, changes, path) -> None:
        with pytest.raises(SchemaError, match=path):
            RequestData(CURVE, {GENERATOR: {**PARAMETERS, **changes}}, "tester")


class TestCampaignAnswer:
    def test_end_of_life(self, ask, generator) -> None:
        asked = {key: value for key, value in PARAMETERS.items() if key != "state_of_health"}
        result = ask(generator, asked, quantity=LIFE)
        curve = ask(generator, PARAMETERS).data
        (value,) = result.values
        assert value.value == round(curve["cycle"][-1])
        low, high = curve["cycle_lower"][-1], curve["cycle_upper"][-1]
        # on the scale of logarithms: half of the cycles in between was many times the life where the interval is wide
        assert value.uncertainty == pytest.approx(curve["cycle"][-1] * math.log(high / low) / 2 / 1.2816)
        assert result.rating == curve["meta"]["rating"]

    def test_shows_the_curve_and_what_moves_it(self, ask, generator) -> None:
        """A campaign's answer has the pictures of a curve, on the page of the result, too."""
        asked = {key: value for key, value in PARAMETERS.items() if key != "state_of_health"}
        result = ask(generator, asked, quantity=LIFE)
        answer = show_answer(result)
        assert result.keeps_schema
        assert answer["curve"]["cycle_lower"][0] < answer["curve"]["cycle"][0] < answer["curve"]["cycle_upper"][0]
        (figure,) = chart_lifetime(result)
        assert [line.name for line in figure.series[:2]] == ["interval, 80 %", "predicted"]
        assert figure.series[2].name == f"learned from: {result.data['domain']['nearest_cells'][0]}"
        moves_most = max(answer["contributions"], key=lambda name: abs(math.log(answer["contributions"][name])))
        assert f"factors: {moves_most} by " in figure.title
        assert "known_protocol" in figure.title

    def test_refusal_is_no_value(self, ask, generator) -> None:
        asked = {key: value for key, value in PARAMETERS.items() if key != "state_of_health"}
        result = ask(generator, {**asked, "positive_electrode": {"material": "unobtainium"}}, quantity=LIFE)
        assert not result.values[0].is_valid
        assert chart_lifetime(result) == []

    def test_campaign_over_compositions_is_refused_with_the_reason(self, tenant) -> None:
        campaign = {"name": "mix", "quantity": LIFE, "sources": {GENERATOR: {}}, "stop": {"evaluations": 3}}
        with pytest.raises(CampaignFileError, match="do not vary the electrolyte"):
            build_problem(parse_campaign(campaign))

    def test_nor_is_one_asked_of_a_tenant_that_leaves_them_free(self, registered) -> None:
        """It was accepted, and every composition had the same life."""
        ranges = {"LiPF6": (0.05, 0.12), "EC": (0.2, 0.5), "EMC": (0.4, 0.7)}
        mixture = make_formulation({"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62})
        box = [
            {"chemical": item["chemical"], "fraction": [dict(zip(("min", "max"), limits, strict=True))],
             "fraction_type": ["molPerMol"]}
            for item, limits in zip(mixture, ranges.values(), strict=True)
        ]  # fmt: skip
        limitations = {"battery_chemistry": {"electrolyte": [box]}}
        offer = {"quantity": LIFE, "method": GENERATOR, "limitations": limitations}
        wide = [(add_tenant("free", [offer], kind="internal"), offer)]
        asked = {key: value for key, value in PARAMETERS.items() if key != "state_of_health"}
        campaign = {"name": "mix", "quantity": LIFE, "fixed": asked, "sources": {GENERATOR: {}},
                    "stop": {"evaluations": 3}}  # fmt: skip
        space = find_space(parse_campaign(campaign), GENERATOR, wide, {})
        assert "it leaves the composition free" in space.trouble
        assert NO_ELECTROLYTE in space.trouble
        one = {"within": {"fixed": {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}}}
        assert not find_space(parse_campaign(campaign | one), GENERATOR, wide, {}).trouble


class TestOffer:
    def test_who_cycles_what_is_asked_of_a_tenant(self, registered, generator) -> None:
        offer = {"quantity": CURVE, "method": GENERATOR, "limitations": {}}
        silent = {key: value for key, value in PARAMETERS.items() if key != "laboratory"}
        regimes = []
        for number, settings in enumerate(({}, {"laboratory": "laboratory LFP"}, {"laboratory": "elsewhere"})):
            told = {**offer, "settings": {"model": generator.uuid, **settings}}
            tenant = add_tenant(f"lab-{number}", [told], kind="internal")
            request = RequestData(CURVE, {GENERATOR: silent}, "tester").store()
            outputs, _ = predict_lifetime_curve.run_get_node(request=request, tenant=tenant, model=generator)
            result = outputs["result"] if isinstance(outputs, dict) else outputs
            regimes.append(result.data["domain"]["regime"])
        assert regimes == ["known_protocol", "known_protocol", "new_cell"]
        remarks = check_offered_generator(GENERATOR, {"model": generator.uuid, "laboratory": "elsewhere"})
        assert "those of elsewhere get the interval of another laboratory" in remarks[1]
        (_, assumed) = check_offered_generator(GENERATOR, {"model": generator.uuid})
        assert "taken to be of theirs where neither they nor this tenant name their laboratory" in assumed
        with pytest.raises(InputError, match=r"settings\.laboratory is 3, accepted is the name"):
            check_offered_generator(GENERATOR, {"model": generator.uuid, "laboratory": 3})

    def test_data_that_must_not_be_passed_on_mark_the_model(self, registered) -> None:
        cells = made_up.make()
        closed = replace(cells, cells=(replace(cells.cells[0], is_open=False, licence="all rights"), *cells.cells[1:]))
        model = train_model(closed, {"method": "generator", "n_folds": 2, "n_trees": 5, "learners": ["boosting"]})
        assert model.base.extras.get(OPENNESS) == "restricted"
        assert orm.load_node(model.training["data"]["uuid"]).base.extras.get(OPENNESS) == "restricted"
        assert model.training["data"]["licences"] == ["LFP, all rights"]

    def test_is_checked(self, generator, fade) -> None:
        settings = {"model": generator.uuid, "laboratory": "laboratory LFP"}
        assert check_offered_generator(GENERATOR, settings) == [NO_ELECTROLYTE]
        with pytest.raises(InputError, match="of the method capacity_fade"):
            check_offered_generator(GENERATOR, {"model": fade.uuid})

    def test_node_says_where_it_comes_from(self, generator) -> None:
        assert generator.training["data"]["description"] == "24 made-up cells"
        assert generator.training["versions"]["scikit-learn"]
        assert generator.training["hardware"]["processor"]
        assert generator.base.attributes.get("left_out")["new_protocol"] == "protocol"
        errors = generator.base.attributes.get("errors")
        assert errors["new_chemistry"]["factor_80"] > 1
        assert generator.base.attributes.get("domain")["electrodes"] == ["LFP", "NMC", "graphite"]


class TestPictures:
    def test_of_a_model_and_its_answer(self, ask, generator, tmp_path) -> None:
        """Electrodes, errors, the curve with what is nearest, and what inputs contribute: as data and as files."""
        shown = show_model(generator)
        assert {item["chemistry"]: item["n_cells"] for item in shown["electrodes"]} == {
            "LFP/graphite": 12,
            "NMC/graphite": 12,
        }
        assert shown["electrodes"][0]["x"] != pytest.approx(shown["electrodes"][1]["x"])
        assert {"known_protocol", "set LFP"} <= {item["name"] for item in shown["errors"]}
        result = ask(generator, PARAMETERS)
        answer = show_answer(result)
        assert answer["curve"]["cycle"] == result.data["cycle"]
        assert [item["name"] for item in answer["nearest"]] == result.data["domain"]["nearest_cells"]
        assert answer["nearest"][0]["state_of_health"][0] == 0.99
        pytest.importorskip("matplotlib")
        files = draw_model(generator, tmp_path, [result])
        assert [file.name.split("_")[0] for file in files] == ["electrode", "errors.png", "curve", "contributions"]
        assert all(file.stat().st_size > 5000 for file in files)

    def test_of_the_fade(self, fade) -> None:
        assert any("protocol left out" in item["name"] for item in show_model(fade)["errors"])

    def test_a_refusal_is_no_picture(self, ask, generator) -> None:
        result = ask(generator, {**PARAMETERS, "positive_electrode": {"material": "unobtainium"}})
        with pytest.raises(InputError, match="no curve of a lifetime, accepted is one of lifetimeCurve"):
            show_answer(result)
