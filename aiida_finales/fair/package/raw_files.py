"""Raw data of a campaign as files that need no AiiDA: HDF5 as the cycler wrote it, time series and spectra as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.archive import Archive, Node
from aiida_finales.fair.package.container import PLAUSIBLE, RATIO
from aiida_finales.science.array import Array

RAW, SERIES, SPECTRA = "raw", "timeseries", "spectra"
HDF5 = (".h5", ".hdf5")
#: Battery Data Format: header by name of the dataset of a cycling file. The cycler's Step_Index says of which kind a
#: step is; the format has no label for that, but one for the number of the step from the begin of the test
BDF_COLUMNS = {
    "Testtime(s)": "Test Time / s",
    "Voltage(V)": "Voltage / V",
    "Current(A)": "Current / A",
    "Cycle_Index": "Cycle Count / 1",
}
BDF_STEP = "Step Count / 1"
_SINGLE_FILE, _ARRAY = "data.core.singlefile.SinglefileData.", "data.core.array.ArrayData."


def write_raw_files(archive: Archive, folder: Path) -> dict[str, str]:
    """Write raw data below a folder; return the UUID of the node by path."""
    owners: dict[str, str] = {}
    for node, path, content in list_raw_files(archive):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        owners[path] = node.uuid
    return owners


def list_raw_files(archive: Archive) -> Iterator[tuple[Node, str, bytes]]:
    """Yield node, path and content of each raw file; time series follow the file that they are made of."""
    for node in archive.nodes:
        for path, content in _files(archive, node):
            yield node, path, content
            series = series_table(content) if Path(path).suffix in HDF5 else None
            if series is not None:
                yield node, f"{SERIES}/{node.uuid}.bdf.csv", series.encode()


def _files(archive: Archive, node: Node) -> Iterator[tuple[str, bytes]]:
    if node.node_type == _SINGLE_FILE:
        for name, key in node.files.items():
            content = archive.read_object(key)
            if content:  # deposits refuse empty files
                yield f"{RAW}/{node.uuid}/{name}", content
    elif node.node_type == _ARRAY and {"frequency.npy", "impedance.npy"} <= set(node.files):
        arrays = {
            name: read_array(archive.read_object(key), f"{name} of {node.uuid}") for name, key in node.files.items()
        }
        yield f"{SPECTRA}/{node.uuid}.csv", spectrum_table(arrays["frequency.npy"], arrays["impedance.npy"]).encode()


def read_array(content: bytes, name: str) -> npt.NDArray[Any]:
    """Return an array from the bytes of its file.

    :raises InputError: when it is none, or says that it is larger than its file.
    """
    try:
        shape, kind = _read_header(io.BytesIO(content))
        # before room is made for what the header claims
        is_whole = not kind.hasobject and math.prod(shape) * kind.itemsize <= len(content)
        array: npt.NDArray[Any] | None = np.load(io.BytesIO(content)) if is_whole else None
    except (ValueError, EOFError, KeyError, OSError) as error:
        raise InputError(f"{name} is no array: {error}") from error
    if array is None:
        raise InputError(f"{name} has {len(content)} bytes, but claims to be {kind} of the shape {shape}")
    return array


def _read_header(stream: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, kind = readers[np.lib.format.read_magic(stream)](stream)
    return shape, kind


def spectrum_table(frequency: Array, impedance: npt.NDArray[np.complex128]) -> str:
    """Return an impedance spectrum as CSV.

    :param frequency: Hz.
    :param impedance: ohm, of the same length.
    """
    headers = ("Frequency / Hz", "Real Impedance / ohm", "Imaginary Impedance / ohm")
    return _table(headers, (frequency, impedance.real, impedance.imag))


def series_table(content: bytes) -> str | None:
    """Return the time series of a cycling file in the Battery Data Format, or ``None`` where there is none."""
    import h5py  # type: ignore[import-untyped]  # takes long to load

    try:
        with h5py.File(io.BytesIO(content)) as file:
            raw = file.get("raw")
            if not isinstance(raw, h5py.Group) or not set(list(BDF_COLUMNS)[:3]) <= set(raw):
                return None
            columns = {
                header: _read_column(raw[name], len(content)) for name, header in BDF_COLUMNS.items() if name in raw
            }
            if {"Cycle_Index", "Step_Index"} <= set(raw):
                columns[BDF_STEP] = _count_steps(
                    *(_read_column(raw[name], len(content)) for name in ("Cycle_Index", "Step_Index"))
                )
    except OSError:
        return None  # it has the name of such a file, and is none
    return _table(tuple(columns), tuple(columns.values()))


def _read_column(dataset: Any, n_bytes: int) -> npt.NDArray[np.generic]:
    """Return a column; a file of some kB can claim any length.

    :param n_bytes: of the whole file.
    :raises InputError: when it is none, or longer than any data become.
    """
    shape = getattr(dataset, "shape", "of a folder")
    if not isinstance(shape, tuple) or len(shape) != 1 or dataset.nbytes > max(PLAUSIBLE, RATIO * n_bytes):
        raise InputError(
            f"{dataset.name} has the shape {shape} in a file of {n_bytes} bytes, accepted are columns of data"
        )
    return dataset[()]


def _count_steps(cycle: npt.NDArray[np.generic], kind: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Return the number of the step that each point belongs to, from 1; a new one has another cycle or kind."""
    is_new = np.ones(len(cycle), dtype=bool)
    is_new[1:] = (cycle[1:] != cycle[:-1]) | (kind[1:] != kind[:-1])
    return np.cumsum(is_new)


def _table(headers: tuple[str, ...], columns: tuple[npt.NDArray[np.generic], ...]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return stream.getvalue()
