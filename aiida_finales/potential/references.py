"""What labels a frame: GFN-xTB by tblite, a calculator of ASE, or a potential that is there already."""

from __future__ import annotations

import errno
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_finales.exceptions import (
    EngineError,
    ForceFieldError,
    MissingExtraError,
    NotConvergedError,
    SimulationInputError,
    StorageError,
    explain_os_error,
)
from aiida_finales.md.cell import Cell
from aiida_finales.potential.cp2k import Cp2k, Cp2kOptions
from aiida_finales.potential.dynamics import Evaluation, Source
from aiida_finales.potential.input import PotentialInput, ReferenceSettings, is_tight_binding
from aiida_finales.schemas.defects import find_defects

if TYPE_CHECKING:
    from ase import Atoms

#: iterations after which a charge distribution is said not to converge
MOST_ITERATIONS = 250
#: errors of the operating system that say that a disk is full
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Labeller:
    """A calculator of ASE that says where it failed.

    :param title: what results call it.
    """

    def __init__(self, calculator: Any, title: str) -> None:
        self.calculator, self.title = calculator, title

    def evaluate(self, frame: Atoms) -> Evaluation:
        """Return energy and forces.

        :raises NotConvergedError: when there are none.
        :raises EngineError: when the method's program cannot be run.
        :raises ForceFieldError: when the method does not know an element, or has no forces.
        :raises StorageError: when the disk is full.
        """
        copy = frame.copy()
        copy.calc = self.calculator
        try:
            energy, forces = float(copy.get_potential_energy()), np.array(copy.get_forces(), dtype=float)
        except OSError as error:  # no other frame would fare better where the disk is full, or the program missing
            if error.errno in NO_ROOM:
                raise StorageError(f"{self.title}: nothing can be written: {explain_os_error(error)}") from error
            if isinstance(error, FileNotFoundError | PermissionError):
                raise EngineError(f"{self.title} cannot be run here: {explain_os_error(error)}") from error
            raise self._failed(error) from error
        except NotImplementedError as error:
            raise ForceFieldError(f"{self.title}: {error}") from error
        except _not_set_up() as error:
            raise EngineError(f"{self.title} cannot be run here: {_first_line(error)}") from error
        except Exception as error:  # whatever a program of others raises for one frame is about that frame
            raise self._failed(error) from error
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise NotConvergedError(f"{self.title}: energy or a force is no number")
        return Evaluation(energy, forces)

    def _failed(self, error: Exception) -> NotConvergedError:
        if hasattr(self.calculator, "reset"):
            self.calculator.reset()
        return NotConvergedError(f"{self.title}: {type(error).__name__}: {error}")


def describe_reference(title: str) -> str:
    """Return what results say of a method: of tight binding, that it is no density functional theory."""
    return f"{title}, not DFT" if is_tight_binding(title) else title


def make_reference(given: PotentialInput, cell: Cell) -> Source:
    """Return what labels frames.

    :raises MissingExtraError: when tblite is not installed.
    :raises ForceFieldError: when there is no such calculator.
    """
    settings = given.reference
    if settings.method == "teacher":
        from aiida_finales.potential.committee import Committee

        return Committee(Path(str(settings.path)), cell, given.device)
    if settings.method == "ase":
        return Labeller(_make_calculator(settings), settings.title)
    if settings.method == "CP2K":
        return _make_cp2k(settings)
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise MissingExtraError("mlp", f"{settings.method} by tblite") from error
    calculator = TBLite(method=settings.method, verbosity=0, max_iterations=MOST_ITERATIONS)
    return Labeller(calculator, f"{settings.method} (tblite {version('tblite')})")


def begin_title(settings: ReferenceSettings) -> str:
    """Return what the title of a method begins with, as far as that is known without its program or its files.

    :raises SimulationInputError: when options of CP2K are none.
    """
    if settings.method == "CP2K":
        return settings.name or _read_options(settings).title
    return "" if settings.method == "teacher" else settings.title


def _make_cp2k(settings: ReferenceSettings) -> Source:
    options = _read_options(settings)
    return Cp2k(str(settings.command), options, settings.name or options.title)


def _read_options(settings: ReferenceSettings) -> Cp2kOptions:
    defects = find_defects(Cp2kOptions, settings.options)
    if defects:
        lines = (f"{item['path']}: {item['given']!r} was given, accepted is {item['accepted']}" for item in defects)
        raise SimulationInputError(f"reference.options: {'; '.join(lines)}")
    return Cp2kOptions.model_validate(settings.options)


def _make_calculator(settings: ReferenceSettings) -> Any:
    module, _, name = str(settings.calculator).rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ForceFieldError(f"reference.calculator: {settings.calculator} is not there: {error}") from error
    try:
        found = kind(**settings.options)
    except _not_set_up() as error:
        raise EngineError(f"{settings.calculator} cannot be run here: {_first_line(error)}") from error
    except Exception as error:
        words = f"reference.options: {settings.calculator} cannot be made: {type(error).__name__}: {error}"
        raise SimulationInputError(words) from error
    # frames of ASE have energies and forces as well, of whatever calculates them
    if hasattr(found, "calc") or not all(hasattr(found, name) for name in ("get_potential_energy", "get_forces")):
        words = f"{settings.calculator} was given, accepted is module and class of a calculator of ASE"
        raise SimulationInputError(f"reference.calculator: {words}")
    return found


def _not_set_up() -> tuple[type[Exception], ...]:
    """Return what calculators of ASE raise where their program is not there."""
    from ase.calculators import calculator

    return calculator.BadConfiguration, calculator.CalculatorSetupError, calculator.EnvironmentError


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
