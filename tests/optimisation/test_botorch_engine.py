"""The same model under BoTorch: equal predictions, equal places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation import Objective, Observation, OptimiserSettings, Pending, Problem, ask
from aiida_finales.optimisation.acquisition import NoisyHypervolumeImprovement
from aiida_finales.optimisation.kernel import Kernel, Points
from aiida_finales.optimisation.study import Study
from aiida_finales.optimisation.surrogate import Surrogate

torch = pytest.importorskip("torch")
engine = pytest.importorskip("aiida_finales.optimisation.botorch_engine")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("kernel", ["rbf", "matern"])
@pytest.mark.parametrize("source", [0, 1])
def test_both_engines_predict_the_same(
    make_problem: Callable[..., Problem], rows: list[Observation], kernel: str, source: int
) -> None:
    problem = make_problem()
    problem = replace(problem, settings=replace(problem.settings, kernel=kernel, slope_sd=0.3))
    study = Study.of_rows(problem, rows, ())
    surrogate = study.fit(0, np.random.default_rng(0))
    points = study.points(study.x[::3] * 0.9 + 0.1 / 3, source)
    mean, sd = surrogate.predict(points)
    table = torch.tensor(np.column_stack([points.scaled, points.source]))
    posterior = engine.MixtureGP(surrogate).posterior(table[:, None])
    assert posterior.mixture_mean.flatten().tolist() == pytest.approx(mean, abs=1e-5)
    assert posterior.mixture_variance.sqrt().flatten().tolist() == pytest.approx(sd, abs=1e-5)


def test_both_engines_know_what_grows_with_a_variable() -> None:
    rng = np.random.default_rng(0)
    kernel = Kernel.of_settings(2, 0, (0, 1), OptimiserSettings(), n_variables=1)
    points = Points.of_source(rng.random((9, 2)), rng.integers(0, 2, 9))
    surrogate = Surrogate.fit(kernel, points, rng.standard_normal(9), rng)
    table = torch.tensor(np.column_stack([points.scaled, points.source]))
    there = engine.MultiSourceKernel(surrogate)
    for number, process in enumerate(surrogate.processes):
        expected = kernel.covariance(process.theta, points, points)
        assert there.forward(table[None], table[None])[number].numpy() == pytest.approx(expected)
        diagonal = there.forward(table[None], table[None], diag=True)[number].numpy()
        assert diagonal == pytest.approx(kernel.variance(process.theta, points))


def test_both_engines_ask_for_the_same_place(problem: Problem, rows: list[Observation]) -> None:
    there = ask(replace(problem, settings=replace(problem.settings, engine="botorch")), rows, (), "robot", 14)
    here = ask(problem, rows, (), "robot", 14)
    assert there.acquisition == "LogNoisyExpectedImprovement"
    assert there.x == pytest.approx(here.x, abs=0.03)
    assert there.expected_gain == pytest.approx(here.expected_gain, rel=0.2)


def test_botorch_suggestions_repeat_and_leave_the_global_generator_alone(
    problem: Problem, rows: list[Observation]
) -> None:
    problem = replace(problem, settings=replace(problem.settings, engine="botorch"))
    pending = [Pending("robot", (0.06, 0.34, 0.6), "a")]
    before = torch.random.get_rng_state()
    first = ask(problem, rows, pending, "robot", 14).to_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    second = ask(problem, rows[::-1], pending, "robot", 14).to_dict()
    del first["timing"], second["timing"]
    assert first == second


@pytest.mark.slow
def test_both_engines_see_the_same_volume(make_problem: Callable[..., Problem], rows: list[Observation]) -> None:
    """Two objectives, one of them limited: the closed form, and samples of BoTorch's function on the same models."""
    robot = [replace(row, values={"y": row.values, "z": 1 - row.x[1]}) for row in rows if row.source == "robot"]
    source = replace(make_problem().sources[0], measures=("y", "z"))
    wanted = (Objective("y", "robot", reference=-1.0), Objective("z", "robot", reference=0.2, at_most=0.95))
    problem = make_problem(sources=(source,), objectives=wanted)
    study, rng = Study.of_rows(problem, robot, ()), np.random.default_rng(0)
    parts, known = study.fit_all(0, rng), study.complete()
    here = NoisyHypervolumeImprovement(parts, (0, 1), study.coordinates, known, rng)
    there = engine.LogNoisyHypervolumeImprovement(parts, (0, 1), study.coordinates, (known, known[:0]), rng)
    places, _ = study.target_space.sample(40, rng)
    expected, found = np.exp(here(places)), np.exp(there(places))
    best = expected.argmax()
    assert found[best] == pytest.approx(expected[best], rel=0.25)
    assert np.corrcoef(expected, found)[0, 1] > 0.95
    few = replace(problem.settings, engine="botorch", n_hyper_samples=4, n_raw=200)
    ours = ask(replace(problem, settings=few), robot, (), "robot", 8)
    assert (ours.acquisition, ours.is_fallback) == ("LogNoisyHypervolumeImprovement", False)


def test_nothing_is_compiled_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed while it compiles leaves a lock at which all others wait; BoTorch would compile here."""
    from botorch.acquisition.multi_objective import logei
    from torch.utils import cpp_extension

    compiled: list[object] = []
    monkeypatch.setattr(cpp_extension, "load", lambda *names, **options: compiled.append(options))
    logei._try_load_fused_kernel()
    assert (compiled, logei._C) == ([], None)
    # the name that the engine sets is still the one that BoTorch asks
    monkeypatch.setattr(logei, "_load_attempted", False)
    logei._try_load_fused_kernel()
    assert compiled


def test_what_botorch_cannot_do_is_refused(problem: Problem) -> None:
    limited = (Objective("y", "robot", at_most=1.0),)
    with pytest.raises(InputError, match="engine is 'botorch', accepted is 'plain' with scalarise, and where"):
        replace(problem, objectives=limited, settings=replace(problem.settings, engine="botorch"))
