"""Model files cannot run code: nothing that would let them is imported where others' files are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "aiida_finales"
#: what a worker of the daemon and a server import
HELD = ("workflows.potential", "calculations.potential", "parsers.potential", "data.potential", "server.app")
SCRIPT = """
import sys
for name in {names!r}:
    __import__("aiida_finales." + name)
import os
print(sorted({{"mace", "e3nn", "graph_pes"}} & set(sys.modules)), os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"))
"""


def test_daemon_and_server_import_nothing_that_reads_models_unsafely():
    names = [name for name in HELD if (PACKAGE / f"{name.replace('.', '/')}.py").exists()]
    assert len(names) >= 4
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT.format(names=names)],
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("TORCH_FORCE")},
    )
    assert done.stdout.strip() == "[] None"


def test_no_model_file_is_read_but_with_weights_only():
    sources = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    assert not [path for path, text in sources.items() if "import mace" in text or "from mace" in text]
    loads = [line for text in sources.values() for line in text.splitlines() if "torch.load(" in line]
    assert loads
    assert all("weights_only=True" in line for line in loads)
