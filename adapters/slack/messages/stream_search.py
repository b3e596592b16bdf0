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
# Letters before the text sent that are certainly another text: the first write of a stream has more.
_ABOVE = 4


def looks_like(shown: str, sent: str) -> bool:
    """Whether a message may be the start of a stream with the text `sent`. An empty one may: it has just begun."""
    found, wanted = _letters(shown), _prefix(sent)
    length = min(len(found), len(wanted))
    return found[:length] == wanted[:length]


def holds_twice(shown: str, sent: str, streamed: str = "") -> bool:
    """Whether a message shows streamed text and, below it, the text `sent` by an edit.

    `streamed` is the text above, if known: a stream of a killed process may have had any.
    """
    found, wanted, above = _letters(shown), _letters(sent), _letters(streamed)
    if len(found) > _DOUBLED * len(wanted) + _SHORT or (above and found == above + wanted):
        return True
    prefix = _prefix(sent)
    if len(prefix) < _SHORT:
        return False
    return found.find(prefix) >= _ABOVE or found.count(prefix) > max(wanted.count(prefix), 1)


def _prefix(text: str) -> str:
    return _letters(_UNSTABLE.split(text, maxsplit=1)[0])[:PREFIX]


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _EMOJI.sub("", text)))
