"""A potential by active learning: train, explore, select, label, look how wrong it was, and learn again.

::

    [sample ──> label ──>] train ──> explore ──> select ──> label ──> evaluate ──┐
                             ^──────────────── new frames join ──────────────────┘

Every step is a calculation under a key of its own (round, phase, number): a worker that is killed finds what it
launched. The loop ends at the goal, at the budget, at the last round, or after a round without gain.

One potential may learn several mixtures: all are trained together, and each explores, labels and judges its own frames.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction, if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.calculations.potential import (
    PotentialCalculation,
    assemble_potential,
    check_parameters,
    count_frames,
    join_frames,
    split_frames,
)
from aiida_finales.data.potential import PotentialData
from aiida_finales.potential.input import check_input
from aiida_finales.schemas import Json
from aiida_finales.workflows.learning_settings import check_budget, check_curve, check_settings, fill_learning
from aiida_finales.workflows.mixtures import FIRST, check_mixtures, define_others, mixture_of, name_step, share_out
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end

#: exit status after which a step goes on in another calculation, where its folder is
RESUMED = (120, 140, 350, 405, 407)
#: what was found is there all the same
DISTRUSTED = 452
PHASES = ("train", "explore", "select", "label", "evaluate")


class ActiveLearningWorkChain(WaitAnyWorkChain):
    """Train a potential, and send it where it is in doubt, until its dynamics are as good as its tests."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="the program finales-mlp")
        spec.input("parameters", valid_type=orm.Dict, validator=check_parameters, help="the input of the program")
        spec.input("data", valid_type=orm.SinglefileData, help="labelled frames to learn and to start from")
        spec.input("validation", valid_type=orm.SinglefileData, help="labelled frames to test with")
        define_others(spec)
        spec.input("settings", valid_type=orm.Dict, default=lambda: orm.Dict({}), validator=check_settings)
        spec.input("potential", valid_type=PotentialData, required=False, help="go on from its weights")
        words = "of a learning that has ended: go on with it"
        spec.input("curve", valid_type=orm.List, required=False, validator=check_curve, help=words)
        spec.inputs.validator = lambda inputs, _: check_mixtures(inputs) or check_budget(inputs)
        spec.outline(
            cls.begin,
            while_(cls.goes_on)(
                cls.plan_phase,
                while_(cls.has_work)(cls.take_news, if_(cls.has_step)(cls.launch_step), cls.await_news),
                cls.gather,
            ),
            cls.conclude,
        )
        spec.output("potential", valid_type=PotentialData, required=False, help="of the best round")
        spec.output("data", valid_type=orm.SinglefileData, required=False, help="all labelled frames")
        spec.output_namespace(
            "others_data", valid_type=orm.SinglefileData, dynamic=True, help="the same of the other mixtures"
        )
        spec.output("curve", valid_type=orm.List, required=False, help="of every round: labels, errors, dynamics")
        spec.exit_code(430, "ERROR_STEP_FAILED", message="{phase} of round {number} failed: {reason}")

    # --- outline

    def begin(self) -> None:
        """Find out where the loop stands: at the beginning, or where an earlier one ended."""
        self.ctx.in_flight, self.ctx.waiting, self.ctx.under_way, self.ctx.done = [], [], {}, {}
        self.ctx.curve = self.inputs.curve.get_list() if "curve" in self.inputs else []
        self.ctx.first = self.ctx.round = len(self.ctx.curve)
        self.ctx.phase = PHASES[0]
        mixtures = (FIRST, *self.inputs.get("others", {}))
        self.ctx.data = {name: self._given("data", name).uuid for name in mixtures}
        self.ctx.potential = self.inputs.potential.uuid if "potential" in self.inputs else None
        self.ctx.failed, self.ctx.ended_by, self.ctx.best = None, None, self.ctx.potential

    def goes_on(self) -> bool:
        """Whether there is a phase to come."""
        return self.ctx.failed is None and self.ctx.ended_by is None

    def plan_phase(self) -> None:
        """List the calculations of this phase."""
        self.ctx.done, self.ctx.lost = {}, []
        plans: list[Json] = getattr(self, f"_plan_{self.ctx.phase}")()
        self.ctx.waiting = [plan | {"attempt": 1, "folder": None} for plan in plans]

    def has_work(self) -> bool:
        """Whether a step is under way, or still to be."""
        return bool(self.ctx.in_flight or self.ctx.waiting)

    def take_news(self) -> None:
        """Look at what has ended; a step that was interrupted goes on."""
        for child in self.take_ended():
            plan = self.ctx.under_way.pop(str(child.pk))
            if child.is_finished_ok or child.exit_status == DISTRUSTED:
                self.ctx.done[plan["name"]] = child.uuid
            elif plan["attempt"] < self._settings["attempts"] and (
                child.exit_status is None or child.exit_status in RESUMED
            ):
                folder = child.outputs.remote_folder.uuid if "remote_folder" in child.outputs else plan["folder"]
                self.ctx.waiting.append(plan | {"attempt": plan["attempt"] + 1, "folder": folder})
                self.report(f"{plan['name']} of round {self.ctx.round} goes on: {explain_end(child)}")
            else:
                self.ctx.lost.append(f"{plan['name']}: {explain_end(child)}")

    def has_step(self) -> bool:
        """Whether a calculation can be launched now."""
        return bool(self.ctx.waiting and len(self.ctx.in_flight) < self._settings["max_parallel"])

    def launch_step(self) -> None:
        """Launch one calculation, under a key that says round, name and attempt."""
        plan = self.ctx.waiting.pop(0)
        mixture, others = mixture_of(plan["name"]), dict(self.inputs.get("others", {}))
        inputs: Json = {
            "code": self.inputs.code,
            "parameters": others[mixture] if mixture else self.inputs.parameters,
            "step": orm.Str(plan["step"]),
            "arguments": orm.Dict(plan.get("arguments", {})),
            "files": {name: orm.load_node(uuid) for name, uuid in plan["files"].items()},
            "metadata": {"options": self._settings["options"]},
        }
        if plan["step"] == "train" and others:
            inputs["also"] = others
        for name in ("potential", "folder"):
            if plan.get(name) is not None:
                inputs["parent_folder" if name == "folder" else name] = orm.load_node(plan[name])
        key = f"round_{self.ctx.round:02d}_{plan['name']}_{plan['attempt']}"
        child = self.submit_once(key, PotentialCalculation, **inputs)
        self.ctx.under_way[str(child.pk)] = plan
        self.track(child)

    def await_news(self) -> Any:
        """Wait until something has ended, unless there is something to do at once."""
        if self.has_step() or not self.ctx.in_flight:
            return None
        return self.wait_for_any()

    def gather(self) -> None:
        """Take what the phase has found, and go to the next one."""
        phase = self.ctx.phase
        # dynamics from one start, or labels of one chunk, may fail; without a member there is no committee
        if not self.ctx.done or (phase == "train" and self.ctx.lost):
            self.ctx.failed = [phase, "; ".join(self.ctx.lost) or "nothing was launched"]
            return
        getattr(self, f"_gather_{phase}")()
        for reason in self.ctx.lost:
            self.report(f"left out of round {self.ctx.round}: {reason}")
        last = phase == PHASES[-1]
        self.ctx.phase = PHASES[0] if last else PHASES[PHASES.index(phase) + 1]
        if last:
            self._judge()
            self.ctx.round += 1

    def conclude(self) -> ExitCode | None:
        """Hand out the best potential, all frames and the curve; also of a loop that failed on its way."""
        # of a first round that came to nothing after its training, what that has left
        chosen = self.ctx.best or self.ctx.potential
        if chosen is not None:
            self.out("potential", orm.load_node(chosen))
        for mixture, uuid in self.ctx.data.items():
            if uuid != self._given("data", mixture).uuid:
                self.out(f"others_data.{mixture}" if mixture else "data", orm.load_node(uuid))
        if self.ctx.curve:
            points = {f"round_{index:02d}": orm.Dict(point) for index, point in enumerate(self.ctx.curve)}
            self.out("curve", self.run_once("curve", collect_curve, **points).outputs.result)
        if self.ctx.failed is not None:
            phase, reason = self.ctx.failed
            return self.exit_codes.ERROR_STEP_FAILED.format(phase=phase, number=self.ctx.round, reason=reason)
        self.report(f"ended by {self.ctx.ended_by} after {len(self.ctx.curve)} rounds")
        return None

    # --- the phases: what is launched, and what becomes of what it found

    def _plan_train(self) -> list[Json]:
        members = check_input(self.inputs.parameters.get_dict()).model.members
        parts = {name: orm.load_node(uuid) for name, uuid in self.ctx.data.items()}
        data = self._join(f"round_{self.ctx.round:02d}_all", parts)
        files = {"data": data.uuid, "validation": self._validation.uuid}
        return [
            self._plan("train", files, f"member_{number}", {"member": number}, self.ctx.potential)
            for number in range(members)
        ]

    def _gather_train(self) -> None:
        members = {name: orm.load_node(uuid).outputs.retrieved for name, uuid in self.ctx.done.items()}
        key, validation = f"round_{self.ctx.round:02d}_assemble", self._validation
        done = self.run_once(key, assemble_potential, validation=validation, **members)
        potential = done.outputs.result
        self.ctx.potential = potential.uuid
        self.ctx.point = {
            "round": self.ctx.round,
            "n_frames": potential.n_frames,
            "held_out": potential.validation,
            "statement": potential.statement,
            "trust": potential.trust,
            "cpu_s": self._cpu(),
        }

    def _plan_explore(self) -> list[Json]:
        # never from held-out frames: what is learned of their liquid would no longer be tested by them
        plans = []
        for mixture in self.ctx.data:
            start = self._given("data", mixture)
            frames = choose_starts(count_frames(start), self._settings["n_starts"], self.ctx.round)
            plans += [
                self._plan(
                    "explore",
                    {"start": start.uuid},
                    name_step(f"start_{n:02d}", mixture),
                    {"frame": n},
                    self.ctx.potential,
                )
                for n in frames
            ]
        return plans

    def _gather_explore(self) -> None:
        self.ctx.visited = dict(self.ctx.done)
        keys = ("ps", "ended_by", "is_whole", "temperature_K", "potential_eV", "largest_spread_eV_A")
        outputs = {name: orm.load_node(uuid).outputs.output.get_dict() for name, uuid in self.ctx.done.items()}
        self.ctx.point["dynamics"] = {name: {key: found.get(key) for key in keys} for name, found in outputs.items()}
        self.ctx.point["wrecked"] = list(self.ctx.lost)
        self.ctx.point["cpu_s"] += self._cpu()

    def _plan_select(self) -> list[Json]:
        plans = []
        for mixture, found in share_out(self.ctx.visited).items():
            files = {
                f"visited_{index:02d}": orm.load_node(uuid).outputs.frames.uuid
                for index, (_, uuid) in enumerate(sorted(found.items()))
            }
            files["known"] = self.ctx.data[mixture]
            plans.append(self._plan("select", files, name_step("select", mixture), {}, self.ctx.potential))
        return plans

    def _gather_select(self) -> None:
        done = {mixture_of(name): orm.load_node(uuid).outputs for name, uuid in self.ctx.done.items()}
        self.ctx.selected = {mixture: outputs.frames.uuid for mixture, outputs in done.items()}
        found = [outputs.output.get_dict() for outputs in done.values()]
        self.ctx.point["selected"] = sum(item["selected"] for item in found)
        self.ctx.point["refused"] = sum(len(item["refused"]) for item in found)

    def _plan_label(self) -> list[Json]:
        plans = []
        for mixture, uuid in self.ctx.selected.items():
            key = name_step(f"round_{self.ctx.round:02d}_split", mixture)
            frames, number = orm.load_node(uuid), orm.Int(self._settings["n_chunks"])
            parts = self.run_once(key, split_frames, frames=frames, number=number).outputs
            plans += [
                self._plan("label", {"frames": parts[name].uuid}, name_step(f"label_{name}", mixture)) for name in parts
            ]
        return plans

    def _gather_label(self) -> None:
        found = {name: orm.load_node(uuid).outputs.frames for name, uuid in self.ctx.done.items()}
        self.ctx.new = {
            mixture: self.run_once(
                name_step(f"round_{self.ctx.round:02d}_labels", mixture), join_frames, **parts
            ).outputs.result.uuid
            for mixture, parts in share_out(found).items()
        }
        # before it learns from them
        self.ctx.point["cpu_s"] += self._cpu()

    def _plan_evaluate(self) -> list[Json]:
        return [
            self._plan("evaluate", {"data": uuid}, name_step("evaluate", mixture), {}, self.ctx.potential)
            for mixture, uuid in self.ctx.new.items()
        ]

    def _gather_evaluate(self) -> None:
        found = {
            mixture_of(name): orm.load_node(uuid).outputs.output.get_dict() for name, uuid in self.ctx.done.items()
        }
        # a potential is as good as where it is worst
        self.ctx.point["relabelled"] = max(found.values(), key=lambda item: item["forces_meV_A"])
        if len(self.ctx.data) > 1:
            self.ctx.point["relabelled_of"] = {mixture or "the first": item for mixture, item in found.items()}
            self.ctx.point["wrecked"] += [
                f"{name or 'the first'} has no label" for name in self.ctx.data if name not in found
            ]
        self.ctx.point["cpu_s"] += self._cpu()
        joined = {
            mixture: self.run_once(
                name_step(f"round_{self.ctx.round:02d}_join", mixture),
                join_frames,
                a=orm.load_node(self.ctx.data[mixture]),
                b=orm.load_node(uuid),
            ).outputs.result.uuid
            for mixture, uuid in self.ctx.new.items()
        }
        self.ctx.data = dict(self.ctx.data) | joined

    # --- details

    def _judge(self) -> None:
        """Decide whether the loop ends with this round."""
        before, point = list(self.ctx.curve), self.ctx.point
        error = point["relabelled"]["forces_meV_A"]
        if not before or error <= min(item["relabelled"]["forces_meV_A"] for item in before):
            self.ctx.best = self.ctx.potential
        self.ctx.curve.append(point)
        settings, goal = self._settings, self._settings["goal_forces_meV_A"]
        spent = sum(item["cpu_s"] for item in self.ctx.curve)
        is_whole = all(found["is_whole"] for found in point["dynamics"].values()) and not point["wrecked"]
        if is_whole and error < goal and point["held_out"]["forces_meV_A"] < goal:
            self.ctx.ended_by = "the goal"
        elif settings["budget_cpu_s"] is not None and spent >= settings["budget_cpu_s"]:
            self.ctx.ended_by = "the budget"
        elif before and error > (1 - settings["least_gain"]) * before[-1]["relabelled"]["forces_meV_A"]:
            self.ctx.ended_by = "a round without gain"
        elif self.ctx.round + 1 - self.ctx.first >= settings["max_rounds"]:
            self.ctx.ended_by = "the last round"
        self.report(
            f"round {self.ctx.round}: {point['n_frames']} frames, forces {point['held_out']['forces_meV_A']:.0f} "
            f"meV/Å on held-out and {error:.0f} on visited frames ({point['statement']})"
        )

    def load_instance_state(self, saved_state: Any, load_context: Any) -> None:
        """Go on also with a loop that was begun by an older version, which knew one mixture."""
        super().load_instance_state(saved_state, load_context)
        for key in ("data", "selected", "new"):
            if isinstance(self.ctx.get(key), str):
                self.ctx[key] = {FIRST: self.ctx[key]}

    def _given(self, kind: str, mixture: str) -> orm.SinglefileData:
        """Return the frames that the loop was given of a mixture: ``data`` or ``validation``."""
        return self.inputs[f"others_{kind}"][mixture] if mixture else self.inputs[kind]

    @property
    def _validation(self) -> orm.SinglefileData:
        """Held-out frames of all mixtures."""
        return self._join("validation_all", {name: self._given("validation", name) for name in self.ctx.data})

    def _join(self, key: str, parts: dict[str, Any]) -> orm.SinglefileData:
        """Return the frames of all mixtures, those of the first one first."""
        if len(parts) == 1:
            return next(iter(parts.values()))
        files = {f"part_{index:02d}": node for index, node in enumerate(parts.values())}
        joined: orm.SinglefileData = self.run_once(key, join_frames, **files).outputs.result
        return joined

    @property
    def _settings(self) -> Json:
        return fill_learning(self.inputs.settings.get_dict())

    def _plan(
        self, step: str, files: dict[str, str], name: str, arguments: Json | None = None, potential: str | None = None
    ) -> Json:
        return {"step": step, "files": files, "name": name, "arguments": arguments or {}, "potential": potential}

    def _cpu(self) -> float:
        """Return the CPU seconds of the calculations of this phase."""
        nodes = [orm.load_node(uuid) for uuid in self.ctx.done.values()]
        return float(sum(node.outputs.output.get_dict().get("cpu_s", 0.0) for node in nodes))


@calcfunction
def collect_curve(**points: orm.Dict) -> orm.List:
    """Return the points of a learning curve in the order of their names."""
    return orm.List([points[name].get_dict() for name in sorted(points)])


def choose_starts(n_frames: int, n_starts: int, number: int) -> list[int]:
    """Return the frames that the dynamics of a round start from: far from each other, and others in each round."""
    number_of = min(n_starts, n_frames)
    return sorted({(index * n_frames // number_of + number) % n_frames for index in range(number_of)})
