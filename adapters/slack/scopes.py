"""The scopes that the app is given, and what each is for: `check` compares them, the manifest holds the same.

``config/slack-manifest.yaml`` is what an operator pastes; a test keeps the two alike. Each new scope means that the app
is installed again, so those of features to come are there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Without these, questions are not heard, or not answered.
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

# Without these, one feature is missing.
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
    }
)

# Nothing uses these yet: `check` mentions them, and finds nothing wrong.
LATER: Mapping[str, str] = MappingProxyType(
    {
        "reactions:write": "offer a reaction to be stopped by",
    }
)

# The bot scopes of the manifest.
ALL = frozenset(REQUIRED) | frozenset(USEFUL) | frozenset(LATER)
