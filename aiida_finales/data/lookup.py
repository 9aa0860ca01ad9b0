"""Find what a person names by pk, UUID or the beginning of a UUID."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from sqlalchemy.exc import DataError

from aiida_finales.exceptions import UnknownNodeError


def find_node(identifier: str, kind: type[orm.Node] = orm.Node, what: str = "node", hint: str = "") -> Any:
    """Return a node.

    :param what: it should be, in a word.
    :param hint: where one finds the right identifier.
    :raises UnknownNodeError: when there is none of this kind, or several.
    """
    shown = identifier if len(identifier) < 80 else f"{identifier[:80]}..."  # noqa: PLR2004 - characters of a line
    try:
        # an integer may be larger than a database has, and a text no UUID
        return orm.load_node(identifier=identifier, sub_classes=(kind,))
    except MultipleObjectsError as error:
        raise UnknownNodeError(f"several nodes begin with {shown!r}: give more of the UUID") from error
    except (NotExistent, ValueError, OverflowError, DataError) as error:
        raise UnknownNodeError(f"no {what} {shown!r}{f': {hint}' if hint else ''}") from error
