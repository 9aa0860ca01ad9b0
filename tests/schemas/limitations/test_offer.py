import copy
import json

import pytest

from aiida_finales.exceptions import InputError, SchemaError
from aiida_finales.schemas.cells.naming import spell_limits
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.formulation import fractions, make_formulation
from aiida_finales.schemas.limitations.offer import (
    Offer,
    allowed_options,
    allowed_values,
    check,
    find_idle_limits,
    formulation_regions,
    nearest,
    read_offers,
)

LIPF6, EC, EMC, PC = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "EMC", "PC"))


def amount(name, low, high, **changes):
    chemical = get_chemical(name)
    return {
        "chemical": {"SMILES": chemical.smiles, "InChIKey": chemical.inchikey},
        "fraction": [{"min": low, "max": high}],
        "fraction_type": ["molPerMol"],
        **changes,
    }


BOX = [amount("EC", 0.0, 0.542), amount("LiPF6", 0.0, 0.153), amount("EMC", 0.35, 1.0)]
TEMPERATURE = [{"min": 263.15, "max": 333.15}]


def offer(limitations, *constraints, quantity="conductivity", method="two_electrode"):
    return Offer(quantity, method, limitations, constraints)


def ask(temperature=None, **shares):
    formulation = make_formulation(shares or {"EC": 0.4, "LiPF6": 0.1, "EMC": 0.5})
    return {"formulation": formulation} | ({} if temperature is None else {"temperature": temperature})


def phrases(limits, parameters):
    return [finding.phrase(limits.method) for finding in check(limits, parameters)]


FILES = {
    "limitations/capacity/cycling": 1,
    "limitations/cell_assembly/autobass_assembly": 1,
    "limitations/conductivity/polynomial_interpolation": 1,
    "limitations/conductivity/two_electrode": 1,
    "limitations/degradationEOL/degradation_model": 1,
    "limitations/degradationEOL/degradation_workflow": 1,
    "limitations/electrolyte/flow": 1,
    "tenants/cell_assembly/autobass_assembly": 1,
    "tenants/conductivity/ASAB": 2,
    "tenants/conductivity/aiida_finales": 1,
    "tenants/degradationEOL/degradation_model": 1,
    "tenants/degradationEOL/degradation_workflow": 1,
    "tenants/transport/Transportation_tenant_tenant": 1,
}

# which of the published example requests each published tenant can serve as it is; the others name what is outside
OUTSIDE = {
    "capacity/cycling": {
        "c_rate_charge_formation",
        "c_rate_discharge_formation",
        "CV_I_cutoff_formation",
        "CV_I_cutoff",
    },
    "cell_assembly/autobass_assembly": {
        "cell.battery_chemistry.electrolyte[1].fraction",
        "cell.battery_chemistry.anode.material",
        "cell.battery_chemistry.anode.material[0].fraction",
        "cell.battery_chemistry.cathode.material",
        "cell.battery_chemistry.cathode.material[0].fraction",
        "cell.separator.material",
    },
    "conductivity/molecular_dynamics": {"formulation[1].fraction", "formulation[2].fraction"},
    "conductivity/polynomial_interpolation": set(),
    "conductivity/two_electrode": {"formulation[1].fraction", "formulation[2].fraction", "temperature"},
    "degradationEOL/degradation_model": {"maximum_charging_rate", "minimum_charging_rate"},
    "degradationEOL/degradation_workflow": {
        "battery_chemistry.cathode.material",
        "battery_chemistry.cathode.material[0].fraction",
    },
    "electrolyte/flow": set(),
    "transport/transport_service": set(),
}


@pytest.mark.parametrize("name", FILES)
def test_published_limitations_load_and_judge_the_published_requests(read, name):
    offers = read_offers(read(f"examples/{name}.json"))
    assert len(offers) == FILES[name]
    for limits in offers:
        assert Offer.from_dict(json.loads(json.dumps(limits.to_dict()))) == limits
        assert find_idle_limits(limits) == []
        request = read(f"examples/requests/{limits.quantity}/{limits.method}.json")["parameters"][limits.method]
        before = copy.deepcopy(request)
        outside = {finding.path for finding in check(limits, request)}
        assert outside == OUTSIDE[f"{limits.quantity}/{limits.method}"]
        best = nearest(limits, request)
        assert request == before
        assert check(limits, best) == []
        assert best == request or outside


