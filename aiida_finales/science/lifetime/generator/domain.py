"""How far a cell is from those that were learned from.

**Regimes**, from the nearest to the farthest: the protocol is known (only the scatter between equal cells is left); the
cell is known and the protocol near a known one (*family*); the cell is known and the protocol is not; the electrodes
are known, but not together, or not in such a cell; an electrode is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals.record import are_same_compound
from aiida_finales.science.array import Array
from aiida_finales.science.lifetime.generator.cell import (
    NAMES,
    PROTOCOL_NAMES,
    AgeingCell,
    CellDesign,
    Electrode,
)
from aiida_finales.science.lifetime.generator.learners import Encoder

REGIMES = ("known_protocol", "known_family", "new_protocol", "new_cell", "new_chemistry")
WORDS = {
    "known_protocol": "cells like this were cycled like this",
    "known_family": "cells like this were cycled much like this",
    "new_protocol": "cells like this were cycled, but otherwise",
    "new_cell": "the electrodes are known, but not together in such a cell, or not from this laboratory",
    "new_chemistry": "no cell with one of the electrodes was learned from",
}
#: root mean squares of the standardised numbers of the protocol below which it is the same, or of the same family
SAME, FAMILY = 0.005, 0.3
#: relative difference of nominal capacities up to which cells are of one kind
_SIZE = 0.1
_N_NEAREST = 5
_N_PROTOCOL = len(PROTOCOL_NAMES)
#: of a voltage that was standardised and back
_DIGITS = 6
#: share by which properties of one material differ between those who measured them, and at least: V, %, decades
_AS_KNOWN, _AT_LEAST = 0.1, {"mean_potential": 0.1, "volume_change": 2.0, "log10_diffusion": 1.0}


@dataclass(frozen=True)
class Place:
    """Where a cell is among those that were learned from.

    :param nearest: names of the nearest ones.
    :param distance: from the nearest, root mean square in standard deviations of each number.
    :param replicates: known cells of the same kind with the same protocol.
    :param reasons: why it is not nearer, and what was assumed.
    """

    regime: str
    nearest: tuple[str, ...]
    distance: float
    replicates: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """The cells that were learned from.

    :param points: standardised numbers, shape ``(n, d)``.
    :param cells: name, chemistry, format, nominal capacity (Ah), data set and laboratory of each.
    :param electrodes: those that were learned from, by name, with the properties that they had then.
    """

    points: Array
    cells: tuple[Mapping[str, Any], ...]
    electrodes: Mapping[str, Electrode]

    @classmethod
    def of_cells(cls, cells: Sequence[AgeingCell], numbers: Array, encoder: Encoder) -> Domain:
        """Return the domain of some cells."""
        about = tuple(
            {
                "name": cell.name,
                "chemistry": cell.design.chemistry,
                "form": cell.design.form,
                "capacity": cell.design.nominal_capacity,
                "dataset": cell.dataset,
                "laboratory": cell.laboratory,
            }
            for cell in cells
        )
        sides = [side for cell in cells for side in (cell.design.positive, cell.design.negative)]
        return cls(encoder.standardise(numbers), about, {side.material: side for side in sides})

    def locate(self, design: CellDesign, point: Array, laboratory: str = "") -> Place:
        """Return where a cell is.

        :param point: its standardised numbers, shape ``(d,)``.
        :param laboratory: who cycles it; equal cells live otherwise where others cycle them. Where that is not said, it
            is taken to be who cycled cells like it, and the reason says so; but only who cycles cells of an unknown
            material knows that others are of the same.
        """
        alike = np.array([self._is_alike(cell, design) for cell in self.cells])
        if design.strangers:
            alike &= np.array([bool(laboratory) and cell.get("laboratory") == laboratory for cell in self.cells])
        if not alike.any():
            away = np.sqrt(((self.points - point) ** 2).mean(axis=1))
            return self._place(self._strange(design), away, np.arange(len(away)), 0, self._strangers(design))
        own = np.flatnonzero(alike)
        away = np.sqrt(((self.points[own, :_N_PROTOCOL] - point[:_N_PROTOCOL]) ** 2).mean(axis=1))
        nearest = float(away.min())
        known = {str(self.cells[int(number)].get("laboratory", "")) for number in own}
        who = ", ".join(sorted(known))
        if laboratory and all(known) and laboratory.strip().casefold() not in {name.casefold() for name in known}:
            reason = f"cells like this were cycled by {who} only, not by {laboratory}"
            return self._place("new_cell", away, own, 0, (reason,))
        regime = "known_protocol" if nearest <= SAME else "known_family" if nearest <= FAMILY else "new_protocol"
        assumed = (f"taken to be cycled by {who}, as laboratory is not said",) if all(known) and not laboratory else ()
        return self._place(regime, away, own, int((away <= SAME).sum()), assumed)

    def complete(self, design: CellDesign, encoder: Encoder) -> tuple[CellDesign, list[str]]:
        """Return a cell with the voltage window of most cells like it where none is told, and in words what was taken.

        Where no cell learned from tells a window, or none is like it, nothing is taken.
        """
        alike = [self._is_alike(cell, design) for cell in self.cells]
        if not any(alike):
            return design, []
        words, taken = [], dict[str, Any]()
        for name in ("voltage_minimum", "voltage_maximum"):
            place = NAMES.index(name)
            if getattr(design, name) is None and encoder.told[place]:
                known = self.points[alike, place] * encoder.scale[place] + encoder.mean[place]
                values, numbers = np.unique(known.round(_DIGITS), return_counts=True)
                taken[name] = float(values[numbers.argmax()])
                words.append(f"{name} is not said, and taken to be {taken[name]:g} V as of most cells like this")
        return replace(design, **taken), words

    def find_kind(self, place: Place) -> str:
        """Return of which kind the nearest cell is."""
        nearest = next(cell for cell in self.cells if cell["name"] == place.nearest[0])
        return name_kind(nearest["chemistry"], nearest["form"], nearest.get("laboratory", ""))

    def _place(
        self, regime: str, away: Array, own: npt.NDArray[np.int_], replicates: int, reasons: tuple[str, ...]
    ) -> Place:
        order = np.argsort(away, kind="stable")[:_N_NEAREST]
        names = tuple(str(self.cells[int(own[number])]["name"]) for number in order)
        return Place(regime, names, float(away.min()), replicates, reasons)

    @staticmethod
    def _is_alike(cell: Mapping[str, Any], design: CellDesign) -> bool:
        same = cell["chemistry"] == design.chemistry and cell["form"] == design.form
        return bool(same and abs(math.log(cell["capacity"] / design.nominal_capacity)) <= _SIZE)

    def _strange(self, design: CellDesign) -> str:
        both = {design.positive.material, design.negative.material} <= set(self.electrodes)
        return "new_cell" if both and not design.strangers else "new_chemistry"

    def _strangers(self, design: CellDesign) -> tuple[str, ...]:
        names = [side.material for side in (design.positive, design.negative) if side.material not in self.electrodes]
        if names:
            return tuple(f"no cell with {name} was learned from" for name in names)
        if design.strangers:
            return tuple(f"{side} is not known" for side in design.strangers)
        known = sorted({f"{c['chemistry']} {c['form']} {c['capacity']:g} Ah" for c in self.cells})
        return (f"cells of {design.chemistry} {design.form} {design.nominal_capacity:g} Ah were not learned from, "
                f"but {', '.join(known)}",)  # fmt: skip

    def resolve(self, electrode: Electrode) -> Electrode:
        """Return an electrode with the properties that it had when the model was trained, or as it is told.

        What is told to be quite another material than the one of its name is called so: nobody knows how it ages.

        :raises InputError: when it is not known and what must be known of it lacks, or takes up another ion, or more
            than its formula allows.
        """
        self._demand_ion(electrode)
        known = self._find_electrode(electrode.material)
        if known is not None:
            told = replace(electrode, material=known.material)
            return _rename(told, known) if electrode.is_told else known
        if electrode.lacking:
            raise InputError(
                f"of electrode {electrode.material!r} {', '.join(electrode.lacking)} must be known, as no cell with it "
                f"was learned from: give them as properties, or add a record of it. Learned from: "
                f"{', '.join(sorted(self.electrodes))}"
            )
        _demand_possible(electrode)
        return electrode

    def _find_electrode(self, material: str) -> Electrode | None:
        """Return an electrode by its name, or by its formula where that is its name."""
        same = (item for name, item in self.electrodes.items() if are_same_compound(material, name))
        return self.electrodes.get(material) or next(same, None)

    def _demand_ion(self, electrode: Electrode) -> None:
        ions = {item.working_ion for item in self.electrodes.values() if item.working_ion}
        if electrode.working_ion and ions and electrode.working_ion not in ions:
            raise InputError(
                f"electrode {electrode.material!r} takes up {electrode.working_ion}, but the model learned from cells "
                f"of {', '.join(sorted(ions))} only: nothing is known of how others age"
            )

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what a model's header and arrays say about its domain."""
        electrodes = {name: asdict(item) for name, item in self.electrodes.items()}
        return {"cells": list(self.cells), "electrodes": electrodes}, {"domain_points": self.points}

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Domain:
        """Return the domain that :meth:`to_parts` described."""
        electrodes = {name: Electrode(**item) for name, item in header["electrodes"].items()}
        return cls(arrays["domain_points"], tuple(header["cells"]), electrodes)


def name_kind(chemistry: str, form: str, laboratory: str) -> str:
    """Return which cells are of one kind: those of the same electrodes in the same housing, from one laboratory."""
    return f"{chemistry} {form} {laboratory}".rstrip()


def _rename(told: Electrode, known: Electrode) -> Electrode:
    """Return an electrode under a name of its own where it is told to be another one than is known by its name."""
    _demand_possible(told)
    others = [
        f"{name} {value:g}, not {known.properties[name]:g}"
        for name, value in told.properties.items()
        if name in known.properties
        and abs(value - known.properties[name]) > max(_AS_KNOWN * abs(known.properties[name]), _AT_LEAST.get(name, 0.0))
    ]
    return replace(told, material=f"{told.material} of {'; '.join(others)}") if others else told


def _demand_possible(electrode: Electrode) -> None:
    """Refuse more capacity in use than the formula of a material has.

    :raises InputError: naming both.
    """
    used, theory = (electrode.properties.get(name, math.nan) for name in ("practical_capacity", "theoretical_capacity"))
    if used > theory:
        raise InputError(
            f"practical_capacity of electrode {electrode.material!r} is {used:g} mAh/g, accepted is up to its "
            f"theoretical_capacity, {theory:g} mAh/g"
        )
