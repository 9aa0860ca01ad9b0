"""The command line ``finales-md``.

::

    finales-md run input.json --out DIR [--resume] [--cell N] [--walltime SECONDS] [--species FILE]
    finales-md check input.json
    finales-md analyse DIR [DIR ...] [--out summary.json]
    finales-md structure DIR [--frame packed|last] --out FILE
    finales-md species list | show NAME | add SMILES --name NAME --out FILE | shape NAME MOLECULE --out FILE

Exit status: 0 done, 10 bad input, 20 a chemical without force field, 30 the simulation blew up, 40 the time is over
or it was told to end (resume), 60 no such engine or platform, 70 the disk is full or cannot be written, 130 interrupted
before there was a checkpoint, 2 wrong usage, 1 anything else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from aiida_finales.exceptions import (
    EngineError,
    FinalesError,
    FolderTakenError,
    InputError,
    MissingExtraError,
    SimulationError,
    SimulationInputError,
    StorageError,
    explain_os_error,
)
from aiida_finales.md.input import check_input, read_input
from aiida_finales.schemas.command_line import seconds

#: exit status of what has no number of its own, and, as in a shell, of what Ctrl-C ended
FAILED, INTERRUPTED = 1, 130
#: of a whole number that anybody means
MOST_DIGITS = 9


def main() -> None:
    """Run ``finales-md`` and exit with its status."""
    sys.exit(run_command())


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    return act(_parser().parse_args(arguments))


def act(options: argparse.Namespace) -> int:
    """Do what a command line says, and return the exit status; ``finales-mlp`` ends in the same way.

    :param options: with ``act``, a function of them, and where results go in ``out_folder``, if anywhere.
    """
    try:
        options.act(options)
    except BrokenPipeError:  # whoever reads the output has enough of it
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        say("interrupted; what a run has simulated is kept: call again with --resume")
        return INTERRUPTED
    except Exception as error:
        return _report(options, *_judge(error))
    return 0


def _judge(error: Exception) -> tuple[Exception, int]:
    """Return what to say of an error, and its exit status."""
    if isinstance(error, OSError) and not isinstance(error, FinalesError):
        error = StorageError(explain_os_error(error))
    if isinstance(error, UnicodeError):
        error = SimulationInputError(f"what was given is not all UTF-8: {error}")
    if isinstance(error, SimulationError):
        return error, error.exit_status
    if isinstance(error, InputError):
        return error, SimulationInputError.exit_status
    if isinstance(error, MissingExtraError):  # what simulates is not there
        return error, EngineError.exit_status
    traceback.print_exc()  # whatever else goes wrong must not look like one of the numbers
    return error, FAILED


def say(text: str) -> None:
    """Write a line on standard error."""
    print(f"{time.strftime('%H:%M:%S%z')} {text}", file=sys.stderr, flush=True)


def _report(options: argparse.Namespace, error: Exception, status: int) -> int:
    """Say what went wrong, on standard error and in ``error.json``."""
    from aiida_finales.md.storage import RESERVE, replace_json

    message = str(error) if isinstance(error, FinalesError) else f"{type(error).__name__}: {error}"
    say(f"error: {message}")
    out = getattr(options, "out_folder", None)
    if out is not None and not isinstance(error, FolderTakenError):
        document = {"exit_status": status, "error": type(error).__name__, "message": message}
        with contextlib.suppress(SimulationError, OSError):
            out.mkdir(parents=True, exist_ok=True)
            (out / RESERVE).unlink(missing_ok=True)
            replace_json(out / "error.json", document)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="finales-md", description="Molecular dynamics of electrolytes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="simulate one cell")
    add_input(run)
    run.add_argument("--out", type=Path, required=True, dest="out_folder", metavar="DIR", help="where results go")
    run.add_argument("--resume", action="store_true", help="go on with the run in DIR, or begin it")
    run.add_argument("--cell", type=natural, help="number of the cell, instead of cell_index in the input")
    run.add_argument("--walltime", type=seconds, help="seconds after which to stop with a checkpoint and status 40")
    run.add_argument("--checkpoint", type=seconds, default=60.0, help="seconds between checkpoints [%(default)g]")
    run.add_argument("--threads", type=positive, help="of the CPU [what the job is granted]")
    run.set_defaults(act=_run)

    check = commands.add_parser("check", help="say what would be simulated")
    add_input(check)
    check.set_defaults(act=_check)

    analyse = commands.add_parser("analyse", help="diffusion and conductivity from the cells of one liquid")
    analyse.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="--out of a run that is done")
    analyse.add_argument("--out", type=Path, dest="file", metavar="FILE", help="JSON file to write [standard output]")
    analyse.set_defaults(act=_analyse)

    structure = commands.add_parser("structure", help="write a cell for other programs, by pymatgen")
    structure.add_argument("folder", type=Path, metavar="DIR", help="--out of a run")
    structure.add_argument("--frame", default="last", choices=("packed", "last"), help="[%(default)s]")
    structure.add_argument(
        "--out", type=Path, required=True, dest="file", metavar="FILE", help="its ending says in which format: .cif"
    )
    structure.set_defaults(act=_structure)

    species = commands.add_parser("species", help="what can be simulated").add_subparsers(required=True, metavar="VERB")
    listing = species.add_parser("list", help="list all species")
    show = species.add_parser("show", help="show all numbers of one")
    show.add_argument("name", help="name or SMILES")
    for command, act in ((listing, _list), (show, _show)):
        command.add_argument("--species", type=Path, action="append", default=[], help="file with further species")
        command.set_defaults(act=act)
    add = species.add_parser("add", help="make the force field of a neutral molecule, by AmberTools")
    add.add_argument("smiles", help="of the molecule")
    add.add_argument("--name", required=True, help="of the species: letters and digits")
    add.add_argument("--out", type=Path, required=True, dest="file", metavar="FILE", help="species file to add it to")
    add.set_defaults(act=_add)
    shape = species.add_parser("shape", help="pack a species in the shape of a molecule that pymatgen reads")
    shape.add_argument("name", help="name or SMILES")
    shape.add_argument("molecule", type=Path, help="file, for example .xyz")
    shape.add_argument("--species", type=Path, action="append", default=[], help="file with further species")
    shape.add_argument("--out", type=Path, required=True, dest="file", metavar="FILE", help="species file to add it to")
    shape.set_defaults(act=_shape)
    return parser


def positive(text: str) -> int:
    """Return a whole number from 1.

    :raises ArgumentTypeError: when it is none.
    """
    return _whole(text, 1)


def natural(text: str) -> int:
    """Return a whole number from 0.

    :raises ArgumentTypeError: when it is none.
    """
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > MOST_DIGITS or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} was given, accepted is a whole number from {least}")
    return int(text)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Let a command read an input, and files of further species."""
    parser.add_argument("input", type=Path, help="JSON file")
    parser.add_argument("--species", type=Path, action="append", default=[], help="file with further species")


