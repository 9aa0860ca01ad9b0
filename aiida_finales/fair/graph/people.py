"""The people behind the data and the organisations they work for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiida_finales.exceptions import InputError

_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
_ROR = re.compile(r"0[a-hj-km-np-tv-z0-9]{6}\d{2}")


@dataclass(frozen=True)
class Person:
    """Somebody who made, ordered or publishes data.

    :param given_name: first names.
    :param family_name: last name.
    :param orcid: 16 digits in groups of four, without address; empty when there is none.
    :param organisation: where the person works, e.g. ``Karlsruhe Institute of Technology``.
    :param ror: identifier of the organisation in ror.org, e.g. ``04t3en479``; empty when there is none.
    :raises InputError: when an ORCID has a wrong check digit, or a ROR is not of the right form.
    """

    given_name: str
    family_name: str
    orcid: str = ""
    organisation: str = ""
    ror: str = ""

    def __post_init__(self) -> None:
        if self.orcid and not is_orcid(self.orcid):
            raise InputError(
                f"orcid of {self.name} is {self.orcid!r}, but accepted are 16 digits in groups of four of which the "
                "last one checks the others, e.g. 0000-0002-1825-0097"
            )
        if self.ror and not _ROR.fullmatch(self.ror):
            raise InputError(f"ror is {self.ror!r}, but accepted are 9 characters from ror.org, e.g. 04t3en479")
        if self.ror and not self.organisation:
            raise InputError(f"ror of {self.name} is given, but the name of the organisation is not")

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.given_name} {self.family_name}".strip()

    @property
    def iri(self) -> str:
        """Address of the ORCID; without one a name that means the person within this graph only."""
        return f"https://orcid.org/{self.orcid}" if self.orcid else f"urn:aiida-finales:person:{_slug(self.name)}"

    @property
    def organisation_iri(self) -> str:
        """Address of the ROR; without one a name that means it within this graph only, empty without organisation."""
        if self.ror:
            return f"https://ror.org/{self.ror}"
        return f"urn:aiida-finales:organisation:{_slug(self.organisation)}" if self.organisation else ""


def is_orcid(text: str) -> bool:
    """Return whether a text is an ORCID with the right check digit (ISO 7064, MOD 11-2)."""
    if not _ORCID.fullmatch(text):
        return False
    total = 0
    for digit in text.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    return text[-1] == ("X" if check == 10 else str(check))  # noqa: PLR2004 - ten is written as X


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
