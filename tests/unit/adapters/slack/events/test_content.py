"""Content of a message beside its text: tables, and JSON of any shape."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.attachments import NO_ACCESS, Attachment
from adapters.shared.context_labels import MAX_MESSAGE_CHARACTERS
from adapters.slack.events.content import (
    DELETED,
    ELSEWHERE,
    HIDDEN,
    ONLY_TITLE,
    ONLY_TRANSCRIPT,
    extra_text,
    journal_fields,
    parse_file,
)
from adapters.slack.events.mentions import plain
from adapters.slack.events.parse import Identity, parse_message

Json = dict[str, Any]


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def section(text: str, **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


SHARE = {
    "is_share": True,
    "is_msg_unfurl": True,
    "author_name": "Ann",
    "author_id": "U1",
    "channel_name": "general",
    "channel_id": "C1",
    "text": "Moved to Friday 18:00.",
    "fallback": "[November 1st] Ann: Moved",
    "files": [{"id": "F1", "name": "plan.txt", "mode": "hosted"}],
    "footer": "Posted in #general",
}
BLOCK_ALERT: Json = {
    "bot_id": "B1",
    "text": "Build failed",
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "Build failed"}},
        section("*main* is red", fields=[{"type": "mrkdwn", "text": "Step: test"}]),
        {
            "type": "context",
            "elements": [{"type": "mrkdwn", "text": "by <@U1>"}, {"type": "image", "alt_text": "logo"}],
        },
        {"type": "divider"},
        {
            "type": "actions",
            "elements": [
                {"type": "button", "text": {"type": "plain_text", "text": "Retry"}},
                {"type": "static_select", "placeholder": {"text": "Assign"}, "options": [{"text": {"text": "Ann"}}]},
            ],
        },
    ],
}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"text": "hi"}, ""),
        (
            {"text": "", "attachments": [{"title": "[FIRING:1] DiskFull", "text": "/var at 97 %"}]},
            "[attachment]\n> [FIRING:1] DiskFull\n> /var at 97 %",
        ),
        (
            {
                "attachments": [
                    {
                        "pretext": "p",
                        "title": "t",
                        "title_link": "https://a.test",
                        "fields": [{"title": "k", "value": "v"}],
                    }
                ]
            },
            "[attachment]\n> p\n> t (https://a.test)\n> k: v",
        ),
        ({"attachments": [{"fallback": "only this"}]}, "[attachment]\n> only this"),
        (
            {"attachments": [{"fallback": "[no preview available]", "blocks": [section("said")]}]},
            "[attachment]\n> said",
        ),
        ({"attachments": [{"fallback": "[no preview available]"}]}, ""),
        ({"attachments": [{"actions": [{"type": "button", "text": "Approve"}]}]}, "[attachment]\n> [button: Approve]"),
        (
            {"attachments": [SHARE]},
            "[shared message: of Ann in #general]\n> Moved to Friday 18:00.\n> [file: plan.txt]",
        ),
        (
            {
                "attachments": [
                    {
                        "is_share": True,
                        "author_id": "U1",
                        "channel_id": "C1",
                        "message_blocks": [{"message": {"blocks": [section("said")]}}],
                    }
                ]
            },
            "[shared message: of <@U1> in <#C1>]\n> said",
        ),
        (
            {"attachments": [{"text": "a &amp; b", "blocks": [rich({"type": "text", "text": "a & b"})]}]},
            "[attachment]\n> a & b",
        ),
        (
            {"attachments": [{"is_share": True, "text": "", "attachments": [{"title": "Alert", "text": "disk"}]}]},
            "[shared message]\n> [attachment]\n> > Alert\n> > disk",
        ),
        (
            {
                "text": "<https://a.test/x>",
                "attachments": [{"from_url": "https://a.test/x", "title": "Page", "title_link": "https://a.test/x"}],
            },
            "[link preview]\n> Page",
        ),
        (
            BLOCK_ALERT,
            "*main* is red\nStep: test\nby <@U1>\n[picture: logo]\n[button: Retry]\n[menu: Assign, Ann]",
        ),
        ({"text": "hello there", "blocks": [rich({"type": "text", "text": "hello there"})]}, ""),
        (
            {
                "text": "",
                "blocks": [
                    rich(
                        {"type": "text", "text": "a < b "},
                        {"type": "user", "user_id": "U1"},
                        {"type": "emoji", "name": "wave"},
                    )
                ],
            },
            "a &lt; b <@U1>:wave:",
        ),
        ({"bot_id": "B1", "text": "Fallback", "blocks": [rich({"type": "text", "text": "All of it"})]}, "All of it"),
        (
            {"bot_id": "B1", "text": "x", "blocks": [{"type": "new_kind", "title": {"text": "T"}, "subtitle": "S"}]},
            "T\nS",
        ),
        (
            {
                "bot_id": "B1",
                "text": "x",
                "blocks": [
                    {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}, {"type": "raw_text", "text": "b"}]]}
                ],
            },
            "a | b",
        ),
        (
            {
                "files": [
                    {
                        "name": "clip.mp4",
                        "transcription": {
                            "status": "complete",
                            "preview": {"content": "hello <all>", "has_more": True},
                        },
                    }
                ]
            },
            "[transcript of: clip.mp4]\n> hello &lt;all&gt; [...]",
        ),
        ({"files": [{"mode": "quip", "title": "Roadmap & plan"}]}, "[canvas: Roadmap &amp; plan]"),
        ({"files": [{"mode": "external", "pretty_type": "Google Docs", "title": "Minutes"}]}, "[Google Docs: Minutes]"),
        (
            {"files": [{"mode": "email", "subject": "Re: disk", "plain_text": "It is full."}]},
            "[email: Re: disk]\n> It is full.",
        ),
        ({"files": [{"mode": "hosted", "name": "a.png"}]}, ""),
    ],
)
def test_content_beside_the_text(message: Json, text: str) -> None:
    """Shared messages, alerts, blocks, transcripts and titles are told with a label, each once."""
    assert extra_text(message) == text


def test_our_messages_have_no_content_beside_the_text() -> None:
    """Our own blocks are read back as the model's text."""
    said = parse_message(
        {"ts": "1.1", "user": "UBOT", "text": "x", "blocks": [section("answer")]}, Identity("T1", "UBOT")
    )

    assert said is not None
    assert (said.text, said.extra_text) == ("answer", "")


