"""How cells of other chemistries age in the simulation: systems of two electrodes and an electrolyte, read from files.

A system says which electrodes and ions it is about (``*``: any that take the ion up), which salts, and how its cells
age; of several that fit, the first counts. Those that come with this package are in ``systems.json``; all of them are
invented, as their file says. Capacity and voltage are not in it: they follow from the records of the electrodes, so
that another record is another cell.

**Voltage.** An electrode with a filling ``y`` has the potential ``mean + slope * (0.5 - y) + RT/F ln((1 - y) / y)``, a
metal and a double layer ``mean - slope * y``. The slope is that of the structure class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.cells import Electrode, Separator, find_electrode
from aiida_finales.schemas.cells.naming import find_cations
from aiida_finales.schemas.cells.record import WORKING_IONS
from aiida_finales.schemas.chemicals import chemical_label, get_chemical, molality
from aiida_finales.science.ageing.cell import (
    DEFECT_RATE,
    DEFECT_RESISTANCE,
    LEAST_MOLALITY,
    AgeingParameters,
    CellDesign,
    TwinCell,
    draw_scatter,
)
from aiida_finales.science.array import Array

FILE = Path(__file__).with_name("systems.json")
ANY = "*"
#: V, RT/F at 298 K
_THERMAL = 0.0257
#: no electrode is filled or emptied further
_EDGE = 1e-3
#: V per filling, beyond it
_STEEP = 100.0
#: positive material over what the record says, and charge carriers in it at assembly
_POSITIVE, _CARRIERS = 1.06, 1.05
#: mole fraction of a salt that is none: what is left in tubes
_TRACE = 1e-4
#: how much faster a cell ages with a salt that its system does not list
_OTHER_SALT = 1.5
#: greatest factor on the resistance of the electrolyte
_SLOWEST = 4.0
#: µm over porosity to the power 1.5: the separator of the published cells, Celgard 2325
_USUAL_SEPARATOR = 25.0 / 0.39**1.5


@dataclass(frozen=True)
class System:
    """Cells that age alike.

    :param positive, negative: names of electrodes; ``*`` is any that takes the ion up.
    :param ions: cations of the electrolyte.
    :param salts: how much faster than with the best one a cell ages, by salt; none: with all alike.
    :param needs: how much faster it ages without a chemical.
    :param best_molality: mol/kg, where cells last longest.
    :param first_loss: share of the capacity that the first charge consumes.
    :param capacity_ratio: of negative to positive electrode where the loading of the negative one is not known.
    :param status: of the numbers: ``invented``, or what they were fitted to.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    ions: tuple[str, ...]
    ageing: AgeingParameters
    best_molality: float = 1.0
    first_loss: float = 0.1
    capacity_ratio: float = 1.15
    salts: Mapping[str, float] = field(default_factory=dict)
    needs: Mapping[str, float] = field(default_factory=dict)
    status: str = "invented"
    description: str = ""

    def fits(self, positive: Electrode, negative: Electrode, ion: str) -> bool:
        """Return whether a cell is one of them."""
        pairs = ((self.positive, positive), (self.negative, negative))
        return ion in self.ions and all(
            electrode.key in map(electrode.fold, names) or (ANY in names and ion in electrode.working_ions)
            for names, electrode in pairs
        )


_NUMBERS = ("best_molality", "first_loss", "capacity_ratio")
_TABLES = ("salts", "needs")


def read_systems(documents: Any) -> tuple[System, ...]:
    """Return the systems that somebody wrote.

    :raises InputError: naming the key, what was given and what is accepted.
    """
    if not isinstance(documents, list):
        raise InputError(f"systems is {documents!r}, but accepted is a list of systems")
    return tuple(_read_system(document) for document in documents)


