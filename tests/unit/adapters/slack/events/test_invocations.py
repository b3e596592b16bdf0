"""Questions of commands and menus: ids, payloads and the journal's text, of any content."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.json_fields import object_field
from adapters.slack.events.actions import parse_origin
from adapters.slack.events.codec import dump_invocation, load, load_invocation
from adapters.slack.events.invocations import (
    NOW,
    Invocation,
    InvocationId,
    InvocationKind,
    invocation_of,
    parse_invocation_id,
)
from adapters.slack.events.parse import Identity

ME = Identity("T1", "UBOT", "B0BOT")
IDS = st.builds(
    InvocationId,
    kind=st.sampled_from(InvocationKind),
    user=st.from_regex(r"[UW][A-Z0-9]{1,10}", fullmatch=True),
    mark=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    thread=st.sampled_from(["", "1700000000.000100"]),
    message=st.sampled_from(["", "1700000001.000200"]),
)
JSON = st.dictionaries(
    st.sampled_from("user channel message message_ts trigger_id response_url user_id channel_id team_id id ts".split()),  # noqa: SIM905 (a list of words)
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.sampled_from(["id", "ts", "thread_ts", "text", "user"]), inner, max_size=4),
        max_leaves=6,
    ),
)


@given(IDS)
def test_an_id_is_read_back(id_: InvocationId) -> None:
    """The id in a turn's key names the same invocation in a later process."""
    assert parse_invocation_id(str(id_)) == id_
    assert " " not in str(id_)  # buttons separate their values by spaces


@pytest.mark.parametrize("text", ["", "1700000000.000100", "ask/U1", "ask/U1///x/", "other/U1///x", "////"])
def test_other_ids(text: str) -> None:
    """A message's ts, and anything else, names no invocation."""
    assert parse_invocation_id(text) is None


@given(IDS, st.text(max_size=20), st.booleans())
def test_an_invocation_is_read_back_from_the_journal(id_: InvocationId, text: str, has_message: bool) -> None:
    """The journal's text holds the whole question, and older readers find no message event in it."""
    message = {"ts": "1700000001.000200", "user": "U2", "text": "Why?"} if has_message else None
    invocation = Invocation(id_, "C1", "T1", text, message)
    stored = dump_invocation(invocation)
    assert load_invocation(stored) == invocation
    assert load(stored, ME) is None
    assert stored.isascii()


@given(JSON, JSON)
def test_no_payload_breaks_the_parsers(payload: dict[str, Any], stored: dict[str, Any]) -> None:
    """Any JSON is an invocation or none."""
    for kind in InvocationKind:
        invocation = invocation_of(parse_origin(payload), kind, text="Why?", message=object_field(payload, "message"))
        if invocation is not None:
            invocation.question(ME)
            assert load_invocation(dump_invocation(invocation)) is not None
    assert load_invocation(str(stored)) is None


def test_positions() -> None:
    """A summary covers all messages, an answer those before its message, and a command's question none."""
    menu = {"user": {"id": "U1"}, "channel": {"id": "C1"}, "message": {"ts": "5.1", "thread_ts": "4.1", "user": "U2"}}
    answer, summary = (
        invocation_of(parse_origin(menu), kind) for kind in (InvocationKind.ANSWER, InvocationKind.SUMMARIZE)
    )
    ask = invocation_of(parse_origin({"user_id": "U1", "channel_id": "C1"}), InvocationKind.ASK, text="Why?")
    assert answer is not None
    assert summary is not None
    assert ask is not None
    assert [each.id.position for each in (answer, summary, ask)] == ["5.1", NOW, ""]
    assert [each.id.thread for each in (answer, summary, ask)] == ["4.1", "4.1", ""]
