"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from aiida_finales.exceptions import StorageError
from aiida_finales.md.storage import replace_file


def test_what_found_no_room_leaves_none_of_itself(tmp_path, monkeypatch):
    replace_file(tmp_path / "a", b"before")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space"):
        replace_file(tmp_path / "a", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"
