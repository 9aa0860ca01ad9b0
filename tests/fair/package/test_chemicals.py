"""A package calls its chemicals as who exported it, wherever it is read."""

from __future__ import annotations

import json
import shutil

import pytest

from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.data.chemicals import PROFILE, add_chemicals, check_chemicals
from aiida_finales.fair.package import checksums
from aiida_finales.fair.package.chemicals import FILE, find_unknown
from aiida_finales.fair.package.export import Wishes, export_campaign
from aiida_finales.fair.package.verify import verify_package
from aiida_finales.operations.importing.table import import_file
from aiida_finales.schemas.chemicals import get_chemical
from aiida_finales.schemas.chemicals.record import read_record
from aiida_finales.schemas.chemicals.registry import CHEMICALS
from tests.fair.package.test_export import make_metadata

OWN = {"name": "HFE-1", "smiles": "FC(F)C(F)(F)COC(F)(F)C(F)F", "inchikey": "HCBRSIIGBBDDCD-UHFFFAOYSA-N"}


@pytest.fixture(scope="module")
def package(profile, tmp_path_factory):
    """A campaign that learned from a chemical of its profile."""
    place = tmp_path_factory.mktemp("packages")
    add_chemicals(check_chemicals([OWN], PROFILE))
    table = place / "own.csv"
    table.write_text("temperature_C,electrolyte,conductivity_mS_cm\n25,1 m NaFSI in G2:HFE-1 1:1 w/w,8.1\n")
    CampaignGroup.find("first").add_nodes([*import_file(table, "conductivity").results])
    return export_campaign("first", make_metadata(), place, Wishes(scrub=True)).folder


def test_package_is_whole_where_its_chemicals_have_no_name(package):
    assert [item["name"] for item in json.loads((package / FILE).read_text())["chemicals"]] == ["HFE-1"]
    assert "x(HFE-1) / mol/mol" in (package / "tables" / "conductivity.csv").read_text()
    assert (verify_package(package), find_unknown(package)) == ([], [])
    with CHEMICALS.only([]):
        assert (verify_package(package), find_unknown(package)) == ([], ["HFE-1"])


def test_package_is_whole_where_its_chemicals_are_called_otherwise(package):
    with CHEMICALS.only([read_record({**OWN, "name": "TTE"}, "profile")]):
        assert get_chemical(OWN["inchikey"]).name == "TTE"
        assert (verify_package(package), find_unknown(package)) == ([], [])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [("HFE-1", "DME-1", "DME-1"), ('"smiles"', '"smile"', "smile"), ("{", "", "cannot be read")],
    ids=["name", "key", "cut off"],
)
def test_changed_names_are_noticed(package, tmp_path, before, after, words):
    copy = shutil.copytree(package, tmp_path / "copy")
    (copy / FILE).write_text((copy / FILE).read_text().replace(before, after, 1))
    checksums.write_checksums(copy)
    assert any(words in defect for defect in verify_package(copy))


def test_package_of_before_is_called_as_here(package, tmp_path):
    copy = shutil.copytree(package, tmp_path / "copy")
    (copy / FILE).unlink()
    assert not [words for words in verify_package(copy) if words.startswith("tables")]
