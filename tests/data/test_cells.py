"""Electrodes, separators and cell formats of the profile, of its tenants and of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from aiida_finales.broker.registration import add_tenant
from aiida_finales.data import added_records
from aiida_finales.data.cells import ADDED_PARTS, PROFILE, add_parts, check_parts
from aiida_finales.exceptions import InputError
from aiida_finales.operations.request.documents import read_tenant
from aiida_finales.schemas.cells import find_electrode, find_separator

CAPACITY = {"value": 110.0, "source": "a bench", "status": "measured"}
NFPP = {"name": "NFPP", "polarity": "positive", "working_ions": ["Na"], "practical_capacity": CAPACITY}
PAPER = {"name": "filter paper", "thickness": {"value": 180, "source": "a bench", "status": "measured"}}
OFFER = {"quantity": "cell_assembly", "method": "autobass_assembly"}


def add(**sections):
    return add_parts(check_parts(sections, PROFILE))


def test_what_is_added_is_known(own_parts):
    added = add(electrodes=[NFPP], separators=[PAPER])
    assert [part.record for part in added] == ["profile 1", "profile 1"]
    assert find_electrode("nfpp").known == {"practical_capacity": 110.0}
    assert find_separator("Filter-Paper").pore_volume is None
    assert add(electrodes=[{**NFPP, "synonyms": ["mixed phosphate"]}])[0].version == "2"
    assert find_electrode("mixed phosphate").record == "profile 2"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"electrodes": [{**NFPP, "name": "LFP"}]}, "the name 'LFP' is given twice.*takes up Li, the other Na"),
        ({"electrodes": [NFPP, {**NFPP, "polarity": "negative"}]}, "'NFPP' is given twice.*one is positive, the other"),
        ({"electrodes": NFPP}, "electrodes is dict, but accepted is a list"),
        ({"electrodes": [{**NFPP, "synonyms": ["graphite"]}]}, "the name 'graphite' is given twice"),
    ],
    ids=["ion", "twice", "list", "synonym"],
)
def test_what_contradicts_is_refused_and_nothing_is_written(own_parts, sections, words):
    with pytest.raises(InputError, match=words):
        check_parts(sections, PROFILE)
    assert not any(path.exists() for path in own_parts.values())


def test_another_package_brings_electrodes(own_parts, monkeypatch):
    group = ADDED_PARTS["electrodes"].group
    assert group == "aiida_finales.electrodes"
    points = {group: [EntryPoint("sodium", "package:ELECTRODES", group)]}
    monkeypatch.setattr(added_records, "entry_points", lambda group: points.get(group, []))
    monkeypatch.setattr(EntryPoint, "load", lambda _: [NFPP])
    ADDED_PARTS["electrodes"].forget()
    assert find_electrode("NFPP").record == "package sodium 1"


def test_a_tenant_brings_its_own(desk, own_parts):
    document = {"name": "sodium bench", "offers": [OFFER], "electrodes": [NFPP, {"name": "NVP", **_capacity(99.0)}]}
    node = add_tenant(**read_tenant(document))
    assert find_electrode("NFPP").record == "tenant sodium bench 1"
    assert find_electrode("NVP").known["practical_capacity"] == 110.0  # what a tenant says replaces no number
    assert [item["name"] for item in node.cell_parts["electrodes"]] == ["NFPP", "NVP"]
    same = add_tenant(node.name, node.offers, tenant_uuid=node.tenant_uuid)
    assert (same.uuid, same.cell_parts) == (node.uuid, node.cell_parts)
    with pytest.raises(InputError, match="practical_capacity is -3"):
        read_tenant({**document, "electrodes": [{**NFPP, **_capacity(-3)}]})


def _capacity(value):
    return {"practical_capacity": {**CAPACITY, "value": value}}
