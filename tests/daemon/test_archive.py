"""A finished campaign is exported by AiiDA's own means and understood in another profile."""

from __future__ import annotations

import re

import pytest

from aiida_finales.testing import Sandbox

pytestmark = pytest.mark.daemon


def find_values(told: str) -> list[str]:
    """Return the lines that give a value, without primary keys, which differ between profiles."""
    return [re.sub(r"<\d+>", "", line) for line in told.splitlines() if "S/m" in line]


def test_campaign_travels_in_an_archive(lab, tmp_path):
    pk = lab.start_campaign("travels", evaluations=4, initial=2)
    lab.finish(pk)
    assert "CampaignWorkChain" in lab.run("verdi", "process", "status", str(pk))
    best = lab.python(
        """
        from aiida_finales.data.campaign import CampaignGroup
        from aiida_finales.data.result import ResultData
        nodes = [node for node in CampaignGroup.find("travels").nodes if isinstance(node, ResultData)]
        print(json.dumps(max(nodes, key=lambda node: (node.method == "two_electrode", node.value)).uuid))
        """
    )
    told_here = lab.run("aiida-finales", "why", best)
    archive = tmp_path / "campaign.aiida"
    lab.run("verdi", "archive", "create", "-G", "travels", "--", str(archive))
    assert archive.stat().st_size > 0

    elsewhere = Sandbox(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    elsewhere.run("verdi", "presto", "--use-zeromq", "--profile-name", "sandbox")
    elsewhere.run("verdi", "archive", "import", str(archive))
    told_there = elsewhere.run("aiida-finales", "why", best)
    assert "travels" in told_there
    assert "impedance" in told_there
    assert find_values(told_there) == find_values(told_here) != []
    assert "travels" in elsewhere.run("aiida-finales", "campaign", "list")


def test_plugins_are_seen_by_verdi(lab):
    for group, names in {
        "aiida.data": ("capability", "request", "result", "suggestion", "tenant"),
        "aiida.calculations": ("driver", "empirical_model", "polynomial_interpolation", "import_results"),
        "aiida.workflows": ("answer", "suggest", "serve", "campaign"),
        "aiida.parsers": ("two_electrode",),
        "aiida.groups": ("campaign",),
    }.items():
        listed = lab.run("verdi", "plugin", "list", group)
        assert not [name for name in names if f"finales.{name}" not in listed]
