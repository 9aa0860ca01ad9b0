"""What is said of documents that people hand in."""

from __future__ import annotations

from aiida_finales.operations.request.documents import tell_unused


def test_settings_that_nobody_reads_are_named() -> None:
    """A model in the settings of a client says nothing: the client answers by itself."""
    offers = [{"quantity": "lifetimeCurve", "method": "lifetime_generator", "settings": {"model": "x", "lease_s": 60}}]
    (words,) = tell_unused("external", offers)
    assert words.startswith("model in the settings of lifetimeCurve/lifetime_generator is read for no tenant that is")
    assert "--kind internal" in words
    assert not tell_unused("internal", offers)
    assert not tell_unused("external", [{**offers[0], "settings": {"lease_s": 60}}])
