"""The output of all benchmarks: one JSON row per figure."""

from __future__ import annotations

import json
import sys


def print_row(benchmark: str, case: str, figure: str, value: float, unit: str) -> None:
    """Print one figure on standard output."""
    row = {"benchmark": benchmark, "case": case, "figure": figure, "value": value, "unit": unit}
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