def _read_system(document: Any) -> System:
    known = [item.name for item in fields(System)]
    if not isinstance(document, Mapping) or not isinstance(document.get("name"), str):
        raise InputError(f"a system is {document!r}, but accepted is an object with {', '.join(known)}")
    whose = f"system {document['name']!r}"
    unknown = sorted(set(map(str, document)) - set(known))
    lacking = [key for key in ("positive", "negative", "ions", "ageing") if not document.get(key)]
    if unknown or lacking:
        raise InputError(f"{whose}: unknown {unknown}, lacking {lacking}; accepted are {', '.join(known)}")
    lists = {key: _read_names(document[key], f"{whose}: {key}") for key in ("positive", "negative", "ions")}
    if not set(lists["ions"]) <= set(WORKING_IONS):
        raise InputError(f"{whose}: ions is {document['ions']!r}, but accepted are {', '.join(WORKING_IONS)}")
    numbers = {key: _read_number(document[key], f"{whose}: {key}") for key in _NUMBERS if key in document}
    tables = {key: _read_numbers(document[key], f"{whose}: {key}") for key in _TABLES if key in document}
    words = {key: str(document[key]) for key in ("status", "description") if key in document}
    ageing = _read_ageing(document["name"], document["ageing"], whose)
    others: dict[str, Any] = {**lists, **numbers, **tables, **words}
    return System(name=document["name"], ageing=ageing, **others)


