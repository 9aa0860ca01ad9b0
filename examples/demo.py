"""The main job from start to end: an optimiser finds the most conductive LiPF6/EC/EMC electrolyte.

Everything happens in an AiiDA configuration of its own, in the folder given. Usage: python examples/demo.py FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from aiida_finales.testing import Sandbox

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
        from aiida import load_profile
        load_profile()
        from aiida_finales import Campaign
        from aiida_finales.operations.campaign.truth import find_true_optimum
        from aiida_finales.schemas.values import format_value
        from aiida_finales.science.electrolyte.composition import describe
        from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
        overview = Campaign("NAME").overview()
        top, found = find_true_optimum(overview), overview.recommendation
        true = benchmark_conductivity(found.fractions, 301.15)
        print(f"  true optimum               {describe(top.fractions, 3)}   {top.mean:.3f} S/m")
        print(f"  recommended, true value    {describe(found.fractions, 3)}   {true:.3f} S/m")
        print(f"  recommended, as predicted  {format_value(found.mean, found.sd, 'S/m')}")
        print(f"  the recommended electrolyte reaches {100 * true / top.mean:.2f} % of the true optimum")
    """
    text = "\n".join(line.removeprefix("        ") for line in program.replace("NAME", NAME).splitlines())
    print(sandbox.run(sys.executable, "-c", text), end="")


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
