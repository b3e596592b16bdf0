"""Answers as models write them read right on each platform: what is sent for them is what was looked at by eye.

After a change that is meant, `python -m tests.golden --write` makes the golden files anew.
"""

from __future__ import annotations

import re

import pytest

from tests.golden import FOLDER, PLATFORMS, answer, chunks, golden, names, rendered, shown

# What is shown on the way is looked at after as many chunks: rendering is most of the time, and cuts are made at all.
_LOOKED_AT = 5

# What Slack would take for somebody to be told.
PING = re.compile(r"<(?:[@#][A-Z][A-Z0-9]+[>|]|!(?:channel|here|everyone|subteam|date))")


def test_there_are_enough_answers() -> None:
    """At least sixty, and nothing is left of one that is gone."""
    assert len(names()) >= 60
    files = {golden(name, platform) for name in names() for platform in PLATFORMS}
    assert {path for path in FOLDER.iterdir() if path.suffix in {".txt", ".html"}} == files


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_sent_is_what_was_looked_at(platform: str) -> None:
    """Each answer, whole, becomes its golden file."""
    for name in names():
        assert rendered(answer(name), PLATFORMS[platform]) == golden(name, platform).read_text(), name


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["discord.txt", "slack.txt"])  # the others are cut as these are
def test_the_same_is_sent_however_it_comes(platform: str) -> None:
    """In chunks of seven characters: the same messages, each fits at any time, none changes once there is a next."""
    surface = PLATFORMS[platform]
    for name in names():
        splitter, before = surface.splitter(), [""]
        for number, chunk in enumerate(chunks(answer(name), 7)):
            splitter.feed(chunk)
            if number % _LOOKED_AT:
                splitter.pieces()
                continue
            *sealed, last = splitter.pieces()
            texts = [surface.renderer.render(piece) for piece in (*sealed[len(before) - 1 :], last.shown())]
            assert all(surface.measure(text) <= surface.limit for text in texts), name
            before = [*before[: len(before) - 1], *texts]
        whole = surface.splitter()
        whole.feed(answer(name))
        assert shown(surface, splitter) == shown(surface, whole), name
        assert all(surface.measure(text) <= surface.limit for text in shown(surface, whole)), name
        assert before[: len(shown(surface, whole)) - 1] == shown(surface, whole)[:-1], name


def test_nobody_is_told() -> None:
    """What is sent to Slack holds nothing that it takes for a mention; in Discord `allowed_mentions` sees to it."""
    for name in names():
        for platform in ("slack.txt", "slack-text.txt"):
            assert not PING.search(golden(name, platform).read_text()), name
