"""A loopback Discord: REST and gateway, speaking the true protocol to a real client, with true limits.

What belongs here: the world (users, guilds, channels, messages), the REST endpoints that a chat bot uses, what a reader
sees of it, and commands for tests. What does not: the gateway's protocol (`tests.servers.discord_gateway`), counting
and faults (`tests.servers.limits`).

Limits: 5 posts, 5 edits and 5 deletes in 5 s for each channel, in a fixed window that the first request after the last
window's close opens; reads and typing likewise; 50 requests in 1 s in all. Discord does not publish the former; they
are what bots observe (discord-net/Discord.Net#2375, discord-relay-chat/drc#17).

``python -m tests.servers.discord --port 8090`` serves it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from tests.servers.discord_commands import HISTORY, MISSING_ACCESS, SEND, VIEW, Commands
from tests.servers.discord_gateway import MESSAGE_CONTENT, Gateway, Session
from tests.servers.discord_interactions import (
    COMMAND,
    COMPLETION,
    COMPONENT,
    EMPTY,
    INVALID_FORM,
    MODAL_SUBMIT,
    UNKNOWN_MESSAGE,
    Interaction,
    InteractionDesk,
    Refused,
    check_components,
    filled,
    units,
)
from tests.servers.limits import FaultPlan, FixedWindowCounter, Transcript, Verdict, faulted

Json = dict[str, Any]

LIMIT: Final = 2000  # UTF-16 units of a message's text
FILES: Final = 10  # of one message
FILE_LIMIT: Final = 10 * 2**20  # bytes of each, in a guild without boosts and in a DM
TEXT, DM, CATEGORY, THREAD, FORUM = 0, 1, 4, 11, 15  # channel types
# What a snapshot tells of a forwarded message: not who wrote it.
FORWARDED: Final = frozenset(
    """content embeds attachments timestamp edited_timestamp flags type components mentions mention_roles
    sticker_items""".split()  # noqa: SIM905 (a list of words)
)
# What is told in the place of what only the Message Content intent tells.
WITHHELD: Final[Json] = {"content": "", "attachments": [], "embeds": [], "components": []}

# (status, code, message), see https://docs.discord.com/developers/topics/opcodes-and-status-codes
UNAUTHORIZED = (401, 0, "401: Unauthorized")
UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
UNKNOWN_GUILD = (404, 10004, "Unknown Guild")
UNKNOWN_MEMBER = (404, 10007, "Unknown Member")
THREAD_EXISTS = (400, 160004, "A thread has already been created for this message")
MISSING_PERMISSIONS = (403, 50013, "Missing Permissions")
NOT_OURS = (403, 50005, "Cannot edit a message authored by another user")
TOO_LARGE = (413, 40005, "Request entity too large")
ARCHIVED = (400, 50083, "Thread is archived")
LOCKED = (400, 160005, "Thread is locked")
OLD = (400, 30046, "Maximum number of edits to messages older than 1 hour reached. Try again later")
NO_HISTORY = (403, 160002, "Cannot reply without permission to read message history")


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as a reader sees it."""

    id: str
    author: str  # the name
    text: str
    reply_to: str | None = None


@dataclass(slots=True)
class Post:
    """What became of one message: its key, whom it pinged, and its texts with the time of each (loop's seconds)."""

    nonce: str | None
    pinged: frozenset[str]
    texts: list[tuple[float, str]] = field(default_factory=list)


