"""Which nodes of a type are active, without loading them.

The attributes of a stored node never change, so they are kept by UUID. Which nodes are active does change, by the
command line and other programs too: that is asked each time, by one statement on an indexed column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from aiida.manage import get_manager

#: extra of a capability or tenant that new requests may use; every version that was registered here has it, true or
#: false, and none that came with an archive
ACTIVE = "finales_active"
#: filter for the nodes that were registered in this profile
REGISTERED_HERE = {"extras": {"has_key": ACTIVE}}
#: extra of a capability, tenant, sample, model or request that came with an archive: it never stands for one of this
#: profile
IMPORTED = "finales_imported"
#: filter for the nodes that did not come with an archive
MADE_HERE = {"extras": {"!has_key": IMPORTED}}
#: nodes whose attributes are kept; an installation has some ten capabilities and tenants
MOST_KEPT = 1000
#: nodes that one statement asks for; SQLite accepts no more than 32766 parameters
CHUNK = 1000

_IMPORTED_SQLITE = sa.text("SELECT json_type(extras, '$.finales_imported') FROM db_dbnode WHERE id = :pk")
_IMPORTED_POSTGRESQL = sa.text("SELECT extras -> 'finales_imported' FROM db_dbnode WHERE id = :pk")
_ACTIVE_SQLITE = sa.text(
    "SELECT uuid FROM db_dbnode"
    " WHERE node_type = :node_type AND json_extract(extras, '$.finales_active') = 1 ORDER BY id"
)
_ACTIVE_POSTGRESQL = sa.text(
    "SELECT uuid FROM db_dbnode WHERE node_type = :node_type AND extras ->> 'finales_active' = 'true' ORDER BY id"
)
_ATTRIBUTES = sa.text("SELECT uuid, attributes FROM db_dbnode WHERE uuid IN :uuids").bindparams(
    sa.bindparam("uuids", expanding=True)
)

_kept: dict[str, StoredNode] = {}


@dataclass(frozen=True, eq=False)
class StoredNode:
    """A stored node as plain content; do not change the attributes. The same node is the same object while it is kept.

    :param attributes: as they were stored.
    """

    uuid: str
    attributes: dict[str, Any]


def is_imported(pk: int) -> bool:
    """Return whether a node came with an archive."""
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    with session.no_autoflush:
        statement = _IMPORTED_POSTGRESQL if _is_postgresql(session) else _IMPORTED_SQLITE
        return session.execute(statement, {"pk": pk}).scalar() is not None


def list_active(node_type: str) -> list[StoredNode]:
    """Return the active nodes of a type, in the order in which they were stored.

    :param node_type: AiiDA's type string.
    """
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    statement = _ACTIVE_POSTGRESQL if _is_postgresql(session) else _ACTIVE_SQLITE
    with session.no_autoflush:  # a node that is being made is nobody's business yet
        uuids = [str(UUID(str(uuid))) for uuid in session.execute(statement, {"node_type": node_type}).scalars()]
    found = read_stored(uuids)
    return [found[uuid] for uuid in uuids]


def read_stored(uuids: Iterable[str]) -> dict[str, StoredNode]:
    """Return nodes by UUID; one that is not stored is left out."""
    wanted = list(uuids)
    lacking = [uuid for uuid in wanted if uuid not in _kept]
    for start in range(0, len(lacking), CHUNK):
        _keep(lacking[start : start + CHUNK])
    found = {uuid: _kept[uuid] for uuid in wanted if uuid in _kept}
    for uuid in list(_kept)[: max(0, len(_kept) - MOST_KEPT)]:
        del _kept[uuid]
    return found


def _keep(uuids: list[str]) -> None:
    storage: Any = get_manager().get_profile_storage()
    session = storage.get_session()
    given = [UUID(uuid) for uuid in uuids] if _is_postgresql(session) else uuids
    with session.no_autoflush:
        rows = session.execute(_ATTRIBUTES, {"uuids": given}).all()
    for uuid, document in rows:
        attributes = document if isinstance(document, dict) else json.loads(document)
        name = str(UUID(str(uuid)))
        _kept[name] = StoredNode(name, attributes)


def _is_postgresql(session: Any) -> bool:
    return bool(session.get_bind().dialect.name == "postgresql")
