"""What a run leaves: the log, the trajectory of the ions, frames of all atoms, and ``output.json`` at the very end."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import aiida_finales
from aiida_finales.md.cell import Cell
from aiida_finales.md.engine import Sample
from aiida_finales.md.forces import make_topology
from aiida_finales.md.gromacs import read_version
from aiida_finales.md.input import SimulationInput
from aiida_finales.md.storage import State, replace_file, replace_json, writing
from aiida_finales.science.array import Array

#: files that grow while a run goes on
IONS, ATOMS, LOG = "ions.frames", "atoms.frames", "log.csv"
SOLVENTS, STRESS = "solvents.frames", "stress.frames"
GROWING = (IONS, SOLVENTS, ATOMS, STRESS, LOG)
#: independent components of a symmetric pressure tensor: xx, xy, xz, yy, yz, zz
N_STRESS = 6
#: last key and value of ``output.json``: its absence means that the output is not complete
END_MARKER = ("end", "finales-md")
#: parts of a series whose means are taken for independent
N_BLOCKS = 5
_COLUMNS = ("stage", "time_ps", "temperature_K", "density_g_cm3", "volume_nm3", "potential_kJ_mol", "kinetic_kJ_mol")
LOG_HEADER = ",".join(_COLUMNS) + "\n"


@dataclass(frozen=True)
class Log:
    """One line of the log.

    :param moment: since the stage began, ps.
    """

    stage: str
    moment: float
    temperature: float
    density: float
    sample: Sample

    def row(self) -> str:
        """Return the line."""
        numbers = (self.moment, self.temperature, self.density, self.sample.edge**3)
        energies = (self.sample.potential, self.sample.kinetic)
        words = [self.stage, *(f"{number:.6g}" for number in numbers), *(f"{energy:.3f}" for energy in energies)]
        return ",".join(words) + "\n"


def read_log(path: Path, stage: str) -> dict[str, Array]:
    """Return the columns of the log in one stage."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row[1:] for row in csv.reader(stream) if row and row[0] == stage]
    table = np.array(rows, dtype=float).reshape(-1, len(_COLUMNS) - 1)
    return dict(zip(_COLUMNS[1:], table.T, strict=True))


def density_of(path: Path) -> tuple[float, float]:
    """Return mean and standard error of the density in the second half at constant pressure, g/cm³."""
    density = read_log(path, "npt")["density_g_cm3"]
    return block_mean(density[len(density) // 2 :])


def block_mean(series: Array) -> tuple[float, float]:
    """Return the mean of a correlated series, and its standard error from the means of a few long blocks."""
    blocks = np.array_split(series, min(N_BLOCKS, len(series)))
    means = np.array([block.mean() for block in blocks])
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return float(series.mean()), error


def write_pdb(path: Path, topology: Any, positions: Array) -> None:
    """Write positions in nm as PDB."""
    from openmm import app, unit

    stream = io.StringIO()
    app.PDBFile.writeFile(topology, positions * unit.nanometer, stream)
    replace_file(path, stream.getvalue().encode())


def finish(folder: Path, given: SimulationInput, cell: Cell, state: State, platform: str) -> None:
    """Write everything that is made of a run that is over, ``output.json`` last."""
    log = read_log(folder / LOG, "production")
    topology = make_topology(cell, state.edge)
    n_frames = _write_ions(folder, given, cell, state, float(log["temperature_K"].mean()))
    write_pdb(folder / "last.pdb", topology, cell.wrap(state.positions, state.edge))
    if SOLVENTS in state.sizes:  # not in a run that an older version began
        _write_solvents(folder, given, cell)
        _write_stress(folder, given, state)
    _write_dcd(folder, given, cell, state, topology)
    output = _summarise(given, cell, state, log) | {"n_frames": n_frames, "platform": platform}
    output |= {"versions": read_versions(state.engine)}
    marker, text = END_MARKER
    replace_json(folder / "output.json", output | {marker: text})
    for name in set(GROWING) - {LOG}:
        (folder / name).unlink(missing_ok=True)


def _write_ions(folder: Path, given: SimulationInput, cell: Cell, state: State, temperature: float) -> int:
    """Write ``ions.npz`` and return the number of frames."""
    frames = np.fromfile(folder / IONS, dtype="<f8").reshape(-1, len(cell.ions) + 1, 3)
    drift = frames[:, 0] - frames[0, 0]
    ions = [cell.molecules[index] for index in cell.ions]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        positions=(frames[:, 1:] - drift[:, None]).astype(np.float32),
        drift=drift.astype(np.float32),
        time=_times(given, len(frames)),
        species=np.array([item.name for item in ions]),
        charges=np.array([item.charge for item in ions], dtype=np.int64),
        volume=np.array(state.edge**3),
        temperature=np.array(temperature),
    )
    replace_file(folder / "ions.npz", buffer.getvalue())
    return len(frames)


def _times(given: SimulationInput, n_frames: int) -> Array:
    interval = given.protocol.frame_steps * given.protocol.timestep_fs / 1000.0
    return np.arange(1, n_frames + 1, dtype=np.float64) * interval


def _write_solvents(folder: Path, given: SimulationInput, cell: Cell) -> None:
    """Write ``solvents.npz``: centres of the molecules without charge, as those of the ions."""
    n_molecules = len(cell.solvents)
    middle = np.fromfile(folder / IONS, dtype="<f8").reshape(-1, len(cell.ions) + 1, 3)[:, 0]
    paths = np.fromfile(folder / SOLVENTS, dtype="<f8").reshape(len(middle), n_molecules, 3)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        positions=(paths - (middle - middle[0])[:, None]).astype(np.float32),
        time=_times(given, len(paths)),
        species=np.array([cell.molecules[index].name for index in cell.solvents]),
    )
    replace_file(folder / "solvents.npz", buffer.getvalue())


