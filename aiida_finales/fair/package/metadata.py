"""What a package says about itself: people, licence, references, openness; read from a YAML file and checked."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from aiida_finales.exceptions import InputError
from aiida_finales.fair.graph.people import Person
from aiida_finales.schemas.access import Openness
from aiida_finales.schemas.defects import spell_defect
from aiida_finales.schemas.document import demand_keys, read_document

#: licences by SPDX identifier: name and address; those under which data and code are commonly published
LICENCES = {
    "CC-BY-4.0": ("Creative Commons Attribution 4.0 International", "https://creativecommons.org/licenses/by/4.0/"),
    "CC-BY-SA-4.0": (
        "Creative Commons Attribution Share Alike 4.0 International",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    "CC-BY-NC-4.0": (
        "Creative Commons Attribution Non Commercial 4.0 International",
        "https://creativecommons.org/licenses/by-nc/4.0/",
    ),
    "CC0-1.0": ("Creative Commons Zero v1.0 Universal", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "ODbL-1.0": ("Open Data Commons Open Database License v1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
    "ODC-By-1.0": ("Open Data Commons Attribution License v1.0", "https://opendatacommons.org/licenses/by/1-0/"),
    "PDDL-1.0": (
        "Open Data Commons Public Domain Dedication & License 1.0",
        "https://opendatacommons.org/licenses/pddl/1-0/",
    ),
    "MIT": ("MIT License", "https://opensource.org/license/mit"),
    "Apache-2.0": ("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
}
#: Materials Cloud asks for as many
MIN_KEYWORDS = 3


def _check_licence(word: str) -> str:
    if word not in LICENCES:
        message = f"accepted are the SPDX identifiers {', '.join(LICENCES)}"
        raise ValueError(message)
    return word


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Affiliation(_Section):
    """Where somebody works."""

    name: str = Field(min_length=1, description="institute, university, location")
    ror: str = Field("", description="identifier of the organisation in ror.org, e.g. 04t3en479")


class Author(_Section):
    """Somebody to be cited."""

    given_name: str = Field(min_length=1)
    family_name: str = Field(min_length=1)
    orcid: str = ""
    affiliations: list[Affiliation] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> Author:
        self.person()
        return self

    def person(self) -> Person:
        """Return what the graph knows of a person; of several affiliations the first.

        :raises InputError: when the ORCID has a wrong check digit, or the ROR is of the wrong form.
        """
        orcid = self.orcid.removeprefix("https://orcid.org/")
        people = [
            Person(self.given_name, self.family_name, orcid, item.name, item.ror.removeprefix("https://ror.org/"))
            for item in self.affiliations
        ]
        return people[0] if people else Person(self.given_name, self.family_name, orcid)


class Reference(_Section):
    """An article or preprint that belongs to the data."""

    citation: str = Field(min_length=1)
    doi: str = Field("", pattern=r"^(10\.\d{4,9}/\S+)?$")
    url: str = Field("", pattern=r"^(https?://\S+)?$")

    @model_validator(mode="after")
    def _check(self) -> Reference:
        if not (self.doi or self.url):
            message = "a reference needs a doi or a url"
            raise ValueError(message)
        return self


class Grant(_Section):
    """Who paid."""

    funder: str = Field(min_length=1)
    number: str = ""
    title: str = ""


class Metadata(_Section):
    """What is said about a package."""

    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    authors: list[Author] = Field(min_length=1)
    licence: Annotated[str, AfterValidator(_check_licence)] = "CC-BY-4.0"
    keywords: list[str] = Field(min_length=MIN_KEYWORDS)
    references: list[Reference] = Field(default_factory=list)
    funding: list[Grant] = Field(default_factory=list)
    openness: Openness = Openness.PUBLIC
    embargo_until: date | None = None
    date_published: date = Field(default_factory=lambda: datetime.now(UTC).date())
    version: str = "1"
    known_flaws: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check(self) -> Metadata:
        if self.embargo_until and self.openness is not Openness.PUBLIC:
            message = (
                f"embargo_until is given, but openness is {self.openness}: only what becomes public has an embargo"
            )
            raise ValueError(message)
        return self

    @property
    def people(self) -> list[Person]:
        """The authors."""
        return [author.person() for author in self.authors]

    @property
    def licence_name(self) -> str:
        """The name of the licence."""
        return LICENCES[self.licence][0]

    @property
    def licence_address(self) -> str:
        """Where the licence can be read."""
        return LICENCES[self.licence][1]

    @property
    def is_placeholder(self) -> bool:
        """Whether an author is still the one of the template."""
        return any(author.orcid.endswith(PLACEHOLDER) for author in self.authors)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return self.model_dump(mode="json")


#: ORCID's own example, in the template; whoever publishes under it has not filled it in
PLACEHOLDER = "0000-0002-1825-0097"
TEMPLATE = f"""\
# What is said about the package; see docs/reference/package.md
title: {{title}}
description: >-
  What was asked, how it was measured or computed, and what was found.
authors:
  - given_name: Josiah
    family_name: Carberry
    orcid: {PLACEHOLDER}        # check digit is checked
    affiliations:
      - name: Institute, University, Town
        ror: 04t3en479                # the organisation in ror.org
licence: CC-BY-4.0                    # SPDX identifier
keywords: [electrolyte, battery, materials acceleration platform]
references: []                        # - {{{{citation: "...", doi: 10.1234/abcd}}}}
funding: []                           # - {{{{funder: "...", number: "...", title: "..."}}}}
openness: public                      # public, restricted or confidential
embargo_until: null                   # e.g. 2027-01-31, for what becomes public then
version: "1"
known_flaws: []                       # sentences
# date_published: 2026-01-31          # default: today
"""


def metadata_template(campaign: str) -> str:
    """Return a file to fill in."""
    title = f"Data of the campaign {campaign}" if campaign else "Data of a campaign"
    return TEMPLATE.format(title=title)


def read_metadata(path: Path) -> Metadata:
    """Return what a YAML file says about a package.

    :raises InputError: naming each key that is missing, unknown or not acceptable.
    """
    return parse_metadata(read_document(path, what="metadata", is_json=False), str(path))


def parse_metadata(document: Any, where: str = "metadata") -> Metadata:
    """Return the metadata that a document describes.

    :raises InputError: naming each key that is missing, unknown or not acceptable.
    """
    demand_keys(document, where, "title: Conductivities of LiPF6 in EC and EMC")
    try:
        return Metadata.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(spell_defect(Metadata, item) for item in error.errors())) from error