def _read_names(value: Any, what: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{what} is {value!r}, but accepted is a list of names")
    return tuple(names)


def _read_number(value: Any, what: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < np.inf:
        raise InputError(f"{what} is {value!r}, but accepted is a number from 0")
    return float(value)


def _read_numbers(value: Any, what: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is {value!r}, but accepted are numbers by name")
    return {str(key): _read_number(number, f"{what}.{key}") for key, number in value.items()}


def _read_ageing(name: str, document: Any, whose: str) -> AgeingParameters:
    given: dict[str, Any] = _read_numbers(document, f"{whose}: ageing")
    accepted = [item.name for item in fields(AgeingParameters) if item.name not in ("name", "scatter")]
    lacking = sorted(set(accepted) - set(given) - {"wobble", "noise"})
    unknown = sorted(set(given) - set(accepted))
    if lacking or unknown:
        raise InputError(f"{whose}: ageing: unknown {unknown}, lacking {lacking}; accepted are {', '.join(accepted)}")
    if not (given["early_cycles"] > 0 and given["knee"] > 0):
        raise InputError(f"{whose}: ageing: early_cycles and knee are numbers of cycles above 0")
    return AgeingParameters(name=name, **given)


@cache
def load_systems() -> tuple[System, ...]:
    """Return the systems that come with this package."""
    return read_systems(json.loads(FILE.read_text(encoding="utf-8"))["systems"])


@cache
def _load_shapes() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8"))["shapes"])


def find_cation(fractions: Mapping[str, float]) -> str:
    """Return the working ion of an electrolyte.

    :param fractions: mole fractions by InChIKey.
    :raises InputError: when it has no salt, or salts of different ions.
    """
    found = find_cations(key for key, share in fractions.items() if share > _TRACE)
    if len(found) != 1:
        said = f"ions of {', '.join(sorted(found))}" if found else "no salt that is known here"
        raise InputError(f"the electrolyte has {said}: accepted are salts of one of {', '.join(WORKING_IONS)}")
    return found.pop()


def find_system(
    positive: Electrode, negative: Electrode, fractions: Mapping[str, float], own: Iterable[System] = ()
) -> System:
    """Return how a cell ages.

    :param own: looked at first.
    :raises InputError: when no system is about it.
    """
    ion = find_cation(fractions)
    for system in (*own, *load_systems()):
        if system.fits(positive, negative, ion):
            return system
    takes = "; ".join(f"{each.name} takes up {', '.join(each.working_ions)}" for each in (positive, negative))
    raise InputError(
        f"{positive.name} against {negative.name} with {ion} in the electrolyte cannot be simulated: {takes}; a system "
        "of its own can be described in the laboratory's file (cells: systems)"
    )


@dataclass(frozen=True)
class CellOrder:
    """What a cell is made of.

    :param loading: capacity of the positive electrode, mAh/cm².
    :param negative_loading: of the negative one; ``None``: as usual for such cells.
    :param size: cm² of the positive electrode.
    :param fractions: mole fractions of the electrolyte by InChIKey.
    """

    positive: Electrode
    negative: Electrode
    fractions: Mapping[str, float]
    loading: float
    size: float
    negative_loading: float | None = None
    separator: Separator | None = None


def make_system_cell(order: CellOrder, system: System, seed: int, *, defective: bool = False) -> TwinCell:
    """Return a cell with its scatter.

    :param seed: identity of the cell: the same seed is the same cell.
    :param defective: assembled badly: a higher resistance, and it ages faster.
    :raises InputError: when the electrodes hold nothing, or their potentials are not known.
    """
    if not (order.loading > 0 and order.size > 0):
        raise InputError(f"mass loading {order.loading} mAh/cm², size {order.size} cm²: accepted are numbers above 0")
    parameters = system.ageing
    loss, resistance, capacity = draw_scatter(seed, parameters)
    nominal = order.loading * order.size * 1e-3
    concentration = molality(order.fractions)
    share = parameters.electrolyte_share
    slowness = 1 - share + share * _slowness(concentration, system) * _separator_factor(order.separator)
    return TwinCell(
        capacity=nominal * capacity,
        rate=_rate(order.fractions, concentration, system) * loss * (DEFECT_RATE if defective else 1.0),
        resistance=float(parameters.resistance / nominal * slowness * resistance)
        * (DEFECT_RESISTANCE if defective else 1.0),
        lag=float(parameters.lag * slowness),
        seed=seed,
        parameters=parameters,
        design=make_design(order, system),
    )


def make_design(order: CellOrder, system: System) -> CellDesign:
    """Return balance and potentials of a cell, from the records of its electrodes.

    :raises InputError: when a mean potential is not known.
    """
    ion = find_cation(order.fractions)
    ratio = order.negative_loading / order.loading if order.negative_loading else system.capacity_ratio
    return CellDesign(
        positive=_POSITIVE,
        negative=ratio,
        carriers=_CARRIERS,
        formation_loss=system.first_loss,
        positive_potential=_potential(order.positive, ion),
        negative_potential=_potential(order.negative, ion),
    )


def _potential(electrode: Electrode, ion: str) -> Callable[[Array], Array]:
    mean = electrode.demand("mean_potential")
    if electrode.working_ions[0] != ion and ion in electrode.working_ions and len(electrode.working_ions) == 1:
        mean = float(electrode.potential_against(ion) or mean)
    shapes = _load_shapes()
    shape = shapes.get(electrode.structure_class, shapes[""])
    return partial(_curve, mean=mean, slope=shape["slope"], is_flat=shape.get("is_flat", False))


def _curve(filling: Array, *, mean: float, slope: float, is_flat: bool) -> Array:
    if is_flat:
        return mean - slope * filling
    y = np.clip(filling, _EDGE, 1 - _EDGE)
    return mean + slope * (0.5 - y) + _THERMAL * np.log((1 - y) / y) + _STEEP * (y - filling)


def _rate(fractions: Mapping[str, float], concentration: float, system: System) -> float:
    """Return how much faster than at its best a cell ages."""
    present = {chemical_label(key): share for key, share in fractions.items() if share > _TRACE}
    salts = {name: share for name, share in present.items() if get_chemical(name).is_salt and name not in system.needs}
    factor = 1.0
    if system.salts and salts:
        factor = sum(system.salts.get(name, _OTHER_SALT) * share for name, share in salts.items()) / sum(salts.values())
    for name, without in system.needs.items():
        factor *= 1.0 if name in present else without
    u = np.log(max(concentration, LEAST_MOLALITY) / system.best_molality)
    weight = 0.5 if u < 0 else 1.5
    return float(factor * (1.0 + weight * u**2 / (1.0 + u**2 / 6.0)))


def _slowness(concentration: float, system: System) -> float:
    u = np.log(max(concentration, LEAST_MOLALITY) / system.best_molality)
    return float(min(1.0 + 0.5 * u**2, _SLOWEST))


def _separator_factor(separator: Separator | None) -> float:
    """Return its resistance relative to the usual separator: thickness over porosity to the power 1.5."""
    known = {} if separator is None else separator.known
    if len(known) < len(Separator.NUMBERS):
        return 1.0
    return float(known["thickness"] / (known["porosity"] / 100) ** 1.5 / _USUAL_SEPARATOR)


def modelled_electrodes(polarity: str, own: Iterable[System] = ()) -> list[str]:
    """Return the names of the electrodes of the library that any system names, or that it means by ``*``."""
    from aiida_finales.schemas.cells import list_electrodes

    systems = (*own, *load_systems())
    names = {find_electrode(name).name for each in systems for name in getattr(each, polarity) if name != ANY}
    general = {ion for each in systems for ion in each.ions if ANY in getattr(each, polarity)}
    return [
        item.name
        for item in list_electrodes()
        if item.polarity in (polarity, "both")
        and item.numbers["mean_potential"].value is not None
        and (item.name in names or general & set(item.working_ions))
    ]
