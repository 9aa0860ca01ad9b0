"""What the folders of a learning have come to: in words, a line for each step, and in figures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aiida_finales.exceptions import MissingExtraError, SimulationInputError
from aiida_finales.md.analyse import find_shells, look_around
from aiida_finales.md.storage import replace_file
from aiida_finales.potential.cell_folder import CELL
from aiida_finales.potential.dynamics import LOG
from aiida_finales.potential.explore import PAIRS
from aiida_finales.potential.learning import (
    Learning,
    Round,
    Structure,
    Walked,
    chart_learning,
    name_neighbours,
    read_columns,
    read_pairs,
)
from aiida_finales.potential.work import read_output
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array
from aiida_finales.science.liquid.pair_distribution import average_coordination

#: steps that a report tells of; the last three have structure: of the classical cells, of the reference, of a potential
STRUCTURE = {"sample": "classical", "reference": "reference itself", "run": "potential"}
TOLD = ("train", "explore", "evaluate", *STRUCTURE)
#: neighbours fewer than these are not named
LEAST_SHARE = 0.05


def read_steps(folders: Sequence[Path]) -> list[tuple[Path, Json]]:
    """Return what the steps of a learning have found, in the order of the folders.

    :raises FolderTakenError: when a folder holds no step that is done.
    :raises SimulationInputError: when none of them is told of.
    """
    found = [(folder, read_output(folder)) for folder in folders]
    told = [(folder, _look_around(folder, output)) for folder, output in found if output["step"] in TOLD]
    if not told:
        given = ", ".join(output["step"] for _, output in found) or "nothing"
        raise SimulationInputError(f"{given} was given, accepted are folders of {', '.join(TOLD)}")
    return told


def _look_around(folder: Path, output: Json) -> Json:
    """Return an output with what is around the cations: of classical cells that is found now, in all of them."""
    if output["step"] != "sample":
        return output
    return output | {"coordination": average_coordination(find_shells(sorted(folder.glob("cell_*")))[0])}


def tell(steps: Sequence[tuple[Path, Json]]) -> list[str]:
    """Return a line about each step."""
    return [f"{output['step']:<9} {folder.name:<20} {_words(output)}" for folder, output in steps]


def _words(output: Json) -> str:
    if output["step"] in STRUCTURE:
        return _words_of_structure(output)
    if output["step"] == "explore":
        temperature = output.get("temperature_K", {})
        heat = f"{temperature['mean']:.0f} K, " if temperature else ""
        spread = f"largest spread {output.get('largest_spread_eV_A', 0.0):.2f} eV/Å"
        drift = output.get("drift_meV_per_atom_ps")
        conserved = f"energy drifts by {drift:+.2f} meV/atom/ps, " if drift is not None else ""
        return f"{output['ps']:.3f} ps, {heat}{conserved}{spread}, ended by {output['ended_by']}"
    errors = output.get("validation", output) if output["step"] == "train" else output
    if "forces_meV_A" not in errors:
        return f"{output['frames']} frames, member {output['members']}"
    energy = errors["energy_without_offset_meV_atom"]
    told = "energy of one frame only" if energy is None else f"{energy:.1f} meV/atom"
    words = f"{errors['forces_meV_A']:.0f} meV/Å, {told}"
    if output["step"] == "train":
        return f"{output['frames']} frames, held-out {words}"
    classical = output.get("classical_forces_meV_A")
    beside = f", classical force field {classical:.0f} meV/Å" if classical is not None else ""
    return f"true error {words}{beside}{': DISTRUSTED' if output['distrust'] else ''} ({output['statement']})"


def _words_of_structure(output: Json) -> str:
    shells = output.get("coordination") or {}
    partners = "; ".join(f"{name} {_numbers(shell)}" for name, shell in shells.items())
    partners = partners or "no shell around a cation is known"
    if output["step"] == "sample":
        return f"{output['frames']} frames of {len(output['densities_g_cm3'])} classical cells; {partners}"
    length = f"{output.get('trusted_ps', output.get('ps', 0.0)):g} ps, ended by {output['ended_by']}"
    true = output.get("true_error", {}).get("forces_meV_A")
    beside = f", true error {true:.0f} meV/Å" if true is not None else ""
    doubt = ": DISTRUSTED" if output.get("distrust") else ""
    return f"{length}{beside}{doubt} ({output['statement']}); {partners}"


def _numbers(shell: Json) -> str:
    """Return the neighbours of a cation, for example ``4.0 ± 0.2 = 1.0 EC carbonyl O + 3.0 EMC carbonyl O``.

    The error is the standard one of several cells; of one cell nobody knows it.
    """
    numbers = {name: _mean(number) for name, number in shell["molecules"].items()}
    parts = " + ".join(f"{number:.1f} {name}" for name, number in numbers.items() if number > LEAST_SHARE)
    error = shell["total"].get("standard_error")
    return f"{_mean(shell['total']):.1f}{f' ± {error:.1f}' if error is not None else ''} = {parts}"


def _mean(number: Json) -> float:
    return float(number["number"])


def read_learning(steps: Sequence[tuple[Path, Json]]) -> Learning:
    """Return what steps have found, in the order of their folders, as one learning."""
    statements = sorted({output["statement"] for _, output in steps if "statement" in output})
    structures = [item for folder, output in steps for item in _read_structure(folder, output)]
    return Learning(", ".join(statements) or "the reference of the labels", _read_rounds(steps), tuple(structures))


def _read_rounds(steps: Sequence[tuple[Path, Json]]) -> tuple[Round, ...]:
    """Return what belongs together: a training, and the dynamics and the comparison that follow it."""
    rounds: list[Round] = []
    for folder, output in steps:
        if output["step"] == "train" and "validation" in output:
            rounds.append(Round(len(rounds), output["frames"], output["validation"]))
        elif output["step"] == "explore" and rounds:
            log = read_columns((folder / LOG).read_text(encoding="utf-8")) if (folder / LOG).is_file() else {}
            walked = Walked(folder.name, output["ps"], output["ended_by"], log)
            rounds[-1] = replace(rounds[-1], walked=(*rounds[-1].walked, walked))
        elif output["step"] == "evaluate" and rounds:
            pairs = read_pairs((folder / PAIRS).read_text(encoding="utf-8")) if (folder / PAIRS).is_file() else None
            rounds[-1] = replace(rounds[-1], visited=output, pairs=pairs)
    return tuple(rounds)


def _read_structure(folder: Path, output: Json) -> Iterator[Structure]:
    """Yield what a step found around the cations; distributions of classical cells are those of the first."""
    kind = STRUCTURE.get(output["step"])
    if kind is None:
        return
    neighbours = name_neighbours(output.get("coordination") or {})
    yield Structure(kind, neighbours, _read_distributions(folder, output["step"]))


def _read_distributions(folder: Path, step: str) -> tuple[tuple[str, Array, Array], ...]:
    cell = folder / ("cell_0" if step == "sample" else CELL)
    if not (cell / "rdf.dcd").is_file():
        return ()
    system = json.loads((cell / "system.json").read_text(encoding="utf-8"))
    found = look_around(system, cell / "packed.pdb", cell / "rdf.dcd")
    return tuple((pair.title, pair.radius, pair.g) for pair in found.pairs)


def draw(steps: Sequence[tuple[Path, Json]], path: Path) -> None:
    """Draw the figures of a learning side by side.

    :raises MissingExtraError: when matplotlib is not installed.
    :raises SimulationInputError: when there is nothing to draw, or it cannot write such a file.
    """
    charts = chart_learning(read_learning(steps))
    if not charts:
        raise SimulationInputError("nothing can be drawn of these folders; accepted is a training of all members")
    try:
        from aiida_finales.potential.painting import paint_all

        figure = paint_all(charts)
    except ImportError as error:
        raise MissingExtraError("plot", "figures") from error
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".") or "svg")
    except ValueError as error:
        raise SimulationInputError(f"{path} was given, accepted is .svg, .pdf or .png ({error})") from error
    replace_file(path, buffer.getvalue())
