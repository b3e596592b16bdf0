"""Renamed settings in the whole program: a warning in the log, or one error line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.process import bot

OLD = {"TICKERTAPE_STALL_SECONDS": "9", "TICKERTAPE_LOG_FORMAT": "json"}


@pytest.mark.sockets(seconds=60)
async def test_an_old_name_logs_one_warning(tmp_path: Path) -> None:
    """The bot runs, and its log has one warning with the new name, in the log's format."""
    model = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_MODEL": "m", "TICKERTAPE_PLAYGROUND": "on"}
    async with bot(OLD | model, folder=tmp_path) as scope:
        await scope.says('"started"')
        await scope.stop()
    warnings = [line for line in scope.lines if "TICKERTAPE_STALL_SECONDS" in line]
    assert len(warnings) == 1
    assert '"level": "warning"' in warnings[0]
    assert "is now TICKERTAPE_STREAM_IDLE_TIMEOUT" in warnings[0]


@pytest.mark.sockets(seconds=60)
async def test_old_and_new_names_with_different_values_are_one_line(tmp_path: Path) -> None:
    """The program exits with code 2 and one line with both names."""
    async with bot(OLD | {"TICKERTAPE_STREAM_IDLE_TIMEOUT": "8"}, folder=tmp_path) as scope:
        assert await scope.process.wait() == 2
    (line,) = scope.lines
    assert "TICKERTAPE_STREAM_IDLE_TIMEOUT and its old name TICKERTAPE_STALL_SECONDS have different values" in line