def test_a_limitation_of_what_is_no_parameter_is_found():
    """A slip limits nothing; what a capability that is not known here means by it, nobody can tell."""
    limited = {"temprature": [{"min": 280, "max": 300}], "temperature": [{"min": 280, "max": 300}]}
    offers = [Offer.from_dict({"quantity": quantity, "method": "two_electrode", "limitations": limited})
              for quantity in ("conductivity", "hardness")]  # fmt: skip
    assert list(map(find_idle_limits, offers)) == [["temprature"], []]


INSIDE = {
    "room-temperature": (TEMPERATURE, 298.15),
    "lower-end": (TEMPERATURE, 263.15),
    "upper-end": (TEMPERATURE, 333.15),
    "rounded-upper-end": (TEMPERATURE, 333.15 * (1 + 1e-12)),
    "absent": (TEMPERATURE, None),
    "single-value": (301.15, 301.15),
    "list-of-values": ([298.15, 301.15], 301.15),
    "plain-range": ({"min": 263.15, "max": 333.15}, 300),
    "old-words": ([{"minimum": 263.15, "maximum": 333.15}], 300),
    "step": ([{"min": 263.15, "max": 333.15, "step": 5}], 298.15),
    "step-in-tenths": ([{"min": 0.1, "max": 300.0, "step": 0.1}], 298.3),
    "one-sided": ([{"min": 263.15}], 1e6),
    "no-limitation": ([], 1e6),
    "empty-object": ([{}], 1e6),
    "zero-or-more": ([0, {"min": 250.0, "max": 300.0}], 250),
    "any-of": ({"anyOf": [{"min": 200, "max": 210}, {"min": 250, "max": 300}]}, 255),
}


@pytest.mark.parametrize("case", INSIDE.values(), ids=INSIDE.keys())
def test_numbers_inside(case):
    limitation, value = case
    limits = offer({"temperature": limitation})
    assert check(limits, ask(value)) == []
    assert nearest(limits, ask(value)) == ask(value)


OUT = {
    "far": (TEMPERATURE, 3000, "temperature is 3000 K, but two_electrode accepts 263.15 to 333.15 K or absent", 333.15),
    "low": (
        TEMPERATURE,
        200.5,
        "temperature is 200.5 K, but two_electrode accepts 263.15 to 333.15 K or absent",
        263.15,
    ),
    "value": (301.15, 298.15, "temperature is 298.15 K, but two_electrode accepts 301.15 K or absent", 301.15),
    "two": (
        [298.15, 303.15],
        300,
        "temperature is 300 K, but two_electrode accepts 298.15 or 303.15 K or absent",
        298.15,
    ),
    "gap": (
        [{"min": 260, "max": 270}, {"min": 300, "max": 310}],
        290,
        "temperature is 290 K, but two_electrode accepts 260 to 270 or 300 to 310 K or absent",
        300,
    ),
    "step": (
        [{"min": 260, "max": 272, "step": 5}],
        280,
        "temperature is 280 K, but two_electrode accepts 260 to 272 in steps of 5 K or absent",
        270,
    ),
    "one-sided": ({"max": 300}, 400, "temperature is 400 K, but two_electrode accepts at most 300 K or absent", 300),
    "text": (TEMPERATURE, "hot", "temperature is hot, but two_electrode accepts 263.15 to 333.15 K or absent", 263.15),
}


@pytest.mark.parametrize("case", OUT.values(), ids=OUT.keys())
def test_numbers_outside(case):
    limitation, value, words, best = case
    limits = offer({"temperature": limitation})
    assert phrases(limits, ask(value)) == [words]
    answer = nearest(limits, ask(value))
    assert answer["temperature"] == best
    assert check(limits, answer) == []


