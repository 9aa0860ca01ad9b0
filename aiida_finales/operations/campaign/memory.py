"""Overviews of campaigns, read again only when something of the campaign has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.sight import hidden_now
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.exceptions import CampaignFileError
from aiida_finales.operations.campaign.overview import Overview
from aiida_finales.operations.campaign.reading import demand_overview, read_overviews
from aiida_finales.operations.engine.profile import open_session

#: overviews that are kept; one of a thousand results has some MB
MOST = 120
#: members of campaigns that are read together at most: what is read of each takes some kB
TOGETHER = 10_000
#: what is another one as soon as anything of a campaign is: its members, their attributes and extras, statuses, notes
_STATES = sa.text("""
SELECT gn.dbgroup_id, count(n.id), max(n.id), max(n.mtime),
 (SELECT max(l.id) FROM db_dblog AS l JOIN db_dbgroup_dbnodes AS m ON m.dbnode_id = l.dbnode_id
  WHERE m.dbgroup_id = gn.dbgroup_id),
 (SELECT CAST(g.extras AS TEXT) FROM db_dbgroup AS g WHERE g.id = gn.dbgroup_id)
FROM db_dbgroup_dbnodes AS gn JOIN db_dbnode AS n ON n.id = gn.dbnode_id WHERE gn.dbgroup_id IN :pks
GROUP BY gn.dbgroup_id
""").bindparams(sa.bindparam("pks", expanding=True))

_KEPT: OrderedDict[Any, tuple[Any, Overview]] = OrderedDict()


def recall_overview(group: CampaignGroup) -> Overview:
    """Return what a campaign has found so far, as whoever asks may see it; read only if it is not known already.

    :raises CampaignFileError: when its process has not started.
    """
    return demand_overview(group, recall_overviews({int(group.pk or 0): group.uuid}))


def recall_overviews(groups: Mapping[int, str], most: int | None = None) -> dict[int, Overview | CampaignFileError]:
    """Return the same of many, by the pk of their group; together they take as few statements as one.

    :param groups: UUID of each group by its pk.
    :param most: members that nobody has read yet and that are read now at most; campaigns beyond them are left out.
    """
    storage, seen, states = get_manager().get_profile_storage().profile.uuid, hidden_now(), read_states(groups)
    keys = {pk: (storage, uuid, seen) for pk, uuid in groups.items()}
    found: dict[int, Overview | CampaignFileError] = {
        pk: _KEPT[key][1] for pk, key in keys.items() if key in _KEPT and _KEPT[key][0] == states.get(pk)
    }
    before = {pk: _KEPT[key] for pk, key in keys.items() if key in _KEPT and pk not in found}
    known = {pk: kept[0][0] for pk, kept in before.items()}
    sizes = {pk: max(0, states[pk][0] - known.get(pk, 0)) for pk in groups if pk not in found and pk in states}
    for part in _share_out(sizes) if most is None else [*_share_out(sizes, most)][:1]:
        found |= read_overviews(part, {pk: before[pk][1] for pk in part if pk in before})
    for pk, overview in found.items():
        if isinstance(overview, Overview):
            _KEPT[keys[pk]] = (states[pk], overview)
            _KEPT.move_to_end(keys[pk])
    while len(_KEPT) > MOST:
        _KEPT.popitem(last=False)
    return found


def _share_out(sizes: Mapping[int, int], most: int | None = None) -> Iterator[list[int]]:
    """Yield campaigns, given by pk with the number of their members, in parts that are read together.

    :param most: members of a part at most, and no campaign that is larger; otherwise :data:`TOGETHER`.
    """
    part: list[int] = []
    for pk, size in sizes.items():
        if most is not None and size > most:
            continue
        if part and sum(sizes[item] for item in part) + size > (most or TOGETHER):
            yield part
            part = []
        part.append(pk)
    if part:
        yield part


def recall_if_known(uuid: str) -> Overview | None:
    """Return the last overview that was read, however old, or ``None`` where none was: costs nothing.

    :param uuid: of the group of the campaign.
    """
    known = _KEPT.get((get_manager().get_profile_storage().profile.uuid, uuid, hidden_now()))
    return known[1] if known else None


def read_state(group: CampaignGroup) -> tuple[Any, ...]:
    """Return what is another one as soon as anything of a campaign has changed; takes a millisecond."""
    pk = int(group.pk or 0)
    return read_states([pk]).get(pk, ())


def read_states(groups: Collection[int]) -> dict[int, tuple[Any, ...]]:
    """Return the same of many campaigns by the pk of their group, the number of members first; empty ones have none."""
    rows = open_session().execute(_STATES, {"pks": list(groups)}).all() if groups else []
    return {pk: tuple(state) for pk, *state in rows}
