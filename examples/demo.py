"""The main job from start to end: an optimiser finds the most conductive LiPF6/EC/EMC electrolyte.

Everything happens in an AiiDA configuration of its own, in the folder given. Usage: python examples/demo.py FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from aiida_finales.entry_points.sandbox import Sandbox

HERE = Path(__file__).parent
CAMPAIGN = HERE / "ocond.yaml"
NAME = "ocond"


def main() -> None:
    """Run the demonstration."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".demo").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    with Sandbox(folder) as sandbox:
        say(f"A profile, the simulated robot and two literature models, all below {folder}")
        sandbox.create("--noise", "0.02", "--no-cells")
        say("The AiiDA daemon: two workers, no service")
        sandbox.start(2)
        say("The campaign: 30 evaluations by two sources, the first 10 spread over the space")
        show(sandbox, "aiida-finales", "campaign", "start", str(CAMPAIGN))
        show(sandbox, "aiida-finales", "campaign", "watch", NAME)
        show(sandbox, "aiida-finales", "campaign", "report", NAME, "--output", str(folder / "report"))
        compare_with_truth(sandbox)
    say(f"Done in {time.monotonic() - began:.0f} s. The pictures are in {folder / 'report'}:")
    for picture in sorted((folder / "report").glob("*.png")):
        print(f"    {picture}")
    environment = f"AIIDA_PATH={folder} {Path(sys.executable).parent}"
    say("Three commands to try next:")
    print(f"    {environment}/aiida-finales campaign show {NAME}")
    print(f"    {environment}/aiida-finales result list --limit 5")
    print(f"    {environment}/aiida-finales why {best_result(sandbox)[:8]}")


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def show(sandbox: Sandbox, *command: str) -> None:
    """Run a command before the reader's eyes."""
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run(list(command), env=sandbox.environment, check=True)  # noqa: S603 - our own command


def compare_with_truth(sandbox: Sandbox) -> None:
    """Print the optimum that was found beside the true one, which only a simulated laboratory knows."""
    program = """
        import json
        import numpy as np
        from aiida import load_profile
        load_profile()
        from aiida_finales.data.campaign import CampaignGroup
        from aiida_finales.schemas.campaign import parse_campaign
        from aiida_finales.science.conductivity import benchmark_conductivity
        from aiida_finales.workflows.campaign import find_campaign_process
        from aiida_finales.workflows.problem import build_problem
        from aiida_finales.optimisation.problem import Problem
        from aiida_finales.optimisation.space import DesignSpace
        process = find_campaign_process(CampaignGroup.find("NAME"))
        campaign = parse_campaign(process.inputs.campaign.get_dict())
        problem = Problem.from_dict(build_problem(campaign)["problem"])
        best = process.outputs.recommendation.document["recommendation"]["sources"][campaign.target]
        region = [source for source in problem.sources if source.name == campaign.target][0].regions[0]
        grid = np.array([[salt, ec, 1 - salt - ec] for salt in np.linspace(0, 0.15, 301)
                         for ec in np.linspace(0, 0.55, 551)])
        order = [problem.components.index(name) for name in NAMES]
        inside = [point for point in grid if region.contains(point[np.argsort(order)], 1e-6)]
        truth = lambda point: benchmark_conductivity(dict(zip(NAMES, map(float, point))), 301.15)
        top = max(inside, key=truth)
        found = [best["x"][index] for index in order]
        row = "  {:<26} LiPF6 {:.3f}  EC {:.3f}  EMC {:.3f}   {:.3f} S/m"
        print(row.format("true optimum", *top, truth(top)))
        print(row.format("recommended, true value", *found, truth(found)))
        print(f"  {'recommended, as predicted':<26} {best['mean']:.3f} ± {best['sd']:.3f} S/m")
        print(f"  the recommended electrolyte reaches {100 * truth(found) / truth(top):.2f} % of the true optimum")
    """
    names = ["AXPLOJNSKRXQPA-UHFFFAOYSA-N", "KMTRUDSVKNLOMY-UHFFFAOYSA-N", "JBTWLSYIZRCDFO-UHFFFAOYSA-N"]
    text = "\n".join(line.removeprefix("        ") for line in program.replace('"NAME"', f'"{NAME}"').splitlines())
    print(sandbox.run(sys.executable, "-c", f"NAMES = {names!r}\n{text}"), end="")


def best_result(sandbox: Sandbox) -> str:
    """Return the UUID of the best measured result."""
    program = (
        "from aiida import load_profile; load_profile()\n"
        "from aiida_finales.broker.results import list_results\n"
        "rows = [node for node, _ in list_results('conductivity', ('two_electrode',))]\n"
        "print(max(rows, key=lambda node: node.value).uuid)"
    )
    return sandbox.run(sys.executable, "-c", program).strip()


if __name__ == "__main__":
    main()
