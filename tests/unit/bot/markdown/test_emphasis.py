"""What a model wrote is displayed as it meant it, by each platform's own rules, at any moment and at any cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.discord.messages.renderer import DiscordMarkdown, without_small_print
from adapters.playground.rendering import PlaygroundMarkdown, to_html
from adapters.slack.messages.mrkdwn import from_markdown
from adapters.slack.messages.renderer import SlackMarkdown, strip_our_markup
from bot.markdown import Piece, Renderer, Splitter, utf16_units
from tests.servers import discord_reader

COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200d\u2060"))
DISCORD, SLACK, PLAYGROUND = DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown()


def in_commonmark(text: str) -> tuple[str, str]:
    """All words, and those that are bold, as CommonMark reads a text."""
    everything, bold, depth = "", "", 0
    for token in COMMONMARK.parse(text):
        for child in token.children or []:
            depth += child.nesting if child.type.startswith("strong_") else 0
            everything += child.content if not child.type.endswith("_close") else ""
            bold += child.content if depth else ""
    return everything.translate(NO_WIDTH), bold.translate(NO_WIDTH)


def in_discord(text: str) -> tuple[str, str]:
    """The same as Discord reads it."""
    return discord_reader.visible(text), discord_reader.words_in(text, "strong")


Read = Callable[[str], tuple[str, str]]
READERS: list[tuple[Renderer, Read]] = [(DISCORD, in_discord), (SLACK, in_commonmark), (PLAYGROUND, in_commonmark)]


def shown(renderer: Renderer, source: str) -> str:
    """What is sent for a text that has just come so far."""
    splitter = Splitter(lambda piece: utf16_units(piece.closed()) + renderer.padding(piece), 1_900)
    splitter.feed(source)
    pieces = splitter.pieces()
    return renderer.render(pieces[-1].shown()) if pieces else ""


BOLD = [
    ("**标签：**正文", "标签："),
    ("は**「大事」**な", "「大事」"),
    ('**"중요"**합니다', '"중요"'),
    ("이것은 **'중요'**하고 **[강조]**입니다", "'중요'[강조]"),
    ("**（注意）**文", "（注意）"),
    ("**A（b）**c", "A（b）"),
    ("**Note:**text and **more.**x", "Note:more."),
    ("**(sic!)**x", "(sic!)"),
    ("**标签：**、后", "标签："),
    ("**标签**：正文**重点：**后**第二：**尾", "标签重点：第二："),
    ("1. **步骤：**做这个\n2. **结果：**好了", "步骤：结果："),
    ("> **引用：**正文", "引用："),
    ("说**“引号”**后", "“引号”"),
    ("**50%**的人", "50%"),
    ("**大事。**🔥", "大事。"),
    ("**热🔥**后", "热🔥"),
    ("__「大事」__な", "「大事」"),
    ("__bold__ word", "bold"),
    ("标签**_x_**后", "x"),
    ("**a *b。***c", "a b。"),
    ("***「重要」***だ", "「重要」"),
    ("**`code`**中文", "code"),
    ("API**（接口）**的", "（接口）"),
]


@pytest.mark.parametrize(("renderer", "read"), READERS)
@pytest.mark.parametrize(("source", "bold"), BOLD)
def test_bold_without_spaces(renderer: Renderer, read: Read, source: str, bold: str) -> None:
    """The words are bold wherever punctuation stands at a mark, and no mark is seen, at any character."""
    everything, strong = read(renderer.render(Piece(source)))
    assert strong == bold
    for end in range(1, len(source) + 1):
        everything, _ = read(shown(renderer, source[:end]))
        assert not set("*_`") & set(everything), source[:end]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("**标签：**正文", "*标签：*\u200b正文"),
        ("は**「大事」**な", "は\u200b*「大事」*\u200bな"),
        ('**"중요"**합니다', '*"중요"*\u200b합니다'),
        ("这是*强调*了", "这是\u200b_强调_\u200b了"),
        ("~~删除线。~~后", "~删除线。~\u200b后"),
        ("***「重要」***だ", "*_「重要」_*\u200bだ"),
        ("## 一**二**三", "*一二三*"),
        ("[**标签：**正文](https://a.example)", "<https://a.example|*标签：*\u200b正文>"),
        ("2*3*4 and 5*x*", "2*3*4 and 5*x*"),
    ],
)
def test_slack_text_sets_marks_apart(source: str, text: str) -> None:
    """Slack's own format needs a boundary outside of its marks, and none inside."""
    assert from_markdown(SLACK.render(Piece(source))) == text


@pytest.mark.parametrize("source", ["这是*强调。*了", "~~删除线。~~后", "*「强调」*后", "是`代码`和**粗**"])
@pytest.mark.parametrize(("renderer", "read"), READERS)
def test_other_marks_without_spaces(renderer: Renderer, read: Read, source: str) -> None:
    """The same for italics, what is struck, and code."""
    everything, _ = read(renderer.render(Piece(source)))
    assert everything == re.sub(r"[*~`]", "", source)


