"""A box of molecules that do not overlap, by the program packmol."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aiida_finales.exceptions import MissingExtraError, SimulationError
from aiida_finales.md.molecules import ANGSTROM
from aiida_finales.science.array import Array

#: nm between atoms of different molecules
TOLERANCE = 0.2
#: nm that stay free at each side of the box, as packmol knows no periodic images
MARGIN = 0.05
#: s; some 3000 atoms take 2 to 20
PATIENCE = 900.0


def pack(shapes: Mapping[str, Array], counts: Mapping[str, int], edge: float, seed: int, folder: Path) -> Array:
    """Return positions in a cubic box, nm: all copies of the first species, then of the second ...

    :param shapes: positions of the atoms of each species, nm.
    :param edge: of the box, nm.
    :param folder: where the files of packmol go.
    :raises SimulationError: when the molecules do not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"tolerance {TOLERANCE / ANGSTROM}", "filetype xyz", "output packed.xyz", f"seed {seed}"]
    low, high = MARGIN / ANGSTROM, (edge - MARGIN) / ANGSTROM
    for name, shape in shapes.items():
        _write_xyz(folder / f"{name}.xyz", shape)
        lines += [f"structure {name}.xyz", f" number {counts[name]}"]
        lines += [f" inside box {low:.4f} {low:.4f} {low:.4f} {high:.4f} {high:.4f} {high:.4f}", "end structure"]
    order = folder / "packmol.inp"
    order.write_text("\n".join(lines) + "\n", encoding="utf-8")
    answer = _call(order, folder)
    if "Success" not in answer:
        end = " ".join(answer.split()[-40:])
        raise SimulationError(f"packmol could not pack {dict(counts)} into a box of {edge:.3f} nm: {end}")
    return _read_xyz(folder / "packed.xyz")


def _call(order: Path, folder: Path) -> str:
    try:
        from packmol.cli import get_binary_path  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("md", "packing molecules") from error

    try:
        with order.open(encoding="utf-8") as stream:  # a file, as packmol reads its input twice
            done = subprocess.run(  # noqa: S603 - the program of the installed package
                [get_binary_path()],
                stdin=stream,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise SimulationError(f"packmol did not end within {PATIENCE:g} s: fewer molecules are quicker") from error
    return done.stdout + done.stderr


def _write_xyz(path: Path, shape: Array) -> None:
    rows = [f"X {x:.6f} {y:.6f} {z:.6f}" for x, y, z in shape / ANGSTROM]
    path.write_text("\n".join([str(len(rows)), path.stem, *rows]) + "\n", encoding="utf-8")


def _read_xyz(path: Path) -> Array:
    rows = path.read_text(encoding="utf-8").splitlines()[2:]
    return np.array([[float(word) for word in row.split()[1:4]] for row in rows]) * ANGSTROM