def test_a_required_number_may_not_be_absent():
    limits = Offer("electrolyte", "flow", {"volume": [{"min": 2, "max": 10}]})
    (finding,) = check(limits, {"volume": 1})
    assert (finding.path, finding.given, finding.allowed, finding.unit) == ("volume", 1, "2 to 10 mL", "mL")


def test_whole_numbers_stay_whole():
    limits = Offer("capacity", "cycling", {"number_cycles": [{"min": 40.0, "max": 200.0, "step": 1}]})
    assert repr(nearest(limits, {"number_cycles": 500})) == "{'number_cycles': 200}"


def test_every_element_of_a_list_is_limited():
    limits = Offer("degradationEOL", "degradation_model", {"input_cycles": [[{"min": 0, "max": 5}]]})
    assert check(limits, {"input_cycles": [1, 5]}) == []
    assert [finding.given for finding in check(limits, {"input_cycles": [1, 7]})] == [7]
    assert nearest(limits, {"input_cycles": [1, 7]}) == {"input_cycles": [1, 5]}


def test_every_step_of_a_protocol_is_limited():
    """A limit on the rate of steps refused all of them: they were no object."""
    limits = Offer("lifetimeCurve", "lifetime_generator", {"protocol": {"charging": [{"rate": [{"max": 4.0}]}]}})
    slow, quick = ({"protocol": {"charging": [{"rate": 1.0}, {"rate": rate}]}} for rate in (4.0, 5.0))
    assert check(limits, slow) == []
    assert [(item.path, item.given) for item in check(limits, quick)] == [("protocol.charging.rate", 5.0)]
    assert nearest(limits, quick) == slow
    assert check(limits, {"protocol": {"charging": []}})  # no step at all is none that is allowed


def test_electrodes_are_limited_by_what_they_are():
    """A tenant for LFP refused LiFePO4."""
    limitations = spell_limits({"positive_electrode": {"material": ["LiFePO4", "mine"]}, "temperature": 300.0})
    assert limitations["positive_electrode"] == {"material": ["LFP", "mine"]}
    limits = Offer("lifetimeCurve", "lifetime_generator", limitations)
    for word in ("LFP", "LiFePO4", "mine"):
        assert check(limits, {"positive_electrode": {"material": word}}) == []
        asked = {"positive_electrode": {"material": word}, "temperature": 310.0}
        assert nearest(limits, asked) == {**asked, "temperature": 300.0}
    assert check(limits, {"positive_electrode": {"material": "NMC811"}})


@pytest.mark.parametrize("key", ["repetions_formation_cycle", "repetitions_formation_cycle"])
def test_both_spellings_of_the_formation_cycles_limit_them(key):
    limits = Offer("capacity", "cycling", {key: [{"min": 3, "max": 3}]})
    assert [finding.path for finding in check(limits, {"repetions_formation_cycle": 4})] == [
        "repetions_formation_cycle"
    ]


def test_words_are_matched_and_the_most_similar_one_is_nearest():
    limits = Offer("capacity", "cycling", {"cycling_protocol": ["BIG-MAP-Standard", "GITT"]})
    assert check(limits, {"cycling_protocol": "GITT"}) == []
    assert phrases(limits, {"cycling_protocol": "BIG-MAP"}) == [
        "cycling_protocol is BIG-MAP, but cycling accepts BIG-MAP-Standard or GITT"
    ]
    assert nearest(limits, {"cycling_protocol": "BIG-MAP"}) == {"cycling_protocol": "BIG-MAP-Standard"}


def test_of_many_places_the_findings_are_those_of_the_nearest():
    places = [{"address": "HIU", "detail_1": "ASAB", "detail_2": f"vial_{number}"} for number in range(1, 9)]
    places.append({"address": "HIU", "detail_1": "Cycler", "detail_2": "Channel: 1"})
    limits = Offer("transport", "transport_service", {"origin": places})
    assert check(limits, {"origin": places[3]}) == []
    (finding,) = check(limits, {"origin": {"address": "HIU", "detail_1": "ASAB", "detail_2": "vial_9"}})
    assert finding.path == "origin.detail_2"
    assert finding.allowed == "vial_1, vial_2, vial_3, vial_4, vial_5 ... (8 alternatives) or absent"
    assert nearest(limits, {"origin": {"address": "HIU", "detail_1": "Cycler", "detail_2": "Channel: 9"}}) == {
        "origin": places[-1]
    }


