"""The app's scopes and their purposes, for `check`.

Operators paste ``config/slack-manifest.yaml``; a test compares the two. A new scope requires a new installation of the
app, so scopes of later features are included.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Without one of these, messages do not arrive or stay unanswered.
REQUIRED: Mapping[str, str] = MappingProxyType(
    {
        "app_mentions:read": "hear that it is mentioned",
        "chat:write": "answer",
        "channels:history": "hear and read threads in public channels",
        "groups:history": "hear and read threads in private channels",
        "im:history": "hear and read direct messages",
        "users:read": "know names, and guests from members",
    }
)

# Without one of these, one feature is missing.
USEFUL: Mapping[str, str] = MappingProxyType(
    {
        "mpim:history": "hear and read group direct messages",
        "files:read": "read attached images and text files",
        "assistant:write": "show that it is thinking, and Slack's own stop button",
        "files:write": "send what is too long for messages as a file",
        "reactions:read": "be stopped by a reaction",
        "channels:read": "know the names of public channels that are mentioned",
        "groups:read": "know the names of private channels that are mentioned",
        "usergroups:read": "know the names of user groups that are mentioned",
        "commands": "offer its slash command and the entries in a message's menu",
        "im:write": "send a private file or a welcome outside of the direct messages",
    }
)

# Unused so far: `check` does not report these.
LATER: Mapping[str, str] = MappingProxyType(
    {
        "reactions:write": "offer a reaction to be stopped by",
    }
)

# The bot scopes in use in the manifest.
ALL = frozenset(REQUIRED) | frozenset(USEFUL) | frozenset(LATER)
