"""What people see of a learning: errors against labels, and the dynamics of each round with the true error beside.

Temperature and energy alone prove nothing: no figure here shows them without what the reference says of such frames.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import MissingExtraError, SimulationInputError
from aiida_finales.md.analyse import find_shells
from aiida_finales.md.storage import replace_file
from aiida_finales.potential.cell_folder import CELL
from aiida_finales.potential.dynamics import LOG, read_log
from aiida_finales.potential.explore import PAIRS
from aiida_finales.potential.work import read_output
from aiida_finales.schemas import Json
from aiida_finales.science.liquid.pair_distribution import PairDistribution, average_coordination, read_surroundings

#: steps that a report tells of; the last three have structure: of the classical cells, of the reference, of a potential
STRUCTURE = {"sample": "classical", "reference": "reference itself", "run": "potential"}
TOLD = ("train", "explore", "evaluate", *STRUCTURE)
#: inches
SIZE = (13.0, 10.0)
#: neighbours fewer than these are not named
LEAST_SHARE = 0.05
#: dots of atoms beyond which a cloud gets no clearer
MOST_DOTS = 4000


def read_steps(folders: Sequence[Path]) -> list[tuple[Path, Json]]:
    """Return what the steps of a learning have found, in the order of the folders.

    :raises FolderTakenError: when a folder holds no step that is done.
    :raises SimulationInputError: when none of them is told of.
    """
    found = [(folder, read_output(folder)) for folder in folders]
    told = [(folder, output) for folder, output in found if output["step"] in TOLD]
    if not told:
        given = ", ".join(output["step"] for _, output in found) or "nothing"
        raise SimulationInputError(f"{given} was given, accepted are folders of {', '.join(TOLD)}")
    return told


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
        return f"{output['ps']:.3f} ps, {heat}{spread}, ended by {output['ended_by']}"
    errors = output.get("validation", output) if output["step"] == "train" else output
    if "forces_meV_A" not in errors:
        return f"{output['frames']} frames, member {output['members']}"
    words = f"{errors['forces_meV_A']:.0f} meV/Å, {errors['energy_without_offset_meV_atom']:.1f} meV/atom"
    if output["step"] == "train":
        return f"{output['frames']} frames, held-out {words}"
    classical = output.get("classical_forces_meV_A")
    beside = f", classical force field {classical:.0f} meV/Å" if classical is not None else ""
    return f"true error {words}{beside}{': DISTRUSTED' if output['distrust'] else ''} ({output['statement']})"


def _words_of_structure(output: Json) -> str:
    shells = output.get("coordination") or {}
    partners = "; ".join(f"{name} {_numbers(shell)}" for name, shell in shells.items())
    if output["step"] == "sample":
        return f"{output['frames']} frames of {len(output['densities_g_cm3'])} classical cells"
    length = f"{output.get('trusted_ps', output.get('ps', 0.0)):g} ps, ended by {output['ended_by']}"
    true = output.get("true_error", {}).get("forces_meV_A")
    beside = f", true error {true:.0f} meV/Å" if true is not None else ""
    doubt = ": DISTRUSTED" if output.get("distrust") else ""
    return f"{length}{beside}{doubt} ({output['statement']}); {partners or 'no shell around a cation is known'}"


def _numbers(shell: Json) -> str:
    """Return the neighbours of a cation, for example ``4.0 = 1.0 EC carbonyl O + 3.0 EMC carbonyl O``."""
    numbers = {name: _mean(number) for name, number in shell["molecules"].items()}
    parts = " + ".join(f"{number:.1f} {name}" for name, number in numbers.items() if number > LEAST_SHARE)
    return f"{_mean(shell['total']):.1f} = {parts}"


def _mean(number: Json) -> float:
    return float(number["number"])


def draw(steps: Sequence[tuple[Path, Json]], path: Path) -> None:
    """Draw the learning curve, and temperature and energy of the dynamics of each round with their true errors.

    :raises MissingExtraError: when matplotlib is not installed.
    :raises SimulationInputError: when it cannot write such a file.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plot", "figures") from error
    figure = Figure(figsize=SIZE, layout="constrained")
    statements = {output["statement"] for _, output in steps if "statement" in output}
    figure.suptitle(f"simulated; errors against {', '.join(sorted(statements)) or 'the reference of the labels'}")
    (curve, heat, energy), (trusted, doubt, shells), distributions = figure.subplots(3, 3)
    _draw_curve(curve, steps)
    _draw_dynamics(heat, energy, steps)
    _draw_trusted(trusted, steps)
    _draw_doubt(doubt, steps)
    _draw_shells(shells, steps)
    _draw_distributions(distributions, steps)
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format=path.suffix.lstrip(".") or "svg")
    except ValueError as error:
        raise SimulationInputError(f"{path} was given, accepted is .svg, .pdf or .png ({error})") from error
    replace_file(path, buffer.getvalue())


