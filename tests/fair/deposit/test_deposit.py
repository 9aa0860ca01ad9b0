"""Deposits in a real HTTP server that follows the published API of InvenioRDM and fails on order."""

from __future__ import annotations

import json
import logging
import ssl
import zipfile
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from aiida_finales.exceptions import ArchiveError, ArchiveRefusedError, InputError
from aiida_finales.fair.deposit import invenio
from aiida_finales.fair.deposit.archives import Archive, State, Token, find_archive, find_token, known_archives
from aiida_finales.fair.deposit.bundle import check_limits, pack
from aiida_finales.fair.deposit.deposit import Depositor
from aiida_finales.fair.deposit.invenio import Invenio, Patience
from aiida_finales.fair.deposit.metadata import Description, check_description, make_record, today
from aiida_finales.fair.package.checksums import write_checksums
from aiida_finales.fair.package.metadata import parse_metadata
from tests.fair.deposit import fake_invenio
from tests.fair.deposit.fake_invenio import COMMUNITY, TOKEN, FakeInvenio, serve

METADATA = {
    "title": "Ionic conductivity of electrolytes",
    "description": "Found by a campaign.\n\nWith x < 0.1.",
    "authors": [
        {
            "given_name": "Ada",
            "family_name": "Lovelace",
            "orcid": "https://orcid.org/0000-0002-1825-0097",
            "affiliations": [{"name": "Institute of Engines, University, London", "ror": ""}],
        }
    ],
    "licence": "CC-BY-4.0",
    "keywords": ["Electrolyte", "IonicConductivity", "BIG-MAP"],
    "references": [
        {"citation": "de Blasio et al., Sci. Data 2024", "doi": "10.1038/s41597-024-03575-8", "url": ""},
        {"citation": "Report", "doi": "", "url": "https://example.org/report"},
    ],
    "funding": [{"funder": "European Commission", "number": "957189", "title": "BIG-MAP"}],
    "openness": "public",
    "version": "1",
}
#: files of the package as the archive sees them
NAMES = ["campaign.aiida", "checksums.sha256", "metadata.json", "results.csv", "ro-crate-metadata.json", "spectra.zip"]


@pytest.fixture
def archive():
    with serve() as fake:
        yield fake


@pytest.fixture
def package(tmp_path):
    return make_package(tmp_path / "ocond")


def make_package(folder: Path) -> Path:
    """Make a small package with a folder in it."""
    (folder / "spectra").mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "ro-crate-metadata.json").write_text("{}")
    (folder / "campaign.aiida").write_bytes(bytes(range(256)) * 400)
    (folder / "results.csv").write_text("x,y\n1,2\n")
    for name in ("a.csv", "b.csv"):
        (folder / "spectra" / name).write_text(name * 20)
    write_checksums(folder)
    return folder


def change(package: Path, name: str, content: str) -> None:
    """Let a package be exported again with another content of a file; without content it is not in it any more."""
    if content:
        (package / name).write_text(content)
    else:
        (package / name).unlink()
    write_checksums(package)


@pytest.fixture
def pauses(monkeypatch):
    """What would have been waited (s), instead of waiting."""
    waited: list[float] = []
    monkeypatch.setattr(invenio.time, "sleep", waited.append)
    return waited


@pytest.fixture
def open_depositor(archive, package, pauses):
    """Return a function that makes what a new run of the program would make."""
    clients = []

    def make(attempts=4, token=TOKEN, say=None, **profile):
        client = Invenio(Archive("fake", archive.url, "Fake archive", **profile), Token(token),
                         Patience(attempts=attempts, timeout=5.0), say)  # fmt: skip
        clients.append(client)
        return Depositor(package, client, say)

    yield make
    for client in clients:
        client.__exit__()


UPLOADS = ["PUT /api/records/{a}/draft/files/NAME/content", "POST /api/records/{a}/draft/files/NAME/commit"]
NEW_DRAFT = [
    "POST /api/records",
    "POST /api/records/{a}/draft/files",
    *UPLOADS * len(NAMES),
    "PUT /api/records/{a}/draft",
]


