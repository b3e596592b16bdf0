"""Slack's text format both ways, and the model's words without pings."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from xml.sax.saxutils import escape, unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events.mentions import mentions, plain, without_mention
from adapters.slack.events.own_answer import own_answer
from adapters.slack.messages.blocks import MARKDOWN_LIMIT, TEXT_BYTES, with_blocks, without_blocks
from adapters.slack.messages.mrkdwn import TEXT_LIMIT, cut_to_bytes, from_markdown
from adapters.slack.messages.renderer import SlackMarkdown, escape_pings, strip_our_markup
from adapters.slack.messages.tables import with_tables_as_text
from bot.markdown import Piece

# What Slack takes for a ping, a channel or a command, wherever it stands.
PING = re.compile(r"<(?:@[UWB]|#C|!(?:channel|here|everyone|group|subteam|date))", re.IGNORECASE)

# Text that is likely to hit something.
DANGEROUS = [
    "<!channel>",
    "<!here|x>",
    "<!everyone>",
    "<!subteam^S1>",
    "<@U123>",
    "<#C1|x>",
    "<",
    ">",
    "&",
    "&amp;",
    "&lt;",
]
MARKUP = ("**", "*", "_", "`", "```", "\n", "# ", "[a](https://a.example)", "word", "\N{GRINNING FACE}", "é", " ")
TABLE = ("\n| a | <b> |\n|---|--|\n| **c** | d |\n", "|", "| e & f | g |\n", "\n|a\n|-\n|b")
angry = st.lists(st.sampled_from([*DANGEROUS, *MARKUP, *TABLE]), max_size=40).map("".join)


@given(angry)
def test_nothing_pings(text: str) -> None:
    """No text of a model can reach anybody, in a block, in the text beside it, or where there are no blocks."""
    rendered = escape_pings(text)
    assert not PING.search(rendered)
    for shown in (with_blocks(rendered), without_blocks(rendered)):
        assert not PING.search(shown["text"])
        assert not any(PING.search(block["text"]) for block in shown["blocks"])


@pytest.mark.parametrize("code", ["Map<@Nullable String>", "List<@NonNull T>", "<#include>", "<@user> <@>", "a <@U1"])
def test_code_that_only_looks_like_a_ping_is_left_as_it_is(code: str) -> None:
    """Code without Slack's mention syntax stays unchanged."""
    assert escape_pings(code) == code


@given(angry)
def test_defusing_is_undone_when_read_back(text: str) -> None:
    """The model reads its own words as it wrote them."""
    assert strip_our_markup(escape_pings(text)) == text.strip("\n")


def test_code_is_left_as_it_is() -> None:
    """HTML comments, doctypes and includes are no mentions, and stay unchanged."""
    assert escape_pings("<!-- x --> <!DOCTYPE html> #include <stdio.h> a<b <a@b.example>") == (
        "<!-- x --> <!DOCTYPE html> #include <stdio.h> a<b <a@b.example>"
    )


def test_the_dialect() -> None:
    """A rendered piece has no pings; our own small print is recognised."""
    renderer = SlackMarkdown()
    assert renderer.render(Piece("**hi** <!here>")) == "**hi** <\u200b!here>"
    notice = renderer.notice("Stopped by <@U1>")
    assert notice.startswith("_")
    assert notice.endswith("_")
    assert strip_our_markup(f"An answer.\n\n{notice}") == "An answer."
    assert strip_our_markup(f"{notice}\n\nAn answer.") == "An answer."
    assert strip_our_markup(notice) == ""
    assert strip_our_markup("_an answer in italics_") == "_an answer in italics_"


@given(angry | st.text(max_size=9000))
def test_a_body_fits(text: str) -> None:
    """The text beside blocks, and the text without blocks, fit into an edit."""
    shown = with_blocks(text)
    assert len(shown["text"].encode()) <= TEXT_BYTES
    assert len(shown["text"]) <= TEXT_LIMIT
    assert shown["blocks"] == [{"type": "markdown", "text": text}]


@given(st.text(max_size=300), st.integers(0, 200))
def test_cuts_are_clean(text: str, limit: int) -> None:
    """A cut is a prefix, ends at a character and never inside an entity."""
    safe = escape(text)
    cut = cut_to_bytes(safe, limit)
    assert safe.startswith(cut)
    assert escape(unescape(cut)) == cut
    assert len(cut.encode()) <= limit


