"""A real daemon on the embedded default, in a configuration of its own."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest

from aiida_finales.operations.engine.daemon import is_stuck
from aiida_finales.testing import PROFILE, Sandbox

#: s for anything that is waited for, twenty times what it takes on a free machine: only what fails takes so long
PATIENCE = 600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test of this folder wait for several things in turn."""
    for item in items:
        if "tests/daemon/" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(3 * PATIENCE))


class Laboratory(Sandbox):
    """A sandbox that runs Python programs against its profile."""

    def python(self, program: str, *arguments: object, timeout: float = 300.0) -> object:
        """Run a program with the profile loaded; return what it printed last, as JSON."""
        text = "from aiida import load_profile, orm\nload_profile()\nimport json, sys\n" + textwrap.dedent(program)
        output = self.run(sys.executable, "-c", text, *map(str, arguments), timeout=timeout)
        return json.loads(output.strip().splitlines()[-1])

    def start_campaign(self, name: str, evaluations: int, initial: int = 4, **settings: object) -> int:
        """Submit a campaign with two sources; return the pk of its process."""
        document = {
            "name": name,
            "quantity": "conductivity",
            "fixed": {"temperature": 301.15},
            "sources": {"two_electrode": {"cost": 10}, "empirical_model": {}},
            "initial": initial,
            "stop": {"evaluations": evaluations},
            "optimiser": {"seed": 3},
            **settings,
        }
        program = """
        from aiida.engine import submit
        from aiida_finales.schemas.campaign import parse_campaign
        from aiida_finales.workflows.campaign import CampaignWorkChain
        campaign = parse_campaign(json.loads(sys.argv[1])).to_dict()
        print(submit(CampaignWorkChain, campaign=orm.Dict(campaign)).pk)
        """
        return int(self.python(program, json.dumps(document)))

    def process(self, pk: int) -> dict:
        """Return state and exit of a process."""
        program = """
        node = orm.load_node(int(sys.argv[1]))
        print(json.dumps({"state": node.process_state.value, "exit": node.exit_status, "message": node.exit_message,
                          "terminated": node.is_terminated}))
        """
        return self.python(program, pk)

    def wait_for(self, pk: int, timeout: float) -> dict:
        """Wait for the end of a process in one program; return its state."""
        program = """
        import time
        node, end = orm.load_node(int(sys.argv[1])), time.time() + float(sys.argv[2])
        while not node.is_terminated and time.time() < end:
            time.sleep(0.3)
        print(json.dumps({"state": node.process_state.value, "exit": node.exit_status, "message": node.exit_message,
                          "terminated": node.is_terminated}))
        """
        return self.python(program, pk, timeout, timeout=timeout + 60)

    def wait_for_value(self, imports: str, expression: str, timeout: float = PATIENCE) -> object:
        """Wait in one program until an expression is true; return its value. A command per look takes a whole core.

        :raises AssertionError: when it has not come true in time, with the processes that there are.
        """
        program = f"""
        import time
        {imports}
        end = time.time() + float(sys.argv[1])
        while not (value := {expression}) and time.time() < end:
            time.sleep(0.5)
        print(json.dumps(value))
        """
        value = self.python(program, timeout, timeout=timeout + 60)
        assert value, f"{expression} did not come true\n" + self.run("verdi", "process", "list", "-a")
        return value

    def finish(self, pk: int, timeout: float = PATIENCE) -> None:
        """Wait for the good end of a process; what the doctor finds tells why it did not come.

        :raises AssertionError: when it has not ended in time, or has ended otherwise.
        """
        ended = self.wait_for(pk, timeout)
        if (ended["state"], ended["exit"]) != ("finished", 0):
            doctor = self.run("aiida-finales", "doctor", "--all", is_checked=False)
            processes = self.run("verdi", "process", "list", is_checked=False)
            raise AssertionError("\n".join([json.dumps(ended), doctor, processes]))

    def doses(self) -> list[str]:
        """Return the key of every dose that the robot made, in order."""
        path = self.laboratory / "asab" / "doses.jsonl"
        return [json.loads(line)["key"] for line in path.read_text().splitlines()] if path.exists() else []

    def campaign_facts(self, name: str) -> dict:
        """Return the requests of a campaign with status and number of results, what was learned from and what not."""
        return self.python(CAMPAIGN_FACTS, name)


CAMPAIGN_FACTS = """
from aiida_finales.broker.state import read_state, read_history
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.request import RequestData
from aiida_finales.data.result import ResultData
from aiida_finales.data.campaign import NOTES
group = CampaignGroup.find(sys.argv[1])
requests = [node for node in group.nodes if isinstance(node, RequestData)]
facts = []
for request in requests:
    state = read_state(request.pk)
    results = orm.QueryBuilder().append(ResultData, filters={"attributes.request_uuid": request.uuid}).count()
    facts.append({"uuid": request.uuid, "method": request.methods[0], "status": state["status"], "results": results,
                  "resolved": sum(entry.after == "resolved" for entry in read_history(request.pk))})
left_out = group.base.extras.get(NOTES)["left_out"]  # rated too low, say: not counted, and asked again elsewhere
results = [node for node in group.nodes if isinstance(node, ResultData) and node.uuid not in left_out]
print(json.dumps({"requests": facts, "n_results": len(results), "left_out": left_out}))
"""


@pytest.fixture(scope="session")
def daemon_lab(tmp_path_factory):
    """A laboratory whose daemon runs; the tests of a session share it."""
    with Laboratory(tmp_path_factory.mktemp("sandbox")) as laboratory:
        laboratory.create("--no-cells")
        laboratory.start()
        yield laboratory


@pytest.fixture
def lab(daemon_lab):
    """The shared laboratory, its daemon running whatever the test before did."""
    log = daemon_lab.config / "daemon" / "log" / f"circus-{PROFILE}.log"
    if len(daemon_lab.workers()) < 2 or is_stuck(log):
        daemon_lab.cure()
    return daemon_lab
