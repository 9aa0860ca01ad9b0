"""Diffusion, conductivity and coordination from the cells of one liquid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError, SimulationInputError, explain_os_error
from aiida_finales.md.output import END_MARKER
from aiida_finales.science.liquid.diffusion import CellTransport, analyse_cell
from aiida_finales.science.liquid.pair_distribution import average_coordination, read_surroundings
from aiida_finales.science.liquid.transport_summary import summarise

#: of an output: what all cells of one liquid have in common
LIQUID = ("counts", "temperature_asked_K", "ion_charge_scale")


def analyse_cells(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the transport and the coordination of the cations in every cell, and their means, JSON-ready.

    ``coordination_missing`` says why some cells count in the transport only.

    :param folders: of runs that are done, of the same liquid.
    :raises SimulationInputError: when one is not done, or they are of different liquids or of the same cell.
    """
    outputs = [_read_output(folder) for folder in folders]
    liquids = {json.dumps([output[key] for key in LIQUID]) for output in outputs}
    cells = {(output["seed"], output["cell_index"]) for output in outputs}
    if len(liquids) > 1 or len(cells) < len(outputs):
        given = ", ".join(str(folder) for folder in folders)
        raise SimulationInputError(f"{given} were given, accepted are different cells of one liquid at one temperature")
    transports = [_analyse(folder) for folder in folders]
    shells, reasons = _coordinate(folders)
    return {
        "simulated": True,
        "ion_charge_scale": outputs[0]["ion_charge_scale"],
        "temperature_asked_K": outputs[0]["temperature_asked_K"],
        "cells": [
            {"folder": str(folder), "density_g_cm3": output["density_g_cm3"], **transport.to_dict()}
            for folder, output, transport in zip(folders, outputs, transports, strict=True)
        ],
        "summary": summarise(transports).to_dict(),
        "coordination": average_coordination(shells),
        **({"coordination_missing": reasons} if reasons else {}),
    }


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
    return analyse_cell(
        ions["positions"],
        ions["time"],
        ions["species"].tolist(),
        ions["charges"].tolist(),
        float(ions["volume"]),
        float(ions["temperature"]),
    )


def _coordinate(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the first shell of each cation in every cell that has frames of all atoms, and why others have none."""
    shells, reasons = [], []
    for folder in folders:
        system = json.loads((folder / "system.json").read_text(encoding="utf-8"))
        cations = {item["residue"]: item["name"] for item in system["species"] if item["charge"] > 0}
        try:
            found = read_surroundings(folder / "packed.pdb", folder / "rdf.dcd", cations)
        except (MissingExtraError, InputError, OSError) as error:
            reasons.append(f"{folder}: {error}")
        else:
            shells.append({cation: shell.to_dict() for cation, shell in found.shells.items()})
    return shells, reasons
