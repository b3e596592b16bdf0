"""Keeps the messages of OpenTelemetry's SDK out of the log: they quote headers, addresses and responses.

Most come with tracebacks, too. `ExportReport` tells the operator about lost spans.
"""

from __future__ import annotations

import logging

from typing_extensions import override

from adapters.opentelemetry.export_report import ExportReport

# The logger above all of the SDK's.
SDK_LOGGER = "opentelemetry"

# How the SDK's message about a full queue begins; the exporter knows nothing of it.
QUEUE_FULL = "Queue full"


class SdkSilence(logging.Handler):
    """Takes all messages of the SDK, from `begin` to `end`; a full queue goes to the report."""

    def __init__(self, report: ExportReport) -> None:
        super().__init__()
        self._report = report
        self._logger = logging.getLogger(SDK_LOGGER)

    def begin(self) -> None:
        """Take the messages."""
        self._logger.addHandler(self)
        self._logger.propagate = False

    def end(self) -> None:
        """Let later messages pass."""
        self._logger.removeHandler(self)
        self._logger.propagate = True

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith(QUEUE_FULL):
            self._report.lost(0, "the collector is too slow")
