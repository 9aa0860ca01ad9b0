"""The file that says what is in the bottles: what it may say, and what follows from it."""

from __future__ import annotations

import pytest
import yaml

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.simulated.inventory import create_laboratory
from aiida_finales.lab.simulated.laboratory import (
    default_laboratory,
    find_laboratory,
    read_laboratory,
    robot_offer,
)
from aiida_finales.schemas.chemicals import get_chemical, molality
from aiida_finales.science.electrolyte.density import benchmark_density

LIPF6, EC, DMC = (get_chemical(name).inchikey for name in ("LiPF6", "EC", "DMC"))
RIGHT = {"name": "ours", "stock_solutions": {"salty": "1.2 M LiPF6 in EC:DMC 1:3 w/w", "thin": "DMC"}}


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


def test_solutions_that_are_not_mixed_are_offered_one_by_one(read):
    offers = {"electrolyte": {"mixed": False}, "conductivity": {}}
    laboratory = read(changed("offers", to=offers))
    limits = robot_offer("electrolyte", laboratory)
    assert limits["constraints"] == []
    found = [
        {part["chemical"]["InChIKey"]: part["fraction"][0] for part in mixture}
        for mixture in limits["limitations"]["electrolyte"]["formulation"]
    ]
    assert [set(mixture) for mixture in found] == [{LIPF6, EC, DMC}, {DMC}]
    salty = laboratory.stocks[0].fractions
    assert all(found[0][key]["min"] <= salty[key] <= found[0][key]["max"] for key in salty)
    assert len(robot_offer("conductivity", laboratory)["limitations"]["formulation"]) == 1
    with pytest.raises(DeviceInputError, match=r"limits.*accepted is none where nothing is mixed"):
        read(changed("offers", to={"electrolyte": {"mixed": False, "limits": {"LiPF6": [0, 0.1]}}}))


SAID = {
    "a text": "1.5 mol/kg LiPF6 in EC:EMC 1:1 w/w, 1.287 g/cm3",
    "an object": {"solvents": {"EC": 2, "EMC": 2}, "by": "mass", "molality": {"LiPF6": 1.5}, "density": 1.287},
    "a text and its density": {"mixture": "1.5 mol/kg LiPF6 in EC:EMC 1:1 w/w", "density": 1.287},
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_a_measured_density_counts(read, said):
    (found,) = read({"stock_solutions": {"A": said}, "offers": {"electrolyte": {}}}).stocks
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
    "unknown key": (changed("stocks", to={}), "one of name, chemicals, stock_solutions, offers"),
    "no mixture": (changed("stock_solutions", "thin", to=7), "mixture is 7"),
    "unknown form": (changed("stock_solutions", "thin", to={"mol_per_L": {}, "x": 1}), "one of mol_per_L, density"),
    "unknown chemical": (changed("stock_solutions", "thin", to="XYZ"), "'XYZ' is not known"),
    "salt as solvent": (changed("stock_solutions", "thin", to="LiPF6"), "is no amount of a salt"),
    "too much salt": (changed("stock_solutions", "salty", to="20 M LiPF6 in DMC"), "leave no room for a solvent"),
    "ratio of what": (changed("stock_solutions", "thin", to="EC:DMC 1:1"), "is of what"),
    "no density": (changed("stock_solutions", "other", to={"mol_per_L": {"EMC": 9}}), "a density from 0.3 to 5"),
    "negative": (changed("stock_solutions", "A", to={"mol_per_L": {"EC": -1}, "density": 1}), "accepted is above 0"),
    "no truth": (
        changed("stock_solutions", "pc", to="PC, 1.2 g/cm3"),
        "conductivity of 'pc' cannot be simulated",
    ),
    "one name twice": (changed("stock_solutions", "thin ", to="DMC"), "another name"),
    "no name of a file": (changed("stock_solutions", "a/b", to="DMC"), "key 'stock-a/b'"),
    "unknown quantity": (changed("offers", to={"colour": {}}), "one of conductivity, electrolyte, density, viscosity"),
    "unknown stock": (changed("offers", to={"density": {"stocks": ["thick"]}}), "a list of names of salty, thin"),
    "limits of what is not there": (changed("offers", to={"density": {"limits": {"EMC": [0, 1]}}}), "LiPF6, EC, DMC"),
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
    other = read(changed("stock_solutions", "thin", to="EC:DMC 1:9 w/w"))
    with pytest.raises(DeviceInputError, match=r"'thin': the bottle stock-thin .* give the new one another name"):
        create_laboratory(tmp_path / "laboratory", other)


ETHERS = """
name: ethers
chemicals:
  - {name: BTFE, smiles: FC(F)(F)COCC(F)(F)F, inchikey: KGPPDNUWZNWPSI-UHFFFAOYSA-N, formula: C4H4F6O}
stock_solutions:
  salty: 2 mol/kg LiFSI in DME, 1.1 g/cm3
  thin: BTFE, 1.4 g/cm3
offers:
  electrolyte: {}
"""


def test_chemicals_of_its_own_are_mixed(read, lab):
    laboratory = read(ETHERS)
    create_laboratory(lab.inventory.folder, laboratory)
    shares = [stock.fractions for stock in laboratory.stocks]
    half = {key: sum(share.get(key, 0.0) for share in shares) / 2 for key in shares[0] | shares[1]}
    assert lab.call("asab", "a", lab.make_flow(fractions=half)) == 0
    made = {info["name"]: info["molar_mass"] for info in lab.output("a")["chemicals_info"].values()}
    assert made["BTFE"] == pytest.approx(182.06, abs=0.01)
    assert {"LiFSI", "DME"} < set(made)
    vial = lab.inventory.get(lab.output("a")["sample"])
    assert vial.parents == ("stock-salty", "stock-thin")


def test_a_name_is_not_given_twice(read):
    taken = "chemicals: [{name: DMC, smiles: CCO, inchikey: LFQSCWFLJHTTHZ-UHFFFAOYSA-N, formula: C2H6O}]\n"
    with pytest.raises(DeviceInputError, match="the name 'DMC' is given twice"):
        read(taken + yaml.safe_dump(RIGHT))
    with pytest.raises(DeviceInputError, match="the SMILES is that of"):
        read(ETHERS.replace("KGPPDNUWZNWPSI", "IEJIGPNLZYLLBP").replace("BTFE", "XYZ"))
    with pytest.raises(DeviceInputError, match="accepted is a list of chemicals"):
        read("chemicals: {}\n" + yaml.safe_dump(RIGHT))
