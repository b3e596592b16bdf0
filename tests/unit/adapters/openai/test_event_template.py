"""Event templates: texts taken without parsing equal the parsed ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai.chat_completions import ChatDecoder
from adapters.openai.event_template import EventTemplate
from adapters.openai.stream_decoder import parse_event


def event(text: str, *, padding: str = "x8Kq", ascii_only: bool = True, **delta: str) -> bytes:
    """An event as OpenAI sends it."""
    chunk = {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": None}],
        "obfuscation": padding,
    }
    return json.dumps(chunk, separators=(",", ":"), ensure_ascii=ascii_only).encode(errors="surrogatepass")


def learned(data: bytes, text: str) -> EventTemplate:
    """A template of one event."""
    template = EventTemplate()
    template.learn(data, text)
    return template


def test_text_of_like_events_is_found() -> None:
    """Events that differ in text and padding alone give their text, with spaces and beyond ASCII too."""
    template = learned(event("one "), "one ")
    assert template.text(event("two ", padding="Z")) == "two "
    assert template.text(event("zwölf 三", ascii_only=False)) == "zwölf 三"


def test_spaced_events_and_events_without_padding_are_learned() -> None:
    """Servers write JSON with spaces, and without padding."""
    data = b'{"choices": [{"delta": {"content": "%s"}}]}'
    template = learned(data % b"one", "one")
    assert template.text(data % b"two") == "two"
    assert template.text((data % b"two").replace(b"}]}", b'}], "usage": {}}')) == ""


@pytest.mark.parametrize(
    "other",
    [
        event("two", role="assistant"),
        event("two", padding='x","error":"y'),
        event("two").replace(b"null", b'"stop"'),
        event("two").replace(b"chatcmpl-1", b"chatcmpl-2"),
        event("two")[:-1],
        event("two")[:40],
        event("a\nb"),
        event('a"b'),
        event("tab").replace(b"tab", b"\t"),
        event("raw").replace(b"raw", b"\xff"),
        b"",
    ],
)
def test_other_events_are_left_to_the_parser(other: bytes) -> None:
    """An event with another field, an escape or invalid bytes has no text here."""
    assert learned(event("one"), "one").text(other) == ""


def test_nothing_is_known_before_the_first_event() -> None:
    """A new template takes no event."""
    assert EventTemplate().text(event("one")) == ""


def test_ambiguous_events_are_not_learned() -> None:
    """With two fields of this name, or another text than the decoder found, nothing is learned."""
    twice = b'{"content":"one","choices":[{"delta":{"content":"one"}}]}'
    assert learned(twice, "one").text(twice) == ""
    assert learned(event("one"), "two").text(event("one")) == ""


def test_unknown_text_keeps_the_learned_event() -> None:
    """An event with an escape replaces no template."""
    template = learned(event("one"), "one")
    template.learn(event("a\nb"), "a\nb")
    assert template.text(event("two")) == "two"


@given(st.text(min_size=1), st.text(), st.booleans(), st.text("ab1", max_size=3), st.sampled_from(["", "role", "x"]))
def test_found_text_equals_the_parsed_one(first: str, second: str, ascii_only: bool, padding: str, extra: str) -> None:
    """Whatever follows a learned event: text found without parsing is the text of the parsed event."""
    decoder, data = ChatDecoder(), event(first)
    template = EventTemplate()
    if text := decoder.plain_text(parse_event(data)):
        template.learn(data, text)
    other = event(second, padding=padding, ascii_only=ascii_only, **({extra: "y"} if extra else {}))
    if found := template.text(other):
        assert found == decoder.plain_text(parse_event(other))
