"""What Discord cannot show becomes what it can; nothing is over the limit, however the text came."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.messages.renderer import DiscordMarkdown
from adapters.playground.rendering import PlaygroundMarkdown
from adapters.slack.messages.renderer import SlackMarkdown
from bot.markdown import Piece, PlainMarkdown, Renderer, Splitter, utf16_units

TABLE = "| Name | Qty | Price |\n|:-----|----:|:-----:|\n| **Apple** | 3 | 1.20 |\n| `fig` | 12 | 3 |\n"
WIDE = "| Name | What is to be said of it |\n|---|---|\n| Apple | " + "a fruit " * 6 + "|\n| Fig | sweet |\n"


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("# One\n## Two\n### Three", "# One\n## Two\n### Three"),
        ("#### Four\n##### **Five** ##", "**Four**\n**Five**"),
        ("Title\n=====\n\nNext\n----\ntext", "# Title\n\n## Next\ntext"),
        ("a\n\n***\n\nb", f"a\n\n{'─' * 12}\n\nb"),
        ("a\n\n---", "a"),
        ("- [ ] one\n- [x] two\n+ three\n4) four", "- ☐ one\n- ☑ two\n- three\n4. four"),
        ("![a cat](https://a.example/c.png) ![](https://a.example/d.png)",
         "[a cat](https://a.example/c.png) [image](https://a.example/d.png)"),
        ("Said[^1] so[^b].\n\n[^1]: By *them*.", "Said¹ so(b).\n\n¹ By *them*."),
        ("9:15 + 2:50 (see § 4 (2) b) - [x] 1) + 2", "9:15 + 2:50 (see § 4 (2) b) - [x] 1) + 2"),
        ("> + a\n> 2) b + c", "> - a\n> 2. b + c"),
        ("[`code` as **text**](https://a.example) [![b](https://b.example/i.png)](https://b.example)",
         "[`code` as **text**](https://a.example) [b](https://b.example)"),
        ("x[^1][^2] [a][b] `[a]`", "x¹² [a][b] `[a]`"),
        ("[Raft] and [the paper][1], [1][], [none].\n\n[1]: <https://a.example/p> \"T\"\n[raft]: https://a.example/r",
         "[Raft](https://a.example/r) and [the paper](https://a.example/p), [1](https://a.example/p), [none]."),
        ("See\n[1]: https://a.example/p", "See\n[1]: https://a.example/p"),
        ("a &amp; b &lt;p&gt; &euro;3 &#42;x&#42; &nosuch; &amp `&lt;` &amp;lt;",
         "a & b <p> €3 \\*x\\* &nosuch; &amp `&lt;` &amp;lt;"),
        ("<b>a</b> <kbd>Q</kbd><br>H<sub>2</sub>O <div>x</div> List<String> `<b>`<!-- c -->",
         "**a** `Q`\nH_2O x List<String> `<b>`"),
        ("a\n<details>\nb | c<br>d", "a\nb | c d"),
        ("# One #\ntwo\\\nthree", "# One\ntwo\nthree"),
        ("> Key | B\n> --- | --\n> x | y\n\nz | a", "> ```\n> Key  B\n> ───  ─\n> x    y\n> ```\n\nz | a"),
        ("- x\n\n      | a |\n      |---|\n      | b |", "- x\n\n```\na\n─\nb\n```"),
        ("    | a |\n    |---|\n    | b |", "    | a |\n    |---|\n    | b |"),
        ("| a |\n|---|\n| [x][1] &amp; |\n| " + "y " * 50 + "|\n\n[1]: https://a.example",
         "**[x](https://a.example) &**\n**" + ("y " * 50).strip() + "**"),
        ("`![a](b)` and `[^1]`", "`![a](b)` and `[^1]`"),
        ("```md\n#### x\n| a |\n|---|\n| b |\n---\nx\n```", "```md\n#### x\n| a |\n|---|\n| b |\n---\nx\n```"),
        (TABLE, "```\nName   Qty  Price\n─────  ───  ─────\nApple    3  1.20\nfig     12    3\n```"),
        ("so:\n\n" + WIDE, "so:\n\n**Apple**\n- What is to be said of it: " + ("a fruit " * 6).strip()
         + "\n**Fig**\n- What is to be said of it: sweet"),
        ("| a |\n|---|\n| [x](https://a.example) |", "**[x](https://a.example)**"),
        ("| a | b |\nno table", "| a | b |\nno table"),
        ("| 日本 | b |\n|---|---|\n| x | y |", "```\n日本  b\n────  ─\nx     y\n```"),
    ],
)  # fmt: skip
def test_discord(source: str, seen: str) -> None:
    """Headings, rules, tasks, images, footnotes and tables are shown by what Discord has."""
    assert DiscordMarkdown().render(Piece(source)) == seen


PARTS = [
    "word ", "x", " ", "**", "*", "_", "`", "~~", "[a](https://a.example) ", "![](x) ", "\n", "\n", "\n\n", "- ", "> ",
    "1. ", "#### ", "---\n", "===\n", "| a | b |\n|---|:-:|\n| **c** | d |\n", "| e |", "|", "\n| x | y |\n", "```\n",
    "[^1]", "[^1]: ", "[l]", "[t][l]", "\n[l]: https://b.example", "&lt;", "<br>",
    "||", "__", "___", "***", "``", "```", "```x", "````md\n", "````\n", "~~~\n", ">", ">> ", ">>> ", "\n>", "\n> ",
    "<https://c.example|c d>", "[https://d.example](https://d.example)", "「", "」", "：", "正文", "는", '"', "(", ")",
    "__init__", "left-out-image:1/png", "[m](left-out-address:2/d.example)", "\\||", "~",
    "<b>", "e | f", "\n--- | ---\n", "日本", "👍", "<!channel>", "<@U1>", "é", "\\",
]  # fmt: skip
SOURCE = st.lists(st.sampled_from(PARTS), max_size=120).map("".join)
RENDERERS: list[Renderer] = [PlainMarkdown(), DiscordMarkdown(), SlackMarkdown(), PlaygroundMarkdown()]


def room(renderer: Renderer, piece: Piece) -> int:
    """What a piece is measured by, as `bot.delivery.reply` does."""
    return utf16_units(piece.closed()) + renderer.padding(piece)


@pytest.mark.parametrize("renderer", RENDERERS)
@given(source=SOURCE, limit=st.integers(100, 400), sizes=st.lists(st.integers(1, 30), max_size=40))
def test_any_chunking_gives_the_same_segments_that_fit(
    renderer: Renderer, source: str, limit: int, sizes: list[int]
) -> None:
    """Whatever the chunks: joined they are the source, each fits as it is shown at any time, none changes later."""
    splitter, start = Splitter(partial(room, renderer), limit), 0
    before: list[str] = []
    for size in [*sizes, len(source)]:
        splitter.feed(source[start : start + size])
        start += size
        pieces = splitter.pieces()
        texts = [renderer.render(piece) for piece in pieces]
        assert texts[: max(len(before) - 1, 0)] == before[: max(len(before) - 1, 0)]
        assert all(utf16_units(text) <= limit for text in texts)
        assert all(utf16_units(renderer.render(piece.shown())) <= limit for piece in pieces[-1:])
        before = texts
    once = Splitter(partial(room, renderer), limit)
    once.feed(source)
    assert [renderer.render(piece) for piece in once.pieces()] == before
    assert "".join(piece.source for piece in once.pieces()) == source


@pytest.mark.parametrize("renderer", RENDERERS)
@given(source=SOURCE)
@example(source="word ~~~\n```\n")
@example(source="| a | b |\n|---|:-:|\n| **c** | d |\n|日本")
@example(source="| a | b |\n|---|:-:|\n" + "| a | b |\n" * 15 + "| **")
@example(source="| a | b |\n|---|---|\n| wide | d |\n| e\u0301\u0301\u0301\u0301\u0301 | 👨\u200d👩 |")
def test_the_room_kept_for_a_piece_only_grows(renderer: Renderer, source: str) -> None:
    """So the longest piece that fits can be searched for, and does not depend on how the text came."""
    sizes = [room(renderer, Piece(source[:end])) for end in range(len(source) + 1)]
    assert sizes == sorted(sizes)


CELL = st.text(alphabet="ab *日\u0301\u200d👨👩", max_size=9)


@given(st.lists(st.tuples(CELL, CELL), min_size=2, max_size=5))
def test_a_table_is_not_longer_than_the_room_kept_for_it(rows: list[tuple[str, str]]) -> None:
    """Accents and joiners are units that take no column; whatever the other rows are, there is room for them."""
    head, *body = (f"| {first} | {second} |" for first, second in rows)
    piece = Piece("\n".join([head, "|---|:-:|", *body]))
    assert utf16_units(DiscordMarkdown().render(piece)) <= room(DiscordMarkdown(), piece)


@given(source=SOURCE)
@example(source="#### #### #### <b>")
@example(source="\n><br>\nword ")
@example(source="\\[https://d.example](https://d.example)\\<br>---\n")
def test_what_discord_shows_is_shown_alike_again(source: str) -> None:
    """What is rendered has nothing left that would be rendered otherwise."""
    renderer = DiscordMarkdown()
    once = renderer.render(Piece(source))
    twice = renderer.render(Piece(once))
    assert renderer.render(Piece(twice)) == twice
