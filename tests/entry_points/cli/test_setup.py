"""Make a profile ready, and see what is registered then."""

from __future__ import annotations

import json

import pytest
from aiida.manage import get_manager
from aiida.manage.configuration import get_config

from aiida_finales.data.tenant import find_tenant, list_tenants


@pytest.fixture(scope="module", autouse=True)
def fresh(aiida_profile) -> None:
    """An empty profile for this module."""
    aiida_profile.reset_storage()


def test_before_setup(run) -> None:
    """An empty profile says what to do."""
    assert "run 'aiida-finales setup'" in run("capability", "list").stderr
    assert "run 'aiida-finales setup'" in run("tenant", "list").stderr
    refused = run("capability", "show", "conductivity", "two_electrode", exit_code=1).stderr
    assert "none is registered in this profile, run 'aiida-finales setup' first" in refused


def test_a_home_that_is_not_there(run, tmp_path, monkeypatch) -> None:
    """No job would ever run; nothing is registered then."""
    monkeypatch.setenv("HOME", str(tmp_path / "away"))
    refused = run("setup", "--folder", tmp_path / "laboratory", exit_code=1).stderr
    assert f"HOME is {tmp_path / 'away'}, and that is no folder that can be opened" in refused
    assert "export HOME=" in refused
    assert "run 'aiida-finales setup'" in run("capability", "list").stderr
    assert not (tmp_path / "laboratory").exists()


def test_a_folder_that_cannot_be_made(run, tmp_path) -> None:
    (tmp_path / "file").touch()
    refused = run("setup", "--folder", tmp_path / "file" / "laboratory", exit_code=1).stderr
    assert f"because of {tmp_path / 'file'}; mend that place" in refused
    assert "run 'aiida-finales setup'" in run("capability", "list").stderr


def test_setup_twice(run, tmp_path) -> None:
    """Setting up registers everything; doing it again changes nothing."""
    said = run("setup", "--folder", tmp_path, "--robots", 2, "--robot-delay", 1.5, "--noise", 0.01)
    assert "verdi daemon start 2" in said.stderr
    assert "asab-simulated (version 1)" in said.stderr
    robot = find_tenant("asab-simulated")
    assert robot.max_concurrent == 2
    driver = robot.offers[0]["settings"]["driver"]
    assert driver == {"inventory": str(tmp_path / "inventory"), "seed": 0, "noise": 0.01, "delay_s": 1.5}
    assert robot.offers[0]["settings"]["journal"] == str(tmp_path / "asab")
    again = run("setup", "--folder", tmp_path, "--robots", 2, "--robot-delay", 1.5, "--noise", 0.01)
    assert {tenant.version for tenant in list_tenants()} == {1}
    assert len(list_tenants()) == 8
    assert "option daemon" not in again.stderr
    config, profile = get_config(), get_manager().get_profile()
    assert config.get_option("daemon.worker_process_slots", scope=profile.name) == 2000
    assert config.get_option("daemon.timeout", scope=profile.name) == 20


def test_folder_is_remembered(run, tmp_path) -> None:
    """Without a folder the one of before is used."""
    from aiida_finales.operations.platform.installation import choose_folder

    assert choose_folder().name.startswith("test_setup_twice")
    assert str(choose_folder()) in run("setup").stderr
    assert find_tenant("asab-simulated").version == 2


def test_capabilities(run, run_json) -> None:
    """What can be asked for, with who offers it, its parameters and schemas."""
    rows = run_json("capability", "list")
    assert {(row["quantity"], row["method"]): row["tenants"] for row in rows} == {
        ("capacity", "cycling"): ["cycler-simulated"],
        ("capacity", "literature"): [],
        ("capacity", "workflow"): ["degradation-workflow"],
        ("cell_assembly", "autobass_assembly"): ["autobass-simulated"],
        ("cell_assembly", "workflow"): ["degradation-workflow"],
        ("conductivity", "empirical_model"): ["empirical-model"],
        ("conductivity", "literature"): [],
        ("conductivity", "molecular_dynamics"): [],
        ("conductivity", "polynomial_interpolation"): ["polynomial-interpolation"],
        ("conductivity", "two_electrode"): ["asab-simulated"],
        ("cycling_channel", "service"): ["cycler-simulated"],
        ("degradationEOL", "degradation_model"): ["degradation-model"],
        ("degradationEOL", "degradation_workflow"): ["degradation-workflow"],
        ("degradationEOL", "lifetime_generator"): [],
        ("degradationEOL", "literature"): [],
        ("density", "literature"): [],
        ("density", "molecular_dynamics"): [],
        ("density", "vibrating_tube_densimetry"): ["asab-simulated"],
        ("self_diffusion_coefficient", "molecular_dynamics"): [],
        ("transference_number", "molecular_dynamics"): [],
        ("coordination_number", "molecular_dynamics"): [],
        ("heat_capacity", "molecular_dynamics"): [],
        ("conductivity", "machine_learned_dynamics"): [],
        ("density", "machine_learned_dynamics"): [],
        ("self_diffusion_coefficient", "machine_learned_dynamics"): [],
        ("coordination_number", "machine_learned_dynamics"): [],
        ("radial_density_function", "machine_learned_dynamics"): [],
        ("coordination_number", "ab_initio_molecular_dynamics"): [],
        ("radial_density_function", "ab_initio_molecular_dynamics"): [],
        ("lifetimeCurve", "capacity_fade"): [],
        ("lifetimeCurve", "lifetime_generator"): [],
        ("viscosity", "molecular_dynamics"): [],
        ("electrolyte", "flow"): ["asab-simulated"],
        ("electrolyte", "workflow"): ["degradation-workflow"],
        ("radial_density_function", "molacular_dynamics"): [],
        ("transport", "transport_service"): ["operator-simulated"],
        ("viscosity", "literature"): [],
        ("viscosity", "rolling_ball_viscometry"): ["asab-simulated"],
    }
    shown = run("capability", "show", "conductivity", "two_electrode").stdout
    assert "number in kelvin" in shown
    exported = [
        json.loads(run("capability", "export", "conductivity", "two_electrode", "--what", what).stdout)
        for what in ("parameters", "result", "template")
    ]
    assert exported[0]["properties"].keys() >= {"formulation", "temperature"}
    assert "conductivity" in exported[1]["properties"]
    assert exported[2]["parameters"]["two_electrode"]["formulation"][0]["fraction"] == "required, float"