FREE = [{}, [], [{}], {"anyOf": []}, {"anyOf": [{}]}, {"temperature": []}, {"formulation": [[]], "temperature": {}}]


@pytest.mark.parametrize("limitations", FREE, ids=json.dumps)
def test_no_limitation_allows_everything(limitations):
    limits = offer(limitations)
    assert check(limits, ask(1e6, PC=1.0)) == []
    assert formulation_regions(limits) == ()
    assert allowed_values(limits, "temperature") == [(-float("inf"), float("inf"))]


MIXTURES = {
    "inside": ({"EC": 0.4, "LiPF6": 0.1, "EMC": 0.5}, []),
    "corner": ({"EMC": 1.0}, []),
    "zero-of-a-foreign-one": ({"EMC": 1.0, "PC": 0.0}, []),
    "rounding": ({"EC": 0.5420000001, "LiPF6": 0.1, "EMC": 0.3579999999}, []),
    "sum-of-0.9995": ({"EC": 0.4, "LiPF6": 0.153, "EMC": 0.4465}, []),
    "too-much": (
        {"EC": 0.4, "LiPF6": 0.2, "EMC": 0.4},
        ["fraction of LiPF6 in formulation is 0.2, but two_electrode accepts 0 to 0.153"],
    ),
    "foreign": (
        {"EMC": 0.5, "PC": 0.5},
        ["fraction of PC in formulation is 0.5, but two_electrode accepts no PC, only EC, LiPF6, EMC"],
    ),
    "missing": (
        {"EC": 0.5, "PC": 0.5},
        [
            "fraction of PC in formulation is 0.5, but two_electrode accepts no PC, only EC, LiPF6, EMC",
            "fraction of EMC in formulation is 0, but two_electrode accepts 0.35 to 1",
        ],
    ),
}


@pytest.mark.parametrize("case", MIXTURES.values(), ids=MIXTURES.keys())
def test_mixtures_are_judged_chemical_by_chemical(case):
    shares, words = case
    limits = offer({"formulation": [BOX], "temperature": TEMPERATURE})
    assert phrases(limits, ask(**shares)) == words
    best = nearest(limits, ask(**shares))
    assert check(limits, best) == []
    assert words or best == ask(**shares)


def test_what_is_not_allowed_is_dropped_and_the_rest_scaled_before_projecting():
    best = fractions(nearest(offer({"formulation": [BOX]}), ask(EC=0.2, EMC=0.3, PC=0.5)))
    assert best == pytest.approx({EC: 0.4, EMC: 0.6})
    best = fractions(nearest(offer({"formulation": [BOX]}), ask(EC=0.9, EMC=0.1)))
    assert sum(best.values()) == pytest.approx(1)
    assert best[EC] == pytest.approx(0.542, abs=1e-6)
    assert best[LIPF6] <= 0.153


def test_nothing_feasible_is_none():
    limits = offer({"formulation": [[amount("EC", 0, 0.2), amount("LiPF6", 0, 0.1)]]})
    assert check(limits, ask())
    assert nearest(limits, ask()) is None
    assert formulation_regions(limits) == ()


def test_zero_or_at_least_makes_two_regions():
    limits = offer({"formulation": [[amount("EC", 0, 1), amount("PC", 0, 0, fraction=[0, {"min": 0.2, "max": 0.5}])]]})
    assert [tuple(region.lower) for region in formulation_regions(limits)] == [(0, 0), (0, 0.2)]
    assert check(limits, ask(EC=0.7, PC=0.3)) == check(limits, ask(EC=1.0)) == []
    assert phrases(limits, ask(EC=0.88, PC=0.12)) == [
        "fraction of PC in formulation is 0.12, but two_electrode accepts 0 or 0.2 to 0.5"
    ]
    assert fractions(nearest(limits, ask(EC=0.88, PC=0.12))) == pytest.approx({EC: 0.8, PC: 0.2})
    assert fractions(nearest(limits, ask(EC=0.95, PC=0.05))) == pytest.approx({EC: 1.0, PC: 0.0})


