"""Checks for `tickertape check`: the token, the Message Content intent, and the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import aiohttp
from typing_extensions import override

from adapters.discord.errors import MISSING_INTENT, REFUSED
from adapters.discord.interactions.command_sync import MISSING_SCOPE
from adapters.discord.options import DiscordOptions
from adapters.discord.platform import DiscordPlatform
from adapters.shared.attachments import AttachmentLimits, Attachments
from adapters.shared.diagnostics import CheckResult
from bot.conversation import Author, Turn, TurnKey
from bot.errors import Forbidden
from bot.interactions.values import Place
from bot.ownership.access import SoleOwner
from bot.ports import Channel, Inbox, UnfinishedTurn

# Application flags for message text: verified for it, or small enough to need no review
# (https://docs.discord.com/developers/resources/application#application-object-application-flags).
MESSAGE_CONTENT_FLAGS = 1 << 18 | 1 << 19

OTHER_ENDPOINT = (
    "In https://discord.com/developers/applications (your application, General Information), empty the Interactions "
    "Endpoint URL."
)

_API = "https://discord.com/api/v10"

# Timeout of each check. Seconds.
_TIMEOUT_SECONDS = 15.0

_TOKEN, _INTENT, _GATEWAY = "Discord token", "Discord Message Content intent", "Discord gateway"
_COMMANDS = "Discord slash commands"


async def check(options: DiscordOptions) -> list[CheckResult]:
    """Check a bot's settings with read-only calls, invisible to users. Never raises."""
    if not options.token.isascii() or not options.token.isprintable() or " " in options.token:
        return [token_result(400, {})]  # not valid in a header
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bot {options.token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        status, user = await _get(session, options, "/users/@me")
        if status != 200:
            return [token_result(status, user)]
        _, application = await _get(session, options, "/applications/@me")
        if not isinstance(application.get("flags"), int):
            _, application = await _get(session, options, "/oauth2/applications/@me")
        path = f"/applications/{application.get('id') or user.get('id')}/commands"
        status_of_commands, registered = await _get_json(session, options, path)
    commands = endpoint_result(application) or commands_result(status_of_commands, registered)
    # The gateway decides about the intent; the flags only repeat the portal's settings.
    intent, gateway = intent_result(application), await _connect(options)
    if intent.ok:
        return [token_result(status, user), intent, gateway, commands]
    if gateway.subject == _INTENT:  # both report the same problem
        return [token_result(status, user), intent]
    line = "the application's flags do not name it, but the gateway will tell if it is missing"
    if gateway.ok:
        line = "the application's flags do not name it, but the gateway grants it"
    return [token_result(status, user), CheckResult(_INTENT, ok=True, message=line, warning=True), gateway, commands]


def token_result(status: int, user: Mapping[str, Any]) -> CheckResult:
    """The result for the token; `status` 0: no answer."""
    if status == 200:
        return CheckResult(_TOKEN, ok=True, message=f"accepted; the bot is {user.get('username', 'without a name')}")
    if status == 401:
        return CheckResult(_TOKEN, ok=False, message="refused: it is wrong, or was reset", fix=REFUSED)
    if status == 400:
        line = "refused as malformed: it is not a bot's token, or was copied in part"
        return CheckResult(_TOKEN, ok=False, message=line, fix=REFUSED)
    reason = "Discord did not answer" if status == 0 else f"Discord answered {status}"
    remedy = "Look at DISCORD_API_URL, the network, and https://discordstatus.com, then try again."
    return CheckResult(_TOKEN, ok=False, message=f"could not be tried: {reason}", fix=remedy)


def intent_result(application: Mapping[str, Any]) -> CheckResult:
    """The result for the Message Content intent, from the application's flags."""
    flags = application.get("flags")
    if not isinstance(flags, int):
        return CheckResult(_INTENT, ok=True, message="not reported; the gateway will tell", warning=True)
    if flags & MESSAGE_CONTENT_FLAGS:
        return CheckResult(_INTENT, ok=True, message="switched on")
    return CheckResult(
        _INTENT, ok=False, message="switched off: the bot would not receive the text of messages", fix=MISSING_INTENT
    )


def commands_result(status: int, registered: object) -> CheckResult:
    """The result for slash commands, from the list of the registered ones; the bot answers without them too."""
    if status == 403:
        line = "may not be registered; questions by mention are answered"
        return CheckResult(_COMMANDS, ok=True, message=line, fix=MISSING_SCOPE, warning=True)
    if status != 200 or not isinstance(registered, list):
        line = "cannot be read; the bot tries to register them after its start"
        return CheckResult(_COMMANDS, ok=True, message=line, warning=True)
    known = f"{len(registered)} are registered" if registered else "none are registered yet"
    return CheckResult(_COMMANDS, ok=True, message=f"may be registered; {known}, and changes follow at the start")


def endpoint_result(application: Mapping[str, Any]) -> CheckResult | None:
    """A warning if Discord sends presses and commands to another address, and so not to the bot.

    https://docs.discord.com/developers/interactions/overview#configuring-an-interactions-endpoint-url
    """
    address = application.get("interactions_endpoint_url")
    if not address:
        return None
    line = f"go to {address}, so commands and buttons do nothing here"
    return CheckResult(_COMMANDS, ok=True, message=line, fix=OTHER_ENDPOINT, warning=True)


async def _get(session: aiohttp.ClientSession, options: DiscordOptions, path: str) -> tuple[int, dict[str, Any]]:
    """Status (0: no answer) and a JSON object (empty: none)."""
    status, body = await _get_json(session, options, path)
    return status, body if isinstance(body, dict) else {}


async def _get_json(session: aiohttp.ClientSession, options: DiscordOptions, path: str) -> tuple[int, object]:
    """Status (0: no answer) and JSON (None: none)."""
    try:
        async with session.get((options.api_url or _API).rstrip("/") + path) as response:
            try:
                body = await response.json(content_type=None)
            except ValueError:
                body = None
            return response.status, body
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return 0, None


class _EmptyInbox(Inbox):
    """An inbox without turns."""

    @override
    async def receive(self, key: TurnKey, event: str) -> bool:
        return False

    @override
    def keeps_events(self) -> bool:
        return True

    @override
    async def has_answer(self, question: TurnKey) -> bool:
        return False

    @override
    def update_event(self, key: TurnKey, event: str) -> None:
        return

    @override
    def refusal(self, turn: Turn) -> str:
        return ""

    @override
    def accept(self, turn: Turn, channel: Channel) -> None:
        return

    @override
    def dismiss(self, key: TurnKey) -> None:
        return

    @override
    async def unfinished_turns(self, platform: str) -> Sequence[UnfinishedTurn]:
        return ()

    @override
    def stop(self, at: TurnKey, *, by: Author | str) -> bool:
        return False

    @override
    def stop_conversation(self, conversation: str, *, by: Author | str) -> bool:
        return False

    @override
    def stop_place(self, place: Place, *, by: Author) -> int:
        return 0

    @override
    async def stop_person(self, platform: str, person: str) -> int:
        return 0

    @override
    def message_deleted(self, at: TurnKey) -> None:
        return


class _FirstLane(SoleOwner):
    """Of a bot's shards, the first alone: each new session is one of the day's thousand."""

    @override
    async def announce(self, platform: str, names: Collection[str], *, replace: bool = False) -> None:
        await super().announce(platform, list(names)[:1], replace=replace)


async def _connect(options: DiscordOptions) -> CheckResult:
    """Connect to the gateway until READY."""
    # No attachment is read, so there is no connection to close.
    lanes = _FirstLane()
    platform = DiscordPlatform(options, Attachments(AttachmentLimits(), hosts=frozenset()), lanes=lanes)
    lanes.attach({platform.name: platform})
    refusal = ""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
            running = group.create_task(platform.run(_EmptyInbox()))
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
