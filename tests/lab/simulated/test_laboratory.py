"""The file that says what is in the bottles: what it may say, and what follows from it."""

from __future__ import annotations

import pytest
import yaml

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.simulated.inventory import create_laboratory
from aiida_finales.lab.simulated.laboratory import default_laboratory, find_laboratory, read_laboratory
from aiida_finales.schemas.chemicals import get_chemical, molality
from aiida_finales.science.electrolyte.density import benchmark_density

LIPF6, EC, DMC = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "DMC"))
RIGHT = {
    "name": "ours",
    "stock_solutions": {
        "salty": {"salts_mol_per_L": {"LiPF6": 1.2}, "solvents_by_mass": {"EC": 1, "DMC": 3}},
        "thin": {"solvents_by_mass": {"DMC": 1}},
    },
}


@pytest.fixture
def read(tmp_path):
    def read(document):
        path = tmp_path / "own.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        return read_laboratory(path)

    return read


def changed(*path, to):
    document = yaml.safe_load(yaml.safe_dump(RIGHT))
    place = document
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = to
    return document


def test_molarity_is_that_of_the_solution(read):
    salty, thin = read(RIGHT).stocks
    assert salty.molarities[LIPF6] == pytest.approx(1.2, rel=1e-9)
    assert salty.density == pytest.approx(benchmark_density(salty.fractions))
    grams = {key: value * get_chemical(key).molar_mass for key, value in salty.molarities.items()}
    assert sum(grams.values()) == pytest.approx(1000 * salty.density)
    assert grams[DMC] / grams[EC] == pytest.approx(3)
    assert thin.fractions == {DMC: 1.0}


def test_molality_with_a_measured_density(read):
    stock = {"salts_mol_per_kg": {"LiPF6": 1.5}, "solvents_by_mass": {"EC": 2, "EMC": 2}, "density_g_per_mL": 1.287}
    (found,) = read({"stock_solutions": {"A": stock}, "offers": {"electrolyte": {}}}).stocks
    assert molality(found.fractions) == pytest.approx(1.5)
    assert found.density == 1.287


def test_without_offers_everything_is_offered_of_everything(read):
    laboratory = read(RIGHT)
    assert set(laboratory.offers) == {"conductivity", "electrolyte", "density", "viscosity"}
    for quantity, offer in laboratory.offers.items():
        assert offer.stocks == laboratory.stocks
        (rows,) = (offer.limitations(quantity).get("electrolyte") or offer.limitations(quantity))["formulation"]
        assert {row["chemical"]["InChIKey"] for row in rows} == {LIPF6, EC, DMC}


WRONG = {
    "no YAML": ("a: [", "accepted is a YAML file"),
    "a list": ([], "file: .* accepted is an object"),
    "nothing": ({"name": "x"}, "stock_solutions: None was given"),
    "no stocks": ({"stock_solutions": {}}, "at least one stock solution"),
    "unknown key": (changed("stocks", to={}), "one of name, stock_solutions, offers"),
    "unknown form": (changed("stock_solutions", "thin", "volume", to=1), "one of mol_per_L"),
    "unknown chemical": (changed("stock_solutions", "thin", "solvents_by_mass", to={"XYZ": 1}), "'XYZ' is not known"),
    "salt as solvent": (changed("stock_solutions", "thin", "solvents_by_mass", to={"LiPF6": 1}), "a solvent; salts"),
    "solvent as salt": (changed("stock_solutions", "salty", "salts_mol_per_L", to={"EC": 1}), "accepted is a salt"),
    "negative": (changed("stock_solutions", "salty", "salts_mol_per_L", "LiPF6", to=-1), "a number above 0"),
    "too much salt": (changed("stock_solutions", "salty", "salts_mol_per_L", "LiPF6", to=20), "less salt than"),
    "two units": (changed("stock_solutions", "salty", "salts_mol_per_kg", to={"LiPF6": 1}), "'both' was given"),
    "no density": (changed("stock_solutions", "other", to={"mol_per_L": {"EMC": 9}}), "with density_g_per_mL"),
    "density of its own": (changed("stock_solutions", "pc", to={"solvents_by_mass": {"PC": 1}}), "give density"),
    "no truth": (
        changed("stock_solutions", "pc", to={"solvents_by_mass": {"PC": 1}, "density_g_per_mL": 1.2}),
        "conductivity of 'pc' cannot be simulated",
    ),
    "one name twice": (changed("stock_solutions", "thin ", to={"solvents_by_mass": {"DMC": 1}}), "another name"),
    "no name of a file": (changed("stock_solutions", "a/b", to={"solvents_by_mass": {"DMC": 1}}), "key 'stock-a/b'"),
    "unknown quantity": (changed("offers", to={"colour": {}}), "one of conductivity, electrolyte, density, viscosity"),
    "unknown stock": (changed("offers", to={"density": {"stocks": ["thick"]}}), "a list of names of salty, thin"),
    "limits of what is not there": (changed("offers", to={"density": {"limits": {"EMC": [0, 1]}}}), "LiPF6, DMC, EC"),
    "limits upside down": (changed("offers", to={"density": {"limits": {"EC": [1, 0]}}}), r"\[lowest, highest\]"),
    "temperature in degrees": (changed("offers", to={"density": {"temperature_K": [10, 30]}}), "from 283.15"),
}


@pytest.mark.parametrize(("document", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_refused_with_its_place(read, document, words):
    with pytest.raises(DeviceInputError, match=words):
        read(document)


def test_a_laboratory_keeps_its_file(read, tmp_path):
    ours, folder = read(RIGHT), tmp_path / "laboratory"
    create_laboratory(folder)
    assert find_laboratory(folder) == default_laboratory()
    inventory = create_laboratory(folder, ours)
    assert find_laboratory(folder) == ours
    assert "stock-salty" in {thing.identity for thing in inventory.find("stock")}
    assert create_laboratory(folder).find() == inventory.find()


def test_a_bottle_does_not_change_what_is_in_it(read, tmp_path):
    create_laboratory(tmp_path / "laboratory", read(RIGHT))
    other = read(changed("stock_solutions", "thin", "solvents_by_mass", to={"EC": 1, "DMC": 9}))
    with pytest.raises(DeviceInputError, match=r"'thin': the bottle stock-thin .* give the new one another name"):
        create_laboratory(tmp_path / "laboratory", other)
