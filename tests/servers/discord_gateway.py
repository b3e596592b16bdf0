"""The gateway half of the Discord double: shards, sessions, sequence numbers, resuming, and closing on command.

What belongs here: Discord's gateway protocol (https://docs.discord.com/developers/events/gateway), spoken in plain
text frames. What does not: what the events say, and REST (`tests.servers.discord`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSMsgType, web

Event = dict[str, Any]

DISPATCH: Final = 0
HEARTBEAT: Final = 1
IDENTIFY: Final = 2
RESUME: Final = 6
RECONNECT: Final = 7
INVALID_SESSION: Final = 9
HELLO: Final = 10
HEARTBEAT_ACK: Final = 11

MESSAGE_CONTENT: Final = 1 << 15  # the intent

# What the gateway closes with (https://docs.discord.com/developers/topics/opcodes-and-status-codes).
AUTHENTICATION_FAILED: Final = 4004
ALREADY_AUTHENTICATED: Final = 4005
INVALID_SEQUENCE: Final = 4007
INVALID_SHARD: Final = 4010
SHARDING_REQUIRED: Final = 4011
DISALLOWED_INTENTS: Final = 4014

# A client that closes with one of these ends its session; with any other, it may resume it.
ENDING: Final = frozenset({1000, 1001})


@dataclass(slots=True)
class Session:
    """What one IDENTIFY began: all its events, so that a RESUME can replay what was missed."""

    id: str
    intents: int
    shard: tuple[int, int] = (0, 1)  # number and count
    events: list[tuple[str, Event]] = field(default_factory=list)  # the sequence number is the place in it, from 1
    socket: web.WebSocketResponse | None = None
    left_at: float | None = None  # without a connection since then

    def serves(self, guild: str | None) -> bool:
        """Whether events of a guild are this shard's; without a guild, they are the first's."""
        number, count = self.shard
        shard = (int(guild) >> 22) % count if isinstance(guild, str) and guild.isdecimal() else 0
        return shard == number

    async def send_from(self, sequence: int) -> None:
        """Send all events after `sequence` to the socket, if there is one."""
        for number, (name, data) in enumerate(self.events[sequence:], start=sequence + 1):
            if self.socket is not None and not self.socket.closed:
                await self.socket.send_str(json.dumps({"op": DISPATCH, "t": name, "s": number, "d": data}))


class Gateway:
    """All connections and sessions. `ready` makes the first events of a session; `sees` filters by intents."""

    def __init__(
        self,
        *,
        allows: Callable[[str], bool],
        ready: Callable[[Session], list[tuple[str, Event]]],
        sees: Callable[[str, Event, int], Event],
    ) -> None:
        self._allows = allows
        self._ready = ready
        self._sees = sees
        self.content_allowed = True  # the Message Content intent, in the portal
        self.heartbeat_seconds = 41.25
        self.sessions: dict[str, Session] = {}
        self.identifies: list[Event] = []
        self.resumes: list[Event] = []
        self.max_concurrency = 1
        self.recommended_shards = 1
        self.least_shards = 1  # with fewer, some shard would have too many guilds
        self.identify_seconds = 0.0  # between two sessions of one remainder; 0: any number may begin
        self.resume_seconds = 90.0
        self.sessions_left = 1000
        self.too_early: list[tuple[int, int]] = []  # shards whose IDENTIFY came too early
        self.closes: list[tuple[tuple[int, int], int]] = []  # by clients: the shard and the code
        self._identified_at: dict[int, float] = {}
        self._closed_by_us: set[web.WebSocketResponse] = set()
        self.connections = 0
        self.refuse_with: int | None = None  # a close code for whoever connects
        self._outgoing: asyncio.Queue[tuple[str, Event]] = asyncio.Queue()
        self.changed: Callable[[], None] = lambda: None

    # ------------------------------------------------------------------------------------------------------ commands

    def dispatch(self, name: str, data: Event, *, times: int = 1) -> None:
        """Send an event to every session, `times` times (a RESUME or a hiccup may replay one)."""
        for _ in range(times):
            self._outgoing.put_nowait((name, data))

    def repeat(self, id_: str) -> None:
        """Send the last event about this id once more, as a resumed session may."""
        [session, *_] = self.sessions.values()
        self.dispatch(*next(event for event in reversed(session.events) if event[1].get("id") == id_))

    async def pump(self) -> None:
        """Send what is dispatched, in order, until cancelled."""
        while True:
            name, data = await self._outgoing.get()
            for session in list(self.sessions.values()):
                if not session.serves(_guild_of(name, data)):
                    continue
                session.events.append((name, self._sees(name, data, session.intents)))
                try:
                    await session.send_from(len(session.events) - 1)
                except ConnectionError:
                    session.socket = None
            self._outgoing.task_done()

    async def settled(self) -> None:
        """Wait until all that was dispatched has been sent."""
        await self._outgoing.join()

    async def reconnect(self) -> None:
        """Ask every client to reconnect and resume."""
        await self._to_all({"op": RECONNECT, "d": None})

    async def invalidate(self, *, resumable: bool) -> None:
        """Tell every client that its session is invalid; unless `resumable`, it is forgotten."""
        sockets = self.sockets()
        if not resumable:
            self.sessions.clear()
        for socket in sockets:
            await socket.send_str(json.dumps({"op": INVALID_SESSION, "d": resumable}))

    async def close_all(self, code: int) -> None:
        """Close every connection with `code`."""
        for socket in self.sockets():
            self._closed_by_us.add(socket)
            await socket.close(code=code)

    def abort_all(self) -> None:
        """Reset every connection."""
        for session in self.sessions.values():
            if session.socket is not None and session.socket._req is not None:
                transport = session.socket._req.transport
                if transport is not None:
                    transport.abort()

    @property
    def connected(self) -> int:
        """How many clients are connected and identified."""
        return len(self.sockets())

    def sockets(self) -> list[web.WebSocketResponse]:
        return [s.socket for s in self.sessions.values() if s.socket is not None and not s.socket.closed]

    async def _to_all(self, frame: Event) -> None:
        for socket in self.sockets():
            await socket.send_str(json.dumps(frame))

    # ------------------------------------------------------------------------------------------------------ protocol

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, from HELLO to its close."""
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self.connections += 1
        self.changed()
        if self.refuse_with is not None:
            await socket.close(code=self.refuse_with)
            return socket
        await socket.send_str(
            json.dumps({"op": HELLO, "d": {"heartbeat_interval": int(self.heartbeat_seconds * 1000)}})
        )
        session: Session | None = None
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            frame = json.loads(message.data)
            if frame["op"] in (IDENTIFY, RESUME) and session is not None:
                await socket.close(code=ALREADY_AUTHENTICATED)
                break
            session = await self._receive(socket, frame) or session
        if session is not None and session.socket is socket:
            self._left(session, socket)
        self._closed_by_us.discard(socket)
        self.changed()
        return socket

    def _left(self, session: Session, socket: web.WebSocketResponse) -> None:
        """The connection of a session has ended."""
        session.socket, session.left_at = None, self._now()
        code = socket.close_code or 1006
        if socket in self._closed_by_us:
            return
        self.closes.append((session.shard, code))
        if code in ENDING:
            self.sessions.pop(session.id, None)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _receive(self, socket: web.WebSocketResponse, frame: Event) -> Session | None:
        match frame["op"]:
            case 1:
                # On loopback an answer may come before discord.py's thread has noted when it sent the heartbeat.
                await asyncio.sleep(0.02)
                await socket.send_str(json.dumps({"op": HEARTBEAT_ACK}))
            case 2:
                return await self._identify(socket, frame["d"])
            case 6:
                return await self._resume(socket, frame["d"])
        return None

    async def _identify(self, socket: web.WebSocketResponse, data: Event) -> Session | None:
        self.identifies.append(data)
        if not self._allows(data["token"]):
            await socket.close(code=AUTHENTICATION_FAILED)
            return None
        if data["intents"] & MESSAGE_CONTENT and not self.content_allowed:
            await socket.close(code=DISALLOWED_INTENTS, message=b"Disallowed intent(s).")
            return None
        number, count = data.get("shard") or (0, 1)
        if not 0 <= number < count or count < self.least_shards:
            await socket.close(code=SHARDING_REQUIRED if 0 <= number < count else INVALID_SHARD)
            return None
        self.sessions_left -= 1
        bucket, now = number % self.max_concurrency, self._now()
        if now - self._identified_at.get(bucket, float("-inf")) < self.identify_seconds:
            self.too_early.append((number, count))
            await socket.send_str(json.dumps({"op": INVALID_SESSION, "d": False}))
            return None
        self._identified_at[bucket] = now
        session = Session(f"session{len(self.identifies)}", data["intents"], (number, count), socket=socket)
        session.events += self._ready(session)
        await session.send_from(0)
        self.sessions[session.id] = session
        self.changed()
        return session

    async def _resume(self, socket: web.WebSocketResponse, data: Event) -> Session | None:
        self.resumes.append(data)
        if not self._allows(data["token"]):
            await socket.close(code=AUTHENTICATION_FAILED)
            return None
        session = self.sessions.get(data["session_id"] or "")
        if session is not None and session.left_at is not None and self._now() - session.left_at > self.resume_seconds:
            del self.sessions[session.id]
            session = None
        if session is not None and (data["seq"] or 0) > len(session.events):
            await socket.close(code=INVALID_SEQUENCE)
            return None
        if session is None:
            await socket.send_str(json.dumps({"op": INVALID_SESSION, "d": False}))
            return None
        previous, session.socket, session.left_at = session.socket, socket, None
        if previous is not None and not previous.closed:
            self._closed_by_us.add(previous)
            await previous.close(code=4000)
        await session.send_from(data["seq"] or 0)
        session.events.append(("RESUMED", {"_trace": []}))
        await session.send_from(len(session.events) - 1)
        self.changed()
        return session


def _guild_of(name: str, data: Event | None) -> str | None:
    """The guild of an event; None for direct messages."""
    data = data or {}
    return data.get("guild_id") or (data.get("id") if name.startswith("GUILD_") else None)