URL = "https://files.slack.com/a"


@pytest.mark.parametrize(
    ("file", "attachments"),
    [
        ({"id": "F1", "name": "a.txt", "url_private": URL}, [Attachment("a.txt", URL)]),
        ({"id": "F1", "mode": "file_access", "file_access": "check_file_info"}, [Attachment("F1", "", lookup="F1")]),
        ({"id": "F1", "name": "a.txt"}, [Attachment("a.txt", "", lookup="F1")]),
        ({"id": "F1", "mode": "tombstone"}, [Attachment("F1", "", why=DELETED)]),
        ({"id": "F1", "name": "a.txt", "mode": "hidden_by_limit"}, [Attachment("a.txt", "", why=HIDDEN)]),
        ({"id": "F1", "name": "a.txt", "file_access": "access_denied"}, [Attachment("a.txt", "", why=NO_ACCESS)]),
        ({"id": "F1", "title": "Doc", "mode": "external", "url_private": URL}, [Attachment("Doc", URL, why=ELSEWHERE)]),
        ({"id": "F1", "title": "Plan", "mode": "quip", "url_private": URL}, [Attachment("Plan", URL, why=ONLY_TITLE)]),
        (
            {"id": "F1", "name": "c.mp4", "url_private": URL, "transcription": {"preview": {"content": "hi"}}},
            [Attachment("c.mp4", URL, why=ONLY_TRANSCRIPT)],
        ),
        (
            {"id": "F1", "name": "c.mp4", "url_private": URL, "vtt": f"{URL}.vtt"}
            | {"transcription": {"preview": {"content": "hi", "has_more": True}}},
            [Attachment("c.mp4", URL, why=ONLY_TRANSCRIPT), Attachment("c.mp4.vtt", f"{URL}.vtt", "text/vtt")],
        ),
    ],
)
def test_files_as_attachments(file: Json, attachments: list[Attachment]) -> None:
    """A file can be read where it says, is looked up where it does not, or says why it cannot be had."""
    assert parse_file(file) == attachments


NAMES = [
    *("text", "type", "blocks", "elements", "attachments", "title", "title_link", "fields", "value", "is_share"),
    *("message_blocks", "message", "author_name", "channel_id", "files", "name", "mode", "transcription", "preview"),
    *("content", "has_more", "rows", "accessory", "options", "placeholder", "label", "user_id", "url", "timestamp"),
    *("format", "fallback", "from_url", "bot_id", "element", "call", "v1", "alt_text", "subtype", "id", "file_access"),
]
KINDS = [
    *("rich_text", "section", "header", "context", "actions", "table", "image", "video", "input", "call", "user"),
    *("rich_text_list", "rich_text_quote", "rich_text_section", "link", "date", "emoji", "button", "mrkdwn"),
    *("static_select", "raw_text"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)
MESSAGES = st.dictionaries(st.sampled_from(["text", "blocks", "attachments", "files", "bot_id", "subtype"]), VALUES)


@given(MESSAGES)
def test_any_json_gives_a_bounded_text(message: Json) -> None:
    """JSON of any shape gives a bounded text."""
    text = extra_text(message)

    assert len(text) <= MAX_MESSAGE_CHARACTERS
    plain(text, {})


@given(MESSAGES)
def test_journalled_fields_have_the_same_content(message: Json) -> None:
    """The journalled fields of a message have the same content as the message."""
    stored = {name: message[name] for name in ("text", "bot_id", "subtype") if name in message}

    assert extra_text(stored | journal_fields(message)) == extra_text(message)


def test_a_very_long_or_deep_message_is_bounded() -> None:
    """Neither fifty long blocks nor a thousand lists in each other are too much, and no mark is cut in two."""
    deep: Json = {"type": "text", "text": "bottom"}
    for _ in range(400):
        deep = {"type": "rich_text_section", "elements": [deep]}
    shares: Json = {"text": "innermost"}
    for _ in range(300):
        shares = {"is_share": True, "attachments": [shares, shares]}
    mentions = {"bot_id": "B1", "blocks": [section("<@U123456789> " * 200)] * 50}

    assert extra_text({"blocks": [{"type": "rich_text", "elements": [deep]}]}) == ""
    assert len(extra_text({"attachments": [shares]})) <= MAX_MESSAGE_CHARACTERS
    assert len(extra_text(mentions)) <= MAX_MESSAGE_CHARACTERS
    assert "<" not in plain(extra_text(mentions), {})


@pytest.mark.parametrize("line", ["ab\\n", "aab\\n"])
def test_lines_that_a_long_text_may_contain_are_compared_in_bounded_time(line: str) -> None:
    """Fifty full sections beside a full text take less than a second; each line against the text took up to 16."""
    message = {"bot_id": "B1", "text": "a" * 39_000, "blocks": [section(line * (3_000 // len(line)))] * 50}
    began = time.thread_time()

    assert len(extra_text(message)) <= MAX_MESSAGE_CHARACTERS
    assert time.thread_time() - began < 1.0
