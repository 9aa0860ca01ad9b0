"""A campaign does not die, starve or learn nothing in silence."""

from __future__ import annotations

import re

from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.operations.campaign_words import describe_overview, final_words, progress_words
from aiida_finales.operations.overview import read_overview
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.workflows.campaign import CampaignWorkChain

QUICK = {"seed": 3, "n_raw": 50, "keep": 16, "burn": 2, "n_hyper_samples": 2, "n_starts": 4}
CAMPAIGN = {
    "name": "small",
    "quantity": "conductivity",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}},
    "initial": 9,
    "stop": {"evaluations": 2, "failures": 2},
    "optimiser": QUICK,
}
#: no model is rated 6
STRICT = {"min_rating": 5}


def run_campaign(document: dict, **inputs) -> orm.WorkChainNode:
    return run_get_node(CampaignWorkChain, campaign=orm.Dict(parse_campaign(document).to_dict()), **inputs)[1]


def overview_of(name: str):
    return read_overview(CampaignGroup.find(name))


class TestAnswersLeftOut:
    def test_430_each_counts_as_failure_and_is_told(self, laboratory):
        node = run_campaign({**CAMPAIGN, "sources": {"empirical_model": STRICT}})
        assert node.exit_status == 430
        expected = (
            r"2 requests in a row to empirical_model brought nothing .*: answer <\d+> is left out: rating \d is below"
        )
        assert re.match(expected, node.exit_message)
        overview = overview_of("small")
        assert (overview.n_done, len(overview.evaluations), overview.state) == (0, 2, "failed")
        first = overview.evaluations[0]
        assert overview.troubles[0].startswith(f"result <{first.pk}> of empirical_model is not learned from: rating ")
        words = final_words(overview)
        assert words[0].startswith("campaign 'small' failed: 2 requests in a row")
        assert words[-1].startswith("cure: 'aiida-finales campaign report small'")
        assert "0/2 evaluations, 2 left out" in progress_words(overview)
        row = describe_overview(overview)
        assert (row["state"], row["left_out"], row["temperature"]) == ("failed", 2, "301.15 K")

    def test_431_when_the_budget_ends_before(self, laboratory):
        document = {**CAMPAIGN, "sources": {"empirical_model": STRICT}, "stop": {"budget": 1.5}}
        node = run_campaign(document)
        assert node.exit_status == 431
        assert "no answer could be learned from, the last: answer" in node.exit_message
        assert describe_overview(overview_of("small"))["budget"] == "1 of 1.5"

    def test_a_source_that_only_fails_is_asked_no_more_and_the_target_goes_on(self, laboratory):
        document = {
            **CAMPAIGN,
            "target": "empirical_model",
            "sources": {"empirical_model": {"learn": False}, "polynomial_interpolation": STRICT},
            "stop": {"evaluations": 2, "failures": 1},
        }
        node = run_campaign(document)
        assert node.exit_status == 0, node.exit_message
        overview = overview_of("small")
        # what is only asked, not learned from, is an evaluation all the same
        assert (overview.n_done, len(overview.left_out)) == (2, 1)
        assert any("it is asked no more" in words for words in overview.troubles)
