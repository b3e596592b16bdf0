"""Errors of the vendors' servers: status, whole body and meaning.

The table is `vendor_errors.json`: bodies from bug reports and references, with the vendor as the source. Names, numbers
and ids are changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.servers.openai import Status

TABLE = Path(__file__).with_suffix(".json")

# Meanings beside those of `RejectionReason`.
RETRY = "retry"  # a temporary error
SYSTEM = "system"  # the server has no system role


@dataclass(frozen=True, slots=True)
class VendorError:
    """One error. `means` is the value of a `RejectionReason`, `RETRY` or `SYSTEM`."""

    vendor: str
    status: int
    means: str
    body: Any

    @property
    def script(self) -> Status:
        """The error as the response to a request."""
        raw = self.body if isinstance(self.body, str) else json.dumps(self.body)
        page = raw.lstrip().startswith("<")
        return Status(self.status, raw=raw, content_type="text/html" if page else "application/json")

    def __str__(self) -> str:
        return f"{self.means}: {self.vendor} {self.status}"


@cache
def vendor_errors(means: str = "") -> tuple[VendorError, ...]:
    """The table, or its rows with one meaning."""
    table = [VendorError(**row) for row in json.loads(TABLE.read_text(encoding="utf-8"))]
    return tuple(each for each in table if means in {"", each.means})


def vendor_error(vendor: str, means: str) -> VendorError:
    """The error of one vendor."""
    return next(each for each in vendor_errors(means) if each.vendor == vendor)
