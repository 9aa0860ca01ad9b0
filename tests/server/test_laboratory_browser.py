"""The first page in a real browser moves while things happen; a request is posted and taken back by its forms."""

from __future__ import annotations

import time

import pytest

from aiida_finales.broker.registration import add_tenant
from aiida_finales.broker.requests import list_requests, post_request
from aiida_finales.broker.state import read_state
from aiida_finales.data.request import RequestData

from .chromium import find_chromium
from .test_browser import address, chromium, log_in

__all__ = ["address", "chromium"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: install the Debian package 'chromium'"),
]

PLACES = {"origin": {"address": "ASAB"}, "destination": {"address": "AutoBASS"}, "samples": ["vial-of-the-wall"]}
PHONE, SCREENS = (390, 844), 6
TEXT = "document.querySelector('main').innerText"
MIXTURE = "LiPF6 8 mol%, EC 30 mol%, EMC 62 mol%"


def test_the_laboratory_moves_without_being_loaded_again(address, chromium, thread):
    """A request that is posted elsewhere appears while the page is open, as a task and in the line of time."""

    def post():
        return post_request(RequestData("transport", {"transport_service": PLACES}, "tests"), "tests")

    def work():
        log_in(chromium, address)
        chromium.wait_for("document.querySelector('.live .words').innerText === 'live'")
        assert "vial-of-the-wall" not in chromium.evaluate(TEXT)
        chromium.evaluate("window.isWatched = true")
        thread.submit(post).result()
        chromium.wait_for(f"{TEXT}.includes('carry vial-of-the-wall from ASAB to AutoBASS')")
        chromium.wait_for("document.querySelector('.bar.is-waits') !== null")
        chromium.set_width(*PHONE)
        time.sleep(0.3)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert chromium.evaluate("document.documentElement.scrollHeight") <= SCREENS * PHONE[1]
        return chromium.evaluate("window.isWatched")

    assert thread.wait_for(work) is True


def test_a_request_is_posted_and_taken_back(address, chromium, thread):
    """By the forms alone: who can do it is said first; the reason is in the history."""
    limitations = {"temperature": [{"min": 273.15, "max": 333.15}]}
    offer = {"quantity": "conductivity", "method": "two_electrode", "limitations": limitations}
    add_tenant("robot-of-the-form", [offer])

    def work():
        log_in(chromium, address, "opal")
        chromium.open(f"{address}/pages/requests")
        chromium.follow("main a.button")
        chromium.follow("a[href*='conductivity'][href*='two_electrode']")
        chromium.type("[name='formulation~']", MIXTURE)
        chromium.type("[name='temperature']", "25 °C")
        chromium.follow("form.stack .row button[value=check]")
        assert "robot-of-the-form by two_electrode" in chromium.evaluate("document.querySelector('.verdict').innerText")
        chromium.follow("form.stack .row button[value=post]")
        assert "pending" in chromium.evaluate("document.querySelector('h1').innerText")
        chromium.type("#retract-reason", "only tried")
        chromium.follow("form[action$='/retract'] button")
        return chromium.evaluate(TEXT)

    assert "only tried" in thread.wait_for(work)
    request, _ = list_requests()[-1]
    assert read_state(request.pk)["status"] == "retracted"
