"""Durations without waits for a processor."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys

import pytest

from tests.support.stopwatch import Stopwatch, seconds_without_processor


def spin(started: multiprocessing.synchronize.Event) -> None:
    """Keep one processor busy until killed."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    started.set()
    while True:
        pass


@pytest.mark.sockets
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts these waits")
async def test_a_wait_for_a_processor_is_no_part_of_a_duration() -> None:
    """Of two processes on one processor each waits half of the time; a stopwatch shows the rest."""
    context = multiprocessing.get_context("spawn")
    children, loop = [], asyncio.get_running_loop()
    try:
        for _ in range(2):
            started = context.Event()
            children.append(context.Process(target=spin, args=(started,), daemon=True))
            children[-1].start()
            await asyncio.to_thread(started.wait)
        pid = children[0].pid
        assert pid is not None
        before = seconds_without_processor(pid)
        began, watch = loop.time(), Stopwatch(pid)
        while seconds_without_processor(pid) - before < 0.3:
            await asyncio.sleep(0.05)
        assert watch.seconds < loop.time() - began - 0.2
    finally:
        for child in children:
            child.kill()


def test_a_process_that_is_not_there_waits_for_nothing() -> None:
    """It may have ended meanwhile."""
    assert seconds_without_processor(-1) == 0.0
