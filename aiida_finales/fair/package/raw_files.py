"""Raw data of a campaign as files that need no AiiDA: HDF5 as the cycler wrote it, time series and spectra as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aiida_finales.fair.package.archive import Archive, Node
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
        arrays = {name: np.load(io.BytesIO(archive.read_object(key))) for name, key in node.files.items()}
        yield f"{SPECTRA}/{node.uuid}.csv", spectrum_table(arrays["frequency.npy"], arrays["impedance.npy"]).encode()


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

    with h5py.File(io.BytesIO(content)) as file:
        raw = file.get("raw")
        if raw is None or not set(list(BDF_COLUMNS)[:3]) <= set(raw):
            return None
        columns = {header: raw[name][()] for name, header in BDF_COLUMNS.items() if name in raw}
        if {"Cycle_Index", "Step_Index"} <= set(raw):
            columns[BDF_STEP] = _count_steps(raw["Cycle_Index"][()], raw["Step_Index"][()])
    return _table(tuple(columns), tuple(columns.values()))


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
