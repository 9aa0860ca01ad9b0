"""A simulated lithium-ion cell that ages, solved by PyBaMM: particles, electrolyte and the growth of the SEI.

Another way to the same records as :mod:`~aiida_finales.science.ageing.twin`, which is closed and quick; this one solves
differential equations, and needs the extra ``pybamm``.

**Model.** The single-particle model with electrolyte (S. G. Marquis et al., J. Electrochem. Soc. 166 (2019) A3693,
doi:10.1149/2.0341915jes) in PyBaMM (V. Sulzer et al., J. Open Res. Softw. 9 (2021) 14, doi:10.5334/jors.309), with the
parameters of an NMC811/graphite-silicon cell (C.-H. Chen et al., J. Electrochem. Soc. 167 (2020) 080534,
doi:10.1149/1945-7111/ab9050) at 298.15 K. Both electrodes are as thick as the mass loading asks for.

**Electrolyte.** The salt concentration is that of the formulation, and the conductivity is a table of
:func:`~aiida_finales.science.electrolyte.conductivity.benchmark_conductivity` over it; diffusivity, transference number
and activity stay those of Chen et al.

**Ageing.** The SEI grows by the reduction of EC, whose concentration is that of the formulation; it consumes lithium
and adds a resistance. Nothing else ages. Without EC it would not grow at all, which is not so in reality.

**Chance.** Cells differ as those of the twin do, by the same draws; from cycle to cycle there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError, MissingExtraError
from aiida_finales.science.ageing.cell import (
    DEFECT_RATE,
    DEFECT_RESISTANCE,
    PUBLISHED_COIN_CELL,
    AgeingParameters,
    check_cell,
    draw_scatter,
)
from aiida_finales.science.ageing.cycling import CellLife, HalfCycle
from aiida_finales.science.ageing.twin import Protocol, Stage
from aiida_finales.science.array import Array
from aiida_finales.science.electrolyte.composition import EC, EMC, LIPF6, describe, mass
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.science.electrolyte.density import fractions_from_concentration, molar_volume, salt_concentration

#: Name of the method in settings and labels.
PYBAMM_SPME = "pybamm_spme"
#: mAh/cm2 of the cell of Chen et al.: 5 Ah on 65 mm x 1.58 m.
_CHEN_LOADING = 5.0e3 / (6.5 * 158.0)
#: Of the SEI's rate constant, so that a cell lasts for tens of cycles rather than for a few. Fitted to nothing.
_SEI_FACTOR = 0.02
#: Ohm times Ah of nominal capacity: what contacts take at 1C (V). A guess; it carries scatter and defects.
_CONTACT = 0.02
#: mol/L of the table of the conductivity.
_TABLE = np.linspace(0.0, 4.5, 91)
#: S/m below which the table does not go: the surface is fitted to what conducts.
_LEAST_CONDUCTIVITY = 1e-3
#: Mole fraction of EC in the solvent within which the surface is fitted.
_EC_RANGE = (0.05, 0.56)
_TEMPERATURE = 298.15
#: Points of a half cycle that are computed, about.
_N_COMPUTED = 100
#: V by which the model's own limits are outside of the window, so that only the protocol ends a step.
_MARGIN = 0.05
#: Half cycles take at most so many times their nominal duration; the voltage always ends them before.
_PATIENCE = 5.0
#: Mesh points across each electrode and the separator, and along each particle.
_MESH = {"x_n": 5, "x_s": 5, "x_p": 5, "r_n": 10, "r_p": 10}
_HOUR = 3600.0

#: Time (s), current (A, positive while charging) and voltage (V) of one step.
Segment = tuple[Array, Array, Array]


def check_pybamm() -> None:
    """Look whether PyBaMM is installed, without the seconds that importing it takes.

    :raises MissingExtraError: when it is not.
    """
    if find_spec("pybamm") is None:
        raise MissingExtraError("pybamm", f"the ageing '{PYBAMM_SPME}'")


@dataclass(frozen=True)
class SpmeCell:
    """One cell, as it really is.

    :param fractions: of the electrolyte, mole fractions by InChIKey.
    :param nominal: capacity that the mass loading promises, Ah.
    :param area: of the positive electrode, m².
    :param thickness: of both electrodes, relative to those of Chen et al.
    :param contact: resistance, ohm.
    :param rate: of the growth of the SEI, relative to that of the median cell.
    """

    fractions: Mapping[str, float]
    nominal: float
    area: float
    thickness: float
    contact: float
    rate: float


def make_spme_cell(
    fractions: Mapping[str, float],
    *,
    mass_loading: float,
    size: float,
    seed: int,
    parameters: AgeingParameters = PUBLISHED_COIN_CELL,
    defective: bool = False,
) -> SpmeCell:
    """Return a cell with its scatter; arguments as of :func:`~aiida_finales.science.ageing.cell.make_cell`.

    :param parameters: whose scatter the cells have.
    :raises InputError: when the electrolyte is not LiPF6 in EC and EMC, or the electrode holds nothing.
    """
    check_cell(fractions, mass_loading, size)
    others = {key for key, value in fractions.items() if value and key not in (LIPF6, EC, EMC)}
    if others or not fractions.get(LIPF6) or not (fractions.get(EC) or fractions.get(EMC)):
        raise InputError(f"{describe(fractions)} was given, accepted by {PYBAMM_SPME} is LiPF6 in EC and EMC alone")
    rate, resistance, capacity = draw_scatter(seed, parameters)
    nominal = mass_loading * size * 1e-3
    return SpmeCell(
        fractions=fractions,
        nominal=nominal,
        area=size * 1e-4,
        thickness=mass_loading / _CHEN_LOADING * capacity,
        contact=_CONTACT / nominal * resistance * (DEFECT_RESISTANCE if defective else 1.0),
        rate=rate * (DEFECT_RATE if defective else 1.0),
    )


class SpmeLife(CellLife):
    """A cell that was cycled, as :class:`~aiida_finales.science.ageing.twin.Life` is one.

    :param n_cycles: cycles after formation.
    :raises MissingExtraError: without PyBaMM.
    :raises InputError: when a cycle cannot be completed, naming it.
    """

    def __init__(self, cell: SpmeCell, protocol: Protocol, n_cycles: int) -> None:
        if n_cycles < 0 or protocol.n_formation < 0 or n_cycles + protocol.n_formation == 0:
            raise InputError(f"{n_cycles} cycles after {protocol.n_formation}, accepted is one cycle or more")
        self.cell, self.protocol = cell, protocol
        self.n_cycles, self.n_formation = n_cycles, protocol.n_formation
        pybamm = _import_pybamm()
        self.name = f"{PYBAMM_SPME} (PyBaMM {pybamm.__version__})"
        self._cycles = self._solve(pybamm)

    def charge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a charge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """
        charge = self._locate(cycle)[:-1]
        if len(charge) == 1:
            return _resample(charge, (n_points,))
        return _resample(charge, (n_points - n_points // 4, n_points // 4))

    def discharge_half(self, cycle: int, n_points: int = 100) -> HalfCycle:
        """Return the record of a discharge.

        :param cycle: from 1 after formation; 0 and below are formation cycles.
        """
        return _resample(self._locate(cycle)[-1:], (n_points,))

    def _locate(self, cycle: int) -> list[Segment]:
        first, last = 1 - self.n_formation, self.n_cycles
        if not first <= cycle <= last:
            raise InputError(f"cycle {cycle} was asked for, accepted is {first} to {last}")
        return self._cycles[cycle + self.n_formation - 1]

    def _solve(self, pybamm: Any) -> list[list[Segment]]:
        """Return the steps of each cycle, the formation cycles first; the last step of a cycle is the discharge."""
        stages = [self.protocol.formation] * self.n_formation + [self.protocol.cycling] * self.n_cycles
        simulation = pybamm.Simulation(
            pybamm.lithium_ion.SPMe({"SEI": "ec reaction limited", "contact resistance": "true"}),
            parameter_values=_make_parameters(pybamm, self.cell, self.protocol),
            experiment=pybamm.Experiment([_make_steps(pybamm, stage, self.cell.nominal) for stage in stages]),
            var_pts=_MESH,
            solver=pybamm.IDAKLUSolver(),
        )
        try:
            solution = simulation.solve(initial_soc=0.0, calc_esoh=False)
        except pybamm.SolverError as error:  # only of the first cycle: those of others end the solution early
            raise self._refuse(0) from error
        solved = list(_read_cycles(pybamm, solution))
        if len(solved) < len(stages):
            raise self._refuse(len(solved))
        return solved

    def _refuse(self, n_solved: int) -> InputError:
        number = n_solved + 1 - self.n_formation
        which = f"cycle {number} of {self.n_cycles}"
        if number < 1:
            which = f"formation cycle {n_solved + 1} of {self.n_formation}"
        return InputError(
            f"{PYBAMM_SPME} cannot complete {which} with {describe(self.cell.fractions)}. Ask for fewer cycles, lower "
            "rates, or a formulation that conducts better"
        )


def _import_pybamm() -> Any:
    """Return the package, which does not report its use to anybody."""
    check_pybamm()
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"  # it is read when the package is imported
    import pybamm  # takes seconds

    pybamm.set_logging_level("ERROR")
    return pybamm


def _make_parameters(pybamm: Any, cell: SpmeCell, protocol: Protocol) -> Any:
    values = pybamm.ParameterValues("Chen2020")
    stages = (protocol.formation, protocol.cycling)
    side = cell.area**0.5
    conductivity = _tabulate_conductivity(cell.fractions)

    def conduct(concentration: Any, temperature: Any) -> Any:
        return pybamm.Interpolant(_TABLE * 1e3, conductivity, concentration, interpolator="linear")

    scaled = {
        "Negative electrode thickness [m]": cell.thickness,
        "Positive electrode thickness [m]": cell.thickness,
        "SEI kinetic rate constant [m.s-1]": _SEI_FACTOR * cell.rate,
    }
    values.update(
        {name: values[name] * factor for name, factor in scaled.items()}
        | {
            "Electrolyte conductivity [S.m-1]": conduct,
            "Initial concentration in electrolyte [mol.m-3]": 1e3 * salt_concentration(cell.fractions),
            "EC initial concentration in electrolyte [mol.m-3]": _ec_concentration(cell.fractions),
            "Electrode height [m]": side,
            "Electrode width [m]": side,
            "Number of electrodes connected in parallel to make a cell": 1.0,
            "Nominal cell capacity [A.h]": cell.nominal,
            "Contact resistance [Ohm]": cell.contact,
            "Upper voltage cut-off [V]": max(stage.high for stage in stages) + _MARGIN,
            "Lower voltage cut-off [V]": min(stage.low for stage in stages) - _MARGIN,
        }
    )
    return values


def _ec_concentration(fractions: Mapping[str, float]) -> float:
    """Return mol of EC per m³ of solution."""
    return 1e6 * fractions.get(EC, 0.0) / molar_volume(fractions)


def _tabulate_conductivity(fractions: Mapping[str, float]) -> Array:
    """Return the conductivity in S/m at the concentrations of the table, in the solvent of a formulation."""
    share = fractions.get(EC, 0.0) / (fractions.get(EC, 0.0) + fractions.get(EMC, 0.0))
    ec = min(max(share, _EC_RANGE[0]), _EC_RANGE[1])
    masses = {key: part * mass({key: 1.0}) for key, part in ((EC, ec), (EMC, 1 - ec))}
    table = [benchmark_conductivity(fractions_from_concentration(x, masses), _TEMPERATURE) for x in _TABLE]
    return np.asarray(np.maximum(table, _LEAST_CONDUCTIVITY), dtype=float)


def _make_steps(pybamm: Any, stage: Stage, nominal: float) -> tuple[Any, ...]:
    """Return charge, constant voltage where there is some, and discharge."""
    step = pybamm.step
    steps = [_constant_current(step, -stage.charge, stage.high, nominal)]
    if stage.cutoff < stage.charge:
        hold = nominal / stage.charge * _HOUR
        end = f"{stage.cutoff} A"
        # a current that never falls so low ends with the time, as it would on a cycler
        steps.append(step.voltage(stage.high, termination=end, duration=_PATIENCE * hold, period=hold / _N_COMPUTED))
    return (*steps, _constant_current(step, stage.discharge, stage.low, nominal))


def _constant_current(step: Any, current: float, voltage: float, nominal: float) -> Any:
    duration = nominal / abs(current) * _HOUR
    return step.current(
        current, termination=f"{voltage} V", duration=_PATIENCE * duration, period=duration / _N_COMPUTED
    )


def _read_cycles(pybamm: Any, solution: Any) -> Iterator[list[Segment]]:
    """Yield the steps of each cycle, up to the first one that was not completed."""
    for cycle in solution.cycles:
        steps = [step for step in cycle.steps if not isinstance(step, pybamm.EmptySolution)]
        segments = [_read_step(step) for step in steps]
        is_charged = any(np.all(current > 0) for _, current, _ in segments[:1])
        is_discharged = bool(segments) and bool(np.all(segments[-1][1] < 0))
        if not (is_charged and is_discharged and "[experiment]" in str(steps[-1].termination)):
            return
        yield segments


def _read_step(step: Any) -> Segment:
    time, current, voltage = (
        np.asarray(step[name].entries, dtype=float) for name in ("Time [s]", "Current [A]", "Terminal voltage [V]")
    )
    return time, -current, voltage


def _resample(segments: list[Segment], lengths: tuple[int, ...]) -> HalfCycle:
    """Return steps in a row as one record.

    :param lengths: number of points of each step, at least 2 of each.
    """
    columns: list[Array] = []
    for (time, current, voltage), length in zip(segments, lengths, strict=True):
        grid = np.linspace(time[0], time[-1], max(length, 2))
        columns.append(np.stack((grid, np.interp(grid, time, current), np.interp(grid, time, voltage))))
    time, current, voltage = np.concatenate(columns, axis=1)
    return HalfCycle(time - time[0], current, voltage)
