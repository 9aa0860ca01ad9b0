"""The pages in a real browser: a person does a task, and a campaign is watched while it runs."""

from __future__ import annotations

import threading
import time

import pytest
import uvicorn
from aiida import orm
from aiida.engine import run_get_node

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import post_request
from aiida_finales.broker.state import read_state
from aiida_finales.data.request import RequestData
from aiida_finales.server.app import create_app
from aiida_finales.workflows.serve import ServeRequestWorkChain

from .chromium import Chromium, find_chromium
from .conftest import PASSWORD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: install the Debian package 'chromium'"),
]

CAMPAIGN = {
    "name": "watched",
    "quantity": "conductivity",
    "target": "empirical_model",
    "fixed": {"temperature": 301.15},
    "sources": {"empirical_model": {}},
    "initial": 3,
    "stop": {"evaluations": 4},
    "optimiser": {"seed": 1, "n_raw": 100, "keep": 16, "burn": 4},
}
#: s that the campaign rests after each process; the page learns within two and a half that something has changed
REST = 6.0
FIGURE = "(document.querySelector('[data-charts]') || {dataset: {}}).dataset.state || ''"
N_DRAWN = "document.querySelectorAll('.chart canvas').length"
NARROW = 360
#: px; a campaign's page is that many screens of a phone at most
PHONE, SCREENS = (390, 844), 6
#: keeps what would be saved as a file, as text
SAVING = """
var saved = null;
URL.createObjectURL = (blob) => {
  blob.arrayBuffer().then((all) => { saved = String.fromCharCode(...new Uint8Array(all).slice(0, 4000)); });
  return "blob:nothing";
};
HTMLAnchorElement.prototype.click = () => {};
"""


@pytest.fixture
def address(registered, settings, thread):
    """Where the server listens; whatever it does with AiiDA happens in the thread of the test."""
    app = create_app(settings, thread)
    person = add_tenant("carrier", [{"quantity": "transport", "method": "transport_service"}], kind="human")
    app.state.context.users.add("carla", PASSWORD, ["tenant"], [person.tenant_uuid])
    app.state.context.users.add("opal", PASSWORD, ["operator"])
    app.state.context.users.add("root", PASSWORD, ["admin"])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    program = threading.Thread(target=server.run, daemon=True)
    program.start()
    thread.wait_for(lambda: wait_until(lambda: server.started))
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.wait_for(program.join)


@pytest.fixture
def chromium(tmp_path):
    browser = Chromium(tmp_path / "chromium")
    yield browser
    browser.close()


def wait_until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def log_in(chromium, address, name="carla"):
    chromium.open(f"{address}/pages")
    chromium.type("#username", name)
    chromium.type("#password", PASSWORD)
    chromium.follow("main button[type=submit]")


def test_a_person_does_a_task(address, chromium, thread):
    """From the overview to the answered request, on a phone; the wrong sample is refused first."""
    places = {"origin": {"address": "ASAB"}, "destination": {"address": "AutoBASS"}, "samples": ["vial-1"]}
    request = post_request(RequestData("transport", {"transport_service": places}, "tests"), "tests")

    def work():
        chromium.set_width(NARROW, 740)
        log_in(chromium, address)
        chromium.follow(".cards a[href^='/pages/tasks/']")
        assert chromium.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert chromium.evaluate("document.querySelector('#samples').value") == ""
        chromium.type("#samples", "vial-9\n")
        chromium.click("#outcome-done")
        chromium.follow("form.stack > button:not(.enter)")
        assert "look at the label" in chromium.evaluate("document.querySelector('#samples-error').innerText")
        assert chromium.evaluate("document.querySelector('#outcome-done').checked")
        chromium.evaluate("document.querySelector('#samples').select()")
        chromium.type("#samples", "vial-1\n")
        chromium.follow("form.stack > button:not(.enter)")
        return chromium.evaluate("document.body.innerText")

    assert "The answer of carrier is there" in thread.wait_for(work)
    assert read_state(request.pk)["answer"]["data"]["executant"] == "user:carla"
    # what the daemon does
    run_get_node(ServeRequestWorkChain, request=request)
    result = orm.load_node(read_state(request.pk)["result"])
    assert (result.data["success"], result.creator.process_label) == (True, "AnswerCalculation")

    def look():
        chromium.open(f"{address}/pages/requests/{request.uuid}")
        return chromium.evaluate("document.querySelector('main .status').innerText")

    assert thread.wait_for(look) == "resolved"


def test_a_campaign_is_watched(address, chromium, thread, tmp_path, monkeypatch):
    """The figure changes while the campaign runs, without loading the page again."""
    pytest.importorskip("botorch")
    from aiida_finales.operations.platform.laboratory import setup_laboratory

    setup_laboratory(tmp_path / "laboratory", has_cells=False)
    is_over = threading.Event()
    watcher = threading.Thread(target=watch, args=(chromium, address, is_over, seen := []))
    run_here(monkeypatch, thread)
    watcher.start()
    try:
        from aiida_finales.operations.campaign.start import plan_campaign, start_campaign

        process = start_campaign(plan_campaign(CAMPAIGN))
    finally:
        is_over.set()
        thread.wait_for(watcher.join)
    assert process.is_finished_ok, process.exit_message
    figures = [state for state, _ in seen if state]
    assert len(set(figures)) >= 2, seen
    assert all(is_same_page for _, is_same_page in seen)


