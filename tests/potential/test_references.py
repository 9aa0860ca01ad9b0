"""What labels a frame: whose fault it is when there is no label."""

from __future__ import annotations

import errno

import pytest

from aiida_finales.exceptions import EngineError, NotConvergedError, StorageError
from aiida_finales.potential.references import Labeller

calculator = pytest.importorskip("ase.calculators.calculator")
Atoms = pytest.importorskip("ase").Atoms


class Failing(calculator.Calculator):
    """Raises what it is told to."""

    implemented_properties = ("energy", "forces")

    def __init__(self, error):
        super().__init__()
        self.error = error

    def calculate(self, *_args, **_kwargs):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "dft"), EngineError),
        (OSError(errno.EIO, "Input/output error"), NotConvergedError),
        (RuntimeError("SCF"), NotConvergedError),
    ],
    ids=["full disk", "no program", "a file of one frame", "not converged"],
)
def test_what_no_other_frame_would_get_over_ends_all(error, kind):
    with pytest.raises(kind, match="stub"):
        Labeller(Failing(error), "stub").evaluate(Atoms("H", cell=[5.0] * 3, pbc=True))