def content_of(archive: FakeInvenio, record: str) -> dict[str, bytes]:
    """Return what a record of the archive really holds."""
    files = archive.records[record].files
    assert all(entry["status"] == "completed" for entry in files.values())
    return {name: entry["content"] for name, entry in files.items()}


def test_draft_follows_the_documented_calls(archive, open_depositor, package) -> None:
    """A first draft needs the documented calls and no other, and arrives unchanged."""
    entry = open_depositor().deposit()
    assert archive.sequence() == NEW_DRAFT
    held = content_of(archive, entry.record)
    assert sorted(held) == NAMES
    assert {path.name: path.read_bytes() for path in package.iterdir() if path.is_file()}.items() <= held.items()
    assert entry.status == "draft"
    assert not archive.records[entry.record].is_published


def test_folder_is_one_file(archive, open_depositor, tmp_path) -> None:
    """A folder of the package is one compressed file, out of which comes the same tree."""
    entry = open_depositor().deposit()
    (tmp_path / "back.zip").write_bytes(content_of(archive, entry.record)["spectra.zip"])
    with zipfile.ZipFile(tmp_path / "back.zip") as back:
        assert {name: back.read(name).decode() for name in back.namelist()} == {
            "spectra/a.csv": "a.csv" * 20, "spectra/b.csv": "b.csv" * 20
        }  # fmt: skip


def test_publish_follows_the_documented_calls(archive, open_depositor) -> None:
    """Publishing is one more call; the DOI is recorded."""
    depositor = open_depositor()
    depositor.deposit()
    archive.calls.clear()
    entry = depositor.publish()
    assert archive.sequence() == ["POST /api/records/{a}/draft/actions/publish"]
    assert (entry.status, entry.doi) == ("published", f"10.5072/{entry.record}")
    assert entry.address == f"{archive.url}/records/{entry.record}"
    assert archive.records[entry.record].is_published


def test_review_follows_the_documented_calls(archive, open_depositor) -> None:
    """Where a community decides, the draft is handed to it and stays unpublished."""
    depositor = open_depositor(publish="review")
    depositor.deposit()
    archive.calls.clear()
    entry = depositor.publish("batteries")
    assert archive.sequence() == [
        "GET /api/communities",
        "PUT /api/records/{a}/draft/review",
        "POST /api/records/{a}/draft/actions/submit-review",
    ]
    record = archive.records[entry.record]
    assert (entry.status, record.is_submitted, record.is_published) == ("submitted", True, False)
    assert record.review == {"receiver": {"community": COMMUNITY["id"]}, "type": "community-submission"}


def test_new_version_follows_the_documented_calls(archive, open_depositor, package) -> None:
    """A new version links what has not changed, replaces what has, and drops what is gone."""
    depositor = open_depositor()
    depositor.deposit()
    first = depositor.publish()
    archive.calls.clear()
    change(package, "results.csv", "x,y\n1,3\n")
    change(package, "more.csv", "new")
    change(package, "campaign.aiida", "")
    second = open_depositor().deposit(first.record)
    assert archive.sequence() == [
        "GET /api/records/{a}",
        "POST /api/records/{a}/versions",
        "POST /api/records/{b}/draft/actions/files-import",
        *["DELETE /api/records/{b}/draft/files/NAME"] * 3,
        "POST /api/records/{b}/draft/files",
        *[call.replace("{a}", "{b}") for call in UPLOADS * 3],
        "PUT /api/records/{b}/draft",
    ]
    assert second.new_version_of == first.record != second.record
    assert sorted(second.linked) == ["metadata.json", "ro-crate-metadata.json", "spectra.zip"]
    held = content_of(archive, second.record)
    assert held["results.csv"] == b"x,y\n1,3\n"
    assert sorted(held) == sorted([*(name for name in NAMES if name != "campaign.aiida"), "more.csv"])
    assert archive.records[second.record].metadata["publication_date"] == today().isoformat()
    published = open_depositor(publish="review").publish()
    assert (published.status, published.record) == ("published", second.record)


