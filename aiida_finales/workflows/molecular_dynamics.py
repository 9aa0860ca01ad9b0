"""What a liquid is like, by molecular dynamics of several independent cells; all requests of one liquid share them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aiida import orm
from aiida.engine import CalcJob, ProcessBuilder, if_, while_
from aiida.engine.processes.exit_code import ExitCode
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales import __version__
from aiida_finales.broker.runs import CELLS, claim_run
from aiida_finales.calculations.molecular_dynamics import ANALYSIS, MolecularDynamicsCalculation
from aiida_finales.calculations.simulation import (
    MONITOR,
    MONITOR_INTERVAL,
    collect_cells,
    plan_simulation,
    shorten_timestep,
)
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.workflows.protocols import fill_settings
from aiida_finales.workflows.wait_any import WaitAnyWorkChain, explain_end

#: what to do with a cell by exit status of its calculation; others: the cell is lost.
#: keep: it counts; resume: from its checkpoint; shorten: again, with half the time step; replace: another cell in its
#: place; stop: no cell can do better
TREATMENTS = {
    0: "keep",
    # short of diffusion is what a liquid may be: leaving such cells out would make every liquid faster than it is
    450: "keep",
    # the scheduler's wall time, a node that failed, a lost connection, the program's own wall time, a failure that it
    # has no number for, such as GROMACS being killed
    **dict.fromkeys((120, 140, 350, 405, 407), "resume"),
    # stopped by the monitor, blown up
    **dict.fromkeys((150, 404), "shorten"),
    451: "replace",
    # bad input, no force field, no engine: the other cells have the same
    **dict.fromkeys((401, 402, 403), "stop"),
}
#: fs; what blows up at this has another cause than its time step
SHORTEST_TIMESTEP = 0.5
#: number of a cell that replaces another one: beyond those of all others
REPLACEMENT = 1000
#: of a mole fraction, which two equal formulations share
DIGITS = 4
#: cells that cannot be used are replaced so often
MAX_REPLACED = 1


class MolecularDynamicsWorkChain(WaitAnyWorkChain):
    """Simulate several independent cells side by side; each goes on by itself when it is interrupted.

    Where another process simulates the same, or did so, its cells are taken.
    """

    CALCULATION: type[CalcJob] = MolecularDynamicsCalculation
    TREATMENTS = TREATMENTS
    #: method whose protocols are meant; ``None`` where each method has its own
    PROTOCOLS: str | None = "molecular_dynamics"

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="the program finales-md")
        spec.input("request", valid_type=RequestData, help="what is asked of a liquid")
        spec.input("tenant", valid_type=TenantData, help="who serves it, under these limitations")
        spec.input("method", valid_type=orm.Str, help="the method of the request that is used")
        spec.input("settings", valid_type=orm.Dict, help="all settings written out, see get_builder_from_protocol")
        spec.input("species", valid_type=orm.SinglefileData, required=False, help="YAML file with further force fields")
        spec.outline(
            cls.begin,
            while_(cls.lacks_cells)(
                if_(cls.simulates)(
                    while_(cls.has_work)(cls.take_news, if_(cls.has_cell)(cls.launch_cell), cls.await_news),
                    cls.keep_cells,
                ).else_(cls.await_run, cls.leave_run)
            ),
            cls.collect,
        )
        spec.output_namespace(CELLS, valid_type=orm.Data, dynamic=True, required=False, help="what the cells told")
        spec.output("result", valid_type=ResultData, required=False, help="means over the cells, in the published form")
        spec.exit_code(401, "ERROR_BAD_INPUT", message="it cannot be simulated: {reason}")
        spec.exit_code(402, "ERROR_UNKNOWN_SPECIES", message="it cannot be simulated: {reason}")
        spec.exit_code(403, "ERROR_NO_ENGINE", message="it cannot be simulated there: {reason}")
        spec.exit_code(430, "ERROR_TOO_FEW_CELLS", message="{n_done} of {n_cells} cells could be used: {reason}")
        spec.exit_code(440, "ERROR_NO_VALUE", message="the cells do not hold what was asked for: {reason}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        request: RequestData,
        tenant: TenantData,
        protocol: str | None = None,
        overrides: Json | None = None,
        method: str | None = None,
    ) -> ProcessBuilder:
        """Return a builder with all settings written out.

        :param protocol: of the method, e.g. ``fast``, ``moderate`` (default) or ``published``.
        :param overrides: settings that differ, e.g. ``{"n_cells": 3, "options": {"queue_name": "gpu"}}``.
        :param method: the method of the request that is used; its first one when ``None``.
        :raises InputError: when there is no such protocol or setting.
        """
        builder = cls.get_builder()
        chosen = method or request.methods[0]
        builder.code, builder.request, builder.tenant, builder.method = code, request, tenant, orm.Str(chosen)
        builder.settings = orm.Dict(fill_settings(cls.PROTOCOLS or chosen, protocol, overrides))
        return builder

    # --- outline

    def begin(self) -> None:
        """Find out what is simulated; no cell is yet."""
        settings = self._settings
        parameters = self._plan()
        self.ctx.in_flight = []
        self.ctx.key = fingerprint(parameters.get_dict(), settings, self.inputs)
        # what waits to be launched, and what is under way by pk: cell, number in the program, attempt, and so on
        self.ctx.waiting = [_first(cell, parameters.uuid) for cell in range(settings["n_cells"])]
        self.ctx.under_way = {}
        self.ctx.done = []  # cell and uuid of its calculation
        self.ctx.lost = []  # why cells are not used
        self.ctx.stopped = None  # exit status and reason

    def lacks_cells(self) -> bool:
        """Whether nobody has the cells yet; finds out who simulates them, which is this process where nobody does."""
        run = claim_run(self.ctx.key, str(self.node.uuid))
        self.ctx.run = run.uuid
        return not (run.is_terminated or (run.uuid == self.node.uuid and self.ctx.get("is_kept", False)))

    def simulates(self) -> bool:
        """Whether this process is the one."""
        return bool(self.ctx.run == self.node.uuid)

    def await_run(self) -> Any:
        """Wait for the process that simulates the same."""
        run = orm.load_node(self.ctx.run)
        self.report(f"takes the cells of {run.process_label} <{run.pk}>, which simulates the same")
        self.track(run)
        return self.wait_for_any()

    def leave_run(self) -> None:
        """Count the process that was waited for no longer among what is under way: it is none of the own cells."""
        self.take_ended()

    def has_work(self) -> bool:
        """Whether a cell is simulated, or still to be."""
        return bool(self.ctx.in_flight or (self.ctx.waiting and self.ctx.stopped is None))

    def take_news(self) -> None:
        """Look at what has ended, and decide what becomes of each cell."""
        for child in self.take_ended():
            plan = self.ctx.under_way.pop(str(child.pk))
            # a worker that was killed, or a calculation that somebody killed: its files may be there
            treatment = "resume" if child.exit_status is None else self.TREATMENTS.get(child.exit_status, "lose")
            getattr(self, f"_{treatment}")(plan, child)

    def has_cell(self) -> bool:
        """Whether a cell can be launched now."""
        has_slot = len(self.ctx.in_flight) < self._settings["max_parallel"]
        return bool(self.ctx.waiting and has_slot and self.ctx.stopped is None)

    def launch_cell(self) -> None:
        """Launch one cell, under a key that says which and how often."""
        plan = self.ctx.waiting.pop(0)
        settings = self._settings
        inputs: Json = {
            "code": self.inputs.code,
            "parameters": orm.load_node(plan["parameters"]),
            "cell": orm.Int(plan["number"]),
            "analysis": orm.Dict({name: settings[name] for name in ANALYSIS}),
            "metadata": {"options": settings["options"]},
            **self._more_inputs(),
        }
        if plan["folder"] is not None:
            inputs["parent_folder"] = orm.load_node(plan["folder"])
        child = self.submit_once(f"cell_{plan['cell'] + 1:02d}_{plan['attempt']}", self.CALCULATION, **inputs)
        self.ctx.under_way[str(child.pk)] = plan
        self.track(child)

    def await_news(self) -> Any:
        """Wait until something has ended, unless there is something to do at once."""
        if self.has_cell() or not self.ctx.in_flight:
            return None
        return self.wait_for_any()

    def keep_cells(self) -> ExitCode | None:
        """Give the cells that can be used to whoever asks; at least half of them must be."""
        if self.ctx.stopped is not None:
            status, reason = self.ctx.stopped
            return self.exit_codes(status).format(reason=reason)
        n_cells, n_done = self._settings["n_cells"], len(self.ctx.done)
        if 2 * n_done < n_cells:
            reason = "; ".join(self.ctx.lost)
            return self.exit_codes.ERROR_TOO_FEW_CELLS.format(n_done=n_done, n_cells=n_cells, reason=reason)
        self.out(CELLS, self._outputs_of_cells())
        self.ctx.is_kept = True
        self.report(f"{n_done} of {n_cells} cells can be used")
        return None

    def collect(self) -> ExitCode | None:
        """Make the result of the cells."""
        run = orm.load_node(self.ctx.run)
        cells = self._outputs_of_cells() if self.simulates() else dict(run.outputs[CELLS])
        ended = self._collect(run=orm.Str(run.uuid), **cells)
        if not ended.is_finished_ok:
            return self.exit_codes.ERROR_NO_VALUE.format(reason=explain_end(ended))
        result = ended.outputs.result
        self.out("result", result)
        self.report(f"{result.quantity} {result.value}, rating {result.rating}, from run <{run.pk}>")
        return None

    # --- what becomes of a cell

    def _keep(self, plan: Json, child: orm.ProcessNode) -> None:
        self.ctx.done.append([plan["cell"], child.uuid])
        flag = "" if child.is_finished_ok else f": {explain_end(child)}"
        self.report(f"cell {plan['cell'] + 1} is done{flag}")

    def _resume(self, plan: Json, child: orm.ProcessNode) -> None:
        folder = child.outputs.remote_folder.uuid if "remote_folder" in child.outputs else plan["folder"]
        self._repeat(plan, child, "goes on", folder=folder)

    def _shorten(self, plan: Json, child: orm.ProcessNode) -> None:
        given = orm.load_node(plan["parameters"])
        timestep = given.base.attributes.get("protocol")["timestep_fs"] / 2
        if timestep < SHORTEST_TIMESTEP:
            self._lose(plan, child)
            return
        key = f"shorten_{plan['cell'] + 1:02d}_{plan['attempt']}"
        shorter = self.run_once(key, shorten_timestep, parameters=given).outputs.result
        self._repeat(
            plan, child, f"begins again with a time step of {timestep:g} fs", parameters=shorter.uuid, folder=None
        )

    def _replace(self, plan: Json, child: orm.ProcessNode) -> None:
        if plan["number"] >= MAX_REPLACED * REPLACEMENT:
            self._lose(plan, child)
            return
        self._repeat(plan, child, "is replaced by another", number=plan["number"] + REPLACEMENT, folder=None)

    def _stop(self, plan: Json, child: orm.ProcessNode) -> None:
        self.ctx.stopped = [child.exit_status, explain_end(child)]
        self.report(f"cell {plan['cell'] + 1}, and with it all others: {explain_end(child)}")

    def _lose(self, plan: Json, child: orm.ProcessNode) -> None:
        reason = f"cell {plan['cell'] + 1}: {explain_end(child)}"
        self.ctx.lost.append(reason)
        self.report(f"left out: {reason}")

    def _repeat(self, plan: Json, child: orm.ProcessNode, what: str, **changes: Any) -> None:
        if plan["attempt"] >= self._settings["attempts"]:
            self._lose(plan, child)
            return
        self.ctx.waiting.append({**plan, **changes, "attempt": plan["attempt"] + 1})
        self.report(f"cell {plan['cell'] + 1} {what}: {explain_end(child)}")

    # --- what other dynamics do in another way

    def _plan(self) -> orm.Dict:
        """Return the input of the program."""
        inputs = {name: self.inputs[name] for name in ("request", "settings", "method")}
        return self.run_once("plan", plan_simulation, **inputs).outputs.result

    def _more_inputs(self) -> Json:
        """Return inputs of a cell that are the same for all."""
        monitor = {"entry_point": MONITOR, "minimum_poll_interval": MONITOR_INTERVAL}
        more: Json = {"monitors": {"runaway": orm.Dict(monitor)}}
        return more | {name: self.inputs[name] for name in ("species",) if name in self.inputs}

    def _collect(self, **outputs: orm.Data) -> orm.CalcFunctionNode:
        """Return the process that has made a result of the cells."""
        inputs = {name: self.inputs[name] for name in ("request", "tenant", "settings", "method")}
        return self.run_once("collect", collect_cells, **inputs, **outputs)

    # --- details

    @property
    def _settings(self) -> Json:
        return self.inputs.settings.get_dict()

    def _outputs_of_cells(self) -> dict[str, orm.Data]:
        found: dict[str, orm.Data] = {}
        for cell, uuid in sorted(self.ctx.done):
            outputs = orm.load_node(uuid).outputs
            found[f"cell_{cell + 1:02d}"] = outputs.cell
            if "pair_distributions" in outputs:
                found[f"pairs_{cell + 1:02d}"] = outputs.pair_distributions
        return found


def prepare_simulation(
    method: str, request: RequestData, tenant: TenantData, settings: Json, _key: str = ""
) -> tuple[type[MolecularDynamicsWorkChain], Json]:
    """Return the process and the inputs that serve a request by molecular dynamics.

    :param settings: the tenant's: ``code`` (label of ``finales-md`` on a computer), ``protocol``, ``overrides``, and
        ``species`` (UUID of a file with further force fields).
    :raises InputError: when the request wants a replicate that has no number.
    """
    code = orm.load_code(settings["code"])
    replicate_of(request, method)
    builder = MolecularDynamicsWorkChain.get_builder_from_protocol(
        code, request, tenant, settings.get("protocol"), settings.get("overrides"), method
    )
    if settings.get("species"):
        builder.species = orm.load_node(settings["species"])
    return MolecularDynamicsWorkChain, builder._inputs(prune=True)  # noqa: SLF001 - AiiDA's own way to them


def replicate_of(request: RequestData, method: str) -> int:
    """Return the number of the replicate that is wanted: others of the same liquid are independent simulations.

    :raises InputError: when it is no whole number from 1.
    """
    given = request.parameters[method].get("replicate")
    number = 1 if given is None else given
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InputError(
            f"replicate is {given!r}, but accepted is a whole number from 1: 2 is another simulation than 1"
        )
    return number


def fingerprint(parameters: Json, settings: Json, inputs: Any) -> str:
    """Return what two simulations have in common when one can stand for the other.

    That is the liquid (mole fractions to :data:`DIGITS`), temperature, all settings that change what comes out, the
    replicate, the program and its computer, further force fields or the potential, where it starts, and the version of
    this package.

    :param parameters: of the program; its seed follows from the request and does not count.
    """
    liquid = sorted([part["name"], round(part["mole_fraction"], DIGITS)] for part in parameters["formulation"])
    chosen = {name: parameters[name] for name in parameters if name not in {"formulation", "seed"}}
    others = {name: settings[name] for name in ("n_cells", *ANALYSIS)}
    files = {name: inputs[name] for name in ("species", "start") if name in inputs}
    read = {name: hashlib.sha256(file.get_content("rb")).hexdigest() for name, file in files.items()}
    if "potential" in inputs:
        read["potential"] = inputs.potential.uuid
    replicate = replicate_of(inputs.request, inputs.method.value)
    words = [liquid, chosen, others, replicate, inputs.code.uuid, read, __version__]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:32]


#: what to do by exit status: another tenant may have the force field, the engine, or a larger machine
SIMULATION_REMEDIES: dict[int, Any] = dict.fromkeys((402, 403, 430), "retry")


def _first(cell: int, parameters: str) -> Json:
    return {"cell": cell, "number": cell, "attempt": 1, "parameters": parameters, "folder": None}
