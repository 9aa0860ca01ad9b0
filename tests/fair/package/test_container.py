"""A zip of others is judged by its list; nothing of one that is refused is ever written."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package import checksums
from aiida_finales.fair.package import container as package_zip
from aiida_finales.fair.package.archive import read_archive
from aiida_finales.fair.package.container import SETTING
from aiida_finales.fair.package.receive import receive_package
from aiida_finales.fair.package.verify import verify_package

MEGABYTE = bytes(10**6)


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def make_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a zip that looks like a package, with more members, as they are given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in (("p/metadata.json", b"{}"), *members):
            bundle.writestr(name, content)
    return path


@pytest.fixture
def written(monkeypatch, tmp_path) -> Path:
    """The folder in which temporary files are; it is empty again at the end."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(package_zip, "unpack", lambda *_: pytest.fail("something was unpacked"))
    monkeypatch.setattr("aiida_finales.fair.package.verify.unpack", lambda *_: pytest.fail("something was unpacked"))
    return place


NAMES = {
    "absolute": (("/etc/passwd", b""), "leads out of the folder"),
    "up": (("p/../../x", b""), "leads out of the folder"),
    "up, with backslashes": (("p\\..\\..\\x", b""), "leads out of the folder"),
    "drive": (("C:/x", b""), "leads out of the folder"),
    "link": ((link("p/link"), b"/etc/passwd"), "is a link"),
    "twice": (("p/metadata.json", b"other"), "is there twice"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("take", [verify_package, receive_package])
@pytest.mark.parametrize(("member", "words"), NAMES.values(), ids=NAMES)
def test_names(member, words, take, tmp_path, written) -> None:
    with pytest.raises(InputError, match=f"was not unpacked: .*{words}"):
        take(make_zip(tmp_path / "p.zip", member))


@pytest.mark.parametrize("take", [verify_package, receive_package, read_archive])
def test_encrypted(take, tmp_path, written) -> None:
    path = make_zip(tmp_path / "p.zip")
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 8, 1)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted"):
        take(path)


@pytest.mark.parametrize("take", [verify_package, receive_package, read_archive])
def test_what_no_data_do(take, tmp_path, written, monkeypatch) -> None:
    monkeypatch.setattr(package_zip, "PLAUSIBLE", 10**6)
    path = make_zip(tmp_path / "p.zip", ("p/zeros.bin", 2 * MEGABYTE))
    with pytest.raises(InputError, match=f"would become 2 MB, which no data do: if you trust it, set {SETTING}"):
        take(path)
    assert list(written.iterdir()) == []


def test_room(tmp_path, written, monkeypatch) -> None:
    path = make_zip(tmp_path / "p.zip", ("p/zeros.bin", 2 * MEGABYTE))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * 10**6))
    with pytest.raises(InputError, match="would become 2 MB, free are 2 MB: make room, or set TMPDIR"):
        verify_package(path)


def test_setting(tmp_path, written, monkeypatch) -> None:
    path = make_zip(tmp_path / "p.zip", ("p/zeros.bin", 2 * MEGABYTE))
    for setting, words in (("0.001", "accepted are 1 MB"), ("much", "is 'much', but accepted is a number of GB")):
        monkeypatch.setenv(SETTING, setting)
        with pytest.raises(InputError, match=words):
            verify_package(path)


def test_no_package_at_all(tmp_path, written) -> None:
    path = tmp_path / "holidays.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("beach.jpg", MEGABYTE)
    with pytest.raises(InputError, match=r"it has neither campaign\.aiida nor metadata\.json"):
        verify_package(path)


def test_what_is_not_listed_is_not_unpacked(tmp_path, written) -> None:
    path = make_zip(tmp_path / "p.zip", (f"p/{checksums.FILE}", b"0" * 64 + b"  metadata.json\n"), ("x/y", MEGABYTE))
    found = verify_package(path)
    assert found == ["x/y is there, but not listed in checksums.sha256",
                     "nothing was unpacked: what else is wrong is not known"]  # fmt: skip


def test_a_member_larger_than_it_claims(tmp_path) -> None:
    """The list claims one byte: neither more than that is written, nor is it taken for the file."""
    path = make_zip(tmp_path / "p.zip", ("p/zeros.bin", MEGABYTE))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    struct.pack_into("<I", content, entry + 24, 1)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no package"):
        verify_package(path)


def test_a_link_in_a_folder(tmp_path) -> None:
    (tmp_path / "metadata.json").write_text("{}")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    checksums.write_checksums(tmp_path)
    assert any("passwd is a link" in words for words in verify_package(tmp_path))
