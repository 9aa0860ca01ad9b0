"""What people see when something fails: a page that says what to do next, and nothing of the inside."""

from __future__ import annotations

import errno
import re

import pytest
from sqlalchemy.exc import OperationalError

from aiida_finales.server.access import private_files
from aiida_finales.server.pages import records, tenants
from aiida_finales.server.pages.page import HEADERS

from .test_pages import browser

__all__ = ["browser"]

SECRET = "password of the database"
AWAY = OperationalError(SECRET, {}, Exception(SECRET))


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [(RuntimeError(SECRET), 500, "Something went wrong here"), (AWAY, 503, "No answer now")],
    ids=["defect", "database"],
)
def test_a_failure_is_a_page_that_names_its_place_in_the_log(browser, monkeypatch, caplog, error, status, title):
    """People read what to do next; whoever runs the server finds the whole error under the number on the page."""

    def fail(*_):
        raise error

    monkeypatch.setattr(records, "list_result_rows", fail)
    reply = browser("alice").get("/pages/results")
    assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert all(reply.headers[name] == value for name, value in HEADERS.items())
    assert f"<h1>{title}</h1>" in reply.text
    assert "load the page again" in reply.text.lower()
    assert 'aria-label="Pages"' in reply.text  # one can go elsewhere
    assert not any(word in reply.text for word in (SECRET, "Traceback", type(error).__name__))
    number = re.search(r"under ([0-9a-f]{8})", reply.text)[1]
    (entry,) = [item for item in caplog.records if item.name == "aiida_finales.server"]
    assert entry.getMessage().startswith(number)
    assert SECRET in str(entry.exc_info[1])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, SECRET, SECRET), "no space is left on a disk of the server"),
        (OSError(errno.EROFS, SECRET, SECRET), "a disk of the server is read-only"),
        (
            OperationalError(SECRET, {}, Exception("database or disk is full")),
            "no space is left on a disk of the server",
        ),
        (OperationalError(SECRET, {}, Exception("attempt to write a readonly database")), "is read-only"),
        (OperationalError(SECRET, {}, Exception("disk I/O error")), "has a fault, or no space left"),
        (
            OperationalError(SECRET, {}, Exception('could not extend file "x": No space left on device')),
            "no space is left",
        ),
    ],
    ids=["file", "file-read-only", "sqlite", "sqlite-read-only", "sqlite-fault", "postgresql"],
)
def test_of_a_full_disk_people_are_told(browser, monkeypatch, error, words):
    """It is no defect, and to wait does not help; what was typed is kept for the form."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(tenants, "switch_tenant", fail)
    root = browser("root")
    proof = re.search(r'name="csrf" value="(\w+)"', root.get("/pages/tenants/robot").text)[1]
    reply = root.post("/pages/tenants/robot/switch", data={"csrf": proof, "to": "off"})
    assert reply.status_code == 503
    assert "<h1>Nothing can be stored now</h1>" in reply.text
    assert words in reply.text
    assert ("data-refused" in reply.text, SECRET in reply.text) == (True, False)


def test_with_a_full_disk_one_logs_in_and_out(browser, monkeypatch):
    """Who comes from a new place is not kept out; whoever logs out is out, and is told what could not be written."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(private_files, "write_private", fail)
    alice = browser("alice")
    copy = {"Cookie": f"finales_session={alice.cookies['finales_session']}"}
    found = re.search(r'name="csrf" value="(\w+)"', alice.get("/pages/requests").text)
    reply = alice.post("/pages/logout", data={"csrf": found[1]})
    assert (reply.status_code, "<h1>You are logged out</h1>" in reply.text) == (503, True)
    assert alice.get("/pages/requests").url.path == "/pages/login"
    assert browser().get("/pages/requests", headers=copy).url.path == "/pages/login"


def test_a_failure_of_the_interface_stays_json(user, monkeypatch, caplog):
    """Programs read JSON; the number is there as well."""

    def fail(*_, **__):
        raise RuntimeError(SECRET)

    monkeypatch.setattr("aiida_finales.server.finales.registry.describe_tenants", fail)
    reply = user("alice").get("/tenants/")
    number = re.search(r"under ([0-9a-f]{8})", reply.json()["detail"])[1]
    assert (reply.status_code, number in caplog.text, SECRET in reply.text) == (500, True, False)


def test_an_address_without_a_page_and_what_the_door_refuses_are_pages(browser, app):
    """Of pages no refusal is JSON: neither that of an address, nor that of what is too long."""
    alice = browser("alice")
    assert "there is no page /pages/nothing/here" in alice.get("/pages/nothing/here").text
    text = "x" * (app.state.context.settings.body_limit + 1)
    for reply, status in (
        (alice.get("/pages/nothing"), 404),
        (alice.post("/pages/new-campaign", data={"text": text}), 413),
        (alice.post("/pages/tasks/1/frobnicate"), 405),
    ):
        assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert reply.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert browser().get("/pages/nothing/here").url.path == "/pages/login"


@pytest.mark.parametrize("site", ["same-origin", "cross-site"])
def test_a_form_that_is_too_old_says_to_load_the_page_again(browser, site):
    """Whoever sent it has the role: to be sent for another one would lead nowhere."""
    alice, path = browser("alice"), "/pages/requests/new"
    proof = "0" * 64 if site == "same-origin" else re.search(r'name="csrf" value="(\w+)"', alice.get("/pages").text)[1]
    reply = alice.post(path, data={"csrf": proof}, headers={"Sec-Fetch-Site": site})
    assert reply.status_code == 403
    assert "<h1>This form was not taken</h1>" in reply.text
    assert f'href="{path}">Back to the form</a>' in reply.text
    assert "data-refused" in reply.text  # what was typed is put into the form again (typed.js)
    assert "Back to the form" not in alice.get("/pages/nothing").text
    assert "for the role" not in reply.text
    assert "Ask whoever runs this server for the role" in alice.get("/pages/administration").text