def test_alternatives_of_a_mixture_and_of_the_whole_document():
    either = offer({"formulation": [[amount("EC", 1, 1)], [amount("PC", 1, 1)]]})
    assert len(formulation_regions(either)) == 2
    assert check(either, ask(PC=1.0)) == []
    documents = offer(
        [{"formulation": [[amount("EC", 1, 1)]], "temperature": 298}, {"formulation": [[amount("PC", 1, 1)]]}]
    )
    assert len(formulation_regions(documents)) == 2
    assert check(documents, ask(400, PC=1.0)) == []
    assert [finding.path for finding in check(documents, ask(299, EC=1.0))] == ["temperature"]
    assert nearest(documents, ask(299, EC=1.0)) == {**ask(298, EC=1.0)}
    assert allowed_values(documents, "temperature") == [(-float("inf"), float("inf"))]


@pytest.mark.parametrize(
    "limitations",
    [
        {"formulation": BOX},
        {"formulation": [BOX]},
        {"electrolyte": {"formulation": [BOX]}},
        {"anyOf": [[{"formulation": [BOX]}]]},
        {"battery": {"Electrolyte": {"formulation": [BOX]}}},
    ],
    ids=["one-list", "top-level", "nested", "any-of", "other-house"],
)
def test_a_formulation_is_found_by_its_last_keys(limitations):
    limits = Offer("electrolyte", "flow", limitations)
    given = {"electrolyte": {"formulation": make_formulation({"EC": 1.0})}, "volume": 1}
    assert {finding.path for finding in check(limits, given)} == {
        "electrolyte.formulation",
        "electrolyte.formulation[0].fraction",
    }
    assert len(formulation_regions(limits)) == len(formulation_regions(limits, "electrolyte.formulation")) == 1


HULL = {
    "path": "formulation",
    "hull": {"chemicals": [LIPF6, EC, EMC], "vertices": [[0, 1, 0], [0, 0, 1], [0.1, 0.4, 0.5]]},
}
PLANE = {"path": "formulation", "coefficients": {EC: 1.0, EMC: -1.0}, "max": 0.0}


def test_what_a_robot_can_mix_restricts_the_box():
    limits = offer({"formulation": [BOX]}, HULL, PLANE)
    assert check(limits, ask(LiPF6=0.05, EC=0.4, EMC=0.55)) == []
    (finding,) = check(limits, ask(LiPF6=0.15, EC=0.4, EMC=0.45))
    assert finding.allowed.startswith("what can be mixed from its 3 solutions of LiPF6, EC, EMC: less ")
    assert finding.given == "LiPF6 0.15, EC 0.4, EMC 0.45"
    (finding,) = check(limits, ask(EC=0.51, EMC=0.49))
    assert finding.allowed == "mixtures with 1 EC -1 EMC at most 0: less EC or more EMC"
    (region,) = formulation_regions(limits)
    assert set(region.names) == {LIPF6, EC, EMC}
    best = nearest(limits, ask(LiPF6=0.15, EC=0.45, EMC=0.4))
    assert check(limits, best) == []
    assert fractions(best)[LIPF6] < 0.1


def test_a_hull_alone_is_enough():
    limits = offer({"temperature": TEMPERATURE}, HULL)
    assert check(limits, ask(LiPF6=0.1, EC=0.4, EMC=0.5)) == []
    assert [finding.path for finding in check(limits, ask(PC=1.0))] == ["formulation[0].fraction"]
    added = nearest(limits, ask(LiPF6=0.3, EC=0.7))["formulation"]
    assert added[-1]["chemical"] == {"SMILES": get_chemical("EMC").smiles, "InChIKey": EMC}


def test_a_hull_may_name_what_the_box_does_not():
    limits = offer({"formulation": [[amount("EC", 0, 1)]]}, HULL)
    assert check(limits, ask(EC=1.0)) == []
    assert nearest(limits, ask(EC=0.5, EMC=0.5))["formulation"] == make_formulation({"EC": 1.0})


