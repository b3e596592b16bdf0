"""Our own lines under an answer, as small print."""

from __future__ import annotations

from collections.abc import Iterable

from bot.conversation import Ending
from bot.delivery.writes import DesiredMessage
from bot.errors import RejectionReason
from bot.ports import Body, Channel
from bot.strings import FilledSentence, Strings

# A line of ours is not cut to less than this, in characters.
_MIN_NOTICE_LENGTH = 10


class Notices:
    """The notices of one answer. `reference` names its turn in the log."""

    def __init__(self, channel: Channel, strings: Strings, reference: str) -> None:
        self.strings = strings
        self.reference = reference
        self.lines: list[str] = []
        self.ending_line = ""  # how the answer ended; empty for a whole one
        self._channel = channel

    def add(self, line: str) -> None:
        """Show a line under the ended answer; foreign text in it is escaped."""
        escape = self._channel.caps.renderer.escape
        self.lines.append(line.escaped(escape) if isinstance(line, FilledSentence) else line)

    def for_ending(self, ending: Ending, reason: RejectionReason | None = None, *, partial: bool = True) -> str:
        """The line for an ending; `partial`: some of the answer is shown."""
        return self.strings.ending(ending, self.reference, reason, partial=partial)

    def for_kept_answer(self, line: str) -> str:
        """The line behind an earlier answer that stays, since a new one ended with `line` and without text."""
        return f"{self.strings.kept} {line}".strip()

    @property
    def rejected(self) -> str:
        """The line for an answer rejected by the platform."""
        return self.strings.refused.format(reference=self.reference)

    def small_print(self, line: str) -> str:
        """A line rendered as small print, shortened until it fits a message."""
        caps = self._channel.caps
        notice = caps.renderer.notice(line)
        while caps.measure(notice) > caps.limit and len(line) > _MIN_NOTICE_LENGTH:
            line = line[: len(line) // 2].rstrip("\\ ") + "…"
            notice = caps.renderer.notice(line)
        return notice

    def reserved_room(self) -> int:
        """Room for our lines in the last permitted message: at most half of it."""
        endings = [self.for_ending(ending) for ending in Ending]
        lines = [*self.lines, self.strings.limit, max(endings, key=len)]
        caps = self._channel.caps
        return min(sum(caps.measure(f"\n\n{self.small_print(line)}") for line in lines), caps.limit // 2)

    def place(
        self, desired: list[DesiredMessage], lines: Iterable[str], *, sealed_count: int, is_full: bool
    ) -> list[DesiredMessage]:
        """Add lines under the last message, or in another message if they do not fit.

        The first `sealed_count` messages stay as they are. If the answer `is_full`, lines without room are left out,
        except the last.
        """
        caps = self._channel.caps
        lines = [line for line in lines if line]
        for number, line in enumerate(lines, 1):
            notice = self.small_print(line)
            last = desired[-1] if desired else DesiredMessage(Body(""), 0)
            together = f"{last.body.text}\n\n{notice}".lstrip("\n")
            if len(desired) > sealed_count and caps.measure(together) <= caps.limit:
                desired[-1:] = [DesiredMessage(Body(together, files=last.body.files), last.covers)]
            elif number == len(lines) or not is_full:
                desired.append(DesiredMessage(Body(notice), last.covers))
        return desired

    def frozen(self, bodies: list[Body], covers: int) -> list[DesiredMessage]:
        """Posted messages as they are, with a rejection notice in a message of its own: edits may be rejected too."""
        shown = [*bodies, Body(self.small_print(self.rejected))]
        return [DesiredMessage(body, covers) for body in shown]

    def stopped(self, bodies: list[Body], covers: int) -> list[DesiredMessage]:
        """Posted messages as they are, with a stop notice under the last, or behind it if it does not fit."""
        caps = self._channel.caps
        notice = caps.renderer.notice(self.for_ending(Ending.STOPPED))
        together = Body(f"{bodies[-1].text}\n\n{notice}")
        fits = caps.measure(together.text) <= caps.limit and not bodies[-1].files
        shown = [*bodies[:-1], *([together] if fits else [bodies[-1], Body(notice)])]
        return [DesiredMessage(body, covers) for body in shown]
