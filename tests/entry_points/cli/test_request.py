"""Requests: served inside, by an external tenant, by an operator; retracted."""

from __future__ import annotations

import pytest

from aiida_finales.broker.state import read_state
from aiida_finales.operations.request.documents import expand_formulations
from tests.entry_points.conftest import ASKED, make_answer


def test_check(lab, run, run_json, request_file) -> None:
    """The check names who can serve a request."""
    assert run("request", "check", request_file()).stdout.startswith("yes: 1 tenant can serve")
    document = run_json("request", "check", request_file())
    assert document["candidates"][0]["name"] == "empirical-model"


def test_published_request(lab, run_json, shared_data) -> None:
    """A request of the published platform is understood."""
    file = shared_data / "finales" / "examples" / "requests" / "conductivity" / "two_electrode.json"
    document = run_json("request", "check", file, exit_code=1)
    assert {refusal["tenant"] for refusal in document["refusals"]} >= {"asab-simulated"}


def test_post_and_wait(lab, engine, run_json, request_file) -> None:
    """A request is served and its result shown; the request knows its process and history."""
    result = run_json("request", "post", request_file(), "--wait")
    assert result["value"] == pytest.approx(0.95, abs=0.1)
    assert result["unit"] == "S/m"
    shown = run_json("request", "show", result["request"])
    assert shown["status"] == "resolved"
    assert shown["result"] == result["uuid"]
    assert shown["can_serve"] == ["empirical-model by empirical_model"]
    assert shown["processes"][0].endswith("finished")
    assert len(shown["history"]) == 3
    assert run_json("request", "list", "--status", "resolved", "--quantity", "conductivity")[-1]["pk"] == shown["pk"]


def test_external_tenant(posted, run, run_json, write, daemon) -> None:
    """An external tenant reserves, releases, reserves again and answers; others cannot."""
    pk = posted.pk
    run("request", "reserve", pk, "--tenant", "bench", "--lease", 60)
    assert read_state(pk)["holder"] == "bench"
    assert "is held by bench" in run("request", "reserve", pk, "--tenant", "asab-simulated", exit_code=1).stderr
    assert "cannot serve" in run("request", "reserve", pk, "--tenant", "empirical-model", exit_code=1).stderr
    run("request", "release", pk, "--tenant", "bench", "--reason", "out of EC")
    assert read_state(pk)["status"] == "pending"
    assert "out of EC" in str(run_json("request", "show", pk)["history"])
    refused = run("result", "post", pk, write(make_answer(9.1)), "--tenant", "bench", exit_code=1).stderr
    assert "9.1 looks like mS/cm" in refused
    assert "--yes-really" in refused
    answer = run("result", "post", pk, write(make_answer()), "--tenant", "bench")
    assert "makes the result when the daemon runs" in answer.stderr
    assert read_state(pk)["answer"]["data"]["conductivity"]["values"] == [0.9]
    again = run("result", "post", pk, write(make_answer(0.5)), "--tenant", "bench", exit_code=1).stderr
    assert "was answered already by bench" in again


def test_operator(posted, run, write) -> None:
    """An operator may release and answer what others hold, for a reason."""
    pk = posted.pk
    run("request", "reserve", pk, "--tenant", "bench")
    assert "who acts?" in run("request", "release", pk, "--reason", "x", exit_code=1).stderr
    answer = ("result", "post", pk, write(make_answer()), "--operator")
    assert "give --reason" in run(*answer, exit_code=2).stderr
    run(*answer, "--reason", "read from the screen")
    assert read_state(pk)["answer"]["method"] == "two_electrode"
    assert "read from the screen" in run("request", "show", pk).stdout


def test_bad_answer(posted, run, write) -> None:
    """Data that break the schema are refused; the request stays pending."""
    broken = {**make_answer(), "data": {"conductivity": {"values": ["much"]}}}
    refused = run("result", "post", posted.pk, write(broken), "--tenant", "bench", exit_code=1).stderr
    assert "result of conductivity/two_electrode" in refused
    assert "'much' was given" in refused
    assert "has no 'data'" in run("result", "post", posted.pk, write({}), "--tenant", "bench", exit_code=1).stderr
    assert read_state(posted.pk)["status"] == "pending"


