"""Train the members of a potential, each from weights of its own, and join them.

Steps are counted, not seconds: the same input gives the same members on a fast computer and a slow one. What is
random follows from the seed, the number of the member and the number of the step.
"""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import DivergedError, SimulationInputError
from aiida_finales.md.cell import Cell
from aiida_finales.md.run import count_threads
from aiida_finales.md.storage import replace_file, replace_json
from aiida_finales.potential.assemble import LEARNED, PREDICTED, assemble, bring_member, name_member
from aiida_finales.potential.classical import Baseline, describe_baseline, plan
from aiida_finales.potential.committee import Network, demand_elements, fill, load_member
from aiida_finales.potential.description import read_description
from aiida_finales.potential.frames import (
    ENERGY,
    FORCES,
    REFERENCE,
    TEMPERATURE,
    demand_content,
    density_of,
    fingerprint,
    read_labelled,
    sort_out,
)
from aiida_finales.potential.input import PotentialInput, read_input, with_species
from aiida_finales.potential.networks import (
    build,
    choose_device,
    describe_network,
    fit_components,
    load_tensors,
    load_torch,
    make_graph,
    save_tensors,
)
from aiida_finales.potential.work import Work, read_versions, sha256_of
from aiida_finales.schemas import Json
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from ase import Atoms

#: weights of the energy in the loss, at the beginning and at the end
ENERGY_WEIGHTS = (0.001, 0.051)
#: the learning rate rises in so many steps, and falls to this part of it
WARMUP, LAST_RATE = 20, 0.02
#: norm to which gradients are cut
LARGEST_GRADIENT = 10.0
#: a loss so many times the first one never comes back
DIVERGED = 1e4
#: points of the learning curve, and frames that each is measured with
CURVE_POINTS, CURVE_FRAMES = 10, 4
CURVE_HEADER = "step,loss,validation_forces_meV_A\n"


def train(work: Work) -> Json:
    """Train one member, or all and join them; distrusted when they know no more than what they add to.

    ``arguments`` of the work: ``member``, a number or ``None``; its files: ``data``, ``validation``, ``start``, and
    ``also_0``, ... , the inputs of the other mixtures whose frames are among them, and ``trained_member_0``, ... , of
    members that were trained elsewhere.

    :raises DivergedError: when a training gets worse without end.
    :raises WalltimeError: when the time is over before.
    """
    torch = load_torch()
    torch.set_num_threads(count_threads(work.options.threads))
    lesson = Lesson.prepare(work)
    for path in (path for name, path in work.files.items() if name.startswith("trained")):
        bring_member(path, json.loads(json.dumps(lesson.shared)), work.folder)
    only = work.arguments.get("member")
    members = range(work.given.model.members) if only is None else [only]
    for number in members:
        if not (work.folder / f"{name_member(number)}.json").exists():
            _Training(work, lesson, number).go()
    words = {"members": list(members), "frames": len(lesson.frames), "refused": lesson.refused}
    if only is not None:
        return words
    potential = assemble([work.folder] * len(members), list(members), lesson.validation, work.folder)
    judged = _judge(lesson, potential["validation"], work.given.train.learning_rate)
    return words | {"validation": potential["validation"], "trust": potential["trust"]} | judged


def _judge(lesson: Lesson, validation: Json, rate: float) -> Json:
    """Return the error of the forces without what was learned, meV/angstrom, and whether learning has made it less."""
    errors = [lesson.baseline.evaluate(frame)[1] - frame.arrays[FORCES] for frame in lesson.validation]
    alone, found = 1e3 * float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), validation["forces_meV_A"]
    distrust = (
        f"the error of the forces on held-out frames is {found:.0f} meV/Å, and {alone:.0f} without the networks: they "
        f"learned nothing; give more frames, more train.steps or another train.learning_rate than {rate:g}"
    )
    return {"unlearned_forces_meV_A": round(alone, 3), "distrust": None if found < alone else distrust}


