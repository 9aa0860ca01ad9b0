"""Files of instruments in a package of others claim what they like: no room is made for it before it is looked at."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.raw_files import BDF_COLUMNS, read_array, series_table


def make_file(**changes):
    """Return a cycling file whose columns have three points, or the shape that is given."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        raw = file.create_group("raw")
        for name in BDF_COLUMNS:
            shape = changes.get(name.split("(")[0], (3,))
            raw.create_group(name) if shape is None else raw.create_dataset(
                name, shape, chunks=shape != () or None, dtype="f8"
            )
    return stream.getvalue()


def test_a_file_of_an_instrument():
    assert series_table(make_file()).count("\n") == 4


@pytest.mark.parametrize("shape", [(10**11,), (3, 10**9), (), None], ids=str)
def test_a_column_that_is_none(shape):
    content = make_file(Voltage=shape)
    assert len(content) < 10**6
    with pytest.raises(InputError, match="accepted are columns"):
        series_table(content)


@pytest.mark.parametrize("content", [b"", b"no such file", make_file()[:800]], ids=["empty", "other", "cut"])
def test_what_only_has_the_name_has_no_series(content):
    assert series_table(content) is None


def save(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_an_array():
    assert read_array(save(np.arange(3.0)), "x").tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no array"),
        (b"no array at all", "is no array"),
        (save(np.zeros(4))[:-8], "is no array"),
        (save(np.zeros(4)).replace(b"(4,), }            ", b"(9999999999999,), }"), "claims to be float64"),
        (save(np.array([None])), "claims to be object"),
    ],
    ids=["empty", "other", "cut", "endless", "code"],
)
def test_an_array_that_is_none(content, words):
    with pytest.raises(InputError, match=words):
        read_array(content, "frequency.npy")
