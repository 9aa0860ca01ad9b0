"""Covariances that are singular in double precision, on some processors or on all."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_finales.exceptions import FitError
from aiida_finales.science.covariance import factorise


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    "matrix",
    [np.ones((40, 40)), np.vander(np.linspace(0, 1, 30)) @ np.vander(np.linspace(0, 1, 30)).T, np.eye(3)],
    ids=["one value 40 times", "smooth", "independent"],
)
def test_factor_gives_the_covariance_again(matrix, size):
    factor = factorise(size * matrix)
    assert factor @ factor.T / size == pytest.approx(matrix, abs=1e-5)
    assert np.triu(factor, 1) == pytest.approx(np.zeros_like(matrix))


def test_what_is_positive_definite_stays_as_it_is():
    matrix = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert factorise(matrix).tolist() == np.linalg.cholesky(matrix).tolist()


@pytest.mark.parametrize("matrix", [[[1.0, 2.0], [2.0, 1.0]], [[np.nan]], [[1.0, np.inf], [np.inf, 1.0]]])
def test_what_is_no_covariance_is_refused_in_words(matrix):
    with pytest.raises(FitError, match=f"the covariance of {len(matrix)} points is not positive definite"):
        factorise(np.array(matrix))
