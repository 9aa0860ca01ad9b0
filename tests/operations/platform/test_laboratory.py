"""A simulated laboratory beside a real one."""

from __future__ import annotations

from aiida_finales.broker.registration import switch_tenant
from aiida_finales.operations.platform.laboratory import tell_twins

#: what a simulated device is handed, and no real one
SIMULATED = {"settings": {"code": "finales-asab@here", "driver": {"inventory": "/somewhere"}}}


def test_a_simulated_twin_of_a_real_tenant_is_named(desk, add_offer):
    add_offer("asab-simulated", kind="internal", **SIMULATED)
    assert tell_twins() == []
    add_offer("book", "literature")
    assert tell_twins() == []
    add_offer("robot")
    (words,) = tell_twins()
    assert words.startswith("asab-simulated, which is simulated, offers conductivity/two_electrode as robot does")
    assert "aiida-finales tenant deactivate asab-simulated" in words
    assert (tell_twins("robot"), tell_twins("asab-simulated"), tell_twins("book")) == ([words], [words], [])
    switch_tenant("asab-simulated", is_active=False)
    assert tell_twins() == []
