"""Two campaigns at once on one simulated laboratory, and three formulations that a person asks for meanwhile.

As in the multi-task phase of the published platform: conductivity (OCond) and end of life (OEOL) share the robots.
Everything happens in an AiiDA configuration of its own, in the folder given. All numbers are simulated.
Usage: python examples/multitask/run.py FOLDER
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from aiida_finales.testing import Sandbox

HERE = Path(__file__).parent
CAMPAIGNS = ("ocond", "oeol")
#: s between two looks at what is still open
PAUSE = 5.0
GIVE_UP = 1800.0


def main() -> None:
    """Run the example."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".multitask").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    with Sandbox(folder) as sandbox:
        say(f"A profile and the simulated laboratory, below {folder}")
        # nobody here looks at the cycles after the prediction: the channels are given back at once
        sandbox.create("--chain", "follow_up=false")
        sandbox.start(2)
        say("Two campaigns, and three formulations by hand")
        for name in CAMPAIGNS:
            show(sandbox, "aiida-finales", "campaign", "start", str(HERE / f"{name}.yaml"))
        post_by_hand(sandbox, folder)
        wait(sandbox)
        say("What came out")
        report = ("--output", str(folder / "report"))
        show(sandbox, "aiida-finales", "campaign", "report", *CAMPAIGNS, *report)
        show(sandbox, "aiida-finales", "request", "list", "--quantity", "degradationEOL")
    say(f"Done in {time.monotonic() - began:.0f} s. The pictures are in {folder / 'report'}:")
    for picture in sorted((folder / "report").glob("*.png")):
        print(f"    {picture}")


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def show(sandbox: Sandbox, *command: str) -> None:
    """Run a command before the reader's eyes."""
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run(list(command), env=sandbox.environment, check=True)  # noqa: S603 - our own command


def post_by_hand(sandbox: Sandbox, folder: Path) -> None:
    """Ask for the end of life of cells with each of the formulations."""
    for number, entry in enumerate(yaml.safe_load((HERE / "formulations.yaml").read_text())["formulations"]):
        parameters = {"battery_chemistry": {"electrolyte": entry["formulation"]}, "cell_info": {}}
        request = {
            "quantity": "degradationEOL",
            "parameters": {"degradation_workflow": parameters},
            "requester": f"by hand, {entry['name']}",
        }
        path = folder / f"by-hand-{number}.json"
        path.write_text(json.dumps(request))
        show(sandbox, "aiida-finales", "request", "post", str(path))


def wait(sandbox: Sandbox) -> None:
    """Wait until nothing is at work any more."""
    end = time.monotonic() + GIVE_UP
    open_ones = -1
    while open_ones != 0 and time.monotonic() < end:
        time.sleep(PAUSE)
        listed = sandbox.run("verdi", "process", "list", "-P", "pk", "process_label", "-r")
        before, open_ones = open_ones, len(listed.strip().splitlines())
        if open_ones != before:
            print(f"    {open_ones} processes are at work", flush=True)
    if open_ones:
        raise SystemExit(f"{open_ones} processes are still at work after {GIVE_UP:.0f} s")


if __name__ == "__main__":
    main()
