"""Diffusion, conductivity and coordination from the cells of one liquid."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError, SimulationInputError, explain_os_error
from aiida_finales.md.output import END_MARKER, LOG, read_log
from aiida_finales.science.liquid.diffusion import CellTransport, analyse_cell, find_diffusion
from aiida_finales.science.liquid.heat_capacity import MODEL, Fluctuation, find_heat_capacity, join_heat_capacities
from aiida_finales.science.liquid.mean_squared_displacement import FIT_WINDOW
from aiida_finales.science.liquid.pair_distribution import Surroundings, average_coordination, read_surroundings
from aiida_finales.science.liquid.transport_summary import estimate, summarise
from aiida_finales.science.liquid.viscosity import RunningViscosity, join_viscosities, run_viscosity

#: of an output: what all cells of one liquid have in common
LIQUID = ("counts", "temperature_asked_K", "ion_charge_scale")


def analyse_cells(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the transport and the coordination of the cations in every cell, and their means, JSON-ready.

    ``coordination_missing`` says why some cells count in the transport only.

    :param folders: of runs that are done, of the same liquid.
    :raises SimulationInputError: when one is not done, or they are of different liquids or of the same cell.
    """
    given = [(folder, _read_output(folder)) for folder in folders]
    outputs = [output for _, output in given]
    liquids = {json.dumps([output[key] for key in LIQUID]) for output in outputs}
    cells = {(output["seed"], output["cell_index"]) for output in outputs}
    if len(liquids) > 1 or len(cells) < len(outputs):
        names = ", ".join(str(folder) for folder in folders)
        raise SimulationInputError(f"{names} were given, accepted are different cells of one liquid at one temperature")
    transports = [_analyse(folder) for folder in folders]
    shells, reasons = find_shells(folders)
    more = [read_more(folder, folder, output["engine"], _pressure_of(folder)) for folder, output in given]
    return {
        "simulated": True,
        "ion_charge_scale": outputs[0]["ion_charge_scale"],
        "temperature_asked_K": outputs[0]["temperature_asked_K"],
        "cells": [
            {"folder": str(folder), "density_g_cm3": output["density_g_cm3"], **transport.to_dict()}
            for folder, output, transport in zip(folders, outputs, transports, strict=True)
        ],
        "summary": summarise(transports).to_dict(),
        **_join_more(more),
        "coordination": average_coordination(shells),
        **({"coordination_missing": reasons} if reasons else {}),
    }


def _pressure_of(folder: Path) -> float:
    document: Any = json.loads((folder / "input.json").read_text(encoding="utf-8"))
    return float(document["pressure_bar"])


