"""The force field of ``finales-md`` without constraints: what sampling goes on with, and what a network adds to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aiida_finales.exceptions import SimulationInputError
from aiida_finales.md.cell import Cell, plan_cell
from aiida_finales.md.engine_openmm import check_openmm
from aiida_finales.md.forces import ForceOptions, make_system
from aiida_finales.md.species import digest_terms
from aiida_finales.potential.input import PotentialInput
from aiida_finales.science.array import Array

#: eV per kJ/mol, and nm per angstrom
EV, NM = 1 / 96.48533212, 0.1
#: van der Waals forces vanish smoothly from this part of the cutoff on: flexible dynamics conserve energy
SWITCH = 0.85
#: boxes that are kept ready
MOST_BOXES = 32


def plan(given: PotentialInput) -> Cell:
    """Return what is in a cell.

    :raises SimulationInputError: when ``finales-md`` refuses the mixture or the size of the box.
    :raises ForceFieldError: when there is no force field for a chemical.
    """
    return plan_cell(given.simulation(), given.library(), "cutoff_nm")


class Classical:
    """Energy and forces of a cell in a cubic box.

    :param edge: of the box, angstrom.
    :param cutoff: nm.
    :raises SimulationInputError: when the box is not twice as large as the cutoff.
    """

    def __init__(self, cell: Cell, edge: float, cutoff: float, ion_charge_scale: float) -> None:
        openmm = check_openmm()
        if edge * NM < 2 * cutoff:
            accepted = f"at least {2 * cutoff:g} nm, twice cutoff_nm: more molecules"
            raise SimulationInputError(f"a box of {edge * NM:.3f} nm was given, accepted is {accepted}")
        system = make_system(cell, edge * NM, ForceOptions(cutoff, ion_charge_scale, has_constraints=False))
        for force in system.getForces():
            if isinstance(force, openmm.NonbondedForce):
                force.setUseSwitchingFunction(True)
                force.setSwitchingDistance(SWITCH * cutoff)
        platform = openmm.Platform.getPlatformByName("CPU")
        # a training that goes on in another process must learn the same numbers to the last digit
        self.context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), platform, {"Threads": "1", "DeterministicForces": "true"}
        )

    def evaluate(self, positions: Array) -> tuple[float, Array]:
        """Return energy (eV) and forces (eV/angstrom) at positions in angstrom."""
        self.context.setPositions(np.asarray(positions) * NM)
        state = self.context.getState(getEnergy=True, getForces=True)
        energy = state.getPotentialEnergy()._value * EV  # noqa: SLF001 - in OpenMM's units already
        forces: Array = np.asarray(state.getForces(asNumpy=True)._value) * (EV * NM)  # noqa: SLF001
        return float(energy), forces


class Baseline:
    """What a network adds to, in whatever box a frame has.

    :param cells: the mixtures that frames may be of, told apart by their atoms.
    :param terms: ``kind`` (``classical`` or ``none``), ``cutoff_nm``, ``ion_charge_scale``.
    :raises SimulationInputError: when two mixtures have the same atoms in the same order.
    """

    def __init__(self, cells: Sequence[Cell], terms: dict[str, Any]) -> None:
        self.cells, self.terms = {cell.elements: cell for cell in cells}, terms
        if len(self.cells) < len(cells):
            raise SimulationInputError(
                "two mixtures with the same atoms in the same order were given: nobody could say which of them a "
                "frame is of"
            )
        self.boxes: dict[tuple[tuple[str, ...], float], Classical] = {}

    def evaluate(self, frame: Any) -> tuple[float, Array]:
        """Return energy (eV) and forces (eV/angstrom) of a frame."""
        if self.terms["kind"] == "none":
            return 0.0, np.zeros_like(frame.positions)
        elements, edge = tuple(frame.get_chemical_symbols()), round(float(frame.cell[0, 0]), 6)
        box = elements, edge
        if box not in self.boxes:
            if len(self.boxes) >= MOST_BOXES:  # a barostat comes by without end
                del self.boxes[next(iter(self.boxes))]
            options = self.terms["cutoff_nm"], self.terms["ion_charge_scale"]
            self.boxes[box] = Classical(self.cells[elements], edge, *options)
        return self.boxes[box].evaluate(frame.positions)


def describe_baseline(given: PotentialInput, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return what a network of this input adds to, JSON-ready.

    :param cells: the mixtures that it learns.
    :raises SimulationInputError: when two of them have one name for species with other force fields.
    """
    if given.model.baseline == "none":
        return {"kind": "none"}
    species: dict[str, str] = {}
    for item in (item for cell in cells for item in cell.species):
        if species.setdefault(item.name, digest_terms([item])) != digest_terms([item]):
            raise SimulationInputError(
                f"{item.name} has another force field in one mixture than in another: give the two other names"
            )
    return {
        "kind": "classical",
        "species_sha256": species,
        "cutoff_nm": given.cutoff_nm,
        "ion_charge_scale": given.ion_charge_scale,
    }
