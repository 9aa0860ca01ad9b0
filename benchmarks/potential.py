"""Active learning of a potential of one salt in EC and EMC, by ``finales-mlp``: how good, on what it visits itself.

In full, hours on two cores: 60 classical frames, four rounds of 20 labels by GFN1-xTB (not DFT), three members, and
starts of 5 ps whose frames the reference labels again. ``--quick`` makes frames, labels and networks so small that only
the way is tried: its figures mean nothing. A folder that is given is gone on with. ``--together`` takes such folders of
several salts, and trains one potential for all of them: as many steps as they have together, on the same frames.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.potential.frames import read_frames, write_frames
from aiida_finales.potential.input import check_input

EXAMPLES = Path(__file__).parents[1] / "examples" / "potentials"
#: exit status of a step that found something, distrusted or not
FOUND = (0, 50)
#: frames between two starts
STRIDE = 13
QUICK: dict[str, Any] = {
    "sample": {"n_cells": 2, "n_frames": 2, "spacing_ps": 0.1, "nvt_ps": 0.2, "npt_ps": 1.0, "flexible_fs": 20},
    "model": {"channels": 8, "layers": 1},
    "train": {"steps": 10},
    "explore": {"ps": 0.005, "frame_ps": 0.001, "stop_spread": 50.0},
    "select": {"n": 1, "distance": 0.0, "high": 100.0},
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try the way only")
    parser.add_argument("--salt", default="napf6", choices=sorted(path.stem for path in EXAMPLES.glob("*.json")))
    parser.add_argument("--rounds", type=int, default=4, help="[%(default)s]")
    parser.add_argument("--starts", type=int, default=3, help="[%(default)s]")
    parser.add_argument("--folder", type=Path, help="keep everything there, and go on with what is there")
    parser.add_argument("--set", type=json.loads, default={}, metavar="JSON", help="what differs in the input")
    parser.add_argument("--together", type=Path, nargs="+", metavar="DIR", help="one potential for the salts of these")
    options = parser.parse_args()
    document = json.loads((EXAMPLES / f"{options.salt}.json").read_text()) | options.set
    n_rounds, n_starts = (1, 1) if options.quick else (options.rounds, options.starts)
    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        if options.together:
            join(folder, [place.resolve() for place in options.together])
            return
        (folder / "given.json").write_text(json.dumps(document | (QUICK if options.quick else {})))
        Learning(folder, options.salt).go(n_rounds, n_starts)


class Learning:
    """The rounds of one salt."""

    def __init__(self, folder: Path, salt: str) -> None:
        self.folder, self.case = folder, salt

    def go(self, n_rounds: int, n_starts: int) -> None:
        """Learn, and print the figures of every round."""
        self.step("sample", (), "sample")
        self.step("label", ("sample/frames.xyz",), "labels")
        frames = read_frames(self.folder / "labels" / "labelled.xyz")
        last = max(int(frame.info["cell_index"]) for frame in frames)
        learned = [frame for frame in frames if frame.info["cell_index"] != last]
        write_frames(self.folder / "held_out.xyz", [frame for frame in frames if frame.info["cell_index"] == last])
        for number in range(n_rounds):
            data = self.folder / f"train_{number}.xyz"
            if not data.exists():
                write_frames(data, learned)
            learned = learned + self.learn(number, n_starts, data.name)
        self.conserve(f"potential_{n_rounds - 1}")

    def conserve(self, potential: str) -> None:
        """Print the drift of all energy in dynamics without thermostat."""
        document = json.loads((self.folder / "given.json").read_text())
        document["explore"] = document.get("explore", {}) | {"friction_per_ps": 0.0}
        (self.folder / "conserved.json").write_text(json.dumps(document))
        found = self.step("explore", (potential, "train_0.xyz"), "conserved", "conserved.json")
        case = f"{self.case}-conserved"
        print_row("potential", case, "drift", found["drift_meV_per_atom_ps"], "meV/atom/ps")
        print_row("potential", case, "scatter", found["energy_scatter_meV_per_atom"], "meV/atom")
        print_row("potential", case, "trusted", found["ps"], "ps")

    def learn(self, number: int, n_starts: int, data: str) -> list[Any]:
        """Do a round, and return its new labels."""
        start = ("--start", f"potential_{number - 1}") if number else ()
        potential = f"potential_{number}"
        found = self.step("train", (data, "--validation", "held_out.xyz", *start), potential)
        places = [f"visited_{number}_{index}" for index in range(n_starts)]
        # never from held-out frames: what is learned of their liquid would no longer be tested by them
        n_frames = len(read_frames(self.folder / "train_0.xyz"))
        dynamics = [
            self.step(
                "explore", (potential, "train_0.xyz", "--frame", str(start_frame(number, index, n_frames))), place
            )
            for index, place in enumerate(places)
        ]
        visited = [f"{place}/trajectory.xyz" for place in places]
        self.step("select", (*visited, "--potential", potential, "--known", data), f"selected_{number}")
        self.step("label", (f"selected_{number}/selected.xyz",), f"labels_{number}")
        true = self.step("evaluate", (potential, f"labels_{number}/labelled.xyz"), f"evaluated_{number}")
        self.tell(number, found, true, dynamics)
        return read_frames(self.folder / f"labels_{number}" / "labelled.xyz")

    def step(self, name: str, words: Sequence[str], out: str, given: str = "given.json") -> dict[str, Any]:
        """Do a step, or take what it has found, and return that."""
        program = [sys.executable, "-m", "aiida_finales.potential.command", name, given, *words]
        done = subprocess.run([*program, "--out", out, "--resume"], cwd=self.folder, check=False)
        if done.returncode not in FOUND:
            sys.exit(f"{name} ended with status {done.returncode}: {self.folder / out}")
        return dict(json.loads((self.folder / out / "output.json").read_text()))

    def tell(self, number: int, found: dict[str, Any], true: dict[str, Any], dynamics: list[dict[str, Any]]) -> None:
        """Print the figures of a round."""
        held_out, case = found["validation"], f"{self.case}-round-{number}"
        print_row("potential", case, "frames", found["frames"], "1")
        print_row("potential", case, "held_out_forces", held_out["forces_meV_A"], "meV/angstrom")
        print_row("potential", case, "held_out_energy", held_out["energy_without_offset_meV_atom"], "meV/atom")
        print_row("potential", case, "visited_forces", true["forces_meV_A"], "meV/angstrom")
        print_row("potential", case, "visited_energy", true["energy_without_offset_meV_atom"], "meV/atom")
        print_row("potential", case, "classical_forces", true["classical_forces_meV_A"], "meV/angstrom")
        print_row("potential", case, "trusted", min(item["ps"] for item in dynamics), "ps")
        print_row("potential", case, "train_cpu", found["cpu_s"], "s")


def join(folder: Path, places: list[Path]) -> None:
    """Train one potential for several salts, and print its errors beside those of one for each.

    :param places: folders of the salts, of which the first round is done.
    """
    documents = [json.loads((place / "given.json").read_text()) for place in places]
    steps = sum(check_input(document).train.steps for document in documents)
    first = documents[0] | {"train": documents[0].get("train", {}) | {"steps": steps}}
    (folder / "given.json").write_text(json.dumps(first))
    for source, target in (("train_0.xyz", "train.xyz"), ("held_out.xyz", "held_out.xyz")):
        if not (folder / target).exists():
            write_frames(folder / target, [frame for place in places for frame in read_frames(place / source)])
    also = [word for place in places[1:] for word in ("--also", str(place / "given.json"))]
    learning = Learning(folder, "together")
    found = learning.step("train", ("train.xyz", "--validation", "held_out.xyz", *also), "potential")
    print_row("potential", "together", "frames", found["frames"], "1")
    print_row("potential", "together", "train_cpu", found["cpu_s"], "s")
    for place in places:
        words = ("potential", str(place / "held_out.xyz"))
        shared = learning.step("evaluate", words, f"evaluated_{place.name}", str(place / "given.json"))
        alone = json.loads((place / "potential_0" / "output.json").read_text())["validation"]
        for figure, errors in (("held_out", shared), ("held_out_alone", alone)):
            case, energy = f"together-{place.name}", errors["energy_without_offset_meV_atom"]
            print_row("potential", case, f"{figure}_forces", errors["forces_meV_A"], "meV/angstrom")
            print_row("potential", case, f"{figure}_energy", energy, "meV/atom")


def start_frame(number: int, index: int, n_frames: int) -> int:
    """Return the frame that a start of a round begins with: far from those of others, and another one each round."""
    return (index * STRIDE + number) % n_frames


if __name__ == "__main__":
    main()
