"""Files for a long answer: the rest of its text, and code blocks longer than a message."""

from __future__ import annotations

from collections.abc import Callable, Generator

from bot.markdown.code_blocks import STEP, CodeBlock, find_code_blocks_in_steps, run_steps
from bot.markdown.placeholders import replace_placeholders
from bot.markdown.tables import open_table_header
from bot.ports import Channel, Upload

# Files of one message: Discord takes ten (https://docs.discord.com/developers/resources/message#create-message).
MAX_FILES = 10

# Cost of visiting a code block, in characters.
_BLOCK_COST = 32


def uploads(
    source: str, shown: int, is_long: Callable[[str], bool], reference: str, *, finished: bool = True
) -> tuple[Upload, ...]:
    """The files of an answer whose messages show the first `shown` characters.

    `is_long`: a text takes more than one message. The first file holds the rest of the answer: as markdown, or, if the
    rest is only code, as the whole code block. Each further file holds a code block too long for a message, although
    messages show it too. `reference` is part of each name, so that a platform finds the message again. Unless the
    answer is `finished`, a code block cut by its end gets no file.
    """
    return run_steps(uploads_in_steps(source, shown, is_long, reference, finished=finished))


def uploads_in_steps(
    source: str, shown: int, is_long: Callable[[str], bool], reference: str, *, finished: bool
) -> Generator[None, None, tuple[Upload, ...]]:
    """The same in steps, since an answer may have a million characters and other tasks wait."""
    blocks = yield from find_code_blocks_in_steps(source)
    found: list[Upload] = []
    unposted = _unposted_block(source, shown, blocks)
    rest = _standalone_rest(source, shown, blocks)
    code = (yield from unposted.code_in_steps(source)) if unposted is not None else ""
    if unposted is not None and code.strip():
        found.append(Upload(_name("code", reference, unposted.extension), code, rest))
    elif unposted is None and rest:
        found.append(Upload(_name("answer", reference, "md"), replace_placeholders(rest), replace_placeholders(rest)))
    cost = 0
    for block in blocks:
        cost += _BLOCK_COST + block.next_line - block.opening_line
        if cost > STEP:
            cost = 0
            yield
        if (
            block is unposted
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
    """The code block containing the whole rest, if there is one."""
    if not source[shown:].strip():
        return None
    block = next((block for block in blocks if shown < block.end), None)
    if block is None or source[shown : max(shown, block.opening_line)].strip() or source[block.next_line :].strip():
        return None
    return block


def _standalone_rest(source: str, shown: int, blocks: list[CodeBlock]) -> str:
    """The rest as markdown of its own: with its code block reopened, or its table header repeated."""
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
