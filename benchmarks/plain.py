"""The least that AiiDA does: a work chain that calls a function and returns its result; requests are compared to it.

A module of its own, because the workers import it as well.
"""

from __future__ import annotations

from aiida import orm
from aiida.engine import WorkChain, calcfunction
from aiida.engine.processes.workchains.workchain import WorkChainSpec


@calcfunction
def double(number: orm.Dict) -> orm.Dict:
    """Return twice the number."""
    return orm.Dict({"x": 2 * number["x"]})


class PlainWorkChain(WorkChain):
    """Two steps: compute, return."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        """Declare a number and its double."""
        super().define(spec)
        spec.input("number", valid_type=orm.Dict)
        spec.outline(cls.compute, cls.publish)
        spec.output("result", valid_type=orm.Dict)

    def compute(self) -> None:
        """Call the function."""
        self.ctx.result = double(self.inputs.number)

    def publish(self) -> None:
        """Return what it found."""
        self.out("result", self.ctx.result)