def _write_stress(folder: Path, given: SimulationInput, state: State) -> None:
    """Write ``stress.npz``: pressure tensors in even steps, bar; no file where the engine has none."""
    stress, steps = np.fromfile(folder / STRESS, dtype="<f4").reshape(-1, N_STRESS), given.protocol.stress_steps
    if not len(stress) or steps is None:
        return
    buffer = io.BytesIO()
    interval = np.array(steps * given.protocol.timestep_fs / 1000.0)
    np.savez(buffer, stress=stress, interval=interval, volume=np.array(state.edge**3))
    replace_file(folder / "stress.npz", buffer.getvalue())


def _write_dcd(folder: Path, given: SimulationInput, cell: Cell, state: State, topology: Any) -> None:
    """Write the frames of all atoms as DCD, molecules whole and wrapped into the box."""
    from openmm import app, unit

    frames = np.fromfile(folder / ATOMS, dtype="<f4").reshape(-1, cell.n_atoms, 3)
    interval = given.protocol.production_ps / max(len(frames), 1)
    buffer = io.BytesIO()
    dcd = app.DCDFile(buffer, topology, interval * unit.picosecond)
    for frame in frames:
        dcd.writeModel(frame.astype(float) * unit.nanometer, unitCellDimensions=[state.edge] * 3 * unit.nanometer)
    with writing(folder):
        replace_file(folder / "rdf.dcd", buffer.getvalue())


def _summarise(given: SimulationInput, cell: Cell, state: State, log: dict[str, Array]) -> dict[str, Any]:
    """Return what was measured in the cell, transport excepted."""
    potential, moment = log["potential_kJ_mol"], log["time_ps"]
    drift = float(np.polyfit(moment / 1000.0, potential, 1)[0]) if len(moment) > 1 else 0.0
    mean, error = block_mean(potential)
    seconds = {stage: round(spent, 3) for stage, spent in state.seconds.items()}
    return {
        "schema": "finales-md-output/1",
        "simulated": True,
        "cell_index": given.cell_index,
        "seed": given.seed,
        "engine": state.engine,
        "ion_charge_scale": given.ion_charge_scale,
        "temperature_asked_K": given.temperature_K,
        "mole_fractions": [count / sum(cell.components) for count in cell.components],
        "counts": {item.name: count for item, count in zip(cell.species, cell.counts, strict=True)},
        "n_atoms": cell.n_atoms,
        "volume_nm3": state.edge**3,
        "density_g_cm3": state.results["density"],
        "temperature_K": {"mean": float(log["temperature_K"].mean()), "std": float(log["temperature_K"].std())},
        "potential_kJ_mol": {"mean": mean, "sem": error, "drift_per_ns": drift},
        "production_ps": float(moment[-1]),
        "ns_per_day": float(moment[-1]) * 1e-3 / seconds["production"] * 86400,
        "seconds": seconds,
    }


def read_versions(engine: str) -> dict[str, str]:
    """Return the versions of what takes part when an engine simulates."""
    versions = {"aiida-finales": aiida_finales.__version__}
    for name in ("openmm", "rdkit", "packmol", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions | {"gromacs": read_version() or "unknown"} if engine == "gromacs" else versions
