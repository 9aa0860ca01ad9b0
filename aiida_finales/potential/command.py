"""The command line ``finales-mlp``: each step in a folder of its own.

::

    finales-mlp check INPUT
    finales-mlp sample INPUT --out DIR
    finales-mlp label INPUT FRAMES --out DIR
    finales-mlp reference INPUT START [--frame N] --out DIR
    finales-mlp train INPUT DATA --validation FRAMES [--start POTENTIAL] [--also INPUT] [--member N]
                       [--trained DIR] --out DIR
    finales-mlp explore INPUT POTENTIAL START [--frame N] --out DIR
    finales-mlp select INPUT FRAMES [FRAMES ...] [--potential POTENTIAL] [--known FRAMES] --out DIR
    finales-mlp evaluate INPUT POTENTIAL DATA --out DIR
    finales-mlp run INPUT POTENTIAL START [--frame N] --out DIR
    finales-mlp report DIR [DIR ...] [--out FILE]

All but the last take ``--species FILE``, species beside those of the package, as ``finales-md`` does. All steps take
``--resume``, ``--walltime SECONDS``, ``--checkpoint SECONDS`` and ``--threads N``.

Exit status: 0 done, 10 bad input, 20 an element or a method that is not there, 30 no usable frame or an early wreck,
31 a training that diverged, 32 a reference that does not converge, 40 the time is over or it was told to end (resume),
50 the result is written and is not to be trusted, 60 no such GPU or package, 70 the disk is full or cannot be written,
130 interrupted before there was a checkpoint, 2 wrong usage, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.command import act, add_input, natural, positive, say
from aiida_finales.md.run import RunOptions, describe_plan
from aiida_finales.potential.description import DESCRIPTION
from aiida_finales.potential.input import read_input
from aiida_finales.potential.references import describe_reference
from aiida_finales.potential.work import Work, perform
from aiida_finales.schemas import Json
from aiida_finales.schemas.command_line import seconds


def main() -> None:
    """Run ``finales-mlp`` and exit with its status."""
    sys.exit(run_command())


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param arguments: of the command line; those of the process when ``None``.
    """
    return act(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="finales-mlp", description="Machine-learned potentials of electrolytes.")
    commands = parser.add_subparsers(required=True, metavar="STEP")
    check = commands.add_parser("check", help="say what would be simulated and learned")
    add_input(check)
    check.set_defaults(act=_check)

    report = commands.add_parser("report", help="what a learning has come to: errors, and dynamics beside them")
    report.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="--out of trainings, dynamics, comparisons"
    )
    report.add_argument("--out", type=Path, dest="file", metavar="FILE", help="figure to draw: .svg, .pdf, .png")
    report.set_defaults(act=_report)

    _add_step(commands, "sample", "frames of classical cells of the mixture")
    label = _add_step(commands, "label", "energies and forces by the reference method")
    label.add_argument("frames", type=Path, help="extended XYZ")
    reference = _add_step(commands, "reference", "dynamics by the reference method itself")
    _add_start(reference)
    train = _add_step(commands, "train", "a committee of networks")
    train.add_argument("data", type=Path, help="labelled frames")
    train.add_argument(
        "--validation", type=Path, required=True, metavar="FRAMES", help="labelled frames of no training"
    )
    train.add_argument("--start", type=Path, metavar="POTENTIAL", help="go on from its weights")
    train.add_argument(
        "--also", type=Path, action="append", default=[], metavar="INPUT", help="of another mixture to learn"
    )
    train.add_argument("--member", type=natural, help="train this one only, from 0")
    train.add_argument(
        "--trained", type=Path, action="append", default=[], metavar="DIR", help="--out of one that was trained so"
    )
    explore = _add_step(commands, "explore", "learned dynamics, until they are not trusted")
    _add_potential(explore)
    _add_start(explore)
    select = _add_step(commands, "select", "visited frames that are worth a label")
    select.add_argument("visited", type=Path, nargs="+", metavar="FRAMES", help="extended XYZ")
    select.add_argument("--potential", type=Path, help="whose levels of trust count")
    select.add_argument("--known", type=Path, metavar="FRAMES", help="frames that nothing near to is selected")
    evaluate = _add_step(commands, "evaluate", "errors of a potential, and whether it knows them")
    _add_potential(evaluate)
    evaluate.add_argument("data", type=Path, help="labelled frames that it did not learn from")
    run = _add_step(commands, "run", "production and its analysis, as long as it is trusted")
    _add_potential(run)
    _add_start(run)
    return parser