def test_repeated_run_sends_nothing(archive, open_depositor, package) -> None:
    """A second run finds everything there; after publication it does not even touch the draft."""
    depositor = open_depositor()
    first = depositor.deposit()
    archive.calls.clear()
    assert open_depositor().deposit().record == first.record
    assert {method for method, path in archive.calls if "files" in path} == {"GET"}
    depositor.publish()
    archive.calls.clear()
    assert open_depositor().deposit().status == "published"
    assert archive.sequence() == ["GET /api/records/{a}"]
    assert len(archive.records) == 1
    change(package, "results.csv", "other")
    with pytest.raises(InputError, match=f"published with other files.*--new-version-of {first.record}"):
        open_depositor().deposit()


@pytest.mark.parametrize("died_at", range(1, len(NEW_DRAFT)))
def test_second_run_continues(archive, open_depositor, died_at) -> None:
    """Wherever a run ends, the next one finishes its draft and sends again only what had not arrived."""
    archive.plan("503", ".", times=0)
    (fault,) = archive.faults
    real = archive.take_fault

    def fail_from_here(call):
        if len(archive.calls) > died_at:
            fault.times = 1
        return real(call)

    archive.take_fault = fail_from_here
    with pytest.raises(ArchiveError, match="run it again"):
        open_depositor(attempts=1).deposit()
    archive.take_fault = real
    fault.times = 0
    (record,) = archive.records.values()
    before = {name for name, entry in record.files.items() if entry["status"] == "completed"}
    archive.calls.clear()
    entry = open_depositor().deposit()
    assert list(archive.records) == [entry.record]
    assert sorted(content_of(archive, entry.record)) == NAMES == sorted(entry.files)
    sent = {path.split("/")[-2] for method, path in archive.calls if method == "PUT" and path.endswith("/content")}
    assert sent == set(NAMES) - before
    assert open_depositor().publish().status == "published"


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        ("drop", "POST /api/records/.*/files$"),
        ("drop-after", "POST /api/records/.*/files$"),
        ("503-after", "POST /api/records/.*/files$"),
        ("drop", "PUT .*/campaign.aiida/content"),
        ("half", "PUT .*/campaign.aiida/content"),
        ("drop-after", "PUT .*/campaign.aiida/content"),
        ("corrupt", "PUT .*/campaign.aiida/content"),
        ("forget", "PUT .*/campaign.aiida/content"),
        ("429", "PUT .*/campaign.aiida/content"),
        ("500", "PUT .*/campaign.aiida/content"),
        ("drop", "POST .*/campaign.aiida/commit"),
        ("drop-after", "POST .*/campaign.aiida/commit"),
        ("502-after", "POST .*/campaign.aiida/commit"),
        ("504", "PUT /api/records/.*/draft$"),
        ("drop-after", "PUT /api/records/.*/draft$"),
        ("429", "publish"),
        ("drop", "publish"),
        ("drop-after", "publish"),
        ("500-after", "publish"),
    ],
)
def test_troubles_are_survived(archive, open_depositor, package, kind, at) -> None:
    """One fault anywhere changes neither the content nor the number of records."""
    archive.plan(kind, at)
    depositor = open_depositor()
    depositor.deposit()
    entry = depositor.publish()
    assert archive.faults[0].times == 0
    assert (entry.status, list(archive.records)) == ("published", [entry.record])
    assert content_of(archive, entry.record)["campaign.aiida"] == (package / "campaign.aiida").read_bytes()


@pytest.mark.parametrize("kind", ["drop", "drop-after", "502-after"])
@pytest.mark.parametrize("at", ["versions", "files-import", "DELETE"])
def test_troubles_of_new_versions(archive, open_depositor, package, kind, at) -> None:
    """Lost answers do not make a second draft of the next version, and still link the files."""
    depositor = open_depositor()
    depositor.deposit()
    first = depositor.publish()
    change(package, "results.csv", "other")
    archive.plan(kind, at)
    second = open_depositor().deposit(first.record)
    assert archive.faults[0].times == 0
    assert list(archive.records) == [first.record, second.record]
    assert sorted(second.linked) == [name for name in NAMES if name not in {"checksums.sha256", "results.csv"}]
    assert content_of(archive, second.record)["results.csv"] == b"other"