@dataclass
class Lesson:
    """What all members learn, and from where they start.

    :param shared: what their descriptions have in common.
    :param targets: energy (eV) and forces (eV/angstrom) beyond the baseline and lone atoms, of every frame.
    """

    baseline: Baseline
    frames: list[Atoms]
    validation: list[Atoms]
    refused: dict[int, str]
    shared: Json
    targets: list[tuple[float, Array]]
    start: Path | None

    @classmethod
    def prepare(cls, work: Work) -> Lesson:
        """Read the frames of a work, and find scale and energies of lone atoms."""
        given, others = work.given, _read_others(work)
        cells = [plan(item) for item in (given, *others)]
        frames, refused = sort_out(read_labelled(work.files["data"]))
        validation = read_labelled(work.files["validation"])
        terms = describe_baseline(given, cells)
        baseline = Baseline(cells, terms)
        for kind, found in (("data", frames), ("validation", validation)):
            demand_content(found, cells[0], work.files[kind], *cells[1:])
        start = work.files["start"].parent if "start" in work.files else None
        before = read_description(start) if start is not None else None
        # weights that go on have learned what they began with as well
        learned = list(dict.fromkeys([*map(fingerprint, frames), *(before or {}).get("frames", ())]))
        _demand_new(validation, learned, work.files["validation"])
        _demand_method(validation, frames, work.files["validation"])
        targets = [_beyond(frame, baseline) for frame in frames]
        shifts, scale = _scales(frames, targets)
        network = describe_network(given.model)
        if before is not None:
            _demand_same(before, {"network": network, "baseline": terms})
            demand_elements(set(shifts), before)
            # another method has other energies of lone atoms
            is_same = before["reference"] == str(frames[0].info[REFERENCE])
            shifts, scale = before["shifts"] | ({} if is_same else shifts), before["scale"]
        shared = {
            "network": network,
            "elements": sorted(shifts),
            "shifts": shifts,
            "scale": scale,
            "baseline": terms,
            "reference": str(frames[0].info[REFERENCE]),
            "frames": learned,
            "data_sha256": sha256_of(work.files["data"]),
            "domain": _domain([given, *others], cells, frames),
            "versions": read_versions(),
        }
        targets = [
            (energy - _lone(frame, shifts), forces) for frame, (energy, forces) in zip(frames, targets, strict=True)
        ]
        return cls(baseline, frames, validation, refused, shared, targets, start)


def _read_others(work: Work) -> list[PotentialInput]:
    """Return the inputs of the other mixtures that are learned.

    :raises SimulationInputError: when one asks for another force field.
    """
    found = []
    for path in (path for name, path in work.files.items() if name.startswith("also")):
        other = with_species(read_input(path), work.given.species)
        for key in ("cutoff_nm", "ion_charge_scale"):
            given, accepted = getattr(other, key), getattr(work.given, key)
            if given != accepted:
                words = f"{key} {given:g} was given, accepted is {accepted:g}, as in the input"
                raise SimulationInputError(f"{path}: {words}")
        found.append(other)
    return found


def _demand_new(validation: list[Atoms], learned: list[str], path: Path) -> None:
    known = set(learned)
    both = [index for index, frame in enumerate(validation) if fingerprint(frame) in known]
    if both:
        raise SimulationInputError(
            f"{path}, frames {both}: they are in the training set as well, or in that of --start; a test needs new ones"
        )


def _demand_method(validation: list[Atoms], frames: list[Atoms], path: Path) -> None:
    given, accepted = (str(found[0].info[REFERENCE]) for found in (validation, frames))
    if given != accepted:
        raise SimulationInputError(f"{path}: labels by {given} were given, accepted is {accepted}, as of the data")


def _demand_same(before: Json, now: Json) -> None:
    for key, value in now.items():
        if before[key] != value:
            raise SimulationInputError(f"--start has {key} {before[key]}, accepted is that of the input: {value}")


def _beyond(frame: Atoms, baseline: Baseline) -> tuple[float, Array]:
    energy, forces = baseline.evaluate(frame)
    return float(frame.info[ENERGY]) - energy, np.asarray(frame.arrays[FORCES], dtype=float) - forces


