"""Files that go up with a message: three steps to Slack, and then the message that Slack makes of them.

What belongs here: the steps, what may be sent where, and finding the message: Slack makes it when it has looked into
the files, and its answer does not tell which it is (https://github.com/slackapi/python-slack-sdk/issues/1277). What
does not: when files are posted, and what is done where they cannot be (`channel`).

https://docs.slack.dev/messaging/working-with-files#upload; a file's name holds the turn's reference, by which a later
process knows the message again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yarl

from adapters.slack.errors import code_of
from adapters.slack.events.parse import SlackMessage, mapping, string
from adapters.slack.history.cache import Conversation, MessageCache
from adapters.slack.web_api import ApiResponse, WebApi
from bot.errors import Failure, Forbidden, InvalidRequest, Permanent, RateLimited
from bot.ports import Upload
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# The largest file, in bytes: Slack takes a gigabyte, and a text that anybody reads is far below this.
FILE_LIMIT = 10 * 2**20

# How long it is waited, between looks, for a message to appear; Slack shows it after one to three seconds. Seconds.
LOOKS = (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)

# A file goes to Slack's own hosts only, whatever an answer says.
SLACK = "slack.com"

# No file goes up in the whole workspace, while others fail for one channel.
EVERYWHERE = frozenset(
    ["missing_scope", "unknown_method", "not_allowed_token_type", "file_uploads_disabled", "storage_limit_reached"]
)


@dataclass(slots=True)
class FileBatch:
    """The files of one post: their ids, and whether Slack said that it has taken them."""

    ids: tuple[str, ...]
    taken: bool = False


class FileUploader:
    """The steps, within the budgets of their methods (tier 4 each), for all channels of one workspace."""

    def __init__(self, web: WebApi, memory: MessageCache, *, puts: ReadLimiter, looks: ReadLimiter) -> None:
        self._web = web
        self._memory = memory
        self._puts = puts
        self._looks = looks

    async def put(self, files: Sequence[Upload]) -> FileBatch:
        """Send the files; nobody sees them yet. Raises as `WebApi.post` does."""
        return FileBatch(tuple([await self._put(file) for file in files]))

    async def show(self, sent: FileBatch, conversation: Conversation, text: str) -> ApiResponse:
        """Have them shown in one message with `text`, in mrkdwn. Raises as `WebApi.post` does."""
        channel, thread = conversation
        params = {
            "files": json.dumps([{"id": each} for each in sent.ids]),
            "channel_id": channel,
            "initial_comment": text,
        }
        answer = await self._web.post(
            "files.completeUploadExternal", params | ({"thread_ts": thread} if thread else {}), once=True
        )
        sent.taken = True
        return answer

    async def message(
        self, sent: FileBatch, conversation: Conversation, answer: ApiResponse | None = None
    ) -> str | None:
        """The message that shows the files, once it is there; None where it does not come. Raises nothing."""
        told = answer.data.get("files") if answer is not None else None
        for file in told if isinstance(told, list) else []:
            if isinstance(file, dict) and (ts := share_of(file, conversation)):
                return ts
        asks = True
        for seconds in LOOKS:
            await asyncio.sleep(seconds)
            found = with_files(self._memory.part(conversation), sent.ids)
            if found is None and asks and seconds:
                found, asks = await self._ask(sent, conversation)
            if found:
                return found
        return None

    async def withdraw(self, sent: FileBatch) -> None:
        """Take back what was sent and does not show, so that it does not show later. As far as that can be done."""
        for each in sent.ids:
            try:
                await self._web.post("files.delete", {"file": each})
            except Failure as failure:
                log.debug("Slack: a file was not deleted (%s)", failure)

    async def _put(self, file: Upload) -> str:
        data = file.data
        await self._puts.acquire()
        try:
            answer = await self._web.post("files.getUploadURLExternal", {"filename": file.name, "length": len(data)})
        except RateLimited as failure:
            self._puts.hold(asyncio.get_running_loop().time(), failure.retry_after or 1.0)
            raise
        url, name = string(answer.data, "upload_url"), string(answer.data, "file_id")
        if not url or not name:
            raise InvalidRequest("files.getUploadURLExternal: an answer without an address")
        if not may_go_to(url, self._web.api_url):
            raise Forbidden("files.getUploadURLExternal: an address that is not Slack's")
        await self._web.upload(url, data)
        return name

    async def _ask(self, sent: FileBatch, conversation: Conversation) -> tuple[str | None, bool]:
        """The message as files.info tells of it, and whether to ask again."""
        await self._looks.acquire()
        try:
            answer = await self._web.read("files.info", {"file": sent.ids[0]})
        except Failure as failure:
            log.debug("Slack: nothing is known of a file (%s)", failure)
            return None, not isinstance(failure, Permanent)
        return share_of(mapping(answer.data, "file"), conversation), True


def may_go_to(url: str, api_url: str | None) -> bool:
    """Whether a file may be sent to an address: one of Slack's, or of the server that is set in its place."""
    try:
        to = yarl.URL(url)
        api = yarl.URL(api_url) if api_url else None
    except ValueError:
        return False
    if api is not None and to.host == api.host and to.scheme in ("https", api.scheme):
        return True
    host = to.host or ""
    return to.scheme == "https" and (host == SLACK or host.endswith(f".{SLACK}"))


def share_of(file: Mapping[str, Any], conversation: Conversation) -> str | None:
    """The ts of the message that a file is shared by in a conversation, as a file object tells.

    https://docs.slack.dev/reference/objects/file-object: `shares`, by the kind of channel and the channel.
    """
    channel, thread = conversation
    for kind in ("public", "private"):
        shares = mapping(mapping(file, "shares"), kind).get(channel)
        for share in shares if isinstance(shares, list) else []:
            if isinstance(share, dict) and (ts := string(share, "ts")) and string(share, "thread_ts") in ("", thread):
                return ts
    return None


def with_files(said: Sequence[SlackMessage], ids: Collection[str]) -> str | None:
    """The message of ours with one of these files."""
    return next((each.ts for each in said if any(file.id in ids for file in each.uploads)), None)


def of_turn(said: Sequence[SlackMessage], reference: str, known: Collection[str]) -> str | None:
    """The message of ours with files of a turn, by their names; None where those that are there are known."""
    return next(
        (
            each.ts
            for each in said
            if each.ts not in known and any(f"-{reference}" in file.name for file in each.uploads)
        ),
        None,
    )


def is_everywhere(failure: Failure) -> bool:
    """Whether what failed would fail in any channel."""
    return code_of(failure) in EVERYWHERE
