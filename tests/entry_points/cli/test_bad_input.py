"""Each kind of bad input has its own message; nothing is stored by it."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.entry_points.cli.group import speaking
from tests.entry_points.conftest import ASKED, CAMPAIGN, state_of_daemon

BAD_REQUESTS = {
    "unknown quantity": ({"quantity": "conductance", "parameters": {"two_electrode": ASKED}},
                         "no active capability conductance/two_electrode"),
    "unknown method": ({"quantity": "conductivity", "parameters": {"two_electrodes": ASKED}},
                       "did you mean conductivity/two_electrode?"),
    "two methods, one unknown": (
        {"quantity": "conductivity", "parameters": {"two_electrode": ASKED, "ouija": ASKED}},
        "no active capability conductivity/ouija"),
    "methods and parameters differ": (
        {"quantity": "conductivity", "methods": ["empirical_model"], "parameters": {"two_electrode": ASKED}},
        "lacking: ['empirical_model']"),
    "fractions do not sum to 1": (
        {"quantity": "conductivity",
         "parameters": {"two_electrode": {**ASKED, "formulation": {"LiPF6": 0.1, "EC": 0.3, "EMC": 0.3}}}},
        "sum 0.7"),
    "unknown chemical": (
        {"quantity": "conductivity", "parameters": {"two_electrode": {**ASKED, "formulation": {"XY": 1.0}}}},
        "chemical 'XY' is not known here"),
    "negative temperature": (
        {"quantity": "conductivity", "parameters": {"two_electrode": {**ASKED, "temperature": -3}}},
        "temperature: -3 was given"),
    "no parameters": ({"quantity": "conductivity"}, "the request has no 'parameters'"),
    "no object": ([1, 2], "a request is list, but accepted is a JSON object"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "message"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
@pytest.mark.parametrize("verb", ["check", "post"])
def test_request(lab, run, write, verb, document, message) -> None:
    """A request that makes no sense is refused with what was given and what is accepted."""
    answer = run("request", verb, write(document), exit_code=1)
    assert message in answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert orm.QueryBuilder().append(RequestData).count() == 0


UNREACHABLE = {
    "temperature": ({"temperature": 3000.0}, "temperature is 3000", "283.15 to 323.15 K"),
    "formulation": ({"formulation": {"LiPF6": 0.5, "EMC": 0.5}}, "formulation", "0.12"),
}


@pytest.mark.parametrize(("changes", "given", "allowed"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_unreachable(lab, run, request_file, changes, given, allowed) -> None:
    """What no tenant can do is refused; the check shows what is allowed and what is nearest."""
    file = request_file("two_electrode", **changes)
    refused = run("request", "post", file, exit_code=1).stderr
    assert "no active tenant can serve conductivity" in refused
    assert given in refused
    checked = run("request", "check", file, exit_code=1).stdout
    assert checked.startswith("no")
    assert allowed in checked
    assert "the nearest it can do" in checked
    assert orm.QueryBuilder().append(RequestData).count() == 0


def test_not_json(lab, run, write) -> None:
    """A broken file is named with the place of the defect."""
    assert "is no JSON: Expecting" in run("request", "check", write("{,}"), exit_code=1).stderr


def test_wrong_usage(run) -> None:
    """Wrong usage ends with 2, and says what is missing."""
    assert "does not exist" in run("request", "check", "nowhere.json", exit_code=2).stderr
    assert "Missing option '--reason'" in run("request", "retract", "1", exit_code=2).stderr


BAD_CAMPAIGNS = {
    "wrong key": ({"optimizer": {"seed": 1}}, "unknown key 'optimizer': did you mean 'optimiser'?"),
    "wrong key of a source": ({"sources": {"empirical_model": {"max_inflight": 1}}}, "did you mean 'max_in_flight'?"),
    "wrong setting": ({"optimiser": {"sead": 1}}, "settings ['sead'] are unknown"),
    "unknown quantity": ({"quantity": "viscosity_"}, "no active capability viscosity_/empirical_model"),
    "unknown method": ({"sources": {"empirical_mod": {}}, "target": "empirical_mod"},
                       "did you mean conductivity/empirical_model?"),
    "nobody offers it": ({"sources": {"literature": {}}, "target": "literature"},
                         "no active tenant offers conductivity/literature"),
    "temperature out of range": ({"fixed": {"temperature": 400.0}}, "temperature is 400"),
    "warm start absent": ({"warm_start": {"file": "nowhere.csv", "method": "empirical_model"}},
                          "nowhere.csv does not exist"),
    "warm start for nothing": ({"warm_start": {"file": "nowhere.csv"}},
                               "warm_start has nowhere.csv of conductivity/literature, but no source learns from that"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD_CAMPAIGNS.values(), ids=BAD_CAMPAIGNS)
def test_campaign(lab, run, write, engine, changes, message) -> None:
    """A campaign that cannot work is refused before anything is stored."""
    before = orm.QueryBuilder().append(orm.Node).count()
    refused = run("campaign", "start", write({**CAMPAIGN, **changes}, "campaign.yaml"), exit_code=1)
    assert message in refused.stderr
    assert orm.QueryBuilder().append(CampaignGroup).count() == 0
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_campaign_name_taken(lab, run, write, engine) -> None:
    """The name of a campaign is used once."""
    group = CampaignGroup.create_for("taken")
    group.add_nodes([orm.Int(1).store()])
    refused = run("campaign", "start", write(CAMPAIGN, "campaign.yaml"), "--name", "taken", exit_code=1).stderr
    CampaignGroup.collection.delete(group.pk)
    assert "a campaign 'taken' exists already: choose another name" in refused


def hide_modules(monkeypatch: pytest.MonkeyPatch, module: object, *names: str) -> None:
    """Let a module of ours not find some packages."""
    find = importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in names else find(name))


def test_missing_extra(lab, run, write, engine, monkeypatch) -> None:
    """An engine that is not installed is refused with the name of the extra."""
    from aiida_finales.operations.campaign import start as starting

    hide_modules(monkeypatch, starting, "botorch")
    document = {**CAMPAIGN, "optimiser": {"engine": "botorch"}}
    refused = run("campaign", "start", write(document, "campaign.yaml"), exit_code=1).stderr
    assert "optimiser engine 'botorch' needs the extra 'optimise': pip install 'aiida-finales[optimise]'" in refused


DAEMONS = {
    "none": (state_of_daemon(supervisor=False, workers=()), "no daemon is running; cure: verdi daemon start 2"),
    "no broker": (state_of_daemon(kind=None), "has no broker"),
    "old code": (state_of_daemon(code=200.0), "the daemon is running old code: 2 of 2 workers"),
    "broker dead": (state_of_daemon(broker=None), "the broker's process is dead"),
    "broker replaced": (state_of_daemon(broker=100.5), "1 of 2 workers listen to a broker that has died"),
    "no worker": (state_of_daemon(workers=()), "the daemon has no worker"),
}


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(("state", "message"), DAEMONS.values(), ids=DAEMONS)
def test_daemon(run, write, request_file, daemon, state, message) -> None:
    """Without a daemon that can be relied on, nothing is started and nothing is stored."""
    daemon(state)
    before = orm.QueryBuilder().append(orm.Node).count()
    for command in (("request", "post", request_file()), ("campaign", "start", write(CAMPAIGN, "campaign.yaml"))):
        refused = run(*command, exit_code=1).stderr
        assert message in refused
        assert "cure: verdi" in refused
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_no_profile(tmp_path) -> None:
    """Without a profile the way to get one is named."""
    (tmp_path / ".aiida").mkdir()
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path)}
    program = "from aiida_finales.entry_points.cli import main; main(['tenant', 'list'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "make one with 'verdi presto --use-zeromq'" in done.stderr
    assert done.stdout == ""


CONFIGS = {
    "moved": (None, "the storage of profile 'away' is not at /nowhere/sqlite_dos_x: it was moved"),
    "no JSON": ("{", "is no JSON"),
    "a list": ("[]", "is a list, but accepted is an object"),
    "binary": ("\x00\xff", "is no JSON"),
}


@pytest.mark.parametrize(("text", "words"), CONFIGS.values(), ids=CONFIGS)
def test_storage_or_configuration_away(tmp_path, text, words) -> None:
    """A storage that is not where the configuration says, or a configuration that is none: a sentence and the cure."""
    storage = {"backend": "core.sqlite_dos", "config": {"filepath": "/nowhere/sqlite_dos_x"}}
    control = {"backend": None, "config": {}}
    profile = {"storage": storage, "process_control": control, "options": {}, "PROFILE_UUID": "a" * 32}
    config = {"CONFIG_VERSION": {"CURRENT": 9, "OLDEST_COMPATIBLE": 9}, "profiles": {"away": profile},
              "default_profile": "away"}  # fmt: skip
    (tmp_path / ".aiida").mkdir()
    (tmp_path / ".aiida" / "config.json").write_text(json.dumps(config) if text is None else text)
    program = "from aiida_finales.entry_points.cli import main; main(['doctor'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "AIIDA_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


ERRORS = {
    "full": (OSError(errno.ENOSPC, "x", "/d/file"), "/d/file cannot be written: no space is left on its disk; what is "
             "done stays: make room, then give the same command again"),
    "read-only": (OSError(errno.EROFS, "x", "/d/file"), "on a disk that is read-only: name another place"),
    "permission": (PermissionError(errno.EACCES, "x", "/d/file"), "/d/file may not be used by you: permission denied"),
    "folder": (IsADirectoryError(errno.EISDIR, "x", "/d"), "/d is a folder; accepted is a file"),
    "long": (OSError(errno.ENAMETOOLONG, "x", "n" * 500), "has a name that is too long"),
    "nobody knows": (OSError("odd"), "a file cannot be used: odd"),
    "locked": (sa.exc.OperationalError("UPDATE", {}, Exception("database is locked")), "is locked: another"),
    "database full": (sa.exc.OperationalError("UPDATE", {}, Exception("database or disk is full")), "make room"),
    "no memory": (MemoryError(), "needs more memory"),
    "AiiDA": (NotExistent("no such thing"), "AiiDA refuses: no such thing"),
}  # fmt: skip


@pytest.mark.parametrize(("error", "words"), ERRORS.values(), ids=ERRORS)
def test_what_the_world_does_to_a_command(lab, run, monkeypatch, error, words) -> None:
    """Whatever the operating system, the database or AiiDA refuse under a command is a sentence."""
    from aiida_finales.data import tenant

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(tenant, "list_tenants", fail)
    refused = run("tenant", "list", exit_code=1)
    assert refused.stderr.startswith("Error: ")
    assert words in refused.stderr
    assert refused.stdout == ""


MIXTURE = "-1 m LiPF6 in EC:EMC 3:7 w/w"


@pytest.mark.parametrize(
    "arguments",
    [("chemical", "mixture", MIXTURE), ("request", "new", "conductivity", MIXTURE), ("result", "list", "-5")],
    ids=["mixture", "request", "list"],
)
def test_what_begins_with_a_minus_is_no_mistyped_option(run, arguments) -> None:
    """It is said in words that are true of every command, whatever the number was meant to be."""
    *command, given = arguments
    words = run(*command, given, exit_code=2).stderr
    assert f"{given[:2]} ... begins with a minus and is read as an option, of which there is none" in words
    assert "mixture is below" not in words
    assert "No such option: -q" in run(*command, "-q", exit_code=2).stderr


def test_an_amount_below_nothing_is_refused(lab, run) -> None:
    """As the words for it advise, it is given behind ``--``: then the mixture says what it accepts."""
    assert "-1 m" in run("chemical", "mixture", "--", MIXTURE, exit_code=1).stderr


def test_a_slip_is_no_crisis(lab, run) -> None:
    """Who mistypes a number is not greeted as "Critical"."""
    refused = run("result", "show", "99999999999999999999", exit_code=1).stderr
    assert refused.startswith("Error: no result '99999999999999999999'")
    assert "Critical" not in refused
    for number in ("0", "-5"):
        assert "is not in the range" in run("request", "list", "-l", number, exit_code=2).stderr


def test_empty_list(lab, run, posted) -> None:
    """An empty list says whether it is empty for what was asked."""
    said = run("request", "list", "--status", "retracted", "--quantity", "density").stderr
    there = r"(the only request here has not|none of the \d+ requests has)"
    assert re.search(f"{there} status retracted and quantity density", said)


SUGGESTIONS = {
    "another quantity": (
        ("density", "two_electrode"),
        "density is known by literature, machine_learned_dynamics, molecular",
        "did you mean",
    ),
    "a method": (("density", "moleculardynamics"), "did you mean density/molecular_dynamics?", "conductivity"),
    "a quantity": (("densty", "molecular_dynamics"), "did you mean density/molecular_dynamics?", "nothing"),
}


@pytest.mark.parametrize(("asked", "words", "never"), SUGGESTIONS.values(), ids=SUGGESTIONS)
def test_suggestion(lab, run, asked, words, never) -> None:
    """What is suggested is of the quantity that is wanted."""
    refused = run("capability", "show", *asked, exit_code=1).stderr
    assert words in refused
    assert never not in refused


def test_objectives(lab, run, write) -> None:
    """A key of another program gets advice."""
    refused = run("campaign", "start", write({**CAMPAIGN, "objective": {}}, "campaign.yaml"), exit_code=1).stderr
    assert "what is optimised is named under 'quantity'" in refused


def test_what_the_disk_refuses_is_said_whoever_met_it(capsys):
    """AiiDA's log in a folder that is read-only: the error of the disk is only the cause of another one."""
    error = ValueError("Unable to configure handler 'log_file'")
    error.__cause__ = OSError(errno.EROFS, "Read-only file system", "/lab/aiida.log")
    with pytest.raises(SystemExit), speaking():
        raise error
    assert "/lab/aiida.log cannot be written: it is on a disk that is read-only" in capsys.readouterr().err
