"""A step of ``finales-mlp`` on any computer: labels in chunks, a member each, dynamics from each start."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, calcfunction

from aiida_finales.calculations.molecular_dynamics import walltime_of
from aiida_finales.calculations.program import define_failures
from aiida_finales.data.potential import PotentialData
from aiida_finales.exceptions import SimulationInputError
from aiida_finales.potential.input import check_input

INPUT_FILENAME, WORK_FOLDER, POTENTIAL_FOLDER = "input.json", "work", "potential"
STDOUT_FILENAME, STDERR_FILENAME = "finales-mlp.out", "finales-mlp.err"
#: small files, kept; those that a step does not write are no error
KEPT = ("*.json", "*.xyz", "*.csv", "*.pt", "validation_*.npz")
#: the frames that a step is for
FRAMES = {
    "sample": "frames.xyz",
    "label": "labelled.xyz",
    "reference": "labelled.xyz",
    "explore": "trajectory.xyz",
    "select": "selected.xyz",
}
#: what a step reads, in the order of its command line; those after options are in :func:`arguments_of`
READS = {
    "sample": (),
    "label": ("frames",),
    "reference": ("start",),
    "train": ("data",),
    "explore": ("potential", "start"),
    "select": ("visited",),
    "evaluate": ("potential", "data"),
    "run": ("potential", "start"),
}


class PotentialCalculation(CalcJob):
    """One step of ``finales-mlp``; or one that was interrupted, resumed."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="the program finales-mlp")
        spec.input("parameters", valid_type=orm.Dict, validator=check_parameters, help="the input of the program")
        spec.input("step", valid_type=orm.Str, validator=_check_step, help="the command of the program")
        spec.input("arguments", valid_type=orm.Dict, default=lambda: orm.Dict({}), help="numbers: member, frame")
        spec.input_namespace(
            "files", valid_type=orm.SinglefileData, dynamic=True, required=False, help="frames, by what they are for"
        )
        spec.input("potential", valid_type=PotentialData, required=False, help="what is used, or trained on from")
        spec.input_namespace(
            "also",
            valid_type=orm.Dict,
            dynamic=True,
            required=False,
            validator=check_others,
            help="of a training: inputs of the other mixtures whose frames are among the data",
        )
        spec.input("parent_folder", valid_type=orm.RemoteData, required=False, help="of an interrupted step: resume it")
        spec.input("metadata.options.parser_name", valid_type=str, default="finales.potential")
        spec.input("metadata.options.withmpi", valid_type=bool, default=False)
        spec.output("output", valid_type=orm.Dict, required=False, help="what the step found, versions, checksums")
        spec.output("frames", valid_type=orm.SinglefileData, required=False, help="extended XYZ")
        define_failures(spec)
        spec.exit_code(402, "ERROR_UNKNOWN_ELEMENT", message="what is asked for is not there: {reason}")
        spec.exit_code(404, "ERROR_WRECKED", message="no frame can be used: {reason}")
        spec.exit_code(408, "ERROR_DIVERGED", message="the training diverged: {reason}")
        spec.exit_code(409, "ERROR_NOT_CONVERGED", message="the reference converged for no frame: {reason}")
        spec.exit_code(452, "ERROR_DISTRUSTED", message="what was found is kept, and not to be trusted: {reason}")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input file; ask for the small files back."""
        document = json.dumps(self.inputs.parameters.get_dict(), indent=1)
        Path(folder.get_abs_path(INPUT_FILENAME)).write_text(document)
        for name, other in self.inputs.get("also", {}).items():
            Path(folder.get_abs_path(name_other(name))).write_text(json.dumps(other.get_dict(), indent=1))
        files = self.inputs.get("files", {})
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = self._arguments({name: name_file(name, file) for name, file in files.items()})
        code.stdout_name, code.stderr_name = STDOUT_FILENAME, STDERR_FILENAME
        info = CalcInfo()
        info.codes_info = [code]
        info.retrieve_list = [STDOUT_FILENAME, STDERR_FILENAME, *((f"{WORK_FOLDER}/{name}", ".", 1) for name in KEPT)]
        info.local_copy_list = [(file.uuid, file.filename, name_file(name, file)) for name, file in files.items()]
        if "potential" in self.inputs:
            node = self.inputs.potential
            names = node.base.repository.list_object_names()
            info.local_copy_list += [(node.uuid, name, f"{POTENTIAL_FOLDER}/{name}") for name in names]
        if "parent_folder" in self.inputs:
            parent = self.inputs.parent_folder
            source = str(Path(parent.get_remote_path()) / WORK_FOLDER)
            info.remote_copy_list = [(parent.computer.uuid, source, WORK_FOLDER)]
        return info

    def _arguments(self, files: dict[str, str]) -> list[str]:
        step, numbers = self.inputs.step.value, self.inputs.arguments.get_dict()
        places = files | ({"potential": POTENTIAL_FOLDER} if "potential" in self.inputs else {})
        places |= {f"also_{name}": name_other(name) for name in self.inputs.get("also", {})}
        words = arguments_of(step, places, numbers)
        limit = self.inputs.metadata.options.get("max_wallclock_seconds")
        if limit is not None:
            words += ["--walltime", str(walltime_of(limit))]
        # in any case --resume: a cluster may begin a job again in its folder
        return [step, INPUT_FILENAME, *words, "--out", WORK_FOLDER, "--resume"]


def arguments_of(step: str, places: dict[str, str], numbers: dict[str, Any]) -> list[str]:
    """Return the command line of a step.

    :param places: files, and the folder of the potential, by what they are for.
    :param numbers: ``member`` or ``frame``.
    :raises KeyError: when a file is missing.
    """
    words: list[str] = []
    for name in READS[step]:
        many = [places[key] for key in sorted(places) if key.startswith("visited")]
        words += many if name == "visited" else [places[name]]
    options = {"validation": "--validation", "known": "--known"}
    for name, option in options.items():
        words += [option, places[name]] if name in places else []
    if "potential" in places and "potential" not in READS[step]:
        words += ["--start" if step == "train" else "--potential", places["potential"]]
    for key in sorted(key for key in places if key.startswith("also_")):
        words += ["--also", places[key]]
    for name, number in sorted(numbers.items()):
        words += [f"--{name}", str(number)]
    return words


def name_file(name: str, file: orm.SinglefileData) -> str:
    """Return the name that a file has beside the program."""
    return f"{name}.xyz.gz" if file.filename.endswith(".gz") else f"{name}.xyz"


def name_other(name: str) -> str:
    """Return the name that the input of another mixture has beside the program."""
    return f"also_{name}.json"


def check_parameters(node: orm.Dict, _context: Any) -> str | None:
    """Return why a document is no input of the program, or ``None``."""
    try:
        check_input(node.get_dict(), "parameters")
    except SimulationInputError as error:
        return str(error)
    return None


def check_others(nodes: Any, _context: Any) -> str | None:
    """Return which of several documents is no input of the program, and why, or ``None``."""
    found = {name: check_parameters(node, None) for name, node in (nodes or {}).items()}
    return next((f"{name}: {why}" for name, why in found.items() if why), None)


def _check_step(node: orm.Str, _context: Any) -> str | None:
    return None if node.value in READS else f"step is {node.value!r}, but accepted is one of {', '.join(READS)}"


# --- frames from hand to hand: text, so that no daemon needs to read it


@calcfunction
def join_frames(**parts: orm.SinglefileData) -> orm.SinglefileData:
    """Return all frames of several files, in the order of their names."""
    text = "".join(_text_of(parts[name]) for name in sorted(parts))
    return orm.SinglefileData(io.BytesIO(text.encode()), "frames.xyz")


@calcfunction
def split_frames(frames: orm.SinglefileData, number: orm.Int) -> dict[str, orm.SinglefileData]:
    """Return the frames of a file in so many parts, or as many as there are frames; ``part_00`` and so on."""
    blocks = split_text(_text_of(frames))
    n_parts = min(number.value, len(blocks))
    starts = [len(blocks) * index // n_parts for index in range(n_parts + 1)]
    return {
        f"part_{index:02d}": orm.SinglefileData(io.BytesIO("".join(blocks[first:last]).encode()), "frames.xyz")
        for index, (first, last) in enumerate(itertools.pairwise(starts))
    }


@calcfunction
def assemble_potential(validation: orm.SinglefileData, **members: orm.FolderData) -> PotentialData:
    """Return the potential of members that were trained side by side, in the order of their names.

    :param validation: the held-out frames that they predicted.
    """
    from aiida_finales.potential.assemble import assemble
    from aiida_finales.potential.frames import read_labelled

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = []
        for index, member in enumerate(sorted(members)):
            places.append(folder / str(index))
            members[member].base.repository.copy_tree(places[-1])
        (folder / "validation.xyz").write_text(_text_of(validation))
        frames = read_labelled(folder / "validation.xyz")
        numbers = [int(member.rpartition("_")[2]) for member in sorted(members)]
        (folder / POTENTIAL_FOLDER).mkdir()
        assemble(places, numbers, frames, folder / POTENTIAL_FOLDER)
        return PotentialData(folder / POTENTIAL_FOLDER)


@calcfunction
def collect_frames(**nodes: orm.Data) -> orm.SinglefileData:
    """Return the frames of structures and trajectories in the order of their names, for steps to read.

    :param nodes: ``StructureData``, each a frame, and ``TrajectoryData``, all of theirs.
    """
    from aiida_finales.potential.frames import need_ase, to_bytes

    need_ase()
    frames = [to_bytes(frame) for name in sorted(nodes) for frame in _frames_of(nodes[name])]
    return orm.SinglefileData(io.BytesIO(b"".join(frames)), "frames.xyz")


def _frames_of(node: orm.Data) -> Iterator[Any]:
    from ase import Atoms

    if isinstance(node, orm.StructureData):
        yield node.get_ase()
    elif isinstance(node, orm.TrajectoryData):
        if node.get_cells() is None:
            raise SimulationInputError(f"TrajectoryData <{node.pk}> has no cells; accepted are frames with their box")
        for positions, cell in zip(node.get_positions(), node.get_cells(), strict=True):
            yield Atoms(node.symbols, positions, cell=cell, pbc=True)
    else:
        accepted = "StructureData and TrajectoryData"
        raise SimulationInputError(f"{type(node).__name__} <{node.pk}> was given; accepted are {accepted}")


@calcfunction
def make_frames_trajectory(frames: orm.SinglefileData) -> orm.TrajectoryData:
    """Return the frames of a file, all of the same atoms, as a node that ASE and pymatgen read; angstrom, ps."""
    import numpy as np

    from aiida_finales.potential.frames import read_frames

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "frames.xyz"
        path.write_text(_text_of(frames))
        read = read_frames(path)
    symbols = read[0].get_chemical_symbols()
    if any(frame.get_chemical_symbols() != symbols for frame in read):
        raise SimulationInputError(f"{frames.filename} has frames of several mixtures; accepted is one of them")
    times = [frame.info.get("time_ps") for frame in read]
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=symbols,
        positions=np.array([frame.positions for frame in read]),
        cells=np.array([frame.cell.array for frame in read]),
        times=None if None in times else np.array(times, dtype=float),
        pbc=(True, True, True),
    )
    return trajectory


def count_frames(file: orm.SinglefileData) -> int:
    """Return the number of frames of a file."""
    return len(split_text(_text_of(file)))


def split_text(text: str) -> list[str]:
    """Return the text of every frame of an extended XYZ file.

    :raises SimulationInputError: when it holds none, or was cut off within one.
    """
    lines, blocks, place = text.rstrip("\n").splitlines(), [], 0
    while place < len(lines):
        word = lines[place].strip()
        size = int(word) + 2 if word.isdecimal() else 0
        if not size or place + size > len(lines):
            given = f"line {place + 1}, {word[:40]!r}, is followed by {len(lines) - place - 1} lines"
            accepted = "the number of atoms of a frame, a line about it, and a line for each atom"
            raise SimulationInputError(f"frames that were cut off: {given}; accepted is {accepted}")
        blocks.append("".join(f"{line}\n" for line in lines[place : place + size]))
        place += size
    if not blocks:
        raise SimulationInputError("no frame was given; accepted is extended XYZ with one at least")
    return blocks


def _text_of(file: orm.SinglefileData) -> str:
    return text_of(file.get_content("rb"), file.filename)


def text_of(content: bytes, name: str) -> str:
    """Return the text of a file, which is compressed where its name ends with ``.gz``.

    :raises SimulationInputError: when it is no text, or not compressed so.
    """
    try:
        return (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        accepted = f"extended XYZ{', compressed by gzip' if name.endswith('.gz') else ''}"
        raise SimulationInputError(f"{name} cannot be read: {error}; accepted is {accepted}") from error