@pytest.mark.parametrize("kind", ["drop", "drop-after"])
def test_lost_review(archive, open_depositor, kind) -> None:
    """A lost answer to the submission does not submit twice."""
    archive.plan(kind, "submit-review")
    depositor = open_depositor(publish="review")
    depositor.deposit()
    assert depositor.publish("batteries").status == "submitted"
    assert archive.records[depositor.state.read()[0].record].is_submitted


def test_lost_draft_is_told(archive, open_depositor) -> None:
    """When the answer to the creation gets lost, an empty draft may remain: that is said, and nothing else is."""
    heard: list[str] = []
    archive.plan("drop-after", "POST /api/records$")
    entry = open_depositor(say=heard.append).deposit()
    assert any("an empty draft may remain" in line for line in heard)
    assert [bool(record.files) for record in archive.records.values()] == [False, True]
    assert list(archive.records)[1] == entry.record


def test_waits_as_asked(archive, open_depositor, pauses) -> None:
    """``Retry-After`` in seconds and as date is what is waited; without it pauses double."""
    archive.plan("429", "POST /api/records$", retry_after="7")
    later = invenio.datetime.now(invenio.UTC) + timedelta(seconds=90)
    archive.plan("503", "campaign.aiida/content", retry_after=format_datetime(later, usegmt=True))
    archive.plan("500", "results.csv/content", times=3)
    archive.plan("503-after", "results.csv/commit", retry_after="11")
    open_depositor().deposit()
    assert pauses == [7.0, pytest.approx(90, abs=3), 1.0, 2.0, 4.0, 11.0]


def test_does_not_wait_for_ever(archive, open_depositor, pauses) -> None:
    """Attempts are bounded, and so is the wait an archive may ask for."""
    archive.plan("500", "PUT .*/content", times=99)
    with pytest.raises(ArchiveError, match=r"answered 500 .* 4 times. What is done stays done"):
        open_depositor().deposit()
    assert pauses == [1.0, 2.0, 4.0]
    archive.faults.clear()
    archive.plan("429", "PUT .*/content", retry_after="86400")
    with pytest.raises(ArchiveError, match="asks to wait 86400 s"):
        open_depositor().deposit()
    assert len(pauses) == 3


def test_never_arrives_unchanged(archive, open_depositor) -> None:
    """An archive that keeps storing something else is not believed; nothing is published."""
    archive.plan("corrupt", "PUT .*/results.csv/content", times=99)
    with pytest.raises(ArchiveError, match=r"results.csv does not arrive unchanged: the archive has checksum md5:\w+"):
        open_depositor().deposit()
    assert archive.faults[0].times == 99 - 3
    assert not any(record.is_published for record in archive.records.values())


def test_unreachable(package, pauses) -> None:
    """An archive that is not there is named."""
    gone = Archive("gone", "http://127.0.0.1:9", "Gone")
    reason = r"http://127.0.0.1:9/api/records: no connection .*, 2 times"
    with Invenio(gone, Token(TOKEN), Patience(attempts=2)) as client, pytest.raises(ArchiveError, match=reason):
        Depositor(package, client).deposit()
    assert pauses == [1.0]


def test_commit_before_content_is_refused(archive, open_depositor) -> None:
    """The archive of these tests refuses what InvenioRDM refuses: a commit without content, a second announcement."""
    depositor = open_depositor()
    record = depositor.deposit().record
    client = depositor.client
    client.call("POST", f"/api/records/{record}/draft/files", [{"key": "new"}])
    with pytest.raises(ArchiveRefusedError, match=r"\(404\): File content has not been uploaded"):
        client.call("POST", f"/api/records/{record}/draft/files/new/commit")
    with pytest.raises(ArchiveRefusedError, match=r"\(400\): File with key new already exists"):
        client.call("POST", f"/api/records/{record}/draft/files", [{"key": "new"}])
    with pytest.raises(ArchiveRefusedError, match=r"files.enabled: Missing uploaded files"):
        depositor.publish()


