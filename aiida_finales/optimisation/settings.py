"""Every knob of the optimiser, and the values of those that older problems do not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.optimisation.objective import require

#: Mean and standard deviation of the natural logarithm of a hyperparameter under its prior.
LogNormal = tuple[float, float]

KERNELS = ("rbf", "matern")
ENGINES = ("plain", "botorch")
SCALARS = (None, "weights", "chebyshev")
#: A margin or a step of half of everything leaves nothing to choose.
HALF = 0.5
#: Largest error of a number of steps of the resolution, which is one of arithmetic.
EXACT = 1e-9


@dataclass(frozen=True)
class OptimiserSettings:
    """Every knob of the optimiser.

    Lengths are in units of the target's range of each component, amplitudes in units of the standard deviation of all
    values; a prior is (mean, standard deviation) of the natural logarithm.

    :param seed: of the campaign; each step derives its own from it, the step number and the source.
    :param n_initial: space-filling points before the model is used, over all sources; ``None`` is 5 + components.
    :param kernel: ``rbf`` for smooth properties, ``matern`` (5/2) for rough ones.
    :param engine: ``plain`` (numpy, scipy) or ``botorch`` (the same model under qLogNEI; needs the extra ``optimise``).
    :param margin: mole fraction kept from every limit except absence (0) and purity (1), which are exact.
    :param resolution: step in mole fraction to which compositions are rounded; must divide 1.
    :param separation: kept between requests that are under way at one source, as a share of the widest range that its
        space leaves to a component; given up where nothing else is left.
    :param n_hyper_samples: posterior samples of the hyperparameters that every prediction averages over.
    :param burn: elliptical slice steps thrown away.
    :param keep: elliptical slice steps the samples are thinned from.
    :param n_starts: draws from the prior of which the likeliest starts the chain.
    :param n_raw: random candidates scored before the refinement.
    :param n_top: candidates refined in each round.
    :param n_children: perturbations of each of them per round.
    :param n_pairs: antithetic pairs of joint samples at the evaluated points, per hyperparameter sample.
    :param n_front_pairs: the same where several objectives are traded for each other.
    :param n_optima: sampled optima per hyperparameter sample when another source is placed.
    :param n_paths: points on which the sampled functions are compared then.
    :param n_listed: candidates reported with a suggestion.
    :param n_faces: further candidates on edges and faces of the space, beside all its corners.
    :param n_front: points at most of a predicted front.
    :param n_chain_rows: rows at most from which the hyperparameters are sampled; every prediction is given all rows.
        ``None``: no limit.
    :param n_quadratic: inputs at most up to which the trend is quadratic; with more it is linear.
    :param scalarise: ``weights`` or ``chebyshev``: make one number of several objectives instead of looking for the
        front; ``None``: look for the front.
    :param weights: of the objectives when they are made one number, in their order; empty: drawn anew at each step.
    :param allow_replicates: whether a composition may be asked for that is known or pending for the same source.
    :param length_prior: of the length scale of each free component.
    :param variable_length_prior: the same of each variable, in units of its range; most properties follow it smoothly.
    :param growth_prior: of the factor by which the property grows over the range of each variable, where all values are
        above 0 and modelled as they are; ``None``: by none.
    :param arrhenius: whether a property above 0 is modelled as its logarithm where a temperature varies, unless the
        results are clearly better predicted as they are: rates and transport follow an exponential of 1/T. Without, it
        is modelled as it is unless they are clearly better predicted by the logarithm, as with any other variable.
    :param signal_prior: of the amplitude of the common function beyond its quadratic trend.
    :param discrepancy_prior: of the amplitude by which another source departs from the target beyond a constant.
    :param ratio_prior: of the factor by which another source measures the target; ``None``: 1.
    :param noise_prior: of the noise of each source.
    :param category_prior: of the amplitude by which an option of a category departs beyond a constant and a trend.
    :param discrepancy_length: length scale of the departure relative to that of the common function.
    :param slope_sd: prior standard deviation of the linear trend of the departure, per half range of a component.
    :param max_evaluations: stop after so many results; ``None``: no limit.
    :param budget: stop when the costs of the results reach this; ``None``: no limit.
    :param gain_tolerance: stop when the expected gain stays below this share of the spread of the values.
    :param gain_patience: for so many suggestions in a row.
    """

    seed: int = 0
    n_initial: int | None = None
    kernel: str = "rbf"
    engine: str = "plain"
    margin: float = 0.0
    resolution: float = 1e-4
    separation: float = 0.04
    n_hyper_samples: int = 16
    burn: int = 60
    keep: int = 160
    n_starts: int = 48
    n_raw: int = 1000
    n_top: int = 5
    n_children: int = 30
    n_pairs: int = 8
    n_front_pairs: int = 2
    n_optima: int = 16
    n_paths: int = 250
    n_listed: int = 5
    n_faces: int = 200
    n_front: int = 50
    n_chain_rows: int | None = 200
    n_quadratic: int = 6
    scalarise: str | None = None
    weights: tuple[float, ...] = ()
    allow_replicates: bool = False
    length_prior: LogNormal = (0.0, 0.75)
    variable_length_prior: LogNormal = (float(np.log(3.0)), 0.75)
    growth_prior: LogNormal | None = (0.0, 1.0)
    arrhenius: bool = True
    signal_prior: LogNormal = (float(np.log(0.7)), 0.8)
    discrepancy_prior: LogNormal = (float(np.log(0.15)), 0.8)
    ratio_prior: LogNormal | None = (0.0, 0.3)
    noise_prior: LogNormal = (float(np.log(0.1)), 1.0)
    category_prior: LogNormal = (float(np.log(0.3)), 0.8)
    discrepancy_length: float = 1.5
    slope_sd: float = 0.3
    max_evaluations: int | None = None
    budget: float | None = None
    gain_tolerance: float | None = None
    gain_patience: int = 3

    def __post_init__(self) -> None:
        """Refuse what no step could work with."""
        require("kernel", self.kernel, self.kernel in KERNELS, f"one of {KERNELS}")
        require("engine", self.engine, self.engine in ENGINES, f"one of {ENGINES}")
        require("scalarise", self.scalarise, self.scalarise in SCALARS, f"one of {SCALARS}")
        require("weights", self.weights, all(weight > 0 for weight in self.weights), "numbers above 0")
        require("margin", self.margin, 0 <= self.margin < HALF, "a mole fraction from 0 to 0.5")
        require("separation", self.separation, 0 <= self.separation < HALF, "a share from 0 to 0.5")
        steps = round(1 / self.resolution) if 0 < self.resolution <= HALF else 0
        divides = steps > 0 and abs(steps * self.resolution - 1) < EXACT
        require("resolution", self.resolution, divides, "a mole fraction that divides 1, such as 0.0001")
        for name in (
            "n_hyper_samples",
            "n_starts",
            "n_raw",
            "n_top",
            "n_pairs",
            "n_optima",
            "n_paths",
            "gain_patience",
            "n_front",
            "n_quadratic",
        ):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require(
            "keep", self.keep, self.keep >= self.n_hyper_samples, f"at least n_hyper_samples = {self.n_hyper_samples}"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OptimiserSettings:
        """Return the settings written by :func:`dataclasses.asdict` and read back from JSON."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            msg = f"settings {unknown} are unknown; known are {sorted(cls.__dataclass_fields__)}"
            raise InputError(msg)
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        try:
            return cls(**fields)
        except TypeError as error:  # a comparison of what is no number
            defaults = cls()
            for name, value in fields.items():
                is_number = isinstance(getattr(defaults, name), (int, float))
                require(name, value, not is_number or isinstance(value, (int, float)), "a number")
            msg = f"settings {dict(data)} cannot be used: {error}"
            raise InputError(msg) from error


#: Settings that older problems do not have, with the values that give the answers of then.
OF_OLD: dict[str, Any] = {"ratio_prior": None, "growth_prior": None, "arrhenius": False}
#: The same, of problems that know one objective.
OF_OLDEST: dict[str, Any] = {**OF_OLD, "n_faces": 0, "n_chain_rows": None, "n_quadratic": 1000}
