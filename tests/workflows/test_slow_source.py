"""A campaign with a robot and molecular dynamics: what is slow is never waited for, and learned when it comes."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.suggestion import SuggestionData
from aiida_finales.data.training_set import find_training, read_members
from aiida_finales.operations.platform.simulation import setup_simulation
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.limitations.offer import Offer, check
from aiida_finales.workflows.campaign import CampaignWorkChain

SLOW, FAST = "molecular_dynamics", "two_electrode"
N_FAST, N_SLOW = 6, 2
#: what the tenants declare
COSTS = {FAST: 10.0, SLOW: 20.0}
#: formula units and ps: seconds of simulation, not enough for any ion to diffuse
SMALL = {
    "n_cells": 1,
    "n_molecules": 20,
    "engine": "openmm",
    "protocol": {
        "nvt_ps": 0.5,
        "npt_ps": 1.0,
        "settle_ps": 0.1,
        "production_ps": 3.0,
        "frame_ps": 0.05,
        "cutoff_nm": 0.5,
        "rdf_frames": 5,
    },
}
CAMPAIGN = {
    "name": "slow",
    "quantity": "conductivity",
    "target": FAST,
    "fixed": {"temperature": 301.15},
    # one cell has no error and such a short one is not diffusive: rated 1
    "sources": {FAST: {"evaluations": N_FAST}, SLOW: {"min_rating": 1}},
    "initial": 3,
    "stop": {"budget": N_FAST * COSTS[FAST] + N_SLOW * COSTS[SLOW]},
    "optimiser": {"seed": 3, "n_raw": 100, "keep": 16, "burn": 4},
}
#: s that all of it may take on a busy computer
PATIENCE = 400.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 100)]


class Queue(threading.Thread):
    """Holds the program back as a queue does, until the robot has made all its doses.

    :param doses: journal of the robot.
    :param gate: the program goes on when this is there.
    """

    def __init__(self, doses: Path, gate: Path) -> None:
        super().__init__(daemon=True)
        self.doses, self.gate = doses, gate

    def run(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self.is_free():
            time.sleep(0.2)
        self.gate.touch()

    def is_free(self) -> bool:
        return self.doses.exists() and len(self.doses.read_text().splitlines()) >= N_FAST


@pytest.fixture
def tenant(laboratory, aiida_localhost, tmp_path):
    """Molecular dynamics by the real program, behind a gate that is closed."""
    aiida_localhost.set_minimum_job_poll_interval(0.0)
    script = tmp_path / "finales-md"
    wait = f"while [ ! -e {tmp_path / 'gate'} ]; do sleep 0.2; done"
    script.write_text(f'#!/bin/sh\n{wait}\nexec {sys.executable} -m aiida_finales.md.command "$@" --threads 1\n')
    script.chmod(0o755)
    return setup_simulation(aiida_localhost.label, program=str(script), protocol="fast", overrides=SMALL)


@pytest.fixture
def campaign(tenant, tmp_path):
    """The group of the campaign, which is over."""
    Queue(tmp_path / "asab" / "doses.jsonl", tmp_path / "gate").start()
    document = parse_campaign(CAMPAIGN).to_dict()
    outputs, node = run_get_node(CampaignWorkChain, campaign=orm.Dict(document))
    assert node.exit_status == 0, node.exit_message
    assert "recommendation" in outputs
    return CampaignGroup.find("slow")


def test_a_slow_source_is_not_waited_for_and_is_learned_from(campaign, tenant):
    def nodes(kind):
        return [node for node in campaign.nodes if isinstance(node, kind)]

    requests, results, suggestions = (
        sorted(nodes(kind), key=lambda node: node.pk) for kind in (RequestData, ResultData, SuggestionData)
    )
    fast, slow = ([node for node in results if node.method == source] for source in (FAST, SLOW))
    asked = [node for node in requests if node.methods == [SLOW]]
    # the budget counts what the tenants declare: at a cost of 1 each there would be ninety simulations
    assert (len(fast), len(slow), len(asked)) == (N_FAST, N_SLOW, N_SLOW)
    # the robot was asked, and answered, all there was while the first simulation waited in its queue
    assert asked[0].pk < fast[1].pk
    assert fast[-1].pk < slow[0].pk

    # simulations are within the tenant's limitations
    offer = Offer.from_dict(tenant.find_offer("conductivity", SLOW))
    for request in asked:
        assert check(offer, request.parameters[SLOW]) == []
        shares = [part["fraction"] for part in request.parameters[SLOW]["formulation"] if part["fraction"] > 0]
        assert min(shares) >= 0.005

    # each is learned from as soon as it is there, as a source of its own
    for result in slow:
        later = [node for node in suggestions if node.pk > result.pk]
        assert later
        for suggestion in later:
            assert result.uuid in read_members(suggestion.creator)
    training = next(find_training(node.creator) for node in suggestions if node.pk > slow[0].pk)
    assert next(row["source"] for row in training.rows if row["uuid"] == slow[0].uuid) == SLOW
    # what so short a run says is far off; the model takes most of that for a bias of this source
    recommendation = suggestions[-1].document["recommendation"]["sources"]
    assert set(recommendation) == {FAST, SLOW}
    measured, simulated = (sum(node.value for node in group) / len(group) for group in (fast, slow))
    assert abs(recommendation[FAST]["mean"] - measured) < 0.5 * abs(simulated - measured)
