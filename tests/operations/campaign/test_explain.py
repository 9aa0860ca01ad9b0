"""What the model of a campaign has learned, for people."""

from __future__ import annotations

from aiida_finales.operations.campaign.explain import draw_effects, explanation_lines


def make_effect(name: str, levels: list[float], means: list[float]) -> dict:
    rows = [
        {"level": level, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        for level, mean in zip(levels, means, strict=True)
    ]
    return {"name": name, "key": name, "unit": "mole fraction", "range": max(means) - min(means), "levels": rows}


def test_what_a_campaign_fixes_has_no_effect():
    """It had one of a single value, 'no more than the model is unsure of', and a panel of its own."""
    effects = [make_effect("LiTFSI", [0.05, 0.15], [0.8, 1.2]), make_effect("DME", [0.4, 0.4], [1.0, 1.0])]
    sure = {"n": 6, "error": 0.08, "error_to_spread": 0.5, "coverage": 1.0}
    item = {"unit": "S/m", "effects": effects, "left_out": sure, "noise": {"bench": 0.06}, "against": []}
    found = {"campaign": "one", "results": 6, "simulated": False, "objectives": {"conductivity": item}}
    lines = explanation_lines(found)
    assert "  DME (mole fraction): does not vary, it is 0.4" in lines
    assert any(line.startswith("  LiTFSI (mole fraction): 0.8 at 0.05, 1.2 at 0.15") for line in lines)
    assert [axes.get_xlabel() for axes in draw_effects(found).axes] == ["LiTFSI (mole fraction)"]


def test_noise_of_a_logarithm_is_a_share_and_simulated_data_are_said_to_be_so():
    sure = {"n": 6, "error": 0.08, "error_to_spread": 0.5, "coverage": 1.0}
    item = {"effects": [make_effect("DME", [0.1, 0.4], [1.0, 2.0])], "left_out": sure, "noise": {"bench": 0.01},
            "against": []}  # fmt: skip
    objectives = {"thick": {**item, "unit": "mPa·s", "scale": "log"}, "dense": {**item, "unit": "", "scale": "none"}}
    found = {"campaign": "one", "results": 6, "simulated": True, "objectives": objectives}
    lines = explanation_lines(found)
    assert [line for line in lines if "noise" in line] == [
        "  noise of one result (sd): bench 2.3 % of the value",
        "  noise of one result (sd): bench 0.01",
    ]
    assert "simulated" in lines[0]
    assert ["simulated data" in [text.get_text() for text in draw_effects({**found, "simulated": told}).texts]
            for told in (True, False)] == [True, False]  # fmt: skip
