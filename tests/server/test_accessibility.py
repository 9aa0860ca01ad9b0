"""Every page by axe-core in a real browser: WCAG 2 A and AA, in light and dark, on a computer and on a phone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aiida_finales.broker.requests import post_request
from aiida_finales.server.pages import administration

from .access.test_reading import make_process
from .chromium import find_chromium
from .conftest import PASSWORD
from .test_browser import address, chromium

__all__ = ["address", "chromium"]


def find_axe() -> Path | None:
    """Return the script, or ``None`` when there is none."""
    found = [Path(folder) / "axe.min.js" for folder in os.get_exec_path()]
    return next((path for path in found if path.is_file()), None)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: install the Debian package 'chromium'"),
    pytest.mark.skipif(find_axe() is None, reason="no axe-core on the PATH: see tests/programs.sh"),
]

PAGES = ("", "/tasks", "/campaigns", "/campaigns/audited", "/new-campaign", "/requests", "/results", "/samples",
         "/nodes/999999", "/requests/new", "/requests/new?what=conductivity/two_electrode", "/administration",
         "/tenants/carrier", "/timeline/audited")  # fmt: skip
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
RUN = (
    f"axe.run(document, {{runOnly: {RULES}}})"
    """.then((found) => found.violations.map(
  (item) => `${item.id}: ${item.nodes.slice(0, 3).map((node) => node.html.slice(0, 150)).join(" | ")}`))"""
)


@pytest.fixture
def audited(registered, add_offer, make_request):
    """A campaign that failed, and a request: so that lists have rows and the page of a campaign has its parts."""
    from aiida_finales.data.campaign import CampaignGroup

    add_offer("robot")
    request = post_request(make_request(), "tests")
    group = CampaignGroup.create_for("audited")
    group.add_nodes([make_process()])
    yield request
    CampaignGroup.collection.delete(group.pk)


@pytest.mark.parametrize("view", [("light", (1400, 900)), ("dark", (390, 844))], ids=["computer", "phone"])
def test_no_page_keeps_anybody_out(address, chromium, thread, audited, view, monkeypatch):
    """No violation on any page; and no page is wider than the screen."""

    async def tell(*_):
        check = {"name": "daemon", "is_well": False, "words": "no daemon", "cure": ["verdi daemon start"]}
        return 1, json.dumps({"checks": [{**check, "needs_person": False}]})

    monkeypatch.setattr(administration, "run_doctor", tell)  # it would look at a profile that is in memory alone
    script = find_axe().read_text(encoding="utf-8")

    # before: the node belongs to the thread of the test
    (theme, size), uuid = view, audited.uuid

    def work():
        chromium.set_width(*size)
        chromium.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        chromium.open(f"{address}/pages")
        found = {"/login": audit(chromium, script)}
        chromium.type("#username", "root")
        chromium.type("#password", PASSWORD)
        chromium.follow("main button[type=submit]")
        for path in (*PAGES, f"/requests/{uuid}"):
            chromium.open(f"{address}/pages{path}")
            found[path] = audit(chromium, script)
            assert chromium.evaluate("document.documentElement.scrollWidth") <= size[0], path
        return {path: violations for path, violations in found.items() if violations}

    assert thread.wait_for(work) == {}


def audit(chromium, script):
    chromium.evaluate("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    chromium.evaluate(script)
    return chromium.evaluate(RUN)


def test_axe_finds_what_is_wrong(address, chromium, thread):
    """The audit is no empty ritual: a picture without words is found."""

    def work():
        chromium.open(f"{address}/pages/login")
        chromium.evaluate("document.querySelector('main').appendChild(new Image())")
        return audit(chromium, find_axe().read_text(encoding="utf-8"))

    assert any(item.startswith("image-alt") for item in thread.wait_for(work))
