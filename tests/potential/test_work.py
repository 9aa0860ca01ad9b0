"""A step in its folder: with which input it goes on."""

from __future__ import annotations

import json

import pytest

from aiida_finales.exceptions import FolderTakenError, SimulationInputError, WalltimeError
from aiida_finales.md.run import RunOptions
from aiida_finales.potential.input import check_input
from aiida_finales.potential.work import Work, perform
from tests.potential.conftest import make_document


@pytest.fixture
def go_on(tmp_path):
    """Return a function that does a step, or goes on with it, with an input."""

    def run(step, act=lambda _: {"found": 1}, **changes):
        options = RunOptions(is_resumed=True)
        work = Work(step, check_input(make_document(**changes)), tmp_path / "out", {}, options, lambda _: None)
        perform(work, act)
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


def test_a_step_that_never_began_leaves_its_folder_to_another_input(go_on, tmp_path):
    def refuse(work):
        (work.folder / "labelled.xyz").touch()
        raise SimulationInputError("no such salt")

    with pytest.raises(SimulationInputError):
        go_on("label", refuse)
    assert go_on("label", temperature_K=340)["found"] == 1


def test_what_was_found_before_it_ended_is_kept_for_the_same_input(go_on):
    def end(work):
        (work.folder / "labelled.xyz").write_text("a label")
        raise WalltimeError("the time is over")

    with pytest.raises(WalltimeError):
        go_on("label", end)
    with pytest.raises(FolderTakenError, match="a step of other input"):
        go_on("label", temperature_K=340)
