"""A campaign over electrodes and protocols, asked of a model that knows many designs of cells."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.operations.campaign.lifetime_pictures import _find_predicted
from aiida_finales.operations.campaign.reading import read_overview
from aiida_finales.operations.campaign.report import write_report
from aiida_finales.operations.platform.lifetime_models import train_model
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.formulation import make_formulation
from aiida_finales.workflows.campaign import CampaignWorkChain

pytest.importorskip("sklearn")
_SPEC = importlib.util.spec_from_file_location(
    "made_up", Path(__file__).parents[1] / "science" / "lifetime" / "generator" / "made_up.py"
)
made_up = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made_up)

QUANTITY, METHOD = "degradationEOL", "lifetime_generator"
#: the one electrolyte of the cells that were learned from, in mole fractions
ELECTROLYTE = {"LiPF6": 0.08, "EC": 0.3, "EMC": 0.62}


CAMPAIGN = {
    "name": "designs",
    "quantity": QUANTITY,
    "fixed": {
        "negative_electrode": {"material": "graphite"},
        "cell_design": {"format": "cylindrical"},
        "temperature": 298.15,
        "protocol": {"discharging": [{"rate": 1.0}], "voltage_minimum": 2.0},
    },
    "categories": {
        "positive": {
            "options": {
                "LFP": {
                    "positive_electrode": {"material": "LFP"},
                    "cell_design": {"nominal_capacity": 1.1},
                    "protocol": {"voltage_maximum": 3.6},
                },
                "NMC": {
                    "positive_electrode": {"material": "NMC"},
                    "cell_design": {"nominal_capacity": 2.0},
                    "protocol": {"voltage_maximum": 4.2},
                },
            }
        },
        "charge": {
            "options": {
                "slow": {"protocol": {"charging": [{"rate": 1.0}]}},
                "fast": {"protocol": {"charging": [{"rate": 4.0, "until_soc": 0.8}, {"rate": 1.0}]}},
            }
        },
    },
    "sources": {METHOD: {}},
    "initial": 2,
    "stop": {"evaluations": 4},
}


@pytest.fixture(scope="module")
def ended(registered):
    settings = {"method": "generator", "n_folds": 2, "n_trees": 20, "learners": ["boosting", "process"]}
    model = train_model(made_up.make(), settings)
    box = [
        {
            "chemical": item["chemical"],
            "fraction": [{"min": item["fraction"], "max": item["fraction"]}],
            "fraction_type": ["molPerMol"],
        }
        for item in make_formulation(ELECTROLYTE)
    ]
    limitations = {"battery_chemistry": {"electrolyte": [box]}}
    offer = {"quantity": QUANTITY, "method": METHOD, "limitations": limitations, "settings": {"model": model.uuid}}
    add_tenant("ageing", [offer], kind="internal")
    _, node = run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(CAMPAIGN).to_dict()))
    return node


def test_each_combination_is_asked_for_once_and_the_longest_life_is_found(ended):
    assert ended.is_finished_ok, ended.exit_message
    overview = read_overview(CampaignGroup.find(CAMPAIGN["name"]))
    lives = {(item.options["positive"], item.options["charge"]): item.value for item in overview.evaluations}
    assert len(overview.evaluations) == len(lives) == 4
    assert max(lives, key=lives.get) == ("LFP", "slow")  # by the rule of the made-up cells


def test_a_prediction_beside_what_others_measured_is_drawn(ended):
    """With the chain as target there were no pictures of the lives that were predicted."""
    overview = read_overview(CampaignGroup.find(CAMPAIGN["name"]))
    sources = {"chain": {"method": "degradation_workflow"}, METHOD: {}}
    beside = parse_campaign({**CAMPAIGN, "sources": sources, "target": "chain"})
    lives = sorted(overview.evaluations, key=lambda item: item.value)
    assert _find_predicted(replace(overview, campaign=beside)).pk == lives[-1].pk
    measured = replace(lives[-1], pk=0, number=5, source="chain", value=9.0, options=lives[1].options)
    found = replace(overview, campaign=beside, evaluations=(*overview.evaluations, measured))
    assert found.best is measured
    assert _find_predicted(found).pk == lives[1].pk  # of the cell that was measured


def test_the_report_draws_the_life_that_was_found(ended, tmp_path):
    write_report(read_overview(CampaignGroup.find(CAMPAIGN["name"])), tmp_path)
    names = {path.stem.removeprefix("designs-") for path in tmp_path.glob("*.png")}
    assert {"lifetime", "inputs", "electrodes", "errors"} <= names
