"""``aiida-finales electrode``."""

from __future__ import annotations

FILE = """\
electrodes:
- name: LNO
  practical_capacity: {value: 190, source: bench, status: measured}
separators:
- name: filter paper
  thickness: {value: 180, source: bench, status: measured}
"""


def test_commands_list_show_and_add(own_parts, run, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(FILE)
    assert "LNO is known here (profile 1)" in run("electrode", "add", file).output
    assert "190" in run("electrode", "show", "LiNiO2").output
    listed = run("electrode", "list", "--ion", "Mg", "--polarity", "negative").output
    assert "activated carbon" in listed
    assert "PAQS" not in listed
    assert "filter paper" in run("electrode", "list", "--part", "separators").output
    assert "Li/Li+" in run("electrode", "show", "LNO", "--format", "json").output
    file.write_text("electrode: []\n")
    assert "lacking ['name'" in run("electrode", "add", file, exit_code=1).output
    assert "did you mean LNO?" in run("electrode", "show", "LNOO", exit_code=1).output
