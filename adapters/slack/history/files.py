"""Lookup of file stubs with files.info: events often carry no more than a file's id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from adapters.shared.attachments import NO_ACCESS, NOT_THERE, TOO_SLOW, UNAVAILABLE, Attachment
from adapters.shared.cache import LRUCache
from adapters.shared.keyed_lock import KeyedLock
from adapters.slack.errors import code_of
from adapters.slack.events.content import DELETED
from adapters.slack.events.pages import ResolvedFile, parse_file_info
from adapters.slack.web_api import WebApi
from bot.errors import Failure, Permanent, RateLimited
from bot.rate_limits import ReadLimiter

log = logging.getLogger(__name__)

# Cached files, and the lifetime of a lookup in seconds: an address stays valid for hours, but a file may be deleted.
# A temporary failure is repeated sooner.
FILES = 500
FRESH_SECONDS = 600.0
FAILED_SECONDS = 30.0
# Limit for all lookups of one question or history, in seconds: readers wait.
LOOKUP_SECONDS = 5.0

_REASON_BY_CODE = MappingProxyType({"file_not_found": NOT_THERE, "file_deleted": DELETED, "missing_scope": NO_ACCESS})


class FileLookup:
    """Resolves attachments, within the budget of files.info."""

    def __init__(self, web: WebApi, reads: ReadLimiter) -> None:
        self._web = web
        self._reads = reads
        self._known: LRUCache[str, tuple[float, ResolvedFile]] = LRUCache(FILES)  # with the expiry
        self._locks = KeyedLock()

    async def resolve(self, attachments: Sequence[Attachment]) -> list[ResolvedFile]:
        """One result for each attachment. Never raises; a file not found in time is marked as unavailable."""
        stubs = list(dict.fromkeys(each.lookup for each in attachments if each.lookup))
        if stubs:
            try:
                async with asyncio.timeout(LOOKUP_SECONDS), asyncio.TaskGroup() as group:
                    for stub in stubs:
                        group.create_task(self._look_up(stub))
            except TimeoutError:
                log.info("Slack: looking up files took too long")
                self._postpone(stubs)
        return [self._result(each) for each in attachments]

    def _postpone(self, stubs: Sequence[str]) -> None:
        """After a timeout, spare the next question the same wait."""
        until = asyncio.get_running_loop().time() + FAILED_SECONDS
        for stub in stubs:
            if self._fresh(stub) is None:
                self._known[stub] = (until, ResolvedFile((Attachment(stub, url="", why=TOO_SLOW),)))

    def _result(self, attachment: Attachment) -> ResolvedFile:
        if not attachment.lookup:
            return ResolvedFile((attachment,))
        found = self._fresh(attachment.lookup)
        if found is None:
            return ResolvedFile((replace(attachment, lookup="", why=TOO_SLOW),))
        # A failed lookup knows only the id; the message may know the name.
        named = [replace(f, name=attachment.name) if f.name == attachment.lookup else f for f in found.files]
        return replace(found, files=tuple(named))

    def _fresh(self, file: str) -> ResolvedFile | None:
        expires_at, found = self._known.get(file) or (0.0, None)
        return found if asyncio.get_running_loop().time() < expires_at else None

    async def _look_up(self, file: str) -> None:
        async with self._locks.hold(file):
            if self._fresh(file) is not None:
                return
            found, seconds = await self._fetch(file)
            self._known[file] = (asyncio.get_running_loop().time() + seconds, found)

    async def _fetch(self, file: str) -> tuple[ResolvedFile, float]:
        """The file, and the lifetime of the result in seconds."""
        await self._reads.acquire()
        try:
            return parse_file_info((await self._web.read("files.info", {"file": file})).data), FRESH_SECONDS
        except Failure as failure:
            log.info("Slack: file %s could not be looked up (%s)", file, failure)
            pause = FAILED_SECONDS
            if isinstance(failure, RateLimited):
                pause = max(failure.retry_after or 0.0, pause)
                self._reads.hold(asyncio.get_running_loop().time(), pause)
            why = _REASON_BY_CODE.get(code_of(failure), UNAVAILABLE)
            return ResolvedFile((Attachment(file, url="", why=why),)), (
                FRESH_SECONDS if isinstance(failure, Permanent) else pause
            )