def test_publish_without_metadata_is_refused(archive, open_depositor) -> None:
    """What the archive misses is told by field, before publication and when it refuses it."""
    depositor = open_depositor()
    record = depositor.deposit().record
    archive.records[record].metadata = {"title": "Only a title"}
    with pytest.raises(ArchiveRefusedError, match=r"metadata.creators: Missing data for required field") as caught:
        depositor.publish()
    assert caught.value.status == 400
    assert depositor.state.read()[0].status == "draft"


def test_defects_are_told(archive, open_depositor, monkeypatch) -> None:
    """What the archive says about the description of a draft is kept for the person."""
    monkeypatch.setattr(fake_invenio, "REQUIRED", ("title", "contributors"))
    depositor = open_depositor()
    depositor.deposit()
    assert depositor.defects == ["metadata.contributors: Missing data for required field."]


def test_reserved_identifier_survives(archive, open_depositor) -> None:
    """A DOI that was reserved at the draft is sent back with the description."""
    first = open_depositor().deposit()
    archive.records[first.record].pids = {"doi": {"identifier": "10.5072/reserved", "provider": "datacite"}}
    assert open_depositor().deposit().doi == "10.5072/reserved"
    assert archive.records[first.record].pids["doi"]["identifier"] == "10.5072/reserved"


def test_draft_removed_there(archive, open_depositor) -> None:
    """A draft that somebody deleted in the archive is not made anew behind his back."""
    open_depositor().deposit()
    archive.records.clear()
    with pytest.raises(ArchiveError, match="has neither draft nor record"):
        open_depositor().deposit()


def test_published_there(archive, open_depositor) -> None:
    """A draft that was published on the pages of the archive is found published."""
    entry = open_depositor().deposit()
    archive.publish(archive.records[entry.record])
    assert open_depositor().ask().status == "published"
    assert open_depositor().deposit().doi == f"10.5072/{entry.record}"


def test_unfinished_deposit_is_no_new_version(archive, open_depositor) -> None:
    """A draft is not silently left behind for another one."""
    open_depositor().deposit()
    with pytest.raises(InputError, match="is an unfinished deposit of this package"):
        open_depositor().deposit("rec77-12345")


def test_token_is_nowhere(archive, open_depositor, package, caplog) -> None:
    """The token is neither in the state, nor in messages, logs or errors, even where the archive sends it back."""
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []
    archive.plan("429", "files")
    depositor = open_depositor(say=heard.append)
    depositor.deposit()
    archive.plan("echo", "publish")
    with pytest.raises(ArchiveRefusedError, match="bad headers") as caught:
        depositor.publish()
    assert "Bearer ***" in str(caught.value)
    places = [depositor.state.path.read_text(), str(caught.value), repr(caught.value), caplog.text, *heard]
    places += [repr(Token(TOKEN)), f"{Token(TOKEN)}", repr(depositor.client.__dict__)]
    places += [json.dumps(archive.bodies["record"])]
    assert not [text for text in places if TOKEN in text]


def test_wrong_token(open_depositor) -> None:
    """A token that does not open the archive is said to be that; it is not shown."""
    with pytest.raises(ArchiveRefusedError, match="AIIDA_FINALES_FAKE_TOKEN valid") as caught:
        open_depositor(token="not-this-one").deposit()
    assert "not-this-one" not in str(caught.value)


def test_certificates_are_verified(open_depositor) -> None:
    """An archive has to prove who it is."""
    context = open_depositor().client._http._transport._pool._ssl_context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_token_is_found(monkeypatch) -> None:
    """The environment comes before the keyring; without both it is said where to put it."""
    import keyring

    zenodo = find_archive("zenodo")
    monkeypatch.delenv("AIIDA_FINALES_ZENODO_TOKEN", raising=False)
    monkeypatch.setattr(keyring, "get_password", lambda service, name: {"zenodo": "kept"}.get(name))
    assert find_token(zenodo).reveal() == "kept"
    monkeypatch.setenv("AIIDA_FINALES_ZENODO_TOKEN", " given\n")
    assert find_token(zenodo).reveal() == "given"
    with pytest.raises(InputError, match=r"AIIDA_FINALES_MATERIALS_CLOUD_TOKEN.*keyring set aiida-finales materials"):
        find_token(find_archive("materials-cloud"))


