"""Cells that nobody measured, whose lives follow a rule: for tests only."""

from __future__ import annotations

import math

import numpy as np

from aiida_finales.science.lifetime.generator.cell import AgeingCell, AgeingDataset, CellDesign, Electrode, Step

PROPERTIES = {
    "LFP": (169.9, 165.0, 3.4, 3.6, 6.8, -12.2),
    "NMC": (277.6, 175.0, 3.75, 4.75, 1.8, -10.0),
    "LCO": (273.8, 145.0, 3.8, 5.05, 2.0, -9.0),
    "graphite": (371.9, 360.0, 0.1, 2.26, 10.0, -10.0),
    "hard carbon": (372.0, 300.0, 0.2, 1.5, 2.0, -11.0),
}
NAMES = (
    "theoretical_capacity",
    "practical_capacity",
    "mean_potential",
    "crystal_density",
    "volume_change",
    "log10_diffusion",
)


def electrode(material, ion="Li"):
    return Electrode(material, ion, dict(zip(NAMES, PROPERTIES[material], strict=True)))


def design(positive="LFP", rate=4.0, celsius=25.0, capacity=1.1, form="cylindrical"):
    return CellDesign(
        positive=electrode(positive),
        negative=electrode("graphite"),
        form=form,
        nominal_capacity=capacity,
        charging=(Step(rate, 0.8), Step(1.0, 1.0)),
        discharging=(Step(1.0, 0.0),),
        temperature=celsius + 273.15,
        voltage_minimum=2.0,
        voltage_maximum=3.6 if positive == "LFP" else 4.2,
    )


def ask(model, asked, *others, **how):
    """Return what a model says to the laboratory that cycled cells of this material."""
    return model.predict(asked, *others, **{"laboratory": f"laboratory {asked.positive.material}", **how})


def life(positive, rate, celsius):
    return {"LFP": 1500.0, "NMC": 700.0}[positive] * rate**-0.5 * math.exp(0.01 * (25 - celsius))


def make(n_each=2, seed=0, laboratories=2):
    """Return cells of two materials in two laboratories, with the scatter between equal ones that there is."""
    random = np.random.default_rng(seed)
    cells = []
    for positive in ("LFP", "NMC"):
        for rate in (1.0, 2.0, 4.0):
            for celsius in (25.0, 45.0):
                for number in range(n_each):
                    n_cycles = life(positive, rate, celsius) * math.exp(0.1 * random.standard_normal())
                    crossings = {p: n_cycles * ((100 - p) / 20) ** 0.8 for p in range(99, 74, -1)}
                    early = {"100": {"initial": 1.0 + 0.01 * random.standard_normal(), "curvature": 0.0,
                                     "capacity_difference": 20.0 / n_cycles, "slope": -20.0 / n_cycles}}  # fmt: skip
                    name = f"{positive}-{rate:g}-{celsius:g}-{number}"
                    capacity = 1.1 if positive == "LFP" else 2.0
                    cells.append(
                        AgeingCell(name, design(positive, rate, celsius, capacity), crossings,
                                   f"{positive}-{rate:g}-{celsius:g}", f"laboratory {positive}", positive, early)
                    )  # fmt: skip
    return AgeingDataset(tuple(cells), f"{len(cells)} made-up cells", simulated=True)
