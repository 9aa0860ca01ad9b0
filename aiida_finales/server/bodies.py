"""Requests and results as JSON in the published form; what never changes is written once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aiida_finales.broker.listing import Row, read_attributes
from aiida_finales.schemas.values import is_readable

#: documents that are kept, some kilobytes each
MOST_KEPT = 20_000


class Bodies:
    """Writes lists of requests and results; the documents are kept by pk, because their nodes are immutable.

    :param key: ``request`` or ``result``.
    :param make: makes the document of the attributes of a node and its ``uuid``.
    """

    def __init__(self, key: str, make: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._key = key
        self._make = make
        self._kept: dict[int, str] = {}
        self._unreadable: set[int] = set()

    def write(self, rows: Iterable[Row], *, only_readable: bool = False) -> list[str]:
        """Return each row with its document as one JSON object, in the published order of keys.

        :param only_readable: leave out the results at which an optimiser would stop.
        """
        wanted = list(rows)
        texts = self._texts({row.pk: row.uuid for row in wanted})
        if only_readable:
            wanted = [row for row in wanted if row.pk not in self._unreadable]
        return [
            f'{{"uuid":"{row.uuid}","ctime":"{write_moment(row.created)}","status":"{row.status}",'
            f'"{self._key}":{texts[row.pk]}}}'
            for row in wanted
        ]

    def _texts(self, pks: dict[int, str]) -> dict[int, str]:
        lacking = [pk for pk in pks if pk not in self._kept]
        documents = read_attributes(lacking)
        found = {pk: write_json(self._make({**document, "uuid": pks[pk]})) for pk, document in documents.items()}
        self._unreadable |= {pk for pk, document in documents.items() if not _is_readable(document)}
        texts = {pk: self._kept[pk] for pk in pks if pk in self._kept} | found
        self._kept |= found
        for pk in list(self._kept)[: max(0, len(self._kept) - MOST_KEPT)]:
            del self._kept[pk]
        return texts


def _is_readable(attributes: dict[str, Any]) -> bool:
    return "data" not in attributes or is_readable(attributes["quantity"], attributes["data"])


def write_json(document: Any) -> str:
    """Return JSON without spaces, in ASCII, so that no text can break it."""
    return json.dumps(document, separators=(",", ":"))


def write_list(items: Iterable[str]) -> str:
    """Return a JSON list of what is JSON already."""
    return f"[{','.join(items)}]"


def write_moment(moment: datetime) -> str:
    """Return a moment in UTC as published: without a zone."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
