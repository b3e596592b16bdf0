"""Slack's files as attachments: where they are, or why they cannot be had; and stubs, looked up with files.info.

What belongs here: a file object's fields (https://docs.slack.dev/reference/objects/file-object) as values, and the
look-up, within its budget and a deadline, remembered for a while. What does not: downloading
(`adapters.shared.attachments`), what a file shows beside its contents (`beside`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from adapters.shared.attachments import NO_ACCESS, NOT_THERE, TOO_SLOW, UNAVAILABLE, Attachment
from adapters.shared.context_labels import mapping, number, objects, string
from adapters.shared.keyed_lock import KeyedLock
from adapters.shared.lru import Bounded
from adapters.slack.errors import code_of
from adapters.slack.events.content import of_file
from adapters.slack.web_api import WebApi
from bot.errors import Failure, Permanent, RateLimited
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Files of which it is remembered what files.info told, and for how long, in seconds: an address stays good for hours,
# but a file may be deleted. What failed for the moment is tried again sooner.
FILES = 500
FRESH_SECONDS = 600.0
FAILED_SECONDS = 30.0
# All look-ups of one question or history may take so long, in seconds: a reader waits.
LOOK_SECONDS = 5.0

DELETED = "it was deleted"
HIDDEN = "Slack hides it: it is beyond what the workspace's plan keeps"
ELSEWHERE = "it is kept outside of Slack, where the bot cannot read it"
ONLY_TITLE = "only its title is read"
ONLY_TRANSCRIPT = "only its transcript is read"

# Why a file cannot be had, by its mode, and by what Slack says of the access to it.
_BY_MODE = MappingProxyType(
    {
        "tombstone": DELETED,
        "hidden_by_limit": HIDDEN,
        "external": ELSEWHERE,
        **dict.fromkeys(("quip", "canvas", "list"), ONLY_TITLE),
    }
)
_BY_ACCESS = MappingProxyType({"access_denied": NO_ACCESS, "file_not_found": NOT_THERE, "restricted": NO_ACCESS})
_BY_CODE = MappingProxyType({"file_not_found": NOT_THERE, "file_deleted": DELETED, "missing_scope": NO_ACCESS})


def files_of(message: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """What is attached to a message, and to the messages that it shares."""
    shared = [file for each in objects(message, "attachments") for file in objects(each, "files")]
    return tuple(attachment for file in (*objects(message, "files"), *shared) for attachment in attachments_of(file))


def attachments_of(file: Mapping[str, Any]) -> list[Attachment]:
    """A file, and beside it a long transcript, of which it says only the beginning."""
    preview, vtt = mapping(file, "transcription", "preview"), string(file, "vtt")
    made = _attachment(file)
    if not string(preview, "content"):
        return [made]
    made = replace(made, why=made.why or ONLY_TRANSCRIPT)
    return (
        [made, Attachment(f"{made.name}.vtt", vtt, "text/vtt")] if preview.get("has_more") is True and vtt else [made]
    )


def _attachment(file: Mapping[str, Any]) -> Attachment:
    url = string(file, "url_private_download") or string(file, "url_private")
    why = _BY_MODE.get(string(file, "mode"), "") or _BY_ACCESS.get(string(file, "file_access"), "")
    is_stub = not why and (string(file, "file_access") == "check_file_info" or not url)
    return Attachment(
        name=string(file, "name") or string(file, "title") or string(file, "id") or "a file",
        url=url,
        media_type=string(file, "mimetype"),
        size=_count(file, "size"),
        width=_count(file, "original_w"),
        height=_count(file, "original_h"),
        lookup=string(file, "id") if is_stub else "",
        why=why,
    )


def _count(file: Mapping[str, Any], name: str) -> int:
    return max(number(file, name) or 0, 0)


@dataclass(frozen=True, slots=True)
class ResolvedFile:
    """What became of one attachment: those in its place, and what it shows beside its contents, in Slack's format."""

    files: tuple[Attachment, ...]
    beside: str = ""


class FileLookup:
    """Looks up the files of which a message tells no more than an id. `reads` is the budget of files.info."""

    def __init__(self, web: WebApi, reads: ReadLimiter) -> None:
        self._web = web
        self._reads = reads
        self._known: Bounded[str, tuple[float, ResolvedFile]] = Bounded(FILES)  # until when, and what
        self._locks = KeyedLock()

    async def resolved(self, attachments: Sequence[Attachment]) -> list[ResolvedFile]:
        """For each attachment, what it is. Raises nothing; what is not known in time cannot be had."""
        stubs = list(dict.fromkeys(each.lookup for each in attachments if each.lookup))
        if stubs:
            try:
                async with asyncio.timeout(LOOK_SECONDS), asyncio.TaskGroup() as group:
                    for stub in stubs:
                        group.create_task(self._look_up(stub))
            except TimeoutError:
                log.info("Slack: looking up files took too long")
                self._leave(stubs)
        return [self._of(each) for each in attachments]

    def _leave(self, stubs: Sequence[str]) -> None:
        """Files were not looked up in time: the next question is not to wait for them as well."""
        until = asyncio.get_running_loop().time() + FAILED_SECONDS
        for stub in stubs:
            if self._fresh(stub) is None:
                self._known.put(stub, (until, ResolvedFile((Attachment(stub, url="", why=TOO_SLOW),))))

    def _of(self, attachment: Attachment) -> ResolvedFile:
        if not attachment.lookup:
            return ResolvedFile((attachment,))
        found = self._fresh(attachment.lookup)
        if found is None:
            return ResolvedFile((replace(attachment, lookup="", why=TOO_SLOW),))
        # Where nothing was learnt, the name is the one that the message told.
        named = [replace(f, name=attachment.name) if f.name == attachment.lookup else f for f in found.files]
        return replace(found, files=tuple(named))

    def _fresh(self, file: str) -> ResolvedFile | None:
        until, found = self._known.get(file) or (0.0, None)
        return found if asyncio.get_running_loop().time() < until else None

    async def _look_up(self, file: str) -> None:
        async with self._locks.hold(file):
            if self._fresh(file) is not None:
                return
            found, seconds = await self._ask(file)
            self._known.put(file, (asyncio.get_running_loop().time() + seconds, found))

    async def _ask(self, file: str) -> tuple[ResolvedFile, float]:
        """What files.info tells of a file, and for how long that is good."""
        await self._reads.acquire()
        try:
            told = mapping((await self._web.read("files.info", {"file": file})).data, "file")
        except Failure as failure:
            log.info("Slack: file %s could not be looked up (%s)", file, failure)
            pause = FAILED_SECONDS
            if isinstance(failure, RateLimited):
                pause = max(failure.retry_after or 0.0, pause)
                self._reads.hold(asyncio.get_running_loop().time(), pause)
            why = _BY_CODE.get(code_of(failure), UNAVAILABLE)
            lasts = FRESH_SECONDS if isinstance(failure, Permanent) else pause
            return ResolvedFile((Attachment(file, url="", why=why),)), lasts
        found = [replace(f, lookup="", why=f.why or UNAVAILABLE) if f.lookup else f for f in attachments_of(told)]
        return ResolvedFile(tuple(found), of_file(told)), FRESH_SECONDS