def test_archives_are_found() -> None:
    """Names, addresses, and what is neither; a token goes through TLS only."""
    assert set(known_archives()) == {"materials-cloud", "big-map", "zenodo", "zenodo-sandbox"}
    assert all(archive.url.startswith("https://") for archive in known_archives().values())
    assert find_archive("https://zenodo.org/").name == "zenodo"
    assert find_archive("https://rdm.example.org").token_variable == "AIIDA_FINALES_RDM_EXAMPLE_ORG_TOKEN"
    for wrong, reason in (("zenudo", "zenodo-sandbox"), ("http://rdm.example.org", "https only"),
                          ("https://ada:pw@example.org", "leave them out")):  # fmt: skip
        with pytest.raises(InputError, match=reason):
            find_archive(wrong)


def test_description_is_that_of_the_export() -> None:
    """The description of these tests is one that the export accepts and writes."""
    written = parse_metadata(METADATA).to_dict()
    assert make_record(Description(written), find_archive("zenodo")) == make_record(
        Description(METADATA), find_archive("zenodo")
    )


def test_record_says_what_the_package_says(archive, open_depositor) -> None:
    """The description arrives in the fields of InvenioRDM."""
    entry = open_depositor().deposit()
    assert archive.records[entry.record].metadata == {
        "resource_type": {"id": "dataset"},
        "title": "Ionic conductivity of electrolytes",
        "publication_date": today().isoformat(),
        "publisher": "Fake archive",
        "creators": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "Lovelace",
                    "given_name": "Ada",
                    "name": "Lovelace, Ada",
                    "identifiers": [{"scheme": "orcid", "identifier": "0000-0002-1825-0097"}],
                },
                "affiliations": [{"name": "Institute of Engines, University, London"}],
            }
        ],
        "description": "<p>Found by a campaign.</p><p>With x &lt; 0.1.</p>",
        "rights": [{"id": "cc-by-4.0"}],
        "subjects": [{"subject": "Electrolyte"}, {"subject": "IonicConductivity"}, {"subject": "BIG-MAP"}],
        "related_identifiers": [
            {
                "scheme": "doi",
                "identifier": "10.1038/s41597-024-03575-8",
                "relation_type": {"id": "references"},
            },
            {"scheme": "url", "identifier": "https://example.org/report", "relation_type": {"id": "references"}},
        ],
        "version": "1",
        "funding": [
            {"funder": {"name": "European Commission"}, "award": {"title": {"en": "BIG-MAP"}, "number": "957189"}}
        ],
    }


SOON, PAST = (today() + timedelta(days=30)).isoformat(), (today() - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("changes", "access"),
    [
        ({}, {"record": "public", "files": "public"}),
        ({"openness": "restricted"}, {"record": "public", "files": "restricted"}),
        ({"embargo_until": PAST}, {"record": "public", "files": "public"}),
        (
            {"embargo_until": SOON},
            {
                "record": "public",
                "files": "restricted",
                "embargo": {"active": True, "until": SOON, "reason": None},
            },
        ),
    ],
    ids=["public", "restricted", "embargo that is over", "embargo"],
)
def test_openness(changes, access) -> None:
    """Openness and embargo become the fields of access."""
    description, zenodo = Description({**METADATA, **changes}), find_archive("zenodo")
    check_description(description, zenodo)
    assert make_record(description, zenodo)["access"] == access


