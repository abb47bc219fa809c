"""What a row of any file may take, and how one that takes more, or is none, is turned away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.documents import Rejected

NumberedRow = tuple[int, Mapping[str, Any] | Rejected]

# More fits into no request of any store. An archive of a megabyte may hold a line of gigabytes.
LONGEST_LINE = 100_000_000
# Bytes of a value in a list of them: "0,".
SMALLEST_VALUE = 2


def rejected(line: int, reason: str) -> Rejected:
    """A row that is none."""
    return Rejected(id=None, line=line, reason=reason, final=True)
