"""The optimiser as a service: one question per line of standard input, one answer per line of standard output.

A question is JSON with ``problem``, ``observations``, ``pending``, ``source`` (empty: only recommend), ``step`` and
perhaps ``choices`` (of which it is to choose the source itself); the answer is the suggestion as JSON, or
``{"error": ...}``, with ``is_used_up`` where nothing is left to ask. The service ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from aiida_finales.exceptions import FinalesError, UsedUpError
from aiida_finales.optimisation.problem import Observation, Pending, Problem
from aiida_finales.optimisation.suggest import ask, choose_source, recommend, show_front
from aiida_finales.optimisation.suggestion import to_lists


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer one question.

    :raises FinalesError: when there is no answer.
    """
    problem = Problem.from_dict(question["problem"])
    rows = [Observation.from_dict(row) for row in question["observations"]]
    waiting = [Pending.from_dict(row) for row in question["pending"]]
    source, step = question["source"], question["step"]
    if question.get("choices"):
        source = choose_source(problem, rows, waiting, step, question["choices"])
    if source:
        return ask(problem, rows, waiting, source, step).to_dict()
    told = {"front": to_lists(show_front(problem, rows))} if len(problem.optimised) > 1 else {}
    return {"source": "", "step": step, "recommendation": to_lists(asdict(recommend(problem, rows))), **told}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except FinalesError as error:
            reply = {"error": str(error), "is_used_up": isinstance(error, UsedUpError)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
