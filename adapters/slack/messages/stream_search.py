"""Streamed text, recognised in the form that Slack gives back. Pure.

Slack turns a stream's markdown into its own markup or blocks, and drops spaces. Letters and digits survive, up to the
first link.
"""

from __future__ import annotations

import re

# Compared letters and digits at the start: more than two answers share by chance, and fewer than a first write has.
PREFIX = 40
# A link or a ping: Slack may give back its address or its label.
_UNSTABLE = re.compile(r"[\[<&`]|https?:")
_EMOJI = re.compile(r":[a-z0-9_+'-]+:")  # Slack gives back names
# A text this much longer than the one sent holds it twice; short ones may differ by markup alone.
_DOUBLED = 1.5
_SHORT = 20


def looks_like(shown: str, sent: str) -> bool:
    """Whether a message may be the start of a stream with the text `sent`. An empty one may: it has just begun."""
    found, wanted = _letters(shown), _prefix(sent)
    length = min(len(found), len(wanted))
    return found[:length] == wanted[:length]


def holds_twice(shown: str, sent: str, streamed: str = "") -> bool:
    """Whether a message shows its streamed text and, below it, the text `sent` by an edit."""
    found, wanted = _letters(shown), _letters(sent)
    if len(found) > _DOUBLED * len(wanted) + _SHORT:
        return True
    prefix = _prefix(sent)
    above = _prefix(streamed)
    starts_alike = len(prefix) >= _SHORT and above[:_SHORT] == prefix[:_SHORT]
    return starts_alike and found.count(prefix) > max(wanted.count(prefix), 1)


def _prefix(text: str) -> str:
    return _letters(_UNSTABLE.split(text, maxsplit=1)[0])[:PREFIX]


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _EMOJI.sub("", text)))
