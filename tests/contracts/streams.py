"""The contract of native streams in `bot.ports.Channel`, for channels with them; see `tests.contracts.channel`."""

from __future__ import annotations

import pytest

from bot.errors import OutcomeUnknown, RateLimited, Retryable, StreamEnded, StreamOpen
from bot.ports import Body, StreamCapabilities, Verb
from tests.contracts.channel import KEY, ChannelHarness, Promise

FIRST = "The first words of an answer. "


def _caps(harness: ChannelHarness) -> StreamCapabilities:
    caps = harness.channel.caps.stream
    assert caps is not None
    return caps


async def a_stream_grows(harness: ChannelHarness) -> None:
    """A reader sees the stable text of the start, each append, and the rest given with the stop, in one message."""
    channel = harness.channel
    message = await channel.start(Body(FIRST, "a tail"), KEY)
    started = harness.shown()
    await channel.append(message, "More. ")
    appended = harness.shown()
    await channel.stop(message, "The end.", Body(f"{FIRST}More. The end."))

    assert [started, appended, harness.shown()] == [[FIRST], [f"{FIRST}More. "], [f"{FIRST}More. The end."]]


async def a_stopped_stream_is_an_ordinary_message(harness: ChannelHarness) -> None:
    """It can be edited and deleted, and takes no more text."""
    channel = harness.channel
    message = await channel.start(Body(FIRST), KEY)
    with pytest.raises(StreamOpen):
        await channel.edit(message, Body("corrected"))
    await channel.stop(message, "", Body(FIRST))
    with pytest.raises(StreamEnded):
        await channel.append(message, "More.")
    with pytest.raises(StreamEnded):
        await channel.stop(message, "", Body(FIRST))
    await channel.edit(message, Body("corrected"))
    corrected = harness.shown()
    await channel.delete(message)

    assert [corrected, harness.shown()] == [["corrected"], []]


async def a_lost_start_is_found(harness: ChannelHarness) -> None:
    """After a lost response the message is found, and continued in place."""
    channel = harness.channel
    harness.lose_response(Verb.START)
    with pytest.raises(OutcomeUnknown):
        await channel.start(Body(FIRST), KEY)
    message = await channel.find(KEY)
    assert message is not None
    await channel.append(message, "More.")
    await channel.stop(message, "", Body(f"{FIRST}More."))

    assert harness.shown() == [f"{FIRST}More."]


async def a_lost_append_or_stop_is_an_unknown_outcome(harness: ChannelHarness) -> None:
    """Neither may be repeated; an edit has the whole text."""
    channel = harness.channel
    message = await channel.start(Body(FIRST), KEY)
    harness.lose_response(Verb.APPEND)
    with pytest.raises(OutcomeUnknown):
        await channel.append(message, "More.")
    harness.lose_response(Verb.STOP)
    with pytest.raises(OutcomeUnknown):
        await channel.stop(message, "", Body(f"{FIRST}More."))
    with pytest.raises(StreamEnded):
        await channel.stop(message, "", Body(f"{FIRST}More."))
    await channel.edit(message, Body("The whole text."))

    assert harness.shown() == ["The whole text."]


async def a_failed_call_can_be_repeated(harness: ChannelHarness) -> None:
    """A 429 has its seconds, and a call that certainly failed is made again, for each of the three."""
    channel = harness.channel
    for verb in (Verb.START, Verb.APPEND, Verb.STOP):
        harness.limit(verb, 7.0)
    with pytest.raises(RateLimited) as start:
        await channel.start(Body(FIRST), KEY)
    harness.fail_once(Verb.START)
    with pytest.raises(Retryable):
        await channel.start(Body(FIRST), KEY)
    message = await channel.start(Body(FIRST), KEY)
    with pytest.raises(RateLimited) as append:
        await channel.append(message, "More.")
    await channel.append(message, "More.")
    with pytest.raises(RateLimited) as stop:
        await channel.stop(message, "", Body(f"{FIRST}More."))
    await channel.stop(message, "", Body(f"{FIRST}More."))

    assert [each.value.retry_after for each in (start, append, stop)] == [7.0] * 3
    assert harness.shown() == [f"{FIRST}More."]


async def a_text_at_the_limit_streams(harness: ChannelHarness) -> None:
    """A streamed message takes its limit, by its own measure, and can be edited afterwards."""
    channel, caps = harness.channel, _caps(harness)
    emoji = "\N{GRINNING FACE}" * (caps.limit // caps.measure("\N{GRINNING FACE}") // 2)
    plain = "a" * (caps.limit - caps.measure(emoji))
    message = await channel.start(Body(emoji), KEY)
    await channel.append(message, plain)
    await channel.stop(message, "", Body(emoji + plain))
    streamed = harness.shown()
    await channel.edit(message, Body(plain + emoji))

    assert [streamed, harness.shown()] == [[emoji + plain], [plain + emoji]]


STREAM_PROMISES: tuple[Promise, ...] = (
    a_stream_grows,
    a_stopped_stream_is_an_ordinary_message,
    a_lost_start_is_found,
    a_lost_append_or_stop_is_an_unknown_outcome,
    a_failed_call_can_be_repeated,
    a_text_at_the_limit_streams,
)