def _draw_curve(axes: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    rounds = _rounds(steps)
    held_out = [(point["frames"], point["held_out"]) for point in rounds]
    visited = [(point["frames"], point["visited"]) for point in rounds if point["visited"] is not None]
    for points, mark, label in ((held_out, "o-", "held-out frames"), (visited, "s--", "visited, labelled again")):
        if points:
            axes.plot(*zip(*points, strict=True), mark, label=label)
    axes.set(xlabel="labelled frames", ylabel="error of forces (meV/Å)", ylim=(0, None))
    axes.legend()


def _draw_dynamics(heat: Any, energy: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    for number, point in enumerate(_rounds(steps)):
        error = "not known" if point["visited"] is None else f"{point['visited']:.0f} meV/Å"
        for index, (folder, _) in enumerate(point["explored"]):
            log = read_log(folder / LOG)
            label = f"round {number}, true error {error}" if index == 0 else None
            heat.plot(log["time_ps"], log["temperature_K"], color=f"C{number}", lw=0.8, label=label)
            shift = log["potential_eV"] - log["potential_eV"][:1]
            energy.plot(log["time_ps"], shift, color=f"C{number}", lw=0.8)
    heat.set(xlabel="time (ps)", ylabel="temperature (K)")
    energy.set(xlabel="time (ps)", ylabel="potential energy since the start (eV)")
    if heat.lines:
        heat.legend(fontsize="small")


def _draw_trusted(axes: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    """Draw how long each of the dynamics was trusted."""
    for number, point in enumerate(_rounds(steps)):
        lengths = [output["ps"] for _, output in point["explored"]]
        axes.plot([number] * len(lengths), lengths, "o", color=f"C{number}")
    axes.set(xlabel="round", ylabel="trusted (ps)", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_doubt(axes: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    """Draw error against spread of the atoms of the last comparison."""
    axes.set(xlabel="spread, calibrated (eV/Å)", ylabel="true error of an atom (eV/Å)")
    folders = [folder for folder, _ in steps if (folder / PAIRS).is_file()]
    if not folders:
        return
    pairs = np.genfromtxt(folders[-1] / PAIRS, delimiter=",", skip_header=1, ndmin=2)
    dots = pairs[:: max(1, len(pairs) // MOST_DOTS)]
    axes.loglog(dots[:, 0], dots[:, 1], ".", ms=2, alpha=0.4, label=folders[-1].name)
    axes.axline((1.0, 1.0), (2.0, 2.0), color="0.5", lw=0.8)
    axes.legend(fontsize="small")


def _draw_shells(axes: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    """Draw the neighbours of the cations by partner: classical, of the reference itself, of a potential."""
    found: dict[str, dict[str, float]] = {}
    for folder, output in steps:
        for cation, shell in _shells_of(folder, output).items():
            column = found.setdefault(STRUCTURE[output["step"]], {})
            column.update({f"{cation}-{kind}": _mean(number) for kind, number in shell["molecules"].items()})
    names = sorted({name for column in found.values() for name in column})
    width = 0.8 / max(1, len(found))
    for index, (label, column) in enumerate(found.items()):
        places = [place + index * width for place in range(len(names))]
        axes.bar(places, [column.get(name, 0.0) for name in names], width, label=label)
    axes.set(ylabel="neighbours")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
    if found:
        axes.legend(fontsize="small")


def _shells_of(folder: Path, output: Json) -> Json:
    """Return the first shells that a step found; those of classical cells are found now."""
    if output["step"] not in STRUCTURE:
        return {}
    if output["step"] != "sample":
        return dict(output.get("coordination") or {})
    shells, _ = find_shells(sorted(folder.glob("cell_*")))
    return average_coordination(shells)


def _draw_distributions(row: Any, steps: Sequence[tuple[Path, Json]]) -> None:
    """Draw the radial distributions of the pairs with the highest peaks, of all who have them beside each other."""
    found: dict[str, list[tuple[str, PairDistribution]]] = {}
    for folder, output in steps:
        for pair in _read_pairs(folder, output):
            found.setdefault(pair.title, []).append((STRUCTURE[output["step"]], pair))
    highest = sorted(found, key=lambda title: -max(float(pair.g.max()) for _, pair in found[title]))
    for axes, title in zip(row, highest, strict=False):
        for label, pair in found[title]:
            axes.plot(pair.radius, pair.g, lw=1.0, color=f"C{list(STRUCTURE.values()).index(label)}", label=label)
        axes.set(xlabel="distance (Å)", ylabel=f"g, {title}", ylim=(0, None))
        axes.legend(fontsize="small")
    for axes in row[len(highest) :]:
        axes.set_axis_off()


def _read_pairs(folder: Path, output: Json) -> Sequence[PairDistribution]:
    """Return the radial distributions around the cations of a step; of classical cells those of the first."""
    if output["step"] not in STRUCTURE:
        return ()
    cell = folder / ("cell_0" if output["step"] == "sample" else CELL)
    if not (cell / "rdf.dcd").is_file():
        return ()
    system = json.loads((cell / "system.json").read_text(encoding="utf-8"))
    cations = {item["residue"]: item["name"] for item in system["species"] if item["charge"] > 0}
    return read_surroundings(cell / "packed.pdb", cell / "rdf.dcd", cations).pairs


def _rounds(steps: Sequence[tuple[Path, Json]]) -> list[dict[str, Any]]:
    """Return what belongs together: a training, and the dynamics and the comparison that follow it."""
    rounds: list[dict[str, Any]] = []
    for folder, output in steps:
        if output["step"] == "train" and "validation" in output:
            held_out = output["validation"]["forces_meV_A"]
            rounds.append({"frames": output["frames"], "held_out": held_out, "visited": None, "explored": []})
        elif output["step"] == "explore" and rounds:
            rounds[-1]["explored"].append((folder, output))
        elif output["step"] == "evaluate" and rounds:
            rounds[-1]["visited"] = output["forces_meV_A"]
    return rounds
