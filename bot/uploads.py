"""Which files go up with an answer: its rest where it takes too many messages, and code longer than a message.

What belongs here: that rule, on the answer's source. What does not: how much of an answer its messages show
(`bot.reply`), what a block of code is (`bot.markdown`), and how a file goes up (the adapters).
"""

from __future__ import annotations

from collections.abc import Callable

from bot.markdown.code import Block, code_blocks
from bot.markdown.left_out import noted
from bot.markdown.tables import header
from bot.ports import Upload

# Files of one message: Discord takes ten (https://docs.discord.com/developers/resources/message#create-message).
MOST = 10


def uploads(
    source: str, shown: int, is_long: Callable[[str], bool], reference: str, *, finished: bool = True
) -> tuple[Upload, ...]:
    """The files of an answer of which the messages show the first `shown` characters.

    `is_long` says whether a text takes more than one message. Of what is not shown, all is in the first file: as the
    model wrote it, or, where it is nothing but code, as the whole block that it is of. The others are the blocks that
    are too long for a message, though messages show them too. `reference` is part of each name, by which a platform
    finds the message again. Unless the answer is `finished`, a block that its end has cut is none.
    """
    blocks = code_blocks(source)
    rest = source[shown:]
    found: list[Upload] = []
    left = _block_of(source, shown, blocks) if rest.strip() else None
    alone = _alone(source, shown, blocks)
    if left is not None and left.code(source).strip():
        found.append(Upload(_name("code", reference, left.extension), left.code(source), alone))
    elif left is None and alone:
        found.append(Upload(_name("answer", reference, "md"), noted(alone), noted(alone)))
    for block in blocks:
        if block is left or not (block.whole or finished) or not is_long(source[block.opened : block.after]):
            continue
        if not (code := block.code(source)).strip():
            continue
        if len(found) == MOST:
            break
        number = 1 + sum(each.name.startswith("code-") for each in found)
        found.append(Upload(_name("code", reference, block.extension, number), code))
    return tuple(found)


def _name(kind: str, reference: str, extension: str, number: int = 1) -> str:
    return f"{kind}-{reference}{'' if number == 1 else f'-{number}'}.{extension}"


def _block_of(source: str, shown: int, blocks: list[Block]) -> Block | None:
    """The block of code that all is of which is not shown, if there is one."""
    block = next((block for block in blocks if shown < block.end), None)
    if block is None or source[shown : max(shown, block.opened)].strip() or source[block.after :].strip():
        return None
    return block


def _alone(source: str, shown: int, blocks: list[Block]) -> str:
    """What is not shown as a text of its own: its block of code reopened, its table with its header."""
    rest = source[shown:]
    within = next((block for block in blocks if block.begin <= shown < block.after), None)
    if within is None:
        text = rest.lstrip("\n") if rest.strip() else ""
        return header(source[:shown]) + text if text.startswith("|") else text
    if within.end <= shown or not source[shown : within.end].strip():  # its code ended in the message before
        return source[within.after :].lstrip("\n")
    fence = within.fence
    return f"{fence.lead}{fence.marker}{fence.info}\n{rest}"
