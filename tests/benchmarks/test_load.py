"""The measures of many live answers and of rest: a small load runs whole, and every figure is there.

How much memory and time it is, is printed by ``make bench`` and not asserted: other things run on the same machine.
"""

from __future__ import annotations

import sys

import pytest

from benchmarks.load.scale import Load, lines_of_live, lines_of_rest, measure_live, measure_rest

pytestmark = [
    pytest.mark.sockets(seconds=120),
    pytest.mark.skipif(sys.platform != "linux", reason="memory and processor time are read from /proc"),
]


async def test_a_small_load_is_whole() -> None:
    """Sixty answers at once in channels of their own, as a process between processes: whole, and without a 429."""
    live = await measure_live(Load(replies=60, words=20))
    assert live.whole == 60
    assert live.limited == 0
    assert live.processor > 0
    assert len(lines_of_live(live)) == 6


async def test_rest_is_measured() -> None:
    """With both platforms connected the bot is larger than nothing, and so are the bare imports."""
    rest = await measure_rest()
    assert rest.resident > 2**20
    assert rest.bare > 2**20
    assert rest.bare_async > 2**20
    assert len(lines_of_rest(rest)) == 5