@pytest.mark.parametrize(
    ("changes", "archive_name", "reason"),
    [
        ({"openness": "confidential"}, "zenodo", "confidential is not given to an archive"),
        ({"openness": "secret"}, "zenodo", "openness: 'secret' was given, accepted is public or restricted"),
        ({"openness": None}, "zenodo", "openness: '' was given"),
        ({"openness": "restricted", "embargo_until": SOON}, "zenodo", "at an embargo's end the archive opens"),
        ({"embargo_until": "next year"}, "zenodo", "embargo_until is 'next year', but accepted is a date"),
        ({"title": " "}, "zenodo", "title: ' ' was given"),
        ({"licence": None}, "zenodo", "licence: None was given, accepted is an SPDX identifier"),
        ({"authors": []}, "zenodo", "authors: .* at least 1"),
        ({"authors": ["Ada"]}, "zenodo", r"authors\[0\].family_name"),
        ({"keywords": ["one"]}, "materials-cloud", "keywords: .* at least 3 for Materials Cloud"),
        ({"references": []}, "materials-cloud", "references: .* at least 1"),
    ],
)
def test_bad_descriptions(changes, archive_name, reason) -> None:
    """What an archive would not take, or must not get, is refused here."""
    description, target = Description({**METADATA, **changes}), find_archive(archive_name)
    with pytest.raises(InputError, match=reason):
        check_description(description, target)


def test_nothing_is_sent_before_the_checks(archive, open_depositor, package) -> None:
    """Description, number and size are looked at before the first call."""
    for profile, reason in (
        ({"max_files": 4}, "has 6 files, but Fake archive accepts 4"),
        ({"max_bytes": 100}, "the files of the package have .* GB, but"),
        ({"max_bytes": 10**9, "max_aiida_bytes": 1000}, "the AiiDA archives of the package have"),
        ({"min_keywords": 9}, "at least 9"),
    ):
        with pytest.raises(InputError, match=reason):
            open_depositor(**profile).deposit()
    change(package, "metadata.json", json.dumps({**METADATA, "openness": "confidential"}))
    with pytest.raises(InputError, match="confidential"):
        open_depositor().deposit()
    assert archive.calls == []
    assert not State(package).path.exists()


def test_aiida_archives_have_a_limit_of_their_own(package) -> None:
    """Where databases may be larger, they do not count with the rest."""
    with pack(package) as files:
        check_limits(files, Archive("a", "https://a", "A", max_bytes=5000, max_aiida_bytes=200_000))
        with pytest.raises(InputError, match="the files of the package"):
            check_limits(files, Archive("a", "https://a", "A", max_bytes=5000))


def test_bad_packages(package, tmp_path) -> None:
    """Unfinished packages, links and empty files are refused with the name."""
    (package / "results.csv").write_text("changed behind the back of the export")
    with pytest.raises(InputError, match=r"not as it was exported: results.csv was changed"), pack(package):
        pass
    (package / "empty.csv").touch()
    write_checksums(package)
    with pytest.raises(InputError, match=r"empty.csv is empty"), pack(package):
        pass
    change(package, "empty.csv", "")
    (package / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"link is a link"), pack(package):
        pass
    (package / "link").unlink()
    change(package, "spectra.zip", "x")
    with pytest.raises(InputError, match=r"both become spectra.zip"), pack(package):
        pass
    (package / "ro-crate-metadata.json").unlink()
    with pytest.raises(InputError, match="not a finished package"), pack(package):
        pass
    (package / "metadata.json").write_text("[")
    with pytest.raises(InputError, match="is not JSON"):
        Depositor(package, None)
    (package / "metadata.json").unlink()
    with pytest.raises(InputError, match="aiida-finales export campaign"):
        Depositor(package, None)


def test_damaged_state(package, open_depositor) -> None:
    """A state that cannot be read is not overwritten."""
    State(package).path.write_text('{"deposits": [{"archive": 1, "colour": "red"}]}')
    with pytest.raises(InputError, match=r"ocond.deposit.json cannot be read"):
        open_depositor().deposit()


def test_names_of_any_kind(archive, open_depositor, package) -> None:
    """Spaces, umlauts and percent signs in the names of files arrive as they are."""
    name = "Größe 100%?#.csv"
    change(package, name, "x")
    entry = open_depositor().deposit()
    assert content_of(archive, entry.record)[name] == b"x"


def test_not_an_archive(open_depositor, archive) -> None:
    """Pages that are no API are recognised; a redirection does not get the token."""
    archive.plan("302", "POST")
    with pytest.raises(ArchiveError, match="has moved to None"):
        open_depositor().deposit()
    assert len(archive.calls) == 1
