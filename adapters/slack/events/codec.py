"""An event as it is kept in the journal, and read again by another process. Pure.

What belongs here: which fields of an event make a question, as text, and back. What does not: what they mean (`asked`,
`said`, `beside`). Edits and everything else that Slack sends along are left out: what is kept is people's words, what
they shared, and no more of it than answering takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from adapters.shared.context_labels import objects
from adapters.slack.events.content import needed, needed_of_file
from adapters.slack.events.parse import mapping
from adapters.slack.history.users import SlackUser

# Read by `asked.decide`, `said.parse_message` and what they call.
FIELDS = frozenset(
    [
        "type",
        "subtype",
        "channel",
        "channel_type",
        "user",
        "text",
        "ts",
        "thread_ts",
        "parent_user_id",
        "team",
        "user_team",
        "source_team",
        "hidden",
        "bot_id",
    ]
)


def dump(event: Mapping[str, Any]) -> str:
    """What is kept of an event: JSON, in ASCII, so that half a character of somebody's is no trouble to any store."""
    kept: dict[str, Any] = {name: event[name] for name in FIELDS & event.keys() if isinstance(event[name], str | bool)}
    files = [needed_of_file(file) for file in objects(event, "files")]
    kept |= needed(event) | ({"files": files} if files else {})
    return _written({"event": kept})


def with_user(text: str, person: SlackUser) -> str:
    """What is kept, and who wrote it, once that is known: after a restart, all would have to be looked up at once."""
    return _written({**_read(text), "person": {**asdict(person), "teams": sorted(person.teams)}})


def _written(kept: Mapping[str, Any]) -> str:
    return json.dumps(kept, separators=(",", ":"))


def load(text: str) -> Mapping[str, Any]:
    """The event that was kept; an empty one where the text is none of ours."""
    return mapping(_read(text), "event")


def load_user(text: str) -> SlackUser | None:
    """Who wrote it, if that was kept."""
    who = mapping(_read(text), "person")
    try:
        return SlackUser(**{**who, "teams": frozenset(who["teams"])})
    except (KeyError, TypeError):  # none, or another version's
        return None


def _read(text: str) -> Mapping[str, Any]:
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}
