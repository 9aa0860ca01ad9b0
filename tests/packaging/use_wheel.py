"""Use what is installed in this environment as somebody who just installed it: ``use_wheel.py PART FOLDER``.

``campaign`` runs six evaluations without torch, ``server`` gets the login page and its style sheet, and the graph.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiida_finales
from aiida_finales.testing import Sandbox

CAMPAIGN = {
    "name": "six",
    "quantity": "conductivity",
    "target": "two_electrode",
    "fixed": {"temperature": 301.15},
    "sources": {"two_electrode": {"cost": 10}, "empirical_model": {}},
    "initial": 4,
    "stop": {"evaluations": 6},
    "optimiser": {"seed": 1},
}


def main() -> None:
    """Do one part."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    if "site-packages" not in str(aiida_finales.__file__):
        raise SystemExit(f"this is not the installed package: {aiida_finales.__file__}")
    with Sandbox(folder) as sandbox:
        sandbox.create("--no-cells")
        questions = json.loads(sandbox.run("aiida-finales", "query", "--list", "--format", "json"))
        demand(len(questions) == 10, f"ten questions, not {len(questions)}")
        {"campaign": run_campaign, "server": use_server}[part](sandbox)
    print(f"{part}: well")


def run_campaign(sandbox: Sandbox) -> None:
    """Run a campaign of six evaluations, where there is no torch."""
    demand(find_spec("torch") is None, "no torch in this environment")
    sandbox.start(1)
    (sandbox.folder / "six.yaml").write_text(json.dumps(CAMPAIGN))
    sandbox.run("aiida-finales", "campaign", "start", str(sandbox.folder / "six.yaml"), "--wait")
    results = json.loads(sandbox.run("aiida-finales", "result", "list", "--format", "json"))
    demand(len(results) == CAMPAIGN["stop"]["evaluations"], f"six results, not {len(results)}")


def use_server(sandbox: Sandbox) -> None:
    """Start the server, get a page and what it is styled with, and ask the graph through rdflib."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(["aiida-finales", "serve", "start", "--port", str(port)], env=sandbox.environment)
    try:
        page = get(f"{address}/pages/login", 60)
        for linked in re.findall(r'(?:href|src)="(/pages/static/[^"]+)"', page):
            demand(len(get(address + linked, 10)) > 100, f"something in {linked}")
        demand("pages.css" in page, "a style sheet")
    finally:
        server.terminate()
        server.wait(30)
    program = "from aiida import load_profile; load_profile(); import aiida_finales; print(len(aiida_finales.graph()))"
    demand(int(sandbox.run(sys.executable, "-c", program)) > 0, "triples in the graph")


def get(address: str, patience: float) -> str:
    """Return what is there; the server may still be starting (s)."""
    end = time.monotonic() + patience
    while True:
        try:
            with urlopen(address, timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except (URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def demand(is_true: bool, words: str) -> None:
    """End when something is not as it must be."""
    if not is_true:
        raise SystemExit(f"expected: {words}")


if __name__ == "__main__":
    main()