WORDS = st.text(alphabet="标签中文はな한", min_size=1, max_size=4)
OPENING = st.sampled_from(["", "「", "（", '"', "“", "["])
CLOSING = st.sampled_from(["", "：", "。", "」", "）", '"', "!", "%"])
STRONG = st.tuples(OPENING, WORDS, CLOSING).map("".join).map(lambda words: f"**{words}**")
TEXT = st.lists(st.one_of(WORDS, STRONG, STRONG, st.sampled_from([" ", "，", "、", ". "])), min_size=1, max_size=24)


def well_marked(parts: list[str]) -> str:
    """The parts as one text, in which no two marks touch."""
    return re.sub(r"\*{4}", "** **", "".join(parts)).strip()


@given(TEXT.map(well_marked), st.integers(120, 200), st.lists(st.integers(1, 9), max_size=12))
@example("标签**「a」**b**c：**d", 120, [])
@example(
    "**["
    + "な" * 3
    + "**"
    + "な" * 24
    + '**な** **な：**なななな**"なななな：**な**な** なななな**なななな**なななな**"なななな：**',
    120,
    [],
)
@example(
    "な" * 32 + "**なななな** **[な：**ななな**なな：**な**な** **なななな** **なななな：** **「なななな：**なななな",
    120,
    [],
)
@example(
    "中한中文한文中签**「中한。**なな签文なな签文**“文한。** **“文한。** **な**한文中签**「中한。**なな签文なな签文**"
    "“文한。** **“文한。** **「한签。**标は中标한は文はな签は",
    120,
    [1],
)
def test_no_mark_is_seen_in_any_state_or_piece(source: str, limit: int, sizes: list[int]) -> None:
    """However it came and is cut: marks are seen by no reader, and every word is there."""
    for renderer, read in READERS:
        splitter, at = Splitter(partial(room, renderer), limit), 0
        for size in [*sizes, len(source)]:
            splitter.feed(source[at : at + size])
            at += size
            if pieces := splitter.pieces():
                assert "*" not in read(renderer.render(pieces[-1].shown()))[0]
        texts = [renderer.render(piece) for piece in splitter.pieces()]
        seen = "".join(read(text)[0] for text in texts)
        assert "".join(seen.split()) == "".join(source.replace("**", "").split())


def room(renderer: Renderer, piece: Piece) -> int:
    return utf16_units(piece.closed()) + renderer.padding(piece)


# ---------------------------------------------------------------------------------------------------------- Discord


def code_of(text: str) -> list[str]:
    return [seen.translate(NO_WIDTH) for seen, where in discord_reader.read(text) if "block" in where]


@pytest.mark.parametrize(
    ("source", "code", "language"),
    [
        ("```md\nuse ``` here\n```", "use ``` here", "md"),
        ("````md\n```py\nx\n```\n````", "```py\nx\n```", "md"),
        ("`````\n````\n```\n````\n`````", "````\n```\n````", ""),
        ("~~~html\n<pre>```</pre>\n~~~", "<pre>```</pre>", "html"),
        ("~~~\n~~\n~~~", "~~", ""),
        ('```python title="a b.py"\nx\n```', "x", "python"),
        ("```rust,no_run\nx\n```", "x", "rust"),
        ("```{.python .numberLines}\nx\n```", "x", "python"),
        ("```c++ {1}\nx\n```", "x", "c++"),
        ("``` js\nx\n```", "x", "js"),
        ("> ```py\n> a ``` b\n> ```", "a ``` b", "py"),
        (">```py\n>x\n>```", "x", "py"),
        ("```py\n>>> print(1)\n1\n```", ">>> print(1)\n1", "py"),
        ("```\n> a\n>> b\n__c__ || d\n```", "> a\n>> b\n__c__ || d", ""),
    ],
)
def test_code_in_discord(source: str, code: str, language: str) -> None:
    """One block shows all of the code, and nothing but it, with its language alone."""
    text = DISCORD.render(Piece(source))
    assert code_of(text) == [code]
    assert discord_reader.words_in(text, f"language {language}").translate(NO_WIDTH) == code
    assert discord_reader.visible(text).translate(NO_WIDTH).strip() == code


def test_backticks_in_prose_open_no_block() -> None:
    """Three of them in a sentence do not take the next block's for their partner."""
    text = DISCORD.render(Piece("Write ``` first.\n\n```py\nx = 1\n```\n\nThen go on."))
    assert code_of(text) == ["x = 1"]


