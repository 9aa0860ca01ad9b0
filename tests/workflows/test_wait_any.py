"""The base of work chains that react to each of their children."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import WorkChain, run_get_node, while_

from aiida_finales.workflows.wait_any import WaitAnyWorkChain


@pytest.mark.parametrize("name", ["step", "run", "kill_now", "pause", "call_soon", "result", "kill"])
def test_steps_with_names_of_the_engine_are_refused(name):
    namespace = {name: lambda self: None}
    if name in ("kill_now", "kill"):  # no such method, and one that is meant to be overridden
        assert type("Mine", (WaitAnyWorkChain,), namespace)
        return
    with pytest.raises(TypeError, match=f"Mine overrides {name} of the engine: rename these outline steps"):
        type("Mine", (WaitAnyWorkChain,), namespace)


class ChildWorkChain(WorkChain):
    """Ends after some seconds of waiting."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("delay", valid_type=float, non_db=True)
        spec.outline(cls.pass_time)

    async def _sleep(self):
        import asyncio

        await asyncio.sleep(self.inputs.delay)

    def pass_time(self):
        pass


class ParentWorkChain(WaitAnyWorkChain):
    """Starts two children under the same key and another, and takes them as they end."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.outline(cls.launch_first, cls.launch_again, cls.launch_other, while_(cls.is_busy)(cls.take, cls.await_any))
        spec.output("n_children", valid_type=orm.Int, required=False)

    def launch_first(self):
        self.ctx.taken = []
        self.track(self.submit_once("first", ChildWorkChain, delay=0.0))

    def launch_again(self):
        child = self.submit_once("first", ChildWorkChain, delay=0.0)
        self.track(child)
        assert self.ctx.in_flight == [child.pk]

    def launch_other(self):
        self.track(self.submit_once("second", ChildWorkChain, delay=0.0))

    def is_busy(self):
        return bool(self.ctx.in_flight)

    def take(self):
        self.ctx.taken += [child.pk for child in self.take_ended()]

    def await_any(self):
        return self.wait_for_any() if self.ctx.in_flight else None


def test_one_child_per_key_and_every_child_is_taken(registered):
    _, node = run_get_node(ParentWorkChain)
    assert node.is_finished_ok, node.exit_message
    links = node.base.links.get_outgoing().all()
    assert sorted(link.link_label for link in links) == ["first", "second"]
    assert all(link.node.is_finished_ok for link in links)