def test_as_much_as_fits() -> None:
    """A cut leaves out no more than it must."""
    assert cut_to_bytes("a" * 10, 4) == "aaaa"
    assert cut_to_bytes("é" * 10, 5) == "éé"
    assert cut_to_bytes("aa&lt;b", 6) == "aa&lt;"
    assert cut_to_bytes("aa&lt;b", 5) == "aa"
    assert MARKDOWN_LIMIT <= 12_000


@given(st.text())
def test_escaping_is_undone(text: str) -> None:
    """Escaping is reversible."""
    assert unescape(escape(text)) == text


@given(angry | st.text())
def test_mrkdwn_is_never_too_long(text: str) -> None:
    """A text fitting by its escaped length fits as mrkdwn."""
    assert len(from_markdown(text)) <= max(len(escape(text)), TEXT_LIMIT)
    without_room = text + "\n" + "x" * (TEXT_LIMIT - len(escape(text)))
    assert len(from_markdown(without_room)) <= len(escape(without_room))


def test_a_table_becomes_text_as_far_as_there_is_room() -> None:
    """Columns; the table as it was written in a block of code, where they are too long; else as it was."""
    table = "| a | b |\n|---|---|\n| one two | three |"
    columns = "```\na        b\n───────  ─────\none two  three\n```"
    for limit, shown in ((99, columns), (len(table) + 8, f"```\n{table}\n```"), (len(table) + 7, table)):
        assert with_tables_as_text(table, limit=limit) == shown
    assert with_tables_as_text(f"{table}\n\n{table}", limit=999, after=1) == f"{table}\n\n{columns}"


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("## Title\n**bold** text", "*Title*\n*bold* text"),
        ("# A **bold** title\n- *one* ~~two~~\n* __three__ 2 * 3", "*A bold title*\n• _one_ ~two~\n• *three* 2 * 3"),
        ("[a label](https://a.example/x?y=1&z=2)", "<https://a.example/x?y=1&amp;z=2|a label>"),
        ("`**not bold**`", "`**not bold**`"),
        ('[a](https://a.example "`x`") `y`', '[a](https://a.example "`x`") `y`'),
        ("***both*** 說明**區塊**是 **a**, x**b**", "*_both_* 說明\u200b*區塊*\u200b是 *a*, x\u200b*b*"),
        ("## With `co*de*` and [`x` y](https://a.example/(b)) ##", "*With `co*de*` and <https://a.example/(b)|`x` y>*"),
        ("**`x`** \\*y\\* `z` *`i`*", "*`x`* \\*y\\* `z` _`i`_"),
        ("Title\n--\n* * *\n- [x] a\n1. [ ] b\n[x] c", "*Title*\n---\n• ☑ a\n1. ☐ b\n[x] c"),
        (
            '<https://a.example/?b&c> <a@b.example> [t](<https://a.example> "T") <b> [x](javascript:y)',
            "<https://a.example/?b&amp;c> a@b.example <https://a.example|t> &lt;b&gt; [x](javascript:y)",
        ),
        ("```\n# a < b\n```", "```\n# a &lt; b\n```"),
        ("| a    | b |\n|------|--:|\n| **1** | 2 |", "```\na  b\n─  ─\n1  2\n```"),
        ("| a | b |\n|:--|---|\n| one | two & three |", "```\na    b\n───  ───────────\none  two &amp; three\n```"),
    ],
)
def test_mrkdwn(markdown: str, mrkdwn: str) -> None:
    """Where blocks are refused, the plainest markup is Slack's own."""
    assert from_markdown(markdown) == mrkdwn


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        ("hi <@U1> and <@U2|bob> and <@U3>", "hi @Ann and @bob and @U3"),
        ("<https://a.example>", "https://a.example"),
        ("<https://a.example|a.example>", "https://a.example"),
        ("<https://a.example/x|the page>", "the page (https://a.example/x)"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("<#C1|general> <#C2> <#C2|> <#C3> <#C3|> <#C9|#rooms>", "#general #C2 #C2 #lobby #lobby #rooms"),
        ("<!here> <!channel> <!everyone> <!here|here> <!channel|@channel>", "@here @channel @everyone @here @channel"),
        ("<!subteam^S1|@team> <!subteam^S1|team> <!subteam^S1> <!subteam^S2>", "@team @team @S1 @devs"),
        ("<@U2|@bob> <@U1|ann>", "@bob @Ann"),
        ("<tel:+123|+1 23> <tel:+123>", "+1 23 +123"),
        ("<!date^1700000000^{date_num} {time_secs}|then>", "2023-11-14 23:13:20 CET"),
        ("<!date^1700000000^Posted {date}|then>", "Posted 14 November 2023"),
        ("<!date^1700000000^{date_short_pretty} at {time}^https://a.example|then>", "14 Nov 2023 at 23:13 CET"),
        ("<!date^1700000000^{date_long} {unknown}|>", "Tuesday, 14 November 2023 14 November 2023"),
        ("<!date^1700000000>", "14 November 2023 23:13 CET"),
        ("<!date^soon^{date}|some day>", "some day"),
        ("<!date^99999999999999^{date}|some day>", "some day"),
        ("<!date^nan^{date}|some day> <!date^|x> <!date>", "some day x a date"),
        ("a &lt; b &amp;&amp; c &gt; d &amp;lt;", "a < b && c > d &lt;"),
        ("", ""),
        ("<", "<"),
    ],
)
def test_plain(wire: str, text: str) -> None:
    """Slack's text becomes the text its readers see."""
    names = {"U1": "Ann", "C3": "lobby", "S2": "devs"}
    assert plain(wire, names, timezone(timedelta(hours=1), "CET")) == text


