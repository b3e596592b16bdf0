"""Sending one write to its channel, and recording the outcome in the reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.delivery.policy import WritePolicy
from bot.delivery.reconciler import Reconciler
from bot.delivery.writes import Write
from bot.errors import OutcomeUnknown
from bot.ports import Channel, Verb


async def send(
    write: Write, channel: Channel, reconciler: Reconciler, policy: WritePolicy, on_posted: Callable[[str], object]
) -> None:
    """Make a write; `on_posted` gets the id of a message known to exist now. Raises the channel's failures.

    A timeout raises `OutcomeUnknown`.
    """
    has_files = write.body is not None and bool(write.body.files)
    try:
        found = await _find(write, channel, reconciler, policy) if write.lookup else None
        async with asyncio.timeout(policy.file_seconds if has_files else policy.write_seconds):
            await _send(write, found, channel, reconciler, on_posted)
    except OutcomeUnknown:
        reconciler.outcome_unknown(write)
        raise
    except TimeoutError as error:
        reconciler.outcome_unknown(write)
        raise OutcomeUnknown(f"no answer to a {write.verb.value} in time") from error


async def _find(write: Write, channel: Channel, reconciler: Reconciler, policy: WritePolicy) -> str | None:
    # A look-up waits for its own read limit, possibly longer than any write.
    async with asyncio.timeout(policy.lookup_seconds):
        found = await channel.find(write.key, reconciler.messages_before(write.index))
    if found is None:
        reconciler.end_lookups()  # posts are made in order: there is no later one either
    return found


async def _send(
    write: Write, found: str | None, channel: Channel, reconciler: Reconciler, on_posted: Callable[[str], object]
) -> None:
    if write.verb is Verb.DELETE:
        await channel.delete(write.message)
        reconciler.deleted(write)
        return
    if write.verb is Verb.EDIT:
        assert write.body is not None
        await channel.edit(write.message, write.body)
        reconciler.edited(write)
        return
    if write.verb is Verb.APPEND:
        await channel.append(write.message, write.text)
        reconciler.appended(write)
        return
    if write.verb is Verb.STOP:
        assert write.body is not None
        await channel.stop(write.message, write.text, write.body)
        reconciler.stopped(write)
        return
    message = found or await _create(write, channel)
    if not message:
        reconciler.mark_not_found(write)
        return
    reconciler.posted(write, message, found=found is not None)
    on_posted(message)


async def _create(write: Write, channel: Channel) -> str:
    if write.body is None:
        return ""
    new_message = channel.start if write.verb is Verb.START else channel.post
    return await new_message(write.body, write.key)
