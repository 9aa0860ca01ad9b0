"""Train the members of a potential, each from weights of its own, and join them.

Steps are counted, not seconds: the same input gives the same members on a fast computer and a slow one. What is
random follows from the seed, the number of the member and the number of the step.
"""

from __future__ import annotations

import io
import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import DivergedError
from aiida_finales.md.run import count_threads
from aiida_finales.md.storage import going_on, replace_file, replace_json
from aiida_finales.potential.assemble import LEARNED, PREDICTED, assemble, bring_member, name_member
from aiida_finales.potential.committee import Network, fill, load_member
from aiida_finales.potential.description import read_description
from aiida_finales.potential.frames import FORCES
from aiida_finales.potential.lesson import Lesson
from aiida_finales.potential.networks import (
    build,
    choose_device,
    fit_components,
    load_tensors,
    load_torch,
    make_graph,
    save_tensors,
)
from aiida_finales.potential.work import Work, sha256_of
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
        with going_on(self.checkpoint):
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
