"""The life of a cell of the laboratory on the simulated cycler: by the twin, or by PyBaMM."""

from __future__ import annotations

import hashlib

from aiida_finales.exceptions import DeviceLimitationError, InputError
from aiida_finales.lab.simulated.cycler_order import CyclerSettings
from aiida_finales.lab.simulated.inventory import Thing
from aiida_finales.science.ageing.cell import PARAMETER_SETS, make_cell
from aiida_finales.science.ageing.cycling import CellLife
from aiida_finales.science.ageing.pybamm import PYBAMM_SPME, SpmeLife, make_spme_cell
from aiida_finales.science.ageing.twin import Life, Protocol


def live(cell: Thing, settings: CyclerSettings, protocol: Protocol, n_cycles: int) -> CellLife:
    """Return the life of a cell, from what it is truly made of; the same cell and settings give the same life.

    :raises DeviceLimitationError: when the model cannot cycle it so, naming the first cycle that fails.
    """
    seed, is_defective = _seed(cell, settings), bool(cell.content.get("defect"))
    fractions, cathode = cell.content["fractions"], cell.content["cathode"]
    loading, size = cathode["mass_loading"], cathode["size"]
    try:
        if settings.ageing == PYBAMM_SPME:
            layered = make_spme_cell(fractions, mass_loading=loading, size=size, seed=seed, defective=is_defective)
            return SpmeLife(layered, protocol, n_cycles)
        kind = PARAMETER_SETS[settings.ageing]
        twin = make_cell(fractions, mass_loading=loading, size=size, seed=seed, parameters=kind, defective=is_defective)
        return Life(twin, protocol, n_cycles)
    except InputError as error:
        raise DeviceLimitationError(f"{cell.identity}: {error}") from error


def _seed(cell: Thing, settings: CyclerSettings) -> int:
    """Return what makes the cell this one."""
    text = f"{cell.identity}/{settings.seed}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
