"""``aiida-finales serve``: users."""

from __future__ import annotations

import json

import pytest

from aiida_finales.server.run import run_server
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


def test_other_machines_are_let_in_only_on_demand(tmp_path):
    with pytest.raises(ValueError, match="no TLS"):
        run_server(ServerSettings(tmp_path, host="0.0.0.0"))
