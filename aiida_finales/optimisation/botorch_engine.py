"""The same model in the form that BoTorch works with, for its acquisition functions and its gradients.

The hyperparameters are those that :mod:`.surrogate` sampled: a batch of Gaussian processes whose acquisition values are
averaged. Everything here needs the extra ``optimise``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import FitError, MissingExtraError
from aiida_finales.optimisation.hypervolume import Aim, Exponential
from aiida_finales.optimisation.kernel import MIDDLE
from aiida_finales.optimisation.search import Candidates, rank
from aiida_finales.optimisation.surrogate import JITTER
from aiida_finales.science.array import Array

if TYPE_CHECKING:
    from aiida_finales.optimisation.acquisition import Acquisition
    from aiida_finales.optimisation.coordinates import Coordinates
    from aiida_finales.optimisation.kernel import Points
    from aiida_finales.optimisation.polytope import Polytope
    from aiida_finales.optimisation.space import DesignSpace
    from aiida_finales.optimisation.surrogate import Surrogate

try:
    import torch
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective import logei
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
    from botorch.models import SingleTaskGP
    from botorch.models.model_list_gp_regression import ModelListGP
    from botorch.optim.optimize import optimize_acqf
    from botorch.posteriors.fully_bayesian import MCMC_DIM, GaussianMixturePosterior
    from botorch.sampling.normal import SobolQMCNormalSampler
    from gpytorch.kernels import Kernel as TorchKernel
    from gpytorch.means import ZeroMean
except ImportError as error:
    raise MissingExtraError("optimise", "the engine 'botorch' of the optimiser") from error

# Else the first hypervolume of a process is compiled for the processor at hand: most of a minute, last digits that
# differ from machine to machine, and a lock that a worker killed meanwhile leaves behind, at which all later ones wait
# for ever. BoTorch has no public switch for it.
logei._load_attempted = True  # noqa: SLF001

#: Joint samples per hyperparameter sample; with 16 of those, as many in all as a single model would get by default.
N_SAMPLES = 16
#: Starts of the gradient search, and its fixed number of iterations (no time limit: a step must be repeatable).
N_RESTARTS = 8
N_ITERATIONS = 100


class MultiSourceKernel(TorchKernel):  # type: ignore[misc]
    """The covariance of :class:`.Kernel` for a batch of hyperparameters, on rows (free coordinates, source).

    :param surrogate: whose s hyperparameter samples are used.
    """

    has_lengthscale = False

    def __init__(self, surrogate: Surrogate) -> None:
        thetas = torch.tensor(np.array([process.theta for process in surrogate.processes]))
        super().__init__(batch_shape=thetas.shape[:1])
        self._kernel = surrogate.kernel
        self.register_buffer("thetas", thetas)

    def forward(self, x1: Any, x2: Any, diag: bool = False, **_: Any) -> Any:
        """Return the covariance (... x s x n x m), or its diagonal (... x s x n)."""
        f, kernel = self._kernel.n_free, self._kernel
        first, second = x1[..., :f], x2[..., :f]
        lengths = self.thetas[:, None, :f].exp()
        linear = self._pair(2 * first - 1, 2 * second - 1, diag)
        squares = self._squares(first / lengths, second / lengths, diag)
        # sum over i <= j of v_i v_j w_i w_j, from the full double sum and its diagonal
        diagonal = self._pair((2 * first - 1) ** 2, (2 * second - 1) ** 2, diag)
        result = 1 + linear
        if f <= kernel.settings.n_quadratic:
            result = result + (linear**2 + diagonal) / 2
        result = result + self._of("signal", diag) * self._correlate(squares)
        for number in range(kernel.n_categories):
            left, right = x1[..., f + 1 + number], x2[..., f + 1 + number]
            same = (left == right if diag else left[..., :, None] == right[..., None, :]).to(x1)
            extra = self._of(f"category_{number}", diag) * self._correlate(
                squares / kernel.settings.discrepancy_length**2
            )
            result = result + same * (1 + kernel.settings.slope_sd**2 * linear + extra)
        left, right = self._factors(x1), self._factors(x2)
        result = result * (left * right if diag else left[..., :, None] * right[..., None, :])
        if kernel.n_growing:
            result = result + 1
        for source in kernel.sources:
            if source == kernel.target:
                continue
            left, right = (x1[..., f] == source).to(x1), (x2[..., f] == source).to(x2)
            both = left * right if diag else left[..., :, None] * right[..., None, :]
            extra = self._of(f"discrepancy_{source}", diag) * self._correlate(
                squares / kernel.settings.discrepancy_length**2
            )
            result = result + both * (1 + kernel.settings.slope_sd**2 * linear + extra)
        return result

    def _factors(self, rows: Any) -> Any:
        """Return by which factor the common function is measured at rows (... x n x (f + 1 + c)), ... x s x n."""
        f, n_growing = self._kernel.n_free, self._kernel.n_growing
        sources, steps = rows[..., f], rows[..., f - n_growing : f] - MIDDLE
        result = torch.ones_like(sources + self.thetas[:, :1])
        for source in self._kernel.sources:
            name = f"ratio_{source}"
            if name in self._kernel.names:
                factor = self.thetas[:, self._kernel.names.index(name)].exp()[:, None]
                result = torch.where(sources == source, factor, result)
        if n_growing:
            result = result * (steps * self.thetas[:, None, -n_growing:]).sum(-1).exp()
        return result

    def _of(self, name: str, diag: bool) -> Any:
        """Return the squared amplitude of a name in the shape that multiplies a covariance (or its diagonal)."""
        size = (2 * self.thetas[:, self._kernel.names.index(name)]).exp()
        return size[:, None] if diag else size[:, None, None]

    def _correlate(self, squares: Any) -> Any:
        if self._kernel.settings.kernel == "rbf":
            return (-0.5 * squares).exp()
        scaled = (5 * squares + 1e-18).sqrt()  # the root of 0 has no gradient
        return (1 + scaled + scaled**2 / 3) * (-scaled).exp()

    @staticmethod
    def _pair(first: Any, second: Any, diag: bool) -> Any:
        return (first * second).sum(-1) if diag else first @ second.transpose(-1, -2)

    @staticmethod
    def _squares(first: Any, second: Any, diag: bool) -> Any:
        if diag:
            return ((first - second) ** 2).sum(-1)
        return ((first[..., :, None, :] - second[..., None, :, :]) ** 2).sum(-1)


def _rows_of(points: Points) -> Array:
    """Return rows (free coordinates, source, numbers of the options)."""
    return np.column_stack([points.scaled, points.source.astype(float), points.category.astype(float)])


class MixtureGP(SingleTaskGP):
    """All processes of a surrogate as one BoTorch model, whose posterior is their mixture.

    :param surrogate: the model, with its n training rows.
    """

    _is_ensemble = True
    _supports_batched_models = False

    def __init__(self, surrogate: Surrogate) -> None:
        process = surrogate.processes[0]
        rows = torch.tensor(_rows_of(process.points))
        noise = np.array([process.kernel.noise(p.theta, process.points.source) for p in surrogate.processes])
        size = len(surrogate.processes)
        super().__init__(
            train_X=rows.repeat(size, 1, 1),
            train_Y=torch.tensor(process.values)[:, None].repeat(size, 1, 1),
            train_Yvar=torch.tensor(noise + JITTER)[:, :, None],
            covar_module=MultiSourceKernel(surrogate),
            mean_module=ZeroMean(batch_shape=torch.Size([size])),
            outcome_transform=None,
        )
        self.eval()

    def posterior(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803
        """Return the posterior at rows X (... x q x (f + 1))."""
        answer: Any = super().posterior(X.unsqueeze(MCMC_DIM), *args, **kwargs)
        return GaussianMixturePosterior(distribution=answer.distribution)


class LogNoisyExpectedImprovement:
    """The acquisition of Ament et al. 2023 (arXiv:2310.20708), averaged over the hyperparameters.

    :param baseline: shape b x d, evaluated compositions.
    :param pending: shape m x d, compositions under way.
    """

    def __init__(
        self, surrogate: Surrogate, coordinates: Coordinates, baseline: Array, pending: Array, rng: np.random.Generator
    ) -> None:
        self._coordinates = coordinates
        self._target = surrogate.kernel.target
        seed = int(rng.integers(2**31))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._function: Any = qLogNoisyExpectedImprovement(
                MixtureGP(surrogate),
                self._rows(baseline),
                sampler=SobolQMCNormalSampler(torch.Size([N_SAMPLES]), seed=seed),
                X_pending=self._rows(pending) if len(pending) else None,
                prune_baseline=True,
            )

    def _rows(self, compositions: Array) -> Any:
        """Return rows (n x (f + 1)) of the target."""
        points = self._coordinates.points(compositions, self._target)
        return torch.tensor(_rows_of(points))

    def __call__(self, compositions: Array) -> Array:
        """Return the logarithm of the expected improvement (n), in scaled units."""
        with torch.no_grad():
            return np.asarray(self._function(self._rows(compositions)[:, None]).numpy())

    def climb(self, polytope: Polytope, starts: Array) -> Array:
        """Return where gradients lead from starts (n x d) within a region, n x d."""
        if polytope.dimension == 0:
            return starts
        facets = torch.tensor(polytope.facets)
        columns = torch.arange(polytope.dimension)
        corners = polytope.reduce(polytope.corners)
        origin = self._rows(polytope.centre[None])[0]
        directions = self._rows(polytope.centre + polytope.axes) - origin
        found, _ = optimize_acqf(
            _OnPlane(self._function, origin, directions),
            bounds=torch.tensor(np.array([corners.min(axis=0), corners.max(axis=0)])),
            q=1,
            num_restarts=len(starts),
            batch_initial_conditions=torch.tensor(polytope.reduce(starts))[:, None],
            inequality_constraints=[(columns, -facet[:-1], float(facet[-1])) for facet in facets],
            options={"maxiter": N_ITERATIONS},
            return_best_only=False,
        )
        return polytope.pull_inside(polytope.expand(found[:, 0].numpy()), starts)


class LogNoisyHypervolumeImprovement(LogNoisyExpectedImprovement):
    """The same for several objectives, on the volume that the front dominates.

    :param parts: model and aim of each objective.
    :param optimised: numbers of those that are more than a limit.
    :param baseline: shape b x d, points for which every target is known.
    :param pending: shape m x d, points under way.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Surrogate, Aim]],
        optimised: Sequence[int],
        coordinates: Coordinates,
        known: tuple[Array, Array],
        rng: np.random.Generator,
    ) -> None:
        self._coordinates = coordinates
        self._target = parts[0][0].kernel.target
        aims, (baseline, pending) = [aim for _, aim in parts], known
        seed = int(rng.integers(2**31))

        def gains(values: Any, X: Any = None) -> Any:  # noqa: N803
            columns = (_gain(aims[k], values[..., k]) - aims[k].reference for k in optimised)
            return torch.stack(list(columns), dim=-1)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._function = qLogNoisyExpectedHypervolumeImprovement(
                ModelListGP(*[_AtTarget(surrogate) for surrogate, _ in parts]),
                ref_point=[0.0] * len(optimised),
                X_baseline=self._rows(baseline),
                sampler=SobolQMCNormalSampler(torch.Size([N_SAMPLES]), seed=seed),
                objective=GenericMCMultiOutputObjective(gains),
                constraints=_constraints(aims) or None,
                X_pending=self._rows(pending) if len(pending) else None,
                prune_baseline=False,
                cache_root=False,
            )