def run_here(monkeypatch, thread):
    """Let ``submit`` run the process here and now; let the server answer for some seconds before each suggestion."""
    import aiida.engine

    from aiida_finales.operations.campaign import start as starting
    from aiida_finales.operations.request import serving
    from aiida_finales.workflows.campaign import CampaignWorkChain

    take = CampaignWorkChain._take_suggestion

    def rest_and_take(self, *arguments):
        end = time.monotonic() + REST
        while time.monotonic() < end:
            thread.work(0.05)
        return take(self, *arguments)

    monkeypatch.setattr(CampaignWorkChain, "_take_suggestion", rest_and_take)
    monkeypatch.setattr(
        aiida.engine, "submit", lambda process, **inputs: aiida.engine.run_get_node(process, **inputs)[1]
    )
    for module in (serving, starting):
        monkeypatch.setattr(module, "connect_to_daemon", lambda: None)


def watch(chromium, address, is_over, seen):
    """Look at the page of the campaign until it is over; collect the addresses of its figure as it changes."""
    log_in(chromium, address)
    chromium.open(f"{address}/pages/campaigns/watched")
    chromium.evaluate("window.isWatched = true")
    while not is_over.is_set():
        found = (chromium.evaluate(FIGURE), bool(chromium.evaluate("window.isWatched")))
        if found not in seen:
            seen.append(found)
        time.sleep(0.2)
    chromium.wait_for(f"{N_DRAWN} >= 2")
    look_at_figures(chromium)


def look_at_figures(chromium):
    """Hover, click and save as a person would: everything is made of the data of the figure."""
    chart = "echarts.getInstanceByDom(document.querySelector('.chart .drawing'))"
    # the first point of the first source
    place = f"{chart}.convertToPixel({{seriesIndex: 0}}, {chart}.getOption().series[0].data[0].value)"
    chromium.evaluate(f"{chart}.dispatchAction({{type: 'showTip', x: {place}[0], y: {place}[1]}})")
    chromium.wait_for("document.querySelector('.tip')?.innerText.includes('composition')")
    assert "S/m" in chromium.evaluate("document.querySelector('.tip').innerText")
    chromium.evaluate(SAVING)
    for kind, beginning in (("PNG", "\x89PNG"), ("SVG", "<svg"), ("CSV", "series,number of the result")):
        button = f"[...document.querySelectorAll('.chart-tools button')].find(item => item.innerText === '{kind}')"
        chromium.evaluate(f"saved = null; {button}.click()")
        chromium.wait_for("saved !== null")
        assert chromium.evaluate("saved").startswith(beginning), kind
    chromium.set_width(PHONE[0], PHONE[1])
    assert chromium.evaluate("document.documentElement.scrollHeight") <= SCREENS * PHONE[1]
    link = chromium.evaluate(f"{chart}.getOption().series[0].data[0].mark.link")
    x, y = chromium.evaluate(f"(() => {{ const box = {chart}.getDom().getBoundingClientRect(), at = {place};"
                             "return [box.x + at[0], box.y + at[1]]; })()")  # fmt: skip
    chromium.evaluate(f"window.isOld = true; scrollTo(0, {y} - 200)")
    x, y = chromium.evaluate(f"(() => {{ const box = {chart}.getDom().getBoundingClientRect(), at = {place};"
                             "return [box.x + at[0], box.y + at[1]]; })()")  # fmt: skip
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        chromium.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    chromium.wait_for(f"!window.isOld && location.pathname === '{link}'")


def test_what_was_typed_outlives_the_session(address, chromium, thread):
    """The session ends in the middle of a form, then something in it is refused: each time it is there again."""
    request = post_request(
        RequestData("transport", {"transport_service": {"origin": {"address": "ASAB"},
                    "destination": {"address": "AutoBASS"}, "samples": ["vial-2"]}}, "tests"), "tests")  # fmt: skip
    path = f"/pages/requests/{request.uuid}"

    def read(selector):
        return chromium.evaluate(f"document.querySelector({selector!r}).value")

    def log_in_again(name):
        chromium.type("#username", name)
        chromium.type("#password", PASSWORD)
        chromium.follow("main button[type=submit]")

    def work():
        log_in(chromium, address, "opal")
        chromium.open(f"{address}{path}")
        chromium.type("#retract-reason", "not needed")
        chromium.call("Network.clearBrowserCookies")
        chromium.follow("form[action$='/retract'] button")
        log_in_again("root")
        assert chromium.evaluate("location.pathname") == path
        assert read("#retract-reason") == ""  # somebody else
        chromium.call("Network.clearBrowserCookies")
        chromium.open(f"{address}{path}")
        log_in_again("opal")
        assert read("#retract-reason") == "not needed"
        chromium.evaluate("document.querySelector('#retract-reason').value = '  '")
        chromium.follow("form[action$='/retract'] button")
        assert "no reason was given" in chromium.evaluate("document.querySelector('main').innerText")
        chromium.follow("main a.button")
        form = "document.querySelector(\"form[action$='/retract']\")"
        assert "no reason was given" in chromium.evaluate(f"{form}.innerText")
        chromium.evaluate("document.querySelector('#retract-reason').value = 'not needed'")
        chromium.follow("form[action$='/retract'] button")
        return chromium.evaluate("sessionStorage.getItem('finales:typed')")

    assert thread.wait_for(work) is None
    assert read_state(request.pk)["status"] == "retracted"


def test_description_of_the_interface(address, chromium, thread):
    """It is drawn under the policy of the pages: scripts from here alone, none inside of the page."""

    def work():
        chromium.open(f"{address}/docs")
        chromium.wait_for("document.querySelectorAll('.opblock').length > 30")
        return chromium.evaluate("performance.getEntriesByType('resource').map(item => item.name)")

    loaded = thread.wait_for(work)
    assert [name for name in loaded if not name.startswith((address, "data:"))] == []
