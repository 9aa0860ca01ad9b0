"""What is modelled as a logarithm is reported in the unit of the quantity."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation import Observation, ask, recommend
from aiida_finales.optimisation.transform import to_model, to_natural


def test_there_and_back():
    assert to_model("none", -3.5) == -3.5
    document = to_natural("log", {"predicted": {"x": [1.0], "mean": to_model("log", 150.0), "sd": 0.1}})
    assert document["predicted"]["mean"] == pytest.approx(150)
    assert document["predicted"]["low"] == pytest.approx(150 / 10**0.1)
    assert document["predicted"]["high"] == pytest.approx(150 * 10**0.1)
    assert document["predicted"]["sd"] == pytest.approx(75 * (10**0.1 - 10**-0.1))
    assert document["transform"] == "log"


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_what_has_no_logarithm_is_refused(value):
    with pytest.raises(InputError, match=r"has no logarithm: accepted are numbers above 0"):
        to_model("log", value)


def test_unknown_transforms_are_refused():
    with pytest.raises(InputError, match="transform is 'sqrt', accepted are none, log"):
        to_model("sqrt", 1.0)


def test_a_suggestion_without_transform_stays_as_it_is(problem, rows):
    document = ask(problem, rows, (), "robot", 14).to_dict()
    assert to_natural("none", document) == document


def test_every_prediction_of_a_suggestion_is_translated(problem, rows):
    rows = [Observation(row.source, row.x, to_model("log", 10**row.values), row.uuid, row.ctime) for row in rows]
    plain = ask(problem, rows, (), "robot", 14).to_dict()
    document = to_natural("log", plain)
    assert json.loads(json.dumps(document)) == document
    assert (document["x"], document["training"], document["model"]) == (plain["x"], plain["training"], plain["model"])
    assert math.log10(document["predicted"]["mean"]) == pytest.approx(plain["predicted"]["mean"])
    best = plain["recommendation"]["overall"]["mean"]
    assert document["recommendation"]["overall"]["mean"] == pytest.approx(10**best)
    assert set(document["recommendation"]["sources"]) == set(plain["recommendation"]["sources"])
    assert document["expected_gain"] == pytest.approx(10 ** (best + plain["expected_gain"]) - 10**best)
    assert document["relative_gain"] == plain["relative_gain"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_life_over_decades_is_found_with_few_cells(make_problem, truth, seed):
    """Medians of eight cells of which each scatters by a quarter; the salt alone spans more than a decade."""
    problem, rng = make_problem(), np.random.default_rng(seed)
    rows: list[Observation] = []
    for step in range(20):
        x = ask(problem, rows, (), "robot", step).x
        lives = 180 * 10 ** (truth(np.array([x]))[0] - 1) * rng.lognormal(0, 0.25, 8)
        rows.append(Observation("robot", x, to_model("log", float(np.median(lives))), f"{step:03d}", f"{step:03d}"))
    best = recommend(problem, rows).sources["robot"]
    assert 180 * 10 ** (truth(np.array([best.x]))[0] - 1) > 0.95 * 180
    assert 150 < 10**best.mean < 215