def _add_step(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words)
    add_input(parser)
    parser.add_argument("--out", type=Path, required=True, dest="out_folder", metavar="DIR", help="where results go")
    parser.add_argument("--resume", action="store_true", help="go on with the step in DIR, or begin it")
    parser.add_argument("--walltime", type=seconds, help="seconds after which to stop with a checkpoint and status 40")
    parser.add_argument("--checkpoint", type=seconds, default=60.0, help="seconds between checkpoints [%(default)g]")
    parser.add_argument("--threads", type=positive, help="of the CPU [what the job is granted]")
    parser.set_defaults(act=_step, step=name)
    return parser


def _add_potential(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("potential", type=Path, help="--out of a training")


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("start", type=Path, help="frames to start from")
    parser.add_argument("--frame", type=natural, default=0, help="number of the frame [%(default)s]")


def _check(options: argparse.Namespace) -> None:
    given = read_input(options.input, options.species)
    about = describe_plan(given.simulation(), given.library(), "cutoff_nm")
    keys = ("formulation", "n_molecules", "n_atoms", "box_edge_estimated_nm", "density_estimated_g_cm3")
    found: Json = {key: about[key] for key in keys}
    print(json.dumps(found | {"reference": describe_reference(given.reference.title)}, indent=1))


def _report(options: argparse.Namespace) -> None:
    from aiida_finales.potential.report import draw, read_steps, tell

    steps = read_steps(options.folders)
    print("\n".join(tell(steps)))
    if options.file is not None:
        draw(steps, options.file)
        say(f"the figure is in {options.file}")


def _step(options: argparse.Namespace) -> None:
    given = read_input(options.input, options.species)
    how = RunOptions(options.resume, options.walltime, options.checkpoint, options.threads)
    names = ("member", "frame")
    arguments = {name: getattr(options, name) for name in names if hasattr(options, name)}
    member = arguments.get("member")
    if member is not None and member >= given.model.members:
        raise SimulationInputError(f"--member {member} was given, accepted is 0 to {given.model.members - 1}")
    work = Work(options.step, given, options.out_folder, _files(options), how, say, arguments)
    perform(work, _find_act(options.step))


def _files(options: argparse.Namespace) -> dict[str, Path]:
    """Return what a step reads, by name; of a potential its description.

    :raises SimulationInputError: when one is missing.
    """
    found: dict[str, Path] = {}
    for name in ("frames", "data", "validation", "known"):
        if getattr(options, name, None) is not None:
            found[name] = getattr(options, name)
    for name in ("visited", "also"):
        found |= {f"{name}_{index}": path for index, path in enumerate(getattr(options, name, ()))}
    for path in (path for folder in getattr(options, "trained", ()) for path in _members(folder)):
        before = found.setdefault(f"trained_{path.stem}", path)
        if before is not path:
            raise SimulationInputError(f"{path.stem} was trained twice, in {before.parent} and {path.parent}: name one")
    start = getattr(options, "start", None)
    if start is not None:
        found["start"] = start / DESCRIPTION if options.step == "train" else start
    if getattr(options, "potential", None) is not None:
        found["potential"] = options.potential / DESCRIPTION
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        raise SimulationInputError(f"{', '.join(missing)}: no such file")
    return found


def _members(folder: Path) -> list[Path]:
    """Return what describes each member in a folder.

    :raises SimulationInputError: when there is none.
    """
    from aiida_finales.potential.assemble import LEARNED

    found = sorted(folder.glob(LEARNED.format("[0-9]*")))
    if not found:
        raise SimulationInputError(f"--trained {folder}: no member is there, accepted is --out of 'train --member N'")
    return found


def _find_act(step: str) -> Callable[[Work], Json]:
    """Return what a step does; what it needs is imported only now."""
    if step == "sample":
        from aiida_finales.potential.sample import sample

        return sample
    if step in ("label", "reference"):
        from aiida_finales.potential.label import label, run_reference

        return label if step == "label" else run_reference
    if step == "train":
        from aiida_finales.potential.train import train

        return train
    if step == "run":
        from aiida_finales.potential.production import run

        return run
    from aiida_finales.potential import explore

    return {"explore": explore.explore, "select": explore.select, "evaluate": explore.evaluate}[step]


if __name__ == "__main__":
    main()
