"""An installation of the Slack app, its tokens, and the store of them.

An installation belongs to one workspace, or to an organisation (Enterprise Grid) with all its workspaces
(https://docs.slack.dev/enterprise). Both have one bot token.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bot.errors import Forbidden


class TokensUnreadable(Forbidden):
    """The stored tokens cannot be decrypted: `TICKERTAPE_SECRETS` lacks their key."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A bot token. With token rotation it expires, and `refresh` buys the next one, once.

    `expires_at` is the event loop's time; None: never.
    """

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation. `team` is empty if it holds for the organisation `enterprise`, empty without one."""

    enterprise: str
    team: str
    app: str
    bot_user: str
    bot_id: str
    scopes: frozenset[str]
    installed_by: str
    tokens: Tokens
    revision: int = 0  # of the tokens, given by the store

    @property
    def id(self) -> str:
        """The workspace or the organisation."""
        return self.team or self.enterprise


class Expiring(NamedTuple):
    """An installation to rotate, and its workspaces."""

    id: str
    teams: tuple[str, ...]


class TeamChanges(NamedTuple):
    """Workspaces new in an organisation's installation, and those that left it and have no other one."""

    joined: tuple[str, ...]
    left: tuple[str, ...]


class LockedInstallation(Protocol):
    """An installation locked for other processes."""

    @property
    def installation(self) -> Installation:
        """As stored."""
        ...

    @property
    def has_older_key(self) -> bool:
        """Whether a save would encrypt the tokens with a newer key."""
        ...

    async def save(self, tokens: Tokens) -> None:
        """Replace the tokens, with the release of the lock."""
        ...


class InstallationStore(Protocol):
    """All installations. Calls raise the failures of `bot.errors`, and `TokensUnreadable` if they read tokens."""

    async def save(self, installation: Installation) -> None:
        """Keep a new installation, or one made again."""
        ...

    async def find(self, team: str) -> Installation | None:
        """The installation of a workspace: its own, else that of its organisation. None if there is none (any more)."""
        ...

    async def read(self, id_: str) -> Installation | None:
        """An installation by its id; None if there is none, or it has ended."""
        ...

    async def teams(self) -> Sequence[str]:
        """All workspaces with an installation."""
        ...

    async def organisations(self) -> Sequence[str]:
        """The ids of all installations for organisations."""
        ...

    async def expiring(self, seconds: float) -> Sequence[Expiring]:
        """Installations with tokens that expire within `seconds`, next one first; or encrypted with an older key."""
        ...

    def lock(self, id_: str) -> AbstractAsyncContextManager[LockedInstallation | None]:
        """Hold an installation alone, for seconds; None if there is none.

        `LockedInstallation.save` is in force once the block has ended without a failure.
        """
        ...

    async def replace_tokens(self, id_: str, tokens: Tokens, revision: int) -> bool:
        """Replace the tokens of a revision. False if there is a later one, or the installation has ended."""
        ...

    async def end(self, id_: str, revision: int) -> Sequence[str] | None:
        """End an installation with tokens of this revision, and delete them.

        Returns its workspaces without another installation; None if it has a later revision, or has ended.
        """
        ...

    async def set_teams(self, id_: str, teams: Sequence[str]) -> TeamChanges:
        """Replace the workspaces of an organisation's installation."""
        ...

    async def team_of_bot(self, user: str) -> str:
        """The workspace with this bot user; empty if there is none, or an organisation's."""
        ...

    async def spend_state(self, digest: bytes, seconds: float) -> bool:
        """Whether a state is used for the first time; remembered for `seconds`."""
        ...
