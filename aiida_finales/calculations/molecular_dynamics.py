"""Simulate one amorphous cell of a liquid by molecular dynamics: one run of ``finales-md``, on any computer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_finales.calculations.program import define_failures
from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.input import check_input
from aiida_finales.science.liquid.mean_squared_displacement import FIT_WINDOW

INPUT_FILENAME, SPECIES_FILENAME = "input.json", "species.yaml"
STDOUT_FILENAME, STDERR_FILENAME = "finales-md.out", "finales-md.err"
#: folder within the working folder that the program keeps its files in
CELL_FOLDER = "cell"
#: small files, kept; those that were not written are no error, the parser says what is missing
KEPT = ("output.json", "system.json", "error.json", "log.csv", "packed.pdb", "last.pdb", "ions.npz")
#: read once for pair distributions, diffusion of the solvents and viscosity, then left on the computer
READ_ONCE = ("rdf.dcd", "solvents.npz", "stress.npz")
#: what the parser does with a trajectory, and g/cm3 outside of which a cell is no liquid
ANALYSIS = {"fit_window": list(FIT_WINDOW), "density_range": [0.6, 2.5]}
#: the program is told to end so long before the scheduler would kill it: s, and part of the wall time
MARGIN, MARGIN_PART = 60, 0.05


class MolecularDynamicsCalculation(CalcJob):
    """One cell: packed, equilibrated, simulated; or one that was interrupted, resumed."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="the program finales-md")
        spec.input("parameters", valid_type=orm.Dict, validator=_check_parameters, help="the input of the program")
        spec.input("cell", valid_type=orm.Int, default=lambda: orm.Int(0), help="number of the independent cell")
        spec.input(
            "analysis",
            valid_type=orm.Dict,
            default=lambda: orm.Dict(ANALYSIS),
            validator=_check_analysis,
            help="fit_window (parts of the longest lag) and density_range (g/cm3)",
        )
        spec.input("species", valid_type=orm.SinglefileData, required=False, help="YAML file with further force fields")
        spec.input("parent_folder", valid_type=orm.RemoteData, required=False, help="of an interrupted run: resume it")
        spec.input("metadata.options.parser_name", valid_type=str, default="finales.molecular_dynamics")
        spec.input("metadata.options.withmpi", valid_type=bool, default=False)
        _define_outputs(spec)
        define_failures(spec)
        spec.exit_code(351, "ERROR_OUTPUT_UNREADABLE", message="the output cannot be read: {reason}")
        spec.exit_code(402, "ERROR_UNKNOWN_SPECIES", message="there is no force field: {reason}")
        spec.exit_code(404, "ERROR_BLOWN_UP", message="the simulation blew up: {reason}")
        spec.exit_code(450, "ERROR_NOT_DIFFUSIVE", message="the ions do not diffuse within the run: {reason}")
        spec.exit_code(451, "ERROR_WRONG_DENSITY", message="the cell is no liquid: {reason}")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input file; ask for the small files back."""
        document = {**self.inputs.parameters.get_dict(), "cell_index": self.inputs.cell.value}
        Path(folder.get_abs_path(INPUT_FILENAME)).write_text(json.dumps(document, indent=1))
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = self._arguments()
        code.stdout_name, code.stderr_name = STDOUT_FILENAME, STDERR_FILENAME
        info = CalcInfo()
        info.codes_info = [code]
        info.retrieve_list = [STDOUT_FILENAME, STDERR_FILENAME, *(f"{CELL_FOLDER}/{name}" for name in KEPT)]
        info.retrieve_temporary_list = [f"{CELL_FOLDER}/{name}" for name in READ_ONCE]
        if "species" in self.inputs:
            file = self.inputs.species
            info.local_copy_list = [(file.uuid, file.filename, SPECIES_FILENAME)]
        if "parent_folder" in self.inputs:
            parent = self.inputs.parent_folder
            source = str(Path(parent.get_remote_path()) / CELL_FOLDER)
            info.remote_copy_list = [(parent.computer.uuid, source, CELL_FOLDER)]
        return info

    def _arguments(self) -> list[str]:
        # in any case: a cluster may begin a job again in its folder, after a node or its controller failed
        arguments = ["run", INPUT_FILENAME, "--out", CELL_FOLDER, "--resume"]
        if "species" in self.inputs:
            arguments += ["--species", SPECIES_FILENAME]
        limit = self.inputs.metadata.options.get("max_wallclock_seconds")
        if limit is not None:
            arguments += ["--walltime", str(walltime_of(limit))]
        return arguments


def walltime_of(limit: int) -> int:
    """Return the seconds that the program may use of the wall time that the scheduler grants; at least 1."""
    return max(1, round(limit - max(MARGIN, MARGIN_PART * limit))) if limit > MARGIN else max(1, limit // 2)


def _define_outputs(spec: CalcJobProcessSpec) -> None:
    spec.output("cell", valid_type=orm.Dict, required=False, help="what the cell tells: density, transport, flags...")
    spec.output("packed", valid_type=orm.StructureData, required=False, help="the cell as it was packed")
    spec.output("last", valid_type=orm.StructureData, required=False, help="the cell at the end")
    spec.output(
        "ions", valid_type=orm.TrajectoryData, required=False, help="centres of the ions, unwrapped, angstrom, ps"
    )
    spec.output(
        "pair_distributions",
        valid_type=orm.ArrayData,
        required=False,
        help="radius (angstrom), g and neighbours of each pair of pair_title",
    )


def _check_parameters(node: orm.Dict, _context: Any) -> str | None:
    try:
        check_input(node.get_dict(), "parameters")
    except SimulationInputError as error:
        return str(error)
    return None


def _check_analysis(node: orm.Dict, _context: Any) -> str | None:
    given = node.get_dict()
    for name in ANALYSIS:
        pair = given.get(name)
        if not isinstance(pair, list) or len(pair) != 2 or not 0 < pair[0] < pair[1]:  # noqa: PLR2004 - a pair
            return f"{name} is {pair!r}, but accepted are two numbers, 0 < first < second"
    return None
