"""The same question gets the same answer: again, in any order, in another process, with another number of threads."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from aiida_finales.optimisation import Observation, Pending, Problem, ask

PENDING = [Pending("robot", (0.05, 0.35, 0.6), "b"), Pending("robot", (0.06, 0.3, 0.64), "a")]


def without_timing(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "timing"}


@pytest.mark.parametrize("source", ["robot", "simulation"])
def test_repeated_and_shuffled_questions_get_the_same_answer(
    problem: Problem, rows: list[Observation], source: str
) -> None:
    answer = without_timing(ask(problem, rows, PENDING, source, 14).to_dict())
    assert without_timing(ask(problem, rows, PENDING, source, 14).to_dict()) == answer
    for seed in range(3):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert without_timing(ask(problem, shuffled, PENDING[::-1], source, 14).to_dict()) == answer


def test_step_and_seed_matter_and_the_global_generator_does_not(problem: Problem, rows: list[Observation]) -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    first = ask(problem, rows, (), "robot", 14)
    assert np.random.get_state()[1].tolist() == before
    assert first.seed != ask(problem, rows, (), "robot", 15).seed


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_gives_the_same_answer(problem: Problem, rows: list[Observation], threads: str) -> None:
    """Through the module that serves questions by line, which is also how a campaign asks."""
    question = {
        "problem": problem.to_dict(),
        "observations": [row.__dict__ for row in rows],
        "pending": [row.__dict__ for row in PENDING],
        "source": "robot",
        "step": 14,
    }
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "aiida_finales.optimisation"]
    done = subprocess.run(
        command, input=json.dumps(question) + "\n", capture_output=True, text=True, env=environment, check=True
    )
    there, here = json.loads(done.stdout), ask(problem, rows, PENDING, "robot", 14).to_dict()
    for answer in (there, here):
        del answer["timing"], answer["environment"]
    assert there == json.loads(json.dumps(here))


def test_importing_and_asking_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from aiida_finales.optimisation import Problem, Source, Observation, OptimiserSettings, ask\n"
        "from aiida_finales.schemas.region import Region\n"
        "source = Source('s', (Region.from_box({'a': (0, 1), 'b': (0, 1)}),))\n"
        "rows = [Observation('s', (0.1 * k, 1 - 0.1 * k), 1.0 * k, str(k), '') for k in range(5)]\n"
        "problem = Problem(('a', 'b'), (source,), 's', settings=OptimiserSettings(n_initial=1))\n"
        "assert not ask(problem, rows, (), 's', 5).is_fallback\n"
        "problem = Problem(('a', 'b'), (source,), 's', settings=OptimiserSettings(n_initial=1, engine='botorch'))\n"
        "try:\n    ask(problem, rows, (), 's', 5)\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("MissingExtraError the engine 'botorch' of the optimiser needs the extra 'optimise'")
