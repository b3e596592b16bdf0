"""Answers as models write them, made by hand, and what each platform is sent for them, each looked at by eye once.

What belongs here: `<name>.md`, an answer; beside it what is sent for it, one file for each of `PLATFORMS`, all its
messages with a line of `CUT` between them. What does not: properties that hold for any text (the `test_markdown_*`).

`python -m tests.golden --write` makes the files anew after a change: read the difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.discord.messages.renderer import MESSAGE_LIMIT, DiscordMarkdown
from adapters.playground.rendering import PlaygroundMarkdown, to_html
from adapters.slack.messages.blocks import MARKDOWN_LIMIT
from adapters.slack.messages.mrkdwn import TEXT_LIMIT, escaped_length, from_markdown
from adapters.slack.messages.renderer import SlackMarkdown
from bot.markdown import Piece, Renderer, Splitter, utf16_units

FOLDER = Path(__file__).parent

# Between two messages; no answer holds such a line.
CUT = "=" * 40 + " the next message " + "=" * 40


@dataclass(frozen=True, slots=True)
class Surface:
    """How a platform is written to: as its channel does it, with `sent` for what becomes of a text on the way."""

    renderer: Renderer
    limit: int
    measure: Callable[[str], int] = utf16_units
    sent: Callable[[str], str] = str

    def splitter(self) -> Splitter:
        """As `bot.delivery.reply` makes it."""
        return Splitter(self._measured, self.limit)

    def _measured(self, piece: Piece) -> int:
        return self.measure(piece.closed()) + self.renderer.padding(piece)


# By the ending of their files: Slack's `text` is where blocks are refused.
PLATFORMS: Mapping[str, Surface] = {
    "discord.txt": Surface(DiscordMarkdown(), MESSAGE_LIMIT),
    "slack.txt": Surface(SlackMarkdown(), MARKDOWN_LIMIT),
    "slack-text.txt": Surface(SlackMarkdown(), TEXT_LIMIT, escaped_length, from_markdown),
    "playground.html": Surface(PlaygroundMarkdown(), MESSAGE_LIMIT, sent=to_html),
}


def names() -> list[str]:
    """All answers."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def answer(name: str) -> str:
    """One answer, as a model ends it: without a line break."""
    return (FOLDER / f"{name}.md").read_text().removesuffix("\n")


def golden(name: str, platform: str) -> Path:
    """Where what a platform is sent is kept."""
    return FOLDER / f"{name}.{platform}"


def chunks(text: str, size: int) -> Iterator[str]:
    """`text` in pieces of so many characters."""
    return (text[at : at + size] for at in range(0, len(text), size))


def shown(surface: Surface, splitter: Splitter) -> list[str]:
    """The messages of an answer that has ended."""
    return [text for piece in splitter.pieces() if (text := surface.renderer.render(piece))]


def rendered(text: str, surface: Surface) -> str:
    """A golden file's content for an answer."""
    splitter = surface.splitter()
    splitter.feed(text)
    return f"\n{CUT}\n".join(map(surface.sent, shown(surface, splitter))) + "\n"
