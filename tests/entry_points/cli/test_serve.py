"""``aiida-finales serve``: users."""

from __future__ import annotations

import json
import re

import pytest

from aiida_finales.server.app import run_server
from aiida_finales.server.settings import ServerSettings


def test_users_are_added_listed_and_revoked(registered, run, add_offer, monkeypatch, tmp_path):
    monkeypatch.setattr("aiida_finales.server.settings.default_folder", lambda profile: tmp_path / profile)
    add_offer("robot")
    add = ("serve", "user", "add")
    run(*add, "robin", "--role", "tenant", "--tenant", "robot", "--password", "correct horse")
    (found,) = json.loads(run("serve", "user", "list", "--format", "json").stdout)
    assert found == {"name": "robin", "roles": ["tenant"], "tenants": ["robot"], "may_log_in": True}
    run("serve", "user", "revoke", "robin")
    assert json.loads(run("serve", "user", "list", "--format", "json").stdout)[0]["may_log_in"] is False
    assert "8 or more" in run(*add, "x", "--role", "tenant", "--password", "short", exit_code=1).stderr
    assert "no user 'nobody'" in run("serve", "user", "revoke", "nobody", exit_code=1).stderr


def test_tenants_that_one_account_cannot_tell_apart_are_named(registered, run, add_offer, monkeypatch, tmp_path):
    """Old laboratories use one account for everything: it may have all roles, but two devices need two."""
    monkeypatch.setattr("aiida_finales.server.settings.default_folder", lambda profile: tmp_path / profile)
    for name, method in (("robot", "two_electrode"), ("second", "two_electrode"), ("model", "literature")):
        add_offer(name, method)
    roles = ("--role", "requester", "--role", "tenant", "--role", "archiver", "--password", "correct horse")
    said = run("serve", "user", "add", "lab", *roles, "--tenant", "robot", "--tenant", "model").stderr
    assert "as requester, tenant, archiver" in said
    assert "Warning" not in said
    said = run("serve", "user", "add", "lab", *roles, "--tenant", "robot", "--tenant", "second").stderr
    assert "robot and second offer conductivity/two_electrode under one account" in " ".join(said.split())
    assert "acts for no tenant" in run("serve", "user", "add", "lab", *roles).stderr


def test_other_machines_are_let_in_only_on_demand(tmp_path):
    with pytest.raises(ValueError, match="no TLS"):
        run_server(ServerSettings(tmp_path, host="0.0.0.0"))


def test_registering_a_real_robot_says_what_to_do_with_its_twin(registered, run, add_offer, tmp_path):
    settings = {"code": "finales-asab@here", "driver": {"inventory": "/somewhere"}}
    add_offer("asab-simulated", "literature", kind="internal", settings=settings)
    offer = {"quantity": "conductivity", "method": "literature", "limitations": {}}
    file = tmp_path / "robot.json"
    file.write_text(json.dumps({"name": "our robot", "offers": [offer]}), encoding="utf-8")
    said = " ".join(run("tenant", "add", file).stderr.split())
    assert re.search(r"offers conductivity/literature as ([\w -]+ and )?our robot do", said)
    assert "aiida-finales tenant deactivate asab-simulated" in said
    assert "aiida-finales tenant deactivate" in run("tenant", "activate", "our robot").stderr
