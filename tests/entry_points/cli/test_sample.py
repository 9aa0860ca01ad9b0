"""Samples on the command line."""

from __future__ import annotations

import pytest

from aiida_finales.broker.samples import SampleSelection, list_samples, register_sample
from aiida_finales.operations.origin.genealogy import describe_sample, describe_samples
from aiida_finales.schemas.formulation import make_formulation

STOCK = {
    "identity": "stock-7",
    "kind": "stock",
    "location": {"address": "ASAB"},
    "content": {"formulation": {"LiPF6": 0.12, "EC": 0.48, "EMC": 0.4}},
}


def test_samples_are_registered_once(run, run_json, write) -> None:
    """Registering again the same sample changes nothing, also where its fractions have many digits."""
    run("sample", "add", write([STOCK]))
    run("sample", "add", write(STOCK))
    thirds = make_formulation({"LiPF6": 1 / 3, "EC": 1 / 3, "EMC": 1 / 3})
    for _ in range(2):
        register_sample("thirds", "stock", {"address": "ASAB"}, {"formulation": thirds})
    rows = {row["identity"]: row for row in run_json("sample", "list", "--kind", "stock", "--at", "ASAB")}
    assert rows["stock-7"]["formulation"].startswith("LiPF6 0.12")
    assert "thirds" in rows


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "bucket"}, "kind of sample is 'bucket', but accepted are stock, vial, cell"),
        ({"colour": "blue"}, "unknown ['colour']"),
        ({"content": {"formulation": {"unobtainium": 1.0}}}, "unobtainium"),
    ],
)
def test_bad_samples_are_refused(run, run_json, write, change, words) -> None:
    """Nothing is stored when one of several cannot be accepted."""
    before = len(run_json("sample", "list"))
    good = {**STOCK, "identity": "never stored"}
    assert words in run("sample", "add", write([good, {**STOCK, **change}]), exit_code=1).stderr
    assert len(run_json("sample", "list")) == before


def test_a_sample_is_moved_shown_and_invalidated(run, run_json, write) -> None:
    """What happens to a sample is in its history."""
    run("sample", "add", write({**STOCK, "identity": "stock-8"}))
    run("sample", "move", "stock-8", "--to", "fridge", "--detail", "shelf 2")
    assert run_json("sample", "show", "stock-8")["location"] == "fridge, shelf 2"
    assert "nothing that is known" in run("sample", "trace", "stock-8").stdout
    run("sample", "invalidate", "stock-8", "--reason", "spilled", answer="n\n", exit_code=1)
    run("sample", "invalidate", "stock-8", "--reason", "spilled", "--force")
    shown = run_json("sample", "show", "stock-8")
    assert (shown["status"], shown["reason"]) == ("invalid", "spilled")
    assert len(shown["history"]) == 2
    assert "sample list" in run("sample", "show", "nonsense", exit_code=1).stderr


def test_a_long_list_is_cut_and_says_so(run, run_json, write, count_statements) -> None:
    """The latest are shown, in the words of each one's node; how many more there are is told, and none is loaded."""
    run("sample", "add", write([{**STOCK, "identity": f"stock-of-list-{number}"} for number in range(3)]))
    rows = run_json("sample", "list")
    assert rows == [describe_sample(node, state) for node, state in list_samples()]
    assert run_json("sample", "list", "--limit", 2) == rows[-2:]
    words = f"the latest 2 of {len(rows)} samples: --limit N shows more"
    assert words in run("sample", "list", "--limit", 2).stderr
    assert "--limit" not in run("sample", "list", "--limit", len(rows)).stderr
    few, many = (count_statements(lambda limit=limit: describe_samples(SampleSelection(), limit)) for limit in (1, 3))
    assert few == many


def test_nothing_waits_for_people(run, run_json) -> None:
    """Without a person among the tenants there are no tasks."""
    assert run_json("human", "list") == []
    assert "no request '4711'" in run("human", "done", "4711", exit_code=1).stderr