def test_retract(posted, run) -> None:
    """Retracting asks first, needs a reason, and happens once."""
    retract = ("request", "retract", posted.pk, "--reason", "typed wrong")
    run(*retract, answer="n\n", exit_code=1)
    assert read_state(posted.pk)["status"] == "pending"
    assert "is retracted" in run(*retract, "--force").stderr
    assert read_state(posted.pk)["reason"] == "typed wrong"
    assert "the request is retracted" in run(*retract, "--force", exit_code=1).stderr


def test_unknown_request(lab, run) -> None:
    """An unknown identifier says where to look."""
    assert "no request '999999': see 'aiida-finales request list'" in run("request", "show", 999999, exit_code=1).stderr


def test_short_formulation() -> None:
    """Fractions by name become the published form, at any depth; the argument is left alone."""
    given = {"flow": {"formulation": {"EC": 0.4, "EMC": 0.6}, "batch": [{"formulation": {"EC": 1.0}}]}}
    expanded, _ = expand_formulations(given)
    assert expanded["flow"]["formulation"][0]["chemical"]["SMILES"] == "C1COC(=O)O1"
    assert expanded["flow"]["batch"][0]["formulation"][0]["fraction"] == 1.0
    assert given["flow"]["formulation"] == {"EC": 0.4, "EMC": 0.6}


SAID = "1 M LiPF6 in EC:EMC 3:7 w/w"


def test_a_mixture_as_people_say_it(lab, engine, run, run_json) -> None:
    """What was said is kept beside what is stored, with the density that mol/L needed and where that is from."""
    options = ("--method", "empirical_model", "--temperature", "28 °C")
    result = run_json("request", "new", "conductivity", SAID, *options, "--wait")
    shown = run_json("request", "show", result["request"])
    kept = shown["given"]["empirical_model.formulation"]
    assert (kept["given"], shown["given"]["empirical_model.temperature"]) == (SAID, {"given": "28 °C"})
    assert kept["density"]["value"] == pytest.approx(1.19, abs=0.01)
    assert kept["records"] == dict.fromkeys(("LiPF6", "EC", "EMC"), "library 1")
    assert shown["temperature_K"] == 301.15
    assert "LiPF6 0.087" in shown["formulation"]
    said = run("request", "new", "conductivity", SAID, *options, "--density", 1.21).stderr
    assert "density 1.21 g/cm3 (given)" in said


def test_a_mixture_in_a_file(lab, run, request_file) -> None:
    """The same in a file; what cannot be converted says what is needed."""
    said = run("request", "check", request_file(formulation=SAID, temperature="25 °C")).stderr
    assert "298.15 K (as given: 25 °C)" in said
    words = run("request", "check", request_file(formulation="1 M NaPF6 in EC:EMC 3:7 w/w"), exit_code=1).stderr
    assert "nothing is known of the volume of NaPF6" in words


def test_numbers_that_look_like_another_unit(lab, run, request_file) -> None:
    """A slip is refused and named; who is sure may ask for it nevertheless."""
    assert "25 looks like °C" in run("request", "check", request_file(temperature=25), exit_code=1).stderr
    assert "no: 0 tenants" in run("request", "check", request_file(temperature=25), "--yes-really", exit_code=1).stdout


def test_texts_of_anybodys_own_stay() -> None:
    """In what is free only a formulation is taken for one."""
    own = {"electrolyte": "LP57", "temperature": "cold", "formulation": {"EC": "100 %"}}
    expanded, given = expand_formulations(own, is_free=True)
    assert (expanded["electrolyte"], expanded["temperature"]) == ("LP57", "cold")
    assert given == {"formulation": {"given": {"EC": "100 %"}, "understood": "mole fractions of the whole, EC 1"}}


def test_python(lab, engine) -> None:
    """From Python a quantity is asked for in one call."""
    from aiida_finales import request
    from aiida_finales.data.request import RequestData

    result = request("conductivity", empirical_model=ASKED)
    assert result.method == "empirical_model"
    assert 0.8 < result.value < 1.1
    assert isinstance(request("conductivity", empirical_model=ASKED, wait=False), RequestData)
