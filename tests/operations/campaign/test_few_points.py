"""A campaign that wants more than can be asked for is refused before it starts."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign.start import _demand_space
from aiida_finales.optimisation.problem import Objective, OptimiserSettings, Problem, Source
from aiida_finales.schemas.campaign import parse_campaign
from aiida_finales.schemas.limitations.region import Region

#: three solutions, each as small as limitations can say it
SALTS = ("Li", "Na", "K")
REGIONS = tuple(Region.from_box({salt: (0.085, 0.085001), "EC": (0.914999, 0.915)}) for salt in SALTS)


def demand(n_evaluations, regions=REGIONS, **settings):
    document = {"name": "salts", "quantity": "conductivity", "sources": {"two_electrode": {}}}
    campaign = parse_campaign({**document, "stop": {"evaluations": n_evaluations}})
    problem = Problem(
        (*SALTS, "EC"),
        (Source("two_electrode", regions),),
        (Objective("conductivity", "two_electrode"),),
        OptimiserSettings.from_dict(settings),
    )
    _demand_space(campaign, {"problem": problem.to_dict(), "tenants": {"two_electrode": ["bench"]}})


def test_no_more_evaluations_than_points():
    demand(3)
    with pytest.raises(CampaignFileError, match="has 3 points that can be asked for, but 4 evaluations are wanted"):
        demand(4)


def test_replicates_and_what_varies_are_not_limited():
    demand(4, allow_replicates=True)
    demand(4, (Region.from_box({"Li": (0.05, 0.1), "EC": (0.9, 0.95)}),))