def _scales(frames: list[Atoms], targets: list[tuple[float, Array]]) -> tuple[dict[str, float], float]:
    """Return the energy of lone atoms (eV) and the root mean square force (eV/angstrom).

    Where all frames have one composition the energies are those of least size that give the mean: one of many splits.
    """
    elements = sorted({symbol for frame in frames for symbol in frame.symbols})
    rows = [[frame.get_chemical_symbols().count(name) for name in elements] for frame in frames]
    counts: Array = np.array(rows, dtype=float)
    shifts = np.linalg.lstsq(counts, np.array([energy for energy, _ in targets]), rcond=1e-8)[0]
    scale = math.sqrt(float(np.mean([float(np.mean(forces**2)) for _, forces in targets])))
    return {name: float(value) for name, value in zip(elements, shifts, strict=True)}, max(scale, 1e-6)


def _lone(frame: Atoms, shifts: dict[str, float]) -> float:
    return sum(shifts[symbol] for symbol in frame.symbols)


def _domain(mixtures: list[PotentialInput], cells: list[Cell], frames: list[Atoms]) -> Json:
    """Return the mixtures that are learned and their states: of all, and of each where they are several."""
    states = []
    for item, cell in zip(mixtures, cells, strict=True):
        own = [frame for frame in frames if tuple(frame.get_chemical_symbols()) == cell.elements]
        if not own:
            given = ", ".join(part.name or part.smiles for part in item.formulation)
            raise SimulationInputError(f"no frame of {given} is among the data; accepted are frames of every mixture")
        heat = [float(frame.info.get(TEMPERATURE, item.temperature_K)) for frame in own]
        dense = [density_of(frame) for frame in own]
        states.append({"temperature_K": [min(heat), max(heat)], "density_g_cm3": [min(dense), max(dense)]})
    first, *others = [[part.model_dump(mode="json") for part in item.formulation] for item in mixtures]
    whole = {key: [min(item[key][0] for item in states), max(item[key][1] for item in states)] for key in states[0]}
    return {"formulation": first, **whole, **({"others": others, "states": states} if others else {})}


