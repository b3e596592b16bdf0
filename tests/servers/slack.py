"""A loopback Slack: Web API, Socket Mode and requests, speaking the true protocol to slack-bolt, with true limits.

What belongs here: the world (users, channels, messages), the methods that a chat bot calls, what a reader sees of it,
and commands for tests. What does not: the socket (`tests.servers.slack_socket`), the sender of requests
(`tests.servers.slack_requests`), counting and faults (`tests.servers.limits`).

Limits (https://docs.slack.dev/apis/web-api/rate-limits), for the workspace: chat.update, chat.delete and the reads of
conversations 50 in any 60 s each, users.info and chat.appendStream 100, chat.startStream and chat.stopStream 20;
chat.postMessage one a second in a channel, without a burst, which is stricter than Slack. Errors and their names: https://docs.slack.dev/reference/methods.

``python -m tests.servers.slack --port 8091`` serves it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from aiohttp import web
from yarl import URL

from tests.servers.limits import FaultPlan, LeakCounter, RollingWindowCounter, Transcript, Verdict, faulted
from tests.servers.slack_blocks import Refused, expanded
from tests.servers.slack_deliveries import Deliveries, Envelope
from tests.servers.slack_files import SlackFiles
from tests.servers.slack_interactive import Interactive
from tests.servers.slack_oauth import SlackOAuth
from tests.servers.slack_requests import Requests
from tests.servers.slack_socket import Sockets
from tests.servers.slack_streams import METHODS, STREAM_TIERS, Streams
from tests.servers.slack_surface import SlackSurface
from tests.servers.slack_world import Shown, World, Wrote, seen
from tests.support.transport import TRANSPORT, Transport

Json = dict[str, Any]

TEXT_LIMIT: Final = 4_000  # characters of an edit's text
MARKDOWN_LIMIT: Final = 12_000  # characters of all markdown blocks of a message
BLOCKS_LIMIT: Final = 50
ALL_SCOPES: Final = frozenset(
    """app_mentions:read chat:write channels:history groups:history im:history mpim:history users:read files:read
    files:write assistant:write reactions:read reactions:write channels:read groups:read usergroups:read
    commands im:write""".split()  # noqa: SIM905 (a list of words)
)

# What a method needs, where one scope will do for every channel.
SCOPES: Final[Mapping[str, str]] = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "chat.postEphemeral": "chat:write",
    **dict.fromkeys(METHODS, "chat:write"),
    "conversations.open": "im:write",
    "users.info": "users:read",
    "assistant.threads.setStatus": "assistant:write",
    "assistant.threads.setSuggestedPrompts": "assistant:write",
    "agents.sessions.setStatus": "chat:write",
    "files.info": "files:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "files.delete": "files:write",
    "reactions.list": "reactions:read",
    "usergroups.list": "usergroups:read",
}
# Methods that need `team_id` with an organisation's token
# (https://docs.slack.dev/reference/methods/usergroups.list, https://api.slack.com/enterprise/apps/changes-apis).
OF_A_TEAM: Final = frozenset({"usergroups.list", "reactions.list"})
HISTORY_SCOPES: Final[Mapping[str, str]] = {
    "channel": "channels:history",
    "group": "groups:history",
    "im": "im:history",
    "mpim": "mpim:history",
}
# Messages that a page may be asked for (https://docs.slack.dev/reference/methods/conversations.replies, "limit").
PAGE_LIMIT = 1_000
LIMITED_PAGE = 15  # the same for a distributed app outside the Marketplace
INFO_SCOPES: Final[Mapping[str, str]] = {
    "channel": "channels:read",
    "group": "groups:read",
    "im": "im:read",
    "mpim": "mpim:read",
}
# How often a method may be called in 60 s; `_admit` counts chat.postMessage by channel.
TIERS: Final[Mapping[str, int]] = {
    "chat.update": 50,
    "chat.delete": 50,
    "conversations.replies": 50,
    "conversations.history": 50,
    "conversations.info": 50,
    "usergroups.list": 20,
    "users.info": 100,
    "files.getUploadURLExternal": 100,
    "files.completeUploadExternal": 100,
    "files.info": 100,
    "files.delete": 50,
    "chat.postEphemeral": 100,
    "conversations.open": 50,
    "views.open": 100,
    "views.publish": 100,
    "assistant.threads.setSuggestedPrompts": 100,
    "agents.sessions.setStatus": 50,
    **STREAM_TIERS,
}


class SlackDouble(SlackSurface, SlackFiles):
    """The server. Make a world, start it with `running`, speak with `say`, and look at what is `shown`."""

    blocks_limit = BLOCKS_LIMIT  # of a message, after its markdown is expanded
    too_many = "msg_blocks_too_long"  # what more of them are answered: this, or invalid_blocks
    markdown_limit = MARKDOWN_LIMIT
    text_limit = TEXT_LIMIT  # of an edit, and of a post where it is less than that
    edit_error = ""  # what edits are answered: edit_window_closed, cant_update_message
    refuses = ""  # a text with these words is answered msg_too_long, however short
    edit_window = math.inf  # seconds after a post in which it may be edited
    whole = False  # whether the bot token is an organisation's
    api_url = ""  # while running

    def __init__(
        self,
        bot_token: str = "xoxb-test",
        app_token: str = "xapp-test",
        transport: Transport | None = None,
        world: World | None = None,
    ) -> None:
        """`transport` is the way of events to the app; by default the way of the running test."""
        SlackSurface.__init__(self)
        SlackFiles.__init__(self)
        self.bot_token, self.app_token = bot_token, app_token
        self.world = world or World()
        self.transcript, self.faults = Transcript(), FaultPlan()
        self.neighbours: list[SlackDouble] = []  # other workspaces with the app
        self.oauth: SlackOAuth | None = None  # if workspaces install the app while the server runs
        self.deliveries = Deliveries(self.touch)
        self.transport = transport or TRANSPORT.get()
        self.sockets, self.requests = Sockets(self.deliveries, self.touch), Requests(self.deliveries, self.touch)
        self.deliveries.sender = self.requests if self.transport is Transport.HTTP else self.sockets
        self.limited: list[tuple[str, str]] = []  # every 429 that was provoked: method, channel
        self.refused: list[tuple[str, str]] = []  # every error but those: method, error
        self.writes: list[Wrote] = []
        self.statuses: list[tuple[str, str, str]] = []  # channel, thread, status
        self.scopes = set(ALL_SCOPES)
        self.app_scopes = {"connections:write"}
        self.scope_header = True  # answers name the token's scopes
        self.revoked = ""  # the error that every call with the bot token is answered
        self.archived: set[str] = set()
        self.outside: set[str] = set()  # channels that the bot is not in
        self.echoes = True  # the bot's own messages and edits come back as events
        self.keeps_metadata = True  # reads give what messages were posted with
        self.without: set[str] = set()  # methods that this server does not know
        self.without_as_404 = False
        self.blocks = True  # blocks are taken
        self.tables: int | None = None  # how many tables a message may hold
        self.post_seconds = 1.0  # between two posts in one channel; 0.0 where a test is about something else
        self.page_limit = PAGE_LIMIT  # messages a page holds at the most
        self.tiers = dict(TIERS)
        self.edits: LeakCounter | None = None  # how chat.update is counted, where that is not 50 in any 60 s
        self.interactive = Interactive(self.world.team, self.deliveries, self.world.now, self.touch)
        self.streams = Streams(self)
        self._counters: dict[tuple[str, str], RollingWindowCounter] = {}
        self._changed = asyncio.Event()
        self._outbox: asyncio.Queue[tuple[Json, Json]] = asyncio.Queue()
        self.reused_block_ids: set[str] = set()  # of updates with the block_id of the version before

    # ------------------------------------------------------------------------------------------------------- commands

    def neighbour(self, team: str, bot_token: str) -> SlackDouble:
        """Another workspace with the app, before the server runs: with a token, people, limits and faults of its own.

        Its events arrive in the same way as this one's. Files are only in the first workspace.
        """
        number = len(self.neighbours) + 1
        world = World(team, f"UBOT{number}", f"B{number}BOT", first_number=1 + 1_000 * number)
        other = SlackDouble(bot_token, self.app_token, self.transport, world)
        other.deliveries, other.sockets, other.requests = self.deliveries, self.sockets, self.requests
        other._changed = self._changed
        other.interactive = Interactive(team, self.deliveries, world.now, self.touch)
        self.neighbours.append(other)
        return other

    @property
    def workspaces(self) -> Sequence[SlackDouble]:
        """All workspaces of the server."""
        return (self, *self.neighbours)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[SlackDouble]:
        """Serve on loopback; `port` 0 takes a free one."""
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/link", self.sockets.handle)
        if self.oauth is not None:
            self.oauth.add_routes(app)
        app.router.add_route("*", "/api/{method}", self._front)
        app.router.add_post("/upload/v1/{file}", self.upload)
        app.router.add_post("/actions/{token}", self._respond)
        runner = web.AppRunner(app, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.host = f"127.0.0.1:{runner.addresses[0][1]}"
        for each in self.workspaces:
            each.oauth = self.oauth
            each.host, each.api_url, each.interactive.host = self.host, f"http://{self.host}/api/", self.host
        try:
            async with self.requests.running(), asyncio.TaskGroup() as group:
                pumps = [group.create_task(each._pump()) for each in self.workspaces]
                for each in self.workspaces:
                    each.group = group
                try:
                    yield self
                finally:
                    for pump in pumps:
                        pump.cancel()
                    self.cancel_shares()
        finally:
            self.sockets.abort()
            await runner.cleanup()

    def say(
        self,
        channel: str,
        text: str,
        *,
        author: str,
        thread: str = "",
        once: bool = False,
        quiet: bool = False,
        **fields: Any,
    ) -> str:
        """Somebody says something; returns the message's ts.

        A mention of the bot is told twice, as in truth (`once`: only as app_mention); `quiet` tells nobody.
        """
        told = {"user": author, "text": text, **fields}
        if thread:
            told |= {"thread_ts": thread}
            parent = self.world.messages[channel].get(thread, {})
            told |= {"parent_user_id": parent["user"]} if "user" in parent else {}
        message = self.world.put(channel, told)
        if not quiet:
            self._tell(channel, message, once=once)
        return str(message["ts"])

    def _tell(self, channel: str, message: Json, *, once: bool = False) -> None:
        kind = self.world.channels[channel]
        mentioned = kind != "im" and f"<@{self.world.bot_user}>" in message.get("text", "")
        if mentioned:
            plain = {key: value for key, value in message.items() if key not in ("files", "attachments")}
            self.event({**plain, "type": "app_mention", "channel": channel, "event_ts": message["ts"]})
        if not (mentioned and once):
            self.event({**message, "channel": channel, "channel_type": kind, "event_ts": message["ts"]})

    def event(self, event: Json, **outer: Any) -> None:
        """Send any event at all; `outer` are fields of its envelope."""
        self._outbox.put_nowait((event, outer))

    async def redeliver(self, envelope: Envelope) -> None:
        """Send an event again, as Slack does with one that was not acknowledged in time."""
        await self._deliver(envelope.event, retry=1, event_id=envelope.event_id)

    async def redeliver_unacknowledged(self) -> None:
        """Send every event again that nobody acknowledged, as Slack does after three seconds."""
        for envelope in {each.event_id: each for each in self.deliveries.envelopes if not each.acked}.values():
            await self.redeliver(envelope)

    def limit_history(self) -> None:
        """Be Slack for a distributed app outside its Marketplace: a read a minute and method, with 15 messages a page.

        https://docs.slack.dev/changelog/2025/05/29/rate-limit-changes-for-non-marketplace-apps
        """
        self.tiers |= {"conversations.replies": 1, "conversations.history": 1}
        self.page_limit = LIMITED_PAGE

    def revise(self, channel: str, ts: str, text: str, *, mentions: bool = False, **fields: Any) -> None:
        """Somebody edits a message; `mentions`: Slack also tells it as an app_mention."""
        message = self.world.messages[channel][ts]
        before = dict(message)
        message |= {"text": text, "edited": {"user": message.get("user", ""), "ts": self.world.now()}, **fields}
        self.tell_change(channel, message, before)
        if mentions:
            self.event({**message, "type": "app_mention", "channel": channel, "event_ts": message["edited"]["ts"]})

    async def press(self, channel: str, ts: str, label: str, *, author: str) -> Envelope:
        """Somebody presses a button of a message, by its text or action id."""
        return await self.interactive.press(channel, dict(self.world.messages[channel][ts]), label, author=author)

    def remove(self, channel: str, ts: str) -> None:
        """Somebody deletes a message; the first of a thread with replies leaves a tombstone."""
        message = self.world.messages[channel].pop(ts)
        if any(each.get("thread_ts") == ts for each in self.world.messages[channel].values()):
            stone = {"type": "message", "subtype": "tombstone", "user": "USLACKBOT", "hidden": True, "ts": ts}
            self.world.messages[channel][ts] = {**stone, "thread_ts": ts, "text": "This message was deleted."}
            self.tell_change(channel, self.world.messages[channel][ts], message)
        else:
            self._tell_deletion(channel, message)
        self.touch()

    def react(self, channel: str, ts: str, reaction: str, *, author: str) -> None:
        """Somebody adds a reaction to a message."""
        item = {"type": "message", "channel": channel, "ts": ts}
        self.event({"type": "reaction_added", "user": author, "reaction": reaction, "item": item})

    def alert(self, channel: str, *, thread: str = "", name: str = "Alertmanager", **fields: Any) -> str:
        """A program says something, as an incoming webhook does; returns the message's ts."""
        told = {"subtype": "bot_message", "bot_id": "B0ALERTS", "username": name, "text": "", **fields}
        message = self.world.put(channel, told | ({"thread_ts": thread} if thread else {}))
        self._tell(channel, message)
        return str(message["ts"])

    def change(self, channel: str, ts: str, **fields: Any) -> None:
        """A message changes by itself: a preview of its link is there."""
        before = dict(self.world.messages[channel][ts])
        self.world.messages[channel][ts] |= fields
        self.tell_change(channel, self.world.messages[channel][ts], before)

    def press_stop(self, channel: str, thread: str, *, author: str) -> None:
        """Somebody presses the stop button that Slack shows for an agent's session."""
        event = {"type": "agent_session_stopped", "channel": channel, "thread_ts": thread, "user": author}
        self.event({**event, "streaming_message_ts": self.streams.stopped_by(channel, thread)})

    def _tell_deletion(self, channel: str, message: Json) -> None:
        change = {"type": "message", "subtype": "message_deleted", "hidden": True, "channel": channel}
        change |= {"deleted_ts": message["ts"], "previous_message": message, "ts": self.world.now()}
        self.event({**change, "channel_type": self.world.channels[channel]})

    def shown(self, channel: str, thread: str = "") -> list[Shown]:
        """What a reader sees of a thread, or of a channel, from top to bottom."""
        messages = self.world.thread(channel, thread) if thread else list(self.world.messages[channel].values())
        return [Shown(m["ts"], m.get("user", ""), self._seen(channel, m)) for m in messages]

    def _seen(self, channel: str, message: Json) -> str:
        streamed = self.streams.shown(channel, message)
        return seen(message) if streamed is None else streamed

    def answers(self, channel: str, thread: str = "") -> list[str]:
        """The texts of the bot's messages, from top to bottom."""
        return [each.text for each in self.shown(channel, thread) if each.author == self.world.bot_user]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that uses this server."""
        told = {"SLACK_BOT_TOKEN": self.bot_token, "SLACK_API_URL": self.api_url}
        if self.transport is Transport.SOCKET:
            return {**told, "SLACK_APP_TOKEN": self.app_token}
        return {**told, "SLACK_SIGNING_SECRET": self.requests.signing_secret, "PORT": str(URL(self.requests.url).port)}

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that a call or a connection changes holds."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def settled(self) -> None:
        """Wait until every event that was said is sent and acknowledged."""
        await self.until(lambda: self._outbox.empty() and all(e.acked for e in self.deliveries.envelopes))

    def touch(self) -> None:
        """Wake those who wait for a change."""
        self._changed.set()

    async def _pump(self) -> None:
        while True:
            event, outer = await self._outbox.get()
            await self._deliver(event, **outer)
            self.touch()

    async def _deliver(self, event: Json, **outer: Any) -> None:
        await self.deliveries.deliver(event, self.world.team, self.world.bot_user, **outer)

    # -------------------------------------------------------------------------------------------------------- Web API

    async def _front(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        called = next((each for each in self.neighbours if each._has_token(token)), self)
        try:
            return await called._called(request)
        finally:
            self.touch()

    async def _called(self, request: web.Request) -> web.StreamResponse:
        arguments = await _arguments(request)
        self.transcript.add(request.method, request.path, arguments, request.query)
        try:
            return await faulted(self.faults, request, lambda request: self._admitted(request, arguments))
        finally:
            self.touch()

    async def _admitted(self, request: web.Request, arguments: Json) -> web.StreamResponse:
        method = request.match_info["method"]
        handler = self.streams.methods.get(method) or getattr(self, "_" + re.sub(r"\W", "_", method), None)
        if handler is None or method in self.without:
            if self.without_as_404:
                return web.Response(status=404, text="<html>no such page</html>", content_type="text/html")
            return self._answer({"ok": False, "error": "unknown_method"}, method)
        verdict = self._admit(method, arguments)
        if not verdict.allowed:
            self.limited.append((method, str(arguments.get("channel", ""))))
            if method in METHODS and self.streams.limited_as:
                return self._answer({"ok": False, "error": self.streams.limited_as}, method)
            headers = {"Retry-After": str(math.ceil(max(verdict.reset_after, 0.001)))}
            return self._answer({"ok": False, "error": "ratelimited"}, method, status=429, headers=headers)
        try:
            self._authorize(request, method, arguments)
            called: Awaitable[Json] = handler(arguments)
            return self._answer({"ok": True, **await called}, method)
        except Refused as refused:
            self.refused.append((method, refused.error))
            return self._answer({"ok": False, "error": refused.error, **refused.more}, method)

    def _admit(self, method: str, arguments: Json) -> Verdict:
        if method == "chat.update" and self.edits is not None:
            return self.edits.admit(asyncio.get_running_loop().time())
        if method == "chat.postMessage":
            key, limit, period = (method, str(arguments.get("channel"))), 1, self.post_seconds
        elif method in self.tiers:
            key, limit, period = (method, ""), self.tiers[method], 60.0
        else:
            return Verdict(allowed=True, limit=1, remaining=1, reset_after=0.0)
        counter = self._counters.setdefault(key, RollingWindowCounter(limit, period))
        return counter.admit(asyncio.get_running_loop().time())

    def _answer(
        self, data: Json, method: str, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        scopes = self.app_scopes if method == "apps.connections.open" else self.scopes
        named = {"X-OAuth-Scopes": ",".join(sorted(scopes))} if self.scope_header else {}
        return web.json_response(data, status=status, headers={**named, **(headers or {})})

    def _authorize(self, request: web.Request, method: str, arguments: Json) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            raise Refused("not_authed")
        if method == "apps.connections.open":
            if token != self.app_token:
                raise Refused("invalid_auth" if not token.startswith("xoxb-") else "not_allowed_token_type")
            self._need(self.app_scopes, "connections:write")
            return
        if not self._has_token(token):
            raise Refused("invalid_auth")
        if self.oauth is not None and (error := self.oauth.error_of(token)):
            raise Refused(error)
        if self.revoked:
            raise Refused(self.revoked)
        if method in OF_A_TEAM and self._is_whole(token):
            self._need_team(arguments.get("team_id"))
        self._need_scopes(method, arguments)

    def _need_scopes(self, method: str, arguments: Json) -> None:
        if method in SCOPES:
            self._need(self.scopes, SCOPES[method])
        if method in ("conversations.replies", "conversations.history"):
            self._need(self.scopes, HISTORY_SCOPES[self.world.channels.get(arguments.get("channel", ""), "channel")])
        if method == "conversations.info":
            self._need(self.scopes, INFO_SCOPES[self.world.channels.get(arguments.get("channel", ""), "channel")])

    def _has_token(self, token: str) -> bool:
        """Whether a token is one of this workspace."""
        return token == self.bot_token or (self.oauth is not None and self.oauth.is_of(token, self.world.team))

    def _is_whole(self, token: str) -> bool:
        """Whether a token is an organisation's."""
        issued = self.oauth.tokens.get(token) if self.oauth is not None else None
        return self.whole or (issued is not None and issued.installed.is_whole)

    def _need_team(self, team: object) -> None:
        if not team:
            raise Refused("missing_argument", arg="team_id")
        if team != self.world.team:
            raise Refused("team_access_not_granted")

    def _need(self, scopes: set[str], scope: str) -> None:
        if scope not in scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(scopes)))

    async def _auth_test(self, arguments: Json) -> Json:
        world = self.world
        who = {"user": "tickertape", "user_id": world.bot_user, "bot_id": world.bot_id, "is_enterprise_install": False}
        return {"url": f"http://{self.host}/", "team": "The Team", "team_id": world.team, **who}

    async def _apps_connections_open(self, arguments: Json) -> Json:
        return {"url": f"ws://{self.host}/link?ticket={self.sockets.ticket()}&app_id=A1"}

    async def _conversations_info(self, arguments: Json) -> Json:
        channel = str(arguments.get("channel", ""))
        kind = self.world.channels.get(channel, "")
        if not kind or (channel in self.outside and kind != "channel"):
            raise Refused("channel_not_found")
        about: Json = {} if kind == "im" else {"is_member": channel not in self.outside}
        about |= {"id": channel, "is_channel": kind == "channel", "is_im": kind == "im", "is_mpim": kind == "mpim"}
        return {"channel": about | ({} if kind == "im" else {"name": self.world.names[channel]})}

    async def _usergroups_list(self, arguments: Json) -> Json:
        return {"usergroups": list(self.world.groups.values())}

    async def _users_info(self, arguments: Json) -> Json:
        user = self.world.users.get(arguments.get("user", ""))
        if user is None:
            raise Refused("user_not_found")
        return {"user": user}

    # ---------------------------------------------------------------------------------------------------- interactivity

    async def _chat_postEphemeral(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        return await self.interactive.chat_postEphemeral(arguments, self.writable(arguments))

    async def _views_open(self, arguments: Json) -> Json:
        return await self.interactive.views_open(arguments)

    async def _conversations_open(self, arguments: Json) -> Json:
        user = str(arguments.get("users", ""))
        if user not in self.world.users:
            raise Refused("user_not_found")
        return {"channel": {"id": self.direct_with(user)}}

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        team = request.match_info["token"].partition("-")[0]
        used = next((each for each in self.neighbours if each.world.team == team), self)
        return await used._answer_address(request)

    async def _answer_address(self, request: web.Request) -> web.StreamResponse:
        self.transcript.add(request.method, "response_url", await request.json(), request.query)
        return await faulted(self.faults, request, self.interactive.respond)

    # --------------------------------------------------------------------------------------------------------- others

    async def _reactions_list(self, arguments: Json) -> Json:
        return {"items": []}

    async def _assistant_threads_setStatus(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        channel, thread = str(arguments["channel_id"]), str(arguments["thread_ts"])
        if thread not in self.world.messages[channel]:
            raise Refused("invalid_thread_ts")
        self.statuses.append((channel, thread, str(arguments.get("status", ""))))
        return {}

    # -------------------------------------------------------------------------------------------------------- writing

    async def _chat_postMessage(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        channel = self.writable(arguments)
        body = self._body(arguments, edited=False)
        thread = str(arguments.get("thread_ts") or "")
        if thread and thread not in self.world.messages[channel]:
            raise Refused("thread_not_found")
        extra: Json = {"thread_ts": thread} if thread else {}
        if arguments.get("metadata"):
            extra["metadata"] = arguments["metadata"]
        ours = {"user": self.world.bot_user, "bot_id": self.world.bot_id, "app_id": "A1"}
        message = self.world.put(channel, {**ours, **body, **extra})
        self.wrote("chat.postMessage", channel, message)
        if self.echoes:
            echo = message if self.keeps_metadata else {k: v for k, v in message.items() if k != "metadata"}
            self.event({**echo, "channel": channel, "channel_type": self.world.channels[channel]})
        return {"channel": channel, "ts": message["ts"], "message": message}

    async def _chat_update(self, arguments: Json) -> Json:
        channel = self.writable(arguments)
        message = self._ours(channel, arguments, "cant_update_message")
        posted = next((w.at for w in self.writes if w.ts == message["ts"]), -math.inf)
        if self.edit_error:
            raise Refused(self.edit_error)
        if asyncio.get_running_loop().time() > posted + self.edit_window:
            raise Refused("edit_window_closed")
        self.streams.check_edit(channel, str(message["ts"]))
        before = dict(message)
        message.update(self._body(arguments, edited=True))
        self.streams.edited(channel, message)
        self._note_reused_ids(before, message)
        self.wrote("chat.update", channel, message)
        if self.echoes:
            self.tell_change(channel, message, before)
        return {"channel": channel, "ts": message["ts"], "text": message.get("text", ""), "message": message}

    async def _chat_delete(self, arguments: Json) -> Json:
        channel = self.writable(arguments)
        message = self._ours(channel, arguments, "cant_delete_message")
        self.streams.check_deletion(channel, str(message["ts"]))
        del self.world.messages[channel][message["ts"]]
        self.wrote("chat.delete", channel, message)
        if self.echoes:
            self._tell_deletion(channel, message)
        return {"channel": channel, "ts": message["ts"]}

    def writable(self, arguments: Json) -> str:
        """The channel of a call, or a refusal."""
        channel = str(arguments.get("channel", ""))
        if channel not in self.world.channels:
            raise Refused("channel_not_found")
        if channel in self.archived:
            raise Refused("is_archived")
        if channel in self.outside:
            raise Refused("not_in_channel")
        return channel

    def _ours(self, channel: str, arguments: Json, otherwise: str) -> Json:
        message = self.world.messages[channel].get(str(arguments.get("ts", "")))
        if message is None:
            raise Refused("message_not_found")
        if message.get("user") != self.world.bot_user:
            raise Refused(otherwise)
        return message

    def _body(self, arguments: Json, *, edited: bool) -> Json:
        text, blocks = str(arguments.get("text") or ""), arguments.get("blocks") or []
        if not text and not blocks:
            raise Refused("no_text")
        if self.refuses and any(self.refuses in said for said in (text, *(str(b.get("text")) for b in blocks))):
            raise Refused("msg_too_long")
        if len(text) > self.text_limit and (edited or self.text_limit < TEXT_LIMIT):
            raise Refused("msg_too_long")
        if any(block.get("type") == "markdown" for block in blocks) and not self.blocks:
            raise Refused("invalid_blocks", response_metadata={"messages": ["[ERROR] unsupported type: markdown"]})
        if self.tables is not None and sum(map(_tables_in, blocks)) > self.tables:
            raise Refused("invalid_attachments", response_metadata={"messages": ["[ERROR] only_one_table_allowed"]})
        if len(blocks) > BLOCKS_LIMIT or expanded(blocks) > self.blocks_limit:
            error = "invalid_blocks" if len(blocks) > BLOCKS_LIMIT else self.too_many
            raise Refused(error, response_metadata={"messages": ["[ERROR] no more than 50 items allowed"]})
        if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > self.markdown_limit:
            raise Refused("msg_too_long")
        self.interactive.check(blocks)
        return {"text": text[:40_000], "blocks": blocks}

    def wrote(self, method: str, channel: str, message: Json) -> None:
        """Record a write."""
        now = asyncio.get_running_loop().time()
        self.writes.append(Wrote(now, method, channel, str(message["ts"]), self._seen(channel, message)))

    def check_blocks(self, blocks: list[Json]) -> None:
        """Refuse blocks of a message."""
        self.interactive.check(blocks)

    def _note_reused_ids(self, before: Json, message: Json) -> None:
        """Slack asks for a new block_id at each update, and refuses none."""
        ids = [{block.get("block_id") for block in each.get("blocks") or []} - {None} for each in (before, message)]
        self.reused_block_ids |= ids[0] & ids[1]

    def tell_change(self, channel: str, message: Json, before: Json) -> None:
        """Send the event of a changed message."""
        change = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": channel}
        change |= {"message": dict(message), "previous_message": before, "ts": self.world.now()}
        self.event({**change, "channel_type": self.world.channels[channel]})

    # -------------------------------------------------------------------------------------------------------- reading

    async def _conversations_replies(self, arguments: Json) -> Json:
        channel, root = self._readable(arguments), str(arguments.get("ts", ""))
        thread = self.world.thread(channel, root)
        if not thread or root not in self.world.messages[channel]:
            raise Refused("thread_not_found")
        told = {"reply_count": len(thread) - 1, "latest_reply": thread[-1]["ts"]} if len(thread) > 1 else {}
        first, rest = {**thread[0], **told}, [m for m in thread[1:] if _within(m, arguments)]
        return self._page(rest, arguments, always=[first], usual=1_000)

    async def _conversations_history(self, arguments: Json) -> Json:
        channel = self._readable(arguments)
        roots = [m for m in self.world.messages[channel].values() if m.get("thread_ts", m["ts"]) == m["ts"]]
        return self._page([m for m in reversed(roots) if _within(m, arguments)], arguments, always=[], usual=100)

    def _readable(self, arguments: Json) -> str:
        channel = str(arguments.get("channel", ""))
        if channel not in self.world.channels:
            raise Refused("channel_not_found")
        if channel in self.outside:
            raise Refused("not_in_channel")
        return channel

    def _page(self, messages: list[Json], arguments: Json, *, always: list[Json], usual: int) -> Json:
        begin, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or usual)
        if not 1 <= limit <= PAGE_LIMIT:
            raise Refused("invalid_limit")
        limit = min(limit, self.page_limit)
        page = messages[begin : begin + limit]
        more = begin + limit < len(messages)
        whole = self.keeps_metadata and str(arguments.get("include_all_metadata", "")).lower() in ("1", "true")
        kept = [m if whole else {k: v for k, v in m.items() if k != "metadata"} for m in [*always, *page]]
        cursor = {"response_metadata": {"next_cursor": str(begin + limit)}} if more else {}
        return {"messages": kept, "has_more": more, **cursor}


def _tables_in(block: Json) -> int:
    """How many tables Slack would make of a markdown block: by the lines of dashes under their heads."""
    prose = re.sub(r"^```.*?^```", "", block["text"], flags=re.MULTILINE | re.DOTALL) if "text" in block else ""
    return len(re.findall(r"^\|(?:[ ]*:?-+:?[ ]*\|)+$", prose, re.MULTILINE))


def _within(message: Json, arguments: Json) -> bool:
    ts = Decimal(message["ts"])
    inclusive = str(arguments.get("inclusive", "")).lower() in ("1", "true")
    oldest, latest = Decimal(arguments.get("oldest") or 0), Decimal(arguments.get("latest") or "Infinity")
    return oldest < ts < latest or (inclusive and ts in (oldest, latest))


async def _arguments(request: web.Request) -> Json:
    """A call's arguments, from its query and its JSON or form body."""
    arguments: Json = dict(request.query)
    if request.content_type == "application/json" and request.can_read_body:
        arguments |= await request.json()
    elif request.can_read_body:
        arguments |= dict(await request.post())
    if isinstance(arguments.get("metadata"), str):
        arguments["metadata"] = json.loads(arguments["metadata"])
    if isinstance(arguments.get("blocks"), str):
        arguments["blocks"] = json.loads(arguments["blocks"])
    return arguments


async def _serve(port: int) -> None:
    double = SlackDouble()
    async with double.running(port):
        print(f"SLACK_API_URL={double.api_url} SLACK_BOT_TOKEN={double.bot_token} SLACK_APP_TOKEN={double.app_token}")  # noqa: T201 (a command's output)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A loopback Slack.")
    parser.add_argument("--port", type=int, default=8091)
    asyncio.run(_serve(parser.parse_args().port))
