"""Foreign words in our own lines: file names, above all. They are shown in one short line, and do nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.discord.messages.renderer import DiscordMarkdown, without_small_print
from adapters.playground.rendering import PlaygroundMarkdown, to_html
from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from bot.conversation import Ending, Finish, FinishReason, OmittedAttachment, Text
from bot.markdown import PlainMarkdown, Renderer, single_line, utf16_units
from bot.strings import FilledSentence, Strings
from tests.support.fakes import FakeChannel, ScriptedModel, turn
from tests.unit.bot.turns.test_manager import ask

RENDERERS: list[Renderer] = [DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown(), PlainMarkdown()]
renderers = pytest.mark.parametrize("renderer", RENDERERS, ids=lambda each: type(each).__name__)

EVIL = [
    "[click](https://evil.example/x)",
    "a\n-# Stopped.\n# head",
    "\u202egnp.exe\u2066\u2069\u200e\u200f\u061c.txt",
    "\x1b[31mred\x1b[0m\x07\x9b1m.txt",
    "a\u200bb\ufeff\u2063c\u00add.txt",
    "@everyone <@123> <@&5> <#7> <!channel> <!here|x> <https://evil.example|ok>",
    "https://evil.example/a www.evil.example discord.gg/abcdef",
    "**bold** __u__ _i_ ~~s~~ ||spoiler|| `code` ```\nblock",
    "1. list",
    "> quote",
    "# head",
    "&lt;b&gt; <b onclick=x> <script>",
    "![img](http://evil.example/a.png)",
    "\\[a](http://evil.example)",
    "x" * 5000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 200,
    "e" + "\u0301" * 500,
    "\ud800 half",
    "",
    "\u3164\u2800",
]


@given(
    st.one_of(st.text(max_size=300), st.sampled_from(EVIL), st.text("\n\r\u2028\x1b[]()*_`<>@#-\\:/.w1", max_size=99))
)
def test_a_foreign_text_is_one_short_line(text: str) -> None:
    """Nothing that does not show is left, it is never empty nor longer than a line, and flattening it again is idle."""
    line = single_line(text)
    assert 0 < len(line) <= 80
    assert line.isprintable() or " " in line
    assert not {unicodedata.category(letter) for letter in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert single_line(line) == line


def test_shortening_leaves_characters_whole() -> None:
    """A flag, or a letter with its accent, is not cut in two."""
    assert single_line("\U0001f1e9\U0001f1ea" * 60, 8) == "\U0001f1e9\U0001f1ea" * 3 + "…"
    assert single_line("ab" + "e\u0301" * 60, 8) == "ab" + "e\u0301" * 2 + "…"
    assert single_line("report.pdf") == "report.pdf"


@renderers
@given(st.one_of(st.sampled_from(EVIL), st.text("[]()*_`<>@#-\\:/.w1a~|!& \n", max_size=60)))
def test_a_foreign_text_is_shown_and_does_nothing(renderer: Renderer, text: str) -> None:
    """Read as CommonMark, a line with it holds text and nothing else, the same that stood there."""
    told = renderer.escape(text)
    (inline,) = [
        each for each in MarkdownIt("gfm-like", {"linkify": False}).parse(f"a {told} b") if each.type == "inline"
    ]
    assert {each.type for each in inline.children or []} <= {"text", "text_special"}
    shown = "".join(each.content for each in inline.children or [])
    assert shown.replace("\u2039", "<").replace("\u203a", ">").split() == f"a {single_line(text)} b".split()
    assert "://" not in told
    assert "\n" not in told


@renderers
@pytest.mark.parametrize("name", EVIL)
def test_a_line_with_it_is_one_line_of_ours(renderer: Renderer, name: str) -> None:
    """It is small print as a whole, short, cannot ping, and is left out of what the model is told of its answer."""
    line = FilledSentence(Strings().left_out, name=name, why="it is not text")
    notice = renderer.notice(line.escaped(renderer.escape))
    assert "\n" not in notice
    assert utf16_units(notice) < 500
    for active in ("<@", "<!", "<#", "](http", "\u202e", "\x1b"):
        assert active not in notice
    text = f"The answer.\n\n{notice}"
    if isinstance(renderer, DiscordMarkdown):
        assert without_small_print(text) == "The answer."
    elif isinstance(renderer, SlackMarkdown):
        assert strip_our_markup(text) == "The answer."
    elif isinstance(renderer, PlaygroundMarkdown):
        assert to_html(notice).count("<p") == 1
        assert "<a" not in to_html(notice)


def test_ordinary_names_are_left_as_they_are() -> None:
    """Nobody sees a backslash in a platform that does not know it, for a name that needs none."""
    for name in ("report.pdf", "my_file_2.tar.gz", "Foto 1 (2).jpeg", "über-uns.docx", "日本語.txt", "a#b+c=d.md"):
        for renderer in RENDERERS:
            assert renderer.escape(name) == name


@pytest.mark.parametrize("count", [1, 4, 30, 500])
async def test_many_files_that_are_left_out_take_few_lines(count: int) -> None:
    """A few are named and the others counted, in the answer's one message; the answer is whole."""
    files = tuple(OmittedAttachment(f"{number}-" + "x" * 3000, "it is not text") for number in range(count))
    channel, model = FakeChannel(files=files), ScriptedModel([Text("All good."), Finish(FinishReason.STOP)])
    core = await ask(model, channel, turn())
    (body,) = channel.shown.values()
    lines = body.text.split("\n\n")
    assert lines[0] == "All good."
    assert len(lines) == 1 + min(count, 4)
    assert (f"{count - 3} more" in lines[-1]) == (count > 4)
    assert core.journal.endings == [Ending.DONE]
    assert Strings().cut not in body.text


async def test_a_line_is_never_too_long_for_a_message() -> None:
    """However short messages are: the answer is whole, and each of our lines fits."""
    files = (OmittedAttachment("[" * 3000, "it is not text"),)
    channel, model = FakeChannel(limit=60, files=files), ScriptedModel([Text("All good."), Finish(FinishReason.STOP)])
    core = await ask(model, channel, turn())
    assert "All good." in channel.text
    assert core.journal.endings == [Ending.DONE]