class _AtTarget(MixtureGP):
    """The mixture, asked for its own target whatever source a row names: all objectives are given the same rows."""

    def __init__(self, surrogate: Surrogate) -> None:
        super().__init__(surrogate)
        self._place = surrogate.kernel.n_free
        self._target = float(surrogate.kernel.target)

    def posterior(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803
        """Return the posterior of the target at rows X."""
        rows = torch.cat(
            [X[..., : self._place], torch.full_like(X[..., :1], self._target), X[..., self._place + 1 :]], dim=-1
        )
        return super().posterior(rows, *args, **kwargs)


def _gain(aim: Aim, values: Any) -> Any:
    if isinstance(aim.scale, Exponential):
        values = ((aim.scale.centre + aim.scale.width * values).exp() - aim.scale.zero) / aim.scale.unit
    return values if aim.value is None else -(values - aim.value).abs()


def _constraints(aims: Sequence[Aim]) -> list[Any]:
    """Return functions that are below 0 where values can be used."""
    found: list[Any] = []
    for number, aim in enumerate(aims):
        if np.isfinite(aim.high):
            found.append(lambda values, k=number, end=aim.high: values[..., k] - end)
        if np.isfinite(aim.low):
            found.append(lambda values, k=number, end=aim.low: end - values[..., k])
    return found


class _OnPlane(AcquisitionFunction):
    """An acquisition function over the own coordinates of a region, which are linear in the rows."""

    def __init__(self, function: Any, origin: Any, directions: Any) -> None:
        super().__init__(model=function.model)
        self._function, self._origin, self._directions = function, origin, directions

    def forward(self, X: Any) -> Any:  # noqa: N803
        """Return values (n) at own coordinates (n x 1 x r)."""
        return self._function(self._origin + X @ self._directions)


def search_with_gradients(
    climbing: LogNoisyExpectedImprovement,
    acquisition: Acquisition,
    space: DesignSpace,
    n_raw: int,
    rng: np.random.Generator,
) -> Candidates:
    """Return random candidates and where gradients led from the best of them, best first.

    :param climbing: what the gradients are of.
    :param acquisition: what the candidates are compared by; may exclude some.
    :raises FitError: when BoTorch gives up.
    """
    try:
        points, parts = space.sample(n_raw, rng)
        values = acquisition(points)
        best = rank(values)[:N_RESTARTS]
        climbed = [
            climbing.climb(polytope, points[best][parts[best] == k])
            for k, polytope in enumerate(space.polytopes)
            if (parts[best] == k).any()
        ]
        points = np.vstack([points, *climbed])
        values = np.concatenate([values, acquisition(np.vstack(climbed))])
    except (RuntimeError, ValueError) as error:
        msg = f"BoTorch gave up: {error}"
        raise FitError(msg) from error
    order = rank(values)
    return Candidates(points[order], values[order])
