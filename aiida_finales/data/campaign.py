"""The group of all nodes of one campaign."""

from __future__ import annotations

from aiida import orm

from aiida_finales.exceptions import InputError, UnknownNodeError


class CampaignGroup(orm.Group):
    """Everything that belongs to one campaign: its process, requests, suggestions and results."""

    @classmethod
    def create_for(cls, name: str) -> CampaignGroup:
        """Create the group of a new campaign.

        :raises InputError: when a campaign of that name exists.
        """
        group, is_new = cls.collection.get_or_create(label=name)
        if not is_new and group.count():
            raise InputError(f"a campaign {name!r} exists already: choose another name (key 'name' or option --name)")
        return group

    @classmethod
    def find(cls, name: str) -> CampaignGroup:
        """Return the group of a campaign, by its name.

        :raises UnknownNodeError: naming the campaigns that exist.
        """
        groups = orm.QueryBuilder().append(cls).all(flat=True)
        for group in groups:
            if group.label == name:
                return group
        names = ", ".join(sorted(group.label for group in groups)) or "none"
        raise UnknownNodeError(f"no campaign {name!r}; there are {names}")
