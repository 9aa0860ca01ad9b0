"""E-mail addresses, host names and paths are found in what would leave, and replaced."""

from __future__ import annotations

import socket

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.privacy import Privacy, demand_privacy


def find(text, hosts=("cluster.example.org",)):
    privacy = Privacy(hosts)
    privacy.look(text, "here")
    return {(item.kind, item.text) for item in privacy.findings}


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ('{"contact": "jo.doe@lab.example.org"}', "e-mail", "jo.doe@lab.example.org"),
        ("run on cluster.example.org:22", "host name", "cluster.example.org"),
        ('{"workdir": "/home/jo/aiida/run"}', "path", "/home/jo/aiida/run"),
        ("first line\n/scratch/jo/x", "path", "/scratch/jo/x"),
        (r'{"stdout": "done\n/scratch/jo/x"}', "path", "/scratch/jo/x"),
        ("file:///home/jo/x.csv", "path", "/home/jo/x.csv"),
        (r"C:\Users\jo\data.csv", "path", r"C:\Users\jo\data.csv"),
    ],
)
def test_private_things_are_found(text, kind, found):
    assert (kind, found) in find(text)
    privacy = Privacy(["cluster.example.org"])
    privacy.look(text, "here")
    assert found not in privacy.scrub(text)
    assert find(privacy.scrub(text)) == set()


@pytest.mark.parametrize(
    "text",
    [
        "0.9 S/m at 298.15 K", "https://doi.org/10.1038/s41597-024-03575-8", "aiida@localhost", "#!/bin/bash",
        "/usr/bin/env python", "mol/kg and mAh/cm2", '"errors": "$.conductivity.values"', "text/plain", "n/a",
    ],
)  # fmt: skip
def test_what_is_not_private_stays(text):
    assert find(text) == set()
    assert Privacy().scrub(text) == text


def test_this_computer_is_known():
    if len(socket.gethostname()) > 3 and socket.gethostname() != "localhost":
        assert ("host name", socket.gethostname()) in find(f"run on {socket.gethostname()}")


def test_numbers_do_not_depend_on_the_order():
    one, other = Privacy(), Privacy()
    for privacy, words in ((one, ("b@x.org", "a@x.org")), (other, ("a@x.org", "b@x.org"))):
        for word in (f"{item} " for item in words):
            privacy.look(word.replace("b@", "bb@").replace("a@", "aa@"), "here")
    assert one.scrub("aa@x.org bb@x.org") == other.scrub("aa@x.org bb@x.org")
    assert one.scrub("aa@x.org") == "person-1@scrubbed.invalid"


def test_bytes_are_searched_but_not_changed():
    privacy = Privacy()
    privacy.look_at_bytes(b"\x89HDF\0\0 /home/josiah/cells/cell.h5\0\xff\xfe", "cell.h5")
    with pytest.raises(InputError, match=r"cannot be replaced.*cell.h5"):
        demand_privacy(privacy.findings, is_accepted=False, is_scrubbed=True)
    demand_privacy(privacy.findings, is_accepted=True, is_scrubbed=False)
