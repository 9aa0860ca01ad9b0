"""From an electrolyte to the end of life of cells, or as far as somebody asks: mix, build, carry, cycle, predict.

Which steps there are, and what each needs, is in ``calculations/chain.py``; here is in which order they run, and what
happens when one fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiida import orm
from aiida.engine import if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.calculations.chain import (
    SERVED,
    STEPS,
    collect_end_of_life,
    collect_step,
    find_steps,
    good_cells,
    plan_step,
    served_method,
)
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import FinalesError
from aiida_finales.schemas.values import read_reason
from aiida_finales.workflows.serve import ServeRequestWorkChain
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end


class DegradationWorkChain(WaitAnyWorkChain):
    """Answer a request for an electrolyte, cells, their capacity or their end of life by requests to everybody.

    It knows no device: each step is a request through the broker, which a robot, a client or a person answers.
    """

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.input("request", valid_type=RequestData, help="the request, for what any of the steps brings")
        spec.input("tenant", valid_type=TenantData, help="who serves it, under these limitations")
        spec.input("settings", valid_type=orm.Dict, help="numbers that the request does not say, all written out")
        spec.outline(
            cls.begin,
            while_(cls.has_step)(cls.launch_step, cls.take_step),
            while_(cls.has_work)(cls.take_news, if_(cls.has_cell)(cls.launch_cell), cls.await_news),
            cls.collect,
            while_(cls.has_further)(cls.launch_further),
            if_(cls.has_channels)(cls.launch_release),
            cls.conclude,
        )
        spec.output("result", valid_type=ResultData, required=False, help="the answer, in the form of its quantity")
        spec.exit_code(430, "ERROR_STEP_FAILED", message="{step} failed: {reason}")
        spec.exit_code(431, "ERROR_NO_CELL", message="no cell of the batch could be used: {reason}")

    # --- outline

    def begin(self) -> None:
        """Nothing is done yet."""
        self.ctx.in_flight = []
        self.ctx.results = {}  # step: uuid of its result
        self.ctx.failure = None  # step and reason
        self.ctx.ready = []  # step and number of the cell that wait to be asked for
        self.ctx.roles = {}  # pk of process: step and cell
        self.ctx.lost = []  # why cells were left out
        self.ctx.further = []  # numbers of the cells that are to be cycled to the end

    def has_step(self) -> bool:
        """Whether a step of the sequence is still to be made."""
        return self.ctx.failure is None and self._next_step() is not None

    def launch_step(self) -> Any:
        """Ask for the next step."""
        step = self._next_step() or ""
        if self._launch(step, step, STEPS[step].needs):
            return self.wait_for_any()
        return None

    def take_step(self) -> None:
        """Keep the result of the step; without it there is no next one."""
        for child in self.take_ended():
            step, _ = self.ctx.roles[child.pk]
            reason = _failure(child)
            if reason is None:
                self.ctx.results[step] = child.outputs.result.uuid
            else:
                self.ctx.failure = [_words(step), reason]
        if not self.has_step() and self.ctx.failure is None and self._of_cells:
            cells = good_cells(orm.load_node(self.ctx.results["assembly"]).data)
            self.ctx.ready = [[self._of_cells[0], cell] for cell in cells]

    def has_work(self) -> bool:
        """Whether something about a cell is to be asked for, or is under way."""
        return self.ctx.failure is None and bool(self.ctx.in_flight or self.ctx.ready)

    def take_news(self) -> None:
        """Look at what has ended; a cell that fails is left out."""
        for child in self.take_ended():
            step, cell = self.ctx.roles[child.pk]
            reason = _failure(child)
            if reason is not None:
                self._lose(cell, f"{_words(step)}: {reason}")
                continue
            self.ctx.results[_key(step, cell)] = child.outputs.result.uuid
            following = self._of_cells[self._of_cells.index(step) + 1 :]
            if following:
                self.ctx.ready.append([following[0], cell])

    def has_cell(self) -> bool:
        """Whether something about a cell is to be asked for."""
        return bool(self.ctx.ready)

    def launch_cell(self) -> None:
        """Ask for the early cycles of one cell, or when it will be at its end of life."""
        step, cell = self.ctx.ready.pop(0)
        needs = [_key(name, cell) if STEPS[name].is_per_cell else name for name in STEPS[step].needs]
        if self._launch(step, _key(step, cell), needs, cell) and step == "prediction":
            self.ctx.further.append(cell)

    def await_news(self) -> Any:
        """Wait until something has ended, unless there is something to do at once."""
        if self.ctx.ready or not self.ctx.in_flight:
            return None
        return self.wait_for_any()

    def collect(self) -> None:
        """Make the result of what the last step brought."""
        last = self._steps[-1]
        found = {name: uuid for name, uuid in self.ctx.results.items() if _role(name) == last}
        if self.ctx.failure is not None or not found:
            return
        beside = {"prediction": "electrolyte", "cycling": "assembly"}.get(last)
        if beside:
            found[beside] = self.ctx.results[beside]
        nodes = {name: orm.load_node(uuid) for name, uuid in found.items()}
        function = collect_end_of_life if last == "prediction" else collect_step
        result = self.run_once(
            "collect", function, request=self.inputs.request, tenant=self.inputs.tenant, **nodes
        ).outputs.result
        self.out("result", result)
        self.report(f"{_words(last)} is there: {', '.join(sorted(found))}")

    def has_further(self) -> bool:
        """Whether a cell is to be cycled on although its end of life is predicted; nobody here waits for that."""
        return bool(self._settings["follow_up"] and self.ctx.failure is None and self.ctx.further)

    def launch_further(self) -> None:
        """Ask for all the cycles of one cell; the answer comes when it comes."""
        cell = self.ctx.further.pop(0)
        step = "further_cycling"
        self._launch(step, _key(step, cell), STEPS[step].needs, cell, is_tracked=False)

    def has_channels(self) -> bool:
        """Whether channels of the cycler were reserved; those that no cell came to would stay so for ever."""
        return "channels" in self.ctx.results

    def launch_release(self) -> None:
        """Give the channels back; cells that are on one are cycled to the end all the same."""
        self._launch("release", "release", STEPS["release"].needs, is_tracked=False)

    def conclude(self) -> ExitCode | None:
        """Say what failed."""
        if self.ctx.failure is not None:
            step, reason = self.ctx.failure
            return self.exit_codes.ERROR_STEP_FAILED.format(step=step, reason=reason)
        if "result" not in self.outputs:
            return self.exit_codes.ERROR_NO_CELL.format(reason="; ".join(self.ctx.lost) or "all of them were bad")
        return None

    # --- details

    @property
    def _settings(self) -> dict[str, Any]:
        return self.inputs.settings.get_dict()

    @property
    def _steps(self) -> list[str]:
        """The steps that lead to what is asked for."""
        request = self.inputs.request
        return find_steps(SERVED[request.quantity, served_method(request)])

    @property
    def _of_cells(self) -> list[str]:
        """Those that are made for each cell, one after the other."""
        return [step for step in self._steps if STEPS[step].is_per_cell]

    def _next_step(self) -> str | None:
        in_turn = (step for step in self._steps if not STEPS[step].is_per_cell)
        return next((step for step in in_turn if step not in self.ctx.results), None)

    def _launch(
        self, step: str, key: str, sources: Sequence[str], cell: int | None = None, *, is_tracked: bool = True
    ) -> bool:
        """Post the request of a step; return whether it could be made of what is known."""
        inputs: dict[str, Any] = {
            "step": orm.Str(step),
            "request": self.inputs.request,
            "settings": self.inputs.settings,
            **{_role(name): orm.load_node(self.ctx.results[name]) for name in sources},
        }
        if cell is not None:
            inputs["cell"] = orm.Int(cell)
        try:
            request = self.run_once(f"plan_{key}", plan_step, **inputs).outputs.result
        except (FinalesError, KeyError, IndexError, TypeError, AttributeError) as error:
            # a result of somebody else's may lack what the next step needs; run again after a kill, the failed plan has
            # no output
            reason = f"its request cannot be made: {type(error).__name__}: {error}"
            if cell is None:
                self.ctx.failure = [_words(step), reason]
            else:
                self._lose(cell, f"{_words(step)}: {reason}")
            return False
        child = self.submit_once(key, ServeRequestWorkChain, request=request)
        if is_tracked:
            self.ctx.roles[child.pk] = (step, cell)
            self.track(child)
        self.report(f"{_words(step)}{'' if cell is None else f' of cell {cell + 1}'}: request <{request.pk}>")
        return True

    def _lose(self, cell: int, reason: str) -> None:
        self.ctx.lost.append(f"cell {cell + 1}: {reason}")
        self.report(f"cell {cell + 1} is left out: {reason}")


def prepare_chain(
    request: RequestData, tenant: TenantData, settings: dict[str, Any], _key: str
) -> tuple[type[DegradationWorkChain], dict[str, Any]]:
    """Return the process and the inputs that serve a request for what any step of the chain brings."""
    from aiida_finales.calculations.chain import fill_settings

    chosen = {key: value for key, value in settings.items() if key not in ("pause_s", "patience_s")}
    return DegradationWorkChain, {"request": request, "tenant": tenant, "settings": orm.Dict(fill_settings(chosen))}


#: nothing was lost when the chain itself fails: each of its steps has had its own attempts
CHAIN_REMEDIES: dict[int, Any] = {}


def _failure(child: orm.ProcessNode) -> str | None:
    """Return why a step failed, or ``None``."""
    if not child.is_finished_ok:
        return explain_end(child)
    result = child.outputs.result
    if result.is_successful:
        return None
    reason = read_reason(result.quantity, result.data) or "whoever did it says that it did not succeed"
    return f"{reason} (result <{result.pk}>)"


def _key(step: str, cell: int) -> str:
    """Return the name of a step of one cell."""
    return f"{step}_{cell + 1:02d}"


def _role(name: str) -> str:
    """Return the step that a result is of: those of single cells carry a number."""
    return name.rstrip("0123456789").rstrip("_")


def _words(step: str) -> str:
    return step.replace("_", " ")
