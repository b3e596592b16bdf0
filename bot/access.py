"""Access rules: lists of people, roles, channels and workspaces, as a frozen value and one pure rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.conversation import Author, Turn
from bot.interactions.values import Place


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
        return (
            self._permits_author(turn.author, turn.channel_ids)
            and self._permits_workspace(turn.key.workspace)
            and (self.direct_messages if turn.direct else self.channels.permit(*turn.channel_ids))
        )

    def permit_command(self, author: Author, place: Place) -> bool:
        """Whether a person may use a command: where they may ask, in direct messages, and on their own page."""
        return (
            self._permits_author(author, place.channel_ids)
            and self._permits_workspace(place.workspace)
            and (place.direct or not place.channel or self.channels.permit(*(place.channel_ids or (place.channel,))))
        )

    def _permits_author(self, author: Author, channel_ids: Sequence[str]) -> bool:
        if (author.guest and not self.guests) or (author.external and not self.external):
            return False
        if author.id in self.users.deny or self.roles.deny & author.roles:
            return False
        narrowest = next((self.by_channel[id_] for id_ in channel_ids if id_ in self.by_channel), None)
        if narrowest is not None and not narrowest.permit(author.id, *author.roles):
            return False
        if not self.users.allow and not self.roles.allow:
            return True
        return author.id in self.users.allow or bool(self.roles.allow & author.roles)

    def _permits_workspace(self, workspace: str) -> bool:
        return not workspace or self.workspaces.permit(workspace)
