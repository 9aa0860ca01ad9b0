"""Validation of RO-Crates without network: what would be fetched comes from the files of ``rocrate``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import rocrate

#: rocrate carries the context of 1.3 only; in that of 1.1 the two terms of Bioschemas have no "terms" in their address
CONTEXT = (
    (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld")
    .read_bytes()
    .replace(b"https://bioschemas.org/terms/", b"https://bioschemas.org/")
)


def find_issues(folder: Path, profile: str) -> list[str]:
    """Return which required checks of a profile fail."""
    from rocrate_validator import models, services

    with _offline():
        settings = services.ValidationSettings(
            rocrate_uri=str(folder),
            profile_identifier=profile,
            requirement_severity=models.Severity.REQUIRED,
            no_cache=True,
        )
        result = services.validate(settings)
    return [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]


@contextmanager
def _offline() -> Iterator[None]:
    from rdflib.plugins.shared.jsonld import context, util
    from requests import Response
    from requests.sessions import Session

    send, load = Session.send, util.source_to_json

    def answer(self: Session, request: Any, **options: Any) -> Any:
        if "w3id.org/ro/" not in request.url:
            return send(self, request, **options)
        response = Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response._content = CONTEXT
        response.headers["Content-Type"] = "application/ld+json"
        return response

    def read(source: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(source, str) and "w3id.org/ro/" in source:
            return json.loads(CONTEXT), None
        return load(source, *arguments, **options)

    with (
        patch.object(Session, "send", answer),
        patch.object(util, "source_to_json", read),
        patch.object(context, "source_to_json", read),
    ):
        yield