@pytest.mark.parametrize(
    ("source", "quoted", "rest"),
    [
        ("> a\n>\n> b\n\nc", "a\n\nb\n", "c"),
        (">a\n>b", "a\nb", ""),
        (">> a\n\nb", "│ a\n", "b"),
        ("> > a\n> b\n\nc", "│ a\nb\n", "c"),
        (">>> a\n\nb", "│ │ a\n", "b"),
        (">>>a\nb", "│ │ a\n", "b"),
        ("> a\n>\n\nb", "a\n", "b"),
        ("a\n>\n> b", "b", "a"),
        ("> a<br>b\n\nc", "a\nb\n", "c"),
        (">= 5 and >_< stay", "", ">= 5 and >_< stay"),
    ],
)
def test_quotes_in_discord(source: str, quoted: str, rest: str) -> None:
    """A quote has its lines and no others, none of them shows its mark, and it ends."""
    text = DISCORD.render(Piece(source))
    assert discord_reader.words_in(text, "quote").strip() == quoted.strip()
    assert "".join(seen for seen, where in discord_reader.read(text) if "quote" not in where).strip() == rest


@pytest.mark.parametrize(
    ("source", "seen", "kinds"),
    [
        ("__bold__", "bold", {"strong"}),
        ("___both___", "both", {"strong", "em"}),
        ("__a **b** c__", "a b c", {"strong"}),
        ("__init__.py and __main__", "__init__.py and __main__", set()),
        ("a || b || c", "a || b || c", set()),
        ("if (a||b||c) x", "if (a||b||c) x", set()),
        ("a ||| b ||| c", "a ||| b ||| c", set()),
        ("it was ||the butler||.", "it was the butler.", {"spoiler"}),
        ("5 ** 3 and 2 ** 4", "5 ** 3 and 2 ** 4", set()),
        ("2**(n-1) and 2**(n-2)", "2**(n-1) and 2**(n-2)", set()),
        ("*a, *b; void (*call)(int)", "*a, *b; void (*call)(int)", set()),
    ],
)
def test_marks_in_discord(source: str, seen: str, kinds: set[str]) -> None:
    """Marks that Discord gives another meaning to, or pairs by itself, have the meaning that the model knew."""
    read = discord_reader.read(DISCORD.render(Piece(source)))
    assert "".join(text for text, _ in read) == seen
    assert set().union(*(where for _, where in read)) == kinds


@pytest.mark.parametrize("renderer", [DISCORD, SLACK, PLAYGROUND])
@pytest.mark.parametrize(
    ("source", "label", "address"),
    [
        ("See <https://x.example/a|the page> now", "the page", "https://x.example/a"),
        ("See <https://x.example/a|page>.", "page", "https://x.example/a"),
        ("**<https://x.example/a|page>**", "page", "https://x.example/a"),
        ("见<https://x.example/a|文档>。", "文档", "https://x.example/a"),
    ],
)
def test_links_as_slack_writes_them(renderer: Renderer, source: str, label: str, address: str) -> None:
    """They are links with their label everywhere."""
    text = renderer.render(Piece(source))
    assert f"[{label}]({address})" in text
    assert "|" not in text
    assert f"<{address}|{label}>" in from_markdown(SLACK.render(Piece(source)))
    assert renderer.render(Piece(f"`{source}`")) == f"`{source}`"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("[https://a.example](https://a.example)", "https://a.example"),
        ("[https://a.example](https://a.example/)", "https://a.example/"),
        ("见[https://a.example](https://a.example)，后", "见<https://a.example>，后"),
        ("[http://a.example/x](https://b.example/y)", "a.example/x (https://b.example/y)"),
        ("[the page](https://a.example)", "[the page](https://a.example)"),
        ("<https://x.example|https://x.example>", "https://x.example"),
    ],
)
def test_a_link_whose_text_is_an_address(source: str, text: str) -> None:
    """Discord would show it as it was typed: it is written as the address."""
    assert DISCORD.render(Piece(source)) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (">>> a\n\nb", "&gt; │ │ a\n\nb"),
        ("> a\n>\n>> b", "&gt; a\n&gt; \n&gt; │ b"),
        ("````md\n```\nx\n```\n````", "```md\n``\u200b`\nx\n``\u200b`\n```"),
        ("~~~\nx\n~~~", "```\nx\n```"),
    ],
)
def test_slack_text_knows_one_fence_and_one_quote(source: str, text: str) -> None:
    """What follows is neither quoted nor code."""
    assert from_markdown(SLACK.render(Piece(source))) == text


@pytest.mark.parametrize("source", ["は**「大事」**な", "~~删除线。~~后", "````\n```\n````"])
def test_the_model_does_not_see_what_was_added(source: str) -> None:
    """An answer that is read back has none of our zero-width spaces."""
    assert strip_our_markup(SLACK.render(Piece(source))) == source
    assert "\u200b" not in without_small_print(DISCORD.render(Piece(source)))


def test_the_playground_shows_the_same() -> None:
    """The page's own reader sees bold words and links, too."""
    html = to_html(PLAYGROUND.render(Piece("**标签：**正文 <https://a.example|so>")))
    assert "<strong>标签：\u200b</strong>正文" in html
    assert '<a href="https://a.example"' in html
