"""Molecular dynamics on a computer as a tenant."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import InputError, SimulationInputError
from aiida_finales.operations.platform.simulation import setup_simulation


@pytest.fixture
def add(desk, aiida_localhost):
    """Return a function that registers it on the local computer."""

    def register(**settings):
        return setup_simulation(aiida_localhost.label, program="/opt/venv/bin/finales-md", **settings)

    return register


def test_a_computer_offers_what_its_cells_answer(add):
    tenant = add(protocol="published", overrides={"n_cells": 3}, cost=30.0)
    names = [(offer["quantity"], offer["method"]) for offer in tenant.offers]
    assert names == [
        ("conductivity", "molecular_dynamics"),
        ("density", "molecular_dynamics"),
        ("viscosity", "molecular_dynamics"),
        ("self_diffusion_coefficient", "molecular_dynamics"),
        ("transference_number", "molecular_dynamics"),
        ("coordination_number", "molecular_dynamics"),
        ("heat_capacity", "molecular_dynamics"),
        ("radial_density_function", "molacular_dynamics"),
    ]
    offer = tenant.find_offer("conductivity", "molecular_dynamics")
    assert offer["cost"] == 30.0
    assert offer["settings"]["protocol"] == "published"
    assert offer["settings"]["overrides"] == {"n_cells": 3, "max_parallel": 1}


def test_cells_share_a_computer_without_queue_only_when_told_to(add):
    def parallel(**overrides):
        offer = add(overrides=overrides).find_offer("conductivity", "molecular_dynamics")
        return offer["settings"]["overrides"].get("max_parallel")

    assert (parallel(), parallel(max_parallel=3)) == (1, 3)


def test_cells_on_a_cluster_are_jobs_side_by_side(desk, aiida_computer):
    cluster = aiida_computer(label="cluster", scheduler_type="core.slurm", transport_type="core.local")
    offer = setup_simulation(cluster.label, program="/opt/finales-md").find_offer("density", "molecular_dynamics")
    assert offer["settings"]["overrides"] == {}


def test_what_the_program_would_refuse_is_told_at_once(add):
    words = r"timestep_fs: 700 was given, accepted is a number from 0.1 to 2; protocol.step: 1 .* one of the keys"
    with pytest.raises(SimulationInputError, match=words):
        add(overrides={"protocol": {"timestep_fs": 700, "step": 1}})
    with pytest.raises(InputError, match=r"10 frames are too few for a fit window of 0.1 to 0.5: needed are 14"):
        add(overrides={"protocol": {"production_ps": 10.0}})


def test_it_can_be_repeated_and_changed(add):
    first = add()
    assert add().uuid == first.uuid
    changed = add(protocol="fast")
    assert (changed.tenant_uuid, changed.version) == (first.tenant_uuid, first.version + 1)
    code = changed.find_offer("density", "molecular_dynamics")["settings"]["code"]
    assert code == first.find_offer("density", "molecular_dynamics")["settings"]["code"]


def test_what_is_not_known_is_refused(add):
    with pytest.raises(InputError, match="protocol is 'slow', but accepted are fast, moderate, published"):
        add(protocol="slow")
    with pytest.raises(InputError, match="computer is 'nowhere', but known are"):
        setup_simulation("nowhere")
