"""Files of messages as parts for a model: stubs are looked up, then all is downloaded, and what a file shows is told.

What belongs here: the way from attachments to parts. What does not: which files are wanted (`channel`).
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.shared.attachments import Attachment
from adapters.slack.messages.mrkdwn import plain
from adapters.slack.state import WorkspaceState
from bot.conversation import Part, Text


async def parts_of(workspace: WorkspaceState, files: Sequence[Sequence[Attachment]]) -> list[list[Part]]:
    """The parts of several messages' files. Never raises a failure."""
    looked = await workspace.stubs.resolved([file for each in files for file in each])
    texts = [each.beside for each in looked if each.beside]
    names = await workspace.names.of(texts) if texts else {}
    read = iter(await workspace.attachments.read([file for each in looked for file in each.files]))
    whose = iter(looked)
    parts: list[list[Part]] = []
    for each in files:
        mine: list[Part] = []
        for _ in each:
            found = next(whose)
            mine += [Text(plain(found.beside, names, workspace.zone))] if found.beside else []
            mine += [next(read) for _ in found.files]
        parts.append(mine)
    return parts
