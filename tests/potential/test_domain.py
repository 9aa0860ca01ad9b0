"""Where a potential holds: each of its mixtures at temperatures and densities of its own."""

from __future__ import annotations

import json
import re

import pytest

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.potential.explore import demand_density, demand_domain
from aiida_finales.potential.frames import density_of
from aiida_finales.potential.input import check_input
from tests.potential.conftest import FOLDER, make_document


@pytest.fixture
def words():
    """What a potential of two salts says: that of lithium was learned where it is hotter."""
    found = json.loads((FOLDER / "small" / "potential.json").read_text())
    domain = found["domain"]
    states = [{key: domain[key] for key in ("temperature_K", "density_g_cm3")}]
    states.append(states[0] | {"temperature_K": [390.0, 390.0]})
    others = [make_document("LiPF6")["formulation"]]
    return found | {"domain": domain | {"temperature_K": [330.0, 390.0], "others": others, "states": states}}


def make_input(salt="NaPF6", temperature=330.0, **shares):
    document = make_document(salt, temperature_K=temperature)
    for part, share in zip(document["formulation"], shares.get("fractions", ()), strict=False):
        part["mole_fraction"] = share
    return check_input(document)


def test_a_mixture_is_found_however_it_is_written(words):
    given = make_input()
    part = given.formulation[2].model_copy(update={"smiles": "F[P-](F)(F)(F)(F)F.[Na+]"})
    turned = given.model_copy(update={"formulation": [part, *given.formulation[:2]]})
    assert demand_domain(turned, words)["temperature_K"] == [330.0, 330.0]
    assert demand_domain(make_input("LiPF6", 390.0), words)["temperature_K"] == [390.0, 390.0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 390.0}, "temperature_K: 390 was given, the potential's domain is 310 to 350 K"),
        ({"salt": "LiPF6"}, "temperature_K: 330 was given, the potential's domain is 370 to 410 K"),
        (
            {"fractions": (0.5, 0.38889)},
            "C1COC(=O)O1 0.5, CCOC(=O)OC 0.38889, [Na+].F[P-](F)(F)(F)(F)F 0.11111 was given",
        ),
    ],
    ids=["of the other mixture", "of the first mixture", "another composition"],
)
def test_what_only_another_mixture_learned_is_outside(words, changes, said):
    with pytest.raises(SimulationInputError, match=re.escape(said)):
        demand_domain(make_input(**changes), words)


def test_a_density_that_it_did_not_learn_is_outside(frames, words):
    loose = frames[0].copy()
    loose.set_cell(loose.cell * 1.05)
    said = f"start.xyz, frame 0: a density of {density_of(loose):.3f} g/cm³ was given"
    with pytest.raises(SimulationInputError, match=said):
        demand_density(loose, demand_domain(make_input(), words), "start.xyz, frame 0")
