"""Components that stand for one another: each mixture has one of them, and one tells of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation import Objective, Observation, Problem, Source, ask, explain, predict
from aiida_finales.optimisation.narrowing import LEAST, split
from aiida_finales.optimisation.study import Study
from aiida_finales.schemas.limitations.region import Region

SALTS, SOLVENTS = ("p", "q", "r"), ("s", "t")
LIMITS = {"s": (0.2, 0.6), "t": (0.3, 0.8)}
REGIONS = tuple(Region.from_box({salt: (0.02, 0.12), **LIMITS}) for salt in SALTS)


@pytest.fixture
def problem() -> Problem:
    """Three salts in the same solvents, as three tenants offer them."""
    robot = Source("robot", REGIONS)
    return Problem((*SALTS, *SOLVENTS), (robot,), (Objective("y", "robot", modelled="none"),), one_of={"salt": SALTS})


def measure(x: np.ndarray) -> float:
    """Return a property with an optimum in the amount of salt, and another level for each salt."""
    amount = x[:3].sum()
    return float(1 - 120 * (amount - 0.07) ** 2 - 2 * (x[3] - 0.4) ** 2 + x[:3] @ (0.0, 1.0, 2.0) / amount)


def make_rows(problem: Problem, numbers: tuple[int, ...]) -> list[Observation]:
    """Return so many results of each salt."""
    study = Study.of_rows(problem, (), ())
    rows = []
    for salt, number in enumerate(numbers):
        places = study.target_space.polytopes[salt].from_cube(np.random.default_rng(salt).random((number, 3)))
        rows += [Observation("robot", tuple(x), measure(x), f"{salt}{n:02d}", "") for n, x in enumerate(places)]
    return rows


def test_one_salt_tells_of_another(problem: Problem) -> None:
    rows, x = make_rows(problem, (14, 14, 2)), (0.0, 0.0, 0.07, 0.4, 0.53)
    apart = replace(problem, one_of={})
    errors = [abs(predict(each, rows, [(x, {})])["y"][0].mean - measure(np.array(x))) for each in (problem, apart)]
    assert errors[0] < 0.1
    assert errors[0] < errors[1]


def test_each_suggestion_has_one_of_them(problem: Problem) -> None:
    for known in ([], make_rows(problem, (4, 4, 4))):
        suggested = ask(problem, known, [], source="robot", step=len(known))
        assert sum(share > 0 for share in suggested.x[:3]) == 1
    assert suggested.x[2] > 0  # of the best salt


def test_none_is_suggested_without_any_of_them(problem: Problem) -> None:
    """Where less salt is better, and the tenant can do without, the campaign still wants some of one."""
    whole = Region.from_box({**dict.fromkeys(SALTS, (0.0, 0.12)), **LIMITS})
    free = replace(problem, sources=(Source("robot", tuple(split(whole, {"salt": SALTS}))),))
    rows = [Observation("robot", row.x, -sum(row.x[:3]), row.uuid, "") for row in make_rows(problem, (4, 4, 4))]
    assert sum(share > 0 for share in ask(free, rows, [], source="robot", step=12).x[:3]) == 1


def test_what_each_does_is_told(problem: Problem) -> None:
    effects = {item["name"]: item["levels"] for item in explain(problem, make_rows(problem, (6, 6, 6)))["y"]["effects"]}
    assert set(effects) == {"amount of salt", "salt", *SOLVENTS}
    means = [level["mean"] for level in effects["salt"]]
    assert [level["level"] for level in effects["salt"]] == list(SALTS)
    assert np.diff(means) == pytest.approx([1.0, 1.0], abs=0.2)


def test_it_is_kept_and_checked(problem: Problem) -> None:
    assert Problem.from_dict(problem.to_dict()).one_of == {"salt": SALTS}
    assert "one_of" not in replace(problem, one_of={}).to_dict()
    for wrong in ({"salt": ("p",)}, {"salt": ("p", "z")}, {"salt": ("p", "q"), "other": ("q", "r")}):
        with pytest.raises(InputError, match="one_of"):
            replace(problem, one_of=wrong)


def test_a_region_of_several_is_split() -> None:
    both = Region.from_box({"p": (0.0, 0.1), "q": (0.0, 0.1), **LIMITS})
    parts = list(split(both, {"salt": SALTS}))
    assert [part.upper.tolist()[:2] for part in parts] == [[0.1, 0.0], [0.0, 0.1]]
    assert [part.lower.tolist()[:2] for part in parts] == [[LEAST, 0.0], [0.0, LEAST]]  # none of both is no mixture
    needs_both = Region.from_box({"p": (0.01, 0.1), "q": (0.01, 0.1), **LIMITS})
    assert list(split(needs_both, {"salt": SALTS})) == []
    assert list(split(both, {})) == [both]
