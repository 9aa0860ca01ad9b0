"""A result that nobody asked for, created by a calculation, so that its origin is in the provenance."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import Process, ProcessSpec
from aiida.manage import get_manager

from aiida_finales.data.capability import CapabilityData
from aiida_finales.data.result import ResultData, set_uuid
from aiida_finales.exceptions import StatusError


class UnsolicitedCalculation(Process):
    """Creates a result of what a client posted; the document, with who posted it, is its input."""

    _node_class = orm.CalculationNode

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input("capability", valid_type=CapabilityData, help="what was provided")
        spec.input("posted", valid_type=orm.Dict, help="data, parameters, tenant, poster, and the result's UUID")
        spec.output("result", valid_type=ResultData, help="what was posted")

    async def run(self) -> None:
        """Make the result."""
        posted = self.inputs.posted.get_dict()
        result = ResultData(
            self.inputs.capability,
            posted["data"],
            posted["parameters"],
            tenant_uuid=posted["tenant"],
            simulated=bool(posted.get("simulated", False)),
        )
        set_uuid(result, posted["uuid"])
        self.out("result", result)


def store_unsolicited(capability: CapabilityData, posted: dict[str, Any]) -> ResultData:
    """Run the calculation in this interpreter, whichever thread it is, and return the result.

    :raises StatusError: when it failed, naming the process.
    """
    # AiiDA's `run` handles signals, which only the main thread may; a runner without broker asks for no daemon
    runner = get_manager().create_runner(communicator=None, with_persistence=False)
    process = UnsolicitedCalculation(inputs={"capability": capability, "posted": orm.Dict(posted)}, runner=runner)
    process.execute()
    node = process.node
    if not node.is_finished_ok:
        raise StatusError(f"the result was not stored: process <{node.pk}> ended as {node.process_state}")
    return node.outputs.result
