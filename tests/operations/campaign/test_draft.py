"""A campaign file as a form writes it."""

from __future__ import annotations

import pytest
import yaml

from aiida_finales.exceptions import CampaignFileError, InputError
from aiida_finales.operations.campaign.draft import Askable, default_draft, write_draft
from aiida_finales.schemas.campaign import parse_campaign

OFFERED = {
    "conductivity": [
        Askable("conductivity", "two_electrode", ("robot",), 10.0, (283.15, 323.15)),
        Askable("conductivity", "empirical_model", ("model",), 1.0, None),
    ],
    "viscosity": [Askable("viscosity", "rolling_ball_viscometry", ("robot",), 5.0, None)],
}


def write(**typed):
    draft = default_draft("conductivity", OFFERED["conductivity"])
    return yaml.safe_load(write_draft("conductivity", OFFERED, {**draft, **typed}))


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


def test_nothing_is_guessed_of_what_cannot_be_read():
    with pytest.raises(InputError, match="'warm', but accepted is a number in K"):
        write(temperature="warm")
    with pytest.raises(CampaignFileError, match="target is 'nobody', but accepted is one of the sources"):
        write(target="nobody")
