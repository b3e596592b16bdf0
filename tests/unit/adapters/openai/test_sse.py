"""Server-sent events: the same whatever pieces the bytes come in, and the same as the SDK finds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from adapters.openai.sse import BYTE_ORDER_MARK, MAX_EVENT_BYTES, EventSplitter, ParsedData
from bot.errors import ServiceError

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:{}",
        b"data:  x",
        b"data",
        b"data:",
        b"datum: y",
        b": a comment",
        b"event: ping",
        b"id: 7",
        b"{}",
        b"error: {}",
    ]
)
NOISE = st.lists(st.one_of(ENDS, LINES, st.binary(max_size=3), st.just(BYTE_ORDER_MARK)), max_size=20).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=12)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def events(parts: list[bytes], max_event_bytes: int = MAX_EVENT_BYTES) -> list[bytes]:
    splitter = EventSplitter(max_event_bytes)
    return [data for part in parts for data in splitter.feed(part)]


@given(text=NOISE, cuts=CUTS)
def test_events_do_not_depend_on_the_pieces(text: bytes, cuts: list[int]) -> None:
    """Cut anywhere, byte by byte or not at all: the same events."""
    whole = events([text])
    assert events(pieces(text, cuts)) == whole
    assert events([text[at : at + 1] for at in range(len(text))]) == whole


DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(data=st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=5), end=ENDS, cuts=CUTS, comment=st.booleans())
def test_the_same_events_as_the_sdk(data: list[list[str]], end: bytes, cuts: list[int], comment: bool) -> None:
    """On well-formed streams its decoder and ours agree, and give back what was sent."""
    blocks = [
        (b": hello" + end if comment else b"") + b"".join(b"data: " + line.encode() + end for line in lines) + end
        for lines in data
    ]
    parts = pieces(b"".join(blocks), cuts)
    ours = events(parts)
    assert ours == ["\n".join(lines).encode() for lines in data]
    assert ours == [event.data.encode() for event in SSEDecoder().iter_bytes(iter(parts))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: a\n", []),  # the stream ended within the event
        (b"data: a\n\ndata: b", [b"a"]),
        (b"data: a\r\rdata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\n\r\n\r\n", [b"a"]),
        (b"event: ping\n\n", []),  # an event without data is none
        (b"data:\n\n", [b""]),
        (b"data\n\n", [b""]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a \n\n", [b" a "]),
        (BYTE_ORDER_MARK + b"data: a\n\n" + BYTE_ORDER_MARK + b"data: b\n\n", [b"a"]),
        (b" data: a\n\n", []),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [b"a\x0bb\x0cc\x1cd\xc2\x85e"]),  # no ends of lines
    ],
)
def test_what_an_event_is(text: bytes, expected: list[bytes]) -> None:
    """As the specification says."""
    assert events([text]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: {}\ndata: {}\n", [b"{}", b"{}"]),
        (b"data: {}\nid: 7\n\n", [b"{}"]),
        (b"data: {\ndata: }\n\n", [b"{\n}"]),
        (b'error: {"a": 1}\n\n', [b'{"a": 1}']),
        (b"data: {}\nerror: x\n\ndata: [DONE]\n\n", [b"{}", b"x", b"[DONE]"]),
        (b'data: {}\n\n{"a": 1}\n', [b"{}", b'{"a": 1}']),
        (b"data: {}\n{}\n", [b"{}", b"{}"]),
        (b"data: {\n{}\ndata: }\n\n", [b"{\n}"]),
        (b"{not: json}\n\n", []),
    ],
)
def test_what_an_event_is_beyond_the_specification(text: bytes, expected: list[bytes]) -> None:
    """Objects without blank lines or without a field name, and errors in a field of their own."""
    assert events([text]) == expected


def test_an_event_is_given_with_its_last_byte() -> None:
    """Nothing waits for a byte that comes after the event, not even where that may be the LF of a CRLF."""
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r") == []
    assert splitter.feed(b"\n\r") == [b"a"]
    assert splitter.feed(b"\ndata: b\r\r") == [b"b"]


def test_an_event_has_a_bound() -> None:
    """An endless event or line is an error; many short events are not."""
    splitter = EventSplitter(max_event_bytes=100)
    for _ in range(100):
        assert splitter.feed(b"data: 12345678\n\n") == [b"12345678"]
    for endless in (b"data: 12345678", b"data: 12345678\n"):
        with pytest.raises(ServiceError):
            events([endless] * 100, max_event_bytes=100)


def test_a_complete_line_is_parsed_once() -> None:
    """The JSON parsed to find the end of an event goes along with its data; half a surrogate pair does not."""
    first, second = events([b'data: {"a": 1}\ndata: {"b": "\\ud83d"}\n'])
    assert isinstance(first, ParsedData)
    assert (first, first.value) == (b'{"a": 1}', {"a": 1})
    assert (type(second), second) == (bytes, b'{"b": "\\ud83d"}')
