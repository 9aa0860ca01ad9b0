"""The file that says what is in the bottles of the simulated laboratory, and what its robot does with them.

YAML, for people::

    name: my laboratory
    stock_solutions:
      1 M LiPF6 in EC:EMC 3:7:
        salts_mol_per_L: {LiPF6: 1.0}          # or salts_mol_per_kg: of solvent
        solvents_by_mass: {EC: 3, EMC: 7}
        density_g_per_mL: 1.19                 # where it was measured
      EMC:
        mol_per_L: {EMC: 9.654}                # or the concentration of everything, with the density
        density_g_per_mL: 1.005
    offers:                                    # without them: all quantities, of all stock solutions
      density: {stocks: [...], limits: {LiPF6: [0, 0.1]}, temperature_K: [288, 303]}

What can be mixed is the convex hull of the stock solutions, within the limits (mole fractions of the whole solution).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import DeviceInputError, InputError
from aiida_finales.lab.driver.journal import check_key
from aiida_finales.lab.driver.reading import POSITIVE, bad_input, read_number, read_object, read_text
from aiida_finales.schemas import Json
from aiida_finales.schemas.chemicals import chemical_label, get_chemical
from aiida_finales.science.electrolyte.composition import Fractions, mass
from aiida_finales.science.electrolyte.conductivity import benchmark_conductivity
from aiida_finales.science.electrolyte.density import benchmark_density
from aiida_finales.science.electrolyte.formulation import StockSolution, component_names, reachable_region
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

#: Lowest and highest mole fraction by InChIKey.
Box = dict[str, tuple[float, float]]
_DEFAULT = Path(__file__).parent / FILE_NAME
#: steps of the way from mol/L to mol/kg, each divides the error by ten or so; mol/kg beyond which it leads nowhere
_N_STEPS, _TOO_MUCH = 200, 1e3
_SIX = 10**6


@dataclass(frozen=True)
class Offer:
    """What the robot does for a quantity.

    :param stocks: what it takes.
    :param box: within which mole fractions.
    :param temperature: lowest and highest, K, of a measurement.
    """

    stocks: tuple[StockSolution, ...]
    box: Box
    temperature: tuple[float, float] = TEMPERATURE_RANGE

    def limitations(self, quantity: str) -> Json:
        """Return what can be asked for: boxes, and the hull of the stock solutions as linear constraints."""
        region = reachable_region(self.stocks)
        constraints = [
            {
                "path": "formulation",
                "coefficients": dict(zip(region.names, (float(value) for value in row), strict=True)),
                "max": float(bound),
            }
            for row, bound in zip(region.matrix, region.bound, strict=True)
        ]
        limits = limitation_boxes(self.box)
        if quantity == "electrolyte":
            limits = {"electrolyte": limits, "volume": [_range(VOLUME_RANGE)]}
        else:
            limits["temperature"] = [_range(self.temperature)]
        return limits | {"constraints": constraints}


@dataclass(frozen=True)
class Laboratory:
    """What a laboratory has.

    :param stocks: all its stock solutions.
    :param offers: by quantity.
    :param text: the file it was read from.
    """

    name: str
    stocks: tuple[StockSolution, ...]
    offers: dict[str, Offer]
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


def chain_offer(laboratory: Laboratory | None = None) -> Json:
    """Return what a chain from the electrolyte to the end of life can be asked for: every electrolyte that is mixed.

    :raises DeviceInputError: when the laboratory fills no vials.
    """
    flow = robot_offer("electrolyte", laboratory)
    limitations = {"battery_chemistry": {"electrolyte": flow["limitations"]["electrolyte"]["formulation"]}}
    return {"constraints": flow["constraints"], "limitations": limitations}


@cache
def default_laboratory() -> Laboratory:
    """Return the laboratory that is simulated where no other file is given."""
    return read_laboratory(_DEFAULT)


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
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        words = str(error).replace("\n", " ")
        raise DeviceInputError(f"laboratory {path}: {words}; accepted is a YAML file with stock_solutions") from error
    try:
        return _read(document, text)
    except DeviceInputError as error:
        raise DeviceInputError(f"laboratory {path}: {error}") from error


def _read(document: Any, text: str) -> Laboratory:
    given = _take("file", document, "name", "stock_solutions", "offers")
    found = read_object("stock_solutions", given.get("stock_solutions"), "a stock solution by name")
    if not found:
        raise bad_input("stock_solutions", found, "at least one stock solution")
    stocks = {str(name): _read_stock(str(name), each) for name, each in found.items()}
    _refuse_twins(stocks)
    asked = given.get("offers")
    offers = dict.fromkeys(TARGETS) if asked is None else read_object("offers", asked, "quantities")
    read = {quantity: _read_offer(quantity, each, stocks) for quantity, each in offers.items()}
    return Laboratory(read_text("name", given.get("name", "laboratory")), tuple(stocks.values()), read, text)


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
    forms = ("mol_per_L", "solvents_by_mass", "salts_mol_per_L", "salts_mol_per_kg", "density_g_per_mL")
    given = _take(path, value, *forms)
    density = given.get("density_g_per_mL")
    if density is not None:
        density = read_number(f"{path}.density_g_per_mL", density, 0.3, 5.0, "a density from 0.3 to 5 g/mL")
    if "mol_per_L" in given:
        others = [key for key in forms[1:4] if key in given]
        if others or density is None:
            raise bad_input(path, ", ".join(given), "mol_per_L of everything with density_g_per_mL, and nothing else")
        return StockSolution(name, _read_amounts(f"{path}.mol_per_L", given["mol_per_L"]), density)
    solvents = _read_amounts(f"{path}.solvents_by_mass", given.get("solvents_by_mass"), is_salt=False)
    if "salts_mol_per_L" in given and "salts_mol_per_kg" in given:
        raise bad_input(path, "both", "salts_mol_per_L or salts_mol_per_kg")
    try:
        if "salts_mol_per_L" in given:
            salts = _read_amounts(f"{path}.salts_mol_per_L", given["salts_mol_per_L"], is_salt=True)
            return _from_molarity(name, salts, solvents, density)
        salts = _read_amounts(f"{path}.salts_mol_per_kg", given.get("salts_mol_per_kg", {}), is_salt=True)
        return _from_molality(name, salts, solvents, density)
    except InputError as error:
        raise DeviceInputError(f"{path}: {error}") from error


def _read_amounts(path: str, value: Any, *, is_salt: bool | None = None) -> dict[str, float]:
    """Return amounts by InChIKey; those of salts, of solvents, or of either."""
    given = read_object(path, value, "an amount of each chemical by name")
    if not given and not is_salt:
        raise bad_input(path, given, "at least one chemical")
    amounts = {}
    for word, amount in given.items():
        try:
            chemical = get_chemical(str(word))
        except InputError as error:
            raise DeviceInputError(f"{path}: {error}") from error
        if is_salt is not None and chemical.is_salt is not is_salt:
            raise bad_input(path, word, "a salt" if is_salt else "a solvent; salts have a concentration")
        number = read_number(f"{path}.{word}", amount, POSITIVE, math.inf, "a number above 0")
        amounts[chemical.inchikey] = number
    return amounts


def _mix(salts: Fractions, solvents: Fractions) -> dict[str, float]:
    """Return mole fractions from mol of each salt per kg of solvent, and masses of the solvents."""
    total = sum(solvents.values())
    moles = {key: 1000.0 * part / total / get_chemical(key).molar_mass for key, part in solvents.items()}
    whole = sum(moles.values()) + sum(salts.values())
    return {key: amount / whole for key, amount in (dict(salts) | moles).items()}


def _find_density(fractions: Fractions, density: float | None) -> float:
    """Return the density in g/mL: as it was given, or as the simulation has it.

    :raises InputError: when it is not given, and the simulation does not know it.
    """
    if density is not None:
        return density
    try:
        return benchmark_density(fractions)
    except InputError as error:
        raise InputError(f"{error}: give density_g_per_mL") from error


def _from_molality(name: str, salts: Fractions, solvents: Fractions, density: float | None) -> StockSolution:
    fractions = _mix(salts, solvents)
    found = _find_density(fractions, density)
    litre = 1000.0 * found / mass(fractions)  # mol of everything
    return StockSolution(name, {key: share * litre for key, share in fractions.items()}, found)


def _from_molarity(name: str, salts: Fractions, solvents: Fractions, density: float | None) -> StockSolution:
    """Return a stock solution with mol of each salt per litre.

    :raises InputError: when so much salt is more than the solution.
    """
    molalities = dict(salts)
    for _ in range(_N_STEPS):
        before = molalities
        salt_mass = sum(amount * get_chemical(key).molar_mass for key, amount in before.items()) / 1000.0
        kilograms = _find_density(_mix(before, solvents), density) / (1.0 + salt_mass)  # of solvent, per litre
        molalities = {key: amount / kilograms for key, amount in salts.items()}
        if all(math.isclose(value, before[key], rel_tol=1e-13) for key, value in molalities.items()):
            return _from_molality(name, molalities, solvents, density)
        if any(value > _TOO_MUCH for value in molalities.values()):
            break
    contents = ", ".join(f"{amount:g} mol/L {chemical_label(key)}" for key, amount in salts.items())
    raise InputError(f"{contents} was given, accepted is less salt than makes up the whole solution")


def _read_offer(quantity: str, value: Any, stocks: Mapping[str, StockSolution]) -> Offer:
    path = f"offers.{quantity}"
    if quantity not in TARGETS:
        raise bad_input("offers: quantity", quantity, f"one of {', '.join(TARGETS)}")
    given = _take(path, {} if value is None else value, "stocks", "limits", "temperature_K")
    names = given.get("stocks", list(stocks))
    if not isinstance(names, list) or not names or any(name not in stocks for name in names):
        raise bad_input(f"{path}.stocks", names, f"a list of names of {', '.join(stocks)}")
    chosen = tuple(stocks[name] for name in dict.fromkeys(names))
    _demand_truth(path, quantity, chosen)
    low, high = TEMPERATURE_RANGE
    limits = _read_range(f"{path}.temperature_K", given.get("temperature_K", [low, high]), low, high)
    return Offer(chosen, _read_box(f"{path}.limits", given.get("limits", {}), chosen), limits)


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
