"""An export that is interrupted leaves nothing that looks finished, and goes on where it was."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from aiida import orm

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.nodes import OPENNESS
from aiida_finales.exceptions import InputError, StatusError
from aiida_finales.fair.graph.selection import campaign_pks
from aiida_finales.fair.package import export as package
from aiida_finales.fair.package.draft import find_ended, fingerprint_of, open_draft, tell_state
from aiida_finales.fair.package.export import Wishes, export_campaign
from aiida_finales.fair.package.verify import verify_package
from tests.fair.conftest import make_metadata

NAME = "first"
PART = f".{NAME}.part"
SCRUB = Wishes(scrub=True)
STEPS = ("copy", "archive", "derived", "raw", "figures", "pages", "zip", "package")


@pytest.fixture
def metadata():
    return make_metadata()


@pytest.fixture(scope="module")
def right(profile, tmp_path_factory) -> bytes:
    """The zip of an export that nobody interrupted."""
    made = export_campaign(NAME, make_metadata(), tmp_path_factory.mktemp("right"), SCRUB)
    return made.zip.read_bytes()


def test_steps_are_done_once(tmp_path) -> None:
    """What a step returned is known to the next process; a step that was interrupted is done again."""
    calls: list[str] = []

    def work(second) -> None:
        with open_draft(tmp_path / "draft", "same") as draft:
            assert draft.once("first", lambda: calls.append("first") or {"number": 1}) == {"number": 1}
            draft.once("second", second)

    with pytest.raises(KeyboardInterrupt):
        work(interrupt)
    with open_draft(tmp_path / "draft", "another name") as draft:
        assert draft.steps == []
    with pytest.raises(KeyboardInterrupt):
        work(interrupt)
    work(lambda: calls.append("second"))
    assert calls == ["first", "first", "second"]
    assert not (tmp_path / "draft").exists()


def test_nobody_else_looks_into_it(tmp_path) -> None:
    (tmp_path / "draft").mkdir(mode=0o755)
    with open_draft(tmp_path / "draft", "same") as draft:
        assert stat.S_IMODE(draft.folder.stat().st_mode) == stat.S_IRWXU


def test_another_export_begins_anew(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt), open_draft(tmp_path / "draft", "one") as draft:
        interrupt(draft.once("first", lambda: (draft.folder / "file").write_text("one")))
    with open_draft(tmp_path / "draft", "other") as draft:
        assert draft.steps == []
        assert not (draft.folder / "file").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"done": 3}', '{"fingerprint": "same", "done": 3}'])
def test_a_damaged_state_begins_anew(tmp_path, content) -> None:
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "state.json").write_text(content)
    with open_draft(tmp_path / "draft", "same") as draft:
        assert draft.steps == []


def test_what_is_refused_is_removed(tmp_path) -> None:
    """Also the folder around it, where it was made for this."""
    with pytest.raises(InputError), open_draft(tmp_path / "packages" / "draft", "same"):
        raise InputError("no")
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(tmp_path) -> None:
    with open_draft(tmp_path / "draft", "same") as draft:
        draft.once("first", lambda: None)
        with pytest.raises(StatusError, match="another export is at work"), open_draft(tmp_path / "draft", "same"):
            pytest.fail("two at once")
        assert draft.folder.exists()


def test_fingerprints() -> None:
    assert fingerprint_of({"a": 1, "b": frozenset("yx")}) == fingerprint_of({"b": {"x", "y"}, "a": 1})
    assert fingerprint_of("a", "b") != fingerprint_of("ab", "")


@pytest.mark.parametrize("step", STEPS)
def test_goes_on_after_each_step(right, metadata, tmp_path, monkeypatch, step) -> None:
    """Interrupted at the end of any step, just before it counts as done: the same bytes in the end, nothing twice."""
    counted: list[str] = []
    once = package.Draft.once

    def count(draft, name, function, *, stop_at=""):
        def do():
            counted.append(name)
            value = function()
            if name == stop_at:
                raise KeyboardInterrupt
            return value

        return once(draft, name, do)

    monkeypatch.setattr(package.Draft, "once", lambda *given: count(*given, stop_at=step))
    with pytest.raises(KeyboardInterrupt):
        export_campaign(NAME, metadata, tmp_path, SCRUB)
    assert [path.name for path in tmp_path.iterdir()] == [PART]
    monkeypatch.setattr(package.Draft, "once", count)
    told: list[str] = []
    made = export_campaign(NAME, metadata, tmp_path, SCRUB, told.append)
    assert made.zip.read_bytes() == right
    assert verify_package(made.folder) == []
    assert made.findings
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.zip"]
    assert any(words.startswith("goes on") for words in told) == (step != "copy")
    twice = {name for name in STEPS if counted.count(name) > 1}
    assert twice == {step, "package"}  # the last one is around all others


@pytest.mark.parametrize("number", [1, 2])
def test_goes_on_while_it_is_placed(right, metadata, tmp_path, monkeypatch, number) -> None:
    """Interrupted before the zip or the folder got its name: what is there already is no package of somebody else."""
    replace, calls = Path.replace, []

    def stop(path, target):
        if Path(target).parent == tmp_path:
            calls.append(target)
            if len(calls) == number:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        export_campaign(NAME, metadata, tmp_path, SCRUB)
    monkeypatch.setattr(Path, "replace", replace)
    made = export_campaign(NAME, metadata, tmp_path, SCRUB)
    assert made.zip.read_bytes() == right
    assert made.counts["results"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.zip"]


def test_begins_anew_when_the_campaign_changed(right, metadata, tmp_path, monkeypatch) -> None:
    """A node that was marked as confidential in between does not leave."""
    monkeypatch.setattr(package, "write_raw_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_campaign(NAME, metadata, tmp_path, SCRUB)
    monkeypatch.undo()
    node = max((node for node in CampaignGroup.find(NAME).nodes if "Result" in node.node_type), key=lambda x: x.ctime)
    node.base.extras.set(OPENNESS, "confidential")
    try:
        made = export_campaign(NAME, metadata, tmp_path, SCRUB)
        assert made.counts["withheld"] > 1
    finally:
        node.base.extras.delete(OPENNESS)


def test_withheld_numbers_are_remembered(metadata, tmp_path, monkeypatch, profile) -> None:
    """The final look for numbers of confidential results knows them also when the export was interrupted before."""
    node = max((node for node in CampaignGroup.find(NAME).nodes if "Result" in node.node_type), key=lambda x: x.ctime)
    wishes = Wishes(scrub=True, confidential=frozenset({node.uuid}))
    monkeypatch.setattr(package, "write_raw_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_campaign(NAME, metadata, tmp_path, wishes)
    monkeypatch.undo()
    write = package.write_raw_files

    def tell(archive, folder):
        (folder / "notes.txt").write_text(f"it was {node.value!r}")
        return write(archive, folder)

    monkeypatch.setattr(package, "write_raw_files", tell)
    with pytest.raises(InputError, match="number of a confidential result"):
        export_campaign(NAME, metadata, tmp_path, wishes)
    assert list(tmp_path.iterdir()) == []


def test_state_of_the_nodes(profile) -> None:
    """Extras, log lines and comments change it; being read does not."""
    pks = find_ended(campaign_pks(CampaignGroup.find(NAME)))
    node = orm.load_node(min(pks))
    states = [tell_state(pks)]
    node.base.extras.set("noticed", value=True)
    states.append(tell_state(pks))
    comment = node.base.comments.add("looks odd")
    states.append(tell_state(pks))
    orm.load_node(node.pk).logger.report("seen")
    orm.Log(time=comment.ctime, loggername="aiida", levelname="REPORT", dbnode_id=node.pk, message="x").store()
    states.append(tell_state(pks))
    assert len({fingerprint_of(state) for state in states}) == len(states)
    assert tell_state(pks) == states[-1]


def interrupt(*_args) -> None:
    raise KeyboardInterrupt


def test_the_lock_goes_with_its_process(tmp_path) -> None:
    """An export that is killed blocks nobody."""
    script = (
        "import sys, time; from pathlib import Path; from aiida_finales.fair.package.draft import open_draft\n"
        "with open_draft(Path(sys.argv[1]), 'same') as draft:\n"
        "    draft.once('first', lambda: 1); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "draft")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StatusError), open_draft(tmp_path / "draft", "same"):
            pytest.fail("two at once")
        os.kill(process.pid, signal.SIGKILL)
    with open_draft(tmp_path / "draft", "same") as draft:
        assert draft.steps == ["first"]
