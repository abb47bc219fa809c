"""The lines of a CSV file, and where reading continues after a row with a malformed quote."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator

from splade_connectors.files import limits

# Lines inspected after a malformed quote for the end of its cell.
_AHEAD = 100
# Lines of a row: more would need much memory to be read again after a malformed quote.
_MOST_LINES = 1_000_000
_QUOTE = '"'
# The csv module's errors in a user's words.
_REASONS = {
    "expected after": 'text follows a closing quotation mark; inside a quoted cell, write "" for "',
    "unexpected end of data": "a quotation mark is never closed",
    "field larger than": "a quotation mark is never closed, or a cell is too long",
}


class TooLong(csv.Error):
    """A line is longer than any row may be; it was skipped."""


class TableLines:
    """The lines of a text, counted and of bounded length; those of the current row are kept.

    Attributes:
        read: number of lines read.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._row: list[str] = []
        self._size = 0
        # Lines read ahead, or read as part of a malformed row; None is one that is too long.
        self._pending: deque[str | None] = deque()
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pending.popleft() if self._pending else self._from_text()
        if line == "":
            raise StopIteration
        self.read += 1
        if line is None:
            raise TooLong(f"longer than {limits.LONGEST_LINE:,} characters")
        self._row.append(line)
        self._size += len(line)
        if self._size > limits.LONGEST_LINE or len(self._row) > _MOST_LINES:
            raise csv.Error("field larger than field limit")
        return line

    def put_back(self, line: str) -> None:
        """Read a line once more."""
        self._pending.appendleft(line)
        self.read -= 1

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self._row.clear()
        self._size = 0

    def skip_row(self, columns: int, delimiter: str) -> int:
        """Skip the current row, which is malformed, and return its number of lines.

        A quotation mark that is not closed makes the csv module read the following rows as part of
        its cell. They are read again, unless they look like the rest of that cell.

        Args:
            columns: number of cells of the header.
            delimiter: delimiter of the cells.
        """
        first, *rest = self._row
        self.begin_row()
        self._pending.extendleft(reversed(rest))
        self.read -= len(rest)
        if not rest and first.count(_QUOTE) % 2 == 0:  # all its cells end on this line
            return 1
        more = self._rest_of_cell(columns, delimiter)
        for _ in range(more):
            self._pending.popleft()
        self.read += more
        return 1 + more

    def _rest_of_cell(self, columns: int, delimiter: str) -> int:
        """How many of the next lines belong to a cell that was opened and not closed."""
        alike = columns > 2  # with two columns, any sentence with a comma looks like a row
        for number, line in enumerate(self._ahead(), start=1):
            alike = alike and line.count(delimiter) + 1 == columns
            if _QUOTE not in line:
                continue
            if _opens_cell(line, delimiter):
                return 0
            if line.count(_QUOTE) % 2:
                return 0 if alike else number
        return 0

    def _ahead(self) -> Iterator[str]:
        size = 0
        for at in range(_AHEAD):
            if at == len(self._pending):
                self._pending.append(self._from_text())
            line = self._pending[at]
            size += len(line or "")
            if not line or size > limits.LONGEST_LINE:
                return
            yield line

    def _from_text(self) -> str | None:
        """The next line; None if it is too long, "" at the end."""
        line = self._text.readline(limits.LONGEST_LINE)
        if len(line) < limits.LONGEST_LINE or line.endswith(("\n", "\r")):
            return line
        while (rest := self._text.readline(1 << 20)) and not rest.endswith(("\n", "\r")):
            pass
        return None


def csv_reason(error: csv.Error) -> str:
    """Return why a row is malformed."""
    found = (reason for said, reason in _REASONS.items() if said in str(error))
    return next(found, str(error))


def _opens_cell(line: str, delimiter: str) -> bool:
    """Whether the first quotation mark of a line begins a cell rather than ends one."""
    before, _, after = line.partition(_QUOTE)
    begins = not before or before.endswith(delimiter)
    return begins and bool(after.strip("\r\n")) and not after.startswith(delimiter)