def test_allowed_values_are_the_ranges_of_all_alternatives():
    limits = offer({"anyOf": [{"temperature": [300, {"min": 310, "max": 320}]}, {"temperature": 290}]})
    assert allowed_values(limits, "temperature") == [(290, 290), (300, 300), (310, 320)]
    with pytest.raises(
        InputError, match=r"formulation of conductivity/two_electrode is limited by Mixture, not by num"
    ):
        allowed_values(offer({"formulation": [BOX]}), "formulation")


def test_an_unknown_capability_can_be_offered_too():
    limits = Offer("colour", "eye", {"light": {"power": [{"min": 1, "max": 2}]}, "who": ["me"]})
    assert check(limits, {"light": {"power": 1.5}, "who": "me"}) == []
    assert phrases(limits, {"light": {"power": 3}}) == ["light.power is 3, but eye accepts 1 to 2"]


def _bad(limitations=None, *, constraints=(), **changes):
    base = {
        "quantity": "conductivity",
        "method": "two_electrode",
        "limitations": limitations,
        "constraints": constraints,
    }
    return {**base, **changes}


HULL_OF = HULL["hull"]
NONSENSE = {
    "no-object": ([], r"offer: \$: 'list' was given, accepted is an object"),
    "no-method": (_bad({}, method=None), r"offer: method: None was given, accepted is a name; it is required"),
    "text": (_bad("all"), r"limitations: 'all' was given, accepted is an object with the limited fields"),
    "number-in-list": (_bad([3]), r"limitations\[0\]: 3 was given"),
    "text-for-number": (
        _bad({"temperature": "hot"}),
        r"limitations.temperature: 'hot' .* numbers or \{min, max, step\}",
    ),
    "number-for-formulation": (_bad({"formulation": [0.3]}), r"limitations.formulation: .* a list of components"),
    "empty-range": (_bad({"temperature": [{"min": 3, "max": 1}]}), r"temperature\[0\]: 'min 3, max 1' .*not above max"),
    "not-finite": (
        _bad({"temperature": float("inf")}),
        r"limitations.temperature: 'inf' was given, accepted is a finite",
    ),
    "text-bound": (_bad({"temperature": {"min": "a"}}), r"temperature.min: 'a' was given, accepted is a finite number"),
    "unknown-bound": (_bad({"temperature": {"min": 1, "mx": 2}}), r"limitations.temperature.mx: 2 was given"),
    "step": (_bad({"temperature": {"min": 1, "max": 2, "step": 0}}), r"temperature.step: 0.0 was given, .* above 0"),
    "no-inchikey": (
        _bad({"formulation": [[{"chemical": {"SMILES": "O"}}]]}),
        r"formulation\[0\]\[0\].chemical.InChIKey: None was given, accepted is the InChIKey .* it is required",
    ),
    "two-chemicals": (
        _bad({"formulation": [[{"chemical": {"SMILES": "COC(=O)OC", "InChIKey": get_chemical("EC").inchikey}}]]}),
        r"formulation\[0\]\[0\].chemical: .* accepted is one chemical: the SMILES is that of DMC, but .* of EC",
    ),
    "mass-fraction": (_bad({"formulation": [[amount("EC", 0, 1, fraction_type="wt")]]}), r"\[0\].fraction_type: 'wt'"),
    "fraction-range": (_bad({"formulation": [[amount("EC", 2, 3)]]}), r"\[0\].fraction: .* mole fractions from 0 to 1"),
    "fraction-text": (_bad({"formulation": [[amount("EC", 0, 1, fraction="x")]]}), r"\[0\].fraction: 'x'"),
    "twice": (
        _bad({"formulation": [[amount("EC", 0, 1)] * 2]}),
        r"formulation\[0\]: 'a list of 2' .* each chemical once",
    ),
    "explosion": (
        _bad({"formulation": [[amount(name, 0, 0, fraction=[0.1] * 7) for name in ("EC", "PC", "EMC")]]}),
        r"at most 256 combinations",
    ),
    "not-a-component": (_bad({"formulation": [[amount("EC", 0, 1), 3]]}), r"formulation\[0\]\[1\]: 3 was given"),
    "constraints-no-list": (_bad({}, constraints={"a": 1}), r"constraints: 'dict' was given, accepted is a list"),
    "constraint-empty": (
        _bad({}, constraints=[{"path": "formulation"}]),
        r"constraints\[0\]: .* either hull or coeffic",
    ),
    "hull-sum": (
        _bad({}, constraints=[{**HULL, "hull": {**HULL_OF, "vertices": [[0.5, 0.1, 0.1]]}}]),
        r"constraints\[0\].hull.vertices: .* one row of 3 mole fractions per solution, each row with sum 1",
    ),
    "hull-names": (
        _bad({}, constraints=[{**HULL, "hull": {**HULL_OF, "chemicals": [EC, EC, EMC]}}]),
        r"constraints\[0\].hull.chemicals: .* a list of InChIKeys",
    ),
    "plane-free": (_bad({}, constraints=[PLANE]), r"constraints\[0\].path: 'formulation' .* the limitations .* name"),
    "plane-open": (
        _bad({"formulation": [BOX]}, constraints=[{"path": "formulation", "coefficients": {EC: 1}}]),
        r"constraints\[0\]: .* min or max or both",
    ),
    "plane-text": (
        _bad({"formulation": [BOX]}, constraints=[{"path": "formulation", "coefficients": {EC: "x"}, "min": 0}]),
        r"constraints\[0\].coefficients: .* a finite number per InChIKey",
    ),
    "plane-elsewhere": (
        _bad({"temperature": 298}, constraints=[{**PLANE, "path": "temperature"}]),
        r"constraints\[0\].path: 'temperature' was given",
    ),
}


