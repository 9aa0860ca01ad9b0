"""Evaluate one simulated cell: nothing counts unless the program wrote to the end, and each failure has its number."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_finales.calculations.molecular_dynamics import READ_ONCE
from aiida_finales.exceptions import FinalesError, MissingExtraError
from aiida_finales.md.analyse import look_around, read_more
from aiida_finales.md.output import END_MARKER
from aiida_finales.md.structures import read_pdb
from aiida_finales.parsers.program import ProgramParser
from aiida_finales.science.liquid.diffusion import CellTransport, analyse_cell
from aiida_finales.science.liquid.pair_distribution import Surroundings

#: what may go wrong with files that are there
UNREADABLE = (FinalesError, KeyError, ValueError, TypeError, IndexError, OSError, zipfile.BadZipFile)


class MolecularDynamicsParser(ProgramParser):
    """Makes nodes of what the program left, and the transport of the ions of their paths."""

    def parse(self, **kwargs: Any) -> ExitCode:
        """Read the program's verdict; then, if it wrote to the end, evaluate the cell."""
        failure = self._read_failure()
        if failure is not None:
            return failure
        output = self._read_json("output.json")
        if output is None or output.get(END_MARKER[0]) != END_MARKER[1]:
            return self._explain_absence()
        with self.retrieved.base.repository.as_path() as folder:
            try:
                temporary = Path(kwargs["retrieved_temporary_folder"])
                self._make_structures(folder)
                cell = self._evaluate(output, folder)
                cell["coordination"] = self._make_pairs(cell, folder, temporary)
                cell |= self._evaluate_more(cell, folder, temporary) | self._tell_forces()
            except UNREADABLE as error:
                return self.exit_code("ERROR_OUTPUT_UNREADABLE", reason=f"{type(error).__name__}: {error}")
        self.out("cell", orm.Dict(cell))
        return self._judge(cell)

    # --- details, in the order in which they are called

    def _make_structures(self, folder: Path) -> None:
        for name in ("packed", "last"):
            self.out(name, read_structure(folder / f"{name}.pdb"))

    def _evaluate(self, output: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return what is known of the cell, and make a node of the paths of its ions."""
        system = self._read_json("system.json") or {}
        with np.load(folder / "ions.npz") as file:
            ions = {name: file[name] for name in file.files}
        middle = central_elements(folder / "packed.pdb")
        elements = {item["name"]: middle[item["residue"]] for item in system["species"]}
        self.out("ions", make_trajectory(ions, elements))
        transport = analyse_cell(
            ions["positions"],
            ions["time"],
            [str(name) for name in ions["species"]],
            [int(charge) for charge in ions["charges"]],
            float(ions["volume"]),
            float(ions["temperature"]),
            tuple(self.node.inputs.analysis["fit_window"]),
        )
        return {"output": _finite(output), "system": system, "transport": transport.to_dict()}

    def _evaluate_more(self, cell: dict[str, Any], folder: Path, temporary: Path) -> dict[str, Any]:
        """Return what the run tells besides; what it does not tell is an object with the ``reason``."""
        window = tuple(self.node.inputs.analysis["fit_window"])
        pressure = float(self.node.inputs.parameters.get_dict().get("pressure_bar", 1.0))
        return _finite(read_more(folder, temporary, cell["output"]["engine"], pressure, window))

    def _tell_forces(self) -> dict[str, Any]:
        """Return what is known of the forces of a cell; nothing more of a force field than of its files."""
        return {}

    def _make_pairs(self, cell: dict[str, Any], folder: Path, temporary: Path) -> dict[str, Any]:
        """Make a node of the pair distributions; return the first shell of each cation."""
        trajectory = temporary / READ_ONCE[0]
        if not trajectory.is_file():
            self.logger.warning(f"no pair distributions: {READ_ONCE[0]} was not retrieved")
            return {}
        try:
            found = look_around(cell["system"], folder / "packed.pdb", trajectory)
        except MissingExtraError as error:
            self.logger.warning(str(error))
            return {}
        self.out("pair_distributions", make_pair_distributions(found))
        return {cation: shell.to_dict() for cation, shell in found.shells.items()}

    def _judge(self, cell: dict[str, Any]) -> ExitCode:
        density = cell["output"]["density_g_cm3"]["mean"]
        low, high = self.node.inputs.analysis["density_range"]
        if not low <= density <= high:
            reason = f"its density is {density:.4g} g/cm3, but accepted is {low:g} to {high:g}"
            return self.exit_code("ERROR_WRONG_DENSITY", reason=reason)
        transport = CellTransport.from_dict(cell["transport"])
        if transport.flags:
            return self.exit_code("ERROR_NOT_DIFFUSIVE", reason="; ".join(transport.flags))
        return ExitCode()


def _finite(value: Any) -> Any:
    """Return a JSON value with ``None`` for what is no number: a database takes none such."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


#: angstrom per nm
ANGSTROM = 10.0


def read_structure(path: Path) -> orm.StructureData:
    """Return the cell of a PDB file.

    :raises ValueError: when it has no box or no atom, or its columns are not those of a PDB file.
    """
    cell = read_pdb(path)
    structure = orm.StructureData(cell=np.diag(cell.sides).tolist(), pbc=[True, True, True])
    for element in dict.fromkeys(cell.elements):
        structure.append_kind(orm.Kind(symbols=element, name=element))
    # one by one they would be checked against all kinds, seconds for some thousand atoms
    pairs = zip(cell.elements, cell.positions.tolist(), strict=True)
    sites = [{"kind_name": element, "position": position} for element, position in pairs]
    structure.base.attributes.set("sites", sites)
    return structure


def central_elements(path: Path) -> dict[str, str]:
    """Return the element in the middle of each kind of molecule of a PDB file, by the name of its residue.

    It is the rarest one that is not hydrogen, the first of those: P of PF6, N of TFSI.
    """
    cell = read_pdb(path)
    kinds = {name: [cell.elements[atom] for atom in atoms] for name, atoms in cell.molecules()}
    return {name: _rarest(members) for name, members in kinds.items()}


def make_trajectory(ions: dict[str, Any], elements: dict[str, str]) -> orm.TrajectoryData:
    """Return the paths of the ions as a node: angstrom, ps; unwrapped, hence outside of the cell in the end.

    :param ions: ``positions`` (nm, frames x ions x 3), ``time`` (ps), ``species``, ``charges``, ``volume`` (nm3).
    :param elements: of the middle of each species, as which an ion is drawn.
    """
    positions = np.asarray(ions["positions"], dtype=np.float64) * ANGSTROM
    species = [str(name) for name in ions["species"]]
    side = float(ions["volume"]) ** (1 / 3) * ANGSTROM
    cells = np.broadcast_to(np.eye(3) * side, (len(positions), 3, 3)).copy()
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=[elements[name] for name in species],
        positions=positions,
        cells=cells,
        times=np.asarray(ions["time"], dtype=np.float64),
        pbc=(True, True, True),
    )
    trajectory.base.attributes.set("species", species)
    trajectory.base.attributes.set("charges", [int(charge) for charge in ions["charges"]])
    return trajectory


def make_pair_distributions(found: Surroundings) -> orm.ArrayData:
    """Return pair distributions as a node."""
    node = orm.ArrayData(
        {
            "radius": found.pairs[0].radius,
            "g": np.stack([pair.g for pair in found.pairs]),
            "neighbours": np.stack([pair.neighbours for pair in found.pairs]),
        }
    )
    node.base.attributes.set("pair_title", [pair.title for pair in found.pairs])
    node.base.attributes.set("cell_formula", found.formula)
    node.base.attributes.set("cell_volume", found.volume)
    return node


def _rarest(members: list[str]) -> str:
    counts = Counter(element for element in members if element != "H") or Counter(members)
    return min(counts, key=lambda element: counts[element])
