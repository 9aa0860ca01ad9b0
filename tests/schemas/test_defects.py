"""What is said of a document that breaks its schema."""

from __future__ import annotations

import pytest

from aiida_finales.exceptions import SchemaError
from aiida_finales.schemas.defects import check_json_schema, find_defects
from aiida_finales.schemas.quantities.lifetime import AgedCell, CellToAge, Curve

WORDS = "80 looks like %"


@pytest.mark.parametrize(
    ("given", "is_told"), [(80, True), (97.5, True), (2, True), (1.05, False), (800, False), ("80", False)]
)
def test_a_share_in_per_cent_is_named(given, is_told):
    """Whether the model finds it or its JSON Schema."""
    schema = CellToAge.model_json_schema()["properties"]["coverage"]
    (told,) = (item for item in find_defects(CellToAge, {"coverage": given}) if item["path"] == "coverage")
    (again,) = check_json_schema(schema, given)
    assert [item["accepted"].endswith("looks like %") for item in (told, again)] == [is_told] * 2


def test_a_share_within_an_optional_value_and_a_list_too():
    steps = {"charging": [{"rate": 1.0, "until_soc": 80}], "discharging": [{"rate": 1.0}]}
    assert any(item["accepted"].endswith(WORDS) for item in find_defects(AgedCell, {"protocol": steps}))
    assert any(item["accepted"].endswith(WORDS) for item in find_defects(Curve, {"state_of_health": [80]}))


def test_a_long_list_in_another_unit_is_not_told_number_by_number():
    errors = [{"path": f"capacity[{number}]", "given": 1080.0, "accepted": "Ah"} for number in range(100)]
    words = str(SchemaError("parameters", errors))
    assert "capacity[7]" in words
    assert "capacity[8]" not in words
    assert words.endswith("; and 92 more")