@pytest.mark.slow
def test_deactivate_capability(run, run_json) -> None:
    """A capability can be taken away, after a question, and comes back with the next setup."""
    arguments = ("capability", "deactivate", "conductivity", "literature")
    number = len(run_json("capability", "list"))
    run(*arguments, answer="n\n", exit_code=1)
    assert len(run_json("capability", "list")) == number
    assert "no longer active" in run(*arguments, answer="y\n").stderr
    assert len(run_json("capability", "list")) == number - 1
    assert len(run_json("capability", "list", "--all")) == number
    run("setup")
    assert len(run_json("capability", "list")) == number


def test_tenant_in_published_form(run, run_json, shared_data) -> None:
    """A registration of the published platform is accepted as far as its capabilities are registered."""
    file = shared_data / "finales" / "examples" / "tenants" / "conductivity" / "ASAB.json"
    document = json.loads(file.read_text())
    document["limitations"] = [item for item in document["limitations"] if item["quantity"] == "conductivity"]
    path = shared_file(document)
    row = run_json("tenant", "add", path, "--uuid", "b6f1c0f2-0000-4000-8000-000000000001")
    assert row["name"] == "ASAB_tenant"
    assert row["offers"] == ["conductivity/two_electrode"]
    assert row["kind"] == "external"
    assert "temperature 301.15 to 301.15 K" in run("tenant", "show", "ASAB_tenant").stdout


def shared_file(document):
    """Write a document to a file that outlives the test."""
    import tempfile
    from pathlib import Path

    path = Path(tempfile.mkdtemp()) / "tenant.json"
    path.write_text(json.dumps(document))
    return path


def test_tenant_limitations(run, run_json, write) -> None:
    """New limitations make a new version; settings are kept; the same ones change nothing."""
    narrow = {"quantity": "conductivity", "method": "two_electrode", "limitations": {"temperature": [298.15]}}
    before = find_tenant("asab-simulated")
    assert "now version 3" in run("tenant", "limitations", "asab-simulated", write(narrow)).stderr
    after = find_tenant("asab-simulated")
    assert after.offers[0]["settings"] == before.offers[0]["settings"]
    assert after.offers[0]["limitations"] == {"temperature": [298.15]}
    assert after.tenant_uuid == before.tenant_uuid
    assert "unchanged" in run("tenant", "limitations", "asab-simulated", write(narrow)).stderr


def test_tenant_activity(run, run_json) -> None:
    """A deactivated tenant is not asked; it can be activated again."""
    run("tenant", "deactivate", "empirical-model")
    assert "empirical-model" not in [row["name"] for row in run_json("tenant", "list")]
    assert "empirical-model" in [row["name"] for row in run_json("tenant", "list", "--all")]
    run("tenant", "activate", "empirical-model")
    assert "empirical-model" in [row["name"] for row in run_json("tenant", "list")]


BAD_TENANTS = {
    "no name": ({"offers": []}, "the tenant has no 'name'"),
    "no offer": ({"name": "x"}, "the tenant offers nothing"),
    "unknown capability": (
        {"name": "x", "offers": [{"quantity": "taste", "method": "tongue"}]}, "no active capability taste/tongue"),
    "wrong uuid": (
        {"name": "x", "tenant_uuid": "12", "offers": [{"quantity": "conductivity", "method": "two_electrode"}]},
        "UUID"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "message"), BAD_TENANTS.values(), ids=BAD_TENANTS)
def test_bad_tenant(run, write, document, message) -> None:
    """A tenant that makes no sense is refused."""
    assert message in run("tenant", "add", write(document), exit_code=1).stderr


def test_unknown_tenant(run) -> None:
    """An unknown name is answered with those that exist."""
    assert "registered are" in run("tenant", "show", "nobody", exit_code=1).stderr