@pytest.mark.parametrize("case", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_with_its_path(case):
    document, words = case
    with pytest.raises(SchemaError, match=words):
        Offer.from_dict(document)


def test_all_nonsense_is_named_at_once():
    with pytest.raises(SchemaError) as caught:
        Offer.from_dict(_bad({"temperature": "hot", "formulation": 3}, constraints=[{}]))
    assert [error["path"] for error in caught.value.errors] == [
        "limitations.temperature",
        "limitations.formulation",
        "constraints[0]",
    ]


def test_alternatives_that_differ_elsewhere_have_one_region():
    box = [{"chemical": {"SMILES": "CCOC(=O)OC", "InChIKey": "JBTWLSYIZRCDFO-UHFFFAOYSA-N"}, "fraction": [1.0]}]
    box[0]["fraction_type"] = ["molPerMol"]
    pairs = [("NVP", "hard carbon"), ("LFP", "graphite")]
    limits = [
        {"battery_chemistry": {"electrolyte": box, "cathode": {"name": [first]}, "anode": {"name": [second]}}}
        for first, second in pairs
    ]
    offer = Offer("degradationEOL", "degradation_workflow", limits)
    assert len(formulation_regions(offer)) == 1
    said = {key: {"name": name} for key, name in zip(("cathode", "anode"), ("NVP", "graphite"), strict=True)}
    [found] = check(offer, {"battery_chemistry": said})
    assert found.path.endswith("name")


def test_what_one_may_choose_is_what_every_alternative_names():
    """Texts and single numbers; not ranges, not what an alternative leaves free, and of each the union."""
    first = {
        "cell": {"cathode": {"name": ["LFP", "LCO"]}, "anode": {"name": ["Li"]}},
        "rate": [0.1, 1.0],
        "wet": [True],
    }
    second = {"cell": {"cathode": {"name": ["LCO", "NCA"]}}, "rate": [{"min": 0.1, "max": 2.0}], "wet": [False]}
    offer = Offer.from_dict({"quantity": "capacity", "method": "cycling", "limitations": [first]})
    assert allowed_options(offer) == {
        ("cell", "cathode", "name"): ("LFP", "LCO"), ("cell", "anode", "name"): ("Li",), ("rate",): (0.1, 1.0),
    }  # fmt: skip
    offer = Offer.from_dict({"quantity": "capacity", "method": "cycling", "limitations": [first, second]})
    assert allowed_options(offer) == {("cell", "cathode", "name"): ("LFP", "LCO", "NCA")}
