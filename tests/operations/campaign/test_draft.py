"""A campaign file as a form writes it."""

from __future__ import annotations

import pytest
import yaml

from aiida_finales.operations.campaign.draft import Askable, choices_of, default_draft, option_key, write_draft
from aiida_finales.schemas.campaign import parse_campaign

OFFERED = {
    "conductivity": [
        Askable("conductivity", "two_electrode", ("robot",), 10.0, (283.15, 323.15)),
        Askable("conductivity", "empirical_model", ("model",), 1.0, None),
    ],
    "viscosity": [Askable("viscosity", "rolling_ball_viscometry", ("robot",), 5.0, None)],
    "capacity": [
        Askable("capacity", "cycling", ("cycler",), 9.0, None, {
            "battery_chemistry.cathode.name": ("LFP", "NMC811"), "c_rate_charge": (0.1, 1.0), "format": ("CR2032",),
        }),
        Askable("capacity", "twin", ("model",), 1.0, None, {"battery_chemistry.cathode.name": ("NMC811", "LCO")}),
    ],
}  # fmt: skip


def write(quantity="conductivity", **typed):
    draft = default_draft(quantity, OFFERED[quantity])
    text, errors = write_draft(quantity, OFFERED, {**draft, **typed})
    assert not errors
    return yaml.safe_load(text)


def refuse(**typed):
    text, errors = write_draft("conductivity", OFFERED, typed, {"taken"})
    assert not text
    return errors


def test_as_it_is_shown_at_first_the_dearest_is_the_target_at_room_temperature():
    document = write()
    assert (document["target"], document["fixed"]) == ("two_electrode", {"temperature": 298.15})
    assert document["sources"]["empirical_model"] == {"cost": 1.0, "min_rating": 1}
    assert parse_campaign(document).maximise


def test_what_else_is_wanted_makes_objectives_each_with_its_own_sources():
    document = write(**{"goal-viscosity": "minimise"})
    assert "quantity" not in document
    assert document["objectives"]["viscosity"] == {
        "direction": "minimise",
        "target": "rolling_ball_viscometry",
        "sources": {"rolling_ball_viscometry": {"cost": 5.0}},
    }
    campaign = parse_campaign(document)
    assert list(campaign.optimised) == ["conductivity", "viscosity"]


@pytest.mark.parametrize("text", ["288.15 to 313.15", "15 °C to 40 °C"])
def test_two_temperatures_are_the_ends_between_which_it_is_varied(text):
    document = write(temperature=text)
    assert document["variables"] == {"temperature": {"min": 288.15, "max": 313.15}}
    assert "fixed" not in document
    assert list(parse_campaign(document).variables) == ["temperature"]


def test_one_option_is_for_all_and_several_are_a_category():
    """Whatever any method can do may be chosen; of what there is one of there is no choice."""
    assert choices_of(OFFERED["capacity"]) == {
        "battery_chemistry.cathode.name": ("LFP", "NMC811", "LCO"),
        "c_rate_charge": (0.1, 1.0),
    }
    chosen = {option_key("battery_chemistry.cathode.name", name): "yes" for name in ("LFP", "LCO")}
    document = write("capacity", **chosen, **{option_key("c_rate_charge", 1.0): "yes"})
    assert document["fixed"] == {"c_rate_charge": 1.0}
    assert document["categories"] == {
        "cathode": {
            "options": {
                "LFP": {"battery_chemistry": {"cathode": {"name": "LFP"}}},
                "LCO": {"battery_chemistry": {"cathode": {"name": "LCO"}}},
            }
        }
    }
    assert list(parse_campaign(document).categories) == ["cathode"]


def test_nothing_is_guessed_of_what_cannot_be_read():
    """All that is wrong is said at once, each under the name of its field."""
    asked = {"ask-two_electrode": "yes", "cost-two_electrode": "-1"}
    errors = refuse(**asked, name="taken", temperature="warm", target="nobody", evaluations="2.5")
    assert sorted(errors) == ["cost-two_electrode", "evaluations", "name", "target", "temperature"]
    assert "'warm', but accepted is a number in K" in errors["temperature"]
    assert "'nobody', but accepted is one of the sources: two_electrode" in errors["target"]
    assert "accepted is another name" in errors["name"]


def test_a_name_that_is_free_is_proposed():
    taken = {"conductivity-1", "conductivity-2"}
    assert default_draft("conductivity", OFFERED["conductivity"], taken)["name"] == "conductivity-3"
