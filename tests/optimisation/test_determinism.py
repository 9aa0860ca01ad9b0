"""The same question gets the same answer: again, in any order or process, with any threads, on another processor."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_finales.optimisation import Observation, Pending, Problem, ask
from aiida_finales.optimisation.__main__ import answer
from aiida_finales.optimisation.polytope import Polytope
from aiida_finales.optimisation.search import rank
from aiida_finales.optimisation.suggestion import SAME_COMPOSITION
from aiida_finales.schemas.limitations.region import Region

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


def ask_in_another_process(problem: Problem, rows: list[Observation], **variables: str) -> dict[str, Any]:
    """Return the answer of the module that serves questions by line, which is also how a campaign asks."""
    question = {
        "problem": problem.to_dict(),
        "observations": [row.__dict__ for row in rows],
        "pending": [row.__dict__ for row in PENDING],
        "source": "robot",
        "step": 14,
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    command = [sys.executable, "-m", "aiida_finales.optimisation"]
    done = subprocess.run(
        command, input=json.dumps(question) + "\n", capture_output=True, text=True, env=environment, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_another_process_gives_the_same_answer(problem: Problem, rows: list[Observation], threads: str) -> None:
    variables = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    there = ask_in_another_process(problem, rows, **variables)
    here = json.loads(json.dumps(ask(problem, rows, PENDING, "robot", 14).to_dict()))
    assert without_timing(there) == without_timing(here)


@pytest.mark.parametrize(("kernel", "flag"), [("Nehalem", "sse4_2"), ("Sandybridge", "avx"), ("Haswell", "avx2")])
def test_another_processor_gives_the_same_composition(
    make_problem: Callable[..., Problem], rows: list[Observation], kernel: str, flag: str
) -> None:
    """OpenBLAS has other code for each; here it is told which to take."""
    if flag not in Path("/proc/cpuinfo").read_text():
        pytest.skip(f"this processor cannot run the linear algebra of {kernel}")
    there = ask_in_another_process(make_problem(), rows, OPENBLAS_CORETYPE=kernel)
    here = ask(make_problem(), rows, PENDING, "robot", 14)
    assert kernel in there["environment"]["linear_algebra"]
    assert there["x"] == pytest.approx(here.x, abs=SAME_COMPOSITION)
    assert there["recommendation"]["overall"]["x"] == pytest.approx(here.recommendation.overall.x, abs=SAME_COMPOSITION)
    # what is no composition is told with fewer digits in common
    assert there["predicted"]["mean"] == pytest.approx(here.predicted.mean, rel=1e-3)
    assert there["value"] == pytest.approx(here.value, abs=1e-2)


@pytest.mark.parametrize(
    "limits",
    [[(0, 1)] * 3, [(0, 1)] * 4, [(0, 0.12), (0, 0.54), (0, 1), (0, 1)], [(0, 0.5)] * 4, [(0, 0.12), (0.88, 1.0)]],
    ids=["triangle", "tetrahedron", "two solvents alike", "octahedron", "line"],
)
def test_last_digits_of_a_symmetric_region_choose_no_other_place(limits: list[tuple[float, float]]) -> None:
    """Principal axes of such a region are any; and its corners lie on a circle, so that Delaunay's triangles are."""
    rng = np.random.default_rng(1)
    names, cube = "abcd"[: len(limits)], rng.random((50, len(limits)))
    places = []
    for noise in (0.0, 1e-14, -1e-14):
        box = {name: (low, high + noise * rng.random()) for name, (low, high) in zip(names, limits, strict=True)}
        polytope = Polytope.from_region(Region.from_box(box))
        points = polytope.from_cube(cube)
        places.append(np.vstack([points, polytope.perturb(points, 0.1, np.random.default_rng(2))]))
    assert places[1] == pytest.approx(places[0], abs=1e-9)
    assert places[2] == pytest.approx(places[0], abs=1e-9)


@pytest.mark.parametrize(
    ("source", "place"), [("robot", (0.0719, 0.289, 0.6391)), ("simulation", (0.0335, 0.8783, 0.0882))]
)
def test_questions_of_older_campaigns_get_their_answer(
    problem: Problem, rows: list[Observation], source: str, place: tuple[float, ...]
) -> None:
    """The form and the answers of version 1, before there were several objectives."""
    now = problem.to_dict()
    old = {key: now[key] for key in ("components", "target", "maximise")}
    old["sources"] = [{key: entry[key] for key in ("name", "cost", "regions")} for entry in now["sources"]]
    new = {"n_faces", "n_front", "n_chain_rows", "n_quadratic", "n_front_pairs", "scalarise", "weights"}
    new |= {"category_prior", "variable_length_prior", "ratio_prior", "growth_prior", "arrhenius"}
    old["settings"] = {key: value for key, value in now["settings"].items() if key not in new}
    old_rows = [{"source": r.source, "x": r.x, "y": r.values, "uuid": r.uuid, "ctime": r.ctime} for r in rows]
    waiting = [{"source": "robot", "x": (0.05, 0.35, 0.6), "uuid": "b"}]
    question = {"problem": old, "observations": old_rows, "pending": waiting, "source": source, "step": 14}
    assert answer(json.loads(json.dumps(question)))["x"] == pytest.approx(place, abs=SAME_COMPOSITION)


def test_last_digits_do_not_choose_on_a_flat_top() -> None:
    values = np.array([0.3, 1.0, 1.0 + 1e-9, -np.inf, 1.0 - 1e-9, 1.1])
    assert rank(values).tolist() == [5, 1, 2, 4, 0, 3]


def test_importing_and_asking_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from aiida_finales.optimisation import Objective, Problem, Source, Observation, OptimiserSettings, ask\n"
        "from aiida_finales.schemas.limitations.region import Region\n"
        "source = Source('s', (Region.from_box({'a': (0, 1), 'b': (0, 1)}),))\n"
        "rows = [Observation('s', (0.1 * k, 1 - 0.1 * k), 1.0 * k, str(k), '') for k in range(5)]\n"
        "problem = Problem(('a', 'b'), (source,), (Objective('y', 's'),), settings=OptimiserSettings(n_initial=1))\n"
        "assert not ask(problem, rows, (), 's', 5).is_fallback\n"
        "settings = OptimiserSettings(n_initial=1, engine='botorch')\n"
        "problem = Problem(('a', 'b'), (source,), (Objective('y', 's'),), settings=settings)\n"
        "try:\n    ask(problem, rows, (), 's', 5)\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("MissingExtraError the engine 'botorch' of the optimiser needs the extra 'optimise'")
