"""The name of a campaign is its own, however it was started."""

from __future__ import annotations

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node

from aiida_finales.data.campaign import CampaignGroup, find_campaign_process, has_older_namesake, remove_from_group
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.campaign import CampaignWorkChain

CAMPAIGN = {
    "name": "taken",
    "quantity": "conductivity",
    "target": "empirical_model",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}},
    "initial": 1,
    "stop": {"evaluations": 1},
}


def run_campaign() -> orm.WorkChainNode:
    return run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(CAMPAIGN).to_dict()))[1]


def make_process(state: str, name: str) -> orm.WorkChainNode:
    """Return a campaign whose first step has not run, as another worker may have it."""
    document = orm.Dict(parse_campaign({**CAMPAIGN, "name": name}).to_dict()).store()
    node = orm.WorkChainNode(process_type="aiida.workflows:finales.campaign")
    node.base.links.add_incoming(document, LinkType.INPUT_WORK, "campaign")
    node.set_process_state(state)
    return node.store()


def test_a_second_campaign_of_a_name_is_refused_and_the_first_is_untouched(laboratory):
    first = run_campaign()
    group = CampaignGroup.find("taken")
    before = {node.uuid for node in group.nodes}
    second = run_campaign()
    assert (first.exit_status, second.exit_status) == (0, 402)
    assert "a campaign 'taken' exists already: choose another name" in second.exit_message
    assert {node.uuid for node in group.nodes} == before
    assert second.called == []


def test_one_that_was_put_into_the_group_before_it_is_refused_does_not_hide_the_first(laboratory):
    first = run_campaign()
    group = CampaignGroup.find("taken")
    second = make_process("running", "taken")
    group.add_nodes([second])
    assert has_older_namesake(second, "taken")
    assert find_campaign_process(group).pk == first.pk
    remove_from_group(second, "taken")
    assert second not in list(group.nodes)
    assert first in list(group.nodes)


def test_of_two_begun_at_once_the_first_has_the_name(laboratory):
    one, two, other = (make_process("created", name) for name in ("taken", "taken", "free"))
    assert [has_older_namesake(node, "taken") for node in (one, two)] == [False, True]
    assert not has_older_namesake(other, "free")


def test_one_that_was_refused_takes_no_name(laboratory):
    make_process("finished", "taken")
    assert run_campaign().exit_status == 0