def answer(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON with the very content type that Discord sends (discord.py reads no other)."""
    body = b"" if data is None else json.dumps(data).encode()
    kind = {"Content-Type": "application/json"} if data is not None else {}
    return web.Response(status=status, headers={**kind, **(headers or {})}, body=body)


class World:
    """Who and what there is. Ids are strings of digits, and later ones are larger."""

    def __init__(self) -> None:
        self._newest = 0  # the newest id's milliseconds
        self.users: dict[str, Json] = {}
        self.guilds: dict[str, Json] = {}
        self.channels: dict[str, Json] = {}
        self.messages: dict[str, dict[str, Json]] = defaultdict(dict)
        self.outside: set[str] = set()  # channels of others: the bot is not there
        self.bot = self.user("Tickertape", bot=True)

    def new_id(self) -> str:
        now = int((datetime.now(UTC) - datetime(2015, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        self._newest = max(self._newest + 1, now)
        return str(self._newest << 22)

    def user(self, name: str, *, bot: bool = False, nick: str | None = None, roles: Sequence[str] = ()) -> str:
        """Add a user, who is in every guild with `nick` and `roles`, and return the id."""
        uid = self.new_id()
        public = {"id": uid, "username": name.lower(), "global_name": name, "discriminator": "0", "avatar": None}
        member = {"nick": nick, "roles": list(roles), "flags": 0, "joined_at": "2024-01-01T00:00:00+00:00"}
        self.users[uid] = {**public, "bot": bot, "_member": member}
        return uid

    def public(self, uid: str) -> Json:
        return {key: value for key, value in self.users[uid].items() if key != "_member"}

    def member(self, uid: str) -> Json:
        return {"deaf": False, "mute": False, **self.users[uid]["_member"]}

    def guild(self, name: str = "guild") -> str:
        gid = self.new_id()
        everyone = {"id": gid, "name": "@everyone", "permissions": "0", "position": 0, "color": 0}
        everyone |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0}
        self.guilds[gid] = {"id": gid, "name": name, "roles": [everyone]}
        return gid

    def role(self, guild: str, name: str, *, of_bot: bool = False) -> str:
        role = {**self.guilds[guild]["roles"][0], "id": self.new_id(), "name": name, "position": 1}
        if of_bot:
            role |= {"managed": True, "tags": {"bot_id": self.bot}}
        self.guilds[guild]["roles"].append(role)
        return str(role["id"])

    def channel(self, guild: str, name: str = "general", *, category: str | None = None, kind: int = TEXT) -> str:
        cid = self.new_id()
        self.channels[cid] = {"id": cid, "type": kind, "name": name, "position": 0, "guild_id": guild}
        self.channels[cid] |= {"parent_id": category, "permission_overwrites": []}
        return cid

    def thread(self, parent: str, name: str = "thread", *, starter: str | None = None, owner: str | None = None) -> str:
        """Add a thread; one that is made from a message has that message's id."""
        tid = starter or self.new_id()
        meta = {"archived": False, "auto_archive_duration": 1440, "archive_timestamp": "2024-01-01T00:00:00+00:00"}
        thread = {"id": tid, "type": THREAD, "name": name, "parent_id": parent, "message_count": 0, "member_count": 1}
        guild = self.channels[parent]["guild_id"]
        owner = owner or next((u for u in self.users if u != self.bot), self.bot)
        self.channels[tid] = {
            **thread,
            "guild_id": guild,
            "owner_id": owner,
            "thread_metadata": {**meta, "locked": False},
        }
        return tid

    def dm(self, user: str) -> str:
        cid = self.new_id()
        self.channels[cid] = {"id": cid, "type": DM, "recipients": [self.public(user)]}
        return cid

    def outside_channel(self, *, guild: bool) -> str:
        """A channel without the bot, for people who brought it along: in somebody's server, or a DM of two others."""
        cid = self.new_id()
        self.channels[cid] = {"id": cid, "type": TEXT if guild else DM, "name": "elsewhere", "position": 0}
        if guild:
            self.channels[cid]["guild_id"] = self.new_id()
        self.outside.add(cid)
        return cid

    def guild_create(self, gid: str) -> Json:
        here = [c for c in self.channels.values() if c.get("guild_id") == gid]
        extra = {"unavailable": False, "member_count": len(self.users), "owner_id": next(iter(self.users))}
        return {
            **self.guilds[gid],
            **extra,
            "channels": [c for c in here if c["type"] != THREAD],
            "threads": [c for c in here if c["type"] == THREAD and not c["thread_metadata"]["archived"]],
            "members": [{**self.member(self.bot), "user": self.public(self.bot)}],
        }

    def message(self, channel: str, author: str, content: str, *, reply_to: str | None = None) -> Json:
        """Make a message, with all that follows from its text, and keep it."""
        mid = self.new_id()
        guild = self.channels[channel].get("guild_id")
        mentioned = [uid for uid in dict.fromkeys(re.findall(r"<@!?(\d+)>", content)) if uid in self.users]
        message: Json = {
            "id": mid,
            "channel_id": channel,
            "author": self.public(author),
            "content": content,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [self.mentioned(uid, guild) for uid in mentioned],
            "mention_roles": re.findall(r"<@&(\d+)>", content),
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "flags": 0,
            "type": 0,
        }
        if reply_to is not None:
            message["type"] = 19
            message["message_reference"] = {"type": 0, "message_id": reply_to, "channel_id": channel, "guild_id": guild}
            message["referenced_message"] = self.messages[channel].get(reply_to)
        self.messages[channel][mid] = message
        return message

    def mentioned(self, uid: str, guild: str | None) -> Json:
        return self.public(uid) | ({"member": self.member(uid)} if guild else {})

    def event(self, message: Json) -> Json:
        """A message as the gateway tells of it."""
        guild = self.channels[message["channel_id"]].get("guild_id")
        if guild is None:
            return dict(message)
        member = {} if "webhook_id" in message else {"member": self.member(message["author"]["id"])}
        return {**message, "guild_id": guild, **member}


class DiscordDouble:
    """The server. Make a world, start it with `running`, speak with `say`, and look at what is `shown`."""

    def __init__(self, token: str = "discord-token") -> None:
        self.token = token
        self.world = World()
        self.transcript = Transcript()
        self.faults = FaultPlan()
        self.limited: list[tuple[str, str]] = []  # every 429 that was provoked: method, path
        self.posts: dict[str, Post] = {}
        self.forbidden: set[str] = set()  # channels that the bot may not write in
        self.echoes = True  # the bot's own messages come back over the gateway, as they do in truth
        self.headers = True  # answers carry X-RateLimit-*
        self.unattachable: set[str] = set()  # channels that the bot may not attach files in
        self.loses_files = False  # a small server: it takes them and shows none
        self.files: dict[str, list[tuple[str, bytes]]] = {}  # what is attached, by message: name and bytes
        # What a small server does instead: "ignored", "refused" (by name), "malformed" (without), "unended" (by name,
        # those of an ended answer alone).
        self.components = "shown"
        self.remembers_nonces = True  # for some minutes; a test says when they are over
        self.interactions = InteractionDesk(
            self.world.new_id,
            self.world.bot,
            make=self._made,
            show=self._show,
            hide=lambda message: self.remove(message["channel_id"], message["id"]),
            changed=self._edited,
            person=self.world.public,
        )
        self.commands = Commands(self.world.new_id, self.world.bot)
        self.unthreadable: set[str] = set()  # channels that the bot may not start threads in
        self.gone: dict[str, Json] = {}  # deleted messages, as last seen
        self.permissions: dict[str, int] = {}  # of a member in every channel, by user; others may read and write
        self.limit = LIMIT  # UTF-16 units of a message
        self.archived: set[str] = set()  # threads: no edits, and a post reopens one unless it is locked
        self.locked: set[str] = set()
        self.edit_error: tuple[int, int, str] | None = None  # what edits are answered
        self.reference_error: tuple[int, int, str] | None = None  # what posts with a reference are answered
        self.missing: str = ""  # a pattern of paths that this server does not have
        self.gateway = Gateway(allows=lambda token: token == self.token, ready=self._ready, sees=self._seen)
        self.gateway.changed = self._touch
        self._buckets: dict[tuple[str, str], FixedWindowCounter] = {}
        self._everything = FixedWindowCounter(50, 1.0)
        self._changed = asyncio.Event()
        self.api_url = self.gateway_url = ""

    # ------------------------------------------------------------------------------------------------------- commands

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[DiscordDouble]:
        """Serve on loopback; `port` 0 takes a free one."""
        app = web.Application(middlewares=[self._front], client_max_size=2**24)
        self._routes(app)
        runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        here = f"127.0.0.1:{runner.addresses[0][1]}"
        self.api_url, self.gateway_url = f"http://{here}/api/v10", f"ws://{here}/gateway"
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self.gateway.pump())
                try:
                    yield self
                finally:
                    pump.cancel()
        finally:
            self.gateway.abort_all()
            await runner.cleanup()

    def say(
        self,
        channel: str,
        content: str,
        *,
        author: str,
        reply_to: str | None = None,
        ping: bool = True,
        times: int = 1,
        quiet: bool = False,
        **fields: Any,
    ) -> str:
        """Somebody says something; returns the message's id.

        A reply pings whom it replies to unless `ping` is off. The event is sent `times` times, and not at all if
        `quiet`. `fields` are added to the message (attachments, webhook_id, type ...).
        """
        message = self.world.message(channel, author, content, reply_to=reply_to)
        replied = message.get("referenced_message")
        if replied and ping and replied["author"]["id"] not in {user["id"] for user in message["mentions"]}:
            guild = self.world.channels[channel].get("guild_id")
            message["mentions"].append(self.world.mentioned(replied["author"]["id"], guild))
        message.update(fields)
        if not quiet:
            self.gateway.dispatch("MESSAGE_CREATE", self.world.event(message), times=times)
        return str(message["id"])

    def forward(self, channel: str, message: str, *, to: str, author: str, text: str = "") -> str:
        """Somebody forwards a message to another channel, with or without words of their own; returns its id.

        Discord's clients send the words as a message after the forward.
        """
        original = self.world.messages[channel][message]
        snapshot = {name: value for name, value in original.items() if name in FORWARDED}
        reference = {"type": 1, "message_id": message, "channel_id": channel}
        if (guild := self.world.channels[channel].get("guild_id")) is not None:
            reference["guild_id"] = guild
        made = self.say(
            to, "", author=author, flags=1 << 14, message_reference=reference, message_snapshots=[{"message": snapshot}]
        )
        return self.say(to, text, author=author) if text else made

    def change(self, channel: str, message: str, **fields: Any) -> None:
        """A message changes by itself: a preview of its link is there, a bot answers its command at last."""
        kept = self.world.messages[channel][message]
        kept.update(fields)
        self.gateway.dispatch("MESSAGE_UPDATE", self.world.event(kept))

    def revise(self, channel: str, message: str, content: str) -> None:
        """Somebody edits a message."""
        kept = self.world.messages[channel][message]
        kept.update(content=content, edited_timestamp=datetime.now(UTC).isoformat())
        self.gateway.dispatch("MESSAGE_UPDATE", self.world.event(kept))

    def remove(self, channel: str, message: str) -> None:
        """Somebody deletes a message."""
        gone = self.world.messages[channel].pop(message)
        self.gone[message] = dict(gone)
        gone["deleted"] = True  # an interaction's response is known to its token
        guild = self.world.channels[channel].get("guild_id")
        self.gateway.dispatch("MESSAGE_DELETE", {"id": message, "channel_id": channel, "guild_id": guild})
        self._touch()

    def remove_all(self, channel: str, messages: Sequence[str]) -> None:
        """A moderator deletes many messages at once."""
        for message in messages:
            del self.world.messages[channel][message]
        guild = self.world.channels[channel].get("guild_id")
        self.gateway.dispatch("MESSAGE_DELETE_BULK", {"ids": list(messages), "channel_id": channel, "guild_id": guild})
        self._touch()

    def controls(self, channel: str, message: str) -> list[str]:
        """The ids of all components of a message, in order."""
        rows = self._shown_message(channel, message)["components"]
        return [str(each["custom_id"]) for row in rows for each in row["components"]]

    def button(self, channel: str, message: str) -> str | None:
        """The id of the first button that a message shows; None if it shows none."""
        return next(iter(self.controls(channel, message)), None)

    def stop_button(self, channel: str, message: str) -> str | None:
        """The id of a message's stop button; None without one."""
        return next((one for one in self.controls(channel, message) if one.startswith("stop:")), None)

    def press(
        self, channel: str, message: str, *, user: str, custom_id: str = "", values: Sequence[str] = (), **fields: Any
    ) -> str:
        """Somebody presses a button of a message, or chooses `values`; returns the interaction's id.

        The message may be private, or deleted since they saw it. `fields` are added to the event.
        """
        kept = self._shown_message(channel, message)
        pressed = custom_id or self.button(channel, message)
        data: Json = {"custom_id": pressed, "component_type": 3 if values else 2}
        data |= {"values": list(values)} if values else {}
        return self.interact(COMPONENT, data, channel=channel, user=user, source=kept, **fields).id

    def use(self, command: str, channel: str, *, user: str, **arguments: str) -> str:
        """Somebody invokes a slash command; returns the interaction's id."""
        options = [{"type": 3, "name": name, "value": value} for name, value in arguments.items()]
        data = {"id": self.commands.id_of(command), "name": command, "type": 1, "options": options}
        return self._command(COMMAND, data, channel, user)

    def use_menu(self, title: str, channel: str, message: str, *, user: str) -> str:
        """Somebody chooses a command in the menu of a message; returns the interaction's id."""
        resolved = {"messages": {message: self._shown_message(channel, message)}}
        data = {"id": self.commands.id_of(title), "name": title, "type": 3, "target_id": message, "resolved": resolved}
        return self._command(COMMAND, data, channel, user)

    def complete(self, command: str, channel: str, *, user: str, **arguments: str) -> str:
        """Somebody types the last of `arguments`; returns the interaction's id."""
        options: list[Json] = [{"type": 3, "name": name, "value": value} for name, value in arguments.items()]
        options[-1]["focused"] = True
        data = {"id": self.commands.id_of(command), "name": command, "type": 1, "options": options}
        return self._command(COMPLETION, data, channel, user)

    def _command(self, kind: int, data: Json, channel: str, user: str) -> str:
        """An interaction with a command, with the bot's permissions in the channel."""
        guild, outside = self.world.channels[channel].get("guild_id"), channel in self.world.outside
        bits = 0 if outside else (VIEW | HISTORY | (0 if channel in self.forbidden else SEND))
        fields: Json = {"app_permissions": str(bits), "context": 0 if guild else 2 if outside else 1}
        if outside:
            fields["authorizing_integration_owners"] = {"1": user}
        return self.interact(kind, data, channel=channel, user=user, is_guest_app=outside, **fields).id

    def submit(self, interaction: str, values: Mapping[str, str] | None = None, *, user: str = "") -> str:
        """Somebody fills in the form shown for an interaction, and submits it; returns the new interaction's id."""
        opened = self.interactions.all[interaction]
        assert opened.modal is not None, "no form was shown"
        return self.submit_form(
            opened.modal, values or {}, channel=opened.channel, user=user or opened.user, source=opened.source
        )

    def submit_form(
        self, modal: Json, values: Mapping[str, str], *, channel: str, user: str, source: Json | None = None
    ) -> str:
        """Somebody submits a form, perhaps opened by an earlier process; returns the interaction's id."""
        data = {"custom_id": modal["custom_id"], "components": filled(modal, values)}
        return self.interact(MODAL_SUBMIT, data, channel=channel, user=user, source=source).id

    def interact(
        self,
        kind: int,
        data: Json,
        *,
        channel: str,
        user: str,
        source: Json | None = None,
        is_guest_app: bool = False,
        **fields: Any,
    ) -> Interaction:
        """Somebody interacts: the event of any kind. `fields` are added to it."""
        made = self.interactions.begin(kind, channel=channel, user=user, source=source, is_guest_app=is_guest_app)
        place = self.world.channels[channel]
        partial = {name: place[name] for name in ("id", "type", "name", "parent_id") if place.get(name)}
        event: Json = {
            "id": made.id,
            "application_id": self.world.bot,
            "type": kind,
            "token": made.token,
            "version": 1,
            "channel_id": channel,
            "channel": partial,
            "data": data,
            "locale": "en-US",
            "entitlements": [],
            "app_permissions": "0" if is_guest_app else "2251800216955968",
            "attachment_size_limit": FILE_LIMIT,
        }
        if source is not None:
            event["message"] = source
        guild = place.get("guild_id")
        if guild is not None:
            member = {**self.world.member(user), "user": self.world.public(user)}
            member["permissions"] = str(self.permissions.get(user, 1 << 10 | 1 << 11))
            event |= {"guild_id": guild, "guild_locale": "en-US", "context": 0, "member": member}
            event["authorizing_integration_owners"] = {"1": user} if is_guest_app else {"0": guild}
        else:
            event |= {"user": self.world.public(user), "context": 1, "authorizing_integration_owners": {"0": "0"}}
        self.gateway.dispatch("INTERACTION_CREATE", event | fields)
        return made

    @property
    def acknowledged(self) -> list[tuple[str, int]]:
        """First responses to interactions: the id of each, and their type."""
        return self.interactions.acknowledged

    def private(self, user: str) -> list[str]:
        """The texts that one person alone sees."""
        return [str(message["content"]) for message in self.interactions.private(user)]

    def _shown_message(self, channel: str, message: str) -> Json:
        found = self.world.messages[channel].get(message) or self.gone.get(message)
        found = found or self.interactions.find_private(message)
        assert found is not None, "no such message"
        return found

    def shown(self, channel: str) -> list[Shown]:
        """What a reader sees, from top to bottom."""
        return [
            Shown(
                message["id"],
                message["author"]["global_name"],
                message["content"],
                message.get("message_reference", {}).get("message_id"),
            )
            for message in self.world.messages[channel].values()
        ]

    def answers(self, channel: str) -> list[str]:
        """The texts of the bot's messages, from top to bottom."""
        messages = self.world.messages[channel].values()
        return [str(m["content"]) for m in messages if m["author"]["id"] == self.world.bot]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that uses this server."""
        return {
            "DISCORD_TOKEN": self.token,
            "DISCORD_API_URL": self.api_url,
            "DISCORD_GATEWAY_URL": self.gateway_url,
        }

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that a request or a connection changes holds."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _touch(self) -> None:
        self._changed.set()

    # -------------------------------------------------------------------------------------------------------- gateway

    def _ready(self, session: Session) -> list[tuple[str, Json]]:
        guilds = [gid for gid in self.world.guilds if session.serves(gid)]
        ready = {
            "v": 10,
            "user": self.world.public(self.world.bot),
            "shard": list(session.shard),
            "guilds": [{"id": gid, "unavailable": True} for gid in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.gateway_url,
            "application": {"id": self.world.bot, "flags": self._flags()},
        }
        return [("READY", ready), *(("GUILD_CREATE", self.world.guild_create(gid)) for gid in guilds)]

    def _seen(self, name: str, data: Json, intents: int) -> Json:
        """What a client without the Message Content intent is not told."""
        if not name.startswith("MESSAGE_") or "content" not in data or intents & MESSAGE_CONTENT:
            return data
        ours = data["author"]["id"] == self.world.bot or self.world.bot in {u["id"] for u in data["mentions"]}
        if ours or "guild_id" not in data:
            return data
        return {name: value for name, value in data.items() if name not in ("poll", "message_snapshots")} | WITHHELD

    def _flags(self) -> int:
        return 1 << 19 if self.gateway.content_allowed else 0

    # ----------------------------------------------------------------------------------------------------------- REST

    def _routes(self, app: web.Application) -> None:
        messages = "/api/v10/channels/{channel}/messages"
        app.router.add_get("/gateway", self.gateway.handle)
        app.router.add_get("/api/v10/gateway", self._get_gateway)
        app.router.add_get("/api/v10/gateway/bot", self._get_gateway)
        app.router.add_get("/api/v10/users/@me", self._get_me)
        app.router.add_get("/api/v10/applications/@me", self._get_application)
        app.router.add_get("/api/v10/oauth2/applications/@me", self._get_application)
        app.router.add_get("/api/v10/channels/{channel}", self._get_channel)
        app.router.add_post("/api/v10/channels/{channel}/typing", self._typing)
        app.router.add_post(messages + "/{message}/threads", self._start_thread)
        app.router.add_get("/api/v10/applications/{application}/commands", self._get_commands)
        app.router.add_put("/api/v10/applications/{application}/commands", self._put_commands)
        app.router.add_post("/api/v10/interactions/{interaction}/{token}/callback", self._acknowledge)
        webhook = "/api/v10/webhooks/{application}/{token}"
        app.router.add_post(webhook, self._follow_up)
        app.router.add_get(webhook + "/messages/{message}", self._get_original)
        app.router.add_patch(webhook + "/messages/{message}", self._edit_original)
        app.router.add_delete(webhook + "/messages/{message}", self._delete_original)
        app.router.add_get("/api/v10/guilds/{guild}", self._get_guild)
        app.router.add_get("/api/v10/guilds/{guild}/channels", self._get_guild_channels)
        app.router.add_get("/api/v10/guilds/{guild}/threads/active", self._get_active_threads)
        app.router.add_get("/api/v10/guilds/{guild}/members/{user}", self._get_member)
        app.router.add_get(messages, self._list)
        app.router.add_post(messages, self._post)
        app.router.add_get(messages + "/{message}", self._get)
        app.router.add_patch(messages + "/{message}", self._patch)
        app.router.add_delete(messages + "/{message}", self._delete)

    @web.middleware
    async def _front(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == "/gateway":
            return await handler(request)
        body = await _json(request) if request.can_read_body else None
        self.transcript.add(request.method, request.path, body, request.query)
        form = await request.post() if request.content_type == "multipart/form-data" else {}
        try:
            return await faulted(self.faults, request, lambda request: self._admitted(request, handler))
        finally:
            for part in form.values():
                if isinstance(part, web.FileField):
                    part.file.close()
            self._touch()

    async def _admitted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith(("/api/v10/interactions/", "/api/v10/webhooks/")):
            return await self._with_token(request, handler)
        if request.headers.get("Authorization") != f"Bot {self.token}":
            return self._error(Refused(UNAUTHORIZED))
        now = asyncio.get_running_loop().time()
        everything = self._everything.admit(now)
        if not everything.allowed:
            return self._too_many(request, everything, everywhere=True)
        verdict = self._bucket(request).admit(now)
        if not verdict.allowed:
            return self._too_many(request, verdict, everywhere=False)
        if self.missing and re.search(self.missing, request.path):
            return self._error(Refused((404, 0, "404: Not Found")))
        try:
            response = await handler(request)
        except Refused as refused:
            response = self._error(refused)
        if self.headers:
            response.headers.update(self._limit_headers(request, verdict))
        return response

    async def _with_token(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Not counted for the bot, and the token in the path is permission enough; a webhook has its own limits."""
        verdict, now = None, asyncio.get_running_loop().time()
        if request.path.startswith("/api/v10/webhooks/"):
            token = request.match_info["token"]
            if (window := self.interactions.window(token, request.method)) is not None:
                verdict = window.admit(now)
                if not verdict.allowed:
                    return self._too_many(request, verdict, everywhere=False)
            shared = self.interactions.shared_window(token) if request.method == "POST" else None
            if shared is not None and not (refusal := shared.admit(now)).allowed:
                return self._too_many(request, refusal, everywhere=False, headers=False)
        try:
            response = await handler(request)
        except Refused as refused:
            response = self._error(refused)
        if self.headers and verdict is not None:
            response.headers.update(self._limit_headers(request, verdict))
        return response

    def _bucket(self, request: web.Request) -> FixedWindowCounter:
        route = request.match_info.route.resource
        name = f"{request.method} {route.canonical if route else request.path}"
        major = request.match_info.get("channel", "")
        limit = 5 if major else 50
        return self._buckets.setdefault((name, major), FixedWindowCounter(limit, 5.0))

    def _limit_headers(self, request: web.Request, verdict: Verdict) -> dict[str, str]:
        route = request.match_info.route.resource
        return {
            "X-RateLimit-Bucket": format(abs(hash((request.method, route.canonical if route else ""))), "x"),
            "X-RateLimit-Limit": str(verdict.limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            "X-RateLimit-Reset-After": f"{verdict.reset_after:.3f}",
            "X-RateLimit-Reset": f"{datetime.now(UTC).timestamp() + verdict.reset_after:.3f}",
        }

    def _too_many(
        self, request: web.Request, verdict: Verdict, *, everywhere: bool, headers: bool = True
    ) -> web.Response:
        self.limited.append((request.method, request.path))
        told = {"Via": "1.1 google", "Retry-After": str(math.ceil(verdict.reset_after))}
        told["X-RateLimit-Scope"] = "global" if everywhere else "user" if headers else "shared"
        if everywhere:
            told["X-RateLimit-Global"] = "true"
        elif headers:
            told |= self._limit_headers(request, verdict)
        said = {"message": "You are being rate limited.", "retry_after": verdict.reset_after, "global": everywhere}
        return answer(said, status=429, headers=told)

    def _error(self, refused: Refused) -> web.Response:
        said: Json = {"message": refused.message, "code": refused.code}
        if refused.fields:
            said["errors"] = {
                name: {"_errors": [{"code": "INVALID", "message": what}]} for name, what in refused.fields.items()
            }
        return answer(said, status=refused.status)

    async def _get_gateway(self, request: web.Request) -> web.Response:
        if request.path.endswith("/bot"):
            gateway = self.gateway
            start = {"total": 1000, "remaining": gateway.sessions_left, "reset_after": 86_400_000}
            start["max_concurrency"] = gateway.max_concurrency
            told: Json = {"shards": gateway.recommended_shards, "session_start_limit": start}
            return answer({"url": self.gateway_url, **told})
        return answer({"url": self.gateway_url})

    async def _get_me(self, request: web.Request) -> web.Response:
        return answer(self.world.public(self.world.bot))

    async def _get_application(self, request: web.Request) -> web.Response:
        owner = self.world.public(self.world.bot)
        about = {"name": "Tickertape", "description": "", "icon": None, "verify_key": "k", "owner": owner}
        public = {"bot_public": True, "bot_require_code_grant": False}
        return answer({"id": self.world.bot, **about, **public, "flags": self._flags()})

    async def _get_channel(self, request: web.Request) -> web.Response:
        return answer(self.world.channels[self._channel(request)])

    def _guild(self, request: web.Request) -> Json:
        guild = request.match_info["guild"]
        if guild not in self.world.guilds:
            raise Refused(UNKNOWN_GUILD)
        return self.world.guild_create(guild)

    async def _get_guild(self, request: web.Request) -> web.Response:
        left_out = ("channels", "threads", "members", "member_count", "unavailable")
        return answer({name: value for name, value in self._guild(request).items() if name not in left_out})

    async def _get_guild_channels(self, request: web.Request) -> web.Response:
        return answer(self._guild(request)["channels"])

    async def _get_active_threads(self, request: web.Request) -> web.Response:
        return answer({"threads": self._guild(request)["threads"], "members": []})

    async def _get_member(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        if user not in self.world.users:
            raise Refused(UNKNOWN_MEMBER)
        return answer({**self.world.member(user), "user": self.world.public(user)})

    async def _typing(self, request: web.Request) -> web.Response:
        self._channel(request)
        return answer(None, status=204)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        interaction, token = request.match_info["interaction"], request.match_info["token"]
        self.interactions.respond(interaction, token, await _json(request), await self._uploaded(request, ""))
        return answer(None, status=204)

    async def _follow_up(self, request: web.Request) -> web.Response:
        files = await self._uploaded(request, "")
        return answer(self.interactions.follow_up(request.match_info["token"], await _json(request), files))

    async def _get_original(self, request: web.Request) -> web.Response:
        return answer(self.interactions.get(request.match_info["token"], request.match_info["message"]))

    async def _edit_original(self, request: web.Request) -> web.Response:
        token, message, files = (
            request.match_info["token"],
            request.match_info["message"],
            await self._uploaded(request, ""),
        )
        return answer(self.interactions.edit(token, message, await _json(request), files))

    async def _delete_original(self, request: web.Request) -> web.Response:
        self.interactions.delete(request.match_info["token"], request.match_info["message"])
        return answer(None, status=204)

    def _made(self, channel: str, data: Json) -> Json:
        """A message of the bot in a response to an interaction, not shown yet."""
        message = self.world.message(channel, self.world.bot, data.get("content") or "")
        del self.world.messages[channel][message["id"]]
        return message

    def _show(self, message: Json, body: Json) -> None:
        """Show a message of a response to everybody in its channel."""
        self.world.messages[message["channel_id"]][message["id"]] = message
        self.posts[message["id"]] = Post(
            None, self._pinged({"content": "", **body}, message), [self._now(message["content"])]
        )
        if self.echoes and message["channel_id"] not in self.world.outside:
            self.gateway.dispatch("MESSAGE_CREATE", self.world.event(message))

    def _edited(self, message: Json) -> None:
        self.posts[message["id"]].texts.append(self._now(message["content"]))
        if self.echoes and message["channel_id"] not in self.world.outside:
            self.gateway.dispatch("MESSAGE_UPDATE", self.world.event(message))

    async def _list(self, request: web.Request) -> web.Response:
        messages = list(self.world.messages[self._channel(request)].values())
        limit = int(request.query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise Refused(INVALID_FORM)
        if (before := request.query.get("before")) is not None:
            messages = [m for m in messages if int(m["id"]) < int(before)][-limit:]
        elif (after := request.query.get("after")) is not None:
            messages = [m for m in messages if int(m["id"]) > int(after)][:limit]
        elif (around := request.query.get("around")) is not None:
            older = [m for m in messages if int(m["id"]) <= int(around)][-(limit // 2 + 1) :]
            messages = older + [m for m in messages if int(m["id"]) > int(around)][: limit - len(older)]
        else:
            messages = messages[-limit:]
        return answer(messages[::-1])

    async def _get(self, request: web.Request) -> web.Response:
        return answer(self._message(request))

    async def _post(self, request: web.Request) -> web.Response:
        channel = self._channel(request, to_write=True)
        body, files = await _json(request), await self._uploaded(request, channel)
        if channel in self.archived and channel in self.locked:
            raise Refused(LOCKED)
        if body.get("message_reference") and self.reference_error is not None:
            raise Refused(self.reference_error, {"message_reference": "Unknown message"})
        self._check(body, files)
        self.archived.discard(channel)
        again = self._posted_with(channel, body.get("nonce")) if body.get("enforce_nonce") else None
        if again is not None:
            return answer(again)
        reply_to = self._reply_to(channel, body.get("message_reference"))
        message = self.world.message(channel, self.world.bot, body["content"], reply_to=reply_to)
        self._set_components(message, body)
        self._attach(message, body, files)
        pinged = self._pinged(body, message)
        self.posts[message["id"]] = Post(body.get("nonce"), pinged, [self._now(body["content"])])
        told = message | ({"nonce": body["nonce"]} if "nonce" in body else {})
        if self.echoes:
            self.gateway.dispatch("MESSAGE_CREATE", self.world.event(told))
        return answer(told)

    async def _patch(self, request: web.Request) -> web.Response:
        channel = self._channel(request, to_write=True)
        message = self._message(request)
        if message["author"]["id"] != self.world.bot:
            raise Refused(NOT_OURS)
        if channel in self.archived or self.edit_error is not None:
            raise Refused(self.edit_error or ARCHIVED)
        body, files = await _json(request), await self._uploaded(request, channel)
        self._check(body, files)
        self._attach(message, body, files)
        message.update(content=body["content"], edited_timestamp=datetime.now(UTC).isoformat())
        self._set_components(message, body)
        self.posts[message["id"]].texts.append(self._now(body["content"]))
        if self.echoes:
            self.gateway.dispatch("MESSAGE_UPDATE", self.world.event(message))
        return answer(self.world.messages[channel][message["id"]])

    async def _start_thread(self, request: web.Request) -> web.Response:
        """A thread from a message has its id; Discord tells of it before it answers."""
        channel, body = self._channel(request, to_write=True), await _json(request)
        message = self._message(request)
        if not 1 <= len(str(body.get("name", ""))) <= 100:
            raise Refused(INVALID_FORM, {"name": "Must be between 1 and 100 in length."})
        if channel in self.unthreadable:
            raise Refused(MISSING_PERMISSIONS)
        if message["id"] in self.world.channels:
            raise Refused(THREAD_EXISTS)
        thread = self.world.thread(channel, body["name"], starter=message["id"], owner=self.world.bot)
        message["thread"] = self.world.channels[thread]
        self.gateway.dispatch("THREAD_CREATE", {**self.world.channels[thread], "newly_created": True})
        return answer(self.world.channels[thread], status=201)

    async def _get_commands(self, request: web.Request) -> web.Response:
        return answer(self.commands.registered)

    async def _put_commands(self, request: web.Request) -> web.Response:
        return answer(self.commands.register(await request.json()))

    async def _delete(self, request: web.Request) -> web.Response:
        channel = self._channel(request)
        self.remove(channel, self._message(request)["id"])
        return answer(None, status=204)

    # ----------------------------------------------------------------------------------------------------------- rules

    def _channel(self, request: web.Request, *, to_write: bool = False) -> str:
        channel = request.match_info["channel"]
        if channel not in self.world.channels:
            raise Refused(UNKNOWN_CHANNEL)
        if channel in self.world.outside:
            raise Refused(MISSING_ACCESS)
        if to_write and channel in self.forbidden:
            raise Refused(MISSING_PERMISSIONS)
        return channel

    def _message(self, request: web.Request) -> Json:
        message = self.world.messages[self._channel(request)].get(request.match_info["message"])
        if message is None:
            raise Refused(UNKNOWN_MESSAGE)
        return message

    async def _uploaded(self, request: web.Request, channel: str) -> list[tuple[str, bytes]]:
        """The files of a request, each of which its JSON must name by number."""
        if request.content_type != "multipart/form-data":
            return []
        form = await request.post()
        names = [f"files[{number}]" for number in range(len(form) - 1)]
        given = [form[name] for name in names if name in form]
        files = [(part.filename, part.file.read()) for part in given if isinstance(part, web.FileField)]
        body = await _json(request)
        named = body.get("attachments") or (body.get("data") or {}).get("attachments") or []
        told = {str(each["id"]): each["filename"] for each in named}
        if len(files) != len(form) - 1 or told != {str(number): name for number, (name, _) in enumerate(files)}:
            raise Refused(INVALID_FORM, {"attachments": "Invalid."})
        if channel in self.unattachable:
            raise Refused(MISSING_PERMISSIONS)
        if len(files) > FILES:
            raise Refused(INVALID_FORM, {"attachments": "Must be 10 or fewer in length."})
        if any(len(data) > FILE_LIMIT for _, data in files):
            raise Refused(TOO_LARGE)
        return files

    def _attach(self, message: Json, body: Json, files: list[tuple[str, bytes]]) -> None:
        """An edit's list says which of the old attachments stay; without one, all do."""
        if self.loses_files or not (files or "attachments" in body):
            return
        ids = {str(each["id"]) for each in body.get("attachments", [])}
        kept = [each for each in message["attachments"] if each["id"] in ids]
        made = [self._attachment(name, data) for name, data in files]
        message["attachments"] = [*kept, *made]
        self.files[message["id"]] = files

    def _attachment(self, name: str, data: bytes) -> Json:
        mid = self.world.new_id()
        url = f"https://cdn.discordapp.com/attachments/1/{mid}/{name}"
        return {"id": mid, "filename": name, "size": len(data), "url": url, "proxy_url": url}

    def _check(self, body: Json, files: Sequence[object] = ()) -> None:
        content = body.get("content") or ""
        if not content.strip() and not files:
            raise Refused(EMPTY)
        if units(content) > self.limit:
            raise Refused(INVALID_FORM, {"content": f"Must be {self.limit} or fewer in length."})
        if len(str(body.get("nonce") or "")) > 25:
            raise Refused(INVALID_FORM)
        if "components" in body and self.components in ("refused", "malformed"):
            raise Refused(INVALID_FORM, {"components": "Unknown field."} if self.components == "refused" else {})
        check_components(body.get("components") or [])
        if self.components == "unended" and "retry:" in json.dumps(body.get("components") or []):
            raise Refused(INVALID_FORM, {"components": "Invalid."})

    def _set_components(self, message: Json, body: Json) -> None:
        """An edit that says nothing of them leaves them."""
        if "components" in body and self.components in ("shown", "unended"):
            message["components"] = body["components"]

    def _posted_with(self, channel: str, nonce: str | None) -> Json | None:
        for mid, message in self.world.messages[channel].items():
            if self.remembers_nonces and nonce is not None and mid in self.posts and self.posts[mid].nonce == nonce:
                return message
        return None

    def _reply_to(self, channel: str, reference: Json | None) -> str | None:
        if reference is None:
            return None
        target = str(reference["message_id"])
        if target in self.world.messages[channel]:
            return target
        if reference.get("fail_if_not_exists", True):
            raise Refused(INVALID_FORM)
        return None

    def _pinged(self, body: Json, message: Json) -> frozenset[str]:
        """Who is notified: user ids, role ids and ``everyone``, as the allowed mentions let through."""
        allowed = body.get("allowed_mentions") or {"parse": ["users", "roles", "everyone"], "replied_user": True}
        parse, content = allowed.get("parse", []), body["content"]
        users = set(re.findall(r"<@!?(\d+)>", content))
        roles = set(re.findall(r"<@&(\d+)>", content))
        pinged = users if "users" in parse else users & set(allowed.get("users", []))
        pinged |= roles if "roles" in parse else roles & set(allowed.get("roles", []))
        if "everyone" in parse and re.search(r"@(everyone|here)", content):
            pinged.add("everyone")
        replied = message.get("referenced_message")
        if replied and allowed.get("replied_user", False):
            pinged.add(replied["author"]["id"])
        return frozenset(pinged)

    def _now(self, text: str) -> tuple[float, str]:
        return asyncio.get_running_loop().time(), text


async def _json(request: web.Request) -> Json:
    """A request's JSON, which beside files is a part of its own."""
    if request.content_type != "multipart/form-data":
        body: Json = await request.json()
    else:
        body = json.loads(str((await request.post())["payload_json"]))
    return body


async def serve(port: int) -> None:
    """Serve alone: one guild, one channel, one user, who says each line of standard input to the bot."""
    double = DiscordDouble()
    guild = double.world.guild()
    channel, ada = double.world.channel(guild), double.world.user("Ada")
    async with double.running(port):
        sys.stdout.write(f"DISCORD_TOKEN={double.token} DISCORD_API_URL={double.api_url} ")
        sys.stdout.write(f"DISCORD_GATEWAY_URL={double.gateway_url}\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            double.say(channel, f"<@{double.world.bot}> {line.strip()}", author=ada)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="A loopback Discord.")
    parser.add_argument("--port", type=int, default=8090)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