class _Training:
    """One member."""

    def __init__(self, work: Work, lesson: Lesson, number: int) -> None:
        self.work, self.lesson, self.number = work, lesson, number
        self.torch, self.settings = load_torch(), work.given.train
        self.device = choose_device(work.given.device)
        self.cutoff = lesson.shared["network"]["cutoff_nm"] * 10.0
        self.name, self.step = name_member(number), 0
        self.curve: list[tuple[int, float, float]] = []
        self.first_loss: float | None = None
        self.examples = [self._example(*pair) for pair in zip(lesson.frames, lesson.targets, strict=True)]
        self.member = Network(self._network(), lesson.shared, self.device)
        self.optimiser = self.torch.optim.AdamW(
            self.member.module.parameters(), lr=self.settings.learning_rate, amsgrad=True
        )
        self.checkpoint = work.folder / f"checkpoint_{number}.pt"
        if self.checkpoint.exists():
            self._load()

    def go(self) -> None:
        """Train to the end, and write the member."""
        work, total = self.work, self.settings.steps
        saved = time.monotonic()
        while self.step < total:
            moment = time.monotonic()
            loss = self._learn()
            self._watch(loss)
            self.step += 1
            if self.step % max(1, total // CURVE_POINTS) == 0:
                self.curve.append((self.step, loss, self._validate()))
            piece = time.monotonic() - moment
            if time.monotonic() - saved > work.clock.pause or work.clock.is_over(piece):
                self._save()
                saved = time.monotonic()
                work.stop_in_time(self.step, total, piece)
            work.tell(
                self.step + self.number * total, total * work.given.model.members, f"{self.name}, loss {loss:.3g}"
            )
        self._finish()

    def _example(self, frame: Atoms, target: tuple[float, Array]) -> Any:
        energy, forces = target
        scale, torch = self.lesson.shared["scale"], self.torch
        properties = {
            "energy": torch.tensor(energy / scale, dtype=torch.float32),
            "forces": torch.tensor(forces / scale, dtype=torch.float32),
        }
        return make_graph(frame, self.cutoff, "cpu")._replace(properties=properties).to(self.device)

    def _network(self) -> Any:
        shared, start = self.lesson.shared, self.lesson.start
        if start is not None:
            words = read_description(start)
            entry = words["members"][self.number % len(words["members"])]
            network = load_member(start, entry, words)
            return network.train()
        seed = self._seed(0)
        network = build(shared["network"], shared["elements"], seed)
        fit_components(network, [example._replace(properties={}).to("cpu") for example in self.examples])
        return network.train()

    def _seed(self, epoch: int) -> int:
        words = [self.work.given.seed, self.number, epoch]
        return int(np.random.SeedSequence(words).generate_state(1)[0] % (2**31 - 1))

    def _batch(self) -> Any:
        """Return the examples of a step: all in a new order in each epoch."""
        from graph_pes.atomic_graph import to_batch

        size = min(self.settings.batch, len(self.examples))
        per_epoch = math.ceil(len(self.examples) / size)
        epoch, place = divmod(self.step, per_epoch)
        order = np.random.default_rng(self._seed(epoch + 1)).permutation(len(self.examples))
        return to_batch([self.examples[index] for index in order[place * size : (place + 1) * size]])

    def _learn(self) -> float:
        torch, batch = self.torch, self._batch()
        part = self.step / self.settings.steps
        rise = min(1.0, (self.step + 1) / WARMUP)
        fall = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * part))
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * rise * fall
        energy, forces = self.member.predict(batch)
        sizes = batch.ptr[1:] - batch.ptr[:-1]
        wanted = self.settings.energy_scale / self.lesson.shared["scale"]
        of_energy = ((energy - batch.properties["energy"]) / sizes / wanted).pow(2).mean()
        of_forces = (forces - batch.properties["forces"]).pow(2).mean()
        low, high = ENERGY_WEIGHTS
        loss = of_forces + (low + (high - low) * part**2) * of_energy
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.member.module.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        return float(loss.detach())

    def _watch(self, loss: float) -> None:
        if self.first_loss is None:
            self.first_loss = loss
        if not loss < DIVERGED * max(1.0, self.first_loss):
            raise DivergedError(
                f"the training of {self.name} diverged at step {self.step}: loss {loss:.3g}, at first "
                f"{self.first_loss:.3g}; a smaller train.learning_rate than {self.settings.learning_rate:g} is needed"
            )

    def _validate(self) -> float:
        """Return the root mean square error of the forces of some held-out frames, meV/angstrom."""
        chosen = self.lesson.validation[:: max(1, len(self.lesson.validation) // CURVE_FRAMES)]
        errors = [self._predict(frame)[1] - frame.arrays[FORCES] for frame in chosen]
        return 1e3 * math.sqrt(np.mean([np.mean(error**2) for error in errors]))

    def _predict(self, frame: Atoms) -> tuple[float, Array]:
        energy, forces = self.member.evaluate(frame, make_graph(frame, self.cutoff, self.device))
        lone, below = self.lesson.baseline.evaluate(frame)
        return energy + lone, forces + below

    def _save(self) -> None:
        content = {
            "weights": self.member.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "curve": self.curve,
            "first_loss": self.first_loss,
        }
        save_tensors(self.checkpoint, content)
        self.work.keep_spent()

    def _load(self) -> None:
        content = load_tensors(self.checkpoint)
        fill(self.member.module, content["weights"], self.checkpoint)
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.first_loss = content["step"], content["first_loss"]
        self.curve = [tuple(point) for point in content["curve"]]

    def _finish(self) -> None:
        folder = self.work.folder
        self.member.module.eval()
        save_tensors(folder / f"{self.name}.pt", self.member.module.cpu().state_dict())
        self.member.module.to(self.device)
        rows = [f"{step},{loss:.6g},{error:.6g}\n" for step, loss, error in self.curve]
        replace_file(folder / f"curve_{self.number}.csv", (CURVE_HEADER + "".join(rows)).encode())
        found = [self._predict(frame) for frame in self.lesson.validation]
        buffer = io.BytesIO()
        forces = np.concatenate([forces for _, forces in found])
        np.savez(buffer, energies=np.array([energy for energy, _ in found]), forces=forces)
        replace_file(folder / PREDICTED.format(self.number), buffer.getvalue())
        words = {"file": f"{self.name}.pt", "sha256": sha256_of(folder / f"{self.name}.pt"), "steps": self.step}
        learned = self.lesson.shared | {"member": words | {"seed": self._seed(0)}, "curve": self.curve}
        replace_json(folder / LEARNED.format(self.number), json.loads(json.dumps(learned)))
        self.checkpoint.unlink(missing_ok=True)
