"""Overviews of campaigns, read again only when something of the campaign has changed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import sqlalchemy as sa
from aiida.manage import get_manager

from aiida_finales.broker.sight import hidden_now
from aiida_finales.data.campaign import CampaignGroup
from aiida_finales.operations.campaign.overview import Overview, read_overview
from aiida_finales.operations.engine.profile import keep_what_is_read, open_session

#: overviews that are kept; one of a thousand results has some MB
MOST = 120
#: what is another one as soon as anything of a campaign is: its members, their attributes and extras, statuses, notes
_STATE = sa.text("""
SELECT count(n.id), max(n.id), max(n.mtime),
 (SELECT max(l.id) FROM db_dblog AS l JOIN db_dbgroup_dbnodes AS m ON m.dbnode_id = l.dbnode_id
  WHERE m.dbgroup_id = :pk),
 (SELECT CAST(g.extras AS TEXT) FROM db_dbgroup AS g WHERE g.id = :pk)
FROM db_dbgroup_dbnodes AS gn JOIN db_dbnode AS n ON n.id = gn.dbnode_id WHERE gn.dbgroup_id = :pk
""")

_KEPT: OrderedDict[Any, tuple[Any, Overview]] = OrderedDict()


def recall_overview(group: CampaignGroup) -> Overview:
    """Return what a campaign has found so far, as whoever asks may see it; read only if it is not known already.

    :raises CampaignFileError: when its process has not started.
    """
    key, state = (get_manager().get_profile_storage().profile.uuid, group.uuid, hidden_now()), read_state(group)
    if key not in _KEPT or _KEPT[key][0] != state:
        with keep_what_is_read():
            _KEPT[key] = (state, read_overview(group))
        while len(_KEPT) > MOST:
            _KEPT.popitem(last=False)
    _KEPT.move_to_end(key)
    return _KEPT[key][1]


def recall_if_known(uuid: str) -> Overview | None:
    """Return the last overview that was read, however old, or ``None`` where none was: costs nothing.

    :param uuid: of the group of the campaign.
    """
    known = _KEPT.get((get_manager().get_profile_storage().profile.uuid, uuid, hidden_now()))
    return known[1] if known else None


def read_state(group: CampaignGroup) -> tuple[Any, ...]:
    """Return what is another one as soon as anything of a campaign has changed; takes a millisecond."""
    return tuple(open_session().execute(_STATE, {"pk": group.pk}).one())
