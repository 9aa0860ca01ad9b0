"""A later package of a campaign brings what happened to nodes that an earlier one had brought."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_finales.broker.matching import match
from aiida_finales.broker.registration import switch_tenant
from aiida_finales.broker.results import amend_result, delete_result
from aiida_finales.broker.samples import list_samples
from aiida_finales.broker.state import adopt_state, read_history, read_state
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.capability import list_capabilities
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import find_tenant, list_tenants, name_tenants
from aiida_finales.exceptions import UnknownNodeError
from aiida_finales.fair.package.export import Wishes, export_campaign
from aiida_finales.fair.package.receive import receive_package
from tests.fair.conftest import make_metadata, mixture

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


@pytest.fixture
def visited(history, aiida_profile, tmp_path):
    """A laboratory into which the archive of another came, in which the same tenants are active."""
    from aiida_finales.operations.platform.installation import setup_capabilities
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    aiida_profile.reset_storage()
    setup_capabilities()
    setup_laboratory(tmp_path, has_cells=False)
    own = {node.uuid for node in [*list_tenants(), *list_capabilities()]}
    own |= {node.uuid for node, _ in list_samples()}
    receive_package(history)
    return own


def test_what_came_along_never_stands_for_what_is_here(visited, tmp_path) -> None:
    from aiida_finales.operations.platform.installation import setup_capabilities
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    def seen() -> set[str]:
        nodes = [*list_tenants(only_active=False), *list_capabilities(only_active=False)]
        return {node.uuid for node in [*nodes, *(sample for sample, _ in list_samples())]}

    assert seen() == visited
    assert {find_tenant(tenant.name).uuid for tenant in list_tenants()} <= visited
    setup_capabilities()
    setup_laboratory(tmp_path, has_cells=False)
    assert seen() == visited


def test_commands_act_on_the_tenant_that_is_active_here(visited) -> None:
    parameters = {"empirical_model": {"formulation": mixture(), "temperature": 301.15}}
    assert match("conductivity", parameters).candidates
    switch_tenant("empirical-model", is_active=False)
    assert not match("conductivity", parameters).candidates
    assert "empirical-model" not in [tenant.name for tenant in list_tenants()]
    assert switch_tenant("empirical-model", is_active=True).uuid in visited
    assert match("conductivity", parameters).candidates


def test_a_tenant_that_only_came_along_is_none_of_ours(visited) -> None:
    with pytest.raises(UnknownNodeError, match="'bench': it came with an archive and is not registered here"):
        switch_tenant("bench", is_active=False)
    assert "bench" in name_tenants().values()
