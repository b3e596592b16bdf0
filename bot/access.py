"""Access rules: lists of people, roles, channels and workspaces, as a frozen value and one pure rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.conversation import Author, Turn


@dataclass(frozen=True, slots=True)
class AllowDeny:
    """Allowed and denied ids. An empty `allow` allows everyone; `deny` always wins."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def permit(self, *ids: str) -> bool:
        """Whether any of the ids is allowed and none is denied."""
        return not self.deny.intersection(ids) and (not self.allow or bool(self.allow.intersection(ids)))


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The operator's rules.

    A person is allowed by id or by role; one match in either list is enough. `channels` restricts single channels
    further (a channel's table in the settings); the narrowest entry decides. `admins` are ids of users and roles.
    """

    users: AllowDeny = field(default_factory=AllowDeny)
    roles: AllowDeny = field(default_factory=AllowDeny)
    channels: AllowDeny = field(default_factory=AllowDeny)
    workspaces: AllowDeny = field(default_factory=AllowDeny)
    by_channel: Mapping[str, AllowDeny] = field(default_factory=dict)
    direct_messages: bool = True
    guests: bool = False
    external: bool = False
    admins: frozenset[str] = frozenset()

    def is_admin(self, author: Author) -> bool:
        """Whether the author may change settings for others: by the operator's list, or by the platform's word."""
        return author.manages or not self.admins.isdisjoint({author.id, *author.roles})

    def permit(self, turn: Turn) -> bool:
        """Whether the turn may be answered."""
        author = turn.author
        if (author.guest and not self.guests) or (author.external and not self.external):
            return False
        return self._permits_author(turn) and self._permits_place(turn)

    def _permits_author(self, turn: Turn) -> bool:
        author = turn.author
        if author.id in self.users.deny or self.roles.deny & author.roles:
            return False
        narrowest = next((self.by_channel[id_] for id_ in turn.channel_ids if id_ in self.by_channel), None)
        if narrowest is not None and not narrowest.permit(author.id, *author.roles):
            return False
        if not self.users.allow and not self.roles.allow:
            return True
        return author.id in self.users.allow or bool(self.roles.allow & author.roles)

    def _permits_place(self, turn: Turn) -> bool:
        if turn.key.workspace and not self.workspaces.permit(turn.key.workspace):
            return False
        if turn.direct:
            return self.direct_messages
        return self.channels.permit(*turn.channel_ids)
