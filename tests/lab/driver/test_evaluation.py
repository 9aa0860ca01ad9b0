"""What counts of a device's output: one table, for the parsers and for tenants outside of the platform."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import FitError
from aiida_finales.lab.driver.evaluation import EVALUATIONS, evaluate, last_words


def test_details_of_the_device_do_not_count():
    output = {"success": True, "reservation_id": "7", "pump": "on"}
    found = evaluate(("cycling_channel", "service"), output)
    assert found.data == {"success": True, "reservation_id": "7", "channels": [], "reason": None}
    assert found.parameters is None


@pytest.mark.parametrize("capability", EVALUATIONS, ids=lambda item: item[1])
def test_why_nothing_can_be_made_of_an_output(capability):
    with pytest.raises(FitError, match="settled by Ada"):
        evaluate(capability, {"success": False, "reason": "settled by Ada"})
    with pytest.raises(FitError, match=r"reports no success.*lacks"):
        evaluate(capability, {"success": False})
    with pytest.raises(FitError, match=r"^the driver's output lacks '"):
        evaluate(capability, {"success": True})


@pytest.mark.parametrize("spectrum", [None, {"frequency_Hz": [1.0], "real_ohm": [1.0], "imaginary_ohm": [0.0, 1.0]}])
def test_what_is_no_spectrum_is_refused(spectrum):
    with pytest.raises(FitError, match=r"cannot be evaluated|lists of the same length"):
        evaluate(("conductivity", "two_electrode"), {"spectrum": spectrum})


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("2026-11-28T10:00:00.1+00:00 a\n2026-11-28T10:00:01.1+00:00 b\n", "2026-11-28T10:00:01.1+00:00 b"),
        (
            "2026-11-28T10:00:01.1+00:00 b\nTask was destroyed but it is pending!\n  task: <x>\n",
            "2026-11-28T10:00:01.1+00:00 b",
        ),
        ("Traceback\nValueError: no\n", "ValueError: no"),
        ("\n", ""),
    ],
    ids=["last", "noise at the end", "no driver's words", "nothing"],
)
def test_the_reason_is_what_the_driver_said_last(log, words):
    assert last_words(log) == words
