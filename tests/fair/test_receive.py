"""A later package of a campaign brings what happened to nodes that an earlier one had brought."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.broker.results import amend_result, delete_result
from aiida_finales.broker.state import adopt_state, read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.result import ResultData
from aiida_finales.fair.package import Wishes, export_campaign
from aiida_finales.fair.receive import receive_package
from tests.fair.conftest import make_metadata

NAME = "first"
DELETED = "a bubble was in the cell"


@pytest.fixture(scope="module")
def exported(profile, tmp_path_factory):
    """Two packages, before and after a result was deleted; its UUID."""
    metadata = make_metadata()
    results = [node for node in CampaignGroup.find(NAME).nodes if isinstance(node, ResultData)]
    result = next(node for node in results if read_state(node.pk)["status"] == "original")
    folder = tmp_path_factory.mktemp("packages")
    earlier = export_campaign(NAME, metadata, folder / "earlier", Wishes(scrub=True))
    delete_result(result.pk, "josiah", DELETED)
    later = export_campaign(NAME, metadata, folder / "later", Wishes(scrub=True))
    return earlier.zip, later.zip, result.uuid


@pytest.fixture
def elsewhere(exported, aiida_profile):
    """An empty profile into which the earlier package has come."""
    aiida_profile.reset_storage()
    assert receive_package(exported[0]).n_renewed == 0
    return exported


def state_of(uuid: str) -> tuple[str, list[str]]:
    pk = orm.load_node(uuid).pk
    return read_state(pk)["status"], [entry.why for entry in read_history(pk)]


def test_a_status_goes_on(elsewhere) -> None:
    _, later, uuid = elsewhere
    status, history = state_of(uuid)
    assert status == "original"
    imported = receive_package(later)
    assert (imported.n_new, imported.n_renewed) == (0, 1)
    assert state_of(uuid) == ("deleted", [*history, DELETED])


def test_a_status_never_goes_back(elsewhere) -> None:
    earlier, later, uuid = elsewhere
    receive_package(later)
    told = state_of(uuid)
    assert [receive_package(package).n_renewed for package in (earlier, later)] == [0, 0]
    assert state_of(uuid) == told


def test_what_went_on_here_stays(elsewhere) -> None:
    """Also where the other history is longer: nobody but a person can say which one is right."""
    _, later, uuid = elsewhere
    amend_result(orm.load_node(uuid).pk, "charlotte", "salt weighed again")
    assert receive_package(later).n_renewed == 0
    status, history = state_of(uuid)
    assert status == "amended"
    assert "salt weighed again" in history


def test_a_state_that_changed_meanwhile_is_not_replaced(elsewhere) -> None:
    pk = orm.load_node(elsewhere[2]).pk
    before = read_state(pk)
    delete_result(pk, "josiah", DELETED)
    assert not adopt_state(pk, before, {**before, "serial": 9, "status": "amended"})
    assert read_state(pk)["status"] == "deleted"
