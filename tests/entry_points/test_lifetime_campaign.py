"""A campaign over electrode, format and protocol for the end of life of cells that do not exist yet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from aiida import orm

from aiida_finales.broker.registration import add_tenant
from aiida_finales.operations.platform.lifetime_models import train_model
from aiida_finales.schemas.formulation import make_formulation

from .conftest import CAMPAIGN, run_what_is_submitted

pytest.importorskip("sklearn")
_SPEC = importlib.util.spec_from_file_location(
    "made_up", Path(__file__).parents[1] / "science" / "lifetime" / "generator" / "made_up.py"
)
made_up = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_up)

LIFE, GENERATOR = "degradationEOL", "lifetime_generator"
#: the electrolyte of all cells: nothing is learned about it
ELECTROLYTE = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}
CATEGORIES = {
    "electrode": {
        "options": {
            "LFP": {"positive_electrode": {"material": "LFP"}},
            "NMC": {"positive_electrode": {"material": "NMC"}},
        }
    },
    "protocol": {
        "options": {
            "slow": {"protocol": {"charging": [{"rate": 1.0}], "discharging": [{"rate": 1.0}]}},
            "fast": {"protocol": {"charging": [{"rate": 4.0, "until_soc": 0.8}, {"rate": 1.0}],
                                  "discharging": [{"rate": 1.0}]}},
        }
    },
}  # fmt: skip
DOCUMENT = {
    "name": "design",
    "quantity": LIFE,
    "sources": {GENERATOR: {}},
    "fixed": {
        "negative_electrode": {"material": "graphite"},
        "cell_design": {"format": "cylindrical", "nominal_capacity": 1.1},
        "temperature": 298.15,
    },
    "categories": CATEGORIES,
    "initial": 2,
    "stop": {"evaluations": 4},
    "optimiser": CAMPAIGN["optimiser"],
}

# a campaign in this process, most of a minute
pytestmark = pytest.mark.slow


def limit() -> list:
    """Return the limitation to one electrolyte."""
    return [[
        {**part, "fraction": [{"min": part["fraction"], "max": part["fraction"]}], "fraction_type": ["molPerMol"]}
        for part in make_formulation(ELECTROLYTE)
    ]]  # fmt: skip


def test_a_campaign_finds_the_electrode_and_protocol_that_last(registered, monkeypatch) -> None:
    """Each answer is of one option, says its regime, and that the electrolyte was never varied."""
    from aiida_finales import Campaign

    run_what_is_submitted(monkeypatch)
    model = train_model(
        made_up.make(), {"method": "generator", "n_folds": 2, "n_trees": 20, "learners": ["boosting", "process"]}
    )
    offer = {"quantity": LIFE, "method": GENERATOR, "settings": {"model": model.uuid},
             "limitations": {"battery_chemistry": {"electrolyte": limit()}}}  # fmt: skip
    add_tenant("ageing", [offer], kind="internal")
    campaign = Campaign.start(DOCUMENT)
    assert campaign.process.is_finished_ok, campaign.process.exit_message
    evaluations = campaign.overview().evaluations
    assert len(evaluations) == 4
    assert campaign.overview().best.category == {"electrode": "LFP", "protocol": "slow"}
    data = orm.load_node(campaign.overview().best.uuid).data
    assert data["domain"]["regime"] in {"known_protocol", "known_family", "new_protocol"}
    assert "do not vary the electrolyte" in data["degradationEOL"]["meta"]["reason"]
