"""Whether a page that stays open while a campaign runs keeps its memory: 20 minutes of laboratory and campaign.

A campaign over a closed form runs through the real daemon, so that both pages are told of news again and again. Two
browsers without window look at them. Each minute the garbage of the page is collected, and then is asked what is left:
memory of its scripts, nodes of the document, listeners; beside it the memory of the server. A page that leaks grows
with the number of its updates, so the first look counts only after it has moved for a while. The campaign grows, too:
at the end both pages are opened anew, and what a page has more than then is what it leaks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "server"))

import psutil
import server
from chromium import Chromium
from rows import print_row

from aiida_finales.testing import Sandbox

MINUTES, MINUTES_QUICK = 20, 2
#: s between two looks, and before the first one: until then caches fill
LOOK, WARM = 60.0, 60.0
#: s until the figures of a page are drawn
SETTLE = 15.0
NAME = "watched"
CAMPAIGN = {
    "name": NAME, "quantity": "conductivity", "target": "empirical_model", "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}}, "initial": 3, "stop": {"evaluations": 10_000},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}  # fmt: skip
PAGES = {"laboratory": "/pages", "campaign": f"/pages/campaigns/{NAME}"}
#: counts how often a part of the page was put in place anew
COUNT = "window.nUpdates = 0; document.body.addEventListener('htmx:afterSwap', () => { window.nUpdates += 1; })"
Json = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{MINUTES_QUICK} minutes")
    minutes = MINUTES_QUICK if parser.parse_args().quick else MINUTES
    with tempfile.TemporaryDirectory() as place, Sandbox(Path(place)) as sandbox:
        sandbox.create("--no-cells")
        server.prepare(sandbox)
        sandbox.start(1)
        file = sandbox.folder / "campaign.yaml"
        file.write_text(json.dumps(CAMPAIGN))
        sandbox.run("aiida-finales", "campaign", "start", str(file))
        process = server.start(sandbox)
        browsers = {name: Chromium(sandbox.folder / f"chromium-{name}") for name in PAGES}
        try:
            watch(browsers, psutil.Process(process.pid), minutes)
        finally:
            for browser in browsers.values():
                browser.close()
            process.terminate()
            process.wait(timeout=30)


def watch(browsers: dict[str, Chromium], watched: psutil.Process, minutes: int) -> None:
    """Look at the pages for so long, and print what each kept at the first look, at the last, and when opened anew."""
    for name, browser in browsers.items():
        open_page(browser, PAGES[name])
    time.sleep(WARM)
    end, first = time.monotonic() + 60 * minutes, look(browsers, watched)
    last, most = first, first
    while time.monotonic() < end:
        time.sleep(LOOK)
        last = look(browsers, watched)
        most = {key: max(value, last[key]) for key, value in most.items()}
    for name, browser in browsers.items():
        go_to(browser, PAGES[name])
    time.sleep(SETTLE)
    fresh = look(browsers, watched)
    for key, value in first.items():
        unit = "MB" if key.endswith("_mb") else "1"
        for figure, found in (("first", value), ("last", last[key]), ("most", most[key]), ("fresh", fresh[key])):
            print_row("open_page", f"{minutes}-minutes", f"{key}_{figure}", round(found, 1), unit)


def open_page(browser: Chromium, path: str) -> None:
    """Log in, and go to a page that is told of news."""
    address = f"http://127.0.0.1:{server.PORT}"
    browser.set_width(1400, 900)
    browser.open(f"{address}/pages")
    browser.type("#username", "user0")
    browser.type("#password", server.PASSWORD)
    browser.follow("main button[type=submit]")
    browser.call("Performance.enable")
    go_to(browser, path)


def go_to(browser: Chromium, path: str) -> None:
    """Open a page, and count its updates."""
    browser.open(f"http://127.0.0.1:{server.PORT}{path}")
    browser.wait_for("document.querySelector('.live .words').innerText === 'live'")
    browser.evaluate(COUNT)


def look(browsers: dict[str, Chromium], watched: psutil.Process) -> dict[str, float]:
    """Return what pages and server keep now, by name of the figure."""
    found = {"server_mb": watched.memory_info().rss / 1e6}
    for name, browser in browsers.items():
        browser.call("HeapProfiler.collectGarbage")
        told = {item["name"]: item["value"] for item in browser.call("Performance.getMetrics")["metrics"]}
        found |= {
            f"{name}_updates": float(str(browser.evaluate("window.nUpdates"))),
            f"{name}_scripts_mb": told["JSHeapUsedSize"] / 1e6,
            f"{name}_nodes": told["Nodes"],
            f"{name}_listeners": told["JSEventListeners"],
        }
    return found


if __name__ == "__main__":
    main()
