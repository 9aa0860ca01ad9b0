"""The description of a package, as the archives want it.

Fields: https://inveniordm.docs.cern.ch/reference/metadata/. A package carries its description as ``metadata.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from pathlib import Path
from typing import Any

from aiida_finales.exceptions import InputError, SchemaError
from aiida_finales.fair.deposit.archives import Archive
from aiida_finales.schemas import Json

FILE = "metadata.json"
PUBLIC, RESTRICTED, CONFIDENTIAL = "public", "restricted", "confidential"
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Description:
    """What is said about a package; ``document`` is its ``metadata.json``."""

    document: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The title."""
        return str(self.document.get("title") or "").strip()

    @property
    def licence(self) -> str:
        """SPDX identifier of the licence."""
        return str(self.document.get("licence") or self.document.get("license") or "").strip()

    @property
    def openness(self) -> str:
        """Return who may read it: public, restricted or confidential."""
        return str(self.document.get("openness") or "").strip().lower()

    @property
    def embargo(self) -> date | None:
        """The day on which the files become public; none when that is not in the future.

        :raises InputError: when it is not a date.
        """
        given = self.document.get("embargo_until")
        if not given:
            return None
        try:
            day = date.fromisoformat(str(given)[:10])
        except ValueError:
            raise InputError(f"embargo_until is {given!r}, but accepted is a date, e.g. 2027-01-31") from None
        return day if day > today() else None

    def names(self) -> list[str]:
        """Return the authors as *family, given*."""
        return [_name(author) for author in self.document.get("authors") or []]


def today() -> date:
    """Return the date, UTC."""
    return datetime.now(UTC).date()


def read_description(folder: Path) -> Description:
    """Return the description of a package.

    :raises InputError: when there is none.
    """
    path = folder / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no {FILE}: give a finished package, made by 'aiida-finales export campaign NAME --metadata "
            "meta.yaml'"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is a list or a value, but accepted is an object with title, authors, licence ...")
    return Description(document)


def check_description(description: Description, archive: Archive) -> None:
    """Compare a description with what an archive wants.

    :raises SchemaError: when something is missing; names all of it.
    :raises InputError: when it must not be deposited at all.
    """
    document, embargo, errors = description.document, description.embargo, []
    if description.openness == CONFIDENTIAL:
        raise InputError("openness is confidential: what is confidential is not given to an archive")
    for key, accepted in (("title", "a sentence"), ("description", "an abstract"), ("licence", "an SPDX identifier")):
        if not (description.licence if key == "licence" else str(document.get(key) or "").strip()):
            errors.append({"path": key, "given": document.get(key), "accepted": accepted})
    if description.openness not in {PUBLIC, RESTRICTED}:
        errors.append({"path": "openness", "given": description.openness, "accepted": "public or restricted"})
    if description.openness == RESTRICTED and embargo:
        accepted = "no date for what stays restricted: at an embargo's end the archive opens the files to all"
        errors.append({"path": "embargo_until", "given": str(embargo), "accepted": accepted})
    for key, minimum in (("authors", 1), ("keywords", archive.min_keywords), ("references", archive.min_references)):
        given = document.get(key) or []
        if len(given) < minimum:
            errors.append({"path": key, "given": given, "accepted": f"at least {minimum} for {archive.title}"})
    errors += [
        {"path": f"authors[{number}].family_name", "given": author, "accepted": "a person with family and given name"}
        for number, author in enumerate(document.get("authors") or [])
        if not (isinstance(author, Mapping) and author.get("family_name"))
    ]
    if errors:
        raise SchemaError(f"{FILE} of the package", errors)


def make_record(description: Description, archive: Archive, pids: Json | None = None) -> Json:
    """Return the document that describes the record.

    :param pids: of the draft: identifiers that the archive has reserved get lost when they are not sent back.
    """
    document = description.document
    metadata = {
        "resource_type": {"id": "dataset"},
        "title": description.title,
        "publication_date": today().isoformat(),
        "publisher": archive.publisher or archive.title,
        "creators": [_make_creator(author) for author in document["authors"]],
        "description": _make_html(str(document["description"])),
        "rights": [{"id": archive.licence_id(description.licence)}],
        "subjects": [{"subject": str(keyword)} for keyword in document.get("keywords") or []],
        "related_identifiers": [_make_reference(item) for item in document.get("references") or []],
        "funding": [_make_funding(item) for item in document.get("funding") or []],
    }
    if document.get("version"):
        metadata["version"] = str(document["version"])
    record = {"access": _make_access(description), "files": {"enabled": True}, "metadata": metadata}
    return record | ({"pids": pids} if pids else {})


def _name(author: Mapping[str, Any]) -> str:
    return ", ".join(str(author[key]) for key in ("family_name", "given_name") if author.get(key))


def _make_creator(author: Mapping[str, Any]) -> Json:
    person: Json = {"type": "personal", "family_name": author["family_name"], "name": _name(author)}
    if author.get("given_name"):
        person["given_name"] = author["given_name"]
    if author.get("orcid"):
        person["identifiers"] = [{"scheme": "orcid", "identifier": str(author["orcid"]).rsplit("/", 1)[-1]}]
    given = author.get("affiliations") or []
    affiliations = [given] if isinstance(given, (str, Mapping)) else given
    names = [item.get("name") if isinstance(item, Mapping) else item for item in affiliations]
    return {"person_or_org": person, "affiliations": [{"name": str(name)} for name in names if name]}


def _make_html(text: str) -> str:
    """Return plain text as paragraphs: archives take descriptions for HTML."""
    return "".join(f"<p>{escape(part.strip(), quote=False)}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def _make_reference(reference: Any) -> Json:
    if isinstance(reference, Mapping):
        reference = reference.get("doi") or reference.get("identifier") or reference.get("url") or ""
    doi = _DOI.fullmatch(str(reference).strip())
    scheme, identifier = ("doi", doi.group(1)) if doi else ("url", str(reference).strip())
    return {"scheme": scheme, "identifier": identifier, "relation_type": {"id": "references"}}


def _make_funding(funding: Any) -> Json:
    if not isinstance(funding, Mapping):
        return {"funder": {"name": str(funding)}}
    made: Json = {"funder": {"name": str(funding.get("funder") or funding.get("name") or "")}}
    number = funding.get("award_number") or funding.get("number") or funding.get("grant")
    title = funding.get("award_title") or funding.get("title") or funding.get("award")
    award: Json = {"title": {"en": str(title)}} if title else {}
    award |= {"number": str(number)} if number else {}
    return made | ({"award": award} if award else {})


def _make_access(description: Description) -> Json:
    """Return who may read what: the description is always public, for without it nobody would find the data."""
    if description.embargo:
        embargo = {"active": True, "until": description.embargo.isoformat(), "reason": None}
        return {"record": "public", "files": "restricted", "embargo": embargo}
    return {"record": "public", "files": description.openness}
