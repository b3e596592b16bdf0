"""Which files go up with an answer: its rest where it takes too many messages, and code longer than a message.

What belongs here: that rule, on the answer's source. What does not: how much of an answer its messages show
(`bot.delivery.reply`), what a block of code is (`bot.markdown`), and how a file goes up (the adapters).
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from bot.markdown.code_blocks import STEP, CodeBlock, find_code_blocks_in_steps, run_steps
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.tables import open_table_header
from bot.ports import Channel, Upload

# Files of one message: Discord takes ten (https://docs.discord.com/developers/resources/message#create-message).
MAX_FILES = 10

# A look at a block of code costs as much as so many of its characters.
_BLOCK_COST = 32


def uploads(
    source: str, shown: int, is_long: Callable[[str], bool], reference: str, *, finished: bool = True
) -> tuple[Upload, ...]:
    """The files of an answer of which the messages show the first `shown` characters.

    `is_long` says whether a text takes more than one message. Of what is not shown, all is in the first file: as the
    model wrote it, or, where it is nothing but code, as the whole block that it is of. The others are the blocks that
    are too long for a message, though messages show them too. `reference` is part of each name, by which a platform
    finds the message again. Unless the answer is `finished`, a block that its end has cut is none.
    """
    return run_steps(uploads_in_steps(source, shown, is_long, reference, finished=finished))


def uploads_in_steps(
    source: str, shown: int, is_long: Callable[[str], bool], reference: str, *, finished: bool
) -> Generator[None, None, tuple[Upload, ...]]:
    """The same, a step at a time: an answer may have a million characters, and others wait."""
    blocks = yield from find_code_blocks_in_steps(source)
    found: list[Upload] = []
    left = _unposted_block(source, shown, blocks)
    rest = _standalone_rest(source, shown, blocks)
    code = (yield from left.code_in_steps(source)) if left is not None else ""
    if left is not None and code.strip():
        found.append(Upload(_name("code", reference, left.extension), code, rest))
    elif left is None and rest:
        found.append(Upload(_name("answer", reference, "md"), replace_placeholders(rest), replace_placeholders(rest)))
    cost = 0
    for block in blocks:
        cost += _BLOCK_COST + block.next_line - block.opening_line
        if cost > STEP:
            cost = 0
            yield
        if (
            block is left
            or not (block.is_closed or finished)
            or not is_long(source[block.opening_line : block.next_line])
        ):
            continue
        code = yield from block.code_in_steps(source)
        if not code.strip():
            continue
        if len(found) == MAX_FILES:
            break
        number = 1 + sum(each.name.startswith("code-") for each in found)
        found.append(Upload(_name("code", reference, block.extension, number), code))
    return tuple(found)


def _name(kind: str, reference: str, extension: str, number: int = 1) -> str:
    return f"{kind}-{reference}{'' if number == 1 else f'-{number}'}.{extension}"


def _unposted_block(source: str, shown: int, blocks: list[CodeBlock]) -> CodeBlock | None:
    """The block of code that all is of which is not shown, if there is one."""
    if not source[shown:].strip():
        return None
    block = next((block for block in blocks if shown < block.end), None)
    if block is None or source[shown : max(shown, block.opening_line)].strip() or source[block.next_line :].strip():
        return None
    return block


def _standalone_rest(source: str, shown: int, blocks: list[CodeBlock]) -> str:
    """What is not shown as a text of its own: its block of code reopened, its table with its header."""
    rest = source[shown:]
    within = next((block for block in blocks if block.start <= shown < block.next_line), None)
    if within is None:
        text = rest.lstrip("\n") if rest.strip() else ""
        return open_table_header(source[:shown]) + text if text.startswith("|") else text
    if within.end <= shown or not source[shown : within.end].strip():  # its code ended in the message before
        return source[within.next_line :].lstrip("\n")
    fence = within.fence
    return f"{fence.prefix}{fence.marker}{fence.info}\n{rest}"


class FileUploads:
    """Whether files may still go up with an answer, after rejections and failures."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._failures = 0
        self._given_up = False

    @property
    def allowed(self) -> bool:
        """Whether any file may go up."""
        return bool(self._channel.caps.files) and not self._given_up

    def accepts(self, file: Upload) -> bool:
        """Whether a file of this size may go up."""
        return self.allowed and len(file.data) <= self._channel.caps.files

    def give_up(self) -> None:
        """Continue without files: the platform rejected one."""
        self._given_up = True

    def record_failure(self, most: int) -> None:
        """Count a failed write with files; after `most` of them, continue without."""
        self._failures += 1
        self._given_up = self._given_up or self._failures >= most
