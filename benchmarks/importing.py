"""How long a table of 3,622 measurements takes to become results, by the command.

The table is made up: LiPF6 in EC and EMC with numbers by chance. As many rows as CALiSol-23 has for LiPF6 in carbonates
(10.1038/s41597-024-03575-8).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rows import print_row

from aiida_finales.testing import Sandbox

N_ROWS, N_ROWS_QUICK = 3_622, 300


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{N_ROWS_QUICK} rows")
    n_rows = N_ROWS_QUICK if parser.parse_args().quick else N_ROWS
    with tempfile.TemporaryDirectory() as place, Sandbox(Path(place)) as sandbox:
        sandbox.create("--no-cells")
        table = Path(place) / "table.csv"
        table.write_text(make_table(n_rows))
        began = time.perf_counter()
        sandbox.run("aiida-finales", "import", "results", str(table), "--quantity", "conductivity", timeout=3600.0)
        print_row("importing", f"{n_rows}-rows", "import_seconds", round(time.perf_counter() - began, 1), "s")


def make_table(n_rows: int) -> str:
    """Return a table with the columns of the package."""
    rng = random.Random(1)
    lines = ["temperature_K,conductivity_S_per_m,x_LiPF6,x_EC,x_EMC,simulated"]
    for _ in range(n_rows):
        salt, ec = rng.uniform(0.02, 0.12), rng.uniform(0.1, 0.5)
        lines.append(
            f"{rng.uniform(270, 330):.2f},{rng.uniform(0.2, 1.2):.4f},{salt:.6f},{ec:.6f},{1 - salt - ec:.6f},yes"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
