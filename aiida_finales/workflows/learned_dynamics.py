"""What a liquid is like, by the dynamics of a potential or of its reference method: as by classical dynamics."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import CalcJob
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_finales.calculations.learned_dynamics import (
    LEARNED,
    LearnedDynamicsCalculation,
    check_offered_dynamics,
    collect_learned_dynamics,
    learned_limitations,
    plan_learned_dynamics,
)
from aiida_finales.data.potential import PotentialData
from aiida_finales.data.request import RequestData
from aiida_finales.data.tenant import TenantData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas import Json
from aiida_finales.schemas.limitations.offer import Offer, check
from aiida_finales.workflows.molecular_dynamics import TREATMENTS, MolecularDynamicsWorkChain, replicate_of


class LearnedDynamicsWorkChain(MolecularDynamicsWorkChain):
    """Simulate from several frames side by side; without a potential by the reference method itself."""

    CALCULATION: type[CalcJob] = LearnedDynamicsCalculation
    PROTOCOLS = None  # each of the two methods has its own
    TREATMENTS = TREATMENTS | {
        # distrusted: it counts, and the result is rated for it
        452: "keep",
        # wrecked, of a wrong density, not converged: from the same frame it would end there again
        **dict.fromkeys((404, 409, 451), "lose"),
    }

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        super().define(spec)
        spec.inputs["code"].help = "the program finales-mlp"
        del spec.inputs["species"]
        spec.input("parameters", valid_type=orm.Dict, help="the input of the program, for this mixture")
        spec.input("start", valid_type=orm.SinglefileData, help="frames to start from, one for each cell")
        spec.input("potential", valid_type=PotentialData, required=False, help="what gives the forces")

    def _keep(self, plan: Json, child: orm.ProcessNode) -> None:
        # what was distrusted before there was anything to analyse left no cell
        if "cell" in child.outputs:
            super()._keep(plan, child)
        else:
            self._lose(plan, child)

    def _plan(self) -> orm.Dict:
        inputs = {name: self.inputs[name] for name in ("request", "settings", "method", "parameters")}
        learned = orm.Bool("potential" in self.inputs)
        return self.run_once("plan", plan_learned_dynamics, **inputs, learned=learned).outputs.result

    def _more_inputs(self) -> Json:
        return {name: self.inputs[name] for name in ("start", "potential") if name in self.inputs}

    def _collect(self, **outputs: orm.Data) -> orm.CalcFunctionNode:
        inputs = {name: self.inputs[name] for name in ("request", "tenant", "settings", "method")}
        return self.run_once("collect", collect_learned_dynamics, **inputs, **outputs)


def prepare_learned_dynamics(
    method: str, request: RequestData, tenant: TenantData, settings: Json, _key: str = ""
) -> tuple[type[LearnedDynamicsWorkChain], Json]:
    """Return the process and the inputs that serve a request by learned dynamics, or those of the reference.

    :param settings: the tenant's: ``code`` (label of ``finales-mlp`` on a computer), ``protocol``, ``overrides``, and
        the UUIDs of ``parameters``, ``start`` and, where one gives the forces, ``potential``.
    :raises InputError: when a setting is missing, the request is outside of what the potential holds for, or it wants a
        replicate that has no number.
    """
    check_offered_dynamics(method, settings)
    replicate_of(request, method)
    builder: Any = LearnedDynamicsWorkChain.get_builder_from_protocol(
        orm.load_code(settings["code"]), request, tenant, settings.get("protocol"), settings.get("overrides"), method
    )
    for name in ("parameters", "start", "potential"):
        if settings.get(name):
            setattr(builder, name, orm.load_node(settings[name]))
    domain = builder.potential.domain if method == LEARNED else None
    within = Offer(request.quantity, method, learned_limitations(builder.parameters.get_dict(), domain))
    # whatever limitations a tenant was given: beyond these the forces are nobody's
    outside = check(within, request.parameters[method])
    if outside:
        raise InputError("; ".join(item.phrase(method) for item in outside))
    return LearnedDynamicsWorkChain, builder._inputs(prune=True)  # noqa: SLF001 - AiiDA's own way to them
