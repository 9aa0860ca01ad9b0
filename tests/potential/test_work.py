"""A step in its folder: with which input it goes on."""

from __future__ import annotations

import json

import pytest

from aiida_finales.exceptions import FolderTakenError
from aiida_finales.md.run import RunOptions
from aiida_finales.potential.input import check_input
from aiida_finales.potential.work import Work, perform
from tests.potential.conftest import make_document


@pytest.fixture
def go_on(tmp_path):
    """Return a function that does a step, or goes on with it, with an input."""

    def run(step, **changes):
        options = RunOptions(is_resumed=True)
        work = Work(step, check_input(make_document(**changes)), tmp_path / "out", {}, options, lambda _: None)
        perform(work, lambda _: {"found": 1})
        return json.loads((tmp_path / "out" / "output.json").read_text())

    return run


def test_what_a_step_does_not_read_may_change(go_on):
    go_on("label")
    assert go_on("label", train={"steps": 7}, device="cpu")["found"] == 1


@pytest.mark.parametrize("changes", [{"reference": {"method": "GFN2-xTB"}}, {"temperature_K": 340}, {"seed": 7}])
def test_what_it_reads_may_not(go_on, changes):
    go_on("label")
    with pytest.raises(FolderTakenError, match="a step of other input"):
        go_on("label", **changes)
