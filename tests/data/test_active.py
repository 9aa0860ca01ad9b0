"""What is active is asked of the database each time; what a stored node says is kept."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

import pytest
import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.matching import match
from aiida_finales.data.active import list_active, read_stored
from aiida_finales.data.capability import find_active_capability, find_capability, read_capability
from aiida_finales.data.tenant import TenantData, list_active_tenants, list_tenants
from aiida_finales.exceptions import UnknownCapabilityError


@pytest.fixture
def set_active():
    """Return a function that does what another program does: set the extra of a node over a connection of its own."""
    engine = sa.create_engine(get_manager().get_profile_storage().get_session().get_bind().url)

    def change(uuid, value):
        new = "json_set(extras, '$.finales_active', json(:value))"
        statement = f"UPDATE db_dbnode SET extras = {new} WHERE uuid = :uuid"
        with closing(engine.connect()) as connection:
            connection.execute(sa.text(statement), {"value": value, "uuid": uuid})
            connection.commit()

    yield change
    engine.dispose()


def test_tenant_that_another_program_deactivates_is_seen_at_once(desk, add_offer, make_parameters, set_active):
    parameters = {"two_electrode": make_parameters()}
    tenant = add_offer("robot")
    get_manager().get_profile_storage().get_session().commit()
    assert [item.node for item in match("conductivity", parameters).candidates] == [tenant.uuid]
    set_active(tenant.uuid, "false")
    assert match("conductivity", parameters).candidates == []
    set_active(tenant.uuid, "true")
    assert [item.node for item in match("conductivity", parameters).candidates] == [tenant.uuid]


def test_changed_limitations_hold_at_once(desk, add_offer, make_parameters):
    parameters = {"two_electrode": make_parameters(temperature=280.0)}
    add_offer("robot")
    assert match("conductivity", parameters).is_feasible
    changed = add_offer("robot", low=290.0)
    assert not match("conductivity", parameters).is_feasible
    assert [node.uuid for node in list_active_tenants()] == [changed.uuid]


def test_content_is_that_of_the_nodes(desk, add_offer):
    add_offer("robot")
    add_offer("arm", low=280.0)
    nodes = list_tenants()
    assert [(node.uuid, node.attributes) for node in list_active_tenants()] == [
        (node.uuid, node.base.attributes.all) for node in nodes
    ]
    assert [node.uuid for node in list_active(TenantData.class_node_type)] == [node.uuid for node in reversed(nodes)]


def test_capability_is_that_of_its_node(registered):
    node = find_capability("conductivity", "two_electrode")
    assert find_active_capability("conductivity", "twoElectrodeMeasuringCell") == node.content
    assert read_capability(node.uuid) == node.content


def test_what_is_not_stored_is_not_found(registered):
    unknown = str(uuid4())
    assert read_stored([unknown]) == {}
    with pytest.raises(UnknownCapabilityError, match=unknown):
        read_capability(unknown)
    with pytest.raises(UnknownCapabilityError, match="no active capability conductivity/guess"):
        find_active_capability("conductivity", "guess")