@given(st.text() | st.text(alphabet="<>@#!^|dateUCS0123{}:_ \n", max_size=40))
def test_plain_takes_anything(text: str) -> None:
    """No text breaks the reading of it."""
    plain(text, {})
    assert "<@UBOT>" not in without_mention(f"<@UBOT> {text}", "UBOT")


def test_our_mention_is_removed() -> None:
    """The bot's own mention is removed at any position."""
    assert without_mention("<@UBOT> hi", "UBOT") == "hi"
    assert without_mention("hi <@UBOT|bot>, you", "UBOT") == "hi , you"
    assert without_mention("<@UBOT>", "UBOT") == ""
    assert without_mention("<@UBOT>\n  code", "UBOT") == "code"
    assert mentions("<@U1> <@U2|x>") == {"U1", "U2"}


RICH_CELL = {
    "type": "rich_text",
    "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "a|b"}]}],
}
TABLE_BLOCK = {
    "type": "table",
    "rows": [[{"type": "raw_text", "text": "Name"}, {"type": "raw_text", "text": "Qty"}], [RICH_CELL, None], "x"],
    "column_settings": [None, {"align": "right"}],
}
TABLE_READ = "| Name | Qty |\n| --- | ---: |\n| a\\|b |  |\n|  |  |"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"blocks": [{"type": "markdown", "text": "so:"}, TABLE_BLOCK]}, f"so:\n\n{TABLE_READ}"),
        ({"text": "so:", "attachments": [{"blocks": [TABLE_BLOCK, {"type": "actions"}]}, 1]}, TABLE_READ),
        ({"blocks": [{"type": "table", "rows": []}], "text": "x"}, "x"),
        (
            {"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "Title"}}, {"type": "divider"}]},
            "## Title\n\n---",
        ),
        ({"text": "short", "blocks": [{"type": "markdown", "text": "whole &amp; **all**"}]}, "whole &amp; **all**"),
        ({"text": "a &lt; b", "blocks": []}, "a < b"),
        ({"text": "a"}, "a"),
        (
            {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "a &lt; b"}}, {"type": "actions"}]},
            "a < b",
        ),
        ({"blocks": "nonsense", "text": None}, ""),
        (
            {
                "blocks": [
                    {
                        "type": "rich_text",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [
                                    {"type": "text", "text": "Look: "},
                                    {"type": "link", "url": "https://a.example"},
                                ],
                            },
                            {
                                "type": "rich_text_list",
                                "elements": [
                                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}
                                ],
                            },
                            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x = 1"}]},
                        ],
                    }
                ]
            },
            "Look: https://a.example\n- one\n```\nx = 1\n```",
        ),
    ],
)
def test_our_answers_are_read_from_their_blocks(message: dict[str, object], text: str) -> None:
    """The blocks are whole, the text is shortened; Slack may have made rich text of them."""
    assert own_answer(message) == text
