"""What AiiDA leaves open about nodes, decided: a stored node has a pk, a process always has a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType
from aiida.manage import get_manager
from aiida.orm.convert import get_orm_entity

T = TypeVar("T")
#: states of a process that has not ended
ACTIVE = ("created", "running", "waiting")
#: extra on a node: how far it may go, one of ``public``, ``restricted``, ``confidential``
OPENNESS = "finales_openness"


class Stored(Generic[T]):
    """A property of a node that is one of its attributes, e.g. ``quantity = Stored(str, "What is asked for.")``.

    :param kind: makes the value of what is stored.
    :param default: what is there where nothing is stored; a node without is an error if there is none.
    :param key: of the attribute; the name of the property when ``None``.
    """

    def __init__(self, kind: Callable[[Any], T], words: str, *default: Any, key: str | None = None) -> None:
        self._kind = kind
        self._default = default
        self._key = key
        self.__doc__ = words

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = self._key or name

    def __get__(self, node: orm.Node | None, owner: type) -> T:
        if node is None:
            return self  # asked of the class, as documentation does
        if not node.is_stored:
            return self._kind(node.base.attributes.get(self._key, *self._default))
        # they never change, and AiiDA asks the database each time
        kept = vars(node).setdefault("_kept_attributes", {})
        if self._key not in kept:
            kept[self._key] = node.base.attributes.get(self._key, *self._default)
        return self._kind(deepcopy(kept[self._key]))


_FOUND_UUID = sa.text("SELECT id FROM db_dbnode WHERE uuid = :uuid")
_LINKED = sa.text(
    "SELECT output_id FROM db_dblink WHERE input_id = :pk AND label = :label AND type IN :kinds ORDER BY id"
).bindparams(sa.bindparam("kinds", expanding=True))
CALLS = (LinkType.CALL_CALC, LinkType.CALL_WORK)
OUTPUTS = (LinkType.CREATE, LinkType.RETURN)


def load(key: int | str) -> Any:
    """Return a node by its pk or its whole UUID, an eighth of the work of AiiDA's ``load_node``, which builds a query.

    :raises NotExistent: when there is none.
    """
    storage: Any = get_manager().get_profile_storage()
    if isinstance(key, str):
        session = storage.get_session()
        given = UUID(key) if session.get_bind().dialect.name == "postgresql" else key
        with session.no_autoflush:
            pk = session.execute(_FOUND_UUID, {"uuid": given}).scalar()
        if pk is None:
            message = f"no node has UUID {key}"
            raise NotExistent(message)
        key = int(pk)
    return get_orm_entity(storage.nodes.get(key))


def find_linked(pk: int, label: str, kinds: Iterable[LinkType]) -> list[Any]:
    """Return the nodes that links of these kinds and exactly this label lead to, the oldest link first."""
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    given = {"pk": pk, "label": label, "kinds": [kind.value for kind in kinds]}
    with session.no_autoflush:
        found = session.execute(_LINKED, given).scalars().all()
    return [load(item) for item in found]


def or_none(kind: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return what makes a value of what is stored, or ``None`` of ``None``."""
    return lambda value: None if value is None else kind(value)


def pk_of(node: orm.Node) -> int:
    """Return the pk of a stored node.

    :raises ValueError: when it is not stored.
    """
    if node.pk is None:
        message = f"{type(node).__name__} {node.uuid} is not stored"
        raise ValueError(message)
    return int(node.pk)


def born(node: orm.Node) -> tuple[datetime, int]:
    """Return what orders nodes by age; primary keys alone are in any order after an import."""
    return node.ctime, pk_of(node)


def state_of(process: orm.ProcessNode) -> str:
    """Return the state of a process in AiiDA's words."""
    return str(process.process_state.value) if process.process_state else "created"


def make_dict(document: dict[str, Any]) -> orm.Dict:
    """Return a node, not stored, that holds a JSON object."""
    node: orm.Dict = orm.Dict(document)
    return node
