"""The optimiser as a service: one question per line of standard input, one answer per line of standard output.

A question is JSON with ``problem``, ``observations``, ``pending``, ``source`` (empty: only recommend) and ``step``; the
answer is the suggestion as JSON, or ``{"error": ...}``. The service ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from aiida_finales.exceptions import FinalesError
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.suggest import ask, recommend


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer one question.

    :raises FinalesError: when there is no answer.
    """
    problem = Problem.from_dict(question["problem"])
    rows = [Observation.from_dict(row) for row in question["observations"]]
    waiting = [Pending.from_dict(row) for row in question["pending"]]
    source, step = question["source"], question["step"]
    if source:
        return ask(problem, rows, waiting, source, step).to_dict()
    return {"source": "", "step": step, "recommendation": asdict(recommend(problem, rows))}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except FinalesError as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
