"""Size limits of rows in any file format, and rejections of invalid rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.documents import Rejected

NumberedRow = tuple[int, Mapping[str, Any] | Rejected]

# No store accepts a larger request. A one-megabyte archive may contain a line of gigabytes.
LONGEST_LINE = 100_000_000
# Bytes of the smallest value in a list: "0,".
SMALLEST_VALUE = 2


def rejected(line: int, reason: str) -> Rejected:
    """Return the rejection of an invalid row."""
    return Rejected(id=None, line=line, reason=reason, final=True)
