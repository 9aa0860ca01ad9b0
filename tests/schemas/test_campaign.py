"""The campaign file: ours, and F2Opt's as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiida_finales.exceptions import CampaignFileError
from aiida_finales.schemas.campaign import (
    CampaignFile,
    WithinSection,
    convert_f2opt,
    doubt_references,
    list_doubts,
    parse_campaign,
    read_campaign_file,
)
from aiida_finales.schemas.chemicals import get_chemical, molality
from aiida_finales.schemas.chemicals.recipe import mass_fractions

SMALL = {"name": "small", "quantity": "conductivity", "sources": {"two_electrode": {}}}


def test_defaults_are_written_out():
    campaign = parse_campaign(SMALL)
    document = campaign.to_dict()
    assert campaign.target == "two_electrode"
    assert document["sources"]["two_electrode"] == {
        "quantity": None,
        "method": "two_electrode",
        "ask": True,
        "learn": True,
        "cost": None,
        "max_in_flight": 1,
        "evaluations": None,
        "min_rating": 2,
    }
    assert document["stop"]["failures"] == 5
    assert document["transform"] == "none"
    assert (document["maximise"], document["learn_from"], document["temperature_tolerance"]) == (True, "campaign", 1.0)
    assert parse_campaign(json.loads(json.dumps(document))) == campaign
    assert parse_campaign(SMALL, is_stored=True).policy == "turns"  # as before there was a choice


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantty": "x"}, "unknown key 'quantty': did you mean 'quantity'? accepted are name, quantity, maximise"),
        ({"sources": {"a": {"costs": 3}}}, "unknown key 'sources.a.costs': did you mean 'cost'? accepted are method"),
        ({"stop": {"evaluation": 3}}, "unknown key 'stop.evaluation': did you mean 'evaluations'?"),
        (
            {"warm_start": {"fil": "x"}},
            "unknown key 'warm_start.0.fil': did you mean 'file'? accepted are file, method",
        ),
        ({"zzz": 1}, "unknown key 'zzz': accepted are name"),
        ({"sources": {"a": {"cost": -1}}}, "sources.a.cost is -1, but accepted is a number above 0"),
        (
            {"sources": {"a": {"max_in_flight": 0}}},
            "sources.a.max_in_flight is 0, but accepted is a whole number from 1",
        ),
        (
            {"sources": {"a": {"min_rating": 9}}},
            "sources.a.min_rating is 9, but accepted is a whole number from 0 to 5",
        ),
        ({"stop": {"evaluations": "many"}}, "stop.evaluations is 'many', but accepted is a whole number from 1"),
        ({"sources": {}}, "sources must name at least one method"),
        ({"sources": []}, "sources is a list of 0, but accepted is a section: names, each with"),
        ({"target": "b"}, "target is 'b', but the sources are two_electrode"),
        ({"sources": {"a": {"ask": False}}}, "no source may be asked: set 'ask: true' for one of them"),
        ({"learn_from": "everything"}, "learn_from is 'everything', but accepted is 'campaign' or 'all'"),
        ({"transform": "sqrt"}, "transform is 'sqrt', but accepted is 'none' or 'log'"),
        ({"policy": "cheapest"}, "policy is 'cheapest', but accepted is 'turns', 'information' or 'target'"),
        ({"scalarise": "weights"}, "scalarise is 'weights', but there is one objective with a direction"),
        ({"weights": {"conductivity": 1}}, "weights are for one number of several objectives: say 'scalarise' as well"),
        ({"fixed": {"formulation": []}}, "fixed has formulation, but the formulation is what the campaign varies"),
        (
            {"quantity": "end_of_life", "fixed": {"battery_chemistry": {"electrolyte": []}}},
            "fixed has battery_chemistry.electrolyte, but the formulation is what the campaign varies",
        ),
        (
            {"categories": {"salt": {"options": {"none": {}, "LiPF6": {"formulation": ["1 M LiPF6 in EC"]}}}}},
            "option 'LiPF6' of category 'salt' has formulation, but the formulation is what the campaign varies",
        ),
        ({"sources": {"a": {"cost": "1,5"}}}, "sources.a.cost is '1,5', but accepted is a number above 0: write 1.5"),
        ({"sources": {"a": {"cost": "50 %"}}}, "sources.a.cost is '50 %', but accepted is a number above 0: write 0.5"),
        ({"stop": {"budget": "10 EUR"}}, "accepted is a number above 0: write the number alone, without a unit"),
        ({"stop": {"budget": float("inf")}}, "stop.budget is 'inf', but accepted is a number above 0"),
        ({"stop": {"evaluations": True}}, "stop.evaluations is True: accepted is a number; YAML takes yes"),
        ({"stop": 20}, "stop is 20, but accepted is a section: keys (evaluations, budget, "),
        ({"stop": None}, "stop has no value behind it or below it"),
        ({"name": 2026}, "name is 2026, but accepted is a text: put it in quotes"),
        ({"Quantity": "x"}, "unknown key 'Quantity': did you mean 'quantity'?"),
        (
            {"categories": {"dried": {"options": {True: {}, False: {}}}}},
            "categories.dried.options has the key True, but accepted is a text as key: put it in quotes",
        ),
        (
            {"categories": {"c": {"options": {"a": {}}}}},
            "accepted is a section: names, each with what belongs to it, 2 at",
        ),
        ({"within": {"ranges": {"EC": [5, 10]}}}, "from 0 to 1; per cent is written '5..10 %'"),
        (
            {"within": {"ranges": {"EC": [0, 5, 0, 1]}}},
            "is a list of 4, but accepted is a list of 2: write decimals with",
        ),
        (
            {"within": {"ranges": {"EC": "40..20 wt%"}}},
            "ranges.EC is '40..20 wt%', but accepted is the lower number first",
        ),
        ({"within": {"ranges": {"EC": "-5..20 wt%"}}}, "accepted is the lower number first, from 0 to 100"),
        (
            {"within": {"ranges": {"LiPF6": "0.5..1 M"}}},
            "mol/L needs a density, which depends on the mixture: say mol/kg",
        ),
        ({"within": {"fixed": {"EC": 0.1, "ethylene carbonate": 0.2}}}, "EC and ethylene carbonate are one chemical"),
        (
            {"within": {"ranges": {"EC": [0, 1]}, "fixed": {"ethylene carbonate": 0.2}}},
            "EC has a range and is fixed: leave one out",
        ),
        ({"name": ""}, "name of a campaign is '': it is empty"),
        ({"name": "EC/EMC 28 °C"}, "name of a campaign is 'EC/EMC 28 °C': it has '/'"),
        ({"sources": {"a/b": {}}}, "name of a source is 'a/b': it has '/'"),
        (
            {"sources": {"one": {"method": "polynomial_interpolation"}, "polinomial_interpolation": {}}},
            "sources 'one' and 'polinomial_interpolation' have the same method 'polynomial_interpolation'",
        ),
    ],
)
def test_what_is_wrong_is_said(change, words):
    with pytest.raises(CampaignFileError, match=re.escape(words)):
        parse_campaign({**SMALL, **change})


def test_one_that_was_started_before_a_rule_was_made_is_read():
    document = {**SMALL, "name": "EC/EMC", "sources": {"a": {"method": "m"}, "b": {"method": "m"}}}
    assert parse_campaign(document, is_stored=True).name == "EC/EMC"


@pytest.mark.parametrize("key", ["name", "quantity", "sources"])
def test_what_is_missing_is_said(key):
    document = {name: value for name, value in SMALL.items() if name != key}
    with pytest.raises(CampaignFileError, match=f"key '{key}' is missing"):
        parse_campaign(document)


def test_several_defects_are_said_at_once():
    with pytest.raises(CampaignFileError, match=r"unknown key 'nam'.*key 'name' is missing|key 'name'.*'nam'"):
        parse_campaign({"nam": "x", "quantity": "conductivity", "sources": {"a": {}}})


def test_names_become_canonical():
    campaign = parse_campaign({**SMALL, "quantity": "degradation_EOL", "sources": {"a": {"method": "b"}}})
    assert campaign.quantity == "degradationEOL"
    assert campaign.sources["a"].method == "b"


def test_the_end_of_life_is_modelled_as_a_logarithm_unless_told_otherwise():
    document = {**SMALL, "quantity": "end_of_life", "sources": {"degradation_workflow": {}}}
    assert parse_campaign(document).transform == "log"
    assert parse_campaign({**document, "transform": "none"}).transform == "none"


TWO = {
    "name": "two",
    "objectives": {
        "thickness": {"quantity": "viscosity", "at_most": 4, "transform": "log", "sources": {"robot": {"method": "a"}}},
        "density": {"direction": "maximise", "reference": 1.05, "sources": {"robot": {"method": "b"}, "md": {}}},
    },
}


class TestObjectives:
    def test_what_is_optimised_comes_first_and_sources_of_one_name_are_told_apart(self):
        campaign = parse_campaign(TWO)
        assert (list(campaign.goals), list(campaign.optimised)) == (["density", "thickness"], ["density"])
        assert (campaign.quantity, campaign.maximise, campaign.target) == ("density", True, "density_robot")
        assert {name: campaign.capability_of(name) for name in campaign.sources} == {
            "robot": ("viscosity", "a"),
            "density_robot": ("density", "b"),
            "md": ("density", "md"),
        }
        assert campaign.targets == ["density_robot", "robot"]
        assert parse_campaign(json.loads(json.dumps(campaign.to_dict()))) == campaign

    def test_one_without_sources_takes_those_of_its_quantity(self):
        two = {"density": {"direction": "maximise"}, "scatter": {"quantity": "density", "number": "a.b", "at_most": 1}}
        campaign = parse_campaign({"name": "x", "objectives": two, "sources": {"m": {"quantity": "density"}}})
        assert campaign.targets == ["m"]

    def test_one_number_of_several_has_a_weight_for_each(self):
        goals = {"density": {"direction": "maximise"}, "viscosity": {"direction": "minimise"}}
        sources = {"one": {"quantity": "density"}, "other": {"quantity": "viscosity"}}
        document = {"name": "two", "scalarise": "chebyshev", "objectives": goals, "sources": sources}
        assert parse_campaign({**document, "weights": {"density": 2, "viscosity": 1}}).weights["density"] == 2
        for wrong in ({"density": 2}, {"density": 2, "viscosity": 0}, {"density": 1, "viscosity": 1, "cost": 1}):
            with pytest.raises(CampaignFileError, match="accepted is a number above 0 for each of density, viscosity"):
                parse_campaign({**document, "weights": wrong})

    def test_a_campaign_with_one_quantity_has_one_goal(self):
        goal = parse_campaign({**SMALL, "maximise": False}).goals["conductivity"]
        assert (goal.direction, goal.target) == ("minimise", "two_electrode")

    @pytest.mark.parametrize(
        ("objectives", "words"),
        [
            ({"a": {}}, "objectives.a: it wants nothing: give a direction"),
            ({"a": {"direction": "up"}}, "objectives.a.direction is 'up', but accepted is 'maximise', 'minimise' or"),
            ({"a": {"direction": "reach"}}, "a value goes with 'direction: reach'"),
            ({"a": {"direction": "maximise", "weigth": 1}}, "unknown key 'objectives.a.weigth': accepted are quantity"),
            ({"a": {"at_most": 1, "sources": {"m": {}}}}, "objectives has no direction: at least one"),
            ({"a": {"direction": "maximise"}}, "key 'sources' is missing"),
            (
                {"a": {"direction": "maximise", "sources": {"m": {}}}, "b": {"at_most": 1}},
                "objective 'b' has no source that is asked for b; sources of b are none",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, objectives, words):
        with pytest.raises(CampaignFileError, match=re.escape(words)):
            parse_campaign({"name": "x", "objectives": objectives})


class TestFile:
    def test_yaml(self, tmp_path):
        path = tmp_path / "campaign.yaml"
        path.write_text("# mine\nname: small\nquantity: conductivity\nsources:\n  two_electrode: {cost: 2}\n")
        assert read_campaign_file(path).sources["two_electrode"].cost == 2.0

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("a.yaml", "name: [", "is no YAML: line 1, column 8: a value is missing"),
            (
                "b.yaml",
                "name: x\n a: 2",
                "b.yaml is no YAML: line 2, column 3: a ': ' where none can be",
            ),
            ("a.json", "{", "is no JSON: Expecting property name"),
            ("a.yaml", "- name", "a.yaml holds a list, but accepted are lines with key and value"),
            ("a.yaml", "", "a.yaml is empty, but accepted are lines with key and value"),
            ("a.yaml", "name:x\nquantity:y", "a.yaml holds only a text, without ': ' in it"),
            ("a.yaml", "name: x", "a.yaml: key 'quantity' is missing"),
        ],
    )
    def test_unreadable_files(self, tmp_path, name, text, words):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(CampaignFileError, match=re.escape(words)):
            read_campaign_file(path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"name: x\nstop: {budget: 1}\nstop: {budget: 2}\n", "line 3, column 1: key 'stop' is there twice"),
            (b"fixed:\n\ttemperature: 300\n", "line 2, column 1: a tab stands where YAML has spaces"),
            (b"a:\n    b: 1\n   c: 2\n", "line 3, column 4: the line is not indented as the lines above it"),
            (b"range: %5\n", "line 1, column 8: a value cannot begin with %: put the text in quotes"),
            (b"name:x\na: b\n", "the line before has no space behind its colon"),
            (b"name: x\na:b\nc: d\n", "line 3, column 1: a key needs ': ' behind it"),
            (b"name: 'x\n", "a quote or a bracket is not closed"),
            (b"a: 1\n---\nb: 2\n", "a second document begins here"),
            (b"[" * 3000, "nested too deeply"),
            (
                "name: Größe".encode("latin-1"),
                "line 1 is not (as Windows-1252, cp1252, the line is 'name: Größe'): save it",
            ),
            (b"PK\x03\x04", "is an Excel workbook or another zip, but accepted is a text file"),
        ],
    )
    def test_what_people_mistype_is_told_in_their_words(self, tmp_path, content, words):
        path = tmp_path / "mine.yaml"
        path.write_bytes(content)
        with pytest.raises(CampaignFileError, match=re.escape(words)) as told:
            read_campaign_file(path)
        assert str(path) in str(told.value)

    def test_a_key_of_json_is_there_once(self, tmp_path):
        path = tmp_path / "mine.json"
        path.write_text('{"name": "a", "name": "b"}')
        with pytest.raises(CampaignFileError, match="key 'name' is there twice"):
            read_campaign_file(path)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("suffix", ["yaml", "json"])
    def test_an_encoding_with_a_mark_is_read(self, tmp_path, encoding, suffix):
        path = tmp_path / f"mine.{suffix}"
        path.write_bytes(json.dumps(SMALL).replace(",", ",\r\n").encode(encoding))
        assert read_campaign_file(path) == parse_campaign(SMALL)

    def test_absent_file(self, tmp_path):
        with pytest.raises(CampaignFileError, match=r"absent\.yaml does not exist"):
            read_campaign_file(tmp_path / "absent.yaml")

    def test_a_source_without_settings(self, tmp_path):
        path = tmp_path / "campaign.yaml"
        path.write_text("name: small\nquantity: conductivity\nsources:\n  two_electrode:\n")
        source = read_campaign_file(path).sources["two_electrode"]
        assert (source.method, source.max_in_flight, source.ask) == ("two_electrode", 1, True)


class TestF2Opt:
    TASK: ClassVar = {"name": "A", "quantities": {"density": "d"}, "method": "m"}

    def test_ocond_as_it_is(self, read, shared_data):
        campaign = read_campaign_file(shared_data / "finales" / "f2opt" / "ocond.json")
        assert (campaign.name, campaign.quantity, campaign.maximise) == ("ocond", "conductivity", True)
        assert {name: source.method for name, source in campaign.sources.items()} == {
            "ASAB": "two_electrode",
            "3DS": "molecular_dynamics",
        }
        assert (campaign.target, campaign.initial, campaign.learn_from) == ("ASAB", 1, "all")
        assert campaign.sources["ASAB"].min_rating == 3
        assert campaign.sources["3DS"].max_in_flight == 1
        assert parse_campaign(campaign.to_dict()) == campaign

    def test_oeol_as_it_is(self, read, shared_data):
        campaign = read_campaign_file(shared_data / "finales" / "f2opt" / "oeol.json")
        assert (campaign.name, campaign.quantity) == ("oeol", "degradationEOL")
        assert campaign.sources["EOL"].method == "degradation_workflow"
        assert campaign.sources["EOL"].min_rating == 0
        assert (campaign.transform, campaign.maximise, campaign.learn_from) == ("log", True, "all")
        assert parse_campaign(campaign.to_dict()) == campaign

    def test_minimising_and_learning_only(self):
        task = {"name": "A", "quantities": {"density": "d"}, "method": "m", "request": True}
        more = {**task, "name": "B", "method": "n", "request": False, "min_results_for_ml": 7}
        document = {"name": "x", "objectives": [{"quantity": "d", "maximize": False}], "tasks": [task, more]}
        campaign = parse_campaign(document)
        assert isinstance(campaign, CampaignFile)
        assert (campaign.maximise, campaign.initial) == (False, 7)
        assert (campaign.sources["B"].ask, campaign.sources["B"].learn) == (False, True)

    def test_two_objectives(self):
        """Each has the tasks that name it first; a task that tells both is asked once and teaches both."""
        task = {"name": "A", "quantities": {"density": "d", "viscosity": "v"}, "method": "vibrating_tube_densimetry"}
        more = {"name": "B", "quantities": {"density": "d"}, "method": "molecular_dynamics", "request": False}
        wanted = [{"quantity": "d", "maximize": True}, {"quantity": "v", "maximize": False}]
        campaign = parse_campaign({"name": "x", "objectives": wanted, "tasks": [task, more]})
        assert {name: (goal.quantity, goal.direction, goal.target) for name, goal in campaign.goals.items()} == {
            "d": ("density", "maximise", "A"),
            "v": ("viscosity", "minimise", "A"),
        }
        assert campaign.capability_of("B") == ("density", "molecular_dynamics")
        assert campaign.targets == ["A"]
        assert parse_campaign(campaign.to_dict()) == campaign

    @pytest.mark.parametrize(
        ("objectives", "quantities", "words"),
        [
            ([], [{"a": "b"}], "0 objectives were given, but accepted is at least one"),
            ([{"quantity": "b"}, {"quantity": "c"}], [{"a": "b"}], "no task asks for objective 'c', but for b"),
            ([{"quantity": "b"}], [{"a": "b"}, {"c": "d"}], "the tasks ask for a, c, but accepted is one quantity"),
        ],
    )
    def test_what_cannot_be_converted(self, objectives, quantities, words):
        tasks = [{"name": str(index), "method": "m", "quantities": item} for index, item in enumerate(quantities)]
        with pytest.raises(CampaignFileError, match=words):
            convert_f2opt({"name": "x", "objectives": objectives, "tasks": tasks})

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"name": ...}, "mine, which seems to be in F2Opt's form: key 'name' is missing"),
            ({"tasks": []}, "0 tasks were given, but accepted is at least one"),
            ({"tasks": None}, "tasks is None, but accepted in F2Opt's form is a list of objects"),
            ({"objectives": ["d"]}, "objectives is ['d'], but accepted in F2Opt's form is a list of objects"),
            ({"objectives": [{}]}, "objective 1 has no key 'quantity'"),
            ({"objectives": [{"quantity": "d"}] * 2}, "two of the objectives have the quantity 'd'"),
            ({"objectives": [{"quantity": "v"}]}, "no task asks for objective 'v', but for d"),
            # what would be maximised in silence
            (
                {"objectives": [{"quantity": "d", "maximise": False}]},
                "has the key 'maximise', which F2Opt does not know",
            ),
            ({"objectives": [{"quantity": "d", "minimise": True}]}, "did you mean 'maximize: false'?"),
            (
                {"objectives": [{"quantity": "d", "maximize": "false"}]},
                "maximize of objective 'd' is 'false', but accepted",
            ),
            # what would be lost in silence
            ({"tasks": [TASK, {**TASK, "method": "n"}]}, "two of the tasks have the name 'A'"),
            (
                {"tasks": [{**TASK, "max_queue": 3}]},
                "task 1 has the key 'max_queue', which F2Opt does not know: did you",
            ),
            (
                {"tasks": [{**TASK, "parameters": {"temperature": 300}}]},
                "parameters of task 'A' are {'temperature': 300}",
            ),
            ({"tasks": [{**TASK, "request": "no"}]}, "request of task 'A' is 'no', but accepted is true or false"),
            ({"tasks": [{**TASK, "quantities": {}}]}, "quantities of task 'A' are {}, but accepted is the name"),
            ({"tasks": [{**TASK, "quantities": "density"}]}, "quantities of task 'A' are 'density', but accepted"),
            ({"tasks": [{"name": "A", "method": "m"}]}, "task 1 has no key 'quantities'"),
            (
                {"tasks": [{**TASK, "min_results_for_ml": "three"}, {**TASK, "name": "B"}]},
                "initial is 'three', but accepted",
            ),
        ],
    )
    def test_a_broken_configuration_is_a_campaign_file_error(self, change, words):
        document = {"name": "x", "objectives": [{"quantity": "d"}], "tasks": [self.TASK], **change}
        document = {key: value for key, value in document.items() if value is not ...}
        with pytest.raises(CampaignFileError, match=re.escape(words)):
            parse_campaign(document, "mine")

    def test_keys_of_another_version_are_not_read(self):
        task = {**self.TASK, "acquisition": "EI"}
        document = {"name": "x", "id": "0", "objectives": [{"quantity": "d"}], "tasks": [task]}
        assert parse_campaign(document).quantity == "density"


class TestDemonstration:
    FOLDER = Path(__file__).parents[2] / "examples" / "multitask"

    @pytest.mark.parametrize(("name", "transform"), [("ocond", "none"), ("oeol", "log")])
    def test_its_campaigns_can_be_read(self, name, transform):
        campaign = read_campaign_file(self.FOLDER / f"{name}.yaml")
        assert (campaign.name, campaign.transform) == (name, transform)

    def test_its_formulations_are_what_they_are_called(self):
        listed = yaml.safe_load((self.FOLDER / "formulations.yaml").read_text())["formulations"]
        assert [round(molality(item["formulation"]), 2) for item in listed] == [0.11, 0.91, 1.07]
        for item in listed:
            assert item["name"] == f"{molality(item['formulation']):.2f} mol/kg"
            shares = item["formulation"]
            mass = {key: shares[key] * get_chemical(key).molar_mass for key in ("EC", "EMC")}
            assert mass["EC"] / sum(mass.values()) == pytest.approx(0.3, abs=1e-3)

    @pytest.mark.parametrize(("name", "direction"), [("density_viscosity", "maximise"), ("light_thick", "minimise")])
    def test_demonstration_1_has_both_directions(self, name, direction):
        campaign = read_campaign_file(self.FOLDER.parent / "demonstration_1" / f"{name}.yaml")
        goals = campaign.goals
        assert goals["density"].direction == direction
        assert {goals["density"].direction, goals["viscosity"].direction} == {"maximise", "minimise"}
        assert campaign.targets == ["vibrating_tube_densimetry"]


def test_a_warm_start_may_have_one_table_or_several():
    document = {"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}, "literature": {"ask": False}}}
    one = parse_campaign({**document, "warm_start": {"file": "a.csv"}})
    assert one == parse_campaign({**document, "warm_start": [{"file": "a.csv"}]})
    assert parse_campaign(one.to_dict()) == one
    assert parse_campaign({**document, "warm_start": None}, is_stored=True).warm_start == []  # as it was stored once
    other = {"file": "b.csv", "quantity": "viscosity"}
    with pytest.raises(CampaignFileError, match=r"b\.csv of viscosity/literature, but no source learns from that"):
        parse_campaign({**document, "warm_start": [{"file": "a.csv"}, other]})


def test_temperatures_may_have_their_unit():
    document = {"name": "c", "quantity": "conductivity", "sources": {"two_electrode": {}}}
    assert parse_campaign({**document, "fixed": {"temperature": "28 °C"}}).fixed == {"temperature": 301.15}
    with pytest.raises(CampaignFileError, match=r"fixed.temperature is 'warm', but accepted is"):
        parse_campaign({**document, "fixed": {"temperature": "warm"}})


CHEMICALS = [get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC", "DMC")]


def is_within(section, shares):
    """Return whether a mixture keeps a section, by its constraints on mole fractions."""
    limits = [low - 1e-12 <= shares.get(name, 0.0) <= high + 1e-12 for name, (low, high) in section.limits.items()]
    planes = [plane for item in section.constraints for plane in item.in_mole_fractions(CHEMICALS)]
    for plane in planes:
        total = sum(number * shares.get(name, 0.0) for name, number in plane.coefficients.items())
        limits += [plane.min is None or total >= plane.min - 1e-12, plane.max is None or total <= plane.max + 1e-12]
    return all(limits)


@given(weights=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4))
def test_ranges_by_mass_and_molality_mean_what_they_say(weights):
    shares = {name: weight / sum(weights) for name, weight in zip(CHEMICALS, weights, strict=True)}
    salt, solvent = molality(shares), mass_fractions(shares)[CHEMICALS[1]]
    for low, high in ((salt - 0.1, salt + 0.1), (salt + 0.1, salt + 0.2), (0.0, salt - 1e-3)):
        section = WithinSection.model_validate({"ranges": {"LiPF6": f"{max(low, 0)}..{max(high, 0)} mol/kg"}})
        assert is_within(section, shares) == (max(low, 0) <= salt <= max(high, 0))
    for low, high in ((0.0, 100 * solvent + 0.1), (100 * solvent + 0.1, 100.0)):
        section = WithinSection.model_validate({"ranges": {"EC": [f"{low} wt%", f"{high} wt%"]}})
        assert is_within(section, shares) == (low <= 100 * solvent)
    assert parse_campaign({**SMALL, "within": section.model_dump(mode="json")}).within == section


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("5..12 %", (0.05, 0.12)),
        ("5 to 12 mol%", (0.05, 0.12)),
        (["5 %", "12 %"], (0.05, 0.12)),
        ([5, "12 %"], (0.05, 0.12)),
        ("0.05-0.12", (0.05, 0.12)),
        ([0.05, 0.12], (0.05, 0.12)),
        (0.1, (0.1, 0.1)),
    ],
)
def test_percent_are_mole_fractions(said, limits):
    section = WithinSection.model_validate({"ranges": {"LiPF6": said}, "fixed": {"EC": "30 %"}})
    assert section.limits[CHEMICALS[0]] == pytest.approx(limits)
    assert section.limits[CHEMICALS[1]] == pytest.approx((0.3, 0.3))


def test_solvents_in_a_ratio_by_mass():
    """EC:EMC 3:7 w/w, whatever else is in it."""
    line = {"coefficients": {"EC": 7, "EMC": -3}, "min": 0, "max": 0, "by": "mass"}
    section = WithinSection.model_validate({"constraints": [line]})
    moles = {CHEMICALS[1]: 3 / 88.062, CHEMICALS[2]: 7 / 104.105}
    (plane,) = section.constraints[0].in_mole_fractions(CHEMICALS)
    assert sum(plane.coefficients.get(name, 0) * amount for name, amount in moles.items()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("within", "words"),
    [
        ({"ranges": {"LiPF6": "5..12 M"}}, "ranges.LiPF6 is '5..12 M', but accepted is [0.02, 0.12], or a text"),
        ({"ranges": {"LiPF6": ["5 %", "12 wt%"]}}, "but accepted is"),
        ({"ranges": {"LiPF6": None}}, "ranges.LiPF6 is None, but accepted is [0.02, 0.12]"),
        ({"ranges": {"EC": "1..2 mol/kg"}}, "a molality (mol/kg of solvent) is of salts, but EC is none"),
    ],
)
def test_ranges_that_mean_nothing_are_refused(within, words):
    with pytest.raises(CampaignFileError, match=re.escape(words)):
        parse_campaign({**SMALL, "within": within})


@pytest.mark.parametrize(
    "section",
    [{"min": "10 °C", "max": "40 °C"}, {"min": 10, "max": "40", "unit": "°C"}, {"min": 283.15, "max": 313.15}],
)
def test_a_temperature_that_varies_may_be_in_celsius(section):
    campaign = parse_campaign({**SMALL, "fixed": {}, "variables": {"temperature": section}})
    variable = campaign.variables["temperature"]
    assert (variable.min, variable.max, variable.unit) == (283.15, 313.15, "K")
    assert parse_campaign(campaign.to_dict()).variables == campaign.variables


def test_a_temperature_of_an_option_may_be_in_celsius():
    options = {"cold": {"temperature": "0 °C"}, "warm": {"temperature": 313.15}}
    campaign = parse_campaign({**SMALL, "fixed": {}, "categories": {"room": {"options": options}}})
    assert campaign.categories["room"].options["cold"] == {"temperature": 273.15}


@pytest.mark.parametrize("key", ["quantity", "maximise", "transform", "target"])
def test_what_is_optimised_is_said_once(key):
    value = {"quantity": "density", "maximise": True, "transform": "none", "target": "md"}[key]
    with pytest.raises(CampaignFileError, match=f"{key} beside 'objectives'"):
        parse_campaign({**TWO, key: value})
    assert parse_campaign(parse_campaign(TWO).to_dict()) == parse_campaign(TWO)


def objective(**changes):
    return {"name": "two", "objectives": {"density": {"direction": "maximise", "sources": {"md": {}}, **changes}}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**SMALL, "initial": 20, "stop": {"evaluations": 10}}, "initial is 20, and the campaign ends after 10"),
        (
            {**SMALL, "stop": {"evaluations": 6}},
            "7 or more suggestions fill the space first, and the campaign ends after 6",
        ),
        (objective(reference=1300.0), "reference of density is 1300 g/cm³, and 0.3 to 5 is to be expected (1300"),
        (objective(reference=0.1), "everything is better"),
        (
            objective(at_most=0.1),
            "and 0.3 to 5 is to be expected: nothing can be used",
        ),
    ],
)
def test_what_can_be_of_no_use_is_doubted(document, words):
    assert words in "; ".join(list_doubts(parse_campaign(document)))


def test_what_is_as_usual_is_not_doubted():
    for document in (SMALL, objective(reference=1.05), TWO):
        assert list_doubts(parse_campaign({**document, "fixed": {"temperature": 298.15}})) == []


def test_a_temperature_that_nobody_says_is_doubted():
    options = {"cold": {"temperature": 273.15}, "warm": {"temperature": 313.15}}
    said = ({"fixed": {"temperature": 298.15}}, {"variables": {"temperature": {}}},
            {"categories": {"room": {"options": options}}})  # fmt: skip
    assert "no temperature is fixed" in "; ".join(list_doubts(parse_campaign({**SMALL, "fixed": {}})))
    assert [list_doubts(parse_campaign({**SMALL, "fixed": {}, **keys})) for keys in said] == [[], [], []]


def test_what_an_option_says_is_not_fixed():
    options = {"slow": {"rates": {"charge": 0.2}}, "quick": {"rates": {"charge": 1.0}}}
    document = {**SMALL, "fixed": {"rates": {"discharge": 1.0}}, "categories": {"protocol": {"options": options}}}
    assert parse_campaign(document).fixed == {"rates": {"discharge": 1.0}}
    words = "rates.charge is fixed, and option 'slow' of category 'protocol' says it: leave one out"
    with pytest.raises(CampaignFileError, match=words):
        parse_campaign({**document, "fixed": {"rates": {"charge": 0.2}}})


def test_a_reference_that_no_result_reaches_is_doubted():
    campaign = parse_campaign(objective(reference=1.3))
    assert list(doubt_references(campaign, {"density": [1.1, 1.2, 1.15, 1.0]})) == []  # too few to tell
    (words,) = doubt_references(campaign, {"density": [1.1, 1.2, 1.15, 1.0, 1.1]})
    assert words == (
        "reference of density is 1.3 g/cm³, and none of 5 results is better, the best 1.2: the hypervolume stays 0"
    )
    assert list(doubt_references(campaign, {"density": [1.1, 1.31, 1.15, 1.0, 1.1]})) == []
