"""The file that says what is in the bottles of the simulated laboratory, and what its robot does with them.

YAML, for people::

    name: my laboratory
    stock_solutions:
      salty: 1 M LiPF6 in EC:EMC 3:7 w/w, 1.19 g/cm3       # a mixture as people say it; the density was weighed
      plain: {solvents: {EC: 3, EMC: 7}, by: mass}         # the same as an object
      EMC: {mol_per_L: {EMC: 9.654}, density: 1.005}       # or the concentration of everything
    chemicals:                                 # those that nobody here knows: see 'aiida-finales chemical add'
      - {name: BTFE, smiles: FC(F)(F)COCC(F)(F)F}
    offers:                                    # without them: all quantities, of all stock solutions
      density: {stocks: [...], limits: {LiPF6: [0, 0.1]}, temperature_K: [288, 303]}

    electrodes: [...]                          # and separators, cell_formats: see 'aiida-finales electrode add'
    cells: {...}                               # which cells are made and cycled: see :mod:`..simulated.cells`

What can be mixed is the convex hull of the stock solutions, within the limits (mole fractions of the whole solution).
A density that is not given is the one that everybody's mol/L are converted with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceInputError, InputError, explain_os_error
from aiida_finales.lab.driver.journal import check_key
from aiida_finales.lab.driver.reading import POSITIVE, bad_input, read_number, read_object, read_text
from aiida_finales.lab.simulated.cells import CellOffer, default_cells, read_cells
from aiida_finales.schemas import Json
from aiida_finales.schemas.catalogue import Part
from aiida_finales.schemas.cells import CellPart
from aiida_finales.schemas.cells.registry import CATALOGUES, read_known
from aiida_finales.schemas.chemicals import Chemical, chemical_label, find_contradiction, get_chemical
from aiida_finales.schemas.chemicals.record import read_record
from aiida_finales.schemas.chemicals.registry import CHEMICALS
from aiida_finales.science.electrolyte.composition import mass
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.science.electrolyte.density import benchmark_density
from aiida_finales.science.electrolyte.formulation import StockSolution, component_names, reachable_region
from aiida_finales.science.electrolyte.known_density import find_density
from aiida_finales.science.electrolyte.validity import limitation_boxes
from aiida_finales.science.electrolyte.viscosity import benchmark_viscosity

#: The method of each quantity that the robot provides.
TARGETS = {
    "conductivity": "two_electrode",
    "electrolyte": "flow",
    "density": "vibrating_tube_densimetry",
    "viscosity": "rolling_ball_viscometry",
}
#: What the simulation takes for the truth of each quantity, by mole fractions and K.
TRUTHS = {"conductivity": benchmark_conductivity, "density": benchmark_density, "viscosity": benchmark_viscosity}
#: K; the published robot works at 301.15 K only, the simulated one has a thermostat.
TEMPERATURE_RANGE = (283.15, 323.15)
#: mL; what a vial holds, and what the pumps can still dose well
VOLUME_RANGE = (0.5, 20.0)
#: The copy of the file in the folder of a laboratory.
FILE_NAME = "laboratory.yaml"
#: The file of the laboratory that is simulated where no other is given.
DEFAULT_FILE = Path(__file__).parent / FILE_NAME

#: Lowest and highest mole fraction by InChIKey.
Box = dict[str, tuple[float, float]]
#: of mole fractions as limitations are published
_SIX = 10**6


@dataclass(frozen=True)
class Offer:
    """What the robot does for a quantity.

    :param stocks: what it takes.
    :param box: within which mole fractions.
    :param temperature: lowest and highest, K, of a measurement.
    :param is_mixed: whether their mixtures can be asked for; else each stock solution as it is.
    """

    stocks: tuple[StockSolution, ...]
    box: Box
    temperature: tuple[float, float] = TEMPERATURE_RANGE
    is_mixed: bool = True

    def limitations(self, quantity: str) -> Json:
        """Return what can be asked for: boxes, and the hull of the stock solutions as linear constraints.

        Where nothing is mixed, an alternative per stock solution, as small as limitations can say it.
        """
        constraints: list[Json] = self._hull() if self.is_mixed else []
        boxes = [self.box] if self.is_mixed else [_read_box("", {}, (stock,)) for stock in self.stocks]
        limits: Json = {"formulation": [each for box in boxes for each in limitation_boxes(box)["formulation"]]}
        if quantity == "electrolyte":
            limits = {"electrolyte": limits, "volume": [_range(VOLUME_RANGE)]}
        else:
            limits["temperature"] = [_range(self.temperature)]
        return limits | {"constraints": constraints}

    def _hull(self) -> list[Json]:
        region = reachable_region(self.stocks)
        return [
            {
                "path": "formulation",
                "coefficients": dict(zip(region.names, (float(value) for value in row), strict=True)),
                "max": float(bound),
            }
            for row, bound in zip(region.matrix, region.bound, strict=True)
        ]


@dataclass(frozen=True)
class Laboratory:
    """What a laboratory has.

    :param stocks: all its stock solutions.
    :param offers: by quantity.
    :param text: the file it was read from.
    :param chemicals: that it describes.
    :param cells: which ones it makes and cycles.
    :param parts: electrodes, separators and cell formats that it describes, by section.
    """

    name: str
    stocks: tuple[StockSolution, ...]
    offers: dict[str, Offer]
    chemicals: tuple[Chemical, ...] = ()
    cells: CellOffer = field(default_factory=default_cells)
    parts: dict[str, list[CellPart]] = field(default_factory=dict)
    text: str = field(repr=False, default="")

    def offer(self, quantity: str) -> Offer:
        """Return what the robot does for a quantity.

        :raises DeviceInputError: when it does nothing for it.
        """
        if quantity not in self.offers:
            known = ", ".join(self.offers)
            raise DeviceInputError(f"the laboratory {self.name!r} offers no {quantity}; its file offers {known}")
        return self.offers[quantity]


def _range(limits: tuple[float, float]) -> Json:
    return {"min": limits[0], "max": limits[1]}


def stock_identity(name: str) -> str:
    """Return the identity of a stock solution, as ``stock-LiPF6-in-EC-EMC``."""
    return "stock-" + "-".join(name.replace(":", " ").split())


def robot_offer(quantity: str, laboratory: Laboratory | None = None) -> Json:
    """Return limitations and constraints of what the robot does for a quantity, as a tenant offers them.

    :raises DeviceInputError: when the laboratory offers no such quantity.
    """
    found = (laboratory or default_laboratory()).offer(quantity).limitations(quantity)
    return {"constraints": found.pop("constraints"), "limitations": found}


@cache
def default_laboratory() -> Laboratory:
    """Return the laboratory that is simulated where no other file is given."""
    return read_laboratory(DEFAULT_FILE)


def find_laboratory(folder: Path | str | None) -> Laboratory:
    """Return the laboratory whose file is in a folder, or the default where there is none.

    :raises DeviceInputError: when the file cannot be used.
    """
    path = None if folder is None else Path(folder) / FILE_NAME
    return read_laboratory(path) if path is not None and path.exists() else default_laboratory()


def read_laboratory(path: Path | str) -> Laboratory:
    """Return the laboratory that a file describes.

    :raises DeviceInputError: naming the place in the file, what was given and what is accepted.
    """
    from aiida_finales.schemas.document import parse_document  # what reads YAML takes a driver long to import

    try:
        text = Path(path).read_text(encoding="utf-8")
        document = parse_document(text, "its text")
    except (OSError, ValueError) as error:
        words = explain_os_error(error) if isinstance(error, OSError) else str(error)
        raise DeviceInputError(f"laboratory {path}: {words}; accepted is a YAML file with stock_solutions") from error
    try:
        return _read(document, text)
    except DeviceInputError as error:
        raise DeviceInputError(f"laboratory {path}: {error}") from error


def _read(document: Any, text: str) -> Laboratory:
    given = _take("file", document, "name", "chemicals", "stock_solutions", "offers", "cells", *PARTS)
    name = read_text("name", given.get("name", "laboratory"))
    chemicals = _read_chemicals(name, given.get("chemicals", []))
    parts = {kind.NOUN: _read_parts(name, kind, given[kind.NOUN]) for kind in CATALOGUES if given.get(kind.NOUN)}
    cells = read_cells(given.get("cells"))
    found = read_object("stock_solutions", given.get("stock_solutions"), "a stock solution by name")
    if not found:
        raise bad_input("stock_solutions", found, "at least one stock solution")
    stocks = {str(name): _read_stock(str(name), each) for name, each in found.items()}
    _refuse_twins(stocks)
    asked = given.get("offers")
    offers = dict.fromkeys(TARGETS) if asked is None else read_object("offers", asked, "quantities")
    read = {quantity: _read_offer(quantity, each, stocks) for quantity, each in offers.items()}
    return Laboratory(name, tuple(stocks.values()), read, chemicals, cells, parts, text)


#: what the files that were read in this process describe
_DESCRIBED: list[Part[Chemical]] = [Part()]


def _describe_chemicals() -> Part[Chemical]:
    return _DESCRIBED[0]


def _read_chemicals(name: str, value: Any) -> tuple[Chemical, ...]:
    """Return the chemicals that a laboratory describes, and let this process know them."""
    if not isinstance(value, list):
        raise bad_input("chemicals", value, "a list of chemicals, each with name and smiles")
    try:
        chemicals = tuple(read_record(each, f"laboratory {name}") for each in value)
    except InputError as error:
        raise DeviceInputError(f"chemicals: {error}") from error
    new = [each for each in chemicals if each not in _DESCRIBED[0].records]
    if new:
        _refuse_conflicts(new)
        _DESCRIBED[0] = Part((*_DESCRIBED[0].records, *new))
        CHEMICALS.use_source(_describe_chemicals)
    return chemicals


#: sections that describe what cells are made of
PARTS = tuple(kind.NOUN for kind in CATALOGUES)
_DESCRIBED_PARTS: dict[str, Part[Any]] = {noun: Part() for noun in PARTS}


def _read_parts(name: str, kind: type[CellPart], value: Any) -> list[CellPart]:
    """Return what a laboratory describes of one kind, and let this process know it."""
    if not isinstance(value, list):
        raise bad_input(kind.NOUN, value, "a list of records")
    catalogue = CATALOGUES[kind]
    try:
        parts = [read_known(kind, each, f"laboratory {name}") for each in value]
    except InputError as error:
        raise DeviceInputError(f"{kind.NOUN}: {error}") from error
    registry = catalogue.load()
    conflicts = [registry.find_conflict(word, each) for each in parts for word in (each.name, *each.synonyms)]
    if any(conflicts):
        raise DeviceInputError(f"{kind.NOUN}: {'; '.join(filter(None, conflicts))}")
    new = [each for each in parts if each not in _DESCRIBED_PARTS[kind.NOUN].records]
    if new:
        _DESCRIBED_PARTS[kind.NOUN] = Part((*_DESCRIBED_PARTS[kind.NOUN].records, *new))
        catalogue.use_source(_SOURCES[kind.NOUN])
    return parts


def _described(noun: str) -> Part[Any]:
    return _DESCRIBED_PARTS[noun]


_SOURCES = {noun: partial(_described, noun) for noun in PARTS}


def _refuse_conflicts(chemicals: list[Chemical]) -> None:
    """Refuse a structure and an InChIKey of two chemicals, and a name that another chemical has."""
    registry = CHEMICALS.load()
    found = [find_contradiction(each.smiles, each.inchikey) for each in chemicals]
    found += [registry.find_conflict(word, each) for each in chemicals for word in (each.name, *each.synonyms)]
    conflicts = [words for words in found if words]
    if conflicts:
        raise DeviceInputError(f"chemicals: {'; '.join(conflicts)}")


def _take(path: str, value: Any, *names: str) -> Json:
    """Return an object that has no other keys."""
    given = read_object(path, value, ", ".join(names))
    for key in given:
        if key not in names:
            raise bad_input(f"{path}: key", key, f"one of {', '.join(names)}")
    return given


def _refuse_twins(stocks: Mapping[str, StockSolution]) -> None:
    """Refuse names that would be written on a bottle in the same way."""
    written: dict[str, str] = {}
    for name in stocks:
        identity = check_key(stock_identity(name))
        if identity in written:
            raise bad_input("stock_solutions", name, f"another name: {written[identity]!r} is written {identity} too")
        written[identity] = name


def _read_stock(name: str, value: Any) -> StockSolution:
    path = f"stock_solutions.{name}"
    try:
        if isinstance(value, dict) and "mol_per_L" in value:
            return _read_concentrations(name, path, value)
        # drivers start for each request, and most laboratories say concentrations: no words need to be read for these
        from aiida_finales.schemas.chemicals.mixture import find_said_density, read_mixture

        mixed = read_mixture(value, find_density)
        said = find_said_density(value) or (mixed.density or {}).get("value")
        density = said or find_density(mixed.fractions)[0]
    except InputError as error:
        raise DeviceInputError(f"{path}: {error}") from error
    litre = 1000.0 * density / mass(mixed.fractions)  # mol of everything
    return StockSolution(name, {key: share * litre for key, share in mixed.fractions.items()}, density)


def _read_concentrations(name: str, path: str, value: Json) -> StockSolution:
    """Return a stock solution of which the concentration of everything is known, as of the published robot.

    :raises InputError: when there is something else in it, or a chemical that nobody knows.
    """
    given = _take(path, value, "mol_per_L", "density")
    density = read_number(f"{path}.density", given.get("density"), 0.3, 5.0, "a density from 0.3 to 5 g/cm3")
    amounts = read_object(f"{path}.mol_per_L", given["mol_per_L"], "mol per litre by name of the chemical")
    if not amounts:
        raise bad_input(f"{path}.mol_per_L", amounts, "at least one chemical")
    read = {
        get_chemical(str(word)).inchikey: read_number(f"{path}.mol_per_L.{word}", amount, POSITIVE, math.inf, "above 0")
        for word, amount in amounts.items()
    }
    return StockSolution(name, read, density)


def _read_offer(quantity: str, value: Any, stocks: Mapping[str, StockSolution]) -> Offer:
    path = f"offers.{quantity}"
    if quantity not in TARGETS:
        raise bad_input("offers: quantity", quantity, f"one of {', '.join(TARGETS)}")
    given = _take(path, {} if value is None else value, "stocks", "limits", "temperature_K", "mixed")
    names = given.get("stocks", list(stocks))
    if not isinstance(names, list) or not names or any(name not in stocks for name in names):
        raise bad_input(f"{path}.stocks", names, f"a list of names of {', '.join(stocks)}")
    chosen = tuple(stocks[name] for name in dict.fromkeys(names))
    _demand_truth(path, quantity, chosen)
    low, high = TEMPERATURE_RANGE
    limits = _read_range(f"{path}.temperature_K", given.get("temperature_K", [low, high]), low, high)
    is_mixed = given.get("mixed", True)
    if not isinstance(is_mixed, bool):
        raise bad_input(
            f"{path}.mixed", is_mixed, "true, or false where only the stock solutions as they are are offered"
        )
    if not is_mixed and "limits" in given:
        raise bad_input(f"{path}.limits", given["limits"], "none where nothing is mixed: name the stocks instead")
    return Offer(chosen, _read_box(f"{path}.limits", given.get("limits", {}), chosen), limits, is_mixed)


def _demand_truth(path: str, quantity: str, stocks: tuple[StockSolution, ...]) -> None:
    """Refuse to offer what the simulation cannot compute."""
    for stock in stocks:
        try:
            TRUTHS.get(quantity, lambda _: None)(stock.fractions)
        except InputError as error:
            raise DeviceInputError(
                f"{path}: {quantity} of {stock.name!r} cannot be simulated: {error}; name other stocks, or leave "
                f"{quantity} out of the offers"
            ) from error


def _read_box(path: str, value: Any, stocks: tuple[StockSolution, ...]) -> Box:
    """Return the limits of each chemical: as given, else as the stock solutions reach."""
    box = {key: _reach(key, stocks) for key in component_names(stocks)}
    for word, limits in read_object(path, value, "[lowest, highest] by name of a chemical").items():
        try:
            key = get_chemical(str(word)).inchikey
        except InputError as error:
            raise DeviceInputError(f"{path}: {error}") from error
        if key not in box:
            raise bad_input(path, word, f"a chemical of the stock solutions: {', '.join(map(chemical_label, box))}")
        box[key] = _read_range(f"{path}.{word}", limits, 0.0, 1.0)
    return box


def _reach(key: str, stocks: tuple[StockSolution, ...]) -> tuple[float, float]:
    """Return lowest and highest mole fraction of a chemical, rounded outwards: limits are published with six digits."""
    found = [stock.fractions.get(key, 0.0) for stock in stocks]
    return math.floor(min(found) * _SIX) / _SIX, math.ceil(max(found) * _SIX) / _SIX


def _read_range(path: str, value: Any, low: float, high: float) -> tuple[float, float]:
    accepted = f"[lowest, highest] from {low:g} to {high:g}"
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a lowest and a highest
        raise bad_input(path, value, accepted)
    first, last = (read_number(path, item, low, high, accepted) for item in value)
    if first > last:
        raise bad_input(path, value, accepted)
    return first, last