def _run(options: argparse.Namespace) -> None:
    from aiida_finales.md.run import RunOptions, run_cell
    from aiida_finales.md.species import Library

    given = read_input(options.input)
    if options.cell is not None:
        given = check_input(given.model_dump(mode="json", by_alias=True) | {"cell_index": options.cell}, "--cell")
    how = RunOptions(options.resume, options.walltime, options.checkpoint, options.threads)
    run_cell(given, options.out_folder, Library(tuple(options.species)), how, say)


def _check(options: argparse.Namespace) -> None:
    from aiida_finales.md.run import describe_plan
    from aiida_finales.md.species import Library

    print(json.dumps(describe_plan(read_input(options.input), Library(tuple(options.species))), indent=1))


def _analyse(options: argparse.Namespace) -> None:
    from aiida_finales.md.analyse import analyse_cells
    from aiida_finales.md.storage import replace_json

    summary = analyse_cells(options.folders)
    if options.file is None:
        print(json.dumps(summary, indent=1))
    else:
        replace_json(options.file, summary)


def _structure(options: argparse.Namespace) -> None:
    from aiida_finales.md.structures import write_cell

    write_cell(options.folder, options.frame, options.file)
    say(f"the cell is in {options.file}")


def _list(options: argparse.Namespace) -> None:
    from aiida_finales.md.species import Library

    for item in Library(tuple(options.species)):
        print(f"{item.name:<8} {item.charge:+d}  {item.smiles}")


def _show(options: argparse.Namespace) -> None:
    from aiida_finales.md.species import Library

    print(json.dumps(Library(tuple(options.species)).get(options.name).model_dump(mode="json"), indent=1))


def _add(options: argparse.Namespace) -> None:
    from aiida_finales.md.parametrise import add_species

    species = add_species(options.smiles, options.name, options.file)
    say(f"{species.name} is in {options.file}; use it with --species {options.file}")


def _shape(options: argparse.Namespace) -> None:
    from aiida_finales.md.species import Library, append_species
    from aiida_finales.md.structures import read_molecule, take_shape

    species = take_shape(Library(tuple(options.species)).get(options.name), read_molecule(options.molecule))
    append_species(species, options.file)
    say(f"{species.name} is in {options.file}; use it with --species {options.file}")


if __name__ == "__main__":
    main()
