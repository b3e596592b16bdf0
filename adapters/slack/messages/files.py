"""Files posted in a message: three calls to Slack, then a search for the message made of them.

Slack makes the message after inspecting the files, and its answer does not name it
(https://github.com/slackapi/python-slack-sdk/issues/1277). The file's name holds the turn's reference, so that a later
process recognises the message.

https://docs.slack.dev/messaging/working-with-files#upload
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import yarl

from adapters.shared.json_fields import string_field
from adapters.slack.errors import code_of
from adapters.slack.events.pages import parse_share
from adapters.slack.events.parse import SlackMessage
from adapters.slack.history.cache import Conversation, MessageCache
from adapters.slack.options import SlackTimings
from adapters.slack.rate_limits import spending
from adapters.slack.web_api import ApiResponse, WebApi
from bot.errors import Failure, Forbidden, InvalidRequest, Permanent
from bot.ports import Upload
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# The largest file, in bytes: Slack takes a gigabyte, far more than any text for readers.
FILE_LIMIT = 10 * 2**20

# Files go to Slack's own hosts only, whatever an answer says.
SLACK = "slack.com"

# Errors for the whole workspace; others concern one channel.
EVERYWHERE = frozenset(
    ["missing_scope", "unknown_method", "not_allowed_token_type", "file_uploads_disabled", "storage_limit_reached"]
)


@dataclass(slots=True)
class FileBatch:
    """Ids of the files of one post; `completed` once Slack has accepted the post."""

    ids: tuple[str, ...]
    completed: bool = False


class FileUploader:
    """Posts files in one workspace, within the budgets of the methods (tier 4 each)."""

    def __init__(
        self, web: WebApi, cache: MessageCache, timings: SlackTimings, *, uploads: ReadLimiter, infos: ReadLimiter
    ) -> None:
        self._web = web
        self._cache = cache
        self._polls = timings.share_polls
        self._uploads = uploads
        self._infos = infos

    async def upload(self, files: Sequence[Upload]) -> FileBatch:
        """Send the files, still invisible to readers. Raises as `WebApi.post` does."""
        return FileBatch(tuple([await self._upload(file) for file in files]))

    async def share(self, batch: FileBatch, conversation: Conversation, text: str) -> ApiResponse:
        """Post the files in one message with `text`, in mrkdwn. Raises as `WebApi.post` does."""
        channel, thread = conversation
        params = {
            "files": json.dumps([{"id": each} for each in batch.ids]),
            "channel_id": channel,
            "initial_comment": text,
        }
        answer = await self._web.post(
            "files.completeUploadExternal", params | ({"thread_ts": thread} if thread else {}), once=True
        )
        batch.completed = True
        return answer

    async def find_message(
        self, batch: FileBatch, conversation: Conversation, answer: ApiResponse | None = None
    ) -> str | None:
        """The ts of the message with the files, once it exists; None if it does not appear in time. Never raises."""
        if answer is not None and (ts := parse_share(answer.data, *conversation)):
            return ts
        may_ask = True
        for seconds in self._polls:
            await asyncio.sleep(seconds)
            found = find_files(self._cache.messages(conversation), batch.ids)
            if found is None and may_ask and seconds:
                found, may_ask = await self._ask(batch, conversation)
            if found:
                return found
        return None

    async def withdraw(self, batch: FileBatch) -> None:
        """Delete files without a message, as far as possible, so that none appears later."""
        for each in batch.ids:
            try:
                await self._web.post("files.delete", {"file": each})
            except Failure as failure:
                log.debug("Slack: a file was not deleted (%s)", failure)

    async def _upload(self, file: Upload) -> str:
        data = file.data
        async with spending(self._uploads):
            answer = await self._web.post("files.getUploadURLExternal", {"filename": file.name, "length": len(data)})
        url, file_id = string_field(answer.data, "upload_url"), string_field(answer.data, "file_id")
        if not url or not file_id:
            raise InvalidRequest("files.getUploadURLExternal: an answer without an address")
        if not is_upload_host(url, self._web.api_url):
            raise Forbidden("files.getUploadURLExternal: an address outside Slack")
        await self._web.upload(url, data)
        return file_id

    async def _ask(self, batch: FileBatch, conversation: Conversation) -> tuple[str | None, bool]:
        """The message according to files.info, and whether to ask again."""
        await self._infos.acquire()
        try:
            answer = await self._web.read("files.info", {"file": batch.ids[0]})
        except Failure as failure:
            log.debug("Slack: files.info gave no answer (%s)", failure)
            return None, not isinstance(failure, Permanent)
        return parse_share(answer.data, *conversation), True


def is_upload_host(url: str, api_url: str | None) -> bool:
    """Whether a file may be sent to `url`: a host of Slack, or of the server configured in its place."""
    try:
        to = yarl.URL(url)
        api = yarl.URL(api_url) if api_url else None
    except ValueError:
        return False
    if api is not None and to.host == api.host and to.scheme in ("https", api.scheme):
        return True
    host = to.host or ""
    return to.scheme == "https" and (host == SLACK or host.endswith(f".{SLACK}"))


def find_files(messages: Sequence[SlackMessage], ids: Collection[str]) -> str | None:
    """The ts of our message with one of these files."""
    return next((each.ts for each in messages if any(file.id in ids for file in each.uploads)), None)


def find_turn_files(messages: Sequence[SlackMessage], reference: str, known: Collection[str]) -> str | None:
    """The ts of our message with a turn's files, by their names, other than the `known` ones."""
    return next(
        (
            each.ts
            for each in messages
            if each.ts not in known and any(f"-{reference}" in file.name for file in each.uploads)
        ),
        None,
    )


def fails_everywhere(failure: Failure) -> bool:
    """Whether the failure holds for any channel."""
    return code_of(failure) in EVERYWHERE
