"""What `tickertape check` finds out about Discord: the token, the Message Content intent, and whether it connects.

What belongs here: those three looks and their words. What does not: printing them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from adapters.discord.errors import MISSING_INTENT, REFUSED
from adapters.discord.options import DiscordOptions
from adapters.discord.platform import DiscordPlatform
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.shared.diagnostics import CheckResult
from bot.conversation import Author, Turn, TurnKey
from bot.errors import Forbidden
from bot.ports import Channel, UnfinishedTurn

# Flags of an application that may receive the text of messages: verified for it, or small enough to need no review
# (https://docs.discord.com/developers/resources/application#application-object-application-flags).
MESSAGE_CONTENT_FLAGS = 1 << 18 | 1 << 19

_API = "https://discord.com/api/v10"

# How long each look may take. Seconds.
_LOOK_SECONDS = 15.0

_TOKEN, _INTENT, _GATEWAY = "Discord token", "Discord Message Content intent", "Discord gateway"


async def check(options: DiscordOptions) -> list[CheckResult]:
    """Look at a bot's settings, asking Discord; nobody there sees anything of it. Raises nothing."""
    if not options.token.isascii() or not options.token.isprintable() or " " in options.token:
        return [token_finding(400, {})]  # no header takes it
    timeout = aiohttp.ClientTimeout(total=_LOOK_SECONDS)
    headers = {"Authorization": f"Bot {options.token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        status, user = await _get(session, options, "/users/@me")
        if status != 200:
            return [token_finding(status, user)]
        _, application = await _get(session, options, "/applications/@me")
        if not isinstance(application.get("flags"), int):
            _, application = await _get(session, options, "/oauth2/applications/@me")
    # Whether the gateway lets us in is the truth; the flags are only what the portal says of it.
    intent, gateway = intent_finding(application), await _connect(options)
    if intent.ok:
        return [token_finding(status, user), intent, gateway]
    if gateway.subject == _INTENT:  # both say the same
        return [token_finding(status, user), intent]
    line = "the application's flags do not name it, but the gateway will tell if it is missing"
    if gateway.ok:
        line = "the application's flags do not name it, but the gateway grants it"
    return [token_finding(status, user), CheckResult(_INTENT, ok=True, message=line, warning=True), gateway]


def token_finding(status: int, user: Mapping[str, Any]) -> CheckResult:
    """What asking for ourselves says of the token; `status` 0 is no answer at all."""
    if status == 200:
        return CheckResult(_TOKEN, ok=True, message=f"accepted; the bot is {user.get('username', 'without a name')}")
    if status == 401:
        return CheckResult(_TOKEN, ok=False, message="refused: it is wrong, or was reset", fix=REFUSED)
    if status == 400:
        line = "refused as malformed: it is not a bot's token, or was copied in part"
        return CheckResult(_TOKEN, ok=False, message=line, fix=REFUSED)
    said = "Discord did not answer" if status == 0 else f"Discord answered {status}"
    remedy = "Look at DISCORD_API_URL, the network, and https://discordstatus.com, then try again."
    return CheckResult(_TOKEN, ok=False, message=f"could not be tried: {said}", fix=remedy)


def intent_finding(application: Mapping[str, Any]) -> CheckResult:
    """What the application's flags say of the Message Content intent."""
    flags = application.get("flags")
    if not isinstance(flags, int):
        return CheckResult(_INTENT, ok=True, message="not told; the gateway will say", warning=True)
    if flags & MESSAGE_CONTENT_FLAGS:
        return CheckResult(_INTENT, ok=True, message="switched on")
    return CheckResult(
        _INTENT, ok=False, message="switched off: the bot would not be told what people write", fix=MISSING_INTENT
    )


async def _get(session: aiohttp.ClientSession, options: DiscordOptions, path: str) -> tuple[int, dict[str, Any]]:
    """The status (0: no answer) and the JSON (empty: none)."""
    try:
        async with session.get((options.api_url or _API).rstrip("/") + path) as response:
            try:
                body = await response.json(content_type=None)
            except ValueError:
                body = None
            return response.status, body if isinstance(body, dict) else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return 0, {}


class _Nobody:
    """An inbox that takes nothing."""

    async def receive(self, key: TurnKey, event: str) -> bool:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Inbox`."""
        return False

    def update_event(self, key: TurnKey, event: str) -> None:
        """See `bot.ports.Inbox`."""

    def accept(self, turn: Turn, channel: Channel) -> None:
        """See `bot.ports.Inbox`."""

    def dismiss(self, key: TurnKey) -> None:
        """See `bot.ports.Inbox`."""

    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Inbox`."""
        return ()

    def stop(self, at: TurnKey, *, by: Author | str) -> bool:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Inbox`."""
        return False

    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:  # noqa: ARG002 (a protocol's signature)
        """See `bot.ports.Inbox`."""
        return False

    def message_deleted(self, at: TurnKey) -> None:
        """See `bot.ports.Inbox`."""


async def _connect(options: DiscordOptions) -> CheckResult:
    """Connect as the bot would, until READY."""
    # Nothing is read, so there is nothing of the attachments to close.
    platform = DiscordPlatform(options, Attachments(AttachmentLimits(), hosts=frozenset()))
    refusal = ""
    try:
        async with asyncio.timeout(_LOOK_SECONDS), asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(_Nobody()))
            await platform.connected()
            running.cancel()
    except* Forbidden as refused:
        refusal = str(refused.exceptions[0])
    except* TimeoutError:
        refusal = "Look at DISCORD_GATEWAY_URL, the network, and https://discordstatus.com, then try again."
    finally:
        await platform.close()
    if refusal:
        missing = refusal == MISSING_INTENT
        subject = _INTENT if missing else _GATEWAY
        return CheckResult(
            subject, ok=False, message="refused by the gateway" if missing else "no connection", fix=refusal
        )
    return CheckResult(_GATEWAY, ok=True, message="connected")
