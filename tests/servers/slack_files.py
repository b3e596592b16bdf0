"""The loopback Slack's files: their upload in three steps, the messages that share them, and what a reader sees."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from aiohttp import web

from tests.servers.limits import FaultPlan, Transcript, faulted
from tests.servers.slack_blocks import Refused
from tests.servers.slack_world import World

Json = dict[str, Any]


class SlackFiles:
    """The part of the loopback Slack for files (https://docs.slack.dev/messaging/working-with-files)."""

    world: World
    faults: FaultPlan
    transcript: Transcript
    echoes: bool
    host = ""  # this server's address and port, while running
    upload_host = ""  # where files are said to go, if not here

    def __init__(self) -> None:
        self.files: dict[str, Json] = {}  # by id: the file object, with its bytes in "_data" once they are there
        self.share_seconds = 0.0  # until the message of a file is there; infinity: it never is
        self.tells_shares = False  # the answer to files.completeUploadExternal says which message it is
        self.group: asyncio.TaskGroup | None = None  # of the running server
        self._shares: set[asyncio.Task[None]] = set()

    # ---------------------------------------------------------------------------------------------------- what is given

    def event(self, event: Json, **outer: Any) -> None:
        """Send an event."""
        raise NotImplementedError

    def writable(self, arguments: Json) -> str:
        """The channel of a call, or a refusal."""
        raise NotImplementedError

    def wrote(self, method: str, channel: str, message: Json) -> None:
        """Record a write."""
        raise NotImplementedError

    def touch(self) -> None:
        """Wake those who wait for a change."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------------------- uploads

    async def _files_getUploadURLExternal(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        length = int(arguments.get("length") or 0)
        if not arguments.get("filename") or length <= 0:
            raise Refused("missing_argument")
        fid = f"F{len(self.files) + 1:04d}"
        self.files[fid] = {"id": fid, "name": arguments["filename"], "size": length, "user": self.world.bot_user}
        return {"file_id": fid, "upload_url": f"{self.upload_host or f'http://{self.host}'}/upload/v1/{fid}"}

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Takes raw bytes, as many as were said, without a token."""
        file, data = self.files.get(request.match_info["file"]), await request.read()
        self.transcript.add(request.method, request.path, {"length": len(data)}, request.query)

        async def take(request: web.Request) -> web.StreamResponse:
            if file is None or len(data) != file["size"] or "Authorization" in request.headers:
                return web.Response(status=400, text="no")
            file["_data"] = data
            return web.Response(text=f"OK - {len(data)}")

        return await faulted(self.faults, request, take)

    async def _files_completeUploadExternal(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        given = arguments.get("files") or "[]"
        files = [self.files.get(each["id"]) for each in (json.loads(given) if isinstance(given, str) else given)]
        if not files or any(file is None or "_data" not in file or "shares" in file for file in files):
            raise Refused("file_not_found")
        channel = self.writable({"channel": arguments.get("channel_id", "")})
        thread = str(arguments.get("thread_ts") or "")
        if thread and thread not in self.world.messages[channel]:
            raise Refused("thread_not_found")
        shared = [file for file in files if file is not None]
        for file in shared:
            file["shares"] = {}
        text = str(arguments.get("initial_comment") or "")
        if self.share_seconds == 0.0 and self.tells_shares:
            self._share(shared, channel, thread, text)
        elif self.share_seconds < math.inf and self.group is not None:
            task = self.group.create_task(self._share_later(shared, channel, thread, text))
            self._shares.add(task)
            task.add_done_callback(self._shares.discard)
        return {"files": [_public(file) for file in shared]}

    async def _share_later(self, files: list[Json], channel: str, thread: str, text: str) -> None:
        await asyncio.sleep(self.share_seconds)
        if all(file["id"] in self.files for file in files):
            self._share(files, channel, thread, text)

    def _share(self, files: list[Json], channel: str, thread: str, text: str) -> None:
        ours: Json = {"user": self.world.bot_user, "bot_id": self.world.bot_id, "subtype": "file_share"}
        ours |= {"thread_ts": thread} if thread else {}
        message = self.world.put(channel, {**ours, "text": text, "files": [_public(file) for file in files]})
        kind = "public" if channel.startswith("C") else "private"
        for file in files:
            share = {"ts": message["ts"], **({"thread_ts": thread} if thread else {})}
            file["shares"] = {kind: {channel: [share]}}
        self.wrote("files.completeUploadExternal", channel, message)
        if self.echoes:
            self.event({**message, "channel": channel, "channel_type": self.world.channels[channel]})
        self.touch()

    async def _files_info(self, arguments: Json) -> Json:
        file = self.files.get(str(arguments.get("file", "")))
        if file is None:
            raise Refused("file_not_found")
        return {"file": _public(file)}

    def stub(self, **file: Any) -> Json:
        """Keep a file of another organisation's; events tell no more of it than this (Slack Connect)."""
        fid = f"F{len(self.files) + 1:04d}"
        self.files[fid] = {"id": fid, "mode": "hosted", **file}
        return {"id": fid, "mode": "file_access", "file_access": "check_file_info"}

    async def _files_delete(self, arguments: Json) -> Json:
        if self.files.pop(str(arguments.get("file", "")), None) is None:
            raise Refused("file_not_found")
        return {}

    def attached(self, channel: str, thread: str = "") -> list[tuple[str, str]]:
        """The names and texts of the files that a reader sees of the bot, from top to bottom."""
        messages = self.world.thread(channel, thread) if thread else list(self.world.messages[channel].values())
        shown = [file for message in messages for file in message.get("files", []) if file["id"] in self.files]
        return [(file["name"], self.files[file["id"]]["_data"].decode()) for file in shown]

    def cancel_shares(self) -> None:
        """The server stops: share no more files."""
        for share in self._shares:
            share.cancel()


def _public(file: Json) -> Json:
    """A file as Slack tells of it."""
    return {name: value for name, value in file.items() if name != "_data"}
