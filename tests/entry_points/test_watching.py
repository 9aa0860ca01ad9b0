"""Whoever follows a campaign reads it when it has changed, and does not take the processors that work for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_finales.data.campaign import NOTES, CampaignGroup
from aiida_finales.entry_points import watching
from aiida_finales.entry_points.python import Campaign
from aiida_finales.schemas.campaign import parse_campaign

CAMPAIGN = {"name": "slow", "quantity": "conductivity", "sources": {"two_electrode": {}}}


@pytest.fixture
def process(desk):
    """The process of a campaign, which runs."""
    document = orm.Dict(parse_campaign(CAMPAIGN).to_dict()).store()
    node = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    node.base.links.add_incoming(document, LinkType.INPUT_WORK, "campaign")
    node.set_process_state("waiting")
    CampaignGroup.create_for("slow").add_nodes([node.store()])
    return node


def follow(monkeypatch, *events):
    """Return in which look a campaign was read, where one event happens before each look but the first."""
    looks, left = [0], list(events)

    def wait(_seconds):
        looks[0] += 1
        left.pop(0)()

    clock = SimpleNamespace(sleep=wait, monotonic=lambda: 0.0, process_time=lambda: 0.0)
    monkeypatch.setattr(watching, "time", clock)
    return [looks[0] for _ in watching.follow_campaign(Campaign("slow"))]


def nothing():
    """Let nothing happen."""


def take_notes():
    """Let the process of the campaign write something down."""
    notes = CampaignGroup.find("slow").base.extras
    notes.set(NOTES, {"spent": notes.get(NOTES, {"spent": 0})["spent"] + 1})


def test_it_is_read_after_a_change_and_at_the_end(process, monkeypatch):
    read = follow(monkeypatch, nothing, nothing, take_notes, nothing, lambda: process.set_process_state("finished"))
    assert read == [0, 3, 5]


def test_what_has_taken_too_much_is_read_less_often_but_at_its_end(process, monkeypatch):
    monkeypatch.setattr(watching, "CREDIT", -1.0)
    read = follow(monkeypatch, take_notes, take_notes, lambda: process.set_process_state("finished"))
    assert read == [3]
