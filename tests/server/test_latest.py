"""What pages keep of a thing is its latest version only."""

from aiida_finales.server.pages import latest
from aiida_finales.server.pages.latest import Latest, Version


def test_another_version_takes_the_place_of_the_one_before():
    kept = Latest[str]()
    for number in range(500):
        kept.keep(Version("campaign", f"{number}"), f"made {number}")
    assert kept.find(Version("campaign", "499")) == "made 499"
    assert kept.find(Version("campaign", "498")) is None
    assert len(kept) == 1


def test_who_may_see_less_is_another_subject():
    kept = Latest[str]()
    kept.keep(Version("campaign, all of it", "1"), "all")
    assert kept.find(Version("campaign, a part", "1")) is None


def test_what_was_told_longest_ago_is_left_out(monkeypatch):
    monkeypatch.setattr(latest, "KEPT", 2)
    kept = Latest[str]()
    for subject in ("a", "b", "a", "c"):
        kept.keep(Version(subject, "1"), subject)
    assert [kept.find(Version(subject, "1")) for subject in "abc"] == ["a", None, "c"]
