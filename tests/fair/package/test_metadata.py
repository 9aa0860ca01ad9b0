"""What is said about a package is checked before anything is made."""

from __future__ import annotations

import pytest
import yaml

from aiida_finales.exceptions import InputError
from aiida_finales.fair.package.metadata import metadata_template, parse_metadata, read_metadata

GOOD = yaml.safe_load(metadata_template("ocond"))


def test_template_is_accepted(tmp_path):
    path = tmp_path / "meta.yaml"
    path.write_text(metadata_template("ocond"))
    metadata = read_metadata(path)
    assert metadata.title == "Data of the campaign ocond"
    assert metadata.people[0].organisation_iri == "https://ror.org/04t3en479"


def author(**changes):
    return {"authors": [{**GOOD["authors"][0], **changes}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (author(orcid="0000-0002-1825-0098"), "orcid of Josiah Carberry is '0000-0002-1825-0098'"),
        (author(affiliations=[{"name": "X", "ror": "nonsense"}]), "ror is 'nonsense'"),
        ({"licence": "CC-BY-5"}, "licence is 'CC-BY-5': accepted are the SPDX identifiers CC-BY-4.0"),
        ({"keywords": ["one"]}, "keywords"),
        ({"authors": []}, "authors"),
        ({"openness": "secret"}, "openness is 'secret'"),
        ({"openness": "confidential", "embargo_until": "2030-01-01"}, "only what becomes public has an embargo"),
        ({"references": [{"citation": "A paper"}]}, "needs a doi or a url"),
        ({"references": [{"citation": "A paper", "doi": "doi:1"}]}, "doi is 'doi:1'"),
        ({"licens": "MIT"}, "unknown key 'licens': did you mean 'licence'"),
        ({"title": None}, "title"),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else None,
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(InputError) as caught:
        parse_metadata({**GOOD, **changes})
    assert words in str(caught.value)


def test_title_is_needed():
    with pytest.raises(InputError, match="key 'title' is missing"):
        parse_metadata({key: value for key, value in GOOD.items() if key != "title"})


def test_no_mapping(tmp_path):
    path = tmp_path / "meta.yaml"
    path.write_text("- a list")
    with pytest.raises(InputError, match="holds a list, but accepted are lines with key and value"):
        read_metadata(path)
