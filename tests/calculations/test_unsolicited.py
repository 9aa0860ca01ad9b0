"""Existing data become unsolicited results, all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiida import orm

from aiida_finales.calculations.unsolicited import check_rows, import_results
from aiida_finales.data.result import ResultData
from aiida_finales.exceptions import InputError
from aiida_finales.schemas.chemicals import get_chemical

EXAMPLE = Path(__file__).parents[2] / "examples" / "data" / "calisol23_lipf6_ec_emc_20.csv"
SETTINGS = {"quantity": "conductivity", "method": "literature", "rating": 3, "reference": "doi:x"}
HEAD = "temperature_K,conductivity_S_per_m,x_LiPF6,x_EC,x_EMC\n"
GOOD = "298.15,0.9,0.08,0.3,0.62\n"


def store(text):
    return orm.SinglefileData.from_string(text, filename="data.csv").store()


def check(text, quantity, method="literature"):
    return check_rows(text, {"quantity": quantity, "method": method})


def run(text, **settings):
    return import_results(store(text), orm.Dict({**SETTINGS, **settings}).store())


def test_every_row_is_a_result(registered):
    content = EXAMPLE.read_text()
    assert len(check(content, "conductivity")) == 20
    results = run(content)
    assert len(results) == 20
    first = results["result_00001"]
    assert (first.value, first.rating, first.is_successful) == (0.71619, 3, True)
    assert first.fractions[get_chemical("LiPF6").inchikey] == 0.0584305
    assert first.data["run_info"]["internal_reference"] == "10.1149/1.1403730#row1"
    assert first.base.attributes.get("temperature") == 303.15
    assert first.request_uuid is None
    assert first.creator.process_label == "import_results"
    assert {item.base.attributes.get("valid") for item in results.values()} == {True}


def test_millisiemens_per_centimetre_become_siemens_per_metre(registered):
    text = "# from the bench\n\ntemperature_K,conductivity_mS_cm,x_EC,x_EMC,x_LiPF6,remark\n300,8.5,0.3,0.62,0.08,ok\n"
    (result,) = run(text, rating=5, tenant="bench").values()
    assert result.value == pytest.approx(0.85)
    assert (result.rating, result.tenant_uuid) == (5, "bench")


def test_empty_columns_are_absent_chemicals(registered):
    (result,) = run("temperature_K,conductivity_S_per_m,x_EC,x_EMC,x_DMC\n300,0.9,0.4,0.6,\n").values()
    assert len(result.fractions) == 2


BAD = {
    "sum": ("298.15,0.9,0.08,0.3,0.7\n", "row 2: fractions are .* with sum 1.08"),
    "text": ("298.15,much,0.08,0.3,0.62\n", "row 2: conductivity_S_per_m is 'much', but accepted is a number"),
    "not a number": ("298.15,nan,0.08,0.3,0.62\n", "row 2: conductivity_S_per_m is 'nan'"),
    "infinite": ("298.15,inf,0.08,0.3,0.62\n", "row 2: conductivity_S_per_m is 'inf'"),
    "no value": ("298.15,,0.08,0.3,0.62\n", "row 2: no value: accepted columns are conductivity_S_per_m"),
    "no temperature": (",0.9,0.08,0.3,0.62\n", "row 2: temperature_K is '', but accepted is a number"),
    "negative": ("298.15,-0.9,0.08,0.3,0.62\n", r"row 2: .*values\[0\]: -0.9 was given"),
    "cold": ("-5,0.9,0.08,0.3,0.62\n", r"row 2: .*temperature: -5.0 was given"),
    "short": ("298.15,0.9\n", "row 2 has 2 cells, but the header names 5: temperature_K"),
}


@pytest.mark.parametrize(("row", "words"), BAD.values(), ids=BAD)
def test_bad_rows_are_listed_and_nothing_is_stored(registered, count_nodes, row, words):
    before = count_nodes()
    with pytest.raises(InputError, match=f"1 of 3 rows cannot be used, nothing was stored: {words}"):
        check(HEAD + GOOD + row + GOOD, "conductivity")
    assert count_nodes() == before


def test_unchecked_bad_rows_make_no_result_either(registered):
    before = orm.QueryBuilder().append(ResultData).count()
    with pytest.raises(InputError, match=r"with sum 1\.08"):
        run(HEAD + GOOD + BAD["sum"][0])
    assert orm.QueryBuilder().append(ResultData).count() == before


@pytest.mark.parametrize(
    ("text", "quantity", "words"),
    [
        ("", "conductivity", "the file has no rows"),
        (HEAD, "conductivity", "the file has no rows"),
        (HEAD + GOOD, "colour", "colour cannot be imported from a table; accepted are conductivity"),
        (HEAD.replace("x_EC", "x_Unobtainium") + GOOD, "conductivity", r"\['x_Unobtainium'\] name no known chemical"),
    ],
)
def test_unusable_files(registered, text, quantity, words):
    with pytest.raises(InputError, match=words):
        check(text, quantity)


CELLS = Path(__file__).parents[2] / "examples" / "multitask" / "unsolicited_end_of_life.csv"
LIVES = "x_LiPF6,x_EC,x_EMC,end_of_life_cycles,uncertainty_cycles\n"


@pytest.fixture
def end_of_life(registered):
    """The capabilities of the end of life, registered."""
    from aiida_finales.broker.registration import add_capability
    from aiida_finales.schemas.export import parameters_json_schema, result_json_schema

    for method in ("degradation_model", "degradation_workflow"):
        key = ("degradationEOL", method)
        add_capability(*key, parameters_json_schema(*key), result_json_schema(*key))


def test_cells_of_one_formulation_are_one_result(end_of_life):
    results = run(CELLS.read_text(), quantity="degradationEOL", method="degradation_workflow", reference="x")
    first = results["result_00001"]
    assert (len(results), first.value, first.base.attributes.get("n_valid")) == (4, 30.0, 8)
    assert first.is_successful
    assert first.fractions[get_chemical("LiPF6").inchikey] == 0.03798
    assert first.parameters["cell_info"] == {}
    assert {item.base.attributes.get("simulated") for item in results.values()} == {True}
    assert {item.base.attributes.get("valid") for item in results.values()} == {True}


def test_a_result_of_the_model_is_one_cell(end_of_life):
    settings = {"quantity": "degradationEOL", "method": "degradation_model"}
    (result,) = run(f"{LIVES}0.08,0.3,0.62,151,12.5\n", **settings).values()
    assert (result.value, result.values[0].uncertainty) == (151.0, 12.5)
    assert result.base.attributes.get("simulated") is False
    with pytest.raises(InputError, match="row 1: 2 cells, but a result of this method is one cell"):
        check(f"{LIVES}0.08,0.3,0.62,151;160,12;13\n", **settings)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0.08,0.3,0.62,151;long,", "row 1: end_of_life_cycles is 'long', but accepted is a number"),
        ("0.08,0.3,0.62,151;160,12", "row 1: uncertainty_cycles has 1 numbers, but accepted is one per value, 2"),
        ("0.08,0.3,0.62,15.5,", "row 1: .*end_of_life: 15.5 was given"),
        ("0.08,0.3,0.62,-3,", "row 1: .*end_of_life: -3 was given"),
        ("0.08,0.3,0.62,,", "row 1: no value: accepted columns are end_of_life_cycles"),
    ],
    ids=["text", "uncertainties", "fraction", "negative", "none"],
)
def test_bad_cells_are_named(end_of_life, row, words):
    with pytest.raises(InputError, match=words):
        check(f"{LIVES}{row}\n", "degradationEOL", "degradation_workflow")


def test_simulated_is_yes_or_no(registered):
    with pytest.raises(InputError, match="simulated is 'maybe', but accepted is yes or no"):
        check(HEAD.replace("x_EMC", "x_EMC,simulated") + "298.15,0.9,0.08,0.3,0.62,maybe\n", "conductivity")


def test_repetitions_are_one_result(registered):
    (result,) = run(HEAD + "298.15,0.9;1.0,0.08,0.3,0.62\n").values()
    assert (result.value, result.base.attributes.get("n_values")) == (pytest.approx(0.95), 2)