def _join_more(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return diffusion of the solvents, heat capacities and viscosity of all cells together, JSON-ready."""
    moving: dict[str, list[float]] = {}
    for item in (item for cell in cells for item in cell["solvents"]):
        moving.setdefault(item["species"], []).append(item["diffusion"])
    stress = [cell["viscosity"] for cell in cells]
    running = [RunningViscosity.from_dict(item) for item in stress if "reason" not in item]
    heat = {
        kind: _join_heat([cell["heat_capacity"][kind] for cell in cells], kind) for kind in ("isobaric", "isochoric")
    }
    return {
        "solvent_diffusion": {name: asdict(estimate(values)) for name, values in moving.items()},
        "heat_capacity_J_kg_K": heat | {"how": MODEL},
        "viscosity_mPa_s": asdict(join_viscosities(running)) if running else stress[0],
    }


def _join_heat(told: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    known = [Fluctuation(**item) for item in told if "reason" not in item]
    return asdict(join_heat_capacities(known, kind)) if known else told[0]


def read_more(
    kept: Path, temporary: Path, engine: str, pressure: float, window: tuple[float, float] = FIT_WINDOW
) -> dict[str, Any]:
    """Return what a run tells besides the transport of its ions; of what it does not tell the ``reason``.

    :param kept: folder with the log and the paths of the ions.
    :param temporary: folder with ``solvents.npz`` and ``stress.npz``, where the run left them.
    :param pressure: bar.
    """
    with np.load(kept / "ions.npz") as ions:
        temperature = float(ions["temperature"])
    return {
        "solvents": read_solvents(temporary / "solvents.npz", window),
        "heat_capacity": {
            "isobaric": _tell(lambda: read_heat_capacity(kept / LOG, "npt", pressure)),
            "isochoric": _tell(lambda: read_heat_capacity(kept / LOG, "production", 0.0)),
        },
        "viscosity": _tell(lambda: read_viscosity(temporary / "stress.npz", temperature, engine)),
    }


def _tell(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is read, or why there is nothing."""
    try:
        return read()
    except InputError as error:
        return {"reason": str(error)}


def read_heat_capacity(log: Path, stage: str, pressure: float) -> dict[str, Any]:
    """Return the heat capacity of a cell from the log of a stage; of one at constant pressure its second half.

    :param pressure: bar.
    :raises InputError: when there are too few lines.
    """
    columns = read_log(log, stage)
    start = len(columns["time_ps"]) // 2 if stage == "npt" else 0
    return find_heat_capacity({name: column[start:] for name, column in columns.items()}, pressure).to_dict()


def read_solvents(path: Path, window: tuple[float, float]) -> list[dict[str, Any]]:
    """Return the self-diffusion of the molecules without charge; none of a run of an older version."""
    if not path.is_file():
        return []
    with np.load(path) as file:
        species = [str(name) for name in file["species"]]
        return [asdict(item) for item in find_diffusion(file["positions"], file["time"], species, window)]


def read_viscosity(path: Path, temperature: float, engine: str) -> dict[str, Any]:
    """Return the running integral of the stress of a cell.

    :param temperature: mean of the run, K.
    :raises InputError: when the run left no pressure tensors, or too few.
    """
    if not path.is_file():
        hint = "protocol.stress_fs was 0" if engine == "gromacs" else "setting engine: gromacs keeps them"
        raise InputError(f"the run by {engine} left no pressure tensors, which the viscosity needs: {hint}")
    with np.load(path) as file:
        return run_viscosity(file["stress"], float(file["interval"]), float(file["volume"]), temperature).to_dict()


def _read_output(folder: Path) -> dict[str, Any]:
    try:
        output: Any = json.loads((folder / "output.json").read_text(encoding="utf-8"))
    except OSError as error:
        words = explain_os_error(error, folder)
        raise SimulationInputError(f"{folder} holds no run that is done: {words}") from error
    except (ValueError, RecursionError) as error:
        raise SimulationInputError(f"{folder} holds no run that is done: {error}") from error
    if not isinstance(output, dict) or output.get(END_MARKER[0]) != END_MARKER[1]:
        raise SimulationInputError(f"{folder / 'output.json'} is no output of finales-md: its end marker is missing")
    return dict(output)


def _analyse(folder: Path) -> CellTransport:
    try:
        with np.load(folder / "ions.npz") as ions:
            arrays = dict(ions)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise SimulationInputError(f"{folder / 'ions.npz'} cannot be read: {error}; simulate the cell again") from error
    return _transport(arrays)


def _transport(ions: dict[str, Any]) -> CellTransport:
    if not len(ions["species"]):
        raise InputError("there are no ions: transport is that of a liquid with a salt")
    return analyse_cell(
        ions["positions"],
        ions["time"],
        ions["species"].tolist(),
        ions["charges"].tolist(),
        float(ions["volume"]),
        float(ions["temperature"]),
    )


def find_shells(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the first shell of each cation in every cell that has frames of all atoms, and why others have none."""
    shells, reasons = [], []
    for folder in folders:
        system = json.loads((folder / "system.json").read_text(encoding="utf-8"))
        try:
            found = look_around(system, folder / "packed.pdb", folder / "rdf.dcd")
        except (MissingExtraError, InputError, OSError) as error:
            reasons.append(f"{folder}: {error}")
        else:
            shells.append({cation: shell.to_dict() for cation, shell in found.shells.items()})
    return shells, reasons


def look_around(system: dict[str, Any], topology: Path, trajectory: Path) -> Surroundings:
    """Return what surrounds the cations of a cell; molecules have the names of their species.

    :param system: content of its ``system.json``.
    :param topology: and trajectory, see :func:`read_surroundings`, which also says what is raised.
    """
    names = {item["residue"]: item["name"] for item in system["species"]}
    cations = {item["residue"]: item["name"] for item in system["species"] if item["charge"] > 0}
    return read_surroundings(topology, trajectory, cations, names=names)
